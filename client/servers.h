/* Several servers: what is known of those not in use, and changing over. */
#ifndef CLEAVE_CLIENT_SERVERS_H
#define CLEAVE_CLIENT_SERVERS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/breaker.h"
#include "client/cost.h"
#include "client/link.h"
#include "client/transport.h"

#define CLI_SERVERS_MOST 8

struct cleave;

/* One server while another one is in use. */
struct cli_standby {
    struct cli_transport *transport; /* owned, also while in use */
    struct cli_link link;
    struct cli_cost cost;
    struct cli_breaker breaker;
    uint64_t fingerprint; /* of its model; 0: not known */
    struct cli_estimate queue_ms;
};

/* Adds a server with nothing known of it; the first becomes the one in use.
 * API_USAGE with a reason for a bad URL or one too many. */
enum api_status cli_servers_add(struct cleave *handle, const char *url,
                                struct api_error *error);

/* Closes all of them. */
void cli_servers_close(struct cleave *handle);

/* The server in use has failed: takes the first other one that may be asked
 * now. False if there is none. */
bool cli_servers_fail_over(struct cleave *handle);

/* While another server than the first is in use: asks a better one whose pause
 * is over, by one small request within half of `spare_ms`, and returns to it
 * if it answers. The handle's lock is let go meanwhile. */
void cli_servers_fail_back(struct cleave *handle, double spare_ms);

#endif
