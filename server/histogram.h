/* Prometheus histograms that any thread adds to. */
#ifndef CLEAVE_SERVER_HISTOGRAM_H
#define CLEAVE_SERVER_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SRV_HISTOGRAM_BOUNDS 14 /* most of one */

/* What histograms of one metric have in common. */
struct srv_histogram_kind {
    const char *name, *help;
    const uint64_t *bounds; /* upper, inclusive, ascending */
    size_t bound_count;
    double unit; /* bounds and sum are multiples of it */
};

/* Counts of one set of labels. Zero-initialise. */
struct srv_histogram {
    /* One more than there are bounds: what exceeds them all. */
    _Atomic uint64_t buckets[SRV_HISTOGRAM_BOUNDS + 1];
    _Atomic uint64_t sum;
};

/* Adds a value; a negative one is none. Thread-safe, takes no lock. */
void srv_histogram_observe(const struct srv_histogram_kind *kind,
                           struct srv_histogram *histogram, int64_t value);

/* Writes its lines, unless nothing was ever added. `labels`: escaped pairs,
 * joined by commas. HELP and TYPE are the caller's. */
void srv_histogram_write(const struct srv_histogram_kind *kind,
                         struct srv_histogram *histogram, const char *labels,
                         FILE *out);

#endif
