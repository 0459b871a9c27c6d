/* Points that send the picture as a smaller JPEG of some quality. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/cleave.h"
#include "fake_server.h"
#include "scratch.h"
#include "tests/nn/mutant.h"
#include "tests/run_suite.h"

static char directory[SCRATCH_PATH_BYTES], bundle[SCRATCH_PATH_BYTES];
static struct fake_server server;
static struct cleave *handle;
static struct cleave_error error;
static struct cleave_result result;
static const char *jpeg;
static size_t jpeg_bytes;

static const char answer[] =
    "{\"model\":\"tiny\",\"version\":\"1\",\"point\":\"offload\",\"top\":["
    "{\"index\":1,\"label\":\"one\",\"probability\":0.75}]}";

/* The tiny bundle with two qualities more. */
static void write_bundle(void)
{
    struct mutant *mutant = mutant_open();
    mutant_edit(mutant, "document|points|+",
                "{\"id\": \"offload-q90\", \"kind\": \"offload\", "
                "\"graph\": \"full\", \"quality\": 90, "
                "\"bytes_mean\": 2000, \"top1\": 0.6}");
    mutant_edit(mutant, "document|points|+",
                "{\"id\": \"offload-q20\", \"kind\": \"offload\", "
                "\"graph\": \"full\", \"quality\": 20, "
                "\"bytes_mean\": 700, \"top1\": 0.5}");
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
    jpeg = scratch_jpeg(&jpeg_bytes);
    char *models = scratch_models(0); /* {"models":[ one ]} */
    const char *model = strchr(models, '[') + 1;
    const struct fake_route routes[] = {{.path = "/v1/models/tiny/classify",
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

static size_t sent_by(const char *point)
{
    ck_assert_msg(cleave_classify(handle, jpeg, jpeg_bytes, point, 0, &result,
                                  &error) == CLEAVE_OK,
                  "%s", error.text);
    ck_assert_msg(result.via == CLEAVE_VIA_OFFLOAD, "%s", result.reason);
    ck_assert_str_eq(result.point, point);
    return result.bytes_sent;
}

START_TEST(test_the_point_decides_what_is_sent)
{
    ck_assert_uint_eq(sent_by("offload"), jpeg_bytes);
    ck_assert_double_eq(result.device_ms, 0);
    size_t high = sent_by("offload-q90");
    ck_assert_double_gt(result.device_ms, 0);
    size_t low = sent_by("offload-q20");
    ck_assert_uint_lt(high, jpeg_bytes / 4); /* 36 x 36 pixels of it */
    ck_assert_uint_lt(low, high);
    ck_assert_uint_gt(low, 100);
    ck_assert_uint_eq(server.hits[0], 3);
}
END_TEST

START_TEST(test_a_small_picture_is_sent_as_it_is)
{
    sent_by("offload-q20");
    /* Encoded again at a better quality it would grow. */
    struct nn_input input = {
        .width = 36, .height = 36, .resize_shorter = 36, .bicubic = false};
    uint8_t pixels[36 * 36 * 3], *small = NULL;
    size_t small_bytes;
    ck_assert_int_eq(nn_picture_from_jpeg(&input, (const uint8_t *)jpeg,
                                          jpeg_bytes, pixels, NULL),
                     API_OK);
    ck_assert_int_eq(
        nn_picture_to_jpeg(pixels, 36, 36, 10, &small, &small_bytes, NULL),
        API_OK);
    jpeg = (const char *)small;
    jpeg_bytes = small_bytes;
    ck_assert_uint_eq(sent_by("offload-q90"), small_bytes);
    free(small);
}
END_TEST

START_TEST(test_points_tell_their_quality)
{
    struct cleave_point points[64];
    size_t count = 0, again = 0;
    ck_assert_int_eq(cleave_points(handle, points, 64, &count, &error),
                     CLEAVE_OK);
    for (size_t i = 0; i < count; i++) {
        if (points[i].quality == 0)
            continue;
        again++;
        ck_assert_str_eq(points[i].kind, "offload");
        ck_assert(points[i].quality == 90 || points[i].quality == 20);
    }
    ck_assert_uint_eq(again, 2);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("qualities");
    TCase *group = tcase_create("qualities");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, test_the_point_decides_what_is_sent);
    tcase_add_test(group, test_a_small_picture_is_sent_as_it_is);
    tcase_add_test(group, test_points_tell_their_quality);
    suite_add_tcase(suite, group);
    return suite;
}
