/* A split point's exit, a classifier on the latent as the head wrote it: runs,
 * goes to devices with the head, and fits or is refused. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn.h"
#include "tests/nn/mutant.h"
#include "tests/nn/rig.h"
#include "tests/run_suite.h"

#define EXITING "w50-low" /* point 1 */
#define EXIT(graph)                                                            \
    "{\"graph\": \"" graph "\", \"threshold\": 0.75, \"share\": 0.25}"

static uint8_t *bytes;
static struct nn_model *model;
static struct nn_context *context;
static float *latent, *odds, *expected;

/* The tiny bundle, with a tail for an exit; what opening it says. */
static enum api_status open_with(const char *exit, struct api_error *error)
{
    struct mutant *mutant = mutant_open();
    size_t count;
    mutant_edit(mutant, "document|points|1|exit", exit);
    bytes = mutant_write(mutant, &count);
    mutant_close(mutant);
    return nn_model_open_bytes(bytes, count, &model, error);
}

static void set_up(void)
{
    struct api_error error = {0};
    ck_assert_msg(open_with(EXIT("tail/w50"), &error) == API_OK, "%s",
                  error.text);
    ck_assert_int_eq(nn_context_open(model, &context, &error), API_OK);
    size_t values = 1;
    for (uint16_t i = 0; i < nn_model_point_count(model); i++)
        if (nn_latent_values(model, i) > values)
            values = nn_latent_values(model, i);
    latent = rig_memory(values * sizeof *latent);
    odds = rig_memory(nn_model_class_count(model) * sizeof *odds);
    expected = rig_memory(nn_model_class_count(model) * sizeof *expected);
}

static void tear_down(void)
{
    free(expected);
    free(odds);
    free(latent);
    nn_context_close(&context);
    nn_model_close(&model);
    free(bytes);
}

static uint16_t point(const struct nn_model *of, const char *id)
{
    int index = nn_model_point_find(of, id);
    ck_assert_int_ge(index, 0);
    return (uint16_t)index;
}

START_TEST(it_reads_what_the_head_wrote)
{
    const struct nn_input *input = nn_model_input(model);
    uint8_t *pixels = calloc((size_t)input->width * input->height, 3);
    uint16_t exiting = point(model, EXITING);
    ck_assert_double_eq(nn_model_point(model, exiting)->exit_threshold, 0.75);
    ck_assert_double_eq(nn_model_point(model, exiting)->exit_share, 0.25);
    ck_assert_int_eq(nn_run_head(context, exiting, pixels, latent), API_OK);
    bool sure;
    ck_assert_int_eq(nn_run_exit(context, exiting, latent, odds, &sure),
                     API_OK);
    struct nn_class best;
    nn_top(odds, nn_model_class_count(model), &best, 1);
    ck_assert_int_eq(sure, best.probability >= 0.75f);
    ck_assert_int_eq(nn_run_tail(context, exiting, latent, expected), API_OK);
    ck_assert_mem_eq(odds, expected,
                     nn_model_class_count(model) * sizeof *odds);
    free(pixels);
}
END_TEST

START_TEST(points_without_one_have_none)
{
    uint16_t count = nn_model_point_count(model);
    bool sure;
    for (uint16_t i = 0; i < count; i++) {
        if (i == point(model, EXITING))
            continue;
        ck_assert_double_eq(nn_model_point(model, i)->exit_threshold, 0);
        ck_assert_int_eq(nn_run_exit(context, i, latent, odds, &sure),
                         API_UNAVAILABLE);
    }
    ck_assert_int_eq(nn_run_exit(context, count, latent, odds, &sure),
                     API_NOT_FOUND);
}
END_TEST

START_TEST(devices_get_it_with_the_head)
{
    uint8_t *part;
    size_t count;
    struct nn_model *device = NULL;
    struct nn_context *own = NULL;
    struct api_error error = {0};
    ck_assert_int_eq(nn_model_export_head(model, false, &part, &count, &error),
                     API_OK);
    ck_assert_msg(nn_model_open_bytes(part, count, &device, &error) == API_OK,
                  "%s", error.text);
    ck_assert_int_eq(nn_context_open(device, &own, &error), API_OK);
    uint16_t exiting = point(device, EXITING);
    for (size_t i = 0; i < nn_latent_values(device, exiting); i++)
        latent[i] = (float)(i % 7) - 3;
    bool sure[2];
    ck_assert_int_eq(nn_run_exit(context, exiting, latent, expected, &sure[0]),
                     API_OK);
    ck_assert_int_eq(nn_run_exit(own, exiting, latent, odds, &sure[1]), API_OK);
    ck_assert_int_eq(sure[0], sure[1]);
    ck_assert_mem_eq(odds, expected,
                     nn_model_class_count(model) * sizeof *odds);
    ck_assert(!nn_model_has_tail(device, point(device, "w100-low")));
    nn_context_close(&own);
    nn_model_close(&device);
    free(part);
}
END_TEST

START_TEST(one_that_gives_no_classes_is_refused)
{
    static const char graph[] =
        "{\"input\": [8, 8, 4], \"nodes\": [{\"op\": \"global_avgpool\", "
        "\"in\": [0]}, {\"op\": \"softmax\", \"in\": [1]}]}";
    struct mutant *mutant = mutant_open();
    struct api_error error = {0};
    size_t count;
    mutant_edit(mutant, "document|graphs|exit/w50", graph);
    mutant_edit(mutant, "document|points|1|exit", EXIT("exit/w50"));
    bytes = mutant_write(mutant, &count);
    mutant_close(mutant);
    ck_assert_int_eq(nn_model_open_bytes(bytes, count, &model, &error),
                     API_BAD_BUNDLE);
    ck_assert_msg(strstr(error.text, "another shape"), "%s", error.text);
    free(bytes);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("exit");
    TCase *runs = tcase_create("runs"), *refusals = tcase_create("refusals");
    tcase_add_checked_fixture(runs, set_up, tear_down);
    tcase_add_test(runs, it_reads_what_the_head_wrote);
    tcase_add_test(runs, points_without_one_have_none);
    tcase_add_test(runs, devices_get_it_with_the_head);
    tcase_add_test(refusals, one_that_gives_no_classes_is_refused);
    suite_add_tcase(suite, runs);
    suite_add_tcase(suite, refusals);
    return suite;
}
