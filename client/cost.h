/* What each operating point costs to compute: measured, or guessed by MACs. */
#ifndef CLEAVE_CLIENT_COST_H
#define CLEAVE_CLIENT_COST_H

#include <stdint.h>

#include "api/limits.h"
#include "client/estimate.h"

/* One machine's computing times, on the device or on the server. A point that
 * was never measured is guessed from its multiply-accumulates and the speed
 * seen at other points. Plain data: not thread-safe, may be copied. */
struct cli_cost {
    struct cli_estimate point_ms[API_LIMIT_POINTS];
    struct cli_estimate ms_per_mmac; /* over all points; 1 MMAC = 10^6 MACs */
};

/* Forgets everything; `ms_per_mmac` is the guess for an unseen machine. */
void cli_cost_reset(struct cli_cost *cost, double ms_per_mmac);

/* Takes in one measured run of a point. Points beyond the limit, negative and
 * not finite times are ignored. */
void cli_cost_observe(struct cli_cost *cost, uint16_t point, uint64_t macs,
                      double ms);

/* Expected time and 95 % margin above it of a point with `macs`. */
void cli_cost_predict(const struct cli_cost *cost, uint16_t point,
                      uint64_t macs, double *expected_ms, double *margin_ms);

#endif
