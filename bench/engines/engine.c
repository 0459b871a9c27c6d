/* cleave-bench: the median time of one graph of a bundle in this engine. */
#include <stdio.h>
#include <stdlib.h>

#include "nn/bundle.h"
#include "nn/cpu.h"
#include "nn/onednn.h"
#include "nn/plan.h"
#include "bench/timing.h"

struct run {
    const struct nn_plan *plan;
    struct nn_threads *threads;
    struct nn_handle **handles;
    float *arena, *input, *output;
    uint32_t batch;
};

static void run_batch(void *argument)
{
    struct run *run = argument;

    nn_plan_run_batch(run->plan, run->threads, run->batch, run->arena,
                      run->handles, run->input, run->output);
}

static float *floats(size_t count)
{
    float *made = aligned_alloc(64, (count * sizeof *made / 64 + 1) * 64);

    if (!made)
        abort();
    return made;
}

static enum api_status measure(char **argv, struct api_error *error)
{
    struct nn_bundle *bundle = NULL;
    struct nn_weights *weights = NULL;
    struct nn_plan *plan = NULL;
    const struct nn_kernels *kernels;
    const struct nn_graph *graph;
    struct run run = {.batch = (uint32_t)strtoul(argv[4], NULL, 10)};
    uint32_t threads = (uint32_t)strtoul(argv[3], NULL, 10);
    size_t runs, values;
    enum api_status status = nn_cpu_select(&kernels, error);

    /* As cleaved does it. */
    if (status == API_OK && threads == 1)
        status = nn_onednn_use(error);
    if (status == API_OK)
        status = nn_bundle_open(argv[1], &bundle, error);
    if (status == API_OK)
        status = nn_weights_open(kernels, &weights);
    if (status != API_OK)
        goto out;
    graph = nn_bundle_graph(bundle, argv[2]);
    if (!graph) {
        status = api_fail(error, API_NOT_FOUND, "no graph %s", argv[2]);
        goto out;
    }
    status = nn_plan_build(graph, kernels, weights, &plan, error);
    if (status == API_OK && threads > 1)
        status = nn_threads_open(threads, &run.threads, error);
    if (status == API_OK)
        status = nn_plan_bind(plan, &run.handles, error);
    if (status != API_OK)
        goto out;
    run.plan = plan;
    values = run.batch * nn_shape_floats(&plan->in);
    run.arena = floats(nn_plan_batch_floats(plan, threads, run.batch));
    run.input = floats(values);
    run.output = floats(run.batch * nn_shape_floats(&plan->out));
    for (size_t i = 0; i < values; i++)
        run.input[i] = (float)(i * 2654435761u % 1000) / 250 - 2;
    double seconds =
        bench_median(run_batch, &run, strtod(argv[5], NULL), &runs);
    printf("{\"median_ms\": %.6f, \"runs\": %zu, \"kernels\": \"%s\", "
           "\"onednn_layers\": %u}\n",
           seconds * 1e3, runs, kernels->name, plan->layer_count);
out:
    nn_threads_close(&run.threads);
    free(run.output);
    free(run.input);
    free(run.arena);
    if (plan)
        nn_plan_unbind(plan, &run.handles);
    nn_plan_close(&plan);
    nn_weights_close(&weights);
    nn_bundle_close(&bundle);
    return status;
}

int main(int argc, char **argv)
{
    struct api_error error = {0};

    if (argc != 7 || !bench_clock(argv[6])) {
        fprintf(stderr,
                "usage: cleave-bench BUNDLE GRAPH THREADS BATCH SECONDS "
                "wall|cpu\n");
        return 2;
    }
    if (measure(argv, &error) != API_OK) {
        fprintf(stderr, "cleave-bench: %s\n", error.text);
        return 1;
    }
    return 0;
}
