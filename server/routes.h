/* Which path and method leads to which handler. */
#ifndef CLEAVE_SERVER_ROUTES_H
#define CLEAVE_SERVER_ROUTES_H

#include <stddef.h>

#include "server/request.h"

/* One way in. Handlers: see handlers.h. */
struct srv_route {
    const char *pattern; /* "{model}" stands for one segment */
    const char *method;  /* "GET" (which answers HEAD too) or "POST" */
    void (*begin)(struct srv_request *request); /* or NULL */
    void (*finish)(struct srv_request *request);
    uint64_t body_limit; /* 0: a body is pointless and dropped */
    bool keep_body;
    bool is_inference; /* answered by srv_request_resume */
};

/* Finds the route, checks length and model, runs its `begin`. Sets a reply if
 * the request is refused. */
void srv_route_begin(struct srv_request *request);

/* The distinct patterns, for metrics, and the index of a route's own;
 * `count` for NULL. */
const char *const *srv_route_patterns(size_t *count);
size_t srv_route_pattern_index(const struct srv_route *route);

#endif
