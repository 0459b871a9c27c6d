/* Too much at once, deadlines, and the end under load. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "model_rig.h"
#include "raw_socket.h"
#include "running_server.h"

static const char running[] = "cleave_inflight_requests";
static const char waiting[] = "cleave_queue_depth";

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

static void *run_errand(void *argument)
{
    struct errand *errand = argument;
    exchange_send(NULL, &server, "POST", errand->path, JPEG_TYPE, slow,
                  slow_bytes, &errand->exchange);
    return NULL;
}

static void begin(struct errand *errand, const char *path)
{
    errand->path = path;
    ck_assert_int_eq(pthread_create(&errand->thread, NULL, run_errand, errand),
                     0);
}

static void finish(struct errand *errand, enum api_status status)
{
    pthread_join(errand->thread, NULL);
    if (status == API_OK)
        ck_assert_msg(errand->exchange.code == 200, "HTTP %ld: %s",
                      errand->exchange.code, errand->exchange.body);
    else
        exchange_assert_problem(&errand->exchange, status);
    exchange_free(&errand->exchange);
}

/* Polls until workers compute `computing` and `queued` requests wait. */
static void wait_for(unsigned computing, unsigned queued)
{
    while (exchange_metric(&server, running) < computing ||
           exchange_metric(&server, waiting) < queued)
        continue;
}

START_TEST(a_full_queue_refuses_and_health_answers)
{
    static struct errand errands[3];
    struct exchange exchange;
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--queue", "2", NULL});
    begin(&errands[0], "/v1/classify");
    wait_for(1, 0);
    begin(&errands[1], "/v1/classify");
    begin(&errands[2], "/v1/classify");
    wait_for(1, 2);
    exchange_get(&server, "/healthz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
    exchange_get(&server, "/readyz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
    exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, "x", 1,
                  &exchange);
    exchange_assert_problem(&exchange, API_OVERLOADED);
    ck_assert_ptr_nonnull(strstr(exchange.body, "queue is full"));
    exchange_free(&exchange);
    /* All of that while the worker was at its first picture. */
    ck_assert_double_eq(exchange_metric(&server, waiting), 2);
    for (int i = 0; i < 3; i++)
        finish(&errands[i], API_OK);
    ck_assert_double_eq(
        exchange_metric(&server,
                        "cleave_rejected_total{reason=\"queue_full\"}"),
        1);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(what_waits_too_long_is_dropped)
{
    static struct errand blocker, hasty;
    server_start(&server, (const char *const[]){"--workers", "1", NULL});
    begin(&blocker, "/v1/classify");
    wait_for(1, 0);
    begin(&hasty, "/v1/classify?deadline_ms=1");
    finish(&hasty, API_DEADLINE);
    finish(&blocker, API_OK);
    ck_assert_double_eq(
        exchange_metric(&server, "cleave_rejected_total{reason=\"deadline\"}"),
        1);
    ck_assert_double_eq(
        exchange_metric(&server, "cleave_inference_duration_seconds_count"), 1);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(the_servers_own_deadline_holds)
{
    static struct errand blocker, hasty;
    server_start(&server, (const char *const[]){"--workers", "1",
                                                "--deadline-ms", "1", NULL});
    begin(&blocker, "/v1/classify");
    wait_for(1, 0);
    begin(&hasty, "/v1/classify?deadline_ms=3600000");
    finish(&hasty, API_DEADLINE);
    pthread_join(blocker.thread, NULL); /* 200, or 504 on a busy machine */
    exchange_free(&blocker.exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(accepted_requests_survive_the_end)
{
    static struct errand errands[6];
    server_start(&server,
                 (const char *const[]){"--workers", "2", "--drain-ms", "100000",
                                       "--deadline-ms", "100000", NULL});
    for (int i = 0; i < 6; i++)
        begin(&errands[i], "/v1/classify");
    wait_for(2, 4);
    ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
    /* Who comes now is told so; and health still answers. */
    struct exchange exchange;
    do {
        exchange_get(&server, "/readyz", &exchange);
        if (exchange.code == 200)
            exchange_free(&exchange);
    } while (exchange.code == 200);
    exchange_assert_problem(&exchange, API_OVERLOADED);
    ck_assert(exchange_header(&exchange, "Connection", NULL, 0));
    exchange_free(&exchange);
    exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, "x", 1,
                  &exchange);
    exchange_assert_problem(&exchange, API_OVERLOADED);
    exchange_free(&exchange);
    for (int i = 0; i < 6; i++)
        finish(&errands[i], API_OK);
    ck_assert_int_eq(server_end(&server, 0), 0);
}
END_TEST

START_TEST(a_short_drain_refuses_what_waits)
{
    static struct errand errands[4];
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--drain-ms", "0",
                                       "--deadline-ms", "100000", NULL});
    begin(&errands[0], "/v1/classify");
    wait_for(1, 0);
    for (int i = 1; i < 4; i++)
        begin(&errands[i], "/v1/classify");
    wait_for(1, 3);
    ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
    /* Three at least waited behind the first, which is computed to its end. */
    unsigned answered = 0, refused = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(errands[i].thread, NULL);
        answered += errands[i].exchange.code == 200;
        refused += errands[i].exchange.code == 503;
        exchange_free(&errands[i].exchange);
    }
    ck_assert_uint_eq(answered + refused, 4);
    ck_assert_uint_ge(refused, 1);
    ck_assert_int_eq(server_end(&server, 0), 0);
}
END_TEST

START_TEST(a_second_signal_ends_the_patience)
{
    static struct errand errands[4];
    server_start(&server, (const char *const[]){"--workers", "1", "--drain-ms",
                                                "3600000", NULL});
    /* A request that never completes would hold the drain for an hour, were
     * its own time not longer still. */
    int raw = raw_connect(&server);
    raw_send_text(raw, "GET /healthz HTTP/1.1\r\n");
    begin(&errands[0], "/v1/classify");
    wait_for(1, 0);
    ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
    finish(&errands[0], API_OK);
    ck_assert_int_eq(server_end(&server, SIGINT), 0);
    raw_wait_closed(raw);
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
    while (exchange_metric(&server, "cleave_inference_duration_seconds_count") <
           200)
        continue;
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += answers[i];
    }
    ck_assert_uint_ge(sum, 190);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("overload");
    tcase_add_unchecked_fixture(tests, prepare, clean);
    tcase_add_test(tests, a_full_queue_refuses_and_health_answers);
    tcase_add_test(tests, what_waits_too_long_is_dropped);
    tcase_add_test(tests, the_servers_own_deadline_holds);
    tcase_add_test(tests, accepted_requests_survive_the_end);
    tcase_add_test(tests, a_short_drain_refuses_what_waits);
    tcase_add_test(tests, a_second_signal_ends_the_patience);
    tcase_add_loop_test(tests, idle_servers_end_at_once, 0, 2);
    tcase_add_test(tests, a_storm_ends_in_order);
    Suite *suite = suite_create("server overload");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
