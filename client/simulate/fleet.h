/* A fleet of devices that share one server: a discrete-event simulation. */
#ifndef CLEAVE_CLIENT_SIMULATE_FLEET_H
#define CLEAVE_CLIENT_SIMULATE_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulate/pilot.h"

/* More than this, over all devices, are not simulated: it takes minutes. */
#define FLEET_PICTURES_MOST 1000000u
#define FLEET_DEVICES_MOST 10000u
#define FLEET_CORES_MOST 1024u

/* What is simulated. Each device has the link of `world` to itself, from a
 * moment of its own on (the first device from the beginning), pictures of its
 * own, and a decider of its own. The server has `cores` workers, one picture
 * each, and `queue` places to wait in, first come first served; who finds no
 * place is refused at once, and nothing is computed for who gave up waiting.
 * (cleaved lets clients take turns; with one request each that is the same.
 * That it computes waiting frames together, some percent quicker, is left
 * out.) */
struct fleet {
    const struct world *world; /* of the first device; borrowed */
    struct pilot_order order;
    uint32_t devices;
    uint32_t cores, queue;
    bool latest; /* a picture that waits gives way to a newer one */
    uint64_t seed;
};

/* What came of it. Pictures are numbered device by device. */
struct fleet_result {
    uint64_t pictures, answered; /* due; of them answered, else dropped */
    float *latency_ms;           /* [pictures] from due to answered; owned */
    uint8_t *point;              /* [pictures], FLEET_DROPPED; owned */
    uint64_t misses;             /* answers after the deadline */
    double top1_sum, top1_in_time_sum; /* over answers */
    double bytes, probe_bytes;         /* sent: bodies, headers, probes */
    double joules;                     /* of all devices, by the energy model */
    uint64_t sent, requests;    /* begun to send; that reached the server */
    uint64_t refused, given_up; /* of those sent; given up: waited in vain */
    float *wait_ms;             /* [served] for a worker; owned */
    uint64_t served;
    double busy_ms; /* of all cores */
    double span_ms; /* that the pictures were due in */
};

#define FLEET_DROPPED UINT8_MAX

/* Runs it; the same for the same seed. False without memory. */
bool fleet_run(const struct fleet *fleet, struct fleet_result *result);

/* The answers' latencies, the smallest first: [answered], for the caller to
 * free. NULL without memory. */
float *fleet_sorted_latencies(const struct fleet_result *result);

void fleet_result_free(struct fleet_result *result);

#endif
