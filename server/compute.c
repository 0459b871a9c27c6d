/* Decode, then run the network; each stage timed. */
#include "server/compute.h"

#include <string.h>

#include "server/app.h"
#include "server/model.h"
#include "server/monotonic.h"

static struct srv_workspace *borrow(struct srv_request *request)
{
    request->infer.workspace = srv_model_borrow(request->model);
    return request->infer.workspace;
}

enum api_status srv_compute_quality(struct srv_request *request,
                                    const char *quality,
                                    struct api_error *error)
{
    request->infer.may_lighten = strcmp(quality, "auto") == 0;
    if (request->infer.may_lighten || strcmp(quality, "full") == 0)
        return API_OK;
    return api_fail(error, API_BAD_REQUEST, "quality is full or auto");
}

/* Sets the point that was asked for, and the one that will answer. */
static void choose(struct srv_request *request, int asked)
{
    struct srv_app *app = request->app;
    const struct srv_model *model = request->model;
    const struct api_point *points = model->info.points;
    int best = asked;
    if (request->infer.may_lighten &&
        srv_queue_depth(app->queue) >= app->config->light_queue) {
        for (uint16_t i = 0; i < model->info.point_count; i++) {
            if (points[i].tail_macs < points[best].tail_macs &&
                nn_model_has_tail(model->nn, i) &&
                nn_model_same_input(model->nn, (uint16_t)asked, i))
                best = i;
        }
    }
    request->infer.asked = asked;
    request->infer.point = best;
}

void srv_compute_end(struct srv_request *request)
{
    if (request->infer.workspace)
        srv_model_give_back(request->model, request->infer.workspace);
    request->infer.workspace = NULL;
}

/* Runs the whole network on the workspace's pixels. */
static enum api_status run_full(struct srv_request *request,
                                struct api_error *error)
{
    struct srv_infer *infer = &request->infer;
    int64_t begun_us = srv_now_us();
    enum api_status status =
        nn_run_full(infer->workspace->context, (uint16_t)infer->point,
                    infer->workspace->pixels, infer->workspace->probabilities);
    infer->infer_us = srv_now_us() - begun_us;
    if (status != API_OK)
        return api_fail(error, status, "the network did not run");
    return API_OK;
}

enum api_status srv_compute_picture(struct srv_request *request,
                                    const uint8_t *jpeg, size_t jpeg_bytes,
                                    struct api_error *error)
{
    struct srv_workspace *workspace = borrow(request);
    int64_t begun_us = srv_now_us();
    enum api_status status =
        nn_picture_from_jpeg(nn_model_input(request->model->nn), jpeg,
                             jpeg_bytes, workspace->pixels, error);
    request->infer.decode_us = srv_now_us() - begun_us;
    return status;
}

enum api_status srv_compute_jpeg(struct srv_request *request,
                                 const uint8_t *jpeg, size_t jpeg_bytes,
                                 struct api_error *error)
{
    choose(request, request->model->offload_point);
    enum api_status status =
        srv_compute_picture(request, jpeg, jpeg_bytes, error);
    return status == API_OK ? run_full(request, error) : status;
}

enum api_status srv_compute_pixels(struct srv_request *request,
                                   const uint8_t *pixels,
                                   struct api_error *error)
{
    const struct api_model *info = &request->model->info;
    struct srv_workspace *workspace = borrow(request);
    choose(request, request->model->offload_point);
    memcpy(workspace->pixels, pixels,
           (size_t)info->input_width * info->input_height * 3);
    return run_full(request, error);
}

/* Does the frame belong to a point that this model can finish? */
static enum api_status match(const struct srv_model *model,
                             const struct api_frame *frame,
                             struct api_error *error)
{
    if (frame->fingerprint != model->info.fingerprint)
        return api_fail(error, API_MODEL_MISMATCH,
                        "the frame was made with another version of model %s",
                        model->info.name);
    if (frame->point >= model->info.point_count ||
        model->info.points[frame->point].kind != API_POINT_SPLIT)
        return api_fail(error, API_UNPROCESSABLE,
                        "point %u of this model is no split point",
                        (unsigned)frame->point);
    const struct api_point *point = &model->info.points[frame->point];
    if (frame->codec != point->codec)
        return api_fail(error, API_UNPROCESSABLE,
                        "point %s takes codec %s, not %s", point->id,
                        api_codec_name(point->codec),
                        api_codec_name((enum api_codec)frame->codec));
    if (frame->height != point->latent_height ||
        frame->width != point->latent_width ||
        frame->channels != point->latent_channels)
        return api_fail(error, API_UNPROCESSABLE,
                        "point %s has a latent of another shape", point->id);
    if (!nn_model_has_tail(model->nn, frame->point))
        return api_fail(error, API_UNAVAILABLE,
                        "this bundle lacks the tail of point %s", point->id);
    return API_OK;
}

/* A device may hold the head of a version that is no longer the newest. */
static void follow_version(struct srv_request *request, uint64_t fingerprint)
{
    if (request->names_version ||
        request->model->info.fingerprint == fingerprint)
        return;
    struct srv_model *other = srv_registry_take_print(
        request->app->registry, request->model->info.name, fingerprint);
    if (!other)
        return;
    srv_model_release(&request->model);
    request->model = other;
}

enum api_status srv_compute_latent(struct srv_request *request,
                                   const uint8_t *bytes, size_t count,
                                   struct api_frame *frame,
                                   struct api_error *error)
{
    int64_t begun_us = srv_now_us();
    enum api_status status = api_frame_read(bytes, count, frame, error);
    if (status != API_OK)
        return status;
    follow_version(request, frame->fingerprint);
    status = match(request->model, frame, error);
    if (status != API_OK)
        return status;
    struct srv_workspace *workspace = borrow(request);
    status = nn_latent_decode(workspace->context, frame->point, frame->payload,
                              frame->payload_bytes, workspace->latent, error);
    request->infer.decode_us = srv_now_us() - begun_us;
    return status;
}

enum api_status srv_compute_frame(struct srv_request *request,
                                  const uint8_t *bytes, size_t count,
                                  struct api_error *error)
{
    struct srv_infer *infer = &request->infer;
    struct api_frame frame;
    enum api_status status =
        srv_compute_latent(request, bytes, count, &frame, error);
    if (status != API_OK)
        return status;
    choose(request, frame.point);
    int64_t begun_us = srv_now_us();
    status = nn_run_tail(infer->workspace->context, (uint16_t)infer->point,
                         infer->workspace->latent,
                         infer->workspace->probabilities);
    infer->infer_us = srv_now_us() - begun_us;
    if (status != API_OK)
        return api_fail(error, status, "the tail did not run");
    return API_OK;
}
