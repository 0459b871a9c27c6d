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
    "/openapi.yaml",
    "/v1/models",
    "/v1/models/{model}",
    "/v1/models/{model}/labels",
    "/v1/models/{model}/head",
    "/v1/models/{model}/classify",
    "/v1/models/{model}/tail",
    "/v1/classify",
    "/v1/probe",
};
#define PATTERN_COUNT (sizeof patterns / sizeof patterns[0])

static const struct srv_route routes[] = {
    {"/", "GET", NULL, srv_pointer, 0, false, false},
    {"/healthz", "GET", NULL, srv_healthz, 0, false, false},
    {"/readyz", "GET", NULL, srv_readyz, 0, false, false},
    {"/metrics", "GET", NULL, srv_metrics_text, 0, false, false},
    {"/openapi.yaml", "GET", NULL, srv_openapi, 0, false, false},
    {"/v1/models", "GET", NULL, srv_model_list, 0, false, false},
    {"/v1/models/{model}", "GET", NULL, srv_model_metadata, 0, false, false},
    {"/v1/models/{model}/labels", "GET", NULL, srv_model_labels, 0, false,
     false},
    {"/v1/models/{model}/head", "GET", NULL, srv_model_head, 0, false, false},
    {"/v1/models/{model}/classify", "POST", srv_classify_begin, srv_classify,
     API_LIMIT_JPEG_BYTES, true, true},
    {"/v1/models/{model}/tail", "POST", srv_tail_begin, srv_tail,
     API_LIMIT_FRAME_BYTES, true, true},
    {"/v1/classify", "POST", srv_classify_begin, srv_classify,
     API_LIMIT_JPEG_BYTES, true, true},
    {"/v1/probe", "GET", NULL, srv_probe_send, 0, false, false},
    {"/v1/probe", "POST", NULL, srv_probe_receive, API_LIMIT_PROBE_BYTES, false,
     false},
};
#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

/* Does `path` fit? Sets *name to the segment that stands for {model}, or to
 * NULL. Escapes are not decoded: no path or model's name needs any. */
static bool fits(const char *pattern, const char *path, const char **name,
                 size_t *name_length)
{
    static const char placeholder[] = "{model}";
    const char *hole = strstr(pattern, placeholder);
    *name = NULL;
    *name_length = 0;
    if (!hole)
        return strcmp(pattern, path) == 0;
    size_t before = (size_t)(hole - pattern);
    if (strncmp(pattern, path, before) != 0)
        return false;
    size_t length = strcspn(path + before, "/");
    *name = path + before;
    *name_length = length;
    return length > 0 &&
           strcmp(hole + sizeof placeholder - 1, path + before + length) == 0;
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
    const char *name = NULL;
    size_t name_length = 0;
    bool get = false, post = false;
    /* HEAD is GET whose body the HTTP library keeps back. */
    const char *method =
        strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
    for (size_t i = 0; i < ROUTE_COUNT && !request->route; i++) {
        const char *segment;
        size_t length;
        if (!fits(routes[i].pattern, request->path, &segment, &length))
            continue;
        name = segment;
        name_length = length;
        get = get || strcmp(routes[i].method, "GET") == 0;
        post = post || strcmp(routes[i].method, "POST") == 0;
        if (strcmp(routes[i].method, method) == 0)
            request->route = &routes[i];
    }
    if (!get && !post) {
        srv_reply_problem(request, API_NOT_FOUND, "no such path");
        return;
    }
    const struct srv_registry *registry = request->app->registry;
    request->model = name ? srv_registry_find(registry, name, name_length)
                          : srv_registry_default(registry);
    if (!request->route)
        refuse_method(request, get, post);
    else if (!request->model)
        srv_reply_problem(request, API_NOT_FOUND, "no model of that name");
}

void srv_route_begin(struct srv_request *request)
{
    find(request);
    if (request->reply.code != 0)
        return;
    const struct srv_route *route = request->route;
    bool takes_body = route->body_limit > 0;
    if (takes_body && route->body_limit < request->body_limit)
        request->body_limit = route->body_limit;
    request->keep_body = route->keep_body;
    if (takes_body && !request->has_length) {
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
