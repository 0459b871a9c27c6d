/* What every kind of inference request goes through. */
#ifndef CLEAVE_SERVER_INFER_H
#define CLEAVE_SERVER_INFER_H

#include <stdbool.h>
#include <stdint.h>

#include "server/request.h"

/* Reads the query and refuses, before a body is let in, what would be refused
 * in the end. May reply. HTTP threads. */
void srv_infer_begin(struct srv_request *request);

/* The same, where the body is to be a JPEG, or a frame. */
void srv_infer_begin_picture(struct srv_request *request);
void srv_infer_begin_frame(struct srv_request *request);

/* Has the deadline passed that was set when the body was in? Replies and counts
 * then. Worker threads. */
bool srv_infer_expired(struct srv_request *request, int64_t deadline_us);

/* Queues the request, whose body is in. A worker calls `answer`, which always
 * replies; or the queue refuses. Then the request is resumed. HTTP threads. */
void srv_infer_submit(struct srv_request *request,
                      void (*answer)(struct srv_request *request));

#endif
