/* The planner and the runner: windows, fusion, memory, sharing. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/half.h"
#include "nn/plan.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

static void *get(size_t bytes)
{
    void *memory = malloc(bytes);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* Over an arena full of NaN, which would show in the output if a step read
 * what none had written. */
static void run_plan(const struct nn_plan *plan, uint32_t count,
                     const float *input, float *output)
{
    size_t floats = nn_plan_arena_floats(plan, count);
    float *arena = get((floats + 1) * sizeof(float));
    struct nn_threads *threads = NULL;
    struct nn_handle **handles = NULL;

    for (size_t i = 0; i < floats; i++)
        arena[i] = NAN;
    if (count > 1)
        ck_assert_int_eq(nn_threads_open(count, &threads, NULL), API_OK);
    ck_assert_int_eq(nn_plan_bind(plan, &handles, NULL), API_OK);
    nn_plan_run(plan, threads, arena, handles, input, output);
    nn_plan_unbind(plan, &handles);
    nn_threads_close(&threads);
    free(arena);
}

/* A picture between two others, by this thread or by a team. */
static void run_in_batch(const struct nn_plan *plan, uint32_t threads,
                         const float *input, const float *output)
{
    const size_t ins = nn_shape_floats(&plan->in);
    const size_t outs = nn_shape_floats(&plan->out);
    const size_t floats = nn_plan_batch_floats(plan, threads, 3);
    float *inputs = get(3 * ins * sizeof(float));
    float *outputs = get(4 * outs * sizeof(float)), *alone = outputs + 3 * outs;
    float *arena = get((floats + 1) * sizeof(float));
    struct nn_handle **handles = NULL;
    struct nn_threads *team = NULL;

    for (size_t i = 0; i < ins; i++) {
        inputs[i] = inputs[2 * ins + i] = input[ins - 1 - i];
        inputs[ins + i] = input[i];
    }
    for (size_t i = 0; i < floats; i++)
        arena[i] = NAN;
    if (threads > 1)
        ck_assert_int_eq(nn_threads_open(threads, &team, NULL), API_OK);
    ck_assert_int_eq(nn_plan_bind(plan, &handles, NULL), API_OK);
    nn_plan_run_batch(plan, team, 3, arena, handles, inputs, outputs);
    nn_plan_unbind(plan, &handles);
    nn_threads_close(&team);
    run_plan(plan, 1, inputs, alone);
    ck_assert_mem_eq(outputs, alone, outs * sizeof(float));
    ck_assert_mem_eq(outputs + outs, output, outs * sizeof(float));
    ck_assert_mem_eq(outputs + 2 * outs, alone, outs * sizeof(float));
    free(arena);
    free(outputs);
    free(inputs);
}

/* Plans and runs a graph; three threads must say the same to the bit, and so
 * must a batch. */
static void run(const struct nn_graph *graph, struct nn_weights *weights,
                const float *input, float *output)
{
    struct nn_plan *plan = NULL;
    struct api_error error = {0};
    float *shared;
    size_t bytes;

    ck_assert_msg(nn_plan_build(graph, level, weights, &plan, &error) == API_OK,
                  "%s", error.text);
    bytes = nn_shape_floats(&plan->out) * sizeof(float);
    shared = get(bytes);
    run_plan(plan, 1, input, output);
    run_plan(plan, 3, input, shared);
    ck_assert_mem_eq(shared, output, bytes);
    run_in_batch(plan, plan->step_count % 2 ? 1 : 3, input, output);
    free(shared);
    nn_plan_close(&plan);
}

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
    uint8_t *bytes = get(weights * 4 + 1);
    float *value = get(weights * sizeof(float));
    float *in = get((size_t)s->height * s->width * 4 * sizeof(float));
    float *out = get((size_t)out_height * out_width * channels * 4);
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
    run(&graph, packed, in, out);
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
    float *value = get(DEEP_OUT * window * sizeof(float));
    float *in = get(in_floats * sizeof(float));
    float *out = get(out_floats * sizeof(float)), biases[DEEP_OUT];
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
    run(&graph, packed, in, out);
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

START_TEST(halves_are_exact)
{
    ck_assert_float_eq(nn_half_to_float(0x0000), 0.0f);
    ck_assert(signbit(nn_half_to_float(0x8000)));
    ck_assert_float_eq(nn_half_to_float(0x3c00), 1.0f);
    ck_assert_float_eq(nn_half_to_float(0xc000), -2.0f);
    ck_assert_float_eq(nn_half_to_float(0x7bff), 65504.0f);
    ck_assert_float_eq(nn_half_to_float(0x0400), 0x1p-14f);
    ck_assert_float_eq(nn_half_to_float(0x03ff), 0x1.ff8p-15f);
    ck_assert_float_eq(nn_half_to_float(0x0001), 0x1p-24f);
    ck_assert_float_eq(nn_half_to_float(0x8001), -0x1p-24f);
    ck_assert(isinf(nn_half_to_float(0x7c00)));
    ck_assert(isinf(nn_half_to_float(0xfc00)));
    ck_assert(isnan(nn_half_to_float(0x7e00)));
}
END_TEST

/* Random graphs, whole against node by node. */

enum { HEIGHT = 4, WIDTH = 5, CHANNELS = 6, NODES_MAX = 16 };
enum { VALUE_FLOATS = HEIGHT * WIDTH * CHANNELS };

struct pool_of_tensors {
    float numbers[CHANNELS * 9 * CHANNELS];
    struct nn_tensor dense, halves, point, depthwise, vector;
};

static void pool_open(struct pool_of_tensors *pool)
{
    fill(pool->numbers, CHANNELS * 9 * CHANNELS, FILL_NORMAL, 11);
    pool->dense = tensor_of(NN_F32, pool->numbers, 4, CHANNELS, 3, 3, CHANNELS);
    pool->halves =
        tensor_of(NN_F32, pool->numbers, 4, CHANNELS, 3, 3, CHANNELS / 2);
    pool->point = tensor_of(NN_F32, pool->numbers, 4, CHANNELS, 1, 1, CHANNELS);
    pool->depthwise = tensor_of(NN_F32, pool->numbers, 3, 3, 3, CHANNELS, 1);
    pool->vector = tensor_of(NN_F32, pool->numbers, 1, CHANNELS, 1, 1, 1);
}

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 10) % below;
}

/* A node that keeps the shape, reading values up to `newest`. */
static struct nn_node random_node(const struct pool_of_tensors *pool,
                                  uint32_t *state, uint32_t newest)
{
    struct nn_node node = {.in_count = 1,
                           .stride = {1, 1},
                           .dilation = {1, 1},
                           .groups = 1,
                           .act = (enum nn_act)draw(state, NN_ACT_GELU + 1),
                           .limits = {-0.5f, 0.25f},
                           .slope = 0.125f,
                           .epsilon = 1e-5f};

    /* Mostly the newest value, so that few nodes are dead. */
    node.in[0] = draw(state, 3) ? newest : draw(state, newest + 1);
    switch (draw(state, 9)) {
    case 0:
        node.op = NN_OP_DWCONV;
        node.weight = &pool->depthwise;
        memset(node.pad, 1, sizeof node.pad);
        break;
    case 1:
        node.op = NN_OP_CONV;
        node.weight = &pool->dense;
        memset(node.pad, 1, sizeof node.pad);
        break;
    case 2:
        node.op = NN_OP_CONV;
        node.weight = &pool->point;
        node.bias = &pool->vector;
        break;
    case 3:
        node.op = NN_OP_AFFINE;
        node.act = NN_ACT_NONE;
        node.scale = node.bias = &pool->vector;
        break;
    case 4:
        node.op = NN_OP_ACT;
        break;
    case 5:
        node.op = NN_OP_LAYER_NORM;
        break;
    case 6: /* in two groups, which no addition may be fused into */
        node.op = NN_OP_CONV;
        node.weight = &pool->halves;
        node.groups = 2;
        node.dilation[0] = node.dilation[1] = 2;
        memset(node.pad, 2, sizeof node.pad);
        break;
    default:
        node.op = NN_OP_ADD;
        node.in_count = 2;
        node.in[1] = draw(state, newest + 1);
        break;
    }
    if (node.weight)
        node.out = node.inch = (struct nn_range){0, CHANNELS};
    if (node.groups > 1)
        node.inch.to = CHANNELS / 2;
    if (node.op == NN_OP_LAYER_NORM || draw(state, 2))
        node.act = NN_ACT_NONE; /* what fusion wants */
    return node;
}

static void run_alone(const struct nn_node *node, struct nn_weights *weights,
                      float (*values)[VALUE_FLOATS], float *out)
{
    struct nn_node alone = *node;
    struct nn_graph graph = {
        "g", {HEIGHT, WIDTH, CHANNELS}, 1, .nodes = &alone};

    alone.in[0] = 0;
    if (node->op == NN_OP_ADD) {
        float sums[VALUE_FLOATS];

        for (int i = 0; i < VALUE_FLOATS; i++)
            sums[i] = values[node->in[0]][i] + values[node->in[1]][i];
        alone.op = NN_OP_ACT;
        alone.in_count = 1;
        run(&graph, weights, sums, out);
        return;
    }
    run(&graph, weights, values[node->in[0]], out);
}

START_TEST(random_graphs_run_as_their_nodes_do)
{
    static float values[NODES_MAX + 1][VALUE_FLOATS];
    struct pool_of_tensors pool;
    struct nn_weights *weights = NULL;
    uint32_t state = 99, fused = 0;

    pool_open(&pool);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    fill(values[0], VALUE_FLOATS, FILL_NORMAL, 12);
    for (int round = 0; round < 1500; round++) {
        struct nn_node nodes[NODES_MAX];
        struct nn_graph graph = {
            "g", {HEIGHT, WIDTH, CHANNELS}, 0, .nodes = nodes};
        struct nn_plan *plan = NULL;
        float out[VALUE_FLOATS];

        graph.node_count = 1 + draw(&state, NODES_MAX);
        for (uint32_t i = 0; i < graph.node_count; i++) {
            nodes[i] = random_node(&pool, &state, i);
            run_alone(&nodes[i], weights, values, values[i + 1]);
        }
        run(&graph, weights, values[0], out);
        ck_assert_mem_eq(out, values[graph.node_count], sizeof out);
        ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plan, NULL),
                         API_OK);
        for (uint32_t i = 0; i < plan->step_count; i++)
            fused += plan->steps[i].residual;
        nn_plan_close(&plan);
    }
    ck_assert_uint_gt(fused, 100); /* or this tested less than it says */
    nn_weights_close(&weights);
}
END_TEST

/* Memory. */

static struct nn_node point_conv(const struct pool_of_tensors *pool,
                                 uint32_t in)
{
    const struct nn_node node = {.op = NN_OP_CONV,
                                 .in_count = 1,
                                 .in = {in, 0},
                                 .weight = &pool->point,
                                 .out = {0, CHANNELS},
                                 .inch = {0, CHANNELS},
                                 .stride = {1, 1},
                                 .dilation = {1, 1},
                                 .groups = 1};

    return node;
}

START_TEST(a_chain_reuses_its_memory)
{
    struct pool_of_tensors pool;
    struct nn_weights *weights = NULL;
    struct nn_node nodes[12];
    const struct nn_graph graph = {
        "g", {HEIGHT, WIDTH, CHANNELS}, 12, .nodes = nodes};
    struct nn_plan *plan = NULL;

    pool_open(&pool);
    for (uint32_t i = 0; i < 12; i++)
        nodes[i] = point_conv(&pool, i);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plan, NULL),
                     API_OK);
    ck_assert_uint_eq(plan->step_count, 12);
    ck_assert_uint_le(plan->arena_floats, 2 * (VALUE_FLOATS + 16));
    nn_plan_close(&plan);
    nn_weights_close(&weights);
}
END_TEST

START_TEST(dead_nodes_do_not_run)
{
    struct pool_of_tensors pool;
    struct nn_weights *weights = NULL;
    struct nn_node nodes[3];
    const struct nn_graph graph = {
        "g", {HEIGHT, WIDTH, CHANNELS}, 3, .nodes = nodes};
    struct nn_plan *plan = NULL;

    pool_open(&pool);
    nodes[0] = point_conv(&pool, 0);
    nodes[1] = point_conv(&pool, 1);
    nodes[2] = point_conv(&pool, 0);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plan, NULL),
                     API_OK);
    ck_assert_uint_eq(plan->step_count, 1);
    nn_plan_close(&plan);
    nn_weights_close(&weights);
}
END_TEST

enum { PARTS = 2 * 2 * 3 * 3 * 2 * 2 };

/* Uses of one weight that all differ in a range, the scale or the bias. */
static struct nn_node part_of(const struct pool_of_tensors *pool, uint32_t i)
{
    struct nn_node part = point_conv(pool, 0);

    part.out = (struct nn_range){i % 2, CHANNELS - i / 2 % 2};
    part.inch = (struct nn_range){i / 4 % 3, CHANNELS - i / 12 % 3};
    part.scale = i / 36 % 2 ? &pool->dense : NULL;
    part.bias = i / 72 % 2 ? &pool->dense : NULL;
    return part;
}

START_TEST(equal_weights_are_packed_once)
{
    static const float *parts[PARTS];
    struct pool_of_tensors pool;
    struct nn_weights *weights = NULL;
    const float *first = NULL, *packed = NULL;
    struct nn_node node;
    size_t bytes;

    pool_open(&pool);
    node = point_conv(&pool, 0);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_weights_pack(weights, &node, &first, NULL), API_OK);
    bytes = nn_weights_bytes(weights);
    node.in[0] = 7; /* where it stands and how it is clamped do not matter */
    node.act = NN_ACT_RELU6;
    ck_assert_int_eq(nn_weights_pack(weights, &node, &packed, NULL), API_OK);
    ck_assert_ptr_eq(packed, first);
    ck_assert_uint_eq(nn_weights_bytes(weights), bytes);
    node.scale = &pool.vector;
    ck_assert_int_eq(nn_weights_pack(weights, &node, &packed, NULL), API_OK);
    ck_assert_ptr_ne(packed, first);
    /* More entries than the table begins with: each its own memory, and found
     * again after the table grew. */
    for (uint32_t i = 0; i < PARTS; i++) {
        const struct nn_node part = part_of(&pool, i);

        ck_assert_int_eq(nn_weights_pack(weights, &part, &packed, NULL),
                         API_OK);
        for (uint32_t k = 0; k < i; k++)
            ck_assert_ptr_ne(parts[k], packed);
        parts[i] = packed;
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        const struct nn_node part = part_of(&pool, i);

        ck_assert_int_eq(nn_weights_pack(weights, &part, &packed, NULL),
                         API_OK);
        ck_assert_ptr_eq(packed, parts[i]);
    }
    bytes = nn_weights_bytes(weights);
    node.scale = NULL;
    ck_assert_int_eq(nn_weights_pack(weights, &node, &packed, NULL), API_OK);
    ck_assert_ptr_eq(packed, first);
    ck_assert_uint_eq(nn_weights_bytes(weights), bytes);
    nn_weights_close(&weights);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("plan");
    TCase *windows_case = tcase_create("windows");
    TCase *cases = tcase_create("plan");

    level = reference_level();
    tcase_set_timeout(cases, 0);
    tcase_set_timeout(windows_case, 0);
    tcase_add_loop_test(windows_case, conv_of_every_window, 0, WINDOWS);
    tcase_add_loop_test(windows_case, deep_convs_sum_all_chunks, 0, DEEP);
    tcase_add_test(cases, halves_are_exact);
    tcase_add_test(cases, random_graphs_run_as_their_nodes_do);
    tcase_add_test(cases, a_chain_reuses_its_memory);
    tcase_add_test(cases, dead_nodes_do_not_run);
    tcase_add_test(cases, equal_weights_are_packed_once);
    suite_add_tcase(suite, windows_case);
    suite_add_tcase(suite, cases);
    return suite;
}
