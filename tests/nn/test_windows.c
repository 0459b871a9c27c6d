/* Convolutions of all window shapes, and deep ones, against plain sums. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/half.h"
#include "nn/plan.h"
#include "tests/nn/reference.h"
#include "tests/nn/rig.h"
#include "tests/nn/run_plan.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

/* Convolutions of all window shapes, on parts of weights of every dtype. */

enum { OUT_ALL = 9, OUT_FROM = 2, OUT_TO = 8, IN_ALL = 7, IN_FROM = 3 };

static const struct conv_shape windows[] = {
    {6, 7, 4, 1, 1, 1, 1, 0, 0, 0, 0}, {6, 7, 4, 1, 1, 2, 2, 0, 0, 0, 0},
    {6, 7, 4, 3, 3, 1, 1, 1, 1, 1, 1}, {6, 7, 4, 3, 3, 2, 2, 0, 1, 0, 1},
    {6, 7, 4, 5, 5, 1, 1, 2, 2, 2, 2}, {6, 7, 4, 5, 5, 2, 2, 1, 2, 1, 2},
    {6, 7, 4, 2, 4, 3, 1, 1, 1, 2, 3}, {6, 7, 4, 3, 3, 1, 2, 4, 3, 5, 4},
    {1, 1, 4, 3, 3, 1, 1, 1, 1, 1, 1}, {1, 1, 4, 5, 3, 1, 1, 2, 2, 4, 4},
    {2, 9, 4, 2, 9, 1, 1, 0, 0, 0, 0}, {6, 7, 4, 1, 1, 1, 1, 1, 0, 0, 2},
};

enum { WINDOWS = sizeof windows / sizeof windows[0] };

struct visit {
    const float *in, *weight; /* weight of this output: [tap][IN_ALL] */
    float scale;
    uint32_t channels;
    struct sum sum;
};

static void visit_tap(void *with, size_t pixel, uint32_t tap)
{
    struct visit *visit = with;

    for (uint32_t c = 0; c < visit->channels; c++) {
        float weight = visit->weight[tap * IN_ALL + IN_FROM + c];

        sum_add(&visit->sum,
                (double)visit->in[pixel + c] * (weight * visit->scale));
    }
}

/* Stores random weights in `bytes` as `dtype` and what they mean in `value`. */
static void random_weights(enum nn_dtype dtype, size_t count, uint8_t *bytes,
                           float *value)
{
    fill(value, count, FILL_NORMAL, 5);
    for (size_t i = 0; i < count; i++) {
        uint16_t half = (uint16_t)(i * 2654435761u % 0x7c00u); /* finite */
        int8_t small = (int8_t)(value[i] * 127.0f);

        if (dtype == NN_F16) {
            half = (uint16_t)(half & 0x3fffu) | (i % 2 ? 0x8000u : 0u);
            value[i] = nn_half_to_float(half);
            memcpy(bytes + 2 * i, &half, 2);
        } else if (dtype == NN_BF16) {
            uint32_t bits;

            memcpy(&bits, &value[i], 4);
            half = (uint16_t)(bits >> 16);
            bits &= 0xffff0000u;
            memcpy(&value[i], &bits, 4);
            memcpy(bytes + 2 * i, &half, 2);
        } else if (dtype == NN_I8) {
            value[i] = small;
            memcpy(bytes + i, &small, 1);
        } else {
            memcpy(bytes + 4 * i, &value[i], 4);
        }
    }
}

START_TEST(conv_of_every_window)
{
    static const enum nn_dtype dtypes[] = {NN_F32, NN_F16, NN_I8, NN_BF16};
    const struct conv_shape *s = &windows[_i];
    const enum nn_dtype dtype = dtypes[_i % 4];
    const uint32_t channels = OUT_TO - OUT_FROM;
    uint32_t out_height = conv_out(s->height, s->kernel_y, s->stride_y,
                                   s->pad_top + s->pad_bottom);
    uint32_t out_width = conv_out(s->width, s->kernel_x, s->stride_x,
                                  s->pad_left + s->pad_right);
    size_t taps = (size_t)s->kernel_y * s->kernel_x;
    size_t weights = OUT_ALL * taps * IN_ALL;
    uint8_t *bytes = rig_memory(weights * 4 + 1);
    float *value = rig_memory(weights * sizeof(float));
    float *in = rig_memory((size_t)s->height * s->width * 4 * sizeof(float));
    float *out = rig_memory((size_t)out_height * out_width * channels * 4);
    float scales[OUT_ALL], biases[OUT_ALL];
    /* One byte off: files give tensors no alignment. */
    const struct nn_tensor weight = tensor_of(dtype, bytes + 1, 4, OUT_ALL,
                                              s->kernel_y, s->kernel_x, IN_ALL);
    const struct nn_tensor scale =
        tensor_of(NN_F32, scales, 1, channels, 1, 1, 1);
    const struct nn_tensor bias =
        tensor_of(NN_F32, biases, 1, channels, 1, 1, 1);
    struct nn_node node = {
        .op = NN_OP_CONV,
        .act = NN_ACT_RELU,
        .in_count = 1,
        .weight = &weight,
        .scale = _i % 2 ? &scale : NULL,
        .bias = _i % 4 ? &bias : NULL,
        .out = {OUT_FROM, OUT_TO},
        .inch = {IN_FROM, IN_FROM + 4},
        .stride = {(uint8_t)s->stride_y, (uint8_t)s->stride_x},
        .dilation = {1, 1},
        .groups = 1,
        .pad = {(uint8_t)s->pad_top, (uint8_t)s->pad_bottom,
                (uint8_t)s->pad_left, (uint8_t)s->pad_right}};
    const struct nn_graph graph = {
        "g", {s->height, s->width, 4}, 1, .nodes = &node};
    struct nn_weights *packed = NULL;

    ck_assert_int_eq(nn_weights_open(level, &packed), API_OK);
    random_weights(dtype, weights, bytes + 1, value);
    fill(scales, OUT_ALL, FILL_NORMAL, 6);
    fill(biases, OUT_ALL, FILL_NORMAL, 7);
    fill(in, (size_t)s->height * s->width * 4, FILL_NORMAL, 8);
    run_every_way(&graph, level, packed, in, out);
    for (uint32_t oy = 0; oy < out_height; oy++)
        for (uint32_t ox = 0; ox < out_width; ox++)
            for (uint32_t c = 0; c < channels; c++) {
                size_t at = ((size_t)oy * out_width + ox) * channels + c;
                struct visit visit = {in,
                                      value + (OUT_FROM + c) * taps * IN_ALL,
                                      node.scale ? scales[c] : 1.0f,
                                      4,
                                      {0, 0, 0}};

                sum_add(&visit.sum, node.bias ? biases[c] : 0.0);
                each_tap(s, oy, ox, visit_tap, &visit);
                sum_check(&visit.sum, 0.0f, INFINITY, out[at], "conv", at);
            }
    nn_weights_close(&packed);
    free(out);
    free(in);
    free(value);
    free(bytes);
}
END_TEST

/* Products so deep that they are taken in chunks: whole taps, parts of taps,
 * channels whose pixels lie 4 KiB apart; with a residual and a clamp, which
 * must be applied once. */
static const struct conv_shape deep[] = {
    {3, 5, 1100, 1, 1, 1, 1, 0, 0, 0, 0}, {3, 5, 1024, 1, 1, 1, 1, 0, 0, 0, 0},
    {1, 1, 2048, 1, 1, 1, 1, 0, 0, 0, 0}, {4, 4, 600, 3, 3, 1, 1, 1, 1, 1, 1},
    {5, 4, 200, 3, 3, 2, 1, 1, 1, 1, 1},  {6, 5, 130, 5, 3, 1, 2, 2, 2, 1, 1},
};

enum { DEEP = sizeof deep / sizeof deep[0], DEEP_OUT = 37 };

struct deep_visit {
    const float *in, *weight; /* weight of this output: [tap][channel] */
    uint32_t channels;
    struct sum sum;
};

static void visit_deep_tap(void *with, size_t pixel, uint32_t tap)
{
    struct deep_visit *visit = with;

    for (uint32_t c = 0; c < visit->channels; c++)
        sum_add(&visit->sum,
                (double)visit->in[pixel + c] *
                    (double)visit->weight[tap * visit->channels + c]);
}

START_TEST(deep_convs_sum_all_chunks)
{
    const struct conv_shape *s = &deep[_i];
    uint32_t out_height = conv_out(s->height, s->kernel_y, s->stride_y,
                                   s->pad_top + s->pad_bottom);
    uint32_t out_width = conv_out(s->width, s->kernel_x, s->stride_x,
                                  s->pad_left + s->pad_right);
    size_t window = (size_t)s->kernel_y * s->kernel_x * s->channels;
    size_t in_floats = (size_t)s->height * s->width * s->channels;
    size_t out_floats = (size_t)out_height * out_width * DEEP_OUT;
    float *value = rig_memory(DEEP_OUT * window * sizeof(float));
    float *in = rig_memory(in_floats * sizeof(float));
    float *out = rig_memory(out_floats * sizeof(float)), biases[DEEP_OUT];
    const struct nn_tensor weight = tensor_of(
        NN_F32, value, 4, DEEP_OUT, s->kernel_y, s->kernel_x, s->channels);
    const struct nn_tensor bias =
        tensor_of(NN_F32, biases, 1, DEEP_OUT, 1, 1, 1);
    struct nn_node nodes[3] = {
        {.op = NN_OP_CONV,
         .in_count = 1,
         .weight = &weight,
         .bias = &bias,
         .out = {0, DEEP_OUT},
         .inch = {0, s->channels},
         .stride = {(uint8_t)s->stride_y, (uint8_t)s->stride_x},
         .dilation = {1, 1},
         .groups = 1,
         .pad = {(uint8_t)s->pad_top, (uint8_t)s->pad_bottom,
                 (uint8_t)s->pad_left, (uint8_t)s->pad_right}},
        {0},
        {.op = NN_OP_ADD, .act = NN_ACT_RELU, .in_count = 2, .in = {1, 2}}};
    const struct nn_graph graph = {
        "g", {s->height, s->width, s->channels}, 3, .nodes = nodes};
    struct nn_weights *packed = NULL;

    nodes[1] = nodes[0]; /* fused with the addition to the first's result */
    ck_assert_int_eq(nn_weights_open(level, &packed), API_OK);
    fill(value, DEEP_OUT * window, FILL_NORMAL, 5);
    fill(biases, DEEP_OUT, FILL_NORMAL, 7);
    fill(in, in_floats, FILL_NORMAL, 8);
    run_every_way(&graph, level, packed, in, out);
    for (size_t at = 0; at < out_floats; at++) {
        uint32_t pixel = (uint32_t)(at / DEEP_OUT),
                 c = (uint32_t)(at % DEEP_OUT);
        struct deep_visit visit = {
            in, value + c * window, s->channels, {0, 0, 0}};

        for (int twice = 0; twice < 2; twice++) {
            sum_add(&visit.sum, (double)biases[c]);
            each_tap(s, pixel / out_width, pixel % out_width, visit_deep_tap,
                     &visit);
        }
        sum_check(&visit.sum, 0.0f, INFINITY, out[at], "deep conv", at);
    }
    nn_weights_close(&packed);
    free(out);
    free(in);
    free(value);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("windows");
    TCase *cases = tcase_create("windows");

    level = reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_loop_test(cases, conv_of_every_window, 0, WINDOWS);
    tcase_add_loop_test(cases, deep_convs_sum_all_chunks, 0, DEEP);
    suite_add_tcase(suite, cases);
    return suite;
}
