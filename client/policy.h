/* The client's choice: which operating point to take for one picture. */
#ifndef CLEAVE_CLIENT_POLICY_H
#define CLEAVE_CLIENT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/point.h"
#include "client/cost.h"
#include "client/energy.h"
#include "client/exits.h"
#include "client/link.h"

/* How much top-1 accuracy may be given up for speed or energy: a fraction. */
#define CLI_POLICY_MAX_LOSS 0.08

/* Bytes of an offloaded picture of which neither it nor the model tells. */
#define CLI_POLICY_JPEG_BYTES 100000u

/* What a picture's answer is to be. Deadline and allowance bind under each. */
enum cli_objective {
    CLI_LATENCY,  /* soon: the lowest p95 time within the accepted loss */
    CLI_ACCURACY, /* right: the highest top-1, weighed by the chance to be in
                   * time, which counts more; the quicker of equals */
    CLI_ENERGY    /* cheap: the fewest joules within the accepted loss */
};

/* Everything that a choice depends on. All pointers are borrowed. */
struct cli_policy_input {
    const struct api_point *points; /* a point with id "" is never taken */
    uint16_t point_count;
    const bool *can_run; /* [point_count] both sides at hand */
    const struct cli_link *link;
    const struct cli_cost *device; /* heads with their exits and the whole
                                    * network, no decode */
    const struct cli_exits *exits; /* may be NULL where no point has one */
    const struct cli_cost *server; /* decoding and inference */
    const struct cli_estimate *queue_ms; /* before them, on the server */
    const struct cli_power *power;
    enum cli_objective objective;
    double now_ms;          /* the clock of link */
    double decode_ms;       /* to decode this picture on the device */
    size_t jpeg_bytes;      /* of this picture: what offload sends */
    double deadline_ms;     /* left for this picture; 0: no deadline */
    double allowance_bytes; /* that may be sent for it; INFINITY: any */
    double max_loss;        /* see CLI_POLICY_MAX_LOSS */
    int kind;               /* only this api_point_kind; -1: any */
    int previous;           /* index taken last time, or -1 */
    /* What it may cost to try a point that is only hoped to be better, in
     * expected time beyond the best known one's; 0: none is tried. */
    double trial_budget_ms;
};

/* Why a point was not taken, or that it was. */
enum cli_verdict {
    CLI_TAKEN,
    CLI_NOT_AT_HAND,  /* it cannot run, or is of another kind */
    CLI_BEYOND_BYTES, /* more than the allowance */
    CLI_BEYOND_LOSS,  /* less accurate than accepted */
    CLI_BEYOND_TIME,  /* its p95 misses the deadline; under CLI_ACCURACY what
                       * 80 of 100 stay below */
    CLI_NO_BETTER     /* by the objective, or not clearly */
};

/* What one point is predicted to do for this picture. */
struct cli_forecast {
    double expected_ms; /* mean of the whole picture */
    double p95_ms;      /* what 95 of 100 pictures stay below */
    double likely_ms;   /* what 80 of 100 stay below */
    double sure_ms;     /* p95_ms, were the link's means known exactly */
    double hoped_ms;    /* sure_ms, were they a deviation better */
    double meets;       /* chance to meet the deadline; 1 without one */
    double stays;       /* chance that the exit's answer is taken, 0 to 1 */
    double bytes;       /* request body, on average: 0 where it stays */
    double joules;      /* of the device */
    enum cli_verdict verdict;
};

struct cli_choice {
    int point;          /* index, or -1: none can run */
    double expected_ms; /* mean of the whole picture */
    double p95_ms;      /* what 95 of 100 pictures stay below */
    double wait_ms;     /* from now: then the server is given up and the
                         * device answers; INFINITY: it cannot */
    bool is_trial;      /* taken to learn how good the point is now */
    const char *reason; /* static text */
};

/* Chooses a point: a pure function, without I/O, clock or memory.
 * `forecasts` [point_count] becomes the table that the choice was made from.
 *
 * Of the points that can run, are of `kind`, stay within the allowance and
 * whose p95 time (under CLI_ACCURACY, which weighs by the chance: the time that
 * 80 of 100 stay below) meets the deadline, the best by the objective; under
 * latency and energy only those whose measured top-1 is within max_loss of the
 * best one's (points without a measured accuracy take part only if none has
 * one).
 * If the device can meet the deadline alone, a point that needs the server
 * must leave it the time to do so after a failure; wait_ms keeps it.
 *
 * If no point is sure to meet the deadline, of those expected to meet it the
 * one that is best by accuracy and chance, else the quickest. If
 * none fits the allowance, the one that sends least.
 *
 * Hysteresis: the previous point stays unless another is clearly better (10 %
 * and 1 ms quicker; half a point by accuracy and chance; 5 % fewer joules).
 *
 * Trial: a point that would be clearly better if the doubt about the link's
 * means were gone; within trial_budget_ms also one that would be if they were a
 * deviation better. Thread-safe.
 */
void cli_policy_choose(const struct cli_policy_input *input,
                       struct cli_forecast *forecasts,
                       struct cli_choice *choice);

/* What `point` (below point_count) is predicted to do; no verdict. */
struct cli_forecast cli_policy_predict(const struct cli_policy_input *input,
                                       uint16_t point);

/* "taken", "not at hand", … */
const char *cli_verdict_name(enum cli_verdict verdict);

#endif
