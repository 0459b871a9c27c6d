/* Looks at addresses and sockets without touching their data. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "server/client_of.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>

uint64_t srv_client_key(const struct sockaddr *address)
{
    uint64_t key = 0;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in own;
        memcpy(&own, address, sizeof own);
        /* Apart from any IPv6 prefix: ::/64 has no clients. */
        key = own.sin_addr.s_addr;
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 own;
        memcpy(&own, address, sizeof own);
        memcpy(&key, own.sin6_addr.s6_addr, sizeof key);
    }
    return key;
}

bool srv_client_is_gone(int socket)
{
    struct pollfd end = {.fd = socket, .events = POLLRDHUP};
    return poll(&end, 1, 0) > 0 &&
           (end.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
