/* Graphs that can be parsed but not run: the planner refuses every one. */
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "api/limits.h"
#include "nn/plan.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

/* One flaw each in a graph that is otherwise fine. */

struct flawed {
    float numbers[64];
    struct nn_tensor conv, dwconv, linear, vector, integers, huge, wide;
    struct nn_node nodes[16];
    struct nn_graph graph;
};

/* conv 3x3 (2 to 4 channels), dwconv 3x3, global_avgpool, linear to 3. */
static void flawed_open(struct flawed *f)
{
    memset(f, 0, sizeof *f);
    f->conv = tensor_of(NN_F32, f->numbers, 4, 4, 1, 1, 2);
    f->dwconv = tensor_of(NN_F32, f->numbers, 3, 3, 3, 4, 1);
    f->linear = tensor_of(NN_F32, f->numbers, 2, 3, 4, 1, 1);
    f->vector = tensor_of(NN_F32, f->numbers, 1, 4, 1, 1, 1);
    f->integers = tensor_of(NN_I32, f->numbers, 4, 4, 1, 1, 2);
    /* Never read: they must be refused by their size alone. */
    f->huge = tensor_of(NN_F32, NULL, 4, 65536, 3, 3, 64);
    f->wide = tensor_of(NN_F32, NULL, 2, 65536, 65536, 1, 1);
    f->nodes[0] = (struct nn_node){.op = NN_OP_CONV,
                                   .in_count = 1,
                                   .weight = &f->conv,
                                   .bias = &f->vector,
                                   .out = {0, 4},
                                   .inch = {0, 2},
                                   .stride = {1, 1},
                                   .dilation = {1, 1},
                                   .groups = 1};
    f->nodes[1] = (struct nn_node){.op = NN_OP_DWCONV,
                                   .in_count = 1,
                                   .in = {1, 0},
                                   .weight = &f->dwconv,
                                   .out = {0, 4},
                                   .inch = {0, 4},
                                   .stride = {1, 1},
                                   .dilation = {1, 1},
                                   .groups = 1,
                                   .pad = {1, 1, 1, 1}};
    f->nodes[2] = (struct nn_node){
        .op = NN_OP_GLOBAL_AVGPOOL, .in_count = 1, .in = {2, 0}};
    f->nodes[3] = (struct nn_node){.op = NN_OP_LINEAR,
                                   .in_count = 1,
                                   .in = {3, 0},
                                   .weight = &f->linear,
                                   .out = {0, 3},
                                   .inch = {0, 4}};
    f->graph = (struct nn_graph){"flawed", {5, 5, 2}, 4, .nodes = f->nodes};
}

static void set_input(struct flawed *f, uint32_t h, uint32_t w, uint32_t c)
{
    f->graph.input[0] = h;
    f->graph.input[1] = w;
    f->graph.input[2] = c;
}

static void set_node(struct flawed *f, uint32_t index, enum nn_op op,
                     uint32_t in)
{
    f->nodes[index] = (struct nn_node){.op = op,
                                       .in_count = 1,
                                       .in = {in, 0},
                                       .stride = {1, 1},
                                       .dilation = {1, 1},
                                       .groups = 1};
    f->nodes[index].kernel[0] = f->nodes[index].kernel[1] = 2;
}

enum { FLAWS = 50 };

static void put_flaw(struct flawed *f, int flaw)
{
    struct nn_node *nodes = f->nodes;

    switch (flaw) {
    case 0:
        nodes[0].in[0] = 1; /* itself */
        break;
    case 1:
        nodes[1].in[0] = 4;
        break; /* a later one: a cycle */
    case 2:
        nodes[1].in[0] = UINT32_MAX;
        break;
    case 3:
        nodes[0].in_count = 0;
        break;
    case 4:
        nodes[0].in_count = 2;
        break;
    case 5:
        nodes[0].inch.to = 1;
        break;
    case 6:
        nodes[0].inch.to = 3;
        break; /* beyond the weight */
    case 7:
        nodes[0].out.to = 5;
        break;
    case 8:
        nodes[0].out.from = nodes[0].out.to;
        break;
    case 9:
        nodes[0].out.from = 5;
        break;
    case 10:
        nodes[0].out.to = 3;
        break; /* dwconv and bias want 4 */
    case 11:
        nodes[0].weight = NULL;
        break;
    case 12:
        nodes[0].weight = &f->dwconv;
        break;
    case 13:
        nodes[0].weight = &f->integers;
        break;
    case 14:
        nodes[0].stride[1] = 0;
        break;
    case 15:
        f->vector.dims[0] = 3;
        break;
    case 16:
        f->vector.dtype = NN_F16;
        break;
    case 17:
        memset(nodes[1].pad, 0, 4), set_input(f, 2, 5, 2);
        break;
    case 18:
        memset(nodes[1].pad, 0, 4), set_input(f, 5, 2, 2);
        break;
    case 19:
        f->conv.dims[1] = 256, set_input(f, 300, 5, 2);
        break;
    case 20:
        nodes[3].in[0] = 2;
        break; /* linear over 5 x 5 */
    case 21:
        nodes[3].inch.to = 3;
        break;
    case 22:
        set_node(f, 2, NN_OP_ADD, 1), nodes[2].in_count = 2;
        f->graph.node_count = 3;
        break;
    case 23:
        set_node(f, 2, NN_OP_AFFINE, 2);
        f->graph.node_count = 3;
        break;
    case 24:
        set_node(f, 2, NN_OP_AVGPOOL, 2), nodes[2].pad[0] = 2;
        f->graph.node_count = 3;
        break;
    case 25:
        set_node(f, 2, NN_OP_MAXPOOL, 2), nodes[2].pad[3] = 2;
        f->graph.node_count = 3;
        break;
    case 26:
        set_node(f, 2, NN_OP_MAXPOOL, 2), nodes[2].kernel[0] = 0;
        f->graph.node_count = 3;
        break;
    case 27:
        set_node(f, 2, NN_OP_AVGPOOL, 2), nodes[2].kernel[1] = 6;
        f->graph.node_count = 3;
        break;
    case 28:
        nodes[2].op = (enum nn_op)99;
        break;
    case 29:
        f->graph.node_count = 0;
        break;
    case 30:
        f->graph.node_count = API_LIMIT_NODES + 1;
        break;
    case 31:
        set_input(f, 0, 5, 2);
        break;
    case 32:
        set_input(f, API_LIMIT_TENSOR_SIDE + 1, 1, 2);
        break;
    case 33:
        set_input(f, 65536, 65536, 2);
        break;
    case 34:
        set_input(f, 16384, 8192, 2);
        break; /* output over 1 GiB */
    case 35:   /* a network's worth of nodes in one */
        set_node(f, 0, NN_OP_CONV, 0);
        nodes[0].weight = &f->huge;
        nodes[0].out = (struct nn_range){0, 65536};
        nodes[0].inch = (struct nn_range){0, 64};
        f->graph.node_count = 1;
        set_input(f, 64, 64, 64);
        break;
    case 36:
        set_node(f, 0, NN_OP_ACT, 1); /* itself */
        f->graph.node_count = 1;
        break;
    case 37:
        nodes[0].dilation[1] = 0;
        break;
    case 38: /* 3 x 3 with gaps reaches over 7 pixels */
        f->conv.dims[1] = f->conv.dims[2] = 3;
        nodes[0].dilation[0] = nodes[0].dilation[1] = 3;
        break;
    case 39:
        nodes[0].groups = 0;
        break;
    case 40: /* the input has two channels, groups want four */
        nodes[0].groups = 2;
        break;
    case 41: /* four outputs in three groups */
        f->graph.input[2] = 6;
        nodes[0].groups = 3;
        break;
    case 42: /* 2^32 channels must not wrap */
        nodes[0].groups = 0x80000001u;
        break;
    case 43:
        set_node(f, 2, NN_OP_MUL, 3), nodes[2].in_count = 2;
        break; /* itself */
    case 44:   /* a 1 x 1 by a 5 x 5 */
        set_node(f, 3, NN_OP_MUL, 3), nodes[3].in_count = 2;
        nodes[3].in[1] = 2;
        break;
    case 45:
        set_node(f, 3, NN_OP_CONCAT, 3), nodes[3].in_count = 2;
        nodes[3].in[1] = 2;
        break;
    case 46: /* twice 40000 channels */
        set_node(f, 0, NN_OP_CONCAT, 0), nodes[0].in_count = 2;
        f->graph.node_count = 1;
        set_input(f, 1, 1, 40000);
        break;
    case 47:
        set_node(f, 0, NN_OP_RESIZE, 0);
        nodes[0].size[0] = nodes[0].size[1] = 65536;
        f->graph.node_count = 1;
        break;
    case 48: /* two channels are no 2 x 2 */
        set_node(f, 0, NN_OP_DEPTH_TO_SPACE, 0), nodes[0].block = 2;
        f->graph.node_count = 1;
        break;
    default: /* weights that fit a file, but not memory */
        set_node(f, 0, NN_OP_LINEAR, 0);
        nodes[0].weight = &f->wide;
        nodes[0].out = nodes[0].inch = (struct nn_range){0, 65536};
        f->graph.node_count = 1;
        set_input(f, 1, 1, 65536);
        break;
    }
}

START_TEST(flawed_graphs_are_refused)
{
    struct flawed f;
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    struct api_error error = {0};

    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    flawed_open(&f);
    ck_assert_int_eq(nn_plan_build(&f.graph, level, weights, &plan, &error),
                     API_OK);
    nn_plan_close(&plan);
    put_flaw(&f, _i);
    ck_assert_int_eq(nn_plan_build(&f.graph, level, weights, &plan, &error),
                     API_BAD_BUNDLE);
    ck_assert_ptr_null(plan);
    ck_assert_int_eq(error.status, API_BAD_BUNDLE);
    ck_assert_uint_gt(strlen(error.text), 0);
    ck_assert_int_eq(nn_plan_build(&f.graph, level, weights, &plan, NULL),
                     API_BAD_BUNDLE);
    nn_weights_close(&weights);
}
END_TEST

/* Each value fits, all of them at once do not. */
START_TEST(too_much_memory_at_once_is_refused)
{
    struct nn_node nodes[10];
    const struct nn_graph graph = {
        "big", {8192, 8192, 1}, 10, .nodes = nodes};
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    struct api_error error = {0};

    for (uint32_t i = 0; i < 10; i++) {
        nodes[i] = (struct nn_node){.op = NN_OP_ACT, .in_count = 1};
        if (i >= 5) /* reads all that the first five made */
            nodes[i] = (struct nn_node){
                .op = NN_OP_ADD, .in_count = 2, .in = {i, 10 - i}};
    }
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plan, &error),
                     API_BAD_BUNDLE);
    ck_assert_ptr_null(plan);
    ck_assert_ptr_nonnull(strstr(error.text, "memory"));
    nn_weights_close(&weights);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("refusals");
    TCase *cases = tcase_create("refusals");

    level = reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_loop_test(cases, flawed_graphs_are_refused, 0, FLAWS);
    tcase_add_test(cases, too_much_memory_at_once_is_refused);
    suite_add_tcase(suite, cases);
    return suite;
}
