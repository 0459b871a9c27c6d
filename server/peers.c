/* A hash table of addresses; it is as large as there are connections. */
#include "server/peers.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u

/* The first 64 bits of an IPv6 address, or all of an IPv4 address in its
 * IPv4-mapped form. */
struct address {
    unsigned char bytes[16];
};

struct srv_peer {
    struct srv_peer *next, **link;
    struct address address;
    unsigned count;
};

struct srv_peers {
    pthread_mutex_t lock;
    unsigned most;
    struct srv_peer *buckets[BUCKETS];
};

static struct address address_of(const struct sockaddr *given)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0,    0,
                                             0, 0, 0, 0, 0xFF, 0xFF};
    struct address address;
    memset(&address, 0, sizeof address);
    if (given->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, given, sizeof four);
        memcpy(address.bytes, mapped, sizeof mapped);
        memcpy(address.bytes + sizeof mapped, &four.sin_addr, 4);
    } else if (given->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, given, sizeof six);
        bool is_four = memcmp(&six.sin6_addr, mapped, sizeof mapped) == 0;
        memcpy(address.bytes, &six.sin6_addr, is_four ? 16 : 8);
    }
    return address;
}

/* FNV-1a. Whoever has addresses enough to fill one bucket of it can fill all
 * connections just as well. */
static size_t bucket_of(const struct address *address)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof address->bytes; i++)
        hash = (hash ^ address->bytes[i]) * 16777619u;
    return hash % BUCKETS;
}

enum api_status srv_peers_open(unsigned most, struct srv_peers **peers)
{
    struct srv_peers *made = calloc(1, sizeof *made);
    if (!made)
        return API_NO_MEMORY;
    pthread_mutex_init(&made->lock, NULL);
    made->most = most;
    *peers = made;
    return API_OK;
}

void srv_peers_close(struct srv_peers **peers)
{
    struct srv_peers *old = *peers;
    if (!old)
        return;
    pthread_mutex_destroy(&old->lock);
    free(old);
    *peers = NULL;
}

/* With the lock held. */
static struct srv_peer *add(struct srv_peer **bucket,
                            const struct address *address)
{
    struct srv_peer *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->address = *address;
    made->next = *bucket;
    made->link = bucket;
    if (made->next)
        made->next->link = &made->next;
    *bucket = made;
    return made;
}

struct srv_peer *srv_peers_enter(struct srv_peers *peers,
                                 const struct sockaddr *address)
{
    struct address wanted = address_of(address);
    struct srv_peer **bucket = &peers->buckets[bucket_of(&wanted)];
    pthread_mutex_lock(&peers->lock);
    struct srv_peer *peer = *bucket;
    while (peer && memcmp(&peer->address, &wanted, sizeof wanted) != 0)
        peer = peer->next;
    if (!peer)
        peer = add(bucket, &wanted);
    if (peer && peer->count == peers->most)
        peer = NULL;
    if (peer)
        peer->count++;
    pthread_mutex_unlock(&peers->lock);
    return peer;
}

void srv_peers_leave(struct srv_peers *peers, struct srv_peer *peer)
{
    if (!peer)
        return;
    pthread_mutex_lock(&peers->lock);
    if (--peer->count == 0) {
        *peer->link = peer->next;
        if (peer->next)
            peer->next->link = peer->link;
        free(peer);
    }
    pthread_mutex_unlock(&peers->lock);
}
