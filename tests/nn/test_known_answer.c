/* Known answers at one CPU level: kept by good bundles, missed by damaged ones,
 * and hostile ones refused. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/known_answer.h"
#include "tests/nn/mutant.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

#define DEFAULT CLEAVE_SOURCE_DIR "/models/default.safetensors"
#define ANSWER "document|graphs|tail/w100|known_answer"

static struct nn_model *open_mutant(const struct mutant *mutant,
                                    uint8_t **bytes)
{
    size_t count;
    struct nn_model *model = NULL;
    struct api_error error = {0};
    *bytes = mutant_write(mutant, &count);
    ck_assert_msg(nn_model_open_bytes(*bytes, count, &model, &error) == API_OK,
                  "%s", error.text);
    return model;
}

/* Runs a server's side of a point on its known input; what the check says. */
static enum api_status ask(const struct nn_model *model, uint16_t point,
                           bool *known, struct api_error *error)
{
    const struct nn_input *input = nn_model_input(model);
    struct nn_context *context = NULL;
    uint8_t *pixels = calloc((size_t)input->width * input->height, 3);
    float *latent = calloc(nn_latent_values(model, point) + 1, sizeof *latent);
    float *odds = calloc(nn_model_class_count(model), sizeof *odds);
    ck_assert_int_eq(nn_context_open(model, &context, error), API_OK);
    *known = nn_known_input(model, point, pixels, latent);
    ck_assert_int_eq(nn_model_point(model, point)->kind == API_POINT_SPLIT
                         ? nn_run_tail(context, point, latent, odds)
                         : nn_run_full(context, point, pixels, odds),
                     API_OK);
    enum api_status status = nn_known_check(model, point, odds, error);
    nn_context_close(&context);
    free(odds);
    free(latent);
    free(pixels);
    return status;
}

static void assert_all_hold(const struct nn_model *model)
{
    struct api_error error = {0};
    for (uint16_t i = 0; i < nn_model_point_count(model); i++) {
        bool known, served = nn_model_has_tail(model, i);
        enum api_status status =
            served ? ask(model, i, &known, &error) : API_OK;
        ck_assert_msg(status == API_OK, "%s: %s", nn_model_point(model, i)->id,
                      error.text);
    }
}

START_TEST(bytes_are_those_of_the_generator)
{
    const uint8_t expected[6] = {60, 94, 129, 180, 12, 94};
    const struct nn_known_answer known = {.seed = 1, .shift = 3};
    uint8_t pixels[7] = {[6] = 77};
    float latent[7] = {[6] = 77};
    nn_known_pixels(&known, pixels, 6);
    nn_known_latent(&known, latent, 6);
    ck_assert_mem_eq(pixels, expected, 6);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(latent[i], (float)(expected[i] - 128) / 8);
    ck_assert_uint_eq(pixels[6], 77);
    ck_assert_float_eq(latent[6], 77);
}
END_TEST

START_TEST(an_answer_is_right_within_its_tolerance)
{
    const struct nn_known_answer known = {
        .count = 2, .tolerance = 0.125f, .top = {{3, 0.5f}, {1, 0.25f}}};
    float odds[4] = {0, 0.28125f, 0, 0.4375f};
    struct api_error error = {0};
    ck_assert_int_eq(nn_known_compare(&known, odds, &error), API_OK);
    odds[1] = 0.2813f;
    ck_assert_int_eq(nn_known_compare(&known, odds, &error), API_BAD_BUNDLE);
    ck_assert_ptr_nonnull(strstr(error.text, "class 1 has"));
    ck_assert_ptr_nonnull(strstr(error.text, "0.2813"));
    ck_assert_ptr_nonnull(strstr(error.text, "0.25"));
    odds[1] = NAN;
    ck_assert_int_eq(nn_known_compare(&known, odds, &error), API_BAD_BUNDLE);
}
END_TEST

START_TEST(good_bundles_keep_theirs)
{
    struct mutant *mutant = mutant_open();
    uint8_t *bytes;
    struct api_error error = {0};
    struct nn_model *model = open_mutant(mutant, &bytes);
    for (uint16_t i = 0; i < nn_model_point_count(model); i++) {
        bool known = false;
        if (nn_model_has_tail(model, i)) {
            ask(model, i, &known, &error);
            ck_assert(known);
        } else {
            ck_assert(!nn_known_input(model, i, NULL, NULL));
        }
    }
    assert_all_hold(model);
    nn_model_close(&model);
    free(bytes);
    mutant_close(mutant);

    ck_assert_int_eq(nn_model_open(DEFAULT, &model, &error), API_OK);
    assert_all_hold(model);
    nn_model_close(&model);
}
END_TEST

START_TEST(damaged_weights_are_noticed)
{
    struct mutant *mutant = mutant_open();
    uint8_t *bytes;
    bool known;
    struct api_error error = {0};
    mutant_poke(mutant, "w100.reduce.scale", 0, 0x3F000000);
    struct nn_model *model = open_mutant(mutant, &bytes);
    int offload = nn_model_point_find(model, "offload");
    int split = nn_model_point_find(model, "w100-low");
    ck_assert_int_eq(ask(model, (uint16_t)offload, &known, &error),
                     API_BAD_BUNDLE);
    /* The tail does not use that tensor. */
    ck_assert_int_eq(ask(model, (uint16_t)split, &known, &error), API_OK);
    nn_model_close(&model);
    free(bytes);

    mutant_poke(mutant, "middle", 0, 0);
    model = open_mutant(mutant, &bytes);
    ck_assert_int_eq(ask(model, (uint16_t)split, &known, &error),
                     API_BAD_BUNDLE);
    nn_model_close(&model);
    free(bytes);
    mutant_close(mutant);
}
END_TEST

START_TEST(a_bundle_may_know_nothing)
{
    struct mutant *mutant = mutant_open();
    uint8_t *bytes;
    bool known = true;
    struct api_error error = {0};
    mutant_edit(mutant, ANSWER, NULL);
    mutant_poke(mutant, "middle", 0, 0);
    struct nn_model *model = open_mutant(mutant, &bytes);
    int split = nn_model_point_find(model, "w100-low");
    ck_assert_int_eq(ask(model, (uint16_t)split, &known, &error), API_OK);
    ck_assert(!known);
    nn_model_close(&model);
    free(bytes);
    mutant_close(mutant);
}
END_TEST

static const struct {
    const char *path, *text, *reason;
} broken[] = {
    {ANSWER, "7", "seed"},
    {ANSWER "|seed", NULL, "seed"},
    {ANSWER "|seed", "-1", "seed"},
    {ANSWER "|seed", "4294967296", "seed"},
    {ANSWER "|shift", NULL, "shift"},
    {ANSWER "|shift", "31", "shift"},
    {ANSWER "|shift", "1.5", "shift"},
    {ANSWER "|tolerance", NULL, "tolerance"},
    {ANSWER "|tolerance", "0", "tolerance"},
    {ANSWER "|tolerance", "1e9", "tolerance"},
    {ANSWER "|top", NULL, "top is no list"},
    {ANSWER "|top", "{}", "top is no list"},
    {ANSWER "|top", "[]", "top is no list"},
    {ANSWER "|top",
     "[[0,1],[1,1],[2,1],[3,1],[4,1],[5,1],[6,1],[7,1],[8,1]]",
     "top is no list"},
    {ANSWER "|top|0", "3", "no class"},
    {ANSWER "|top|0", "[3]", "no class"},
    {ANSWER "|top|0", "[10,0.5]", "no class"},
    {ANSWER "|top|0", "[-1,0.5]", "no class"},
    {ANSWER "|top|0", "[1,0]", "no class"},
    {ANSWER "|top|0", "[1,1.5]", "no class"},
    {ANSWER "|top|0", "[1,\"0.5\"]", "no class"},
};

START_TEST(each_rule_is_kept)
{
    struct mutant *mutant = mutant_open();
    size_t count;
    struct nn_bundle *bundle = NULL;
    struct api_error error = {0};
    mutant_edit(mutant, broken[_i].path, broken[_i].text);
    uint8_t *bytes = mutant_write(mutant, &count);
    ck_assert_int_eq(nn_bundle_parse(bytes, count, &bundle, &error),
                     API_BAD_BUNDLE);
    ck_assert_msg(strstr(error.text, broken[_i].reason) != NULL, "%s",
                  error.text);
    ck_assert_ptr_nonnull(strstr(error.text, "tail/w100"));
    free(bytes);
    mutant_close(mutant);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("known_answer");
    TCase *cases = tcase_create("known_answer");
    reference_level(); /* ends the program where the CPU lacks the level */
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, bytes_are_those_of_the_generator);
    tcase_add_test(cases, an_answer_is_right_within_its_tolerance);
    tcase_add_test(cases, good_bundles_keep_theirs);
    tcase_add_test(cases, damaged_weights_are_noticed);
    tcase_add_test(cases, a_bundle_may_know_nothing);
    tcase_add_loop_test(cases, each_rule_is_kept, 0,
                        sizeof broken / sizeof *broken);
    suite_add_tcase(suite, cases);
    return suite;
}
