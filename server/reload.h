/* What can change while the server runs. */
#ifndef CLEAVE_SERVER_RELOAD_H
#define CLEAVE_SERVER_RELOAD_H

#include "server/app.h"

/* Reads again what came from files: tokens, and certificate with key. What
 * cannot be read stays as it was, and the log says so. */
void srv_reload(struct srv_app *app);

/* The same, but only of what has changed since the last call. The first one
 * only looks. Both from one thread. */
void srv_reload_changed(struct srv_app *app);

#endif
