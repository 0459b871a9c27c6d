/* The static table of routes, and how a request finds its own. */
#include "server/routes.h"

#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "server/app.h"
#include "server/handlers.h"

static const char *const patterns[] = {
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/debug/slow",
    "/openapi.yaml",
    "/docs",
    "/console/*",
    "/v1/models",
    "/v1/models/{model}",
    "/v1/models/{model}/labels",
    "/v1/models/{model}/head",
    "/v1/models/{model}/classify",
    "/v1/models/{model}/tail",
    "/v1/models/{model}/encode",
    "/v1/models/{model}/latent",
    "/v1/classify",
    "/v1/probe",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{model}",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/versions/{version}/ready",
    "/v2/models/{model}/versions/{version}/infer",
    "/v2/repository/index",
    "/v2/repository/models/{model}/load",
    "/v2/repository/models/{model}/unload",
};
#define PATTERN_COUNT (sizeof patterns / sizeof patterns[0])

#define DOCUMENT 0, SRV_MODEL
#define POSTED SRV_KEEP_BODY | SRV_NEEDS_LENGTH
#define INFERENCE SRV_MODEL | POSTED | SRV_WAITS | SRV_INFERENCE
#define CONTROL SRV_KEEP_BODY | SRV_WAITS | SRV_OPT_IN

static const struct srv_route routes[] = {
    {"/", "GET", NULL, srv_root, 0, 0, SRV_SCOPE_OPEN},
    {"/healthz", "GET", NULL, srv_healthz, 0, 0, SRV_SCOPE_OPEN},
    {"/readyz", "GET", NULL, srv_readyz, 0, 0, SRV_SCOPE_OPEN},
    {"/metrics", "GET", NULL, srv_metrics_text, 0, 0, SRV_SCOPE_METRICS},
    {"/debug/slow", "GET", NULL, srv_debug_slow, 0, 0, SRV_SCOPE_ADMIN},
    {"/openapi.yaml", "GET", NULL, srv_openapi, 0, 0, SRV_SCOPE_OPEN},
    {"/docs", "GET", NULL, srv_docs, 0, 0, SRV_SCOPE_OPEN},
    {"/console/*", "GET", NULL, srv_console_file, 0, 0, SRV_SCOPE_OPEN},
    {"/v1/models", "GET", NULL, srv_model_list, 0, 0, SRV_SCOPE_INFER},
    {"/v1/models/{model}", "GET", NULL, srv_model_metadata, DOCUMENT,
     SRV_SCOPE_INFER},
    {"/v1/models/{model}/labels", "GET", NULL, srv_model_labels, DOCUMENT,
     SRV_SCOPE_INFER},
    {"/v1/models/{model}/head", "GET", NULL, srv_model_head, DOCUMENT,
     SRV_SCOPE_INFER},
    {"/v1/models/{model}/classify", "POST", srv_classify_begin, srv_classify,
     API_LIMIT_JPEG_BYTES, INFERENCE, SRV_SCOPE_INFER},
    {"/v1/models/{model}/tail", "POST", srv_tail_begin, srv_tail,
     API_LIMIT_FRAME_BYTES, INFERENCE, SRV_SCOPE_INFER},
    {"/v1/models/{model}/encode", "POST", srv_encode_begin, srv_encode,
     API_LIMIT_JPEG_BYTES, INFERENCE, SRV_SCOPE_INFER},
    {"/v1/models/{model}/latent", "POST", srv_latent_begin, srv_latent,
     API_LIMIT_FRAME_BYTES, INFERENCE, SRV_SCOPE_INFER},
    {"/v1/classify", "POST", srv_classify_begin, srv_classify,
     API_LIMIT_JPEG_BYTES, INFERENCE, SRV_SCOPE_INFER},
    {"/v1/probe", "GET", NULL, srv_probe_send, 0, 0, SRV_SCOPE_INFER},
    {"/v1/probe", "POST", NULL, srv_probe_receive, API_LIMIT_PROBE_BYTES,
     SRV_NEEDS_LENGTH, SRV_SCOPE_INFER},
    {"/v2", "GET", NULL, srv_oip_server, 0, 0, SRV_SCOPE_OPEN},
    {"/v2/health/live", "GET", NULL, srv_oip_live, 0, 0, SRV_SCOPE_OPEN},
    {"/v2/health/ready", "GET", NULL, srv_oip_ready, 0, 0, SRV_SCOPE_OPEN},
    {"/v2/models/{model}", "GET", NULL, srv_oip_model, DOCUMENT,
     SRV_SCOPE_INFER},
    {"/v2/models/{model}/ready", "GET", NULL, srv_oip_model_ready, DOCUMENT,
     SRV_SCOPE_INFER},
    {"/v2/models/{model}/infer", "POST", srv_oip_infer_begin, srv_oip_infer,
     API_LIMIT_JPEG_BYTES, INFERENCE, SRV_SCOPE_INFER},
    {"/v2/models/{model}/versions/{version}", "GET", NULL, srv_oip_model,
     DOCUMENT, SRV_SCOPE_INFER},
    {"/v2/models/{model}/versions/{version}/ready", "GET", NULL,
     srv_oip_model_ready, DOCUMENT, SRV_SCOPE_INFER},
    {"/v2/models/{model}/versions/{version}/infer", "POST", srv_oip_infer_begin,
     srv_oip_infer, API_LIMIT_JPEG_BYTES, INFERENCE, SRV_SCOPE_INFER},
    {"/v2/repository/index", "POST", NULL, srv_oip_index, API_LIMIT_JSON_BYTES,
     SRV_KEEP_BODY, SRV_SCOPE_INFER},
    {"/v2/repository/models/{model}/load", "POST", srv_oip_control_begin,
     srv_oip_load, API_LIMIT_JSON_BYTES, CONTROL, SRV_SCOPE_ADMIN},
    {"/v2/repository/models/{model}/unload", "POST", srv_oip_control_begin,
     srv_oip_unload, API_LIMIT_JSON_BYTES, CONTROL, SRV_SCOPE_ADMIN},
};
#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

/* The segments of a path that stand for its placeholders; NULL if none. */
struct segments {
    const char *name, *version;
    size_t name_length, version_length;
};

/* Does `path` fit? A star at the end fits any rest. Escapes are not decoded:
 * no path, model's name or version needs any. */
static bool fits(const char *pattern, const char *path,
                 struct segments *segments)
{
    *segments = (struct segments){NULL, NULL, 0, 0};
    while (*pattern) {
        if (*pattern == '*')
            return true;
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t length = strcspn(path, "/");
        if (length == 0)
            return false;
        if (strncmp(pattern, "{model}", 7) == 0) {
            segments->name = path;
            segments->name_length = length;
        } else {
            segments->version = path;
            segments->version_length = length;
        }
        pattern += strcspn(pattern, "}") + 1;
        path += length;
    }
    return *path == '\0';
}

static void refuse_method(struct srv_request *request, bool get, bool post)
{
    srv_reply_problem(request, API_METHOD_NOT_ALLOWED,
                      "this path does not know that method");
    srv_reply_header(request, "Allow", "%s%s%s", get ? "GET, HEAD" : "",
                     get && post ? ", " : "", post ? "POST" : "");
}

/* Sets route and model, or a reply. */
static void find(struct srv_request *request)
{
    struct segments segments = {NULL, NULL, 0, 0};
    bool get = false, post = false;
    /* HEAD is GET whose body the HTTP library keeps back. */
    const char *method =
        strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
    for (size_t i = 0; i < ROUTE_COUNT && !request->route; i++) {
        if (!fits(routes[i].pattern, request->path, &segments))
            continue;
        get = get || strcmp(routes[i].method, "GET") == 0;
        post = post || strcmp(routes[i].method, "POST") == 0;
        if (strcmp(routes[i].method, method) == 0)
            request->route = &routes[i];
    }
    if (!get && !post) {
        srv_reply_problem(request, API_NOT_FOUND, "no such path");
        return;
    }
    if (!request->route) {
        refuse_method(request, get, post);
        return;
    }
    request->name = segments.name;
    request->name_length = segments.name_length;
    request->names_version = segments.version != NULL;
    if (!(request->route->flags & SRV_MODEL))
        return;
    request->model = srv_registry_take(request->app->registry, segments.name,
                                       segments.name_length, segments.version,
                                       segments.version_length);
    if (!request->model)
        srv_reply_problem(request, API_NOT_FOUND,
                          "no model of that name and version is served");
}

/* RFC 6750 section 3: who sent no credentials is not told of an error. */
static void refuse_client(struct srv_request *request, enum api_status status,
                          bool sent_any)
{
    const char *scope = srv_scope_name(request->route->scope);
    if (!request->app->auth) {
        srv_reply_problem(request, status,
                          "without a token file nobody has the scope admin");
    } else if (status == API_FORBIDDEN) {
        char detail[60];
        snprintf(detail, sizeof detail, "this token lacks the scope %s", scope);
        srv_reply_problem(request, status, detail);
        srv_reply_header(request, "WWW-Authenticate",
                         "Bearer realm=\"cleave\", "
                         "error=\"insufficient_scope\", scope=\"%s\"",
                         scope);
    } else {
        srv_reply_problem(request, status,
                          sent_any ? "this token is not known"
                                   : "send Authorization: Bearer and a token");
        srv_reply_header(request, "WWW-Authenticate",
                         "Bearer realm=\"cleave\"%s",
                         sent_any ? ", error=\"invalid_token\"" : "");
    }
}

/* Before anything else is said of the request, such as that there is no such
 * model. */
static void authorise(struct srv_request *request)
{
    const struct srv_route *route = request->route;
    if (!request->app->auth && route->flags & SRV_OPT_IN)
        return;
    const char *header = srv_request_header(request, "Authorization");
    enum api_status status = srv_auth_check(request->app->auth, header,
                                            route->scope, request->client);
    if (status != API_OK)
        refuse_client(request, status, header != NULL);
}

void srv_route_begin(struct srv_request *request)
{
    find(request);
    if (request->route)
        authorise(request);
    if (request->reply.code != 0)
        return;
    const struct srv_route *route = request->route;
    bool takes_body = route->body_limit > 0;
    if (takes_body && route->body_limit < request->body_limit)
        request->body_limit = route->body_limit;
    request->keep_body = route->flags & SRV_KEEP_BODY;
    if (route->flags & SRV_NEEDS_LENGTH && !request->has_length) {
        srv_reply_problem(request, API_LENGTH_REQUIRED,
                          "a body with Content-Length is needed");
    } else if (request->length > request->body_limit) {
        char detail[80];
        snprintf(detail, sizeof detail,
                 "the body may have at most %llu bytes here",
                 (unsigned long long)request->body_limit);
        srv_reply_problem(request, API_TOO_LARGE, detail);
    } else if (route->begin) {
        route->begin(request);
    }
}

_Static_assert(PATTERN_COUNT <= SRV_JOB_KINDS, "a pattern is a job's kind");

const char *const *srv_route_patterns(size_t *count)
{
    *count = PATTERN_COUNT;
    return patterns;
}

size_t srv_route_pattern_index(const struct srv_route *route)
{
    size_t i = 0;
    while (i < PATTERN_COUNT &&
           (!route || strcmp(route->pattern, patterns[i]) != 0))
        i++;
    return i;
}
