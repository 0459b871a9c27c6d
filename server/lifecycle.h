/* Signals, and the orderly end of a server. */
#ifndef CLEAVE_SERVER_LIFECYCLE_H
#define CLEAVE_SERVER_LIFECYCLE_H

#include "server/app.h"
#include "server/http.h"

/* Ignores SIGPIPE and keeps SIGTERM, SIGINT and SIGHUP for srv_signal_wait.
 * Call before any thread starts: threads inherit it. */
void srv_signals_prepare(void);

/* Waits for one of them and returns which; 0 after `most_ms`, unless that is
 * 0. */
int srv_signal_wait(unsigned most_ms);

/* Answers what was accepted within the configured time, refuses what comes
 * meanwhile (503), then closes *http. A second signal ends the patience. */
void srv_drain(struct srv_app *app, struct srv_http **http);

#endif
