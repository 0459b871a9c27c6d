/* The sample photos by every point of the default bundle, JPEG to classes,
 * against what PyTorch answered. */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/nn.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

#define DEFAULT CLEAVE_SOURCE_DIR "/models/default.safetensors"
#define ANSWERS CLEAVE_SOURCE_DIR "/tests/data/default_golden.json"

/* A value of the latent on the border between two symbols may be rounded the
 * other way by another order of additions; that moves a probability a little.
 */
#define TOLERANCE 0.01

static void *get(size_t bytes)
{
    void *memory = malloc(bytes);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

static size_t read_sample(const char *name, uint8_t *bytes, size_t capacity)
{
    char path[512];
    FILE *file;
    size_t count;

    snprintf(path, sizeof path, "%s/models/samples/%s", CLEAVE_SOURCE_DIR,
             name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    count = fread(bytes, 1, capacity, file);
    fclose(file);
    return count;
}

static void run_point(struct nn_model *model, struct nn_context *context,
                      uint16_t point, const uint8_t *pixels,
                      float *probabilities)
{
    size_t values = nn_latent_values(model, point), bytes = 0;
    size_t bound = nn_latent_bound(model, point);
    float *latent = get((values + 1) * sizeof(float));
    uint8_t *payload = get(bound + 1);

    if (nn_model_point(model, point)->kind == API_POINT_SPLIT) {
        ck_assert_int_eq(nn_run_head(context, point, pixels, latent), API_OK);
        ck_assert_int_eq(
            nn_latent_encode(context, point, latent, payload, bound, &bytes),
            API_OK);
        ck_assert_int_eq(
            nn_latent_decode(context, point, payload, bytes, latent, NULL),
            API_OK);
        ck_assert_int_eq(nn_run_tail(context, point, latent, probabilities),
                         API_OK);
    } else {
        ck_assert_int_eq(nn_run_full(context, point, pixels, probabilities),
                         API_OK);
    }
    free(payload);
    free(latent);
}

static void compare(const char *picture, const char *point,
                    const json_t *expected, const float *probabilities,
                    uint32_t classes)
{
    const json_t *top = json_object_get(expected, "top");
    const json_t *values = json_object_get(expected, "probability");
    struct nn_class best;
    size_t first;

    ck_assert_uint_gt(json_array_size(top), 0);
    ck_assert_uint_eq(json_array_size(top), json_array_size(values));
    for (size_t i = 0; i < json_array_size(top); i++) {
        size_t index = (size_t)json_integer_value(json_array_get(top, i));
        double value = json_number_value(json_array_get(values, i));

        ck_assert_uint_lt(index, classes);
        if (!(fabs(probabilities[index] - value) <= TOLERANCE))
            ck_abort_msg("%s by %s: class %zu has %.6f instead of %.6f",
                         picture, point, index, (double)probabilities[index],
                         value);
    }
    ck_assert_uint_eq(nn_top(probabilities, classes, &best, 1), 1);
    first = (size_t)json_integer_value(json_array_get(top, 0));
    if (best.index != first &&
        best.probability - probabilities[first] > 2 * TOLERANCE)
        ck_abort_msg("%s by %s: class %u instead of %zu", picture, point,
                     best.index, first);
}

START_TEST(samples_match_pytorch)
{
    struct nn_model *model = NULL;
    struct nn_context *context = NULL;
    json_t *answers = json_load_file(ANSWERS, 0, NULL);
    json_t *pictures = json_object_get(answers, "pictures"), *points;
    uint8_t *jpeg = get(API_LIMIT_JPEG_BYTES);
    const struct nn_input *input;
    const char *picture, *id, *made_by;
    char fingerprint[17];
    uint8_t *pixels;
    float *probabilities;
    json_t *expected;
    /* Scalar code under a sanitizer takes seconds for each point. */
    size_t pictures_left =
        reference_level() == &nn_kernels_scalar ? 1 : SIZE_MAX;

    ck_assert_int_eq(nn_model_open(DEFAULT, &model, NULL), API_OK);
    ck_assert_int_eq(nn_context_open(model, &context, NULL), API_OK);
    ck_assert_uint_gt(json_object_size(pictures), 0);
    snprintf(fingerprint, sizeof fingerprint, "%016llx",
             (unsigned long long)nn_model_fingerprint(model));
    made_by = json_string_value(json_object_get(answers, "fingerprint"));
    ck_assert_str_eq(fingerprint, made_by);
    input = nn_model_input(model);
    pixels = get((size_t)input->width * input->height * 3);
    probabilities = get(nn_model_class_count(model) * sizeof(float));
    json_object_foreach(pictures, picture, points)
    {
        size_t bytes = read_sample(picture, jpeg, API_LIMIT_JPEG_BYTES);
        struct api_error error = {0};

        if (pictures_left-- == 0)
            break;
        ck_assert_msg(
            nn_picture_from_jpeg(input, jpeg, bytes, pixels, &error) == API_OK,
            "%s: %s", picture, error.text);
        ck_assert_uint_eq(json_object_size(points),
                          nn_model_point_count(model));
        json_object_foreach(points, id, expected)
        {
            int point = nn_model_point_find(model, id);

            ck_assert_int_ge(point, 0);
            run_point(model, context, (uint16_t)point, pixels, probabilities);
            compare(picture, id, expected, probabilities,
                    nn_model_class_count(model));
        }
    }
    free(probabilities);
    free(pixels);
    free(jpeg);
    nn_context_close(&context);
    nn_model_close(&model);
    json_decref(answers);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("samples");
    TCase *cases = tcase_create("samples");

    reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_test(cases, samples_match_pytorch);
    suite_add_tcase(suite, cases);
    return suite;
}
