/* Counts of what a run has done, as a file for node_exporter. */
#ifndef CLEAVE_CLIENT_METRICS_FILE_H
#define CLEAVE_CLIENT_METRICS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cleave.h"

#define CLI_METRICS_POINTS 64
#define CLI_METRICS_BUCKETS 11

/* Zero-initialised: nothing has happened. Plain data; not thread-safe. */
struct cli_metrics {
    struct {
        char point[48];
        enum cleave_via via;
        uint64_t pictures;
    } answered[CLI_METRICS_POINTS];
    size_t points;
    uint64_t failed, dropped, bytes_sent;
    uint64_t bucket[CLI_METRICS_BUCKETS + 1]; /* the last: longer than all */
    double seconds_sum;
    double device_seconds_sum;
};

/* Counts one picture: `seconds` from when it was taken up to its answer. */
void cli_metrics_answered(struct cli_metrics *metrics,
                          const struct cleave_result *result, double seconds);

/* Writes them in Prometheus's text format (0.0.4) as node_exporter's textfile
 * collector wants it: to a file beside `path` that is then renamed, so that
 * nobody reads half of it. False with errno. */
bool cli_metrics_write(const struct cli_metrics *metrics, const char *path);

#endif
