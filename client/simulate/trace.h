/* How much a link could carry at each moment, recorded or made up. */
#ifndef CLEAVE_CLIENT_SIMULATE_TRACE_H
#define CLEAVE_CLIENT_SIMULATE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

/* A link's uplink: bytes that may have left by the end of each millisecond,
 * from the beginning; it repeats when it ends. */
struct trace {
    char name[48];
    char group[16];     /* "cellular", "bluetooth", "table", "synthetic" */
    double *sent_bytes; /* [length_ms + 1], rising from 0; owned */
    size_t length_ms;
    double rtt_ms; /* without any transfer */
};

/* No trace is longer than two hours, at which the last row of a table is cut,
 * nor quicker than this. */
#define TRACE_LONGEST_MS 7200000.0
#define TRACE_QUICKEST_MBIT_PER_S 100000.0

#define TRACE_BYTES_PER_MS_AT_1_MBIT 125.0

void trace_free(struct trace *trace);

/* When `bytes` that start at `start_ms` have all left. INFINITY if the trace
 * carries nothing at all. */
double trace_finish_ms(const struct trace *trace, double start_ms,
                       double bytes);

/* Mean throughput of the whole trace, and of a part that begins at `at_ms` and
 * may reach beyond its end. */
double trace_mean_mbit_per_s(const struct trace *trace);
double trace_part_mbit_per_s(const struct trace *trace, double at_ms,
                             double part_ms);

/* Reads a recorded one, which is not trusted. API_NOT_FOUND, API_UNPROCESSABLE
 * or API_NO_MEMORY with the reason; *trace is then untouched.
 *
 * Cellular (mahimahi; Winstein et al., NSDI 2013): each line is a millisecond
 * at which one packet of 1,500 bytes may leave. Bluetooth (the third paper's
 * own runs): JSON lines, each one request with its end `time` in seconds,
 * `kbs` bytes and `transfer_time` in milliseconds; the link carries
 * kbs/transfer_time until the next one; the first five are a warm-up and left
 * out. Table: lines of milliseconds from the beginning and the Mbit/s from then
 * on, separated by a comma, after one heading at most; the last one lasts as
 * long as the one before. */
enum api_status trace_read_cellular(const char *path, struct trace *trace,
                                    struct api_error *error);
enum api_status trace_read_bluetooth(const char *path, struct trace *trace,
                                     struct api_error *error);
enum api_status trace_read_table(const char *path, struct trace *trace,
                                 struct api_error *error);

/* By the end of the file's name: .jsonl Bluetooth, .csv a table, else
 * cellular. */
enum api_status trace_read(const char *path, struct trace *trace,
                           struct api_error *error);

/* Made-up links, each `length_ms` long and the same for the same seed. */
enum trace_shape {
    TRACE_STEADY,    /* 0.25 to 50 Mbit/s, a minute each, some fading */
    TRACE_CLIFFS,    /* steps between 0.1 and 20 Mbit/s */
    TRACE_BURSTS,    /* others' traffic takes most of it, a second at a time */
    TRACE_OUTAGES,   /* nothing at all for 1 to 20 s, again and again */
    TRACE_WALK_AWAY, /* Wi-Fi that thins out to nothing, and comes back */
    TRACE_SHAPES
};

/* "steady", "cliffs", … */
const char *trace_shape_name(enum trace_shape shape);

/* False without memory; the second one is of a single rate. */
bool trace_make(enum trace_shape shape, uint64_t seed, size_t length_ms,
                struct trace *trace);
bool trace_make_even(double mbit_per_s, size_t length_ms, struct trace *trace);

#endif
