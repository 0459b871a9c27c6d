/* Priors with contexts in a bundle: taken, refused, exported, coded with. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "nn/latent.h"
#include "tests/nn/dice.h"
#include "tests/nn/mutant.h"
#include "tests/run_suite.h"

#define PRIOR "document|priors|w50-low|"

/* The tiny bundle whose first prior, of 4 channels, takes the 8 tables of
 * another as two for each channel. */
static struct mutant *open_contexts(const char *weight_type,
                                    const char *weight_shape,
                                    size_t weight_bytes,
                                    const char *limit_shape, size_t limits)
{
    struct mutant *mutant = mutant_open();
    mutant_add(mutant, "weight", weight_type, weight_shape, weight_bytes);
    mutant_add(mutant, "limit", "I32", limit_shape, limits * 4);
    mutant_edit(mutant, PRIOR "cdf", "\"prior.w100-low.cdf\"");
    mutant_edit(mutant, PRIOR "cdf_start", "\"prior.w100-low.cdf_start\"");
    mutant_edit(mutant, PRIOR "context_weight", "\"weight\"");
    mutant_edit(mutant, PRIOR "context_limit", "\"limit\"");
    return mutant;
}

static struct mutant *open_good(void)
{
    return open_contexts("I8", "[3,4,4]", 48, "[4,1]", 4);
}

/* The bundle borrows *bytes. */
static enum api_status parse(const struct mutant *mutant, uint8_t **bytes,
                             struct nn_bundle **bundle, struct api_error *error)
{
    size_t count;
    *bytes = mutant_write(mutant, &count);
    return nn_bundle_parse(*bytes, count, bundle, error);
}

static void refused(const struct mutant *mutant, const char *reason)
{
    uint8_t *bytes;
    struct nn_bundle *bundle = NULL;
    struct api_error error = {0};
    ck_assert_int_eq(parse(mutant, &bytes, &bundle, &error), API_BAD_BUNDLE);
    ck_assert_ptr_null(bundle);
    ck_assert_msg(strstr(error.text, reason) != NULL, "%s", error.text);
    free(bytes);
}

static const struct {
    const char *weight_type, *weight_shape;
    size_t weight_bytes;
    const char *limit_shape;
    size_t limits;
    const char *reason;
} shapes[] = {
    {"U8", "[3,4,4]", 48, "[4,1]", 4, "no list of its type"},
    {"I32", "[3,4,4]", 192, "[4,1]", 4, "no list of its type"},
    {"I8", "[12,4]", 48, "[4,1]", 4, "no list of its type"},
    {"I8", "[3,4,4]", 48, "[4]", 4, "no list of its type"},
    {"I8", "[2,4,4]", 32, "[4,1]", 4, "do not agree"},
    {"I8", "[3,5,4]", 60, "[4,1]", 4, "do not agree"},
    {"I8", "[3,4,3]", 36, "[4,1]", 4, "do not agree"},
    {"I8", "[3,4,4]", 48, "[3,1]", 3, "do not agree"},
    {"I8", "[3,4,4]", 48, "[4,2]", 8, "do not agree"},
    {"I8", "[3,4,4]", 48, "[4,1024]", 4096, "beyond their limits"},
};

START_TEST(shapes_that_do_not_fit_are_refused)
{
    struct mutant *mutant = open_contexts(
        shapes[_i].weight_type, shapes[_i].weight_shape,
        shapes[_i].weight_bytes, shapes[_i].limit_shape, shapes[_i].limits);
    refused(mutant, shapes[_i].reason);
    mutant_close(mutant);
}
END_TEST

START_TEST(half_a_context_is_refused)
{
    static const struct {
        const char *path, *text, *reason;
    } rows[] = {
        {PRIOR "context_weight", NULL, "missing"},
        {PRIOR "context_limit", NULL, "missing"},
        {PRIOR "context_weight", "7", "missing"},
        {PRIOR "context_limit", "\"absent\"", "missing"},
        {PRIOR "cdf_start", "\"prior.w50-low.cdf_start\"", "do not agree"},
        {PRIOR "cdf", "\"prior.w50-low.cdf\"", "does not span"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mutant *mutant = open_good();
        mutant_edit(mutant, rows[i].path, rows[i].text);
        refused(mutant, rows[i].reason);
        mutant_close(mutant);
    }
    /* And tables for contexts that are not there. */
    struct mutant *mutant = open_good();
    mutant_edit(mutant, PRIOR "context_weight", NULL);
    mutant_edit(mutant, PRIOR "context_limit", NULL);
    refused(mutant, "do not agree");
    mutant_close(mutant);
}
END_TEST

START_TEST(every_table_is_checked)
{
    struct mutant *mutant = open_good();
    mutant_poke(mutant, "prior.w100-low.cdf_start", 7, 0xFFFFFFFF);
    refused(mutant, "does not rise by 2");
    mutant_close(mutant);
}
END_TEST

static void check_coding(const struct nn_bundle *bundle)
{
    const struct nn_bundle_point *point = &bundle->points[1];
    size_t count = nn_latent_count(point), packed;
    size_t bound = nn_latent_payload_bound(point);
    float *latent = malloc(count * sizeof *latent);
    float *got = malloc(count * sizeof *got);
    uint8_t *payload = malloc(bound), *again = malloc(bound);
    void *scratch = malloc(nn_latent_scratch_bytes(point));
    uint64_t seed = 61;
    for (size_t i = 0; i < count; i++)
        latent[i] = (float)dice_below(&seed, 400) / 50.0f - 4.0f;
    ck_assert_int_eq(
        nn_latent_pack(point, latent, scratch, payload, bound, &packed),
        API_OK);
    ck_assert_int_eq(
        nn_latent_unpack(point, payload, packed, scratch, got, NULL), API_OK);
    size_t repacked;
    ck_assert_int_eq(
        nn_latent_pack(point, got, scratch, again, bound, &repacked), API_OK);
    ck_assert_uint_eq(repacked, packed);
    ck_assert_mem_eq(again, payload, packed);
    free(scratch);
    free(again);
    free(payload);
    free(got);
    free(latent);
}

START_TEST(any_weights_and_limits_code)
{
    uint64_t seed = 67;
    for (int round = 0; round < 50; round++) {
        struct mutant *mutant = open_good();
        for (size_t i = 0; i < 12; i++)
            mutant_poke(mutant, "weight", i, (uint32_t)dice(&seed));
        for (size_t i = 0; i < 4; i++)
            mutant_poke(mutant, "limit", i,
                        round == 0 ? 0x80000000
                                   : dice_below(&seed, 4000) - 2000);
        uint8_t *bytes;
        struct nn_bundle *bundle = NULL;
        struct api_error error = {0};
        ck_assert_msg(parse(mutant, &bytes, &bundle, &error) == API_OK, "%s",
                      error.text);
        ck_assert_uint_eq(bundle->points[1].prior->contexts, 2);
        ck_assert_uint_eq(bundle->points[3].prior->contexts, 1);
        check_coding(bundle);
        nn_bundle_close(&bundle);
        free(bytes);
        mutant_close(mutant);
    }
}
END_TEST

START_TEST(a_head_keeps_its_contexts)
{
    struct mutant *mutant = open_good();
    mutant_poke(mutant, "weight", 3, 0x01020304);
    mutant_poke(mutant, "limit", 2, 99);
    uint8_t *bytes, *part_bytes;
    size_t part_count;
    struct nn_bundle *whole = NULL, *part = NULL;
    ck_assert_int_eq(parse(mutant, &bytes, &whole, NULL), API_OK);
    ck_assert_int_eq(
        nn_bundle_export_head(whole, false, &part_bytes, &part_count, NULL),
        API_OK);
    ck_assert_int_eq(nn_bundle_parse(part_bytes, part_count, &part, NULL),
                     API_OK);
    const struct nn_prior *theirs = whole->points[1].prior;
    const struct nn_prior *mine = part->points[1].prior;
    ck_assert_uint_eq(mine->contexts, 2);
    ck_assert_mem_eq(mine->context_weight, theirs->context_weight, 48);
    ck_assert_mem_eq(mine->context_limit, theirs->context_limit, 16);
    for (int from = 0; from < 4; from++) /* unused ones read as 0 */
        for (int to = 0; to <= from; to++)
            ck_assert_int_eq(mine->context_weight[(8 + from) * 4 + to], 0);
    check_coding(part);
    nn_bundle_close(&part);
    nn_bundle_close(&whole);
    free(part_bytes);
    free(bytes);
    mutant_close(mutant);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("bundle_context");
    tcase_add_loop_test(cases, shapes_that_do_not_fit_are_refused, 0,
                        sizeof shapes / sizeof *shapes);
    tcase_add_test(cases, half_a_context_is_refused);
    tcase_add_test(cases, every_table_is_checked);
    tcase_add_test(cases, any_weights_and_limits_code);
    tcase_add_test(cases, a_head_keeps_its_contexts);
    Suite *suite = suite_create("bundle_context");
    suite_add_tcase(suite, cases);
    return suite;
}
