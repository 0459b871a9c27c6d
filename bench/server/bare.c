/* cleave-bare: what the engine does without a server around it. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/frame.h"
#include "bench/timing.h"
#include "bench/tool.h"
#include "nn/nn.h"

#define WARM_UP_SECONDS 0.3
#define MOST_SAMPLES ((size_t)1 << 20)
#define MOST_THREADS 64u

/* What all threads share. */
struct rig {
    struct nn_model *model;
    uint16_t point;
    bool split;
    struct file *bodies;
    size_t body_count;
    double seconds;
};

/* One thread's. */
struct lane {
    const struct rig *rig;
    pthread_t thread;
    struct nn_context *context;
    uint8_t *pixels;
    float *latent, *probabilities;
    double *samples; /* seconds of each call */
    size_t count;
};

/* From the bytes that a request carries to probabilities. */
static void answer(struct lane *lane, const struct file *body)
{
    const struct rig *rig = lane->rig;
    struct api_frame frame;
    enum api_status status;

    if (!rig->split) {
        status = nn_picture_from_jpeg(nn_model_input(rig->model), body->bytes,
                                      body->count, lane->pixels, NULL);
        must(status == API_OK, "JPEG");
        status = nn_run_full(lane->context, rig->point, lane->pixels,
                             lane->probabilities);
        must(status == API_OK, "network");
        return;
    }
    status = api_frame_read(body->bytes, body->count, &frame, NULL);
    must(status == API_OK && frame.point == rig->point, "frame");
    status = nn_latent_decode(lane->context, rig->point, frame.payload,
                              frame.payload_bytes, lane->latent, NULL);
    must(status == API_OK, "latent");
    status = nn_run_tail(lane->context, rig->point, lane->latent,
                         lane->probabilities);
    must(status == API_OK, "tail");
}

static void *work(void *argument)
{
    struct lane *lane = argument;
    const struct rig *rig = lane->rig;
    double end = bench_now() + WARM_UP_SECONDS;
    size_t turn = 0;

    while (bench_now() < end)
        answer(lane, &rig->bodies[turn++ % rig->body_count]);
    end = bench_now() + rig->seconds;
    for (double begun = bench_now(); begun < end && lane->count < MOST_SAMPLES;
         turn++) {
        answer(lane, &rig->bodies[turn % rig->body_count]);
        double now = bench_now();
        lane->samples[lane->count++] = now - begun;
        begun = now;
    }
    return NULL;
}

static void open_lane(struct lane *lane, const struct rig *rig)
{
    const struct nn_input *input = nn_model_input(rig->model);

    lane->rig = rig;
    must(nn_context_open(rig->model, &lane->context, NULL) == API_OK,
         "context");
    lane->pixels = get((size_t)input->width * input->height * 3);
    lane->latent =
        get((nn_latent_values(rig->model, rig->point) + 1) * sizeof(float));
    lane->probabilities = get(nn_model_class_count(rig->model) * sizeof(float));
    lane->samples = get(MOST_SAMPLES * sizeof *lane->samples);
}

static void close_lane(struct lane *lane)
{
    free(lane->samples);
    free(lane->probabilities);
    free(lane->latent);
    free(lane->pixels);
    nn_context_close(&lane->context);
}

/* Each thread's calls follow each other without a gap, so their number over
 * the sum of their times is its rate. */
static void report(const struct lane *lanes, unsigned count)
{
    double rate = 0, *all;
    size_t total = 0;

    for (unsigned i = 0; i < count; i++)
        total += lanes[i].count;
    all = get(total * sizeof *all);
    total = 0;
    for (unsigned i = 0; i < count; i++) {
        double spent = 0;
        for (size_t k = 0; k < lanes[i].count; k++)
            spent += all[total++] = lanes[i].samples[k];
        rate += (double)lanes[i].count / spent;
    }
    bench_sort(all, total);
    printf("{\"per_s\": %.3f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, "
           "\"answers\": %zu, \"kernels\": \"%s\"}\n",
           rate, all[total / 2] * 1e3, all[total * 99 / 100] * 1e3, total,
           nn_cpu_name());
    free(all);
}

int main(int argc, char **argv)
{
    struct api_error error = {0};
    struct rig rig = {.body_count = argc > 5 ? (size_t)argc - 5 : 0};
    unsigned threads = argc > 5 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

    if (threads < 1 || threads > MOST_THREADS) {
        fprintf(stderr, "usage: cleave-bare BUNDLE POINT THREADS SECONDS "
                        "FILE...\n");
        return 2;
    }
    if (nn_model_open(argv[1], &rig.model, &error) != API_OK) {
        fprintf(stderr, "cleave-bare: %s\n", error.text);
        return 1;
    }
    int point = nn_model_point_find(rig.model, argv[2]);
    must(point >= 0, argv[2]);
    rig.point = (uint16_t)point;
    rig.split = nn_model_point(rig.model, rig.point)->kind == API_POINT_SPLIT;
    rig.seconds = strtod(argv[4], NULL);
    rig.bodies = get(rig.body_count * sizeof *rig.bodies);
    for (size_t i = 0; i < rig.body_count; i++)
        rig.bodies[i] = read_file(argv[5 + i]);

    struct lane *lanes = get(threads * sizeof *lanes);
    for (unsigned i = 0; i < threads; i++)
        open_lane(&lanes[i], &rig);
    for (unsigned i = 0; i < threads; i++)
        must(pthread_create(&lanes[i].thread, NULL, work, &lanes[i]) == 0,
             "thread");
    for (unsigned i = 0; i < threads; i++)
        pthread_join(lanes[i].thread, NULL);
    report(lanes, threads);

    for (unsigned i = 0; i < threads; i++)
        close_lane(&lanes[i]);
    free(lanes);
    for (size_t i = 0; i < rig.body_count; i++)
        free(rig.bodies[i].bytes);
    free(rig.bodies);
    nn_model_close(&rig.model);
    return 0;
}
