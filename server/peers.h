/* How many connections each client's address holds. */
#ifndef CLEAVE_SERVER_PEERS_H
#define CLEAVE_SERVER_PEERS_H

#include <sys/socket.h>

#include "api/status.h"

struct srv_peers;
struct srv_peer; /* one client with at least one connection */

/* No client, as srv_client_key tells them apart, gets more than `most` at a
 * time. */
enum api_status srv_peers_open(unsigned most, struct srv_peers **peers);

/* All must have left. NULL is fine. */
void srv_peers_close(struct srv_peers **peers);

/* Counts a connection from `address`; NULL if there are too many, or no
 * memory. Each one that enters leaves, NULL is fine. Both are thread-safe. */
struct srv_peer *srv_peers_enter(struct srv_peers *peers,
                                 const struct sockaddr *address);
void srv_peers_leave(struct srv_peers *peers, struct srv_peer *peer);

#endif
