/* Signals, and the orderly end of a server. */
#ifndef CLEAVE_SERVER_LIFECYCLE_H
#define CLEAVE_SERVER_LIFECYCLE_H

#include "server/app.h"
#include "server/http.h"

/* Ignores SIGPIPE and keeps SIGTERM and SIGINT for srv_signal_wait. Call
 * before any thread starts: threads inherit it. */
void srv_signals_prepare(void);

/* Waits for SIGTERM or SIGINT and returns which. */
int srv_signal_wait(void);

/* Answers what was accepted within the configured time, refuses what comes
 * meanwhile (503), then closes *http. A second signal ends the patience. */
void srv_drain(struct srv_app *app, struct srv_http **http);

#endif
