/* The client's choice: which operating point to take for one picture. */
#ifndef CLEAVE_CLIENT_POLICY_H
#define CLEAVE_CLIENT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/point.h"
#include "client/cost.h"
#include "client/link.h"

/* How much top-1 accuracy may be given up for speed: a fraction. */
#define CLI_POLICY_MAX_LOSS 0.08

/* Everything that a choice depends on. All pointers are borrowed. */
struct cli_policy_input {
    const struct api_point *points; /* a point with id "" is never taken */
    uint16_t point_count;
    const bool *can_run; /* [point_count] both sides at hand */
    const struct cli_link *link;
    const struct cli_cost *device; /* heads and whole network, no decode */
    const struct cli_cost *server;
    double decode_ms;   /* to decode this picture on the device */
    size_t jpeg_bytes;  /* of this picture: what offload sends */
    double deadline_ms; /* left for this picture; 0: no deadline */
    double max_loss;    /* see CLI_POLICY_MAX_LOSS */
    int kind;           /* only this api_point_kind; -1: any */
    int previous;       /* index taken last time, or -1 */
};

struct cli_choice {
    int point;          /* index, or -1: none can run */
    double expected_ms; /* mean of the whole picture */
    double p95_ms;      /* what 95 of 100 pictures stay below */
    const char *reason; /* static text */
};

/* Chooses a point: a pure function, without I/O, clock or memory.
 *
 * Without a deadline: of the points that can run and whose measured top-1 is
 * within max_loss of the best one's, the one with the lowest p95 time. Points
 * without a measured accuracy take part only if none has one.
 *
 * With a deadline: of the points whose p95 time meets it, the most accurate,
 * the quicker of equals. If the device can meet the deadline alone, a point
 * that needs the server must leave it the time to do so after a failure. If no
 * point meets the deadline, the device answers alone if it can, because that
 * is certain; otherwise the quickest point is tried.
 *
 * Hysteresis: the previous point stays unless another is clearly better (10 %
 * and 1 ms quicker; or half a point more accurate under a deadline), and a new
 * point must meet nine tenths of a deadline. Thread-safe. */
void cli_policy_choose(const struct cli_policy_input *input,
                       struct cli_choice *choice);

/* The time that `point` (below point_count) is predicted to take. */
void cli_policy_predict(const struct cli_policy_input *input, uint16_t point,
                        double *expected_ms, double *p95_ms);

#endif
