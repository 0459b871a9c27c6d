/* A real cleaved under a supervisor: what it tells, what it is handed, and
 * what it gives up. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exchange.h"
#include "raw_socket.h"
#include "running_server.h"
#include "tests/run_suite.h"

static struct running_server server;

/* Binds $NOTIFY_SOCKET, named in the file system or not. */
static int supervise(bool abstract)
{
    struct sockaddr_un address;
    char name[64];
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    int length = snprintf(name, sizeof name, "%c/tmp/notify-%d",
                          abstract ? '@' : '/', (int)getpid());
    const char *path = abstract ? name : name + 1;
    length -= !abstract;
    memcpy(address.sun_path, path, (size_t)length);
    if (abstract)
        address.sun_path[0] = '\0';
    int made = socket(AF_UNIX, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(made, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      (size_t)length)),
                     0);
    setenv("NOTIFY_SOCKET", path, 1);
    return made;
}

/* The next message that is not of the watchdog; the test's timeout ends what
 * never comes. */
static void hear(int supervisor, char *text, size_t capacity)
{
    do {
        ssize_t got = recv(supervisor, text, capacity - 1, 0);
        ck_assert_int_gt(got, 0);
        text[got] = '\0';
    } while (strcmp(text, "WATCHDOG=1") == 0);
}

START_TEST(the_supervisor_hears_of_every_change)
{
    char text[200];
    int supervisor = supervise(_i);
    server_start(&server, NULL);
    hear(supervisor, text, sizeof text);
    ck_assert_str_eq(text, "READY=1");
    kill(server.pid, SIGHUP);
    hear(supervisor, text, sizeof text);
    ck_assert_int_eq(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    ck_assert_double_gt(strtod(text + 27, NULL), 0);
    hear(supervisor, text, sizeof text);
    ck_assert_str_eq(text, "READY=1");
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    hear(supervisor, text, sizeof text);
    ck_assert_str_eq(text, "STOPPING=1");
    close(supervisor);
    if (!_i)
        unlink(getenv("NOTIFY_SOCKET"));
}
END_TEST

START_TEST(the_watchdog_is_fed)
{
    char text[200];
    int supervisor = supervise(true);
    setenv("WATCHDOG_USEC", "200000", 1);
    server_start(&server, NULL);
    hear(supervisor, text, sizeof text);
    const struct timeval patience = {.tv_sec = 30};
    setsockopt(supervisor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (int i = 0; i < 5; i++) {
        ssize_t got = recv(supervisor, text, sizeof text - 1, 0);
        ck_assert_int_eq(got, (ssize_t)strlen("WATCHDOG=1"));
    }
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    close(supervisor);
}
END_TEST

static int listen_somewhere(unsigned *port)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(made, (struct sockaddr *)&address, sizeof address),
                     0);
    ck_assert_int_eq(getsockname(made, (struct sockaddr *)&address, &length),
                     0);
    *port = ntohs(address.sin_port);
    return made;
}

/* Starts cleaved with `handed` as descriptor 3. It could not open the address
 * of its own settings. */
static pid_t hand_over(int handed, const char *count)
{
    pid_t pid = fork();
    if (pid == 0) {
        char own[24];
        snprintf(own, sizeof own, "%d", (int)getpid());
        dup2(handed, 3);
        setenv("LISTEN_PID", own, 1);
        setenv("LISTEN_FDS", count, 1);
        execl(CLEAVED, CLEAVED, "--listen", "192.0.2.1:1", "--model",
              TINY_MODEL, (char *)NULL);
        _exit(99);
    }
    return pid;
}

START_TEST(a_socket_can_be_handed_over)
{
    int listening = listen_somewhere(&server.port);
    ck_assert_int_eq(listen(listening, 10), 0);
    /* A request from before the server was there. */
    int raw = raw_connect(&server);
    raw_send_text(raw, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    pid_t pid = hand_over(listening, "1");
    char reply[2000];
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 200);
    close(raw);
    kill(pid, SIGTERM);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    /* Nobody is refused between two servers. */
    raw = raw_connect(&server);
    raw_send_text(raw, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    pid = hand_over(listening, "1");
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 200);
    close(raw);
    kill(pid, SIGTERM);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    close(listening);
}
END_TEST

START_TEST(anything_else_handed_over_is_refused)
{
    unsigned port;
    int silent = listen_somewhere(&port); /* bound, but does not listen */
    int status;
    if (_i)
        ck_assert_int_eq(listen(silent, 10), 0);
    pid_t pid = hand_over(silent, _i ? "2" : "1");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    close(silent);
}
END_TEST

START_TEST(another_process_s_sockets_are_left_alone)
{
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    server_start(&server, NULL);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

/* The value of a line of /proc/PID/status. */
static void read_status(const char *name, char *value, size_t capacity)
{
    char path[64], line[300];
    snprintf(path, sizeof path, "/proc/%d/status", (int)server.pid);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    value[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        size_t length = strlen(name);
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            snprintf(value, capacity, "%s", line + length + 1);
    }
    fclose(file);
}

START_TEST(no_new_privileges_can_be_had)
{
    char value[300];
    server_start(&server, NULL);
    read_status("NoNewPrivs", value, sizeof value);
    ck_assert_int_eq(strtol(value, NULL, 10), 1);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(root_becomes_somebody_else)
{
    char value[300], want[100];
    const struct passwd *nobody = getpwnam("nobody");
    if (geteuid() != 0 || !nobody)
        return; /* there is nothing to give up */
    server_start(&server, (const char *const[]){"--user", "nobody", NULL});
    read_status("Uid", value, sizeof value);
    snprintf(want, sizeof want, "\t%u\t%u\t%u\t%u\n", nobody->pw_uid,
             nobody->pw_uid, nobody->pw_uid, nobody->pw_uid);
    ck_assert_str_eq(value, want);
    read_status("Gid", value, sizeof value);
    ck_assert_int_eq(strtol(value, NULL, 10), nobody->pw_gid);
    read_status("Groups", value, sizeof value);
    ck_assert_int_eq(strtol(value, NULL, 10), nobody->pw_gid);
    read_status("CapEff", value, sizeof value);
    ck_assert_int_eq(strtol(value, NULL, 16), 0);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(an_unknown_user_ends_the_start)
{
    char output[1000];
    const char *const arguments[] = {"--model",     TINY_MODEL, "--listen",
                                     "127.0.0.1:0", "--user",   "no-such-user",
                                     NULL};
    ck_assert_int_eq(server_run(arguments, NULL, output, sizeof output), 2);
    ck_assert_ptr_nonnull(strstr(output, "no-such-user"));
}
END_TEST

Suite *make_suite(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    atexit(curl_global_cleanup);
    TCase *tests = tcase_create("supervised");
    tcase_add_loop_test(tests, the_supervisor_hears_of_every_change, 0, 2);
    tcase_add_test(tests, the_watchdog_is_fed);
    tcase_add_test(tests, a_socket_can_be_handed_over);
    tcase_add_loop_test(tests, anything_else_handed_over_is_refused, 0, 2);
    tcase_add_test(tests, another_process_s_sockets_are_left_alone);
    tcase_add_test(tests, no_new_privileges_can_be_had);
    tcase_add_test(tests, root_becomes_somebody_else);
    tcase_add_test(tests, an_unknown_user_ends_the_start);
    Suite *suite = suite_create("server supervised");
    suite_add_tcase(suite, tests);
    return suite;
}
