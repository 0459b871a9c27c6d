/* What is recorded of each request: metrics, log, and the list of slow ones. */
#ifndef CLEAVE_SERVER_ACCESS_H
#define CLEAVE_SERVER_ACCESS_H

#include "server/request.h"

/* Of a request whose reply is about to be sent: metrics and, if it took long,
 * the list. Never of a body: no picture and nothing that was seen in one.
 * Thread-safe. */
void srv_access_record(struct srv_request *request);

/* The log's line of it. Call it when the reply has gone, so that the client
 * does not wait for it, too. Thread-safe. */
void srv_access_log(const struct srv_request *request);

/* Of a request that ended without a reply. `reason`: the HTTP library's. */
void srv_access_abort(const struct srv_request *request, int reason);

#endif
