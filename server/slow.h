/* The last requests that took long, for whoever asks why. */
#ifndef CLEAVE_SERVER_SLOW_H
#define CLEAVE_SERVER_SLOW_H

#include <stddef.h>

#include "api/status.h"
#include "server/log.h"

/* So many are kept. */
#define SRV_SLOW_KEPT 64u

struct srv_slow;

enum api_status srv_slow_open(struct srv_slow **slow);
void srv_slow_close(struct srv_slow **slow);

/* Keeps a copy of what the log says of a request. Thread-safe. */
void srv_slow_add(struct srv_slow *slow, const struct srv_log_line *line);

/* {"slow_ms":…,"requests":[…]}, the newest first, malloc'ed; NULL when memory
 * ran out. `slow_ms`: how long a request takes to count. Thread-safe. */
char *srv_slow_write(struct srv_slow *slow, unsigned slow_ms, size_t *bytes);

#endif
