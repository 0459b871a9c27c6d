/* Which path and method leads to which handler. */
#ifndef CLEAVE_SERVER_ROUTES_H
#define CLEAVE_SERVER_ROUTES_H

#include <stddef.h>

#include "server/request.h"

enum srv_route_flag {
    SRV_MODEL = 1,        /* needs the model that the path names, or default */
    SRV_KEEP_BODY = 2,    /* the body is kept for `finish` */
    SRV_NEEDS_LENGTH = 4, /* a body without Content-Length is refused */
    SRV_WAITS = 8,        /* answered by srv_request_resume */
    SRV_INFERENCE = 16,   /* counted and timed as inference */
    SRV_OPT_IN = 32       /* without tokens, a setting of its own allows it */
};

/* One way in. Handlers: see handlers.h. */
struct srv_route {
    /* "{model}" and "{version}" stand for one segment, "*" for any rest. */
    const char *pattern;
    const char *method;  /* "GET" (which answers HEAD too) or "POST" */
    void (*begin)(struct srv_request *request); /* or NULL */
    void (*finish)(struct srv_request *request);
    uint64_t body_limit; /* 0: a body is pointless and dropped */
    unsigned flags;      /* enum srv_route_flag */
    enum srv_scope scope;
};

/* Finds the route, checks length and model, runs its `begin`. Sets a reply if
 * the request is refused. */
void srv_route_begin(struct srv_request *request);

/* The distinct patterns, for metrics, and the index of a route's own;
 * `count` for NULL. */
const char *const *srv_route_patterns(size_t *count);
size_t srv_route_pattern_index(const struct srv_route *route);

#endif
