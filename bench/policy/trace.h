/* How much a link could carry at each moment, recorded or made up. */
#ifndef CLEAVE_BENCH_TRACE_H
#define CLEAVE_BENCH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A link's uplink: bytes that may have left by the end of each millisecond,
 * from the beginning; it repeats when it ends. */
struct trace {
    char name[48];
    char group[16];     /* "cellular", "bluetooth", "synthetic" */
    double *sent_bytes; /* [length_ms + 1], rising from 0; owned */
    size_t length_ms;
    double rtt_ms; /* without any transfer */
};

void trace_free(struct trace *trace);

/* When `bytes` that start at `start_ms` have all left. INFINITY if the trace
 * carries nothing at all. */
double trace_finish_ms(const struct trace *trace, double start_ms,
                       double bytes);

/* Mean throughput of the whole trace. */
double trace_mean_mbit_per_s(const struct trace *trace);

/* Reads a recorded one; false with a message on stderr if it cannot.
 *
 * Cellular (mahimahi; Winstein et al., NSDI 2013): each line is a millisecond
 * at which one packet of 1,500 bytes may leave. Bluetooth: JSON lines, each
 * one request with its end `time` in seconds, `kbs` bytes and `transfer_time`
 * in milliseconds; the link carries kbs/transfer_time until the next one. The
 * first five are a warm-up and left out. */
bool trace_read_cellular(const char *path, struct trace *trace);
bool trace_read_bluetooth(const char *path, struct trace *trace);

/* Made-up links, each `length_ms` long and the same for the same seed. */
enum trace_shape {
    TRACE_STEADY,    /* 0.25 to 50 Mbit/s, a minute each, some fading */
    TRACE_CLIFFS,    /* steps between 0.1 and 20 Mbit/s */
    TRACE_BURSTS,    /* others' traffic takes most of it, a second at a time */
    TRACE_OUTAGES,   /* nothing at all for 1 to 20 s, again and again */
    TRACE_WALK_AWAY, /* Wi-Fi that thins out to nothing, and comes back */
    TRACE_SHAPES
};

bool trace_make(enum trace_shape shape, uint64_t seed, size_t length_ms,
                struct trace *trace);

#endif
