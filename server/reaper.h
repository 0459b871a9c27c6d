/* Absolute deadlines for connections. The HTTP library's own timeout measures
 * inactivity, so a client that drips a byte now and then never meets it. */
#ifndef CLEAVE_SERVER_REAPER_H
#define CLEAVE_SERVER_REAPER_H

#include <stdbool.h>
#include <stdint.h>

#include "api/status.h"

struct srv_reaper;
struct srv_reaper_entry; /* one connection */

/* A deadline that never comes. */
#define SRV_NO_DEADLINE INT64_MAX

enum api_status srv_reaper_open(struct srv_reaper **reaper);

/* Ends the thread. All entries must have been removed. NULL is fine. */
void srv_reaper_close(struct srv_reaper **reaper);

/* Watches `socket` without a deadline; NULL when memory ran out. Remove it
 * before the socket is closed; true if it was shut down for being late. Both
 * are thread-safe. */
struct srv_reaper_entry *srv_reaper_add(struct srv_reaper *reaper, int socket);
bool srv_reaper_remove(struct srv_reaper *reaper,
                       struct srv_reaper_entry *entry);

/* Sets when, by srv_now_us, the connection is shut down. Thread-safe. */
void srv_reaper_arm(struct srv_reaper_entry *entry, int64_t deadline_us);

#endif
