/* Buckets of atomic counters, and their text. */
#include "server/histogram.h"

#include <inttypes.h>

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static uint64_t get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void srv_histogram_observe(const struct srv_histogram_kind *kind,
                           struct srv_histogram *histogram, int64_t value)
{
    if (value < 0)
        return;
    size_t i = 0;
    while (i < kind->bound_count && (uint64_t)value > kind->bounds[i])
        i++;
    add(&histogram->buckets[i], 1);
    add(&histogram->sum, (uint64_t)value);
}

void srv_histogram_write(const struct srv_histogram_kind *kind,
                         struct srv_histogram *histogram, const char *labels,
                         FILE *out)
{
    /* Read once, so that the lines agree with each other. */
    uint64_t upto[SRV_HISTOGRAM_BOUNDS + 1], count = 0;
    for (size_t i = 0; i <= kind->bound_count; i++)
        upto[i] = count += get(&histogram->buckets[i]);
    if (count == 0)
        return;
    for (size_t i = 0; i < kind->bound_count; i++)
        fprintf(out, "%s_bucket{%s,le=\"%.10g\"} %" PRIu64 "\n", kind->name,
                labels, (double)kind->bounds[i] * kind->unit, upto[i]);
    fprintf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", kind->name, labels,
            count);
    fprintf(out, "%s_sum{%s} %.17g\n", kind->name, labels,
            (double)get(&histogram->sum) * kind->unit);
    fprintf(out, "%s_count{%s} %" PRIu64 "\n", kind->name, labels, count);
}
