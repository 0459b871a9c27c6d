/* What one way of answering means for a fleet: figures, cores, money. */
#ifndef CLEAVE_CLIENT_SIMULATE_PLAN_H
#define CLEAVE_CLIENT_SIMULATE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulate/fleet.h"

/* A month has 365.25 / 12 days. */
#define PLAN_DAYS_A_MONTH 30.4375

/* What is to be planned. */
struct plan {
    struct fleet fleet; /* its cores 0: as few as serve, see plan_run */
    double wait_ms;     /* what 95 of 100 requests may wait for a core */
    double core_hour_price, gigabyte_price; /* negative: not told */
};

/* All of it is per way. Shares are fractions of pictures unless they say
 * otherwise. */
struct plan_figures {
    double mean_ms, p50_ms, p95_ms, p99_ms; /* of answers; -1: none */
    double missed, dropped;
    double top1, top1_in_time;       /* of answers; expected by metadata */
    double shares[API_LIMIT_POINTS]; /* of answers, by the point that made
                                      * them */
    double bytes_per_picture;        /* with HTTP headers and probes */
    double bytes_per_day;            /* of one device */
    double probe_share;              /* of bytes */
    double joules_per_picture;       /* of the device, by the energy model */
    double requests_per_s, load;     /* of the fleet; cores busy on average */
    uint32_t cores;                  /* that the server has */
    bool cores_suffice;              /* false: more than are simulated */
    double wait_p50_ms, wait_p95_ms, wait_p99_ms; /* for a core; -1: none */
    double refused, given_up;                     /* of requests sent */
    double compute_price, traffic_price; /* of the fleet, a month; -1: not
                                          * told */
};

/* Simulates the fleet. Where it has no number of cores, first with as many as
 * wanted, to see how many are busy, then with that many and more until 95 of
 * 100 requests wait no longer than wait_ms and none is refused. *result is the
 * last run's and becomes the caller's to fleet_result_free. False without
 * memory. */
bool plan_run(const struct plan *plan, struct plan_figures *figures,
              struct fleet_result *result);

#endif
