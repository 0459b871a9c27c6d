/* Where a request ends, by its headers: strictly, so that no two parties can
 * be made to disagree on what the next request is. */
#ifndef CLEAVE_SERVER_FRAMING_H
#define CLEAVE_SERVER_FRAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "api/status.h"

/* What the headers say. Zero-initialise, then show it every header. */
struct srv_framing {
    unsigned lengths; /* Content-Length headers */
    uint64_t length;  /* of the last one */
    unsigned hosts;   /* Host headers */
    bool bad_length;  /* one of them is no number */
    bool bad_name;    /* a header's name is no token (RFC 9110, 5.6.2) */
    bool transfer_encoding;
    bool expects_continue;
    bool expects_other; /* than 100-continue */
};

void srv_framing_see(struct srv_framing *framing, const char *name,
                     const char *value);

/* API_BAD_REQUEST or API_LENGTH_REQUIRED with a reason unless a body, if there
 * is one, has exactly one length, and a request of HTTP/1.1 exactly one Host
 * (RFC 9112, sections 3.2, 5.1 and 6.3); API_EXPECTATION_FAILED if the client
 * waits for something else than leave to go on (RFC 9110, section 10.1.1). */
enum api_status srv_framing_check(const struct srv_framing *framing,
                                  const char *version, struct api_error *error);

#endif
