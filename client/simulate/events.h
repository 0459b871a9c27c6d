/* What happens next in a simulation: events in the order of their time. */
#ifndef CLEAVE_CLIENT_SIMULATE_EVENTS_H
#define CLEAVE_CLIENT_SIMULATE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum event_kind {
    EVENT_BEGIN,   /* a device begins its next picture */
    EVENT_ARRIVE,  /* its request reaches the server */
    EVENT_GIVE_UP, /* it waits for the answer no longer */
    EVENT_FREE     /* a core of the server is done */
};

struct event {
    double at_ms;
    uint64_t number; /* set by events_add: the earlier added goes first */
    uint64_t picture;
    uint32_t device;
    enum event_kind kind;
};

/* A binary heap. Zero-initialised: empty. Not thread-safe. */
struct events {
    struct event *heap; /* owned */
    size_t count, capacity;
    uint64_t added;
};

void events_free(struct events *events);

/* False without memory. */
bool events_add(struct events *events, struct event event);

/* Takes out the earliest; false if there is none. */
bool events_next(struct events *events, struct event *event);

#endif
