/* Reads the Server-Timing header (W3C Server Timing). */
#ifndef CLEAVE_CLIENT_SERVER_TIMING_H
#define CLEAVE_CLIENT_SERVER_TIMING_H

#include <stdbool.h>
#include <stddef.h>

/* Parses the header's value: metrics separated by commas, each a name and
 * parameters separated by semicolons. *total_ms becomes the sum of the `dur`
 * of the metrics queue, decode and infer, in milliseconds; others are ignored,
 * as are malformed ones, durations that are negative, not plain decimals or
 * beyond an hour, and a metric seen before. False, with *total_ms untouched,
 * if none of the three was found. The text is untrusted. Thread-safe;
 * independent of the locale. */
bool cli_server_timing_read(const char *text, size_t bytes, double *total_ms);

#endif
