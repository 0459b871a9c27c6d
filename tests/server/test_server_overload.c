/* Too much at once, deadlines, and the end under load. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "model_rig.h"
#include "raw_socket.h"
#include "running_server.h"
#include "tests/run_suite.h"

static const char running[] = "cleave_inflight_requests";
static const char waiting[] = "cleave_queue_depth";
static const char computed[] =
    "cleave_inference_duration_seconds_count{model=\"tiny\","
    "version=\"0.1.0\",point=\"offload\"}";

static struct running_server server;
static uint8_t *slow;
static size_t slow_bytes;

static void prepare(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    slow = slow_jpeg(&slow_bytes);
}

static void clean(void)
{
    free(slow);
    curl_global_cleanup();
}

/* A request in a thread of its own. */
struct errand {
    pthread_t thread;
    const char *path;
    struct exchange exchange;
};

static atomic_uint errands_ended;

static void *run_errand(void *argument)
{
    struct errand *errand = argument;
    exchange_send(NULL, &server, "POST", errand->path, JPEG_TYPE, slow,
                  slow_bytes, &errand->exchange);
    atomic_fetch_add(&errands_ended, 1);
    return NULL;
}

static void begin(struct errand *errand, const char *path)
{
    errand->path = path;
    ck_assert_int_eq(pthread_create(&errand->thread, NULL, run_errand, errand),
                     0);
}

/* Waits for the answer and returns its code. Only `allowed` is right, or 200.
 */
static long finish(struct errand *errand, enum api_status allowed)
{
    pthread_join(errand->thread, NULL);
    long code = errand->exchange.code;
    if (code != 200)
        exchange_assert_problem(&errand->exchange, allowed);
    exchange_free(&errand->exchange);
    return code;
}

/* How fast a worker is against this test is anyone's guess on a busy machine.
 * So what needs a busy worker is tried until one was busy; a server that never
 * does what it should runs into the test's timeout. */

START_TEST(a_full_queue_refuses_and_health_answers)
{
    enum { COUNT = 6 };
    static struct errand errands[COUNT];
    struct exchange exchange;
    unsigned refused = 0;
    bool health_answered_beside_work = false;
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--queue", "2",
                                       "--deadline-ms", "100000", NULL});
    while (refused == 0 || !health_answered_beside_work) {
        for (int i = 0; i < COUNT; i++)
            begin(&errands[i], "/v1/classify");
        while (!atomic_load(&errands_ended)) {
            bool busy = exchange_metric(&server, running) == 1;
            exchange_get(&server, "/healthz", &exchange);
            ck_assert_int_eq(exchange.code, 200);
            exchange_free(&exchange);
            if (busy && exchange_metric(&server, running) == 1)
                health_answered_beside_work = true;
        }
        for (int i = 0; i < COUNT; i++)
            refused += finish(&errands[i], API_OVERLOADED) == 503;
        atomic_store(&errands_ended, 0);
    }
    ck_assert_double_eq(
        exchange_metric(&server,
                        "cleave_rejected_total{reason=\"queue_full\"}"),
        refused);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(what_waits_too_long_is_dropped)
{
    static struct errand blockers[2];
    struct exchange hasty;
    long code;
    /* The deadline is the request's own, or the server's if that is less. */
    const char *path =
        _i ? "/v1/classify?deadline_ms=3600000" : "/v1/classify?deadline_ms=1";
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--deadline-ms",
                                       _i ? "1" : "100000", NULL});
    do {
        begin(&blockers[0], "/v1/classify");
        begin(&blockers[1], "/v1/classify");
        while (!atomic_load(&errands_ended) &&
               exchange_metric(&server, running) < 1)
            continue;
        exchange_send(NULL, &server, "POST", path, JPEG_TYPE, "x", 1, &hasty);
        code = hasty.code;
        exchange_assert_problem(&hasty,
                                code == 504 ? API_DEADLINE : API_UNPROCESSABLE);
        exchange_free(&hasty);
        finish(&blockers[0], API_DEADLINE);
        finish(&blockers[1], API_DEADLINE);
        atomic_store(&errands_ended, 0);
    } while (code != 504);
    ck_assert_double_ge(
        exchange_metric(&server, "cleave_rejected_total{reason=\"deadline\"}"),
        1);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

/* Sends a photo that is none on a connection of its own, while the only worker
 * is busy; returns that connection. */
static int queue_behind(struct errand blockers[2], const char *header)
{
    char text[300];
    begin(&blockers[0], "/v1/classify");
    begin(&blockers[1], "/v1/classify");
    while (!atomic_load(&errands_ended) &&
           exchange_metric(&server, running) < 1)
        continue;
    int raw = raw_connect(&server);
    snprintf(text, sizeof text,
             "POST /v1/classify HTTP/1.1\r\nHost: x\r\n%s"
             "Content-Type: image/jpeg\r\nContent-Length: 1\r\n\r\nx",
             header);
    raw_send_text(raw, text);
    return raw;
}

static void end_blockers(struct errand blockers[2])
{
    finish(&blockers[0], API_OVERLOADED);
    finish(&blockers[1], API_OVERLOADED);
    atomic_store(&errands_ended, 0);
}

START_TEST(a_header_sets_the_deadline)
{
    static struct errand blockers[2];
    char reply[1000];
    int code;
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--deadline-ms",
                                       "100000", NULL});
    do {
        int raw = queue_behind(blockers, "X-Request-Timeout-Ms: 1\r\n");
        code = raw_reply(raw, reply, sizeof reply);
        ck_assert(code == 504 || code == 422);
        close(raw);
        end_blockers(blockers);
    } while (code != 504);
    int raw = raw_connect(&server);
    raw_send_text(raw, "POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
                       "X-Request-Timeout-Ms: 0\r\nContent-Length: 1\r\n\r\nx");
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 400);
    ck_assert_ptr_nonnull(strstr(reply, "X-Request-Timeout-Ms"));
    close(raw);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(nothing_is_computed_for_who_went_away)
{
    static struct errand blockers[2];
    static const char abandoned[] =
        "cleave_rejected_total{reason=\"abandoned\"}";
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--deadline-ms",
                                       "100000", NULL});
    while (exchange_metric(&server, abandoned) == 0) {
        int raw = queue_behind(blockers, "");
        close(raw);
        end_blockers(blockers);
    }
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(one_client_may_only_queue_so_much)
{
    enum { COUNT = 6 };
    static struct errand errands[COUNT];
    unsigned refused = 0;
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--client-queue", "1",
                                       "--deadline-ms", "100000", NULL});
    while (refused == 0) {
        for (int i = 0; i < COUNT; i++)
            begin(&errands[i], "/v1/classify");
        for (int i = 0; i < COUNT; i++)
            refused += finish(&errands[i], API_QUOTA) == 429;
    }
    atomic_store(&errands_ended, 0);
    ck_assert_double_eq(
        exchange_metric(&server, "cleave_rejected_total{reason=\"quota\"}"),
        refused);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(a_short_drain_refuses_what_waits)
{
    enum { COUNT = 6 };
    static struct errand errands[COUNT];
    unsigned refused = 0;
    while (refused == 0) {
        server_start(&server,
                     (const char *const[]){"--workers", "1", "--drain-ms", "0",
                                           "--deadline-ms", "100000", NULL});
        for (int i = 0; i < COUNT; i++)
            begin(&errands[i], "/v1/classify");
        while (!atomic_load(&errands_ended) &&
               exchange_metric(&server, waiting) < 2)
            continue;
        ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
        for (int i = 0; i < COUNT; i++) {
            pthread_join(errands[i].thread, NULL);
            long code = errands[i].exchange.code;
            /* 0: its upload was not through when the server ended. */
            ck_assert(code == 200 || code == 503 || code == 0);
            refused += code == 503;
            exchange_free(&errands[i].exchange);
        }
        atomic_store(&errands_ended, 0);
        ck_assert_int_eq(server_end(&server, 0), 0);
    }
}
END_TEST

/* Opens a request whose body is still to come, and returns when the server has
 * accepted it. */
static int accepted_request(const char *path, size_t body_bytes)
{
    char text[300];
    int raw = raw_connect(&server);
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
             "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
             path, body_bytes);
    raw_send_text(raw, text);
    ck_assert_int_eq(raw_reply(raw, text, sizeof text), 100);
    return raw;
}

START_TEST(accepted_requests_survive_the_end)
{
    enum { COUNT = 8 };
    int accepted[COUNT];
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes), reply[4000];
    server_start(&server, (const char *const[]){"--drain-ms", "100000", NULL});
    for (int i = 0; i < COUNT; i++)
        accepted[i] = accepted_request("/v1/classify", bytes);
    ck_assert_int_eq(kill(server.pid, SIGTERM), 0);

    /* Who comes now is told so; and health still answers. */
    struct exchange exchange;
    exchange_get(&server, "/readyz", &exchange);
    while (exchange.code == 200) {
        exchange_free(&exchange);
        exchange_get(&server, "/readyz", &exchange);
    }
    exchange_assert_problem(&exchange, API_OVERLOADED);
    ck_assert(exchange_header(&exchange, "Connection", NULL, 0));
    exchange_free(&exchange);
    exchange_get(&server, "/healthz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
    exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                  bytes, &exchange);
    exchange_assert_problem(&exchange, API_OVERLOADED);
    exchange_free(&exchange);

    for (int i = 0; i < COUNT; i++)
        raw_send(accepted[i], photo, bytes);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(raw_reply(accepted[i], reply, sizeof reply), 200);
        ck_assert_ptr_nonnull(strstr(reply, "Connection: close"));
        close(accepted[i]);
    }
    ck_assert_int_eq(server_end(&server, 0), 0);
    free(photo);
}
END_TEST

START_TEST(a_second_signal_ends_the_patience)
{
    server_start(&server, (const char *const[]){"--drain-ms", "3600000",
                                                "--request-timeout-ms",
                                                "3600000", NULL});
    int accepted = accepted_request("/v1/probe", 10);
    ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
    struct exchange exchange = {.code = 200};
    while (exchange.code == 200) { /* until it drains */
        exchange_get(&server, "/readyz", &exchange);
        exchange_free(&exchange);
    }
    ck_assert_int_eq(server_end(&server, SIGINT), 0);
    raw_wait_closed(accepted);
    close(accepted);
}
END_TEST

START_TEST(idle_servers_end_at_once)
{
    server_start(&server, (const char *const[]){"--drain-ms", "3600000", NULL});
    int idle = raw_connect(&server);
    char reply[1000];
    raw_send_text(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_eq(raw_reply(idle, reply, sizeof reply), 200);
    ck_assert_int_eq(server_end(&server, _i ? SIGINT : SIGTERM), 0);
    raw_wait_closed(idle);
    close(idle);
}
END_TEST

START_TEST(bodies_share_their_memory)
{
    /* One body takes all there is: no other finds room until it is done. */
    enum { BYTES = 16 << 20 };
    char *bytes = calloc(1, BYTES), reply[4000];
    struct exchange exchange;
    server_start(&server, (const char *const[]){"--body-memory-bytes",
                                                "16777216", NULL});
    int large = accepted_request("/v1/classify", BYTES);
    raw_send(large, bytes, BYTES - 1);
    long code;
    do {
        exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, "x", 1,
                      &exchange);
        code = exchange.code;
        exchange_assert_problem(&exchange, code == 503 ? API_OVERLOADED
                                                       : API_UNPROCESSABLE);
        exchange_free(&exchange);
    } while (code != 503);
    raw_send(large, bytes, 1);
    ck_assert_int_eq(raw_reply(large, reply, sizeof reply), 422);
    /* Its memory is free when its exchange is over, a moment after. */
    do {
        exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, "x", 1,
                      &exchange);
        code = exchange.code;
        exchange_free(&exchange);
    } while (code != 422);
    ck_assert_double_ge(
        exchange_metric(&server, "cleave_rejected_total{reason=\"memory\"}"),
        1);
    close(large);
    free(bytes);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

static atomic_bool storm_over;

static void *storm(void *argument)
{
    unsigned *answers = argument;
    CURL *curl = curl_easy_init();
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    while (!atomic_load(&storm_over)) {
        struct exchange exchange;
        exchange_send(curl, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                      bytes, &exchange);
        /* Full or draining is an answer; so is a port that is gone. */
        ck_assert_msg(exchange.code == 200 || exchange.code == 503 ||
                          exchange.code == 0,
                      "HTTP %ld: %s", exchange.code, exchange.body);
        answers[0] += exchange.code == 200;
        if (exchange.code == 0)
            atomic_store(&storm_over, true);
        exchange_free(&exchange);
    }
    free(photo);
    curl_easy_cleanup(curl);
    return NULL;
}

START_TEST(a_storm_ends_in_order)
{
    enum { THREADS = 12 };
    pthread_t threads[THREADS];
    unsigned answers[THREADS] = {0}, sum = 0;
    server_start(&server, (const char *const[]){"--queue", "4", NULL});
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, storm, &answers[i]),
                         0);
    while (exchange_metric(&server, computed) < 200)
        continue;
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += answers[i];
    }
    ck_assert_uint_ge(sum, 190);
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("overload");
    tcase_add_unchecked_fixture(tests, prepare, clean);
    tcase_add_test(tests, a_full_queue_refuses_and_health_answers);
    tcase_add_loop_test(tests, what_waits_too_long_is_dropped, 0, 2);
    tcase_add_test(tests, a_header_sets_the_deadline);
    tcase_add_test(tests, nothing_is_computed_for_who_went_away);
    tcase_add_test(tests, one_client_may_only_queue_so_much);
    tcase_add_test(tests, a_short_drain_refuses_what_waits);
    tcase_add_test(tests, accepted_requests_survive_the_end);
    tcase_add_test(tests, a_second_signal_ends_the_patience);
    tcase_add_loop_test(tests, idle_servers_end_at_once, 0, 2);
    tcase_add_test(tests, bodies_share_their_memory);
    tcase_add_test(tests, a_storm_ends_in_order);
    Suite *suite = suite_create("server overload");
    suite_add_tcase(suite, tests);
    return suite;
}
