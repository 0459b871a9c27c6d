/* What each operating point costs to compute: measured, or guessed by MACs. */
#include "client/cost.h"

#include <math.h>

/* A guess by MACs is wrong by the difference between layers that a CPU likes
 * and layers that it does not. */
#define GUESS_MARGIN 0.5

void cli_cost_reset(struct cli_cost *cost, double ms_per_mmac)
{
    *cost = (struct cli_cost){.ms_per_mmac = {.mean = ms_per_mmac}};
}

void cli_cost_observe(struct cli_cost *cost, uint16_t point, uint64_t macs,
                      double ms)
{
    if (point >= API_LIMIT_POINTS || !isfinite(ms) || ms < 0)
        return;
    cli_estimate_add(&cost->point_ms[point], ms);
    if (macs > 0)
        cli_estimate_add(&cost->ms_per_mmac, ms / ((double)macs * 1e-6));
}

void cli_cost_predict(const struct cli_cost *cost, uint16_t point,
                      uint64_t macs, double *expected_ms, double *margin_ms)
{
    if (point < API_LIMIT_POINTS && cost->point_ms[point].samples > 0) {
        *expected_ms = cost->point_ms[point].mean;
        *margin_ms = cli_estimate_margin(&cost->point_ms[point]);
        return;
    }
    *expected_ms = cost->ms_per_mmac.mean * (double)macs * 1e-6;
    *margin_ms = GUESS_MARGIN * *expected_ms;
}
