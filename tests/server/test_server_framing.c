/* Requests that are wrong as bytes: smuggling, dripping, cutting off. */
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
#include "server/linger.h"
#include "tests/run_suite.h"

static struct running_server server;

static void start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    server_start(&server,
                 (const char *const[]){"--request-timeout-ms", "1000", NULL});
}

static void end(void)
{
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    curl_global_cleanup();
}

static void assert_alive(void)
{
    struct exchange exchange;
    exchange_get(&server, "/healthz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
}

/* Answers that were refusals, of every route and of none. */
static unsigned refusals_counted(void)
{
    static const char series[] = "cleave_http_requests_total{",
                      code[] = "code=\"";
    struct exchange exchange;
    unsigned sum = 0;
    exchange_get(&server, "/metrics", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    for (char *at = exchange.body; (at = strstr(at, series)); at++) {
        const char *digits = strstr(at, code) + sizeof code - 1;
        if (*digits == '4' || *digits == '5')
            sum += (unsigned)strtoul(strchr(digits, '}') + 1, NULL, 10);
    }
    exchange_free(&exchange);
    return sum;
}

#define POST "POST /v1/probe HTTP/1.1\r\nHost: x\r\n"
#define GET "GET /healthz HTTP/1.1\r\nHost: x\r\n"
#define CLASSIFY                                                               \
    "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"

static const struct {
    const char *text;
    int code;    /* 0: a refusal, or none at all, by the HTTP library */
    bool closed; /* afterwards */
} cases[] = {
    {POST "Content-Length: 3\r\n\r\nabc", 200, false},
    {GET "\r\n", 200, false},
    {GET "Connection: close\r\n\r\n", 200, true},
    {"GET /healthz HTTP/1.0\r\n\r\n", 200, true},
    {POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, true},
    {POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, true},
    {GET "Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400, true},
    {POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n0\r\n\r\n",
     400, true},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
          "3\r\nabc\r\n0\r\n\r\n",
     400, true},
    {POST "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 0, true},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 411, true},
    {GET "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, true},
    {POST "\r\n", 411, false},
    {GET "Content-Length : 3\r\n\r\n", 0, true},
    {GET "Content-Length\t: 3\r\n\r\n", 0, true},
    {GET "Content(Length): 3\r\n\r\n", 0, true},
    {GET "X\x01Y: 3\r\n\r\n", 0, true},
    {GET "Host: y\r\n\r\n", 0, true},
    {"GET /healthz HTTP/1.1\r\n\r\n", 0, true},
    {POST "Content-Length: -1\r\n\r\n", 0, true},
    {POST "Content-Length: +3\r\n\r\nabc", 0, true},
    {POST "Content-Length: 0x3\r\n\r\nabc", 0, true},
    {POST "Content-Length: 3, 3\r\n\r\nabc", 0, true},
    {POST "Content-Length: \r\n\r\n", 0, true},
    {POST "Content-Length: 18446744073709551617\r\n\r\nabc", 0, true},
    {POST "Content-Length: 99999999999999999999999999\r\n\r\nabc", 0, true},
    {POST "Content-Length: 1048577\r\n\r\n", 413, true},
    {POST "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n", 413, true},
    {"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
     "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
     415, true},
    {POST "Content-Length: 3\r\nExpect: patience\r\n\r\n", 417, true},
    {POST "Content-Length: 3\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n", 417,
     true},
    {POST "Content-Length: 3\r\nExpect: 100-continue, x\r\n\r\n", 417, true},
    {GET "Expect: \r\n\r\n", 417, true},
    {"GET\r\n\r\n", 0, true},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\r\n\r\n", 0, true},
    {"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", 0, true},
};

START_TEST(framing_is_strict)
{
    char reply[4000];
    bool closed = false;
    unsigned before = refusals_counted();
    int code = raw_ask(&server, cases[_i].text, reply, sizeof reply, &closed);
    if (cases[_i].code)
        ck_assert_msg(code == cases[_i].code, "HTTP %d to\n%s", code,
                      cases[_i].text);
    else
        ck_assert_msg(code == 0 || code >= 400, "HTTP %d to\n%s", code,
                      cases[_i].text);
    ck_assert_msg(closed == cases[_i].closed, "closed: %d after\n%s", closed,
                  cases[_i].text);
    if (code >= 400 && cases[_i].code)
        ck_assert_ptr_nonnull(strstr(reply, "application/problem+json"));
    /* Whoever wrote it. */
    ck_assert_uint_eq(refusals_counted(), before + (code >= 400));
    assert_alive();
}
END_TEST

/* It answers such requests before it tells of them, and in its own words. */
START_TEST(what_the_library_answers_is_counted)
{
    static const char answered[] =
        "cleave_http_requests_total{route=\"\",code=\"414\"}";
    static const char unreadable[] =
        "cleave_rejected_total{reason=\"unreadable\"}";
    char target[60000], reply[4000];
    double answers = exchange_metric(&server, answered);
    double requests = exchange_metric(&server, unreadable);
    int raw = raw_connect(&server);
    memset(target, 'a', sizeof target);
    raw_send_text(raw, "GET /");
    raw_send(raw, target, sizeof target);
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 414);
    close(raw);
    ck_assert_double_eq(exchange_metric(&server, answered), answers + 1);
    ck_assert_double_eq(exchange_metric(&server, unreadable), requests + 1);
}
END_TEST

START_TEST(no_second_request_hides_in_a_body)
{
    /* Whoever believes the shorter length would see a request for /metrics. */
    int raw = raw_connect(&server);
    char reply[4000];
    raw_send_text(raw, POST "Content-Length: 0\r\nContent-Length: 42\r\n\r\n"
                            "GET /metrics HTTP/1.1\r\nHost: hidden-x\r\n\r\n");
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 400);
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 0);
    close(raw);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    int raw = raw_connect(&server);
    raw_send_text(raw, POST "Content-Length: 5\r\n\r\nabcde" GET "\r\n" POST
                            "Content-Length: 2\r\n\r\nab");
    /* Replies may come in one packet: read until the last has come. */
    char text[8000];
    size_t used = 0;
    while (used < sizeof text - 1) {
        ssize_t got = recv(raw, text + used, sizeof text - 1 - used, 0);
        ck_assert_int_gt(got, 0);
        used += (size_t)got;
        text[used] = '\0';
        if (strstr(text, "{\"received\":2}"))
            break;
    }
    const char *first = strstr(text, "{\"received\":5}");
    const char *second = strstr(text, "{\"status\":\"ok\"}");
    ck_assert(first && second && first < second);
    close(raw);
}
END_TEST

START_TEST(a_wanted_body_is_invited)
{
    int raw = raw_connect(&server);
    char reply[4000];
    raw_send_text(raw,
                  POST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 100);
    raw_send_text(raw, "abc");
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 200);
    close(raw);
}
END_TEST

START_TEST(endless_headers_are_refused)
{
    int raw = raw_connect(&server);
    char line[1000];
    snprintf(line, sizeof line, "X-Filler: %0900d\r\n", 0);
    raw_send_text(raw, "GET /healthz HTTP/1.1\r\nHost: x\r\n");
    bool open = true;
    for (int i = 0; i < 200 && open; i++)
        open = raw_send_text(raw, line);
    raw_wait_closed(raw);
    close(raw);
    assert_alive();
}
END_TEST

/* Sends a byte now and then until the server has had enough. A server that
 * only measures inactivity never has: the test then runs into its timeout. */
static void drip(const char *beginning, char byte)
{
    int raw = raw_connect(&server);
    const struct timespec pause = {0, 100000000};
    char rest[2000];
    raw_send_text(raw, beginning);
    for (;;) {
        nanosleep(&pause, NULL);
        if (!raw_send(raw, &byte, 1))
            break;
        ssize_t got = recv(raw, rest, sizeof rest, MSG_DONTWAIT);
        if (got == 0)
            break;
    }
    close(raw);
    assert_alive();
}

START_TEST(dripped_requests_are_cut_off)
{
    static const char *const beginnings[] = {
        "", "GET /", GET "X-Slow: ", POST "Content-Length: 1000000\r\n\r\n",
        CLASSIFY "Content-Length: 1000000\r\n\r\n"};
    drip(beginnings[_i], 'a');
}
END_TEST

/* A connection whose request was refused before its body came. */
static int be_refused(void)
{
    char reply[4000];
    int raw = raw_connect(&server);
    raw_send_text(raw, POST "Content-Length: 99999999\r\n\r\n");
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 413);
    return raw;
}

START_TEST(who_is_refused_cannot_send_forever)
{
    /* By drops or by floods: the test's timeout ends what nothing else does. */
    static char flood[1 << 20];
    const struct timespec pause = {0, 100000000};
    size_t sent = 0;
    int raw = be_refused();
    while (raw_send(raw, "a", 1))
        nanosleep(&pause, NULL);
    close(raw);
    raw = be_refused();
    while (raw_send(raw, flood, sizeof flood))
        sent += sizeof flood;
    close(raw);
    /* What the server discards, and room for the kernel's buffers. */
    ck_assert_uint_lt(sent, 2 * SRV_LINGER_BYTES);
    assert_alive();
}
END_TEST

START_TEST(half_a_request_leaves_nothing_behind)
{
    static const char *const halves[] = {
        "", "GE", GET, POST "Content-Length: 10\r\n\r\nabc",
        CLASSIFY "Content-Length: 100000\r\n\r\nabc"};
    double before = exchange_metric(&server, "process_open_fds");
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
            int raw = raw_connect(&server);
            raw_send_text(raw, halves[i]);
            if (round % 2) {
                /* Reset instead of an orderly end. */
                const struct linger now = {1, 0};
                setsockopt(raw, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            }
            close(raw);
        }
    }
    /* The server notices in its own time. */
    while (exchange_metric(&server, "process_open_fds") > before + 2)
        continue;
    assert_alive();
}
END_TEST

START_TEST(an_answer_nobody_waits_for_is_dropped)
{
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes), head[200];
    snprintf(head, sizeof head,
             "POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
             "Content-Type: image/jpeg\r\nContent-Length: %zu\r\n\r\n",
             bytes);
    for (int i = 0; i < 30; i++) {
        int raw = raw_connect(&server);
        raw_send_text(raw, head);
        raw_send(raw, photo, bytes);
        const struct linger now = {1, 0};
        setsockopt(raw, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(raw);
    }
    free(photo);
    assert_alive();
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("framing");
    tcase_add_unchecked_fixture(tests, start, end);
    tcase_add_loop_test(tests, framing_is_strict, 0,
                        (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tests, what_the_library_answers_is_counted);
    tcase_add_test(tests, no_second_request_hides_in_a_body);
    tcase_add_test(tests, pipelined_requests_are_answered_in_order);
    tcase_add_test(tests, a_wanted_body_is_invited);
    tcase_add_test(tests, endless_headers_are_refused);
    tcase_add_loop_test(tests, dripped_requests_are_cut_off, 0, 5);
    tcase_add_test(tests, who_is_refused_cannot_send_forever);
    tcase_add_test(tests, half_a_request_leaves_nothing_behind);
    tcase_add_test(tests, an_answer_nobody_waits_for_is_dropped);
    Suite *suite = suite_create("server framing");
    suite_add_tcase(suite, tests);
    return suite;
}
