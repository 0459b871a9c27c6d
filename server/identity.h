/* How a request is told from others: its own id, and its place in a trace
 * (W3C Trace Context). */
#ifndef CLEAVE_SERVER_IDENTITY_H
#define CLEAVE_SERVER_IDENTITY_H

#include <stdbool.h>

/* A request's id and a traceparent header, with their NULs. */
#define SRV_ID_BYTES 65u
#define SRV_TRACEPARENT_BYTES 56u

/* Lowercase hexadecimal digits, never all zero. */
struct srv_trace {
    char trace_id[33];
    char span_id[17];   /* of this server's part */
    char parent_id[17]; /* of the caller's; "" if it sent none */
    bool sampled;       /* the caller asks for this trace to be recorded */
};

/* Takes the client's X-Request-Id if that is 1 to 64 printable ASCII characters
 * without blanks; else, and for NULL, makes one. `id` has SRV_ID_BYTES.
 * Thread-safe, like the others. */
void srv_identity_choose(const char *given, char *id);

/* Goes on with the trace of a traceparent header. One that is not exactly as
 * the standard wants it, or NULL, begins a new trace. */
void srv_trace_continue(const char *traceparent, struct srv_trace *trace);

/* The traceparent header that names this server's part. */
void srv_trace_write(const struct srv_trace *trace,
                     char text[SRV_TRACEPARENT_BYTES]);

#endif
