/* One line and a handful of counters a request. */
#include "server/access.h"

#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "server/app.h"
#include "server/log.h"
#include "server/model.h"
#include "server/monotonic.h"
#include "server/routes.h"
#include "server/slow.h"

static bool is_inference(const struct srv_request *request)
{
    return request->route && request->route->flags & SRV_INFERENCE;
}

static struct srv_series *series_of(const struct srv_request *request)
{
    int point = request->infer.point;
    if (!request->model)
        return srv_metrics_series(request->app->metrics, "", "", "");
    return request->model->series[point >= 0 ? point : (int)API_LIMIT_POINTS];
}

static enum srv_log_level level_of(const struct srv_request *request)
{
    return request->reply.code == 500 ? SRV_ERROR
           : is_inference(request)    ? SRV_INFO
                                      : SRV_DEBUG;
}

static int64_t total_us(const struct srv_request *request)
{
    return request->answered_us - request->started_us;
}

static void count(const struct srv_request *request)
{
    const struct srv_infer *infer = &request->infer;
    struct srv_observation observation = {
        .route = srv_route_pattern_index(request->route),
        .http_code = request->reply.code,
        .series = is_inference(request) ? series_of(request) : NULL,
        .total_us = total_us(request),
        .queue_us = infer->queue_us,
        .decode_us = infer->decode_us,
        .infer_us = infer->infer_us,
        .batch = infer->batch > 0 ? (int64_t)infer->batch : -1,
        .body_bytes = request->body_bytes,
    };
    srv_metrics_observe(request->app->metrics, &observation);
}

/* The names of traces are OpenTelemetry's. */
static void begin_line(struct srv_log_line *line,
                       const struct srv_request *request)
{
    srv_log_text(line, "request_id", request->id);
    srv_log_text(line, "trace_id", request->trace.trace_id);
    srv_log_text(line, "span_id", request->trace.span_id);
    if (request->trace.parent_id[0])
        srv_log_text(line, "parent_span_id", request->trace.parent_id);
    srv_log_text(line, "method", request->method);
    srv_log_text(line, "path", request->path);
    if (request->client[0])
        srv_log_text(line, "client", request->client);
}

static void compose(struct srv_log_line *line,
                    const struct srv_request *request)
{
    const struct srv_infer *infer = &request->infer;
    srv_log_compose(line, level_of(request), "request");
    begin_line(line, request);
    srv_log_number(line, "status", request->reply.code);
    if (request->model) {
        srv_log_text(line, "model", request->model->info.name);
        srv_log_text(line, "version", request->model->info.version);
    }
    if (infer->point >= 0)
        srv_log_text(line, "point",
                     request->model->info.points[infer->point].id);
    srv_log_ms(line, "duration_ms", total_us(request));
    if (request->received_us > 0)
        srv_log_ms(line, "receive_ms",
                   request->received_us - request->started_us);
    if (infer->queue_us >= 0)
        srv_log_ms(line, "queue_ms", infer->queue_us);
    if (infer->decode_us >= 0)
        srv_log_ms(line, "decode_ms", infer->decode_us);
    if (infer->infer_us >= 0)
        srv_log_ms(line, "infer_ms", infer->infer_us);
    srv_log_number(line, "bytes_in", (int64_t)request->body_bytes);
    srv_log_number(line, "bytes_out", (int64_t)request->reply.body_bytes);
}

/* One in so many traces, the same ones on every replica that sees them; and
 * those that the caller records. */
static bool is_sampled(const struct srv_request *request)
{
    const char *last_digits = request->trace.trace_id + 24;
    return request->trace.sampled ||
           strtoul(last_digits, NULL, 16) % request->app->config->log_sample ==
               0;
}

static bool is_slow(const struct srv_request *request)
{
    return is_inference(request) &&
           total_us(request) >= (int64_t)request->app->config->slow_ms * 1000;
}

void srv_access_record(struct srv_request *request)
{
    request->answered_us = srv_now_us();
    count(request);
    if (is_slow(request)) {
        struct srv_log_line line;
        compose(&line, request);
        srv_slow_add(request->app->slow, &line);
    }
}

void srv_access_log(const struct srv_request *request)
{
    struct srv_log_line line;
    enum srv_log_level level = level_of(request);
    if (!srv_log_shows(level) ||
        (level != SRV_ERROR && !is_slow(request) && !is_sampled(request)))
        return;
    compose(&line, request);
    srv_log_end(&line);
}

void srv_access_abort(const struct srv_request *request, int reason)
{
    struct srv_log_line line;
    if (!is_sampled(request))
        return;
    srv_log_begin(&line, SRV_INFO, "aborted");
    begin_line(&line, request);
    srv_log_number(&line, "bytes_in", (int64_t)request->body_bytes);
    srv_log_number(&line, "reason", reason);
    srv_log_end(&line);
}
