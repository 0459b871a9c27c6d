/* Who is at the other end of a connection, and whether anybody still is. */
#ifndef CLEAVE_SERVER_CLIENT_OF_H
#define CLEAVE_SERVER_CLIENT_OF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* One number for each client: its IPv4 address, or the first 64 bits of its
 * IPv6 address, which are one subscriber's; 0 for other kinds. */
uint64_t srv_client_key(const struct sockaddr *address);

/* Has the other end closed the connection, or its sending side? A client that
 * waits for an answer does neither. */
bool srv_client_is_gone(int socket);

#endif
