/* One inference request: check, queue, compute, answer. */
#include "server/infer.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/frame.h"
#include "api/json.h"
#include "api/limits.h"
#include "server/app.h"
#include "server/client_of.h"
#include "server/compute.h"
#include "server/handlers.h"
#include "server/model.h"
#include "server/monotonic.h"
#include "server/routes.h"

#define DEFAULT_TOP 5

static bool has_type(const struct srv_request *request, const char *type)
{
    const char *given = srv_request_header(request, "Content-Type");
    size_t length = given ? strcspn(given, "; \t") : 0;
    return length == strlen(type) && strncasecmp(given, type, length) == 0;
}

/* Replies, and counts why, unless the queue has no objection. */
static void refuse(struct srv_request *request, enum api_status objection)
{
    struct srv_app *app = request->app;
    if (objection == API_QUOTA) {
        srv_metrics_reject(app->metrics, SRV_REJECT_QUOTA);
        srv_reply_problem(request, objection,
                          "too many requests of this client are waiting");
    } else if (objection != API_OK && srv_app_is_draining(app)) {
        srv_metrics_reject(app->metrics, SRV_REJECT_DRAINING);
        srv_reply_problem(request, objection, "the server is shutting down");
    } else if (objection != API_OK) {
        srv_metrics_reject(app->metrics, SRV_REJECT_QUEUE_FULL);
        srv_reply_problem(request, objection, "the queue is full");
    }
}

void srv_infer_begin(struct srv_request *request)
{
    struct srv_app *app = request->app;
    struct api_error error;
    uint32_t deadline_ms = 0, timeout_ms = 0;
    enum api_status status =
        srv_request_number(request, "top", 1, API_LIMIT_TOP, DEFAULT_TOP,
                           &request->infer.top_count, &error);
    if (status == API_OK)
        status =
            srv_request_number(request, "deadline_ms", 1, 3600000,
                               app->config->deadline_ms, &deadline_ms, &error);
    if (status == API_OK)
        status = srv_request_header_number(request, "X-Request-Timeout-Ms", 1,
                                           3600000, app->config->deadline_ms,
                                           &timeout_ms, &error);
    char quality[8] = "full";
    if (status == API_OK &&
        srv_request_query(request, "quality", quality, sizeof quality) < 0)
        quality[0] = '\0';
    if (status == API_OK)
        status = srv_compute_quality(request, quality, &error);
    if (status != API_OK) {
        srv_reply_problem(request, status, error.text);
        return;
    }
    if (deadline_ms > timeout_ms)
        deadline_ms = timeout_ms;
    if (deadline_ms > app->config->deadline_ms)
        deadline_ms = app->config->deadline_ms;
    /* Relative until the body is in; srv_infer_submit makes it absolute. */
    request->infer.job.deadline_us = (int64_t)deadline_ms * 1000;
    refuse(request, srv_app_is_draining(app)
                        ? API_OVERLOADED
                        : srv_queue_ask(app->queue, request->infer.job.client));
}

void srv_infer_begin_picture(struct srv_request *request)
{
    srv_infer_begin(request);
    if (request->reply.code == 0 && !has_type(request, "image/jpeg"))
        srv_reply_problem(request, API_UNSUPPORTED_MEDIA,
                          "Content-Type must be image/jpeg");
}

void srv_infer_begin_frame(struct srv_request *request)
{
    srv_infer_begin(request);
    if (request->reply.code == 0 && !has_type(request, API_FRAME_MEDIA_TYPE) &&
        !has_type(request, "application/octet-stream"))
        srv_reply_problem(request, API_UNSUPPORTED_MEDIA,
                          "Content-Type must be " API_FRAME_MEDIA_TYPE
                          " or application/octet-stream");
}

void srv_classify_begin(struct srv_request *request)
{
    srv_infer_begin_picture(request);
    if (request->reply.code == 0 && request->model->offload_point < 0)
        srv_reply_problem(request, API_UNAVAILABLE,
                          "this model's bundle lacks the whole network");
}

void srv_tail_begin(struct srv_request *request)
{
    srv_infer_begin_frame(request);
}

static void reply_answer(struct srv_request *request)
{
    const struct srv_model *model = request->model;
    struct nn_class top[API_LIMIT_TOP];
    struct api_answer answer = {.top_count = 0};
    answer.top_count =
        nn_top(srv_compute_answer(request), model->info.class_count, top,
               request->infer.top_count);
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
    if (request->infer.asked != request->infer.point)
        snprintf(answer.asked, sizeof answer.asked, "%s",
                 model->info.points[request->infer.asked].id);
    char *text = api_answer_write(&answer);
    srv_reply_owned(request, 200, "application/json", text,
                    text ? strlen(text) : 0);
}

/* W3C Server Timing; durations in milliseconds. */
static void add_server_timing(struct srv_request *request)
{
    const struct srv_infer *infer = &request->infer;
    const struct {
        const char *name;
        int64_t us;
    } stages[] = {{"queue", infer->queue_us},
                  {"decode", infer->decode_us},
                  {"infer", infer->infer_us},
                  {"encode", infer->encode_us}};
    char text[120] = "";
    int used = 0;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        if (stages[i].us >= 0)
            used += snprintf(text + used, sizeof text - (size_t)used,
                             "%s%s;dur=%.3f", used ? ", " : "", stages[i].name,
                             (double)stages[i].us / 1000);
    srv_reply_header(request, "Server-Timing", "%s", text);
}

static void refuse_late(struct srv_request *request)
{
    srv_metrics_reject(request->app->metrics, SRV_REJECT_DEADLINE);
    srv_reply_problem(request, API_DEADLINE,
                      "no worker was free in time for the deadline");
}

bool srv_infer_expired(struct srv_request *request, int64_t deadline_us)
{
    if (srv_now_us() <= deadline_us)
        return false;
    refuse_late(request);
    return true;
}

static struct srv_request *request_of(struct srv_job *job)
{
    return (
        struct srv_request *)(void *)((char *)job -
                                      offsetof(struct srv_request, infer.job));
}

/* Is the request still to be computed? Replies and counts otherwise. */
static bool admit(struct srv_request *request, enum api_status verdict)
{
    const struct srv_job *job = &request->infer.job;
    request->infer.queue_us = srv_now_us() - job->queued_us;
    if (verdict == API_OVERLOADED || verdict == API_QUOTA) {
        refuse(request, verdict);
        return false;
    }
    if (srv_client_is_gone(request->socket)) {
        srv_metrics_reject(request->app->metrics, SRV_REJECT_ABANDONED);
        srv_reply_problem(request, API_ABANDONED, "the client went away");
        return false;
    }
    if (verdict == API_DEADLINE) {
        refuse_late(request);
        return false;
    }
    return true;
}

static void end(struct srv_request *request)
{
    srv_compute_end(request);
    add_server_timing(request);
    srv_request_resume(request);
}

static void run(struct srv_job *job, enum api_status verdict)
{
    struct srv_request *request = request_of(job);
    if (admit(request, verdict))
        request->infer.answer(request);
    end(request);
}

/* Queues the request for `work`; replies if the queue refuses. */
static void submit(struct srv_request *request,
                   void (*work)(struct srv_job *job, enum api_status verdict),
                   const void *alike)
{
    struct srv_app *app = request->app;
    struct srv_job *job = &request->infer.job;
    job->run = work;
    job->kind = (unsigned)srv_route_pattern_index(request->route);
    job->alike = alike;
    job->deadline_us += request->received_us;
    enum api_status status = srv_queue_submit(app->queue, job);
    if (status == API_OK)
        return;
    refuse(request, status);
    srv_request_resume(request);
}

void srv_infer_submit(struct srv_request *request,
                      void (*answer)(struct srv_request *request))
{
    request->infer.answer = answer;
    submit(request, run, NULL);
}

static void reply(struct srv_request *request, enum api_status status,
                  const struct api_error *error)
{
    if (status == API_OK)
        reply_answer(request);
    else
        srv_reply_problem(request, status, error->text);
}

static void classify(struct srv_request *request)
{
    struct api_error error = {API_OK, ""};
    enum api_status status =
        srv_compute_jpeg(request, request->body, request->body_bytes, &error);
    reply(request, status, &error);
}

/* Each gets its own answer or problem, all before memory that they share may be
 * another's. */
static void run_tails(struct srv_job *job, enum api_status verdict)
{
    struct srv_request *requests[API_LIMIT_BATCH];
    struct api_error errors[API_LIMIT_BATCH];
    unsigned count = 0;
    while (job) {
        struct srv_request *request = request_of(job);
        job = job->next;
        if (admit(request, verdict))
            requests[count++] = request;
        else
            end(request);
    }
    srv_compute_frames(requests, count, errors);
    for (unsigned i = 0; i < count; i++)
        reply(requests[i], errors[i].status, &errors[i]);
    while (count > 0)
        end(requests[--count]);
}

void srv_classify(struct srv_request *request)
{
    srv_infer_submit(request, classify);
}

void srv_tail(struct srv_request *request)
{
    submit(request, run_tails, srv_compute_alike(request));
}
