/* Whole requests from untrusted bytes: first line, headers, blank line, body.
 * What http.c does with libmicrohttpd is done here without it: framing, route,
 * handler, worker, record. With an Authorization header the server has tokens,
 * without one it has none. */
#include <semaphore.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/json.h"
#include "server/access.h"
#include "server/app.h"
#include "server/framing.h"
#include "server/handlers.h"
#include "server/log.h"
#include "server/monotonic.h"
#include "server/routes.h"
#include "server/slow.h"
#include "tests/fuzz/target.h"

#define HEADERS 32

/* The library's side of an exchange; borrowed from the input. */
struct exchange {
    const char *names[HEADERS], *values[HEADERS];
    unsigned count;
    sem_t answered;
};

static const struct srv_config config = {
    .max_body_bytes = 1 << 20,
    .workers = 1,
    .queue = 4,
    .light_queue = 4,
    .console = 1,
    .deadline_ms = 60000,
    .request_timeout_ms = 60000,
    .log_sample = 1,
};
static struct srv_app app = {.config = &config};
static struct srv_auth *tokens;

const char *srv_request_header(const struct srv_request *request,
                               const char *name)
{
    const struct exchange *exchange = request->exchange;
    for (unsigned i = 0; i < exchange->count; i++)
        if (strcasecmp(exchange->names[i], name) == 0)
            return exchange->values[i];
    return NULL;
}

void srv_request_resume(struct srv_request *request)
{
    struct exchange *exchange = request->exchange;
    sem_post(&exchange->answered);
}

static void stop(void)
{
    srv_queue_close(&app.queue);
    srv_registry_close(&app.registry);
    srv_metrics_close(&app.metrics);
    srv_slow_close(&app.slow);
    srv_auth_close(&tokens);
}

static void open_tokens(void)
{
    static const char line[] = "fuzz infer,metrics,admin 0123456789abcdef\n";
    char path[] = "/tmp/cleave-fuzz-XXXXXX";
    int file = mkstemp(path);
    must_hold(file >= 0 &&
                  write(file, line, sizeof line - 1) == sizeof line - 1,
              "a token file");
    close(file);
    must_hold(srv_auth_open(path, &tokens, NULL) == API_OK, "tokens");
    unlink(path);
}

static void start(void)
{
    size_t count;
    const char *const *patterns = srv_route_patterns(&count);
    srv_log_set_level(SRV_ERROR);
    srv_probe_prepare();
    must_hold(srv_metrics_open(patterns, count, &app.metrics) == API_OK &&
                  srv_slow_open(&app.slow) == API_OK,
              "metrics");
    const struct srv_registry_options options = {
        .model = CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors",
        .folder = "",
        .default_model = "",
        .each = {.workspaces = 1,
                 .threads_per_request = 1,
                 .batch = 1,
                 .metrics = app.metrics},
    };
    const struct srv_queue_options waiting = {
        .workers = config.workers, .capacity = config.queue, .batch = 1};
    must_hold(srv_registry_open(&options, &app.registry, NULL) == API_OK &&
                  srv_queue_open(&waiting, &app.queue, NULL) == API_OK,
              "a model and its worker");
    open_tokens();
    atexit(stop);
}

/* Cuts `text` at the next line's end; the line, or NULL at its end. */
static char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');
    if (!*line)
        return NULL;
    *text = end ? end + 1 : line + strlen(line);
    if (end)
        *end = '\0';
    return line;
}

/* Reads headers up to the blank line, past which *text stands then. */
static void read_headers(char **text, struct exchange *exchange,
                         struct srv_framing *framing)
{
    char *line;
    while ((line = next_line(text)) != NULL && *line) {
        char *colon = strchr(line, ':');
        if (colon)
            *colon = '\0';
        if (exchange->count == HEADERS)
            continue;
        const char *value = colon ? colon + 1 : "";
        exchange->names[exchange->count] = line;
        exchange->values[exchange->count++] = value + strspn(value, " \t");
        srv_framing_see(framing, line, value + strspn(value, " \t"));
    }
}

static void take_body(struct srv_request *request, const char *bytes,
                      size_t count)
{
    /* A route without a body counts it and drops it. */
    request->body_bytes = count;
    if (!request->keep_body || count == 0)
        return;
    request->body = malloc(count);
    memcpy(request->body, bytes, count);
}

static void answer(struct srv_request *request, struct exchange *exchange)
{
    request->received_us = srv_now_us();
    if (request->reply.code != 0)
        return;
    request->route->finish(request);
    if (request->route->flags & SRV_WAITS)
        while (sem_wait(&exchange->answered) != 0)
            continue;
}

static void check_reply(const struct srv_request *request)
{
    const struct srv_reply *reply = &request->reply;
    struct api_error problem = {0};
    must_hold(reply->code >= 200 && reply->code <= 599, "a status");
    must_hold(reply->body || reply->body_bytes == 0, "a body");
    if (reply->code >= 400) {
        must_hold(strcmp(reply->media_type, "application/problem+json") == 0,
                  "a refusal is a problem");
        must_hold(api_problem_read(reply->body, reply->body_bytes, &problem) ==
                      API_OK,
                  "which reads");
    }
    for (unsigned i = 0; i < reply->header_count; i++)
        for (const char *at = reply->headers[i].value; *at; at++)
            must_hold((unsigned char)*at >= ' ' && *at != 0x7F,
                      "no header's value ends its line");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exchange exchange = {.count = 0};
    struct srv_framing framing = {.lengths = 0};
    struct api_error error;
    if (!app.registry)
        start();
    char *text = malloc(size + 1), *rest = text;
    memcpy(text, data, size);
    text[size] = '\0';
    const char *method = next_line(&rest);
    char *target = method ? strchr(method, ' ') : NULL;
    if (target) {
        *target++ = '\0';
        sem_init(&exchange.answered, 0, 0);
        read_headers(&rest, &exchange, &framing);
        struct srv_request *request = srv_request_open(&app, target);
        request->exchange = &exchange;
        request->socket = -1;
        app.auth = srv_request_header(request, "Authorization") ? tokens : NULL;
        snprintf(request->method, sizeof request->method, "%s", method);
        srv_identity_choose(srv_request_header(request, "X-Request-Id"),
                            request->id);
        srv_trace_continue(srv_request_header(request, "traceparent"),
                           &request->trace);
        /* As long as it says, or it would never be complete. */
        size_t body_bytes = size - (size_t)(rest - text);
        request->has_length = framing.lengths > 0;
        request->length = request->has_length ? body_bytes : 0;
        enum api_status status =
            srv_framing_check(&framing, "HTTP/1.1", &error);
        if (status != API_OK)
            srv_reply_problem(request, status, error.text);
        else
            srv_route_begin(request);
        if (request->has_length)
            take_body(request, rest, body_bytes);
        answer(request, &exchange);
        check_reply(request);
        srv_access_record(request);
        srv_request_close(&request);
        sem_destroy(&exchange.answered);
    }
    free(text);
    return 0;
}
