/* Bundles with int8 graphs: read, refused, exported and run. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/bundle.h"
#include "nn/nn.h"
#include "tests/nn/mutant.h"
#include "tests/run_suite.h"

#define NODES "document|graphs|tail/w50|nodes|"

static enum api_status parse(const struct mutant *mutant, uint8_t **bytes,
                             struct nn_bundle **bundle, struct api_error *error)
{
    size_t count;
    *bytes = mutant_write(mutant, &count);
    return nn_bundle_parse(*bytes, count, bundle, error);
}

START_TEST(types_are_read)
{
    struct mutant *mutant = mutant_open();
    struct nn_bundle *bundle = NULL;
    struct api_error error = {0};
    uint8_t *bytes;
    mutant_int8(mutant);
    ck_assert_msg(parse(mutant, &bytes, &bundle, &error) == API_OK, "%s",
                  error.text);
    const struct nn_node *nodes = bundle->points[1].tail->nodes;
    ck_assert_int_eq(nodes[0].op, NN_OP_QUANTIZE);
    ck_assert_float_eq(nodes[0].quant.scale, 0.05f);
    ck_assert_uint_eq(nodes[0].quant.zero, 128);
    ck_assert_float_eq(nodes[1].quant.scale, 0.1f);
    ck_assert_uint_eq(nodes[3].quant.zero, 7);
    ck_assert_float_eq(nodes[4].quant.scale, 0.0f);
    ck_assert_int_eq(nodes[9].op, NN_OP_DEQUANTIZE);
    nn_bundle_close(&bundle);
    free(bytes);
    mutant_close(mutant);
}
END_TEST

static const struct {
    const char *path, *text, *reason;
} broken[] = {
    {NODES "0|quant", NULL, "node 0: no quant"},
    {NODES "0|quant", "7", "node 0: quant is no scale"},
    {NODES "0|quant", "[0.1]", "quant is no scale"},
    {NODES "0|quant", "[0,1]", "quant is no scale"},
    {NODES "0|quant", "[-0.1,1]", "quant is no scale"},
    {NODES "0|quant", "[1e-31,1]", "quant is no scale"},
    {NODES "0|quant", "[1e31,1]", "quant is no scale"},
    {NODES "0|quant", "[0.1,256]", "quant is no scale"},
    {NODES "0|quant", "[0.1,-1]", "quant is no scale"},
    {NODES "0|quant", "[0.1,1.5]", "quant is no scale"},
    {NODES "1|quant", "[0.1,3,1]", "node 1: quant is no scale"},
    {NODES "4|quant", "[0.1,3]", "node 4: a member that this op"},
    {NODES "9|quant", "[0.1,3]", "node 9: a member that this op"},
    {NODES "10|quant", "[0.1,3]", "node 10: a member that this op"},
    {NODES "9|act", "\"relu\"", "node 9: a member that this op"},
    {NODES "1|weight", "\"prior.w50-low.cdf\"", "wrong rank"},
};

START_TEST(each_rule_is_kept)
{
    struct mutant *mutant = mutant_open();
    struct nn_bundle *bundle = NULL;
    struct api_error error = {0};
    uint8_t *bytes;
    mutant_int8(mutant);
    mutant_edit(mutant, broken[_i].path, broken[_i].text);
    ck_assert_int_eq(parse(mutant, &bytes, &bundle, &error), API_BAD_BUNDLE);
    ck_assert_msg(strstr(error.text, broken[_i].reason) != NULL, "%s",
                  error.text);
    free(bytes);
    mutant_close(mutant);
}
END_TEST

START_TEST(a_head_keeps_its_types)
{
    struct mutant *mutant = mutant_open();
    struct nn_bundle *bundle = NULL, *part = NULL;
    struct api_error error = {0};
    uint8_t *bytes, *exported;
    size_t count;
    mutant_add(mutant, "int8.head", "I8", "[4,4,4,3]", 192);
    mutant_edit(mutant, "document|graphs|head/w50|nodes",
                "[{\"op\":\"quantize\",\"in\":[0],\"quant\":[0.02,114]},"
                "{\"op\":\"conv\",\"in\":[1],\"weight\":\"int8.head\","
                "\"scale\":\"w50.reduce.scale\",\"stride\":[4,4]}]");
    ck_assert_msg(parse(mutant, &bytes, &bundle, &error) == API_OK, "%s",
                  error.text);
    ck_assert_int_eq(
        nn_bundle_export_head(bundle, false, &exported, &count, NULL), API_OK);
    ck_assert_int_eq(nn_bundle_parse(exported, count, &part, NULL), API_OK);
    const struct nn_node *nodes = part->points[1].head->nodes;
    ck_assert_float_eq(nodes[0].quant.scale, 0.02f);
    ck_assert_uint_eq(nodes[0].quant.zero, 114);
    ck_assert_str_eq(nodes[1].weight->name, "int8.head");
    ck_assert_int_eq(nodes[1].weight->dtype, NN_I8);
    nn_bundle_close(&part);
    nn_bundle_close(&bundle);
    free(exported);
    free(bytes);
    mutant_close(mutant);
}
END_TEST

/* Opens a mutant as a file. */
static enum api_status open_model(const struct mutant *mutant,
                                  struct nn_model **model,
                                  struct api_error *error)
{
    char path[] = "/tmp/cleave-int8-XXXXXX";
    int file = mkstemp(path);
    size_t count;
    uint8_t *bytes = mutant_write(mutant, &count);
    enum api_status status;
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, bytes, count), (ssize_t)count);
    close(file);
    status = nn_model_open(path, model, error);
    unlink(path);
    free(bytes);
    return status;
}

START_TEST(an_int8_tail_runs)
{
    struct mutant *mutant = mutant_open();
    struct nn_model *model = NULL;
    struct nn_context *context = NULL;
    struct api_error error = {0};
    float latent[8 * 8 * 4], odds[10], total = 0;
    mutant_int8(mutant);
    ck_assert_msg(open_model(mutant, &model, &error) == API_OK, "%s",
                  error.text);
    ck_assert_int_eq(nn_context_open(model, &context, NULL), API_OK);
    for (int i = 0; i < 8 * 8 * 4; i++)
        latent[i] = (float)(i % 17) / 4 - 2;
    ck_assert_int_eq(nn_run_tail(context, 1, latent, odds), API_OK);
    for (int i = 0; i < 10; i++)
        total += odds[i];
    ck_assert_float_eq_tol(total, 1.0f, 1e-5f);
    nn_context_close(&context);
    nn_model_close(&model);
    mutant_close(mutant);
}
END_TEST

/* What only the planner sees: opening the model refuses it. */
START_TEST(types_that_disagree_are_refused)
{
    struct mutant *mutant = mutant_open();
    struct nn_model *model = NULL;
    struct api_error error = {0};
    mutant_int8(mutant);
    mutant_edit(mutant, NODES "3|quant", NULL);
    ck_assert_int_eq(open_model(mutant, &model, &error), API_BAD_BUNDLE);
    ck_assert_ptr_nonnull(
        strstr(error.text, "graph tail/w50, node 3: two U8 inputs need quant"));
    mutant_close(mutant);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("int8 bundles");
    TCase *cases = tcase_create("int8 bundles");
    tcase_add_test(cases, types_are_read);
    tcase_add_loop_test(cases, each_rule_is_kept, 0,
                        sizeof broken / sizeof *broken);
    tcase_add_test(cases, a_head_keeps_its_types);
    tcase_add_test(cases, an_int8_tail_runs);
    tcase_add_test(cases, types_that_disagree_are_refused);
    suite_add_tcase(suite, cases);
    return suite;
}
