/* What really happens to a picture in a replay, whoever decides about it. */
#include "bench/policy/world.h"

#include <math.h>

#include "bench/policy/noise.h"

/* The server of bench/paths: 7 ms for a tail, 11.5 for a whole JPEG. */
#define SERVER_MS_PER_MMAC 0.022
#define SERVER_JPEG_MS 3.0

/* A fifth of all requests meet others in the server's queue. */
#define QUEUE_SHARE 0.2
#define QUEUE_MEAN_MS 8.0

/* The round trip's own jitter, beyond what the trace's throughput does. */
#define JITTER_MEAN_MS 3.0

#define COMPUTE_SCATTER 0.04

/* Kinds of randomness. */
enum { DECODE = 101, DEVICE, SIZE, SERVER, QUEUED, QUEUE, JITTER };

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
    if (point->kind == API_POINT_LOCAL || !(point->bytes_mean > 0))
        return 0;
    double ratio = fmax(log(point->bytes_p95 / point->bytes_mean), 0);
    /* p95/mean = exp(1.645 s - s²/2), solved for s. */
    double deviation = 1.645 - sqrt(fmax(1.645 * 1.645 - 2 * ratio, 0));
    double normal = noise_normal(world->seed, picture, SIZE);
    return point->bytes_mean *
           exp(deviation * normal - deviation * deviation / 2);
}

double world_decode_ms(const struct world *world, uint64_t picture)
{
    return world->decode_ms * scatter(world, picture, DECODE);
}

double world_jpeg_bytes(const struct world *world, uint64_t picture)
{
    for (uint16_t i = 0; i < world->point_count; i++) {
        if (world->points[i].kind == API_POINT_OFFLOAD)
            return body_bytes(world, picture, &world->points[i]);
    }
    return 0;
}

double world_link_ms(const struct world *world, uint64_t picture, double bytes,
                     double start_ms)
{
    double jitter_ms =
        noise_exponential(world->seed, picture, JITTER, JITTER_MEAN_MS);
    return trace_finish_ms(world->trace, start_ms, bytes + WORLD_HEADER_BYTES) -
           start_ms + world->trace->rtt_ms + jitter_ms;
}

struct passage world_pass(const struct world *world, uint64_t picture,
                          uint16_t point, double start_ms)
{
    const struct api_point *info = &world->points[point];
    struct passage passage = {.body_bytes = body_bytes(world, picture, info)};
    if (info->kind != API_POINT_OFFLOAD || info->quality > 0)
        passage.device_ms =
            world_decode_ms(world, picture) +
            ((double)info->head_macs * 1e-6 * world->device_ms_per_mmac +
             (info->quality > 0 ? WORLD_ENCODE_MS : 0)) *
                scatter(world, picture, DEVICE);
    if (info->kind == API_POINT_LOCAL)
        return passage;
    passage.link_ms = world_link_ms(world, picture, passage.body_bytes,
                                    start_ms + passage.device_ms);
    if (noise_uniform(world->seed, picture, QUEUED) < QUEUE_SHARE)
        passage.queue_ms =
            noise_exponential(world->seed, picture, QUEUE, QUEUE_MEAN_MS);
    passage.compute_ms =
        ((double)info->tail_macs * 1e-6 * SERVER_MS_PER_MMAC +
         (info->kind == API_POINT_OFFLOAD ? SERVER_JPEG_MS : 0)) *
        scatter(world, picture, SERVER);
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
