/* Starts the real programs, reads what they say and ends them. */
#include "process.h"

#include <check.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/transport.h"

static int decode_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void process_start(struct process *process, const char *const *arguments,
                   const char *directory)
{
    static unsigned count;
    snprintf(process->error_path, sizeof process->error_path, "%s/stderr-%d-%u",
             directory, (int)getpid(), count++);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    process->pid = fork();
    ck_assert_int_ge(process->pid, 0);
    if (process->pid == 0) {
        int errors = open(process->error_path, O_WRONLY | O_CREAT, 0600);
        dup2(ends[1], STDOUT_FILENO);
        dup2(errors, STDERR_FILENO);
        close(ends[1]);
        close(errors);
        /* execv's type is older than const. */
        execv(arguments[0], (char *const *)(size_t)arguments);
        _exit(127);
    }
    close(ends[1]);
    process->out = fdopen(ends[0], "r");
    ck_assert_ptr_nonnull(process->out);
}

const char *process_line(struct process *process)
{
    static char *line;
    static size_t capacity;
    ssize_t bytes = getline(&line, &capacity, process->out);
    if (bytes <= 0)
        return NULL;
    if (line[bytes - 1] == '\n')
        line[bytes - 1] = '\0';
    return line;
}

static int reap(struct process *process)
{
    int status = 0;
    ck_assert_int_eq(waitpid(process->pid, &status, 0), process->pid);
    fclose(process->out);
    process->out = NULL;
    process->pid = 0;
    return decode_status(status);
}

int process_finish(struct process *process)
{
    while (process_line(process))
        ;
    return reap(process);
}

int process_end(struct process *process, int signal_number)
{
    if (process->pid <= 0)
        return 0;
    kill(process->pid, signal_number);
    return reap(process);
}

void process_errors(const struct process *process, char *text, size_t capacity)
{
    FILE *file = fopen(process->error_path, "r");
    size_t bytes = file ? fread(text, 1, capacity - 1, file) : 0;
    text[bytes] = '\0';
    if (file)
        fclose(file);
}

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static bool is_ready(const char *url)
{
    struct cli_transport *transport = NULL;
    struct cli_reply reply = {.http_code = 0};
    struct cli_request request = {.path = "/readyz",
                                  .timeout_ms = 2000,
                                  .most_reply_bytes = 65536,
                                  .sink_fd = -1};
    ck_assert_int_eq(cli_transport_open(url, 2000, &transport, NULL), API_OK);
    enum api_status status =
        cli_transport_request(transport, &request, &reply, NULL);
    bool ready = status == API_OK && reply.http_code == 200;
    cli_reply_free(&reply);
    cli_transport_close(&transport);
    return ready;
}

static unsigned read_port(const char *path)
{
    unsigned port = 0;
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%u", &port) != 1)
        port = 0;
    if (file)
        fclose(file);
    return port;
}

static void fail_to_start(struct daemon *daemon)
{
    char text[2000];
    process_errors(&daemon->process, text, sizeof text);
    ck_abort_msg("cleaved did not become ready: %s", text);
}

void daemon_start(struct daemon *daemon, const char *bundle, unsigned port,
                  const char *directory)
{
    char listen[64], port_path[PROCESS_PATH_BYTES];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    snprintf(port_path, sizeof port_path, "%s/port", directory);
    unlink(port_path);
    const char *arguments[] = {
        CLEAVED_PROGRAM, "--listen", listen,        "--model", bundle,
        "--workers",     "2",        "--port-file", port_path, NULL};
    process_start(&daemon->process, arguments, directory);
    daemon->port = 0;
    for (int i = 0; daemon->port == 0; i++) {
        if (i == 3000 || waitpid(daemon->process.pid, NULL, WNOHANG) != 0)
            fail_to_start(daemon);
        pause_ms(20);
        daemon->port = read_port(port_path);
    }
    snprintf(daemon->url, sizeof daemon->url, "http://127.0.0.1:%u",
             daemon->port);
    for (int i = 0; !is_ready(daemon->url); i++) {
        if (i == 3000)
            fail_to_start(daemon);
        pause_ms(20);
    }
}
