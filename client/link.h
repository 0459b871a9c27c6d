/* What the link to the server costs: round trip and time per kilobyte. */
#ifndef CLEAVE_CLIENT_LINK_H
#define CLEAVE_CLIENT_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "client/scores.h"

/* A request of n bytes is taken to last rtt_ms + n/1000 * ms_per_kb. Both are
 * followed by one Kalman filter whose state is a random walk (Kalman, 1960;
 * R. Faragher's tutorial, IEEE SPM 2012): each exchange tells of their sum at
 * its size, so small bodies settle the round trip, large ones the throughput,
 * and what was not seen lately grows uncertain with time. Time per kilobyte
 * rather than throughput, because it may well be 0 on a local link and
 * because its mean is what predictions need. Zero-initialised: unknown; then
 * a guess at a mediocre mobile link. Times are the caller's monotonic
 * milliseconds. Plain data: not thread-safe, may be copied. */
struct cli_link {
    bool known; /* something was seen; else what follows is not set */
    double rtt_ms, ms_per_kb;
    double rtt_variance, covariance, per_kb_variance;
    double seen_ms;           /* of the last exchange */
    double least_ms;          /* of all exchanges; 0: none yet */
    bool doubted;             /* the last sample was far off */
    struct cli_scores scores; /* of exchanges against their predictions */
};

/* What is known of one body's transfer. */
struct cli_link_forecast {
    double expected_ms;
    double unsure_ms;  /* standard deviation of expected_ms: grows with age */
    double scatter_ms; /* of single exchanges around their mean */
};

/* Learns from one exchange on an open connection: `up_bytes` of request body,
 * `elapsed_ms` from its first byte out to the last byte of the reply, less the
 * time the server says it took. A sample that is far off is doubted once: one
 * stall changes little, two in a row are a collapse. */
void cli_link_observe(struct cli_link *link, size_t up_bytes, double elapsed_ms,
                      double now_ms);

/* Nothing came back within `waited_ms`: it takes longer than that. It
 * may have been a stall, so it is always doubted; whatever comes next counts
 * in full. */
void cli_link_observe_silence(struct cli_link *link, size_t up_bytes,
                              double waited_ms, double now_ms);

struct cli_link_forecast cli_link_predict(const struct cli_link *link,
                                          double bytes, double now_ms);

/* How much to add to expected_ms so that `share` of all stay below; and the
 * share that stays below `ms`. */
double cli_link_margin(const struct cli_link *link,
                       const struct cli_link_forecast *forecast, double share);
double cli_link_share_below(const struct cli_link *link,
                            const struct cli_link_forecast *forecast,
                            double ms);

#endif
