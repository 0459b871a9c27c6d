/* What one client, and all of them together, may take of a real cleaved. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "exchange.h"
#include "raw_socket.h"
#include "running_server.h"
#include "tests/run_suite.h"

#define PROBE "GET /v1/probe?bytes=9 HTTP/1.1\r\nHost: x\r\n\r\n"
#define HEALTH "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
#define BY_CLIENT "cleave_rejected_total{reason=\"client_connections\"}"
#define BY_ALL "cleave_rejected_total{reason=\"connections\"}"
#define BY_PACE "cleave_rejected_total{reason=\"slow\"}"

static struct running_server server;

/* Code of the answer to `request` on this connection; 0 if it was closed. */
static int ask(int raw, const char *request)
{
    char reply[4000];
    raw_send_text(raw, request);
    return raw_reply(raw, reply, sizeof reply);
}

START_TEST(one_client_cannot_take_every_connection)
{
    enum { MOST = 20 };
    int held[MOST];
    server_start(&server,
                 (const char *const[]){"--connections-per-client", "20", NULL});
    for (int i = 0; i < MOST; i++) {
        held[i] = raw_connect_from(&server, "127.0.0.2");
        ck_assert_int_eq(ask(held[i], PROBE), 200);
    }
    for (int i = 0; i < 10; i++) {
        int more = raw_connect_from(&server, "127.0.0.2");
        ck_assert_int_eq(ask(more, PROBE), 0);
        close(more);
    }
    ck_assert_double_eq(exchange_metric(&server, BY_CLIENT), 10);
    int other = raw_connect_from(&server, "127.0.0.3");
    ck_assert_int_eq(ask(other, PROBE), 200);
    close(other);

    /* Who leaves makes room. */
    close(held[0]);
    int code = 0;
    while (code == 0) {
        held[0] = raw_connect_from(&server, "127.0.0.2");
        code = ask(held[0], PROBE);
        if (code == 0)
            close(held[0]);
    }
    ck_assert_int_eq(code, 200);
    for (int i = 0; i < MOST; i++)
        close(held[i]);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(a_full_server_says_so_and_answers_health)
{
    enum { MOST = 16 };
    int held[MOST];
    server_start(&server, (const char *const[]){"--connections", "16", NULL});
    for (int i = 0; i < MOST; i++) {
        held[i] = raw_connect(&server);
        ck_assert_int_eq(ask(held[i], HEALTH), 200);
    }
    char reply[4000];
    bool closed;
    ck_assert_int_eq(raw_ask(&server, HEALTH, reply, sizeof reply, &closed),
                     200);
    ck_assert(closed);
    ck_assert_int_eq(raw_ask(&server, PROBE, reply, sizeof reply, &closed),
                     503);
    ck_assert(closed);
    ck_assert_ptr_nonnull(strstr(reply, "too many connections"));
    ck_assert_ptr_nonnull(strstr(reply, "Retry-After: "));
    /* Silence beyond the limit ends soon, not after the usual time. */
    int silent = raw_connect(&server);
    raw_wait_closed(silent);
    close(silent);
    for (int i = 0; i < MOST; i++)
        close(held[i]);
    while (raw_ask(&server, PROBE, reply, sizeof reply, &closed) != 200)
        continue;
    ck_assert_double_ge(exchange_metric(&server, BY_ALL), 1);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Hundreds of connections that each send a byte now and then, in different
 * phases of a request, from many addresses; meanwhile others are served, and
 * in the end the slow ones are all gone. */
START_TEST(slow_clients_hinder_nobody)
{
    enum { SLOW = 400 };
    static const char *const beginnings[] = {
        "", "POST /v1/classify HTTP/1.1\r\nHost: x\r\nX-Filler: ",
        "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
        "Content-Length: 100000\r\n\r\n"};
    static int slow[SLOW];
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    server_start(&server,
                 (const char *const[]){"--header-timeout-ms", "1500",
                                       "--request-timeout-ms", "3000",
                                       "--connections-per-client", "50",
                                       "--log-level", "warn", NULL});
    for (int i = 0; i < SLOW; i++) {
        char address[20];
        snprintf(address, sizeof address, "127.0.1.%d", 1 + i % 10);
        slow[i] = raw_connect_from(&server, address);
        raw_send_text(slow[i], beginnings[i % 3]);
    }
    unsigned open = SLOW, served = 0;
    double begun_s = now_s();
    while (open > 0) {
        struct exchange exchange;
        exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                      bytes, &exchange);
        ck_assert_int_eq(exchange.code, 200);
        exchange_free(&exchange);
        served++;
        for (int i = 0; i < SLOW; i++) {
            char reply[500];
            if (slow[i] < 0)
                continue;
            ssize_t got = recv(slow[i], reply, sizeof reply, MSG_DONTWAIT);
            if (got != 0 && raw_send(slow[i], "a", 1))
                continue;
            close(slow[i]);
            slow[i] = -1;
            open--;
        }
    }
    ck_assert_uint_ge(served, 1);
    /* Nobody was cut off for being many rather than slow. */
    ck_assert_double_ge(now_s() - begun_s, 1.0);
    ck_assert_double_eq(exchange_metric(&server, BY_CLIENT), 0);
    while (exchange_metric(&server, "cleave_open_connections") > 1)
        continue;
    ck_assert_double_eq(exchange_metric(&server, BY_PACE), SLOW);
    free(photo);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

/* Milliseconds until a client that says `beginning` and no more is cut off. */
static double patience_ms(const char *beginning)
{
    int raw = raw_connect(&server);
    double begun_s = now_s();
    raw_send_text(raw, beginning);
    raw_wait_closed(raw);
    close(raw);
    return (now_s() - begun_s) * 1e3;
}

START_TEST(headers_have_less_time_than_bodies)
{
    server_start(&server,
                 (const char *const[]){"--header-timeout-ms", "300",
                                       "--request-timeout-ms", "4000", NULL});
    ck_assert_double_lt(patience_ms(""), 3500);
    ck_assert_double_lt(patience_ms("GET / HTTP/1.1\r\nX: "), 3500);
    ck_assert_double_ge(patience_ms("POST /v1/probe HTTP/1.1\r\nHost: x\r\n"
                                    "Content-Length: 9\r\n\r\n"),
                        3900);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

/* Asks for more than the kernel's buffers hold, and then takes nothing, or less
 * than it must. The test's timeout ends what no deadline does. */
START_TEST(who_does_not_take_its_answers_is_cut_off)
{
    enum { ANSWERS = 3000 };
    static const char ask[] =
        "GET /v1/probe?bytes=4000 HTTP/1.1\r\nHost: x\r\n\r\n";
    const size_t sip_bytes = _i ? 20 : 0;
    const int window_bytes = 4096;
    char sip[20];
    server_start(&server, (const char *const[]){"--request-timeout-ms", "500",
                                                "--log-level", "warn", NULL});
    int raw = raw_connect(&server);
    ck_assert_int_eq(setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &window_bytes,
                                sizeof window_bytes),
                     0);
    for (int i = 0; i < ANSWERS; i++)
        ck_assert(raw_send_text(raw, ask));
    bool open = sip_bytes > 0;
    while (exchange_metric(&server, BY_PACE) == 0)
        open = open && recv(raw, sip, sip_bytes, 0) > 0;
    raw_wait_closed(raw);
    close(raw);
    ck_assert_double_eq(exchange_metric(&server, BY_PACE), 1);
    while (exchange_metric(&server, "cleave_open_connections") > 1)
        continue;
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

/* Nor is an idle connection slow, nor one whose client reads. */
START_TEST(who_keeps_up_is_not)
{
    char reply[8000];
    server_start(&server,
                 (const char *const[]){"--request-timeout-ms", "300",
                                       "--header-timeout-ms", "300", NULL});
    int raw = raw_connect(&server);
    for (int i = 0; i < 3; i++) {
        const struct timespec pause = {0, 700000000};
        raw_send_text(raw, PROBE);
        ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 200);
        nanosleep(&pause, NULL);
    }
    close(raw);
    ck_assert_double_eq(exchange_metric(&server, BY_PACE), 0);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

Suite *make_suite(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    atexit(curl_global_cleanup);
    TCase *tests = tcase_create("limits");
    tcase_add_test(tests, one_client_cannot_take_every_connection);
    tcase_add_test(tests, a_full_server_says_so_and_answers_health);
    tcase_add_test(tests, slow_clients_hinder_nobody);
    tcase_add_test(tests, headers_have_less_time_than_bodies);
    tcase_add_loop_test(tests, who_does_not_take_its_answers_is_cut_off, 0, 2);
    tcase_add_test(tests, who_keeps_up_is_not);
    Suite *suite = suite_create("server limits");
    suite_add_tcase(suite, tests);
    return suite;
}
