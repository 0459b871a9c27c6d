/* What the client asks of a server, and how it reads the answers. */
#include "client/remote.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "api/limits.h"
#include "client/server_timing.h"

enum api_status cli_remote_refusal(const struct cli_reply *reply,
                                   struct api_error *error)
{
    enum api_status status = api_status_from_http(reply->http_code);
    if (status == API_OK)
        status = API_INTERNAL;
    struct api_error problem = {.text = ""};
    if (api_problem_read(reply->body, strlen(reply->body), &problem) == API_OK)
        return api_fail(error, status, "%s", problem.text);
    return api_fail(error, status, "the server answered HTTP %d",
                    reply->http_code);
}

/* A reply too large for its kind is the server's fault, not the picture's. */
static enum api_status exchange(struct cli_transport *transport,
                                const struct cli_request *request,
                                struct cli_reply *reply,
                                struct api_error *error)
{
    enum api_status status =
        cli_transport_request(transport, request, reply, error);
    return status == API_TOO_LARGE ? API_INTERNAL : status;
}

static enum api_status nonsense(struct api_error *error,
                                const struct api_error *detail)
{
    return api_fail(error, API_INTERNAL,
                    "the server's answer makes no sense: %.150s", detail->text);
}

enum api_status cli_remote_model(struct cli_transport *transport,
                                 const char *model, double timeout_ms,
                                 struct api_model *out, double *exchange_ms,
                                 struct api_error *error)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/models%s%.63s", *model ? "/" : "", model);
    struct cli_request request = {.path = path,
                                  .timeout_ms = timeout_ms,
                                  .most_reply_bytes = API_LIMIT_REPLY_BYTES,
                                  .sink_fd = -1};
    struct cli_reply reply;
    enum api_status status = exchange(transport, &request, &reply, error);
    if (status != API_OK)
        return status;
    struct api_error detail = {.text = ""};
    if (reply.http_code != 200)
        status = cli_remote_refusal(&reply, error);
    else if ((*model
                  ? api_model_read(reply.body, reply.body_bytes, out, &detail)
                  : api_model_list_read(reply.body, reply.body_bytes, out,
                                        &detail)) != API_OK)
        status = nonsense(error, &detail);
    else
        *exchange_ms = reply.exchange_ms;
    cli_reply_free(&reply);
    return status;
}

static struct cli_server_timing server_timing(const struct cli_reply *reply)
{
    struct cli_server_timing timing = {.queue_ms = 0};
    cli_server_timing_read(reply->server_timing, strlen(reply->server_timing),
                           &timing);
    return timing;
}

enum api_status
cli_remote_classify(struct cli_transport *transport, const char *model,
                    bool is_frame, const void *body, size_t body_bytes,
                    unsigned top, double timeout_ms, const int *off_fd,
                    struct cli_answer *answer, double *retry_after_ms,
                    struct api_error *error)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/models/%.63s/%s?top=%u", model,
             is_frame ? "tail" : "classify", top);
    struct cli_request request = {
        .path = path,
        .body = body,
        .body_bytes = body_bytes,
        .content_type = is_frame ? API_FRAME_MEDIA_TYPE : "image/jpeg",
        .timeout_ms = timeout_ms,
        .most_reply_bytes = API_LIMIT_REPLY_BYTES,
        .sink_fd = -1,
        .off_fd = off_fd};
    struct cli_reply reply;
    *retry_after_ms = 0;
    enum api_status status = exchange(transport, &request, &reply, error);
    if (status != API_OK)
        return status;
    *retry_after_ms = reply.retry_after_ms;
    struct api_error detail = {.text = ""};
    if (reply.http_code != 200) {
        status = cli_remote_refusal(&reply, error);
    } else if (api_answer_read(reply.body, reply.body_bytes, &answer->body,
                               &detail) != API_OK) {
        status = nonsense(error, &detail);
    } else {
        answer->total_ms = reply.total_ms;
        answer->exchange_ms = reply.exchange_ms;
        struct cli_server_timing timing = server_timing(&reply);
        answer->server_ms =
            fmin(timing.queue_ms + timing.compute_ms, reply.total_ms);
        answer->queue_ms = fmin(timing.queue_ms, answer->server_ms);
    }
    cli_reply_free(&reply);
    return status;
}

/* Bytes that no link can compress, so that they take their time. */
static void fill_noise(uint8_t *bytes, size_t count)
{
    uint32_t state = 2463534242u; /* xorshift32 (Marsaglia, 2003) */
    for (size_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[i] = (uint8_t)(state >> 24);
    }
}

enum api_status cli_remote_probe(struct cli_transport *transport,
                                 size_t up_bytes, size_t down_bytes,
                                 double timeout_ms, const int *off_fd,
                                 double *elapsed_ms, struct api_error *error)
{
    char path[64] = "/v1/probe";
    struct cli_request request = {.path = path,
                                  .timeout_ms = timeout_ms,
                                  .most_reply_bytes = API_LIMIT_PROBE_BYTES,
                                  .sink_fd = -1,
                                  .off_fd = off_fd};
    uint8_t *body = NULL;
    if (up_bytes > 0) {
        body = malloc(up_bytes);
        if (!body)
            return api_fail(error, API_NO_MEMORY, "out of memory");
        fill_noise(body, up_bytes);
        request.body = body;
        request.body_bytes = up_bytes;
        request.content_type = "application/octet-stream";
    } else {
        snprintf(path, sizeof path, "/v1/probe?bytes=%zu", down_bytes);
    }
    struct cli_reply reply;
    enum api_status status = exchange(transport, &request, &reply, error);
    free(body);
    if (status != API_OK)
        return status;
    if (reply.http_code != 200)
        status = cli_remote_refusal(&reply, error);
    else if (up_bytes == 0 && reply.body_bytes != down_bytes)
        status = api_fail(error, API_INTERNAL,
                          "the server's probe came with %zu bytes, not %zu",
                          reply.body_bytes, down_bytes);
    else
        *elapsed_ms = fmax(reply.exchange_ms - server_timing(&reply).queue_ms -
                               server_timing(&reply).compute_ms,
                           0);
    cli_reply_free(&reply);
    return status;
}
