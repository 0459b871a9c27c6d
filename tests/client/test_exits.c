/* A point's early exit: the share that it keeps, and pictures that it answers.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "fake_server.h"
#include "scratch.h"
#include "tests/nn/mutant.h"
#include "tests/run_suite.h"

static char directory[SCRATCH_PATH_BYTES], bundle[SCRATCH_PATH_BYTES];
static struct fake_server server;
static struct cleave *handle;
static struct cleave_error error;
static struct cleave_result result;

static const char answer[] =
    "{\"model\":\"tiny\",\"version\":\"1\",\"point\":\"w50-high\",\"top\":["
    "{\"index\":1,\"label\":\"one\",\"probability\":0.75}]}";

/* The tiny bundle; point 1 has an exit that is always sure, point 2 one that
 * never is. Their tail serves for it. */
static void write_bundle(void)
{
    struct mutant *mutant = mutant_open();
    mutant_edit(mutant, "document|points|1|exit",
                "{\"graph\": \"tail/w50\", \"threshold\": 1e-6, "
                "\"share\": 0.25}");
    mutant_edit(mutant, "document|points|2|exit",
                "{\"graph\": \"tail/w50\", \"threshold\": 1}");
    size_t bytes;
    uint8_t *file = mutant_write(mutant, &bytes);
    scratch_join(bundle, directory, "bundle.safetensors");
    scratch_write(bundle, file, bytes);
    free(file);
    mutant_close(mutant);
}

static void set_up(void)
{
    scratch_make(directory);
    write_bundle();
    char *models = scratch_models(0); /* {"models":[ one ]} */
    const char *model = strchr(models, '[') + 1;
    const struct fake_route routes[] = {{.path = "/v1/models/tiny/tail",
                                         .code = 200,
                                         .body = answer,
                                         .body_bytes = strlen(answer)},
                                        {.path = "/v1/models/tiny",
                                         .code = 200,
                                         .body = model,
                                         .body_bytes = strlen(model) - 2}};
    fake_start(&server, routes, 2);
    free(models);
    const struct cleave_options options = {.server_url = server.url,
                                           .bundle_path = bundle};
    ck_assert_msg(cleave_open(&options, &handle, &error) == CLEAVE_OK, "%s",
                  error.text);
}

static void tear_down(void)
{
    cleave_close(&handle);
    fake_stop(&server);
    scratch_remove(directory);
}

static void classify(const char *point)
{
    size_t jpeg_bytes;
    const char *jpeg = scratch_jpeg(&jpeg_bytes);
    ck_assert_msg(cleave_classify(handle, jpeg, jpeg_bytes, point, 0, &result,
                                  &error) == CLEAVE_OK,
                  "%s", error.text);
    ck_assert_str_eq(result.point, point);
    ck_assert_str_eq(result.reason, "asked for");
    ck_assert_double_gt(result.device_ms, 0);
}

START_TEST(test_what_is_sure_is_not_sent)
{
    classify("w50-low");
    ck_assert_int_eq(result.via, CLEAVE_VIA_EXIT);
    ck_assert_str_eq(cleave_via_name(result.via), "exit");
    ck_assert_uint_eq(result.bytes_sent, 0);
    ck_assert_double_eq(result.link_ms, 0);
    ck_assert_double_eq(result.server_ms, 0);
    ck_assert_uint_eq(result.top_count, 5);
    ck_assert_uint_eq(server.hits[0], 0);
    classify("w50-high");
    ck_assert_int_eq(result.via, CLEAVE_VIA_SPLIT);
    ck_assert_uint_gt(result.bytes_sent, 0);
    ck_assert_uint_eq(result.top[0].index, 1);
    ck_assert_uint_eq(server.hits[0], 1);
}
END_TEST

START_TEST(test_both_ways_are_learnt)
{
    const struct cli_decider *decider = &handle->decider;
    const struct api_point *points = handle->model.points;
    for (int i = 0; i < 20; i++) {
        classify("w50-low");
        classify("w50-high");
    }
    ck_assert_double_gt(cli_exits_share(&decider->exits, 1, &points[1]), 0.5);
    ck_assert_double_eq(cli_exits_share(&decider->exits, 2, &points[2]), 0);
    ck_assert_uint_eq(decider->device.point_ms[1].samples, 20);
    /* Nothing was learnt of the link by what stayed. */
    ck_assert_uint_eq(decider->server.point_ms[1].samples, 0);
}
END_TEST

START_TEST(test_points_tell_their_exits)
{
    struct cleave_point points[64];
    size_t count = 0;
    ck_assert_int_eq(cleave_points(handle, points, 64, &count, &error),
                     CLEAVE_OK);
    ck_assert_double_eq(points[1].exit_threshold, 1e-6);
    ck_assert_double_eq(points[1].exit_share, 0.25);
    ck_assert_double_eq(points[2].exit_threshold, 1);
    ck_assert_double_lt(points[2].exit_share, 0);
    ck_assert_double_eq(points[3].exit_threshold, 0);
}
END_TEST

/* The share begins as measured and becomes what is seen, slowly. */
START_TEST(test_share_is_measured_then_seen)
{
    static struct cli_exits exits; /* zero */
    const struct api_point point = {.exit_threshold = 0.8,
                                    .exit_share = 0.4,
                                    .bytes_mean = 600},
                           plain = {.bytes_mean = 600};
    ck_assert_double_eq(cli_exits_share(&exits, 0, &point), 0.4);
    ck_assert_double_eq(cli_exits_share(NULL, 0, &plain), 0);
    ck_assert_double_eq_tol(cli_exits_body_bytes(&point), 1000, 1e-9);
    ck_assert_double_eq(cli_exits_body_bytes(&plain), 600);
    cli_exits_observe(&exits, 0, true);
    ck_assert_double_lt(cli_exits_share(&exits, 0, &point), 0.45);
    for (int i = 0; i < 2000; i++)
        cli_exits_observe(&exits, 0, i % 10 != 0);
    ck_assert_double_eq_tol(cli_exits_share(&exits, 0, &point), 0.86, 0.03);
    ck_assert_double_eq(cli_exits_share(&exits, 1, &point), 0.4);
    for (int i = 0; i < 2000; i++)
        cli_exits_observe(&exits, 0, false);
    ck_assert_double_lt(cli_exits_share(&exits, 0, &point), 0.05);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("exits");
    TCase *group = tcase_create("device"), *share = tcase_create("share");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, test_what_is_sure_is_not_sent);
    tcase_add_test(group, test_both_ways_are_learnt);
    tcase_add_test(group, test_points_tell_their_exits);
    tcase_add_test(share, test_share_is_measured_then_seen);
    suite_add_tcase(suite, group);
    suite_add_tcase(suite, share);
    return suite;
}
