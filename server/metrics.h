/* Counters and histograms, and their Prometheus text. */
#ifndef CLEAVE_SERVER_METRICS_H
#define CLEAVE_SERVER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

struct srv_metrics;

/* Counters of one operating point of one version of a model. They live as long
 * as the metrics, so that a model that comes back goes on counting. */
struct srv_series;

/* Why a request got no inference. */
enum srv_reject {
    SRV_REJECT_QUEUE_FULL,
    SRV_REJECT_DRAINING,
    SRV_REJECT_DEADLINE,           /* expired while waiting */
    SRV_REJECT_QUOTA,              /* its client has enough waiting */
    SRV_REJECT_ABANDONED,          /* its client went away while it waited */
    SRV_REJECT_MEMORY,             /* request bodies hold all they may */
    SRV_REJECT_CONNECTIONS,        /* too many are open */
    SRV_REJECT_CLIENT_CONNECTIONS, /* too many of one client: it is cut off */
    SRV_REJECT_SLOW,               /* it sends or reads too slowly: cut off */
    SRV_REJECT_UNREADABLE,         /* the HTTP library made nothing of it */
    SRV_REJECT_COUNT
};

/* One answered request. Durations are negative where there was none. */
struct srv_observation {
    size_t route; /* index of its pattern; patterns' count: no route */
    int http_code;
    /* Of a request for inference, which alone enter histograms; else NULL. */
    struct srv_series *series;
    int64_t total_us, queue_us, decode_us, infer_us;
    int64_t batch; /* frames that one run answered; of one of them, else -1 */
    size_t body_bytes;
};

/* What only the moment of asking tells. */
struct srv_gauges {
    unsigned queue_depth, running;
    unsigned models, models_failed; /* served; latest file was refused */
    int64_t certificate_ends;       /* since the Unix epoch; 0: no TLS */
    const char *isa;                /* the engine's kernels */
};

/* `patterns` (the routes) are borrowed for ever. */
enum api_status srv_metrics_open(const char *const *patterns,
                                 size_t pattern_count,
                                 struct srv_metrics **metrics);
void srv_metrics_close(struct srv_metrics **metrics);

/* Finds or makes the series of these labels; "" stands for requests that
 * reached no point, or no model. NULL when memory ran out. Thread-safe. */
struct srv_series *srv_metrics_series(struct srv_metrics *metrics,
                                      const char *model, const char *version,
                                      const char *point);

/* All are thread-safe and take no lock. */
void srv_metrics_observe(struct srv_metrics *metrics,
                         const struct srv_observation *observation);
void srv_metrics_reject(struct srv_metrics *metrics, enum srv_reject reason);
void srv_metrics_load(struct srv_metrics *metrics, bool good);
void srv_metrics_connections(struct srv_metrics *metrics, int more);

/* The text of /metrics, malloc'ed; NULL when memory ran out. Thread-safe. */
char *srv_metrics_write(struct srv_metrics *metrics,
                        const struct srv_gauges *gauges, size_t *bytes);

#endif
