/* How a simulation is shown: a table, JSON, a chart. */
#ifndef CLEAVE_CLIENT_SIMULATE_VIEW_H
#define CLEAVE_CLIENT_SIMULATE_VIEW_H

#include "client/simulate/options.h"
#include "client/simulate/plan.h"
#include "client/simulate/subject.h"

/* One way of answering, simulated. */
struct view_way {
    const char *name;
    struct plan_figures figures;
    struct fleet_result result;
};

/* All that was simulated; borrowed. */
struct view {
    const struct simulate_options *options;
    const struct subject *subject;
    const struct trace *trace;
    const struct view_way *ways; /* the first is looked at most closely */
    unsigned way_count;
};

/* The first device's link and latency over time, in `columns` parts: means of
 * Mbit/s, and of ms (negative: no picture was answered in that part). */
void view_timeline(const struct view *view, unsigned columns,
                   double *mbit_per_s, double *latency_ms);

/* Both to stdout. */
void view_print_table(const struct view *view);
void view_print_json(const struct view *view);

/* An SVG with nothing from outside. False, with errno, if it cannot be
 * written. */
bool view_write_chart(const struct view *view, const char *path);

#endif
