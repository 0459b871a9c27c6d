/* Listing the operating points with what they cost here. */
#include <math.h>
#include <stdio.h>

#include "client/client.h"
#include "client/clock.h"

/* The present estimate, or -1 before anything was measured. */
static double expected_ms(const struct cleave *handle, uint16_t point)
{
    const struct api_point *info = &handle->model.points[point];
    bool remote = info->kind != API_POINT_LOCAL;
    bool device = info->kind != API_POINT_OFFLOAD || info->quality > 0;
    if ((remote && handle->decider.forecast_count == 0) ||
        (device && handle->decider.decode_ms.samples == 0))
        return -1;
    struct cli_question question = {
        .points = handle->model.points,
        .point_count = handle->model.point_count,
        .now_ms = cli_now_ms(),
        .decode_ms = -1,
        .jpeg_bytes = info->bytes_mean > 0 ? (size_t)info->bytes_mean
                                           : CLI_POLICY_JPEG_BYTES,
    };
    struct cli_policy_input input =
        cli_decider_input(&handle->decider, &question);
    return cli_policy_predict(&input, point).expected_ms;
}

static void copy_point(const struct cleave *handle, uint16_t point,
                       struct cleave_point *out)
{
    const struct api_point *info = &handle->model.points[point];
    *out = (struct cleave_point){
        .width = info->width,
        .ensemble = info->ensemble,
        .latent_height = info->latent_height,
        .latent_width = info->latent_width,
        .latent_channels = info->latent_channels,
        .head_macs = info->head_macs,
        .tail_macs = info->tail_macs,
        .bytes_mean = info->bytes_mean,
        .bytes_p95 = info->bytes_p95,
        .top1 = info->top1,
        .top5 = info->top5,
        .pictures = info->pictures,
        .expected_ms = expected_ms(handle, point),
        .quality = info->quality,
        .exit_threshold = info->exit_threshold,
        .exit_share = info->exit_share,
    };
    snprintf(out->id, sizeof out->id, "%s", info->id);
    snprintf(out->kind, sizeof out->kind, "%s",
             api_point_kind_name(info->kind));
    snprintf(out->codec, sizeof out->codec, "%s", api_codec_name(info->codec));
    snprintf(out->rate, sizeof out->rate, "%s", info->rate);
}

enum cleave_status cleave_points(struct cleave *handle,
                                 struct cleave_point *points, size_t capacity,
                                 size_t *count, struct cleave_error *error)
{
    (void)error; /* nothing can fail yet */
    size_t listed = 0;
    cli_client_lock(handle);
    for (uint16_t i = 0; i < handle->model.point_count; i++) {
        if (handle->model.points[i].id[0] == '\0')
            continue; /* of a kind that this version does not know */
        if (listed < capacity)
            copy_point(handle, i, &points[listed]);
        listed++;
    }
    cli_client_unlock(handle);
    *count = listed;
    return CLEAVE_OK;
}
