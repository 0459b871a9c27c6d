/* Starts and ends cleaved for tests. */
#include "running_server.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_ARGUMENTS 40

/* In the child: becomes cleaved. Never returns. */
static void become(const char *const *arguments, const char *environment,
                   int output, int errors)
{
    /* A test that fails ends at once; its server must not outlive it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    const char *equals = environment ? strchr(environment, '=') : NULL;
    if (equals) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(equals - environment),
                 environment);
        setenv(name, equals + 1, 1);
    }
    execv(CLEAVED, (char *const *)(size_t)arguments);
    _exit(99);
}

static void wait_a_little(void)
{
    const struct timespec pause = {0, 10000000};
    nanosleep(&pause, NULL);
}

void server_start(struct running_server *server, const char *const *arguments)
{
    server->ca_file = NULL;
    snprintf(server->folder, sizeof server->folder, "/tmp/cleaved-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(server->folder));
    /* A server that becomes another user writes there, too. */
    ck_assert_int_eq(chmod(server->folder, 0777), 0);
    char port_file[96];
    snprintf(port_file, sizeof port_file, "%s/port", server->folder);
    snprintf(server->log, sizeof server->log, "%s/log", server->folder);

    const char *all[MOST_ARGUMENTS] = {
        CLEAVED,    "--listen",    "127.0.0.1:0", "--model",
        TINY_MODEL, "--port-file", port_file,     "--workers",
        "2",        "--log-level", "debug"};
    size_t count = 11;
    for (; arguments && *arguments; arguments++) {
        ck_assert_uint_lt(count, MOST_ARGUMENTS - 1);
        all[count++] = *arguments;
    }
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0) {
        int log = open(server->log, O_CREAT | O_WRONLY | O_APPEND, 0600);
        become(all, NULL, log, log);
    }
    FILE *file = NULL;
    while (!(file = fopen(port_file, "r"))) {
        int status;
        if (waitpid(server->pid, &status, WNOHANG) != 0) {
            size_t bytes;
            ck_abort_msg("cleaved did not start: %s",
                         file_read(server->log, &bytes));
        }
        wait_a_little();
    }
    ck_assert_int_eq(fscanf(file, "%u", &server->port), 1);
    fclose(file);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u",
             server->port);
}

int server_end(struct running_server *server, int signal_number)
{
    int status = 0;
    if (signal_number)
        ck_assert_int_eq(kill(server->pid, signal_number), 0);
    ck_assert_int_eq(waitpid(server->pid, &status, 0), server->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        /* A sanitizer's report is in there. */
        size_t bytes;
        char *log = file_read(server->log, &bytes);
        fprintf(stderr, "%s\n", bytes > 6000 ? log + bytes - 6000 : log);
        free(log);
    }
    char path[96];
    snprintf(path, sizeof path, "%s/port", server->folder);
    unlink(path);
    unlink(server->log);
    rmdir(server->folder);
    ck_assert_msg(WIFEXITED(status), "cleaved died of signal %d",
                  WTERMSIG(status));
    return WEXITSTATUS(status);
}

char *server_log_wait(const struct running_server *server, const char *text,
                      unsigned count)
{
    for (;;) {
        size_t bytes;
        char *log = file_read(server->log, &bytes);
        unsigned seen = 0;
        for (char *at = strstr(log, text); at; at = strstr(at + 1, text))
            seen++;
        if (seen >= count)
            return log;
        free(log);
        wait_a_little();
    }
}

int server_run(const char *const *arguments, const char *environment,
               char *output, size_t capacity)
{
    const char *all[MOST_ARGUMENTS] = {CLEAVED};
    size_t count = 1;
    for (; *arguments; arguments++) {
        ck_assert_uint_lt(count, MOST_ARGUMENTS - 1);
        all[count++] = *arguments;
    }
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        become(all, environment, ends[1], ends[1]);
    close(ends[1]);
    size_t used = 0;
    for (;;) {
        char rest[512];
        size_t room = capacity - 1 - used;
        ssize_t got = room ? read(ends[0], output + used, room)
                           : read(ends[0], rest, sizeof rest);
        if (got <= 0)
            break;
        used += room ? (size_t)got : 0;
    }
    output[used] = '\0';
    close(ends[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "cleaved died of signal %d",
                  WTERMSIG(status));
    return WEXITSTATUS(status);
}

char *file_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    long length = ftell(file);
    ck_assert_int_ge(length, 0);
    rewind(file);
    char *text = malloc((size_t)length + 1);
    ck_assert_ptr_nonnull(text);
    *bytes = fread(text, 1, (size_t)length, file);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}
