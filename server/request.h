/* One HTTP exchange as handlers see it, without the HTTP library. */
#ifndef CLEAVE_SERVER_REQUEST_H
#define CLEAVE_SERVER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "server/auth.h"
#include "server/identity.h"
#include "server/queue.h"

struct srv_app;
struct srv_model;
struct srv_route;
struct srv_workspace;

#define SRV_REPLY_HEADERS 10

/* What goes back. Zero-initialised; `code` 0 means that there is none yet. */
struct srv_reply {
    int code;
    const char *media_type; /* static text; NULL without a body */
    const void *body;
    size_t body_bytes;
    bool body_owned; /* freed once sent; else it outlives the request */
    bool close;      /* the connection ends with this reply */
    unsigned header_count;
    struct {
        const char *name; /* static text */
        char value[240];
    } headers[SRV_REPLY_HEADERS];
};

struct srv_request;

/* What an inference request adds; see infer.h. */
struct srv_infer {
    struct srv_job job;
    void (*answer)(struct srv_request *request); /* once a worker is free */
    uint32_t top_count;
    size_t json_bytes; /* of the body; OIP only */
    bool may_lighten;  /* quality=auto */
    int asked;         /* index of the point that was asked for, or -1 */
    int point;         /* index of the operating point, or -1 */
    struct srv_workspace *workspace; /* lent by the model, or NULL */
    bool borrowed;  /* this request did it; else another of its batch */
    unsigned place; /* of its latent and answer in the workspace */
    unsigned batch; /* frames that its run answered; 0 but for one of them */
    int64_t queue_us, decode_us, infer_us, encode_us; /* -1: did not happen */
};

struct srv_request {
    struct srv_app *app;
    void *exchange;                /* http.c's own */
    const struct srv_route *route; /* NULL: no such path */
    const char *name;              /* {model} in the path, or NULL */
    size_t name_length;
    bool names_version;      /* {version} in the path */
    struct srv_model *model; /* leased; NULL if the route needs none */
    char method[16];         /* cut if longer; no known one is */
    struct srv_trace trace;
    char id[SRV_ID_BYTES];         /* X-Request-Id */
    char client[SRV_CLIENT_BYTES]; /* whose token it came with, or "" */
    char *path;                    /* as received, percent signs and all */
    char *query;                   /* after the '?', or "" */
    int socket;                    /* to look whether the client is there */
    bool has_length;               /* Content-Length was given */
    uint64_t length;               /* its value */
    uint64_t body_limit;           /* bytes; set by the router */
    bool keep_body;                /* else it is counted and dropped */
    uint8_t *body;                 /* NULL if empty or not kept */
    size_t body_bytes;             /* received so far */
    int64_t started_us;            /* headers complete, by srv_now_us */
    int64_t received_us;           /* body complete */
    int64_t answered_us;           /* reply ready to be sent */
    struct srv_infer infer;
    struct srv_reply reply;
};

/* A request for `target` (path and query) before anything else is known of
 * it; NULL when memory ran out. Closing frees body, target and reply. */
struct srv_request *srv_request_open(struct srv_app *app, const char *target);
void srv_request_close(struct srv_request **request);

/* The value of a request header, or NULL; borrowed while the request lives.
 * Only from HTTP threads. Defined in http.c. */
const char *srv_request_header(const struct srv_request *request,
                               const char *name);

/* Does the request's If-None-Match name this entity tag, given in its quotes?
 * Weak comparison (RFC 9110 section 13.1.2). Only from HTTP threads. */
bool srv_request_holds(const struct srv_request *request, const char *etag);

/* Ends the wait of a request whose route is asynchronous: its reply is ready.
 * The request must not be touched afterwards. Any thread. Defined in
 * http.c. */
void srv_request_resume(struct srv_request *request);

/* Decodes the query parameter `name` into `value`: 1 if found, 0 if absent,
 * -1 if malformed or too long. The first of several counts. */
int srv_request_query(const struct srv_request *request, const char *name,
                      char *value, size_t capacity);

/* A whole number in [least, most] from the query; `absent` if it is not
 * there. API_BAD_REQUEST with a reason if it is anything else. */
enum api_status srv_request_number(const struct srv_request *request,
                                   const char *name, uint32_t least,
                                   uint32_t most, uint32_t absent,
                                   uint32_t *number, struct api_error *error);

/* The same from a request header. Only from HTTP threads. */
enum api_status srv_request_header_number(const struct srv_request *request,
                                          const char *name, uint32_t least,
                                          uint32_t most, uint32_t absent,
                                          uint32_t *number,
                                          struct api_error *error);

/* Replies 200 with `body`, which lives as long as the server or as the
 * request's model. */
void srv_reply_static(struct srv_request *request, const char *media_type,
                      const void *body, size_t body_bytes);

/* Replies with malloc'ed `body`, taken; NULL becomes a 500 problem. */
void srv_reply_owned(struct srv_request *request, int code,
                     const char *media_type, void *body, size_t body_bytes);

/* Replies with an RFC 9457 problem. API_OVERLOADED and API_QUOTA get
 * Retry-After, API_MODEL_MISMATCH the model's metadata. */
void srv_reply_problem(struct srv_request *request, enum api_status status,
                       const char *detail);

/* Adds a header with a printf-formatted value. */
void srv_reply_header(struct srv_request *request, const char *name,
                      const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

#endif
