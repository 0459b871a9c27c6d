/* A hash table of addresses; it is as large as there are connections. */
#include "server/peers.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "server/client_of.h"

#define BUCKETS 1024u

struct srv_peer {
    struct srv_peer *next, **link;
    uint64_t key; /* by srv_client_key */
    unsigned count;
};

struct srv_peers {
    pthread_mutex_t lock;
    unsigned most;
    struct srv_peer *buckets[BUCKETS];
};

/* Multiplicative. Whoever has addresses enough to fill one bucket of it can
 * fill all connections just as well. */
static size_t bucket_of(uint64_t key)
{
    return (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 32) % BUCKETS;
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
static struct srv_peer *add(struct srv_peer **bucket, uint64_t key)
{
    struct srv_peer *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->key = key;
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
    uint64_t key = srv_client_key(address);
    struct srv_peer **bucket = &peers->buckets[bucket_of(key)];
    pthread_mutex_lock(&peers->lock);
    struct srv_peer *peer = *bucket;
    while (peer && peer->key != key)
        peer = peer->next;
    if (!peer)
        peer = add(bucket, key);
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
