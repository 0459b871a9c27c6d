/* The device's own answer, begun while the server may still give one. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/clock.h"
#include "fake_server.h"
#include "scratch.h"
#include "tests/run_suite.h"

/* Beyond a deadline: what is allowed, and what sanitizers on
 * a busy machine take. */
#define LATE_MOST_MS 50
#define MACHINE_MS 150

static char directory[SCRATCH_PATH_BYTES];
static struct fake_server server;
static struct cleave *handle;
static struct cleave_error error;
static struct cleave_result result;
static char *head, *models;

static const char answer[] =
    "{\"model\":\"tiny\",\"version\":\"1\",\"point\":\"offload\",\"top\":["
    "{\"index\":1,\"label\":\"one\",\"probability\":0.75}]}";

/* A server that classifies so, and a device that believes it needs `alone_ms`
 * for the whole network. */
static void start(enum fake_conduct conduct, int hedge, double alone_ms)
{
    size_t head_bytes;
    head = scratch_head(1, &head_bytes);
    models = scratch_models(0);
    scratch_make(directory);
    const struct fake_route routes[] = {
        {.path = "/v1/models/tiny/head",
         .code = 200,
         .body = head,
         .body_bytes = head_bytes},
        {.path = "/v1/models/tiny/classify",
         .conduct = conduct,
         .code = 200,
         .body = answer,
         .body_bytes = strlen(answer)},
        {.path = "/v1/models",
         .code = 200,
         .body = models,
         .body_bytes = strlen(models)},
    };
    fake_start(&server, routes, 3);
    const struct cleave_options options = {
        .server_url = server.url, .cache_dir = directory, .hedge = hedge};
    ck_assert_msg(cleave_open(&options, &handle, &error) == CLEAVE_OK, "%s",
                  error.text);
    handle->decider.device.point_ms[cli_client_local_point(handle)] =
        (struct cli_estimate){.mean = alone_ms, .samples = 100};
}

static void tear_down(void)
{
    cleave_close(&handle);
    fake_stop(&server);
    free(head);
    free(models);
    scratch_remove(directory);
}

/* How long a picture took that goes to the server first. */
static double offload(unsigned deadline_ms)
{
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    double start_ms = cli_now_ms();
    ck_assert_msg(cleave_classify(handle, jpeg, bytes, "offload", deadline_ms,
                                  &result, &error) == CLEAVE_OK,
                  "%s", error.text);
    return cli_now_ms() - start_ms;
}

/* Holds the device as another picture would. */
static void *occupy_device(void *context)
{
    const double *for_ms = context;
    cli_client_lock(handle);
    cli_client_take_device(handle);
    cli_client_unlock(handle);
    cli_sleep_ms(*for_ms);
    cli_client_give_device(handle);
    return NULL;
}

START_TEST(test_a_stalling_server_costs_no_deadline)
{
    /* The device believes that it can make it alone, and that it cannot. */
    start(FAKE_HANG, 1, _i == 0 ? 200 : 5000);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_lt(offload(600), 600 + LATE_MOST_MS + MACHINE_MS);
        ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
        ck_assert_str_eq(result.point, "local");
        ck_assert_uint_gt(result.top_count, 0);
    }
}
END_TEST

/* The device is to begin 400 ms before the deadline, but is busy for long; the
 * server answers after half a second. */
START_TEST(test_the_first_answer_counts)
{
    static double busy_ms = 1500;
    pthread_t other;
    start(FAKE_LATE, _i, 400);
    ck_assert_int_eq(pthread_create(&other, NULL, occupy_device, &busy_ms), 0);
    cli_sleep_ms(50);
    double took_ms = offload(700);
    if (_i == 1) {
        ck_assert_msg(result.via == CLEAVE_VIA_OFFLOAD, "%s", result.reason);
        ck_assert_double_lt(took_ms, 700 + LATE_MOST_MS + MACHINE_MS);
        /* Meanwhile the device is still wanted by nobody: no second hedge, but
         * the picture is answered, and so it is after that. */
        offload(700);
    } else {
        ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
        ck_assert_double_gt(took_ms, 1000); /* what the hedge is good for */
    }
    pthread_join(other, NULL);
    offload(2000);
    ck_assert_msg(result.via == CLEAVE_VIA_OFFLOAD, "%s", result.reason);
}
END_TEST

START_TEST(test_a_quick_server_leaves_the_device_alone)
{
    start(FAKE_REPLY, 1, 100);
    for (int i = 0; i < 20; i++) {
        ck_assert_double_lt(offload(2000), 1000);
        ck_assert_int_eq(result.via, CLEAVE_VIA_OFFLOAD);
    }
    ck_assert_uint_eq(handle->decider.decode_ms.samples, 0);
    ck_assert_ptr_null(handle->stragglers);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("hedge");
    TCase *group = tcase_create("hedge");
    tcase_add_checked_fixture(group, NULL, tear_down);
    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, test_a_stalling_server_costs_no_deadline, 0, 2);
    tcase_add_loop_test(group, test_the_first_answer_counts, 0, 2);
    tcase_add_test(group, test_a_quick_server_leaves_the_device_alone);
    suite_add_tcase(suite, group);
    return suite;
}
