/* Graphs of int8 nodes: every op alone, and whole graphs. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/int8.h"
#include "nn/plan.h"
#include "tests/nn/int8_net.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

/* The graph over an arena full of ones, by one thread and by three, one picture
 * and two, against the last value's reference; returns how many of its steps
 * add a residual. */
static uint32_t net_check(struct net *net)
{
    const struct int8_value *last = &net->values[net->graph.node_count];
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    struct api_error error = {0};
    size_t count = int8_value_count(last);
    float *arena, *in, *out = malloc(2 * count * sizeof(float));
    size_t ins;
    uint32_t fused = 0;

    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_msg(nn_plan_build(&net->graph, level, weights, &plan, &error) ==
                      API_OK,
                  "%s", error.text);
    arena = malloc(nn_plan_batch_floats(plan, 3, 2) * sizeof(float) + 1);
    ins = nn_shape_floats(&plan->in);
    in = malloc(2 * ins * sizeof(float));
    ck_assert(arena && in && out);
    memcpy(in, net->values[0].floats, ins * sizeof(float));
    memcpy(in + ins, in, ins * sizeof(float));
    for (uint32_t team = 1; team <= 3; team += 2) {
        struct nn_threads *threads = NULL;

        if (team > 1)
            ck_assert_int_eq(nn_threads_open(team, &threads, NULL), API_OK);
        memset(arena, 0xff, nn_plan_arena_floats(plan, team) * sizeof(float));
        nn_plan_run(plan, threads, arena, NULL, in, out);
        ck_assert_mem_eq(out, last->floats, count * sizeof(float));
        nn_plan_run_batch(plan, threads, 2, arena, NULL, in, out);
        ck_assert_mem_eq(out, last->floats, count * sizeof(float));
        ck_assert_mem_eq(out + count, last->floats, count * sizeof(float));
        nn_threads_close(&threads);
    }
    for (uint32_t i = 0; i < plan->step_count; i++)
        fused += plan->steps[i].residual;
    free(arena);
    free(in);
    free(out);
    nn_plan_close(&plan);
    nn_weights_close(&weights);
    return fused;
}

/* One node, of every kind, over many shapes. */

START_TEST(weighted_nodes_of_many_shapes)
{
    static const enum nn_op ops[] = {NN_OP_CONV, NN_OP_DWCONV, NN_OP_LINEAR};
    const enum nn_op op = ops[_i];

    for (int round = 0; round < 100; round++) {
        const int square = op != NN_OP_LINEAR;
        const uint32_t side = 1 + (square ? net_draw(17) : 0);
        struct net *net = net_open(side, square ? 1 + net_draw(17) : 1,
                                   1 + net_draw(net_draw(2) ? 9 : 75));
        uint32_t height = 1, width = 1;
        struct nn_node node;

        if (square) {
            height = 1 + net_draw(5);
            width = net_draw(3) ? height : 1 + net_draw(5);
        }
        node = net_weighted(net, op, 1, 1 + net_draw(75), height, width);
        if (square) {
            const struct int8_value *in = &net->values[1];

            node.stride[0] = (uint8_t)(1 + net_draw(3));
            node.stride[1] = (uint8_t)(1 + net_draw(3));
            for (int i = 0; i < 4 && net_draw(4); i++)
                node.pad[i] = (uint8_t)net_draw((i < 2 ? height : width) + 1);
            while (in->height + node.pad[0] + node.pad[1] < height)
                node.pad[1]++;
            while (in->width + node.pad[2] + node.pad[3] < width)
                node.pad[2]++;
        }
        net_act(&node);
        if (net_draw(4) == 0)
            node.quant = (struct nn_quant){0};
        net_append(net, &node);
        net_dequantize(net);
        net_check(net);
        net_close(net);
    }
}
END_TEST

/* Weights that come in parts as large as a cache. */
START_TEST(a_conv_of_many_columns)
{
    struct net *net = net_open(9, 5, 150);
    struct nn_node node = net_weighted(net, NN_OP_CONV, 1, 160, 3, 3);

    node.pad[0] = node.pad[1] = node.pad[2] = node.pad[3] = 1;
    net_append(net, &node);
    net_dequantize(net);
    net_check(net);
    net_close(net);
}
END_TEST

static uint32_t longest_chain(const struct net *net)
{
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    uint32_t longest = 0;

    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&net->graph, level, weights, &plan, NULL),
                     API_OK);
    for (uint32_t i = 0; i < plan->step_count; i += plan->steps[i].chain_steps)
        if (plan->steps[i].chain_steps > longest)
            longest = plan->steps[i].chain_steps;
    nn_plan_close(&plan);
    nn_weights_close(&weights);
    return longest;
}

/* Values that a second-level cache does not keep: steps run together, some rows
 * at a time, with a residual from outside. */
START_TEST(large_values_go_band_by_band)
{
    struct net *net = net_open(170, 150, 8);
    struct nn_node node = net_weighted(net, NN_OP_CONV, 1, 32, 3, 3);
    struct nn_node add = net_node(NN_OP_ADD, 4);
    struct nn_node pool = net_node(NN_OP_MAXPOOL, 5);

    node.pad[0] = node.pad[3] = 1;
    node.pad[1] = node.pad[2] = 1;
    net_append(net, &node);
    node = net_weighted(net, NN_OP_DWCONV, 2, 32, 5, 3);
    node.pad[0] = 3;
    node.pad[1] = node.pad[2] = node.pad[3] = 1;
    net_append(net, &node);
    node = net_weighted(net, NN_OP_CONV, 3, 32, 1, 1);
    net_append(net, &node);
    add.in_count = 2;
    add.in[1] = 2;
    add.quant = net_quant();
    net_append(net, &add);
    pool.quant = add.quant;
    pool.kernel[0] = pool.kernel[1] = 3;
    pool.stride[0] = pool.stride[1] = 2;
    net_append(net, &pool);
    net_dequantize(net);
    ck_assert_uint_eq(net_check(net), 1);
    ck_assert_uint_eq(longest_chain(net), 3);
    net_close(net);
}
END_TEST

START_TEST(ranges_take_parts_of_the_weight)
{
    struct net *net = net_open(5, 6, 9);
    struct nn_node node = net_weighted(net, NN_OP_CONV, 1, 12, 3, 2);
    struct nn_tensor whole = *node.weight;
    int8_t weights[20 * 6 * 16];

    /* The reference computes with the part, the engine with the whole. */
    net_append(net, &node);
    whole.dims[0] = 20;
    whole.dims[3] = 16;
    whole.data = (const uint8_t *)weights;
    memset(weights, 99, sizeof weights);
    for (size_t o = 0; o < 12; o++)
        for (size_t tap = 0; tap < 6; tap++)
            memcpy(weights + ((o + 5) * 6 + tap) * 16 + 4,
                   node.weight->data + (o * 6 + tap) * 9, 9);
    net->nodes[1].weight = &whole;
    net->nodes[1].out = (struct nn_range){5, 17};
    net->nodes[1].inch = (struct nn_range){4, 13};
    net_dequantize(net);
    net_check(net);
    net_close(net);
}
END_TEST

START_TEST(pools_of_many_shapes)
{
    static const enum nn_op ops[] = {NN_OP_AVGPOOL, NN_OP_MAXPOOL,
                                     NN_OP_GLOBAL_AVGPOOL};

    for (int round = 0; round < 60; round++) {
        struct net *net =
            net_open(1 + net_draw(12), 1 + net_draw(12), 1 + net_draw(140));
        struct nn_node node = net_node(ops[round % 3], 1);

        for (int axis = 0; axis < 2; axis++) {
            uint32_t kernel = 1 + net_draw(4);
            const uint32_t side =
                axis ? net->values[1].width : net->values[1].height;

            kernel = kernel < side ? kernel : side;
            node.kernel[axis] = (uint8_t)kernel;
            node.stride[axis] = (uint8_t)(1 + net_draw(3));
            if (node.op == NN_OP_GLOBAL_AVGPOOL) {
                node.stride[axis] = 1;
                continue;
            }
            node.pad[2 * axis] = (uint8_t)net_draw(kernel);
            node.pad[2 * axis + 1] = (uint8_t)net_draw(kernel);
        }
        if (node.op != NN_OP_MAXPOOL && net_draw(2))
            node.quant = net_quant();
        net_append(net, &node);
        net_dequantize(net);
        net_check(net);
        net_close(net);
    }
}
END_TEST

START_TEST(adds_and_concats)
{
    for (int round = 0; round < 60; round++) {
        const uint32_t channels = 1 + net_draw(70);
        struct net *net = net_open(1 + net_draw(6), 1 + net_draw(6), channels);
        struct nn_node second = net_node(NN_OP_QUANTIZE, 0), node;

        second.quant = net_quant();
        net_append(net, &second);
        node = net_node(round % 2 ? NN_OP_ADD : NN_OP_CONCAT, 1);
        node.in_count = 2;
        node.in[1] = round % 5 ? 2 : 1;
        node.quant = round % 7 ? net_quant() : second.quant;
        if (node.op == NN_OP_ADD)
            net_act(&node);
        net_append(net, &node);
        net_dequantize(net);
        net_check(net);
        net_close(net);
    }
}
END_TEST

/* Whole graphs, where memory is reused and additions are fused. */

static void append_random(struct net *net)
{
    const uint32_t newest = net->graph.node_count;
    struct nn_node node = net_node(NN_OP_ADD, newest);

    switch (net_draw(4)) {
    case 0:
        node = net_weighted(net, NN_OP_CONV, newest, 24, 3, 3);
        memset(node.pad, 1, sizeof node.pad);
        break;
    case 1:
        node = net_weighted(net, NN_OP_DWCONV, newest, 0, 3, 3);
        memset(node.pad, 1, sizeof node.pad);
        break;
    case 2:
        node = net_weighted(net, NN_OP_CONV, newest, 24, 1, 1);
        break;
    default:
        node.in_count = 2;
        node.in[1] = 1 + net_draw(newest);
        node.quant = net_quant();
    }
    if (net_draw(2))
        net_act(&node);
    net_append(net, &node);
}

START_TEST(random_graphs_run_as_their_nodes_do)
{
    uint32_t fused = 0;

    for (int round = 0; round < 80; round++) {
        struct net *net = net_open(5, 6, 24);
        uint32_t count = 1 + net_draw(NODES_MAX - 2);

        while (net->graph.node_count < count)
            append_random(net);
        net_dequantize(net);
        fused += net_check(net);
        net_close(net);
    }
    ck_assert_uint_gt(fused, 8); /* or this tested less than it says */
}
END_TEST

/* A curve behind floats is the same as one by itself. */
START_TEST(floats_take_any_activation)
{
    struct net *net = net_open(4, 4, 8);
    struct nn_node node = net_weighted(net, NN_OP_CONV, 1, 8, 1, 1);
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    float arena[512], out[2][128];

    node.quant = (struct nn_quant){0};
    net_append(net, &node);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            net->nodes[1].act = NN_ACT_HARD_SWISH;
        } else {
            net->nodes[1].act = NN_ACT_NONE;
            net->nodes[2] = net_node(NN_OP_ACT, 2);
            net->nodes[2].act = NN_ACT_HARD_SWISH;
            net->graph.node_count++;
        }
        ck_assert_int_eq(
            nn_plan_build(&net->graph, level, weights, &plan, NULL), API_OK);
        ck_assert_uint_le(plan->arena_floats, 512);
        nn_plan_run(plan, NULL, arena, NULL, net->values[0].floats, out[i]);
        nn_plan_close(&plan);
    }
    net->graph.node_count--;
    ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
    nn_weights_close(&weights);
    net_close(net);
}
END_TEST

/* Bytes take a quarter of the memory of floats. */
START_TEST(a_chain_of_bytes_is_small)
{
    struct net *net = net_open(16, 16, 64);
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;

    for (int i = 0; i < 6; i++) {
        struct nn_node node =
            net_weighted(net, NN_OP_CONV, net->graph.node_count, 64, 1, 1);

        net_append(net, &node);
    }
    net_dequantize(net);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&net->graph, level, weights, &plan, NULL),
                     API_OK);
    ck_assert_uint_le(plan->arena_floats, 2 * 16 * 16 * 64 / 4 + 64);
    nn_plan_close(&plan);
    nn_weights_close(&weights);
    net_close(net);
}
END_TEST

/* Another type of input, result or bias needs other constants, but the same
 * weights. */
START_TEST(packs_are_shared_by_type)
{
    struct net *net = net_open(4, 4, 8);
    struct nn_node node = net_weighted(net, NN_OP_CONV, 1, 8, 1, 1);
    const struct nn_quant in = {0.5f, 3}, other = {0.5f, 4};
    struct nn_packed_int8 first, again, next;
    struct nn_weights *weights = NULL;

    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_weights_pack_int8(weights, &node, in, &first, NULL),
                     API_OK);
    ck_assert_int_eq(nn_weights_pack_int8(weights, &node, in, &again, NULL),
                     API_OK);
    ck_assert_ptr_eq(first.weights, again.weights);
    ck_assert_ptr_eq(first.constants, again.constants);
    ck_assert_uint_eq(nn_weights_bytes(weights),
                      nn_int8_weight_bytes(level->int8, &node) +
                          nn_int8_constant_bytes(level->int8, &node));
    ck_assert_int_eq(nn_weights_pack_int8(weights, &node, other, &next, NULL),
                     API_OK);
    ck_assert_ptr_eq(first.weights, next.weights);
    ck_assert_ptr_ne(first.constants, next.constants);
    node.quant.zero ^= 1;
    ck_assert_int_eq(nn_weights_pack_int8(weights, &node, in, &next, NULL),
                     API_OK);
    ck_assert_ptr_eq(first.weights, next.weights);
    ck_assert_ptr_ne(first.constants, next.constants);
    node.quant.zero ^= 1;
    node.bias = NULL;
    ck_assert_int_eq(nn_weights_pack_int8(weights, &node, in, &next, NULL),
                     API_OK);
    ck_assert_ptr_eq(first.weights, next.weights);
    ck_assert_ptr_ne(first.constants, next.constants);
    node.out.to--;
    ck_assert_int_eq(nn_weights_pack_int8(weights, &node, in, &next, NULL),
                     API_OK);
    ck_assert_ptr_ne(first.weights, next.weights);
    nn_weights_close(&weights);
    net_close(net);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("int8 plan");
    TCase *cases = tcase_create("int8 plan");

    level = reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_loop_test(cases, weighted_nodes_of_many_shapes, 0, 3);
    tcase_add_test(cases, large_values_go_band_by_band);
    tcase_add_test(cases, a_conv_of_many_columns);
    tcase_add_test(cases, ranges_take_parts_of_the_weight);
    tcase_add_test(cases, pools_of_many_shapes);
    tcase_add_test(cases, adds_and_concats);
    tcase_add_test(cases, random_graphs_run_as_their_nodes_do);
    tcase_add_test(cases, floats_take_any_activation);
    tcase_add_test(cases, a_chain_of_bytes_is_small);
    tcase_add_test(cases, packs_are_shared_by_type);
    suite_add_tcase(suite, cases);
    return suite;
}
