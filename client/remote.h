/* What the client asks of a server, and how it reads the answers. */
#ifndef CLEAVE_CLIENT_REMOTE_H
#define CLEAVE_CLIENT_REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/json.h"
#include "api/status.h"
#include "client/transport.h"

/* One picture as the server answered it. */
struct cli_answer {
    struct api_answer body;
    double total_ms;    /* the whole request */
    double exchange_ms; /* the same without connecting */
    double server_ms;   /* by Server-Timing; 0 if the server does not say */
    double queue_ms;    /* of that, before it began */
};

/* All of these return API_UNREACHABLE or API_DEADLINE if no reply came within
 * `timeout_ms`, the status that the HTTP code stands for if the server
 * refused, and API_INTERNAL for a reply that makes no sense; each with a
 * reason. Thread-safe. */

/* Fetches a model's metadata; `model` "": the server's default model. */
enum api_status cli_remote_model(struct cli_transport *transport,
                                 const char *model, double timeout_ms,
                                 struct api_model *out, double *exchange_ms,
                                 struct api_error *error);

/* Sends a JPEG (is_frame false) or a frame. `off_fd`: see cli_request.
 * *retry_after_ms is set on failure
 * too: what the server asks for with a 503, else 0. */
enum api_status
cli_remote_classify(struct cli_transport *transport, const char *model,
                    bool is_frame, const void *body, size_t body_bytes,
                    unsigned top, double timeout_ms, const int *off_fd,
                    struct cli_answer *answer, double *retry_after_ms,
                    struct api_error *error);

/* Link probes: `up_bytes` > 0 sends a body of that size, otherwise
 * `down_bytes` come back. *elapsed_ms becomes the exchange less the server's
 * own time. At most API_LIMIT_PROBE_BYTES. `off_fd`: see cli_request. */
enum api_status cli_remote_probe(struct cli_transport *transport,
                                 size_t up_bytes, size_t down_bytes,
                                 double timeout_ms, const int *off_fd,
                                 double *elapsed_ms, struct api_error *error);

/* The status and reason of a reply that is no success. Never API_OK. */
enum api_status cli_remote_refusal(const struct cli_reply *reply,
                                   struct api_error *error);

#endif
