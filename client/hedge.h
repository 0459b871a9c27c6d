/* The device's own answer, begun while the server may still give one. */
#ifndef CLEAVE_CLIENT_HEDGE_H
#define CLEAVE_CLIENT_HEDGE_H

#include <stdbool.h>

#include "client/job.h"

struct cli_hedge;

/* Every function needs the handle's lock, and lets it go where it waits.
 *
 * Arranges that the device answers the job's picture from `begin_ms`, by
 * cli_now_ms, unless it is settled before. The job's JPEG is copied. NULL if
 * that cannot be now: memory or threads are lacking, or the device is still at
 * an answer that nobody waits for any longer. */
struct cli_hedge *cli_hedge_open(const struct cli_job *job, double begin_ms);

/* For cli_request: readable once the device has its answer. */
const int *cli_hedge_off_fd(const struct cli_hedge *hedge);

/* Closes it. If the device has begun and `is_wanted`, waits for its answer,
 * fills the job's result or error and *status and returns true. Else the
 * picture is settled: the device does not begin any more, or computes on for
 * nobody. */
bool cli_hedge_close(struct cli_hedge *hedge, bool is_wanted,
                     struct cli_job *job, enum cleave_status *status);

/* Waits for what the device still computes for nobody; the lock is not held. */
void cli_hedge_end(struct cleave *handle);

#endif
