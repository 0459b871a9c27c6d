/* Runs graphs in every way that there is: alone, by a team, in a batch. */
#include "tests/nn/run_plan.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "tests/nn/rig.h"

void run_plan(const struct nn_plan *plan, uint32_t threads, const float *input,
              float *output)
{
    size_t floats = nn_plan_arena_floats(plan, threads);
    float *arena = rig_memory((floats + 1) * sizeof(float));
    struct nn_threads *team = NULL;
    struct nn_handle **handles = NULL;

    for (size_t i = 0; i < floats; i++)
        arena[i] = NAN;
    if (threads > 1)
        ck_assert_int_eq(nn_threads_open(threads, &team, NULL), API_OK);
    ck_assert_int_eq(nn_plan_bind(plan, &handles, NULL), API_OK);
    nn_plan_run(plan, team, arena, handles, input, output);
    nn_plan_unbind(plan, &handles);
    ck_assert_ptr_null(handles);
    nn_threads_close(&team);
    free(arena);
}

/* A picture between two others, by this thread or by a team. */
static void run_in_batch(const struct nn_plan *plan, uint32_t threads,
                         const float *input, const float *output)
{
    const size_t ins = nn_shape_floats(&plan->in);
    const size_t outs = nn_shape_floats(&plan->out);
    const size_t floats = nn_plan_batch_floats(plan, threads, 3);
    float *inputs = rig_memory(3 * ins * sizeof(float));
    float *outputs = rig_memory(4 * outs * sizeof(float));
    float *alone = outputs + 3 * outs;
    float *arena = rig_memory((floats + 1) * sizeof(float));
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

void run_every_way(const struct nn_graph *graph,
                   const struct nn_kernels *kernels, struct nn_weights *weights,
                   const float *input, float *output)
{
    struct nn_plan *plan = NULL;
    struct api_error error = {0};
    float *shared;
    size_t bytes;

    ck_assert_msg(nn_plan_build(graph, kernels, weights, &plan, &error) ==
                      API_OK,
                  "%s", error.text);
    bytes = nn_shape_floats(&plan->out) * sizeof(float);
    shared = rig_memory(bytes);
    run_plan(plan, 1, input, output);
    run_plan(plan, 3, input, shared);
    ck_assert_mem_eq(shared, output, bytes);
    run_in_batch(plan, plan->step_count % 2 ? 1 : 3, input, output);
    free(shared);
    nn_plan_close(&plan);
}
