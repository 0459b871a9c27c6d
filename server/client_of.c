/* Looks at addresses and sockets without touching their data. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "server/client_of.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>

uint64_t srv_client_key(const struct sockaddr *address)
{
    /* An IPv4 address has the place of a prefix that IPv6 reserves, 0::/8. A
     * socket of both families shows it as ::ffff:a.b.c.d. */
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    unsigned char bytes[8] = {0, 0, 0xFF, 0xFF};
    uint64_t key = 0;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in own;
        memcpy(&own, address, sizeof own);
        memcpy(bytes + 4, &own.sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 own;
        memcpy(&own, address, sizeof own);
        if (memcmp(&own.sin6_addr, mapped, sizeof mapped) == 0)
            memcpy(bytes + 4, own.sin6_addr.s6_addr + 12, 4);
        else
            memcpy(bytes, own.sin6_addr.s6_addr, sizeof bytes);
    } else {
        return 0;
    }
    memcpy(&key, bytes, sizeof key);
    return key;
}

bool srv_client_is_gone(int socket)
{
    struct pollfd end = {.fd = socket, .events = POLLRDHUP};
    return poll(&end, 1, 0) > 0 &&
           (end.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
