/* The planner and the runner: fusion, memory, sharing. */
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

/* By one thread, which is quick; the whole graph runs in every way. */
static void run_alone(const struct nn_node *node, struct nn_weights *weights,
                      float (*values)[VALUE_FLOATS], float *out)
{
    struct nn_node alone = *node;
    const struct nn_graph graph = {
        "g", {HEIGHT, WIDTH, CHANNELS}, 1, .nodes = &alone};
    const float *input = values[node->in[0]];
    struct nn_plan *plan = NULL;
    float sums[VALUE_FLOATS];

    alone.in[0] = 0;
    if (node->op == NN_OP_ADD) {
        for (int i = 0; i < VALUE_FLOATS; i++)
            sums[i] = values[node->in[0]][i] + values[node->in[1]][i];
        input = sums;
        alone.op = NN_OP_ACT;
        alone.in_count = 1;
    }
    ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plan, NULL),
                     API_OK);
    run_plan(plan, 1, input, out);
    nn_plan_close(&plan);
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
        run_every_way(&graph, level, weights, values[0], out);
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
    TCase *cases = tcase_create("plan");

    level = reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_test(cases, halves_are_exact);
    tcase_add_test(cases, random_graphs_run_as_their_nodes_do);
    tcase_add_test(cases, a_chain_reuses_its_memory);
    tcase_add_test(cases, dead_nodes_do_not_run);
    tcase_add_test(cases, equal_weights_are_packed_once);
    suite_add_tcase(suite, cases);
    return suite;
}
