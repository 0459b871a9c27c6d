/* What a replay prints: a row a trace, and the figures with their targets. */
#ifndef CLEAVE_BENCH_TABLE_H
#define CLEAVE_BENCH_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/policy/rivals.h"

/* PAPER stays empty without a deadline. */
enum { AUTO, ORACLE, LATE_ORACLE, BEST_FIXED, OFFLOAD, LOCAL, PAPER, RIVALS };

const char *table_rival_name(int rival);

/* Sums over all traces of one aim. */
struct table {
    FILE *json; /* NULL: none is written; closed by table_close */
    bool any_figure;
    bool is_poor; /* by some aim's sums, see table_end */
    double deadline_ms;
    double pictures, latency_ms[RIVALS], misses[RIVALS], accuracy[RIVALS];
    double bytes, probe_bytes; /* over all aims */
};

/* Prints the heading; then a row for each trace; then the sums. Those are poor
 * if the late oracle, which needs no more foresight than the policy has, is
 * more than a tenth quicker, or right in time for a tenth more pictures. */
void table_begin(struct table *table, double deadline_ms);
void table_row(struct table *table, const struct trace *trace,
               const struct outcome outcomes[RIVALS]);
void table_end(struct table *table);

/* Prints what concerns all aims and ends the JSON. False if that could not be
 * written. */
bool table_close(struct table *table);

#endif
