/* Requests through libcurl, as a test wants them. */
#ifndef CLEAVE_TESTS_EXCHANGE_H
#define CLEAVE_TESTS_EXCHANGE_H

#include <curl/curl.h>
#include <stddef.h>

#include "api/status.h"
#include "running_server.h"

#define JPEG_TYPE "Content-Type: image/jpeg"
#define FRAME_TYPE "Content-Type: application/vnd.cleave.frame"

struct exchange {
    long code;            /* 0: no answer came */
    long new_connections; /* opened for this request */
    char *headers;        /* all of them, as received */
    char *body;           /* NUL-terminated */
    size_t body_bytes;
};

/* Sends a request on `curl` (NULL: on a connection of its own) and fills
 * *exchange. `body` NULL sends none; `header` NULL adds none. */
void exchange_send(CURL *curl, const struct running_server *server,
                   const char *method, const char *path, const char *header,
                   const void *body, size_t body_bytes,
                   struct exchange *exchange);
void exchange_free(struct exchange *exchange);

/* GET on a connection of its own. */
void exchange_get(const struct running_server *server, const char *path,
                  struct exchange *exchange);

/* Copies a header's value; fails the test if it is not there, unless
 * `capacity` is 0. Returns whether it is. */
int exchange_header(const struct exchange *exchange, const char *name,
                    char *value, size_t capacity);

/* Fails unless the answer is a problem of this status, whole and well-formed,
 * with every member and header that each problem has. */
void exchange_assert_problem(const struct exchange *exchange,
                             enum api_status status);

/* The value of a metric's line, e.g. "cleave_queue_depth"; 0 if absent. */
double exchange_metric(const struct running_server *server, const char *name);

#endif
