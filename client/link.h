/* What the link to the server costs: round trip and time per kilobyte. */
#ifndef CLEAVE_CLIENT_LINK_H
#define CLEAVE_CLIENT_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "client/estimate.h"

/* A request of n bytes is taken to last rtt_ms + n/1000 * ms_per_kb. Time per
 * kilobyte rather than throughput, because it may well be 0 on a local link
 * and because its mean is what predictions need. Zero-initialised: unknown.
 * Plain data: not thread-safe, may be copied. */
struct cli_link {
    struct cli_estimate rtt_ms;
    struct cli_estimate ms_per_kb;
};

/* Learns from one exchange on an open connection: `up_bytes` of request body,
 * `elapsed_ms` from its first byte out to the last byte of the reply, less the
 * time the server says it took. */
void cli_link_observe(struct cli_link *link, size_t up_bytes,
                      double elapsed_ms);

/* Expected time and 95 % margin above it for a body of `bytes`; before
 * anything was learnt a guess at a mediocre mobile link. */
void cli_link_predict(const struct cli_link *link, double bytes,
                      double *expected_ms, double *margin_ms);

/* Has a body large enough to tell the throughput been seen? */
bool cli_link_knows_throughput(const struct cli_link *link);

#endif
