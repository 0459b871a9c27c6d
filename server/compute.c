/* Decode, then run the network; each stage timed. */
#include "server/compute.h"

#include <string.h>

#include "server/app.h"
#include "server/model.h"
#include "server/monotonic.h"

/* Unless the batch has one. */
static struct srv_workspace *borrow(struct srv_request *request)
{
    struct srv_infer *infer = &request->infer;
    if (!infer->workspace) {
        infer->workspace = srv_model_borrow(request->model);
        infer->borrowed = true;
    }
    return infer->workspace;
}

/* Latents of one tail are of one size. */
static float *latent_of(const struct srv_request *request, uint16_t point)
{
    return request->infer.workspace->latent +
           request->infer.place * nn_latent_values(request->model->nn, point);
}

static float *answer_of(const struct srv_request *request)
{
    return request->infer.workspace->probabilities +
           (size_t)request->infer.place * request->model->info.class_count;
}

const float *srv_compute_answer(const struct srv_request *request)
{
    return answer_of(request);
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
    if (request->infer.borrowed)
        srv_model_give_back(request->model, request->infer.workspace);
    request->infer.borrowed = false;
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
                              frame->payload_bytes,
                              latent_of(request, frame->point), error);
    request->infer.decode_us = srv_now_us() - begun_us;
    return status;
}

/* Runs the tail that requests whose latents lie side by side have in common;
 * that there is one is known by now. Each is charged its share. */
static void run_tail(struct srv_request *const *requests, unsigned count)
{
    const struct srv_request *first = requests[0];
    const uint16_t point = (uint16_t)first->infer.point;
    int64_t begun_us = srv_now_us();
    (void)nn_run_tails(first->infer.workspace->context, point, count,
                       latent_of(first, point), answer_of(first));
    int64_t took_us = srv_now_us() - begun_us;
    for (unsigned i = 0; i < count; i++)
        requests[i]->infer.infer_us = took_us / count;
    requests[0]->infer.batch = count;
}

enum api_status srv_compute_frame(struct srv_request *request,
                                  const uint8_t *bytes, size_t count,
                                  struct api_error *error)
{
    struct api_frame frame;
    enum api_status status =
        srv_compute_latent(request, bytes, count, &frame, error);
    if (status != API_OK)
        return status;
    choose(request, frame.point);
    run_tail(&request, 1);
    return API_OK;
}

/* What was spent on the others of its batch is waiting for a request. */
static void count_waiting(struct srv_request *const *requests, unsigned count)
{
    int64_t now_us = srv_now_us();
    for (unsigned i = 0; i < count; i++) {
        struct srv_infer *infer = &requests[i]->infer;
        infer->queue_us =
            now_us - infer->job.queued_us - infer->decode_us - infer->infer_us;
    }
}

/* How many of the requests, from the first on, run the tail that it does. */
static unsigned alike(struct srv_request *const *requests, unsigned count)
{
    unsigned same = 1;
    while (same < count &&
           nn_model_same_tail(requests[0]->model->nn,
                              (uint16_t)requests[0]->infer.point,
                              (uint16_t)requests[same]->infer.point))
        same++;
    return same;
}

void srv_compute_frames(struct srv_request *const *requests, unsigned count,
                        struct api_error *errors)
{
    struct srv_request *decoded[API_LIMIT_BATCH];
    struct srv_workspace *workspace = NULL;
    unsigned ready = 0;
    for (unsigned i = 0; i < count; i++) {
        struct srv_request *request = requests[i];
        struct api_frame frame;
        request->infer.workspace = workspace;
        request->infer.place = ready;
        errors[i] = (struct api_error){API_OK, ""};
        errors[i].status = srv_compute_latent(
            request, request->body, request->body_bytes, &frame, &errors[i]);
        workspace = request->infer.workspace;
        if (errors[i].status == API_OK) {
            choose(request, frame.point);
            decoded[ready++] = request;
        }
    }
    for (unsigned i = 0, same; i < ready; i += same) {
        same = alike(decoded + i, ready - i);
        run_tail(decoded + i, same);
        count_waiting(decoded + i, same);
    }
}

const void *srv_compute_alike(const struct srv_request *request)
{
    const struct srv_model *model = request->model;
    struct api_frame frame;
    uint16_t first = 0;
    if (api_frame_peek(request->body, request->body_bytes, &frame, NULL) !=
            API_OK ||
        match(model, &frame, NULL) != API_OK)
        return NULL;
    while (!nn_model_same_tail(model->nn, first, frame.point))
        first++;
    return &model->series[first];
}
