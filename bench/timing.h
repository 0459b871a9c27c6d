/* Medians of repeated calls. */
#ifndef CLEAVE_BENCH_TIMING_H
#define CLEAVE_BENCH_TIMING_H

#include <stddef.h>

/* Which clock times are taken by: "wall", or "cpu" for the time that this
 * process computes, which is what other load disturbs least. The first is in
 * force until this is called; returns 0 for another name. */
int bench_clock(const char *name);

/* Seconds of that clock. */
double bench_now(void);

/* Smallest first. */
void bench_sort(double *values, size_t count);

/* Calls `call` for WARM_UP_SECONDS, then for `seconds` and at least seven
 * times; returns the median duration in seconds and how many were taken. */
double bench_median(void (*call)(void *), void *argument, double seconds,
                    size_t *runs);

#endif
