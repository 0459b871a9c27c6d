/* The device's side, for who has no device: a JPEG to the frame of a point. */
#include <stdio.h>
#include <stdlib.h>

#include "server/compute.h"
#include "server/handlers.h"
#include "server/infer.h"
#include "server/model.h"
#include "server/monotonic.h"

/* Index of the split point that the query names, or -1. */
static int asked_point(const struct srv_request *request)
{
    const struct api_model *info = &request->model->info;
    char id[sizeof info->points[0].id];
    if (srv_request_query(request, "point", id, sizeof id) <= 0)
        return -1;
    int point = nn_model_point_find(request->model->nn, id);
    return point >= 0 && info->points[point].kind == API_POINT_SPLIT ? point
                                                                     : -1;
}

/* Names those that there are. */
static void refuse_unknown(struct srv_request *request)
{
    const struct api_model *info = &request->model->info;
    char detail[80 + API_LIMIT_POINTS * (sizeof info->points[0].id + 2)];
    int used =
        snprintf(detail, sizeof detail,
                 "this model has no split point of that name; it has:");
    for (uint16_t i = 0; i < info->point_count; i++)
        if (info->points[i].kind == API_POINT_SPLIT)
            used += snprintf(detail + used, sizeof detail - (size_t)used,
                             " %s", info->points[i].id);
    srv_reply_problem(request, API_NOT_FOUND, detail);
}

void srv_encode_begin(struct srv_request *request)
{
    char id[2];
    srv_infer_begin_picture(request);
    if (request->reply.code != 0)
        return;
    int point = asked_point(request);
    if (srv_request_query(request, "point", id, sizeof id) == 0)
        srv_reply_problem(request, API_BAD_REQUEST,
                          "query parameter point must name a split point");
    else if (point < 0)
        refuse_unknown(request);
    else if (!nn_model_has_head(request->model->nn, (uint16_t)point))
        srv_reply_problem(request, API_UNAVAILABLE,
                          "this model's bundle lacks that point's head");
}

/* Encodes the workspace's latent in place behind the frame's header. */
static enum api_status write_frame(const struct srv_request *request,
                                   uint16_t point, uint8_t *bytes,
                                   size_t capacity, size_t *count)
{
    const struct srv_workspace *workspace = request->infer.workspace;
    const struct api_point *facts = &request->model->info.points[point];
    size_t payload_bytes = 0;
    enum api_status status = nn_latent_encode(
        workspace->context, point, workspace->latent,
        bytes + API_FRAME_HEADER_BYTES, capacity - API_FRAME_HEADER_BYTES,
        &payload_bytes);
    if (status != API_OK)
        return status;
    const struct api_frame frame = {
        .fingerprint = request->model->info.fingerprint,
        .point = point,
        .codec = (uint8_t)facts->codec,
        .channels = facts->latent_channels,
        .height = facts->latent_height,
        .width = facts->latent_width,
        .payload = bytes + API_FRAME_HEADER_BYTES,
        .payload_bytes = (uint32_t)payload_bytes,
    };
    return api_frame_write(&frame, bytes, capacity, count);
}

/* Replies unless it fails. Leaves infer.point alone: no point has answered a
 * picture here. */
static enum api_status make_frame(struct srv_request *request,
                                  struct api_error *error)
{
    struct srv_infer *infer = &request->infer;
    uint16_t point = (uint16_t)asked_point(request);
    enum api_status status = srv_compute_picture(
        request, request->body, request->body_bytes, error);
    if (status != API_OK)
        return status;
    int64_t begun_us = srv_now_us();
    status = nn_run_head(infer->workspace->context, point,
                         infer->workspace->pixels, infer->workspace->latent);
    int64_t headed_us = srv_now_us();
    infer->infer_us = headed_us - begun_us;
    if (status != API_OK)
        return api_fail(error, status, "the head did not run");

    size_t count = 0, capacity = API_FRAME_HEADER_BYTES +
                                 nn_latent_bound(request->model->nn, point);
    uint8_t *bytes = malloc(capacity);
    if (!bytes)
        return api_fail(error, API_NO_MEMORY, "no memory for the frame");
    status = write_frame(request, point, bytes, capacity, &count);
    infer->encode_us = srv_now_us() - headed_us;
    if (status != API_OK) {
        free(bytes);
        return api_fail(error, status, "the latent cannot be encoded");
    }
    srv_reply_owned(request, 200, API_FRAME_MEDIA_TYPE, bytes, count);
    return API_OK;
}

static void encode(struct srv_request *request)
{
    struct api_error error = {API_OK, ""};
    enum api_status status = make_frame(request, &error);
    if (status != API_OK)
        srv_reply_problem(request, status, error.text);
}

void srv_encode(struct srv_request *request)
{
    srv_infer_submit(request, encode);
}
