/* The HTTP side: connections, framing, bodies, replies. */
#ifndef CLEAVE_SERVER_HTTP_H
#define CLEAVE_SERVER_HTTP_H

#include "api/status.h"
#include "server/app.h"

struct srv_http;

/* Serves on a listening socket, which it takes if it succeeds. `app` is
 * borrowed and must be complete. */
enum api_status srv_http_open(struct srv_app *app, int listening,
                              struct srv_http **http, struct api_error *error);

/* Requests whose first line has come and that are not yet answered to the
 * last byte: all of them, and those that came before the server began to
 * drain. Thread-safe. */
unsigned srv_http_active(struct srv_http *http);
unsigned srv_http_accepted(struct srv_http *http);

/* Accepts no more connections; those that are open go on. */
void srv_http_stop_listening(struct srv_http *http);

/* Ends all connections. No request may be waiting for srv_request_resume.
 * Sets *http to NULL; NULL is fine. */
void srv_http_close(struct srv_http **http);

#endif
