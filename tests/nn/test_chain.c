/* Chains: which steps run together, and that they make what they made alone. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "nn/band.h"
#include "nn/chain.h"
#include "nn/plan.h"
#include "tests/nn/reference.h"
#include "tests/nn/rig.h"
#include "tests/nn/run_plan.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

enum { WEIGHTS = 1 << 16, NODES_MAX = 10 };

/* A graph whose nodes all take their weights from the same random numbers. */
struct net {
    float numbers[WEIGHTS];
    struct nn_tensor weights[NODES_MAX], biases[NODES_MAX];
    struct nn_node nodes[NODES_MAX];
    struct nn_graph graph;
};

static struct net *net_open(uint32_t height, uint32_t width, uint32_t channels)
{
    struct net *net = rig_memory(sizeof *net);

    memset(net, 0, sizeof *net);
    fill(net->numbers, WEIGHTS, FILL_NORMAL, 3);
    net->graph = (struct nn_graph){
        "g", {height, width, channels}, 0, .nodes = net->nodes};
    return net;
}

/* Appends a node that reads the value before it, with padding of half its
 * kernel and the stride 1. */
static struct nn_node *append(struct net *net, enum nn_op op, uint32_t kernel,
                              uint32_t inputs, uint32_t outputs)
{
    const uint32_t at = net->graph.node_count++;
    struct nn_node *node = &net->nodes[at];

    *node = (struct nn_node){.op = op,
                             .in_count = 1,
                             .in = {at, 0},
                             .out = {0, outputs},
                             .inch = {0, inputs},
                             .stride = {1, 1},
                             .kernel = {(uint8_t)kernel, (uint8_t)kernel},
                             .dilation = {1, 1},
                             .groups = 1,
                             .act = NN_ACT_RELU};
    memset(node->pad, (int)kernel / 2, sizeof node->pad);
    net->biases[at] = tensor_of(NN_F32, net->numbers + at, 1, outputs, 1, 1, 1);
    if (op == NN_OP_CONV)
        net->weights[at] = tensor_of(NN_F32, net->numbers + 7 * at, 4, outputs,
                                     kernel, kernel, inputs);
    else
        net->weights[at] = tensor_of(NN_F32, net->numbers + 7 * at, 3, kernel,
                                     kernel, outputs, 1);
    if (op == NN_OP_CONV || op == NN_OP_DWCONV) {
        node->weight = &net->weights[at];
        node->bias = &net->biases[at];
    }
    return node;
}

/* The same steps one by one, each value whole in the arena. */
static struct nn_plan flattened(const struct nn_plan *plan,
                                struct nn_step *steps)
{
    struct nn_plan flat = *plan;

    memcpy(steps, plan->steps, plan->step_count * sizeof *steps);
    flat.steps = steps;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        steps[i].chain_steps = 1;
        if (steps[i].to.memory != NN_AT_CHAIN)
            continue;
        steps[i].to = steps[i + 1].from =
            (struct nn_place){NN_AT_ARENA, flat.gather_offset};
        flat.gather_offset += nn_shape_floats(&steps[i].out);
    }
    flat.arena_floats = flat.gather_offset + flat.gather_floats;
    return flat;
}

/* Runs the graph in every way and compares bits with its steps alone; how the
 * steps are chained must be `lengths`, which end with 0. */
static void check_chains(struct net *net, const uint32_t *lengths)
{
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL, flat;
    struct nn_step steps[NODES_MAX];
    float *in, *out, *alone;
    size_t ins, outs;
    uint32_t at = 0;

    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&net->graph, level, weights, &plan, NULL),
                     API_OK);
    for (; *lengths; at += *lengths++) {
        const struct nn_step *first = &plan->steps[at];

        ck_assert_uint_lt(at, plan->step_count);
        ck_assert_uint_eq(first->chain_steps, *lengths);
        if (*lengths > 1) /* in several bands */
            ck_assert_uint_lt(first->chain_rows * 3,
                              first[*lengths - 1].out.height);
    }
    ck_assert_uint_eq(at, plan->step_count);
    ins = nn_shape_floats(&plan->in);
    outs = nn_shape_floats(&plan->out);
    in = rig_memory(ins * sizeof(float));
    out = rig_memory(outs * sizeof(float));
    alone = rig_memory(outs * sizeof(float));
    fill(in, ins, FILL_NORMAL, 4);
    flat = flattened(plan, steps);
    run_plan(&flat, 1, in, alone);
    run_every_way(&net->graph, level, weights, in, out);
    ck_assert_mem_eq(out, alone, outs * sizeof(float));
    run_plan(plan, 40, in, out); /* more threads than there are rows */
    ck_assert_mem_eq(out, alone, outs * sizeof(float));
    free(alone);
    free(out);
    free(in);
    nn_plan_close(&plan);
    nn_weights_close(&weights);
    free(net);
}

/* The blocks of mobile networks: the residual is not a chain's to keep. */
START_TEST(blocks_with_a_residual)
{
    static const uint32_t lengths[] = {1, 4, 0};
    struct net *net = net_open(100, 90, 8);
    struct nn_node *node;

    append(net, NN_OP_CONV, 1, 8, 28);
    append(net, NN_OP_CONV, 3, 28, 25)->act = NN_ACT_SILU;
    append(net, NN_OP_DWCONV, 5, 25, 25);
    append(net, NN_OP_CONV, 1, 25, 28)->act = NN_ACT_NONE;
    node = append(net, NN_OP_ADD, 1, 28, 28);
    node->in_count = 2;
    node->in[1] = 1;
    memset(node->pad, 0, sizeof node->pad);
    node = append(net, NN_OP_DWCONV, 3, 28, 28);
    node->stride[0] = node->stride[1] = 3;
    check_chains(net, lengths);
}
END_TEST

/* Windows that skip rows, leave some out, and stand out unevenly. */
START_TEST(windows_of_all_kinds)
{
    static const uint32_t lengths[] = {6, 1, 0};
    struct net *net = net_open(231, 203, 3);
    struct nn_node *node = append(net, NN_OP_CONV, 3, 3, 8);

    node = append(net, NN_OP_DWCONV, 4, 8, 8);
    node->pad[0] = 3;
    node->pad[1] = 0;
    node = append(net, NN_OP_CONV, 3, 8, 9);
    node->dilation[0] = 3;
    node->pad[0] = 2;
    node->pad[1] = 6;
    node = append(net, NN_OP_MAXPOOL, 3, 9, 9);
    node->pad[0] = 0;
    node->act = NN_ACT_NONE;
    node = append(net, NN_OP_CONV, 1, 9, 24);
    node->stride[0] = 2; /* rows that no window reaches */
    node = append(net, NN_OP_AVGPOOL, 2, 24, 24);
    node->stride[0] = 3;
    node->pad[0] = node->pad[1] = node->pad[2] = node->pad[3] = 0;
    node->act = NN_ACT_NONE;
    append(net, NN_OP_CONV, 3, 24, 5);
    check_chains(net, lengths);
}
END_TEST

/* Small values, those that two read, and rows wholly in the padding. */
START_TEST(what_does_not_pay_runs_alone)
{
    static const uint32_t alone[] = {1, 1, 1, 0};
    struct net *net = net_open(60, 60, 8);
    struct nn_node *node;

    append(net, NN_OP_CONV, 3, 8, 24);
    append(net, NN_OP_DWCONV, 3, 24, 24);
    append(net, NN_OP_CONV, 1, 24, 8);
    check_chains(net, alone);

    net = net_open(200, 200, 8);
    append(net, NN_OP_CONV, 3, 8, 8);
    append(net, NN_OP_DWCONV, 3, 8, 8);
    node = append(net, NN_OP_ADD, 1, 8, 8);
    node->in_count = 2;
    node->in[0] = 1;
    node->in[1] = 2;
    memset(node->pad, 0, sizeof node->pad);
    check_chains(net, alone);

    net = net_open(200, 200, 8);
    append(net, NN_OP_CONV, 3, 8, 8);
    node = append(net, NN_OP_DWCONV, 3, 8, 8);
    node->pad[0] = 4;
    append(net, NN_OP_MAXPOOL, 1, 8, 8)->act = NN_ACT_NONE;
    check_chains(net, alone);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("chain");
    TCase *cases = tcase_create("chain");

    level = reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_test(cases, blocks_with_a_residual);
    tcase_add_test(cases, windows_of_all_kinds);
    tcase_add_test(cases, what_does_not_pay_runs_alone);
    suite_add_tcase(suite, cases);
    return suite;
}
