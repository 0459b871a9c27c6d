/* Int8 graphs that can be parsed but not run: all are refused. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "nn/int8.h"
#include "nn/plan.h"
#include "tests/nn/int8_net.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

/* One flaw each in a graph that is otherwise fine. */

struct flawed {
    struct net *net; /* quantize, conv, add to itself, dequantize */
    struct nn_tensor changed;
    float number;
    int8_t lowest[8];
};

static void no_scale(struct flawed *f)
{
    f->net->nodes[1].scale = NULL;
}
static void float_weights(struct flawed *f)
{
    f->changed = *f->net->nodes[1].weight;
    f->changed.dtype = NN_F16;
    f->net->nodes[1].weight = &f->changed;
}
static void groups(struct flawed *f)
{
    f->changed = *f->net->nodes[1].weight;
    f->changed.dims[3] = 4;
    f->net->nodes[1].weight = &f->changed;
    f->net->nodes[1].inch.to = 4;
    f->net->nodes[1].groups = 2;
}
static void dilation(struct flawed *f)
{
    f->net->nodes[1].dilation[1] = 2;
}
static void curve(struct flawed *f)
{
    f->net->nodes[1].act = NN_ACT_SILU;
}
static void curve_of_a_sum(struct flawed *f)
{
    f->net->nodes[2].act = NN_ACT_GELU;
}
static void sum_without_quant(struct flawed *f)
{
    f->net->nodes[2].quant = (struct nn_quant){0};
}
static void mixed_sum(struct flawed *f)
{
    f->net->nodes[2].in[1] = 0;
}
static void far_scales(struct flawed *f)
{
    f->net->nodes[1].quant.scale = 1e20f;
    f->net->nodes[2].quant.scale = 1e-20f;
}
static void far_pool(struct flawed *f)
{
    far_scales(f);
    f->net->nodes[2].op = NN_OP_GLOBAL_AVGPOOL;
    f->net->nodes[2].in_count = 1;
}
static void bytes_out(struct flawed *f)
{
    f->net->graph.node_count = 3;
}
static void float_op(struct flawed *f)
{
    f->net->nodes[3].op = NN_OP_SOFTMAX;
}
static void quantized_twice(struct flawed *f)
{
    f->net->nodes[1] = net_node(NN_OP_QUANTIZE, 1);
    f->net->nodes[1].quant = net_quant();
}
static void floats_dequantized(struct flawed *f)
{
    f->net->nodes[0] = net_node(NN_OP_DEQUANTIZE, 0);
}
static void quant_of_floats(struct flawed *f)
{
    f->net->nodes[1].in[0] = 0;
}
static void too_deep(struct flawed *f)
{
    f->changed = *f->net->nodes[1].weight;
    f->changed.dims[1] = f->changed.dims[2] = 92; /* times 8 */
    f->net->graph.input[0] = f->net->graph.input[1] = 92;
    f->net->nodes[1].weight = &f->changed;
    f->net->graph.node_count = 2;
    f->net->nodes[1].quant = (struct nn_quant){0};
}
static void too_wide_a_pool(struct flawed *f)
{
    f->net->graph.input[0] = f->net->graph.input[1] = 3000;
    f->net->graph.input[2] = 1;
    f->net->nodes[1] = net_node(NN_OP_GLOBAL_AVGPOOL, 1);
    f->net->graph.node_count = 2;
}
static void infinite_scale(struct flawed *f)
{
    f->number = INFINITY;
}
static void huge_scale(struct flawed *f)
{
    f->number = 3e38f;
    f->net->nodes[1].quant.scale = 1e-9f;
}
static void lowest_weight(struct flawed *f)
{
    memset(f->lowest, 1, sizeof f->lowest);
    f->lowest[5] = -128;
    f->changed = tensor_of(NN_I8, f->lowest, 3, 1, 1, 8, 1);
    f->net->nodes[1].op = NN_OP_DWCONV;
    f->net->nodes[1].weight = &f->changed;
}

static const struct {
    void (*spoil)(struct flawed *f);
    const char *reason;
} flaws[] = {
    {no_scale, "node 1: a U8 input needs a scale"},
    {float_weights, "node 1: a U8 input needs an I8 weight"},
    {groups, "node 1: an int8 conv has neither groups nor dilation"},
    {dilation, "node 1: an int8 conv has neither groups nor dilation"},
    {curve, "node 1: act does not go with quant"},
    {curve_of_a_sum, "node 2: act does not go with quant"},
    {sum_without_quant, "node 2: two U8 inputs need quant"},
    {mixed_sum, "node 2: an input is U8 where F32 is wanted"},
    {far_scales, "node 2: the scales are too far apart"},
    {far_pool, "node 2: the scales are too far apart"},
    {bytes_out, "node 2: the graph's output is U8"},
    {float_op, "node 3: this op takes no U8 input"},
    {quantized_twice, "node 1: an input is U8 where F32 is wanted"},
    {floats_dequantized, "node 0: the input is F32 where U8 is wanted"},
    {quant_of_floats, "node 1: quant does not go with F32 inputs"},
    {too_deep, "node 1: sums of this many products may overflow"},
    {too_wide_a_pool, "node 1: sums of this many values may overflow"},
    {infinite_scale, "out of range"},
    {huge_scale, "out of range"},
    {lowest_weight, "out of range"},
};

enum { FLAWS = sizeof flaws / sizeof flaws[0] };

static enum api_status plan_status(const struct nn_graph *graph,
                                   struct api_error *error)
{
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    enum api_status status;

    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    status = nn_plan_build(graph, level, weights, &plan, error);
    ck_assert((status == API_OK) == (plan != NULL));
    nn_plan_close(&plan);
    nn_weights_close(&weights);
    return status;
}

START_TEST(flawed_graphs_are_refused)
{
    struct flawed f = {.net = net_open(3, 3, 8)};
    struct nn_node node = net_weighted(f.net, NN_OP_CONV, 1, 8, 1, 1);
    struct nn_tensor scale = *node.scale;
    struct api_error error = {0};

    net_append(f.net, &node);
    node = net_node(NN_OP_ADD, 2);
    node.in_count = 2;
    node.quant = net_quant();
    net_append(f.net, &node);
    net_dequantize(f.net);
    ck_assert_int_eq(plan_status(&f.net->graph, &error), API_OK);
    flaws[_i].spoil(&f);
    if (f.number > 0) {
        float scales[8] = {f.number, 1, 1, 1, 1, 1, 1, 1};

        scale.data = (const uint8_t *)scales;
        f.net->nodes[1].scale = &scale;
        ck_assert_int_eq(plan_status(&f.net->graph, &error), API_BAD_BUNDLE);
    } else {
        ck_assert_int_eq(plan_status(&f.net->graph, &error), API_BAD_BUNDLE);
    }
    ck_assert_msg(strstr(error.text, flaws[_i].reason) != NULL, "%s",
                  error.text);
    f.net->graph.node_count = 4;
    net_close(f.net);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("int8 refusals");
    TCase *cases = tcase_create("int8 refusals");

    level = reference_level();
    tcase_add_loop_test(cases, flawed_graphs_are_refused, 0, FLAWS);
    suite_add_tcase(suite, cases);
    return suite;
}
