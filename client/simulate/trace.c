/* How much a link could carry at each moment: asking. */
#include "client/simulate/trace.h"

#include <math.h>
#include <stdlib.h>

void trace_free(struct trace *trace)
{
    free(trace->sent_bytes);
    *trace = (struct trace){.length_ms = 0};
}

/* First millisecond by whose end `bytes` have left. */
static size_t find(const struct trace *trace, double bytes)
{
    size_t low = 0, high = trace->length_ms;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (trace->sent_bytes[middle] < bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double sent_by(const struct trace *trace, double at_ms)
{
    /* Whole laps were taken off, and rounding may have left a little. */
    double last_ms = (double)trace->length_ms - 1;
    size_t whole = (size_t)fmin(fmax(at_ms, 0), last_ms);
    double share = at_ms - (double)whole;
    double step = trace->sent_bytes[whole + 1] - trace->sent_bytes[whole];
    return trace->sent_bytes[whole] + share * step;
}

double trace_finish_ms(const struct trace *trace, double start_ms, double bytes)
{
    double length_ms = (double)trace->length_ms;
    double whole = trace->sent_bytes[trace->length_ms];
    if (!(whole > 0))
        return INFINITY;
    double laps = floor(start_ms / length_ms);
    double goal = sent_by(trace, start_ms - laps * length_ms) + bytes;
    double more = floor(goal / whole);
    goal -= more * whole;
    size_t at = find(trace, goal);
    double found_ms = (laps + more) * length_ms;
    if (at > 0) {
        double step = trace->sent_bytes[at] - trace->sent_bytes[at - 1];
        found_ms += (double)at - 1 + (goal - trace->sent_bytes[at - 1]) / step;
    }
    return fmax(found_ms, start_ms);
}

double trace_mean_mbit_per_s(const struct trace *trace)
{
    return trace->sent_bytes[trace->length_ms] * 8e-3 /
           (double)trace->length_ms;
}

double trace_part_mbit_per_s(const struct trace *trace, double at_ms,
                             double part_ms)
{
    double length_ms = (double)trace->length_ms;
    double whole = trace->sent_bytes[trace->length_ms];
    double bytes[2];
    for (int end = 0; end < 2; end++) {
        double until_ms = at_ms + end * part_ms;
        double laps = floor(until_ms / length_ms);
        bytes[end] = laps * whole + sent_by(trace, until_ms - laps * length_ms);
    }
    return (bytes[1] - bytes[0]) * 8e-3 / part_ms;
}
