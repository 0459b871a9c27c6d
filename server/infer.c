/* One inference request: check, queue, compute, answer. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/frame.h"
#include "api/json.h"
#include "api/limits.h"
#include "server/app.h"
#include "server/handlers.h"
#include "server/monotonic.h"
#include "server/worker.h"

#define DEFAULT_TOP 5

/* Is the request's Content-Type, without its parameters, `type`? */
static bool has_type(const struct srv_request *request, const char *type)
{
    const char *given = srv_request_header(request, "Content-Type");
    size_t length = given ? strcspn(given, "; \t") : 0;
    return length == strlen(type) && strncasecmp(given, type, length) == 0;
}

/* What both kinds check before a body is let in. */
static void begin(struct srv_request *request)
{
    struct srv_app *app = request->app;
    struct api_error error;
    uint32_t deadline_ms = 0;
    enum api_status status =
        srv_request_number(request, "top", 1, API_LIMIT_TOP, DEFAULT_TOP,
                           &request->infer.top_count, &error);
    if (status == API_OK)
        status =
            srv_request_number(request, "deadline_ms", 1, 3600000,
                               app->config->deadline_ms, &deadline_ms, &error);
    if (status != API_OK) {
        srv_reply_problem(request, status, error.text);
        return;
    }
    if (deadline_ms > app->config->deadline_ms)
        deadline_ms = app->config->deadline_ms;
    /* Relative until the body is in; srv_infer_submit makes it absolute. */
    request->infer.job.deadline_us = (int64_t)deadline_ms * 1000;
    if (srv_app_is_draining(app)) {
        srv_metrics_reject(app->metrics, SRV_REJECT_DRAINING);
        srv_reply_problem(request, API_OVERLOADED,
                          "the server is shutting down");
    } else if (srv_queue_depth(app->queue) >= app->config->queue) {
        srv_metrics_reject(app->metrics, SRV_REJECT_QUEUE_FULL);
        srv_reply_problem(request, API_OVERLOADED, "the queue is full");
    }
}

void srv_classify_begin(struct srv_request *request)
{
    begin(request);
    if (request->reply.code != 0)
        return;
    if (!has_type(request, "image/jpeg"))
        srv_reply_problem(request, API_UNSUPPORTED_MEDIA,
                          "Content-Type must be image/jpeg");
    else if (request->model->offload_point < 0)
        srv_reply_problem(request, API_UNAVAILABLE,
                          "this model's bundle lacks the whole network");
}

void srv_tail_begin(struct srv_request *request)
{
    begin(request);
    if (request->reply.code == 0 && !has_type(request, API_FRAME_MEDIA_TYPE) &&
        !has_type(request, "application/octet-stream"))
        srv_reply_problem(request, API_UNSUPPORTED_MEDIA,
                          "Content-Type must be " API_FRAME_MEDIA_TYPE
                          " or application/octet-stream");
}

static void reply_answer(struct srv_request *request,
                         const struct srv_worker *worker)
{
    const struct srv_model *model = request->model;
    struct nn_class top[API_LIMIT_TOP];
    struct api_answer answer = {.top_count = 0};
    answer.top_count = nn_top(worker->probabilities, model->info.class_count,
                              top, request->infer.top_count);
    for (uint32_t i = 0; i < answer.top_count; i++) {
        answer.top[i].index = top[i].index;
        answer.top[i].probability = (double)top[i].probability;
        api_label_copy(answer.top[i].label,
                       nn_model_label(model->nn, top[i].index));
    }
    snprintf(answer.model, sizeof answer.model, "%s", model->info.name);
    snprintf(answer.version, sizeof answer.version, "%s", model->info.version);
    snprintf(answer.point, sizeof answer.point, "%s",
             model->info.points[request->infer.point].id);
    char *text = api_answer_write(&answer);
    srv_reply_owned(request, 200, "application/json", text,
                    text ? strlen(text) : 0);
}

static enum api_status classify(struct srv_request *request,
                                struct srv_worker *worker,
                                struct api_error *error)
{
    struct srv_infer *infer = &request->infer;
    infer->point = request->model->offload_point;
    int64_t begun_us = srv_now_us();
    enum api_status status =
        nn_picture_from_jpeg(nn_model_input(request->model->nn), request->body,
                             request->body_bytes, worker->pixels, error);
    int64_t decoded_us = srv_now_us();
    infer->decode_us = decoded_us - begun_us;
    if (status != API_OK)
        return status;
    status = nn_run_full(worker->context, (uint16_t)infer->point,
                         worker->pixels, worker->probabilities);
    infer->infer_us = srv_now_us() - decoded_us;
    if (status != API_OK)
        return api_fail(error, status, "the network did not run");
    return API_OK;
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

static enum api_status tail(struct srv_request *request,
                            struct srv_worker *worker, struct api_error *error)
{
    struct srv_infer *infer = &request->infer;
    struct api_frame frame;
    int64_t begun_us = srv_now_us();
    enum api_status status =
        api_frame_read(request->body, request->body_bytes, &frame, error);
    if (status == API_OK)
        status = match(request->model, &frame, error);
    if (status != API_OK)
        return status;
    infer->point = frame.point;
    status = nn_latent_decode(worker->context, frame.point, frame.payload,
                              frame.payload_bytes, worker->latent, error);
    int64_t decoded_us = srv_now_us();
    infer->decode_us = decoded_us - begun_us;
    if (status != API_OK)
        return status;
    status = nn_run_tail(worker->context, frame.point, worker->latent,
                         worker->probabilities);
    infer->infer_us = srv_now_us() - decoded_us;
    if (status != API_OK)
        return api_fail(error, status, "the tail did not run");
    return API_OK;
}

/* W3C Server Timing; durations in milliseconds. */
static void add_server_timing(struct srv_request *request)
{
    const struct srv_infer *infer = &request->infer;
    char text[100] = "";
    int used = snprintf(text, sizeof text, "queue;dur=%.3f",
                        (double)infer->queue_us / 1000);
    if (infer->decode_us >= 0)
        used += snprintf(text + used, sizeof text - (size_t)used,
                         ", decode;dur=%.3f", (double)infer->decode_us / 1000);
    if (infer->infer_us >= 0)
        snprintf(text + used, sizeof text - (size_t)used, ", infer;dur=%.3f",
                 (double)infer->infer_us / 1000);
    srv_reply_header(request, "Server-Timing", "%s", text);
}

typedef enum api_status compute_fn(struct srv_request *request,
                                   struct srv_worker *worker,
                                   struct api_error *error);

static void run(struct srv_job *job, void *worker, enum api_status verdict,
                compute_fn *compute)
{
    struct srv_request *request =
        (struct srv_request *)(void *)((char *)job -
                                       offsetof(struct srv_request, infer.job));
    struct srv_metrics *metrics = request->app->metrics;
    request->infer.queue_us = srv_now_us() - job->queued_us;
    if (verdict == API_DEADLINE) {
        srv_metrics_reject(metrics, SRV_REJECT_DEADLINE);
        srv_reply_problem(request, verdict,
                          "the deadline passed before a worker was free");
    } else if (verdict != API_OK) {
        srv_metrics_reject(metrics, SRV_REJECT_DRAINING);
        srv_reply_problem(request, verdict, "the server is shutting down");
    } else {
        struct api_error error = {API_OK, ""};
        enum api_status status = compute(request, worker, &error);
        if (status == API_OK)
            reply_answer(request, worker);
        else
            srv_reply_problem(request, status, error.text);
    }
    add_server_timing(request);
    srv_request_resume(request);
}

static void run_classify(struct srv_job *job, void *worker,
                         enum api_status verdict)
{
    run(job, worker, verdict, classify);
}

static void run_tail(struct srv_job *job, void *worker, enum api_status verdict)
{
    run(job, worker, verdict, tail);
}

static void submit(struct srv_request *request,
                   void (*work)(struct srv_job *, void *, enum api_status))
{
    struct srv_app *app = request->app;
    struct srv_job *job = &request->infer.job;
    job->run = work;
    job->deadline_us += request->received_us;
    if (srv_queue_submit(app->queue, job) == API_OK)
        return;
    srv_metrics_reject(app->metrics, srv_app_is_draining(app)
                                         ? SRV_REJECT_DRAINING
                                         : SRV_REJECT_QUEUE_FULL);
    srv_reply_problem(request, API_OVERLOADED, "the queue is full");
    srv_request_resume(request);
}

void srv_classify(struct srv_request *request)
{
    submit(request, run_classify);
}

void srv_tail(struct srv_request *request)
{
    submit(request, run_tail);
}
