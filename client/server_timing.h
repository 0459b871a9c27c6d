/* Reads the Server-Timing header (W3C Server Timing). */
#ifndef CLEAVE_CLIENT_SERVER_TIMING_H
#define CLEAVE_CLIENT_SERVER_TIMING_H

#include <stdbool.h>
#include <stddef.h>

/* Where a server's time went, in milliseconds. */
struct cli_server_timing {
    double queue_ms;   /* before it began */
    double compute_ms; /* decoding and inference */
};

/* Parses the header's value: metrics separated by commas, each a name and
 * parameters separated by semicolons. Of the metrics queue, decode and infer
 * the `dur` is taken; others are ignored, as are malformed ones, durations
 * that are negative, not plain decimals or beyond an hour, and a metric seen
 * before. False, with *timing untouched, if none of the three was found. The
 * text is untrusted. Thread-safe; independent of the locale. */
bool cli_server_timing_read(const char *text, size_t bytes,
                            struct cli_server_timing *timing);

#endif
