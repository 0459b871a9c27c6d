/* A link that can break: a relay of TCP connections in a child process. */
#ifndef CLEAVE_TESTS_RELAY_H
#define CLEAVE_TESTS_RELAY_H

#include <stdatomic.h>
#include <sys/types.h>

enum relay_conduct {
    RELAY_PASS,      /* everything goes through */
    RELAY_CUT_UP,    /* after `budget` more bytes towards the server: reset */
    RELAY_CUT_DOWN,  /* the same towards the client */
    RELAY_FREEZE_UP, /* after so many bytes nothing goes either way */
    RELAY_FREEZE_DOWN,
    RELAY_PACE_UP /* `budget` bytes a second towards the server */
};

struct relay_state {
    atomic_int conduct;
    atomic_long budget;
};

struct relay {
    pid_t pid;
    char url[64];
    struct relay_state *state; /* shared with the child */
};

/* Starts it on a free loopback port, towards a server on loopback. */
void relay_start(struct relay *relay, unsigned server_port);

/* From now on, for old and new connections. */
void relay_set(struct relay *relay, enum relay_conduct conduct, long budget);

/* Ends it and its connections. Fine if it was not started. */
void relay_stop(struct relay *relay);

#endif
