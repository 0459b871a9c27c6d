/* Whole models at one CPU level: PyTorch's values, scalar's, no allocation. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle.h"
#include "nn/cpu.h"
#include "nn/nn.h"
#include "nn/plan.h"
#include "tests/nn/allocator.h"
#include "tests/nn/golden.h"
#include "tests/nn/reference.h"
#include "tests/nn/rig.h"
#include "tests/nn/run_plan.h"
#include "tests/run_suite.h"

#define OPERATORS CLEAVE_SOURCE_DIR "/tests/data/operators.safetensors"
#define DEFAULT CLEAVE_SOURCE_DIR "/models/default.safetensors"

static const struct nn_kernels *level;

START_TEST(nodes_match_pytorch)
{
    static const char *const paths[] = {RIG_TINY, OPERATORS};
    static const char *const goldens[] = {"tiny_golden.safetensors",
                                          "operators_golden.safetensors"};
    struct nn_bundle *bundle = NULL;
    struct nn_weights *weights = NULL;
    struct golden *golden = golden_open(goldens[_i]);
    const struct nn_kernels *kernels = level;
    uint32_t compared = 0;

    ck_assert_int_eq(nn_bundle_open(paths[_i], &bundle, NULL), API_OK);
    ck_assert_int_eq(nn_weights_open(kernels, &weights), API_OK);
    for (uint32_t i = 0; i < bundle->graph_count; i++) {
        /* The graph cut off behind each of its nodes in turn. */
        struct nn_graph graph = bundle->graphs[i];
        uint32_t nodes = graph.node_count;
        size_t in_floats =
            (size_t)graph.input[0] * graph.input[1] * graph.input[2];
        float *input = rig_memory(in_floats * sizeof(float));
        char name[300];

        snprintf(name, sizeof name, "input/%s", graph.name);
        if (golden_has(golden, name)) {
            memcpy(input, golden_data(golden, name, in_floats * sizeof(float)),
                   in_floats * sizeof(float));
        } else if (graph.input[2] == 3) {
            const uint8_t *pixels = golden_data(golden, "pixels", in_floats);

            for (size_t k = 0; k < in_floats; k++)
                input[k] = ((float)pixels[k] - bundle->input.mean[k % 3]) /
                           bundle->input.scale[k % 3];
        }
        for (uint32_t node = 0; node < nodes; node++) {
            struct nn_plan *plan = NULL;
            float *output;

            snprintf(name, sizeof name, "nodes/%s/%u", graph.name, node);
            if (!golden_has(golden, name))
                continue;
            graph.node_count = node + 1;
            ck_assert_int_eq(
                nn_plan_build(&graph, kernels, weights, &plan, NULL), API_OK);
            output = rig_memory(nn_shape_floats(&plan->out) * sizeof(float));
            run_plan(plan, 1, input, output);
            golden_compare(golden, name, output, nn_shape_floats(&plan->out));
            free(output);
            nn_plan_close(&plan);
            compared++;
        }
        free(input);
    }
    ck_assert_uint_ge(compared, 17); /* all of `ops` and of `full` */
    nn_weights_close(&weights);
    nn_bundle_close(&bundle);
    golden_close(golden);
}
END_TEST

START_TEST(tiny_points_match_pytorch)
{
    struct golden *golden = golden_open("tiny_golden.safetensors");
    struct rig rig;
    uint32_t classes;
    size_t pixel_bytes;

    rig_open(&rig, RIG_TINY);
    ck_assert_str_eq(nn_cpu_name(), level->name);
    classes = nn_model_class_count(rig.model);
    pixel_bytes = (size_t)nn_model_input(rig.model)->width *
                  nn_model_input(rig.model)->height * 3;
    memcpy(rig.pixels, golden_data(golden, "pixels", pixel_bytes), pixel_bytes);
    for (uint16_t i = 0; i < nn_model_point_count(rig.model); i++) {
        const struct api_point *point = nn_model_point(rig.model, i);
        size_t values = nn_latent_values(rig.model, i), bytes = 0;
        const float *latent, *restored;
        char name[100];

        snprintf(name, sizeof name, "probabilities/%s", point->id);
        if (point->kind != API_POINT_SPLIT) {
            ck_assert_int_eq(
                nn_run_full(rig.context, i, rig.pixels, rig.probabilities),
                API_OK);
            golden_compare(golden, name, rig.probabilities, classes);
            continue;
        }
        /* Each part from PyTorch's input to it, so that one unlucky rounding
         * in the codec cannot hide or fake a fault elsewhere. */
        ck_assert_int_eq(nn_run_head(rig.context, i, rig.pixels, rig.latent),
                         API_OK);
        snprintf(name, sizeof name, "latent/%s", point->id);
        golden_compare(golden, name, rig.latent, values);
        latent = golden_data(golden, name, values * sizeof(float));
        ck_assert_int_eq(nn_latent_encode(rig.context, i, latent, rig.payload,
                                          nn_latent_bound(rig.model, i),
                                          &bytes),
                         API_OK);
        ck_assert_int_eq(nn_latent_decode(rig.context, i, rig.payload, bytes,
                                          rig.restored, NULL),
                         API_OK);
        snprintf(name, sizeof name, "restored/%s", point->id);
        golden_compare(golden, name, rig.restored, values);
        restored = golden_data(golden, name, values * sizeof(float));
        ck_assert_int_eq(
            nn_run_tail(rig.context, i, restored, rig.probabilities), API_OK);
        snprintf(name, sizeof name, "probabilities/%s", point->id);
        golden_compare(golden, name, rig.probabilities, classes);
    }
    rig_close(&rig);
    golden_close(golden);
}
END_TEST

START_TEST(runs_do_not_allocate)
{
    static const char *const paths[] = {RIG_TINY, DEFAULT};
    struct rig rig;
    size_t before;

    rig_open(&rig, paths[_i % 2]);
    ck_assert_int_eq(
        nn_context_use_threads(rig.context, 1 + (uint32_t)_i / 2 * 2, NULL),
        API_OK);
    ck_assert_uint_gt(allocator_calls, 0); /* or the linker counted nothing */
    before = allocator_calls; /* Check allocates too, so no assertion below */
    for (uint16_t i = 0; i < nn_model_point_count(rig.model); i++) {
        enum api_status status;
        size_t bytes = 0;

        if (nn_model_point(rig.model, i)->kind != API_POINT_SPLIT) {
            status = nn_run_full(rig.context, i, rig.pixels, rig.probabilities);
        } else {
            status = nn_run_head(rig.context, i, rig.pixels, rig.latent);
            if (status == API_OK)
                status =
                    nn_latent_encode(rig.context, i, rig.latent, rig.payload,
                                     nn_latent_bound(rig.model, i), &bytes);
            if (status == API_OK)
                status = nn_latent_decode(rig.context, i, rig.payload, bytes,
                                          rig.restored, NULL);
            if (status == API_OK)
                status = nn_run_tail(rig.context, i, rig.restored,
                                     rig.probabilities);
        }
        if (status != API_OK || allocator_calls != before)
            ck_abort_msg("point %u: status %d, %zu allocations", i, (int)status,
                         allocator_calls - before);
    }
    rig_close(&rig);
}
END_TEST

/* Float sums in another order, through up to 60 layers. */
static void compare_levels(const char *what, const float *got,
                           const float *expected, size_t count)
{
    float largest = 0.0f;

    for (size_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - expected[i]) <= 1e-3f * largest))
            ck_abort_msg("%s[%zu]: %.9g, scalar %.9g", what, i, (double)got[i],
                         (double)expected[i]);
}

static void run_graph(const struct nn_graph *graph,
                      const struct nn_kernels *kernels,
                      struct nn_weights *weights, const float *input,
                      float *output)
{
    struct nn_plan *plan = NULL;

    ck_assert_int_eq(nn_plan_build(graph, kernels, weights, &plan, NULL),
                     API_OK);
    run_plan(plan, 1, input, output);
    nn_plan_close(&plan);
}

START_TEST(default_graphs_match_scalar)
{
    struct nn_bundle *bundle = NULL;
    struct nn_weights *ours = NULL, *theirs = NULL;
    const struct nn_kernels *kernels = level;

    ck_assert_int_eq(nn_bundle_open(DEFAULT, &bundle, NULL), API_OK);
    ck_assert_int_eq(nn_weights_open(kernels, &ours), API_OK);
    ck_assert_int_eq(nn_weights_open(&nn_kernels_scalar, &theirs), API_OK);
    for (uint32_t i = 0; i < bundle->graph_count; i++) {
        const struct nn_graph *graph = &bundle->graphs[i];
        size_t in_floats =
            (size_t)graph->input[0] * graph->input[1] * graph->input[2];
        float *input = rig_memory(in_floats * sizeof(float));
        struct nn_plan *plan = NULL;
        float *got, *expected;
        size_t count;

        for (size_t k = 0; k < in_floats; k++)
            input[k] = (float)sin((double)k * 0.37);
        ck_assert_int_eq(nn_plan_build(graph, kernels, ours, &plan, NULL),
                         API_OK);
        count = nn_shape_floats(&plan->out);
        nn_plan_close(&plan);
        got = rig_memory(count * sizeof(float));
        expected = rig_memory(count * sizeof(float));
        run_graph(graph, kernels, ours, input, got);
        run_graph(graph, &nn_kernels_scalar, theirs, input, expected);
        compare_levels(graph->name, got, expected, count);
        free(expected);
        free(got);
        free(input);
    }
    nn_weights_close(&theirs);
    nn_weights_close(&ours);
    nn_bundle_close(&bundle);
}
END_TEST

/* A batch goes through a tail stage by stage: neither all at once, for the
 * weights do not fit a cache, nor step by step where they do. */
START_TEST(tails_have_stages)
{
    struct nn_bundle *bundle = NULL;
    struct nn_weights *weights = NULL;
    uint32_t tails = 0;

    ck_assert_int_eq(nn_bundle_open(DEFAULT, &bundle, NULL), API_OK);
    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    for (uint32_t i = 0; i < bundle->graph_count; i++) {
        struct nn_plan *plan = NULL;
        uint32_t stages = 0;

        if (strncmp(bundle->graphs[i].name, "tail/", 5) != 0)
            continue;
        ck_assert_int_eq(
            nn_plan_build(&bundle->graphs[i], level, weights, &plan, NULL),
            API_OK);
        for (uint32_t k = 0; k < plan->step_count; k++)
            stages += plan->steps[k].begins_stage;
        ck_assert_uint_gt(stages, 3);
        ck_assert_uint_lt(stages, plan->step_count / 2);
        nn_plan_close(&plan);
        tails++;
    }
    ck_assert_uint_ge(tails, 4);
    nn_weights_close(&weights);
    nn_bundle_close(&bundle);
}
END_TEST

/* The whole network and every tail end in the same layers, and tails have the
 * same weights whatever their values' scales. */
START_TEST(default_weights_are_shared)
{
    struct nn_bundle *bundle = NULL;
    struct nn_weights *weights = NULL;
    const struct nn_kernels *kernels = level;

    ck_assert_int_eq(nn_bundle_open(DEFAULT, &bundle, NULL), API_OK);
    ck_assert_int_eq(nn_weights_open(kernels, &weights), API_OK);
    for (uint32_t i = 0; i < bundle->graph_count; i++) {
        struct nn_plan *plan = NULL;

        ck_assert_int_eq(
            nn_plan_build(&bundle->graphs[i], kernels, weights, &plan, NULL),
            API_OK);
        nn_plan_close(&plan);
    }
    /* Padding of panels, and two widths of a few small tensors. */
    ck_assert_uint_lt(nn_weights_bytes(weights), bundle->data_bytes * 5 / 4);
    nn_weights_close(&weights);
    nn_bundle_close(&bundle);
}
END_TEST

/* What a point's device and server make of a picture. */
static size_t run_point(struct rig *rig, uint16_t point)
{
    size_t bytes = 0;

    if (nn_model_point(rig->model, point)->kind != API_POINT_SPLIT) {
        ck_assert_int_eq(
            nn_run_full(rig->context, point, rig->pixels, rig->probabilities),
            API_OK);
        return 0;
    }
    ck_assert_int_eq(nn_run_head(rig->context, point, rig->pixels, rig->latent),
                     API_OK);
    ck_assert_int_eq(
        nn_latent_encode(rig->context, point, rig->latent, rig->payload,
                         nn_latent_bound(rig->model, point), &bytes),
        API_OK);
    ck_assert_int_eq(nn_latent_decode(rig->context, point, rig->payload, bytes,
                                      rig->restored, NULL),
                     API_OK);
    ck_assert_int_eq(
        nn_run_tail(rig->context, point, rig->restored, rig->probabilities),
        API_OK);
    return bytes;
}

static uint8_t *read_file(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    *count = (size_t)ftell(file);
    rewind(file);
    bytes = rig_memory(*count);
    ck_assert_uint_eq(fread(bytes, 1, *count, file), *count);
    fclose(file);
    return bytes;
}

/* All runs as before when the bytes are gone; only the export does not. */
START_TEST(bytes_can_be_returned)
{
    static const char *const paths[] = {RIG_TINY, OPERATORS};
    struct rig mapped, lent;
    uint8_t *bytes, *head = NULL;
    size_t count, head_bytes;

    rig_open(&mapped, paths[_i]);
    rig_open(&lent, paths[_i]);
    nn_context_close(&lent.context);
    nn_model_close(&lent.model);
    bytes = read_file(paths[_i], &count);
    ck_assert_int_eq(nn_model_open_bytes(bytes, count, &lent.model, NULL),
                     API_OK);
    nn_model_return_bytes(lent.model);
    memset(bytes, 0xff, count);
    free(bytes);
    ck_assert_int_eq(nn_context_open(lent.model, &lent.context, NULL), API_OK);
    for (uint16_t i = 0; i < nn_model_point_count(mapped.model); i++) {
        size_t expected = run_point(&mapped, i);

        ck_assert_uint_eq(run_point(&lent, i), expected);
        ck_assert_mem_eq(lent.payload, mapped.payload, expected);
        ck_assert_mem_eq(lent.probabilities, mapped.probabilities,
                         nn_model_class_count(mapped.model) * sizeof(float));
    }
    ck_assert_int_eq(
        nn_model_export_head(lent.model, true, &head, &head_bytes, NULL),
        API_UNAVAILABLE);
    nn_model_return_bytes(mapped.model); /* stays mapped */
    ck_assert_int_eq(
        nn_model_export_head(mapped.model, true, &head, &head_bytes, NULL),
        API_OK);
    free(head);
    rig_close(&lent);
    rig_close(&mapped);
}
END_TEST

/* Latents of different pictures, more of them than the arena has room for, by
 * one thread and by three. */
START_TEST(tails_of_a_batch_change_no_bit)
{
    enum { MOST = 7 };
    enum api_status status;
    static const char *const paths[] = {RIG_TINY, DEFAULT};
    struct rig rig;
    size_t classes, values, before;
    float *latents, *alone, *together;

    rig_open(&rig, paths[_i % 2]);
    ck_assert_int_eq(nn_context_use_threads(rig.context, _i == 2 ? 3 : 1, NULL),
                     API_OK);
    classes = nn_model_class_count(rig.model);
    alone = rig_memory(MOST * classes * sizeof(float));
    together = rig_memory(MOST * classes * sizeof(float));
    for (uint16_t i = 0; i < nn_model_point_count(rig.model); i++) {
        if (nn_model_point(rig.model, i)->kind != API_POINT_SPLIT ||
            (i > 0 && nn_model_same_tail(rig.model, i, i - 1)))
            continue;
        values = nn_latent_values(rig.model, i);
        latents = rig_memory(MOST * values * sizeof(float));
        for (size_t k = 0; k < MOST * values; k++)
            latents[k] = (float)(k * 2654435761u % 1000) / 250 - 2;
        for (size_t k = 0; k < MOST; k++)
            ck_assert_int_eq(nn_run_tail(rig.context, i, latents + k * values,
                                         alone + k * classes),
                             API_OK);
        for (uint32_t count = 2; count <= MOST; count += 5) {
            memset(together, 0, MOST * classes * sizeof(float));
            before = allocator_calls;
            status = nn_run_tails(rig.context, i, count, latents, together);
            before = allocator_calls - before;
            ck_assert_uint_eq(before, 0);
            ck_assert_int_eq(status, API_OK);
            ck_assert_mem_eq(together, alone, count * classes * sizeof(float));
            if (count < MOST)
                ck_assert(together[count * classes] == 0.0f);
        }
        free(latents);
    }
    free(together);
    free(alone);
    rig_close(&rig);
}
END_TEST

START_TEST(points_share_tails_as_the_bundle_says)
{
    struct rig rig;
    int offload, base, thin, other;

    rig_open(&rig, DEFAULT);
    offload = nn_model_point_find(rig.model, "offload");
    base = nn_model_point_find(rig.model, "w100-base");
    thin = nn_model_point_find(rig.model, "w100-thin");
    other = nn_model_point_find(rig.model, "light-base");
    ck_assert(offload >= 0 && base >= 0 && thin >= 0 && other >= 0);
    ck_assert(nn_model_same_tail(rig.model, (uint16_t)base, (uint16_t)thin));
    ck_assert(!nn_model_same_tail(rig.model, (uint16_t)base, (uint16_t)other));
    ck_assert(
        !nn_model_same_tail(rig.model, (uint16_t)base, (uint16_t)offload));
    rig_close(&rig);
}
END_TEST

START_TEST(points_without_a_part_are_refused)
{
    struct rig rig;
    uint16_t count;

    rig_open(&rig, RIG_TINY);
    count = nn_model_point_count(rig.model);
    for (uint16_t i = 0; i < count; i++) {
        const struct api_point *point = nn_model_point(rig.model, i);
        bool split = point->kind == API_POINT_SPLIT;

        ck_assert_int_eq(nn_model_point_find(rig.model, point->id), i);
        ck_assert_int_eq(nn_model_has_head(rig.model, i),
                         split || point->kind == API_POINT_LOCAL);
        ck_assert_int_eq(nn_model_has_tail(rig.model, i),
                         split || point->kind == API_POINT_OFFLOAD);
        if (split)
            continue;
        ck_assert_uint_eq(nn_latent_values(rig.model, i), 0);
        ck_assert_int_eq(nn_run_head(rig.context, i, rig.pixels, rig.latent),
                         API_UNAVAILABLE);
        ck_assert_int_eq(
            nn_run_tail(rig.context, i, rig.latent, rig.probabilities),
            API_UNAVAILABLE);
    }
    for (uint16_t i = 0; i < count; i++) {
        /* Rates have priors of their own, widths heads of their own. */
        for (uint16_t j = 0; j < count; j++)
            ck_assert_int_eq(nn_model_same_input(rig.model, i, j),
                             i == j && nn_model_has_tail(rig.model, i));
        ck_assert(!nn_model_same_input(rig.model, i, count));
    }
    ck_assert_ptr_null(nn_model_point(rig.model, count));
    ck_assert_ptr_null(
        nn_model_label(rig.model, nn_model_class_count(rig.model)));
    ck_assert_int_eq(nn_model_point_find(rig.model, "nonesuch"), -1);
    ck_assert(!nn_model_has_head(rig.model, count));
    ck_assert_int_eq(nn_run_head(rig.context, count, rig.pixels, rig.latent),
                     API_NOT_FOUND);
    ck_assert_int_eq(
        nn_run_tail(rig.context, count, rig.latent, rig.probabilities),
        API_NOT_FOUND);
    rig_close(&rig);
}
END_TEST

START_TEST(a_missing_file_is_not_found)
{
    struct nn_model *model = NULL;
    struct api_error error = {0};

    ck_assert_int_eq(nn_model_open("/nonexistent", &model, &error),
                     API_NOT_FOUND);
    ck_assert_ptr_null(model);
    ck_assert_int_eq(error.status, API_NOT_FOUND);
    nn_model_close(&model);
}
END_TEST

START_TEST(top_orders_by_probability_then_index)
{
    const float p[7] = {0.1f, 0.3f, 0.1f, 0.3f, 0.05f, 0.1f, 0.05f};
    const uint32_t expected[7] = {1, 3, 0, 2, 5, 4, 6};
    struct nn_class top[9];

    for (uint32_t count = 0; count <= 9; count++) {
        uint32_t held = nn_top(p, 7, top, count);

        ck_assert_uint_eq(held, count < 7 ? count : 7);
        for (uint32_t i = 0; i < held; i++) {
            ck_assert_uint_eq(top[i].index, expected[i]);
            ck_assert_float_eq(top[i].probability, p[expected[i]]);
        }
    }
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("model");
    TCase *cases = tcase_create("model");

    level = reference_level();
    const bool is_quick = level != &nn_kernels_scalar;
    tcase_set_timeout(cases, 0);
    tcase_add_loop_test(cases, nodes_match_pytorch, 0, 2);
    tcase_add_test(cases, tiny_points_match_pytorch);
    /* The default bundle takes plain C minutes under the sanitizers. */
    tcase_add_loop_test(cases, runs_do_not_allocate, 0, is_quick ? 4 : 1);
    if (is_quick)
        tcase_add_test(cases, default_graphs_match_scalar);
    tcase_add_test(cases, tails_have_stages);
    tcase_add_test(cases, default_weights_are_shared);
    tcase_add_loop_test(cases, bytes_can_be_returned, 0, 2);
    tcase_add_loop_test(cases, tails_of_a_batch_change_no_bit, 0,
                        is_quick ? 3 : 1);
    tcase_add_test(cases, points_share_tails_as_the_bundle_says);
    tcase_add_test(cases, points_without_a_part_are_refused);
    tcase_add_test(cases, a_missing_file_is_not_found);
    tcase_add_test(cases, top_orders_by_probability_then_index);
    suite_add_tcase(suite, cases);
    return suite;
}
