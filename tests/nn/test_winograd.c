/* Winograd's convolutions against plain sums, and which convolutions are so. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "nn/plan.h"
#include "tests/nn/reference.h"
#include "tests/nn/rig.h"
#include "tests/nn/run_plan.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

/* Of the weights' channels, those in front of what a node uses. */
enum { OUT_FROM = 2, IN_FROM = 3 };

struct picture {
    struct conv_shape shape;
    uint32_t outputs;
    enum nn_act act;
};

/* Whole tiles and cut ones, windows over one edge or both, panels of all
 * widths, the deepest, and more tiles than a block has. */
static const struct picture pictures[] = {
    {{12, 12, 16, 3, 3, 1, 1, 1, 1, 1, 1}, 16, NN_ACT_RELU},
    {{13, 15, 32, 3, 3, 1, 1, 1, 1, 1, 1}, 48, NN_ACT_NONE},
    {{11, 14, 16, 3, 3, 1, 1, 0, 2, 2, 0}, 80, NN_ACT_SILU},
    {{2, 30, 16, 3, 3, 1, 1, 9, 7, 1, 5}, 16, NN_ACT_RELU6},
    {{12, 12, 512, 3, 3, 1, 1, 1, 1, 1, 1}, 16, NN_ACT_RELU},
    {{36, 36, 64, 3, 3, 1, 1, 1, 1, 1, 1}, 64, NN_ACT_LEAKY_RELU},
};

enum { PICTURES = sizeof pictures / sizeof pictures[0] };

struct visit {
    const float *in, *weight; /* weight of this output: [tap][channel] */
    uint32_t channels, stride;
    double sum;
};

static void visit_tap(void *with, size_t pixel, uint32_t tap)
{
    struct visit *visit = with;

    for (uint32_t c = 0; c < visit->channels; c++)
        visit->sum += (double)visit->in[pixel + c] *
                      (double)visit->weight[tap * visit->stride + c];
}

static double activate(enum nn_act act, double slope, double x)
{
    switch (act) {
    case NN_ACT_RELU:
        return fmax(x, 0);
    case NN_ACT_RELU6:
        return fmin(fmax(x, 0), 6);
    case NN_ACT_SILU:
        return x / (1 + exp(-x));
    case NN_ACT_LEAKY_RELU:
        return x < 0 ? slope * x : x;
    default:
        return x;
    }
}

static struct nn_node conv_node(const struct conv_shape *s,
                                const struct nn_tensor *weight,
                                uint32_t outputs)
{
    return (struct nn_node){
        .op = NN_OP_CONV,
        .in_count = 1,
        .weight = weight,
        .out = {OUT_FROM, OUT_FROM + outputs},
        .inch = {IN_FROM, IN_FROM + s->channels},
        .stride = {(uint8_t)s->stride_y, (uint8_t)s->stride_x},
        .dilation = {1, 1},
        .groups = 1,
        .pad = {(uint8_t)s->pad_top, (uint8_t)s->pad_bottom,
                (uint8_t)s->pad_left, (uint8_t)s->pad_right}};
}

/* act(conv(x) + conv(x)), of which the planner makes two steps; the first's
 * result is the other's residual. */
START_TEST(winograd_is_convolution)
{
    const struct picture *p = &pictures[_i];
    const struct conv_shape *s = &p->shape;
    const uint32_t stride = s->channels + IN_FROM + 1;
    const uint32_t out_height =
        conv_out(s->height, 3, 1, s->pad_top + s->pad_bottom);
    const uint32_t out_width =
        conv_out(s->width, 3, 1, s->pad_left + s->pad_right);
    const size_t in_floats = (size_t)s->height * s->width * s->channels;
    const size_t out_floats = (size_t)out_height * out_width * p->outputs;
    const size_t weights = (OUT_FROM + p->outputs) * (size_t)9 * stride;
    float *value = rig_memory(weights * sizeof(float));
    float *in = rig_memory(in_floats * sizeof(float));
    float *out = rig_memory(out_floats * sizeof(float));
    float scales[80], biases[80];
    const struct nn_tensor weight =
        tensor_of(NN_F32, value, 4, OUT_FROM + p->outputs, 3, 3, stride);
    const struct nn_tensor scale =
        tensor_of(NN_F32, scales, 1, p->outputs, 1, 1, 1);
    const struct nn_tensor bias =
        tensor_of(NN_F32, biases, 1, p->outputs, 1, 1, 1);
    struct nn_node nodes[3] = {conv_node(s, &weight, p->outputs)};
    const struct nn_graph graph = {
        "g", {s->height, s->width, s->channels}, 3, .nodes = nodes};
    struct nn_weights *packed = NULL;

    nodes[0].scale = &scale;
    nodes[0].bias = &bias;
    nodes[1] = nodes[0];
    nodes[2] = (struct nn_node){.op = NN_OP_ADD,
                                .act = p->act,
                                .slope = 0.25f,
                                .in_count = 2,
                                .in = {1, 2}};
    fill(value, weights, FILL_NORMAL, 5);
    fill(scales, p->outputs, FILL_NORMAL, 6);
    fill(biases, p->outputs, FILL_NORMAL, 7);
    fill(in, in_floats, FILL_NORMAL, 8);
    ck_assert_int_eq(nn_weights_open(level, &packed), API_OK);
    run_every_way(&graph, level, packed, in, out);
    for (size_t at = 0; at < out_floats; at++) {
        const uint32_t c = (uint32_t)(at % p->outputs);
        const uint32_t pixel = (uint32_t)(at / p->outputs);
        /* Inputs and weights are below 1 in size. A plain sum's bound of the
         * rounding, times what the transforms enlarge values by. */
        const double bound =
            9.0 * s->channels * fabs((double)scales[c]) * 40 * 0x1p-24 + 1e-6;
        struct visit visit = {
            in, value + (size_t)(OUT_FROM + c) * 9 * stride + IN_FROM,
            s->channels, stride, 0};
        double expected;

        each_tap(s, pixel / out_width, pixel % out_width, visit_tap, &visit);
        expected =
            activate(p->act, 0.25,
                     2 * (visit.sum * (double)scales[c] + (double)biases[c]));
        if (!(fabs(expected - (double)out[at]) <= bound))
            ck_abort_msg("output %zu: %.9g instead of %.9g +- %.3g", at,
                         (double)out[at], expected, bound);
    }
    nn_weights_close(&packed);
    free(out);
    free(in);
    free(value);
}
END_TEST

/* Is one convolution that keeps the picture's size made so? */
static bool is_winograd(struct nn_weights *packed, uint32_t side,
                        uint32_t kernel, uint32_t inputs, uint32_t outputs,
                        uint32_t stride, uint32_t dilation, uint32_t groups)
{
    const uint32_t reach = (kernel - 1) * dilation + 1;
    const struct conv_shape shape = {side,      side,      inputs,   kernel,
                                     kernel,    stride,    stride,   reach / 2,
                                     reach / 2, reach / 2, reach / 2};
    const uint32_t depth = IN_FROM + inputs / groups;
    float *numbers =
        rig_memory((OUT_FROM + outputs) * kernel * kernel * depth * 4);
    const struct nn_tensor weight = tensor_of(
        NN_F32, numbers, 4, OUT_FROM + outputs, kernel, kernel, depth);
    struct nn_node node = conv_node(&shape, &weight, outputs);
    const struct nn_graph graph = {
        "g", {side, side, inputs}, 1, .nodes = &node};
    struct nn_plan *plan = NULL;
    bool is;

    node.inch.to = depth;
    node.groups = groups;
    node.dilation[0] = node.dilation[1] = (uint8_t)dilation;
    ck_assert_int_eq(nn_plan_build(&graph, level, packed, &plan, NULL), API_OK);
    is = plan->steps[0].winograd;
    nn_plan_close(&plan);
    free(numbers);
    return is;
}

START_TEST(only_where_it_pays)
{
    struct nn_weights *packed = NULL;

    ck_assert_int_eq(nn_weights_open(level, &packed), API_OK);
    ck_assert(is_winograd(packed, 12, 3, 32, 16, 1, 1, 1));
    ck_assert(is_winograd(packed, 9, 3, 32, 16, 1, 1, 1)); /* 3 x 3 tiles */
    ck_assert(!is_winograd(packed, 8, 3, 32, 16, 1, 1, 1));
    ck_assert(!is_winograd(packed, 12, 5, 32, 16, 1, 1, 1));
    ck_assert(!is_winograd(packed, 12, 1, 32, 16, 1, 1, 1));
    ck_assert(!is_winograd(packed, 24, 3, 32, 16, 2, 1, 1));
    ck_assert(!is_winograd(packed, 12, 3, 32, 16, 1, 2, 1));
    ck_assert(!is_winograd(packed, 12, 3, 32, 32, 1, 1, 2));
    ck_assert(!is_winograd(packed, 12, 3, 24, 16, 1, 1, 1));
    ck_assert(!is_winograd(packed, 12, 3, 32, 24, 1, 1, 1));
    ck_assert(!is_winograd(packed, 12, 3, 528, 16, 1, 1, 1));
    nn_weights_close(&packed);
}
END_TEST

/* Weights beyond a quarter of what there may be stay plain convolutions'. */
START_TEST(not_at_any_price)
{
    enum { LAYERS = 8, CHANNELS = 512 };
    const size_t length = (size_t)CHANNELS * 9 * CHANNELS;
    float *numbers = rig_memory(length * sizeof(float));
    struct nn_tensor weight[LAYERS];
    struct nn_node nodes[LAYERS];
    const struct conv_shape shape = {12, 12, CHANNELS, 3, 3, 1, 1, 1, 1, 1, 1};
    const struct nn_graph graph = {
        "g", {12, 12, CHANNELS}, LAYERS, .nodes = nodes};
    struct nn_weights *packed = NULL;
    struct nn_plan *plan = NULL;

    fill(numbers, length, FILL_NORMAL, 1);
    for (uint32_t i = 0; i < LAYERS; i++) {
        weight[i] = tensor_of(NN_F32, numbers, 4, CHANNELS, 3, 3, CHANNELS);
        nodes[i] = conv_node(&shape, &weight[i], CHANNELS);
        nodes[i].out = nodes[i].inch = (struct nn_range){0, CHANNELS};
        nodes[i].in[0] = i;
    }
    ck_assert_int_eq(nn_weights_open(level, &packed), API_OK);
    ck_assert_int_eq(nn_plan_build(&graph, level, packed, &plan, NULL), API_OK);
    ck_assert(plan->steps[0].winograd);
    ck_assert(!plan->steps[LAYERS - 1].winograd);
    nn_plan_close(&plan);
    nn_weights_close(&packed);
    free(numbers);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("winograd");
    TCase *cases = tcase_create("winograd");

    level = reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_loop_test(cases, winograd_is_convolution, 0, PICTURES);
    tcase_add_test(cases, only_where_it_pays);
    tcase_add_test(cases, not_at_any_price);
    suite_add_tcase(suite, cases);
    return suite;
}
