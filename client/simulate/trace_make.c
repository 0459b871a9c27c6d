/* Made-up links: cliffs, bursts, outages, Wi-Fi that is walked away from. */
#include "client/simulate/trace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/simulate/noise.h"

/* Kinds of randomness, so that no two events share theirs. */
enum { FADE = 1, LEVEL, HOLD, REST };

/* Rayleigh-like fading of the throughput, one value each 50 ms. */
static double fading(uint64_t seed, size_t at_ms, double depth)
{
    return exp(depth * noise_normal(seed, at_ms / 50, FADE));
}

/* A link that is in turn in two states, each for a random time: has the second
 * one begun? *until_ms and *turn are the walk's own. */
static bool alternate(uint64_t seed, size_t at_ms, double rest_ms,
                      double least_ms, double most_ms, double *until_ms,
                      uint64_t *turn)
{
    while ((double)at_ms >= *until_ms) {
        ++*turn;
        *until_ms += *turn % 2 == 0
                         ? least_ms + (most_ms - least_ms) *
                                          noise_uniform(seed, *turn, HOLD)
                         : noise_exponential(seed, *turn, REST, rest_ms);
    }
    return *turn % 2 == 0;
}

/* Mbit/s at one moment of a walk: 30 s near, 40 s going, 15 s out of reach,
 * 25 s coming back. Received power falls with the logarithm of the distance,
 * and Wi-Fi's rate about linearly with that power. */
static double walk(uint64_t seed, size_t at_ms)
{
    double phase_s = fmod((double)at_ms / 1000, 110);
    double away = phase_s < 30   ? 0
                  : phase_s < 70 ? (phase_s - 30) / 40
                  : phase_s < 85 ? 1
                                 : 1 - (phase_s - 85) / 25;
    double mbit_per_s = 40 * exp(-6.5 * away) * fading(seed, at_ms, 0.4);
    return away >= 1 ? 0 : mbit_per_s;
}

static double pick(const double *levels, size_t count, uint64_t seed,
                   uint64_t index)
{
    double drawn = noise_uniform(seed, index, LEVEL) * (double)count;
    return levels[(size_t)drawn];
}

const char *trace_shape_name(enum trace_shape shape)
{
    static const char *const names[TRACE_SHAPES] = {
        "steady", "cliffs", "bursts", "outages", "walk-away"};
    return names[shape];
}

/* Allocates `length_ms` of silence. */
static bool begin(struct trace *trace, size_t length_ms)
{
    *trace = (struct trace){.length_ms = length_ms, .rtt_ms = 20};
    snprintf(trace->group, sizeof trace->group, "synthetic");
    trace->sent_bytes = calloc(length_ms + 1, sizeof(double));
    return trace->sent_bytes != NULL;
}

bool trace_make_even(double mbit_per_s, size_t length_ms, struct trace *trace)
{
    if (!begin(trace, length_ms))
        return false;
    snprintf(trace->name, sizeof trace->name, "%g Mbit/s", mbit_per_s);
    for (size_t i = 1; i <= length_ms; i++)
        trace->sent_bytes[i] =
            (double)i * mbit_per_s * TRACE_BYTES_PER_MS_AT_1_MBIT;
    return true;
}

bool trace_make(enum trace_shape shape, uint64_t seed, size_t length_ms,
                struct trace *trace)
{
    static const double steady[] = {0.25, 0.5, 1, 2, 5, 10, 50};
    static const double cliffs[] = {0.1, 0.3, 1, 3, 8, 20};
    if (!begin(trace, length_ms))
        return false;
    snprintf(trace->name, sizeof trace->name, "%s-%u", trace_shape_name(shape),
             (unsigned)seed);
    double until_ms = 0;
    uint64_t turn = 0;
    for (size_t i = 0; i < length_ms; i++) {
        double mbit_per_s = 0;
        switch (shape) {
        case TRACE_STEADY:
            mbit_per_s = steady[i / 60000 % 7] * fading(seed, i, 0.15);
            break;
        case TRACE_CLIFFS:
            (void)alternate(seed, i, 30000, 20000, 60000, &until_ms, &turn);
            mbit_per_s = pick(cliffs, 6, seed, turn) * fading(seed, i, 0.2);
            break;
        case TRACE_BURSTS:
            mbit_per_s = 6 * fading(seed, i, 0.2);
            if (alternate(seed, i, 6000, 200, 2000, &until_ms, &turn))
                mbit_per_s *= 0.05;
            break;
        case TRACE_OUTAGES:
            mbit_per_s = 4 * fading(seed, i, 0.2);
            if (alternate(seed, i, 40000, 1000, 20000, &until_ms, &turn))
                mbit_per_s = 0;
            break;
        case TRACE_WALK_AWAY:
        case TRACE_SHAPES:
            mbit_per_s = walk(seed, i);
            break;
        }
        trace->sent_bytes[i + 1] =
            trace->sent_bytes[i] + mbit_per_s * TRACE_BYTES_PER_MS_AT_1_MBIT;
    }
    return true;
}
