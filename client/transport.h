/* HTTP to the server: the only part that knows libcurl. */
#ifndef CLEAVE_CLIENT_TRANSPORT_H
#define CLEAVE_CLIENT_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

/* One server and the kept-open connections to it. Thread-safe: requests of
 * several threads go out side by side, each on a connection of its own. */
struct cli_transport;

struct cli_request {
    const char *path; /* below the server's URL, e.g. "/v1/models" */
    const void *body; /* NULL: GET, else POST; borrowed */
    size_t body_bytes;
    const char *content_type;  /* of the body */
    const char *if_none_match; /* ETag, or NULL */
    double timeout_ms;         /* for everything, connecting included */
    double stall_ms;           /* give up after so long without progress; 0:
                                * timeout_ms alone counts */
    size_t most_reply_bytes;   /* a larger body is an error */
    int sink_fd;               /* where to write the body of a 200, or -1:
                                * into the reply */
    const int *off_fd;         /* once readable, nobody wants the reply any
                                * longer; NULL: never */
};

/* What came back, to be freed with cli_reply_free. A NUL byte that does not
 * count follows the body. */
struct cli_reply {
    int http_code;
    char *body;
    size_t body_bytes;       /* in memory or written to the sink */
    char etag[128];          /* "" if absent or too long to be one of ours */
    char server_timing[256]; /* "" if absent or longer */
    double retry_after_ms;   /* 0 if absent */
    int64_t date_s;     /* by the server's clock, since 1970; 0 if absent */
    double total_ms;    /* the whole request */
    double exchange_ms; /* the same without connecting */
};

/* `server_url`: http:// or https://, perhaps with a path prefix. API_USAGE
 * with a reason if it is none. Nothing is sent yet. */
enum api_status cli_transport_open(const char *server_url,
                                   double connect_timeout_ms,
                                   struct cli_transport **transport,
                                   struct api_error *error);

/* Sends `token` (RFC 6750) with each request, and trusts the certificates in
 * `ca_file` (PEM) instead of the system's; NULL for neither. Both are copied.
 * To be called once at most, before the first request. API_USAGE if the token
 * has characters that none may have. */
enum api_status cli_transport_secure(struct cli_transport *transport,
                                     const char *token, const char *ca_file,
                                     struct api_error *error);

/* Closes all connections and sets *transport to NULL. NULL is fine. No request
 * may be under way. */
void cli_transport_close(struct cli_transport **transport);

/* The URL as given, without slashes at its end. Borrowed. */
const char *cli_transport_url(const struct cli_transport *transport);

/* Sends one request and waits for the whole reply, whatever its HTTP code:
 * redirects are not followed, nothing is decompressed. API_UNREACHABLE: no
 * connection, or it broke; API_DEADLINE: time ran out, or it was called off;
 * API_TOO_LARGE: the
 * reply is beyond its limit; API_INTERNAL: the sink could not be written.
 * Bounded in time by timeout_ms, a resolver that hangs included. */
enum api_status cli_transport_request(struct cli_transport *transport,
                                      const struct cli_request *request,
                                      struct cli_reply *reply,
                                      struct api_error *error);

/* Frees the body and empties *reply; an empty one is fine. */
void cli_reply_free(struct cli_reply *reply);

#endif
