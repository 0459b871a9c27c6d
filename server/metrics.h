/* Counters and histograms, and their Prometheus text. */
#ifndef CLEAVE_SERVER_METRICS_H
#define CLEAVE_SERVER_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "api/json.h"
#include "api/status.h"

struct srv_metrics;

/* Why a request got no inference. */
enum srv_reject {
    SRV_REJECT_QUEUE_FULL,
    SRV_REJECT_DRAINING,
    SRV_REJECT_DEADLINE, /* expired while waiting */
    SRV_REJECT_MEMORY,   /* request bodies hold all they may */
    SRV_REJECT_COUNT
};

/* One answered request. Durations are negative where there was none. */
struct srv_observation {
    size_t route; /* index of its pattern; patterns' count: no route */
    int http_code;
    int is_inference; /* classify and tail: only they enter histograms */
    int point;        /* index of the operating point, or -1 */
    int64_t total_us, queue_us, decode_us, infer_us;
    size_t body_bytes;
};

/* `model` is copied; `patterns` (the routes) are borrowed for ever. */
enum api_status srv_metrics_open(const struct api_model *model,
                                 const char *const *patterns,
                                 size_t pattern_count,
                                 struct srv_metrics **metrics);
void srv_metrics_close(struct srv_metrics **metrics);

/* Both are thread-safe and take no lock. */
void srv_metrics_observe(struct srv_metrics *metrics,
                         const struct srv_observation *observation);
void srv_metrics_reject(struct srv_metrics *metrics, enum srv_reject reason);

/* The text of /metrics, malloc'ed; NULL when memory ran out. `isa`: the
 * engine's kernels. Thread-safe. */
char *srv_metrics_write(struct srv_metrics *metrics, unsigned queue_depth,
                        unsigned running, const char *isa, size_t *bytes);

#endif
