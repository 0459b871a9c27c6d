/* Which layers oneDNN gets, and that they fit among ours. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include <check.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/cpu.h"
#include "nn/nn.h"
#include "nn/onednn.h"
#include "nn/plan.h"
#include "tests/nn/reference.h"
#include "tests/nn/rig.h"
#include "tests/nn/run_plan.h"
#include "tests/run_suite.h"

#define DEFAULT CLEAVE_SOURCE_DIR "/models/default.safetensors"

static const struct nn_kernels *level; /* the best here; not scalar */

/* Check forks for every test, so that each begins with nothing loaded. */
static void use(const char *said)
{
    ck_assert_int_eq(said ? setenv("CLEAVE_ONEDNN", said, 1)
                          : unsetenv("CLEAVE_ONEDNN"),
                     0);
    ck_assert_int_eq(nn_onednn_use(NULL), API_OK);
}

static int is_onednn(struct dl_phdr_info *info, size_t bytes, void *with)
{
    (void)bytes;
    (void)with;
    return strstr(info->dlpi_name, "libdnnl") != NULL;
}

static bool library_is_mapped(void)
{
    return dl_iterate_phdr(is_onednn, NULL) != 0;
}

static struct nn_node conv(const struct nn_tensor *weight, uint32_t in)
{
    struct nn_node node = {.op = NN_OP_CONV,
                           .in_count = 1,
                           .in = {in, 0},
                           .weight = weight,
                           .out = {0, weight->dims[0]},
                           .inch = {0, weight->dims[3]},
                           .stride = {1, 1},
                           .dilation = {1, 1},
                           .groups = 1};

    memset(node.pad, (int)weight->dims[1] / 2, sizeof node.pad);
    return node;
}

/* How many layers of one convolution on side x side pixels go to oneDNN. */
static uint32_t layers_of(const struct nn_kernels *kernels, uint32_t side,
                          uint32_t kernel, uint32_t inputs, uint32_t outputs,
                          uint32_t groups)
{
    const size_t length = (size_t)outputs * kernel * kernel * inputs;
    float *numbers = rig_memory(length * sizeof *numbers);
    const struct nn_tensor weight = tensor_of(
        NN_F32, numbers, 4, outputs, kernel, kernel, inputs / groups);
    struct nn_node node = conv(&weight, 0);
    const struct nn_graph graph = {
        "g", {side, side, inputs}, 1, .nodes = &node};
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    uint32_t count;

    node.groups = groups;
    fill(numbers, (size_t)outputs * kernel * kernel * inputs, FILL_NORMAL, 1);
    ck_assert_int_eq(nn_weights_open(kernels, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&graph, kernels, weights, &plan, NULL),
                     API_OK);
    count = plan->layer_count;
    nn_plan_close(&plan);
    nn_weights_close(&weights);
    free(numbers);
    return count;
}

START_TEST(only_large_layers_load_it)
{
    struct nn_model *model = NULL;

    use(NULL);
    ck_assert_int_eq(nn_model_open(DEFAULT, &model, NULL), API_OK);
    nn_model_close(&model);
    ck_assert_uint_eq(layers_of(level, 14, 3, 48, 96, 1), 0);
    ck_assert_uint_eq(layers_of(level, 28, 1, 64, 256, 1), 0);
    ck_assert_uint_eq(layers_of(level, 28, 3, 256, 256, 2), 0);
    ck_assert_uint_eq(layers_of(&nn_kernels_scalar, 14, 3, 256, 256, 1), 0);
    ck_assert(!library_is_mapped());
    ck_assert_uint_eq(layers_of(level, 7, 3, 512, 512, 1), 1);
    ck_assert_uint_eq(layers_of(level, 28, 1, 256, 256, 1), 1);
    ck_assert(library_is_mapped());
}
END_TEST

START_TEST(the_environment_overrides)
{
    struct api_error error = {0};

    use("off");
    ck_assert_uint_eq(layers_of(level, 7, 3, 512, 512, 1), 0);
    ck_assert(!library_is_mapped());
    use("");
    ck_assert_uint_eq(layers_of(level, 5, 3, 4, 4, 1), 0);
    use("on");
    ck_assert_uint_eq(layers_of(level, 5, 3, 4, 4, 1), 1);
    ck_assert_uint_eq(layers_of(&nn_kernels_scalar, 5, 3, 4, 4, 1), 0);
    ck_assert_int_eq(setenv("CLEAVE_ONEDNN", "sometimes", 1), 0);
    ck_assert_int_eq(nn_onednn_use(&error), API_USAGE);
    ck_assert_ptr_nonnull(strstr(error.text, "CLEAVE_ONEDNN"));
}
END_TEST

static bool wants_all(const struct nn_dense *dense,
                      const struct nn_kernels *kernels)
{
    (void)dense;
    (void)kernels;
    return true;
}

static struct nn_layer *open_none(const struct nn_dense *dense,
                                  const struct nn_kernels *kernels,
                                  const float *weights, const float *biases)
{
    (void)dense;
    (void)kernels;
    (void)weights;
    (void)biases;
    return NULL;
}

/* As where there is no library, or a layer that it lacks. */
START_TEST(what_it_refuses_is_ours)
{
    static const struct nn_provider refusing = {.wants = wants_all,
                                                .open = open_none};

    nn_provider_use(&refusing);
    ck_assert_uint_eq(layers_of(level, 7, 3, 512, 512, 1), 0);
}
END_TEST

/* A layer that only knows how much it takes. */
struct nn_layer {
    size_t bytes, scratch_floats;
};

static struct nn_layer taken;
static int opened, closed;

static struct nn_layer *open_greedy(const struct nn_dense *dense,
                                    const struct nn_kernels *kernels,
                                    const float *weights, const float *biases)
{
    (void)open_none(dense, kernels, weights, biases);
    opened++;
    return &taken;
}

static void close_greedy(struct nn_layer *layer)
{
    closed += layer == &taken;
}

static size_t bytes_greedy(const struct nn_layer *layer)
{
    return layer->bytes;
}

static size_t scratch_greedy(const struct nn_layer *layer)
{
    return layer->scratch_floats;
}

/* It would be a good bundle where there is no such library. */
START_TEST(what_takes_too_much_is_ours)
{
    static const struct nn_provider greedy = {.wants = wants_all,
                                              .open = open_greedy,
                                              .close = close_greedy,
                                              .bytes = bytes_greedy,
                                              .scratch_floats = scratch_greedy};

    nn_provider_use(&greedy);
    taken = (struct nn_layer){64, 64};
    ck_assert_uint_eq(layers_of(level, 5, 3, 4, 4, 1), 1);
    taken = (struct nn_layer){64, API_LIMIT_ARENA_BYTES / sizeof(float) + 1};
    ck_assert_uint_eq(layers_of(level, 5, 3, 4, 4, 1), 0);
    taken = (struct nn_layer){(size_t)API_LIMIT_PACKED_BYTES + 1, 64};
    ck_assert_uint_eq(layers_of(level, 5, 3, 4, 4, 1), 0);
    ck_assert_int_eq(opened, 3);
    ck_assert_int_eq(closed, 3);
}
END_TEST

/* Random graphs of convolutions and additions: every way in which what is added
 * may lie in memory, and every activation. */

enum { HEIGHT = 5, WIDTH = 7, CHANNELS = 20, NODES_MAX = 12, GRAPHS = 400 };
enum { VALUE_FLOATS = HEIGHT * WIDTH * CHANNELS };

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 10) % below;
}

static struct nn_node random_node(const struct nn_tensor *tensors,
                                  uint32_t *state, uint32_t newest)
{
    struct nn_node node =
        conv(&tensors[draw(state, 2)],
             draw(state, 3) ? newest : draw(state, newest + 1));

    if (draw(state, 2))
        node.bias = &tensors[2];
    if (draw(state, 2)) {
        node.op = NN_OP_ADD;
        node.weight = node.bias = NULL;
        node.in_count = 2;
        node.in[0] = newest;
        node.in[1] = draw(state, newest + 1);
    }
    node.limits[0] = -0.5f;
    node.limits[1] = 0.25f;
    node.slope = 0.125f;
    if (draw(state, 2))
        node.act = (enum nn_act)draw(state, NN_ACT_GELU + 1);
    return node;
}

static struct nn_plan *run(const struct nn_graph *graph,
                           struct nn_weights *weights, const float *input,
                           float *output)
{
    struct nn_plan *plan = NULL;

    ck_assert_int_eq(nn_plan_build(graph, level, weights, &plan, NULL),
                     API_OK);
    run_plan(plan, 1, input, output);
    return plan;
}

static bool shares_place(const struct nn_step *step)
{
    return step->residual && step->with.memory == step->to.memory &&
           step->with.offset == step->to.offset;
}

START_TEST(graphs_say_what_ours_do)
{
    static float numbers[2][CHANNELS * 9 * CHANNELS], input[VALUE_FLOATS];
    static float ours[VALUE_FLOATS], theirs[VALUE_FLOATS];
    const struct nn_tensor tensors[] = {
        tensor_of(NN_F32, numbers[0], 4, CHANNELS, 3, 3, CHANNELS),
        tensor_of(NN_F32, numbers[1], 4, CHANNELS, 1, 1, CHANNELS),
        tensor_of(NN_F32, numbers[1], 1, CHANNELS, 1, 1, 1)};
    struct nn_weights *plain = NULL, *provided = NULL;
    uint32_t state = 7, layers = 0, in_place = 0, copied = 0;
    struct nn_node nodes[NODES_MAX];

    ck_assert_int_eq(nn_weights_open(level, &plain), API_OK);
    ck_assert_int_eq(nn_weights_open(level, &provided), API_OK);
    fill(input, VALUE_FLOATS, FILL_NORMAL, 2);
    for (int kind = 0; kind < 2; kind++) {
        fill(numbers[kind], CHANNELS * 9 * CHANNELS, FILL_NORMAL, 3);
        for (int i = 0; i < CHANNELS * 9 * CHANNELS; i++)
            numbers[kind][i] *= kind ? 0.3f : 0.1f; /* sums stay near 1 */
    }
    for (int round = 0; round < GRAPHS; round++) {
        const struct nn_graph graph = {"g",
                                       {HEIGHT, WIDTH, CHANNELS},
                                       1 + draw(&state, NODES_MAX),
                                       .nodes = nodes};
        struct nn_plan *plan;
        float largest = 1.0f;

        for (uint32_t i = 0; i < graph.node_count; i++)
            nodes[i] = random_node(tensors, &state, i);
        nn_provider_use(NULL);
        plan = run(&graph, plain, input, ours);
        ck_assert_uint_eq(plan->layer_count, 0);
        nn_plan_close(&plan);
        use("on");
        plan = run(&graph, provided, input, theirs);
        for (uint32_t i = 0; i < plan->step_count; i++) {
            const struct nn_step *step = &plan->steps[i];

            ck_assert(step->op != NN_OP_CONV || (step->layer && !step->packed));
            layers += step->layer != NULL;
            in_place += shares_place(step);
            copied += step->residual && !shares_place(step);
        }
        nn_plan_close(&plan);
        for (int i = 0; i < VALUE_FLOATS; i++)
            largest = fmaxf(largest, fabsf(ours[i]));
        for (int i = 0; i < VALUE_FLOATS; i++)
            if (!(fabsf(ours[i] - theirs[i]) <= 1e-5f * largest))
                ck_abort_msg("graph %d, value %d: %.9g instead of %.9g", round,
                             i, (double)theirs[i], (double)ours[i]);
    }
    ck_assert_uint_gt(layers, 500); /* or this tested less than it says */
    ck_assert_uint_gt(in_place, 50);
    ck_assert_uint_gt(copied, 50);
    nn_weights_close(&provided);
    nn_weights_close(&plain);
}
END_TEST

/* Weights are held once, by oneDNN or by us, and equal layers are one. */
START_TEST(layers_are_shared)
{
    enum { SIDE = 9, WIDE = 64, WEIGHTS = WIDE * 9 * WIDE };
    float *numbers = rig_memory(WEIGHTS * sizeof *numbers);
    const struct nn_tensor weight =
        tensor_of(NN_F32, numbers, 4, WIDE, 3, 3, WIDE);
    struct nn_node nodes[3] = {conv(&weight, 0), conv(&weight, 1),
                               conv(&weight, 2)};
    const struct nn_graph graph = {
        "g", {SIDE, SIDE, WIDE}, 3, .nodes = nodes};
    struct nn_weights *weights = NULL;
    struct nn_plan *plans[2] = {NULL, NULL};
    size_t bytes;

    use("on");
    fill(numbers, WEIGHTS, FILL_NORMAL, 4);
    nodes[2].act = NN_ACT_RELU;
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plans[0], NULL),
                     API_OK);
    bytes = nn_weights_bytes(weights);
    ck_assert_uint_ge(bytes, 2 * WEIGHTS * sizeof *numbers);
    ck_assert_uint_lt(bytes, 2 * WEIGHTS * sizeof *numbers * 11 / 10);
    ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plans[1], NULL),
                     API_OK);
    ck_assert_uint_eq(nn_weights_bytes(weights), bytes);
    ck_assert_ptr_eq(plans[0]->steps[0].layer, plans[0]->steps[1].layer);
    ck_assert_ptr_ne(plans[0]->steps[0].layer, plans[0]->steps[2].layer);
    ck_assert_ptr_eq(plans[0]->steps[2].layer, plans[1]->steps[2].layer);
    nn_plan_close(&plans[1]);
    nn_plan_close(&plans[0]);
    nn_weights_close(&weights);
    free(numbers);
}
END_TEST

/* One context of several on the same plan. */
struct worker {
    const struct nn_plan *plan;
    const float *input;
    float *output;
};

static void *work(void *with)
{
    const struct worker *worker = with;
    const struct nn_plan *plan = worker->plan;
    struct nn_handle **handles = NULL;
    float *arena = rig_memory((plan->arena_floats + 1) * sizeof *arena);

    ck_assert_int_eq(nn_plan_bind(plan, &handles, NULL), API_OK);
    for (int round = 0; round < 20; round++)
        nn_plan_run(plan, NULL, arena, handles, worker->input, worker->output);
    nn_plan_unbind(plan, &handles);
    free(arena);
    return NULL;
}

START_TEST(contexts_share_a_plan)
{
    enum { WORKERS = 4, WIDE = 32, WEIGHTS = WIDE * 9 * WIDE, SIDE = 12 };
    enum { FLOATS = SIDE * SIDE * WIDE };
    static float numbers[WEIGHTS], input[FLOATS], output[WORKERS][FLOATS];
    const struct nn_tensor weight =
        tensor_of(NN_F32, numbers, 4, WIDE, 3, 3, WIDE);
    struct nn_node nodes[3] = {
        conv(&weight, 0),
        conv(&weight, 1),
        {.op = NN_OP_ADD, .act = NN_ACT_RELU, .in_count = 2, .in = {1, 2}}};
    const struct nn_graph graph = {
        "g", {SIDE, SIDE, WIDE}, 3, .nodes = nodes};
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];

    use("on");
    fill(numbers, WEIGHTS, FILL_NORMAL, 5);
    fill(input, FLOATS, FILL_NORMAL, 6);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_plan_build(&graph, level, weights, &plan, NULL),
                     API_OK);
    ck_assert_uint_eq(plan->layer_count, 2);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){plan, input, output[i]};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]),
                         0);
    }
    for (int i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_mem_eq(output[i], output[0], sizeof output[0]);
    }
    nn_plan_close(&plan);
    nn_weights_close(&weights);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("onednn");
    TCase *cases = tcase_create("onednn");

    if (nn_cpu_select(&level, NULL) != API_OK || level == &nn_kernels_scalar) {
        printf("skipped: this machine has no vector kernels\n");
        exit(77);
    }
    tcase_set_timeout(cases, 0);
    tcase_add_test(cases, only_large_layers_load_it);
    tcase_add_test(cases, the_environment_overrides);
    tcase_add_test(cases, what_it_refuses_is_ours);
    tcase_add_test(cases, what_takes_too_much_is_ours);
    tcase_add_test(cases, graphs_say_what_ours_do);
    tcase_add_test(cases, layers_are_shared);
    tcase_add_test(cases, contexts_share_a_plan);
    suite_add_tcase(suite, cases);
    return suite;
}
