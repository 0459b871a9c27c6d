/* One device of a replay or simulation, driven by Cleave's own decider. */
#ifndef CLEAVE_CLIENT_SIMULATE_PILOT_H
#define CLEAVE_CLIENT_SIMULATE_PILOT_H

#include <stdbool.h>
#include <stdint.h>

#include "client/decider.h"
#include "client/simulate/world.h"

/* What the device is asked for, as "cleave run" is. */
struct pilot_order {
    enum cli_objective objective;
    double deadline_ms;       /* 0: none */
    double bytes_per_picture; /* 0: no data plan */
    struct cli_power power;
    int kind;  /* choose among this api_point_kind; -1: any, "auto" */
    int point; /* always this one; -1: choose */
};

/* client/decider.c, driven as client/classify.c and client/job.c drive it, one
 * picture at a time. Each picture is begun, and if it sends a request, that is
 * ended in exactly one of three ways; then `point` answered it at `now_ms`.
 * Borrows the world. Plain data: may be copied. Not thread-safe. */
struct pilot {
    const struct world *world;
    struct pilot_order order;
    struct cli_decider decider;
    uint64_t picture; /* in hand */
    double now_ms;    /* the device's clock */
    double until_ms;  /* of the picture; INFINITY: no deadline */
    uint16_t point;   /* that it is answered by */

    /* The request under way: it reaches the server at `arrives_ms`, computes
     * there for passage.compute_ms, and what leaves the server takes
     * `returns_ms` to come back. The device waits `timeout_ms`, until
     * `give_up_ms`. */
    struct passage passage;
    double arrives_ms, returns_ms, timeout_ms, give_up_ms;

    double probe_end_ms; /* of the probe under way; INFINITY: none */
    double probe_ms;     /* that it will have taken */

    double bytes, probe_bytes; /* sent so far; probes are among bytes */
    double device_ms;          /* computed so far */
};

/* A device that has measured each head and the whole network once, and knows
 * nothing of link and server. `seed` spreads its retries and trials. */
void pilot_reset(struct pilot *pilot, const struct world *world,
                 const struct pilot_order *order, uint32_t seed);

/* Begins picture number `picture`, due at `due_ms`, at `start_ms`. True: a
 * request is under way. False: the device answered. */
bool pilot_begin(struct pilot *pilot, uint64_t picture, double due_ms,
                 double start_ms);

/* Would an answer that waits `queue_ms` for a worker come while the device
 * waits for it? */
bool pilot_waits_for(const struct pilot *pilot, double queue_ms);

/* The request was answered after waiting so long; no answer came in time; the
 * server refused it at once and asked for a pause. */
void pilot_answered(struct pilot *pilot, double queue_ms);
void pilot_gave_up(struct pilot *pilot);
void pilot_refused(struct pilot *pilot, double retry_after_ms);

#endif
