/* A server that misbehaves on purpose, on raw sockets in a child process. */
#ifndef CLEAVE_TESTS_FAKE_SERVER_H
#define CLEAVE_TESTS_FAKE_SERVER_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

enum fake_conduct {
    FAKE_REPLY,   /* a whole HTTP reply of code, headers and body */
    FAKE_LATE,    /* the same after half a second */
    FAKE_CLOSE,   /* the connection ends without a byte */
    FAKE_RESET,   /* half of the body, then a reset */
    FAKE_CUT,     /* half of the body, then an orderly end */
    FAKE_HANG,    /* nothing ever */
    FAKE_DRIP,    /* one byte of the reply every 20 ms */
    FAKE_ENDLESS, /* a body without end */
    FAKE_GARBAGE  /* bytes that are no HTTP */
};

/* What to do with requests whose path begins so; the first that fits counts.
 * One with `most` > 0 fits so many times only, and one with `needs` only if
 * the request contains that text. */
struct fake_route {
    const char *path;
    enum fake_conduct conduct;
    int code;
    const char *headers; /* whole lines, or NULL */
    const void *body;
    size_t body_bytes;
    unsigned most;
    const char *needs;
};

#define FAKE_ROUTES_MOST 16

struct fake_server {
    pid_t pid;
    char url[64];
    atomic_uint *hits; /* for each route, shared with the child */
};

/* Starts it on a free loopback port. Routes are copied by the fork. Requests
 * that no route fits get a 404. Each connection serves one request. */
void fake_start(struct fake_server *server, const struct fake_route *routes,
                size_t count);

/* Ends it and all its connections. Check does the same after a failed test. */
void fake_stop(struct fake_server *server);

#endif
