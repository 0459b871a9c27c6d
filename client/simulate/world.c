/* What really happens to a picture, whoever decides about it. */
#include "client/simulate/world.h"

#include <math.h>

#include "client/exits.h"
#include "client/simulate/noise.h"

#define COMPUTE_SCATTER 0.04

/* Kinds of randomness. */
enum { DECODE = 101, DEVICE, SIZE, SERVER, QUEUED, QUEUE, JITTER, EXIT };

static double scatter(const struct world *world, uint64_t picture,
                      uint64_t kind)
{
    return exp(COMPUTE_SCATTER * noise_normal(world->seed, picture, kind));
}

/* Bodies of one point scatter with the picture: log-normal, through the mean
 * and the 95 % quantile that the bundle's metadata tell. */
static double body_bytes(const struct world *world, uint64_t picture,
                         const struct api_point *point)
{
    double mean = cli_exits_body_bytes(point);
    if (point->kind == API_POINT_LOCAL || !(mean > 0))
        return 0;
    double ratio = fmax(log(point->bytes_p95 / mean), 0);
    /* p95/mean = exp(1.645 s - s²/2), solved for s. */
    double deviation = 1.645 - sqrt(fmax(1.645 * 1.645 - 2 * ratio, 0));
    double normal = noise_normal(world->seed, picture, SIZE);
    return mean * exp(deviation * normal - deviation * deviation / 2);
}

/* Does the device answer alone, by the point or by its exit? The pictures that
 * an exit is sure of are the same at every point. */
static bool is_kept(const struct world *world, uint64_t picture,
                    const struct api_point *point)
{
    return point->kind == API_POINT_LOCAL ||
           (point->exit_threshold > 0 &&
            noise_uniform(world->seed, picture, EXIT) < point->exit_share);
}

void world_cost_device(struct world_costs *costs,
                       const struct api_point *points, uint16_t point_count,
                       double ms_per_mmac)
{
    for (uint16_t i = 0; i < point_count; i++)
        costs->device_ms[i] = (double)points[i].head_macs * 1e-6 * ms_per_mmac +
                              (points[i].quality > 0 ? WORLD_ENCODE_MS : 0);
}

void world_cost_server(struct world_costs *costs,
                       const struct api_point *points, uint16_t point_count,
                       double ms_per_mmac, double jpeg_ms)
{
    for (uint16_t i = 0; i < point_count; i++) {
        bool is_jpeg = points[i].kind == API_POINT_OFFLOAD;
        costs->compute_ms[i] =
            (double)points[i].tail_macs * 1e-6 * ms_per_mmac +
            (is_jpeg ? jpeg_ms : 0);
    }
}

double world_decode_ms(const struct world *world, uint64_t picture)
{
    return world->costs->decode_ms * scatter(world, picture, DECODE);
}

double world_jpeg_bytes(const struct world *world, uint64_t picture)
{
    for (uint16_t i = 0; i < world->point_count; i++) {
        if (world->points[i].kind == API_POINT_OFFLOAD &&
            world->points[i].quality == 0)
            return body_bytes(world, picture, &world->points[i]);
    }
    return 0;
}

double world_link_ms(const struct world *world, uint64_t picture, double bytes,
                     double start_ms)
{
    double jitter_ms =
        noise_exponential(world->seed, picture, JITTER, world->jitter_ms);
    start_ms += world->trace_from_ms;
    return trace_finish_ms(world->trace, start_ms, bytes + WORLD_HEADER_BYTES) -
           start_ms + world->trace->rtt_ms + jitter_ms;
}

struct passage world_pass(const struct world *world, uint64_t picture,
                          uint16_t point, double start_ms)
{
    const struct api_point *info = &world->points[point];
    struct passage passage = {.stays = is_kept(world, picture, info)};
    if (info->kind != API_POINT_OFFLOAD || info->quality > 0)
        passage.device_ms =
            world_decode_ms(world, picture) +
            world->costs->device_ms[point] * scatter(world, picture, DEVICE);
    if (passage.stays)
        return passage;
    passage.body_bytes = body_bytes(world, picture, info);
    passage.link_ms = world_link_ms(world, picture, passage.body_bytes,
                                    start_ms + passage.device_ms);
    if (noise_uniform(world->seed, picture, QUEUED) < world->queue_share)
        passage.queue_ms =
            noise_exponential(world->seed, picture, QUEUE, world->queue_ms);
    passage.compute_ms =
        world->costs->compute_ms[point] * scatter(world, picture, SERVER);
    return passage;
}

double world_passage_ms(const struct passage *passage)
{
    return passage->device_ms + passage->link_ms + passage->queue_ms +
           passage->compute_ms;
}

uint16_t world_local_point(const struct world *world)
{
    uint16_t i = 0;
    while (world->points[i].kind != API_POINT_LOCAL)
        i++;
    return i;
}
