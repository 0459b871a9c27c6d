/* What device and server take for each point of a bundle, on this machine. */
#include "client/simulate/measure.h"

#include <stdlib.h>

#include "api/frame.h"
#include "client/clock.h"
#include "client/device.h"
#include "client/simulate/noise.h"
#include "client/sort.h"

#define PICTURE_WIDTH 640u
#define PICTURE_HEIGHT 480u
#define PICTURE_QUALITY 90

/* The first run pays for cold caches and is not counted. */
#define RUNS 5

struct bench {
    struct cli_device *device;
    struct nn_context *server; /* NULL: not asked for */
    uint8_t *jpeg, *pixels;
    float *latent, *probabilities;
    size_t jpeg_bytes;
    struct api_error *error;
};

/* One timed run of something; *ms becomes its time. */
typedef enum api_status run_fn(struct bench *bench, uint16_t point, double *ms);

enum api_status measure_picture(uint8_t **jpeg, size_t *jpeg_bytes,
                                struct api_error *error)
{
    uint8_t *pixels = malloc((size_t)PICTURE_WIDTH * PICTURE_HEIGHT * 3);
    if (!pixels)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    for (unsigned y = 0; y < PICTURE_HEIGHT; y++) {
        for (unsigned x = 0; x < PICTURE_WIDTH; x++) {
            unsigned at = y * PICTURE_WIDTH + x;
            unsigned grain = (unsigned)(noise_mix(at) & 15);
            unsigned edges = (x / 40 ^ y / 24) % 5 * 32;
            pixels[3 * at] = (uint8_t)(edges + x / 8 + grain);
            pixels[3 * at + 1] = (uint8_t)(edges + y / 8 + grain);
            pixels[3 * at + 2] = (uint8_t)(60 + edges + grain);
        }
    }
    enum api_status status =
        nn_picture_to_jpeg(pixels, PICTURE_WIDTH, PICTURE_HEIGHT,
                           PICTURE_QUALITY, jpeg, jpeg_bytes, error);
    free(pixels);
    return status;
}

static enum api_status run_decode(struct bench *bench, uint16_t point,
                                  double *ms)
{
    (void)point;
    return cli_device_decode(bench->device, bench->jpeg, bench->jpeg_bytes, ms,
                             bench->error);
}

static enum api_status run_head(struct bench *bench, uint16_t point, double *ms)
{
    const uint8_t *frame;
    size_t frame_bytes;
    bool sure;
    enum api_status status =
        cli_device_run_head(bench->device, point, &sure, ms, bench->error);
    if (status == API_OK && !sure)
        status = cli_device_make_frame(bench->device, point, &frame,
                                       &frame_bytes, ms, bench->error);
    return status;
}

/* To encode the picture again; decoding is timed by itself. */
static enum api_status run_shrink(struct bench *bench, uint16_t point,
                                  double *ms)
{
    const struct nn_model *model = cli_device_model(bench->device);
    uint8_t *shrunk = NULL;
    size_t shrunk_bytes;
    double decode_ms;
    enum api_status status =
        cli_device_shrink(bench->device, bench->jpeg, bench->jpeg_bytes,
                          (int)nn_model_point(model, point)->quality, &shrunk,
                          &shrunk_bytes, &decode_ms, ms, bench->error);
    free(shrunk);
    return status;
}

static enum api_status run_local(struct bench *bench, uint16_t point,
                                 double *ms)
{
    return cli_device_run_local(bench->device, point, ms, bench->error);
}

static enum api_status run_tail(struct bench *bench, uint16_t point, double *ms)
{
    const uint8_t *frame;
    size_t frame_bytes;
    bool sure;
    enum api_status status =
        cli_device_run_head(bench->device, point, &sure, ms, bench->error);
    if (status == API_OK)
        status = cli_device_make_frame(bench->device, point, &frame,
                                       &frame_bytes, ms, bench->error);
    double start_ms = cli_now_ms();
    if (status == API_OK)
        status = nn_latent_decode(
            bench->server, point, frame + API_FRAME_HEADER_BYTES,
            frame_bytes - API_FRAME_HEADER_BYTES, bench->latent, bench->error);
    if (status == API_OK)
        status = nn_run_tail(bench->server, point, bench->latent,
                             bench->probabilities);
    *ms = cli_now_ms() - start_ms;
    return status;
}

static enum api_status run_full(struct bench *bench, uint16_t point, double *ms)
{
    double start_ms = cli_now_ms();
    enum api_status status = nn_picture_from_jpeg(
        nn_model_input(cli_device_model(bench->device)), bench->jpeg,
        bench->jpeg_bytes, bench->pixels, bench->error);
    if (status == API_OK)
        status = nn_run_full(bench->server, point, bench->pixels,
                             bench->probabilities);
    *ms = cli_now_ms() - start_ms;
    return status;
}

static enum api_status time_runs(struct bench *bench, run_fn *run,
                                 uint16_t point, double *median_ms)
{
    double ms[RUNS + 1];
    for (int i = 0; i <= RUNS; i++) {
        enum api_status status = run(bench, point, &ms[i]);
        if (status != API_OK)
            return status;
    }
    cli_sort_doubles(ms + 1, RUNS);
    *median_ms = ms[1 + RUNS / 2];
    return API_OK;
}

/* Those of the point that are asked for. */
static enum api_status time_point(struct bench *bench, uint16_t point,
                                  bool device, struct world_costs *costs)
{
    const struct nn_model *model = cli_device_model(bench->device);
    enum api_point_kind kind = nn_model_point(model, point)->kind;
    bool is_as_it_is =
        kind == API_POINT_OFFLOAD && nn_model_point(model, point)->quality == 0;
    enum api_status status = API_OK;
    if (device && !is_as_it_is)
        status = time_runs(bench,
                           kind == API_POINT_SPLIT   ? run_head
                           : kind == API_POINT_LOCAL ? run_local
                                                     : run_shrink,
                           point, &costs->device_ms[point]);
    if (status == API_OK && bench->server && kind != API_POINT_LOCAL)
        status = time_runs(bench, kind == API_POINT_SPLIT ? run_tail : run_full,
                           point, &costs->compute_ms[point]);
    if (status == API_UNAVAILABLE)
        api_fail(bench->error, status, "the bundle lacks a part of %s",
                 nn_model_point(model, point)->id);
    return status;
}

/* Everything that runs need; what was allocated is closed by the caller. */
static enum api_status prepare(struct bench *bench, struct nn_model *model,
                               bool server)
{
    enum api_status status =
        cli_device_open(model, &bench->device, bench->error);
    if (status == API_OK)
        status =
            measure_picture(&bench->jpeg, &bench->jpeg_bytes, bench->error);
    if (status != API_OK || !server)
        return status;
    size_t latent_values = 1;
    for (uint16_t i = 0; i < nn_model_point_count(model); i++) {
        size_t values = nn_latent_values(model, i);
        latent_values = values > latent_values ? values : latent_values;
    }
    const struct nn_input *input = nn_model_input(model);
    bench->pixels = calloc((size_t)input->width * input->height, 3);
    bench->latent = calloc(latent_values, sizeof *bench->latent);
    bench->probabilities =
        calloc(nn_model_class_count(model), sizeof *bench->probabilities);
    if (!bench->pixels || !bench->latent || !bench->probabilities)
        return api_fail(bench->error, API_NO_MEMORY, "out of memory");
    return nn_context_open(model, &bench->server, bench->error);
}

enum api_status measure_bundle(struct nn_model *model, bool device, bool server,
                               struct world_costs *costs,
                               struct api_error *error)
{
    struct bench bench = {.error = error};
    enum api_status status = prepare(&bench, model, server);
    uint16_t count = status == API_OK ? nn_model_point_count(model) : 0;
    if (status == API_OK)
        status = time_runs(&bench, run_decode, 0, &costs->decode_ms);
    for (uint16_t i = 0; status == API_OK && i < count; i++)
        status = time_point(&bench, i, device, costs);
    nn_context_close(&bench.server);
    cli_device_close(&bench.device);
    free(bench.jpeg);
    free(bench.pixels);
    free(bench.latent);
    free(bench.probabilities);
    return status;
}
