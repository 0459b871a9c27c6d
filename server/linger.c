/* A thread that discards what clients send after the end. */
#include "server/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/monotonic.h"

#define ROUND_MS 100 /* between looks at deadlines */

struct place {
    int64_t deadline_us;
    size_t bytes_left;
};

struct srv_linger {
    pthread_t thread;
    int64_t patience_us;
    int in, out;        /* of a pipe that carries descriptors to the thread */
    atomic_uint places; /* taken, in the pipe or with the thread */

    /* The thread's. polls[0] is the pipe's, polls[1 + i] that of rests[i]. */
    unsigned count;
    struct pollfd polls[1 + SRV_LINGER_PLACES];
    struct place rests[SRV_LINGER_PLACES];
};

/* False when there is nothing more to wait for, or no more patience. */
static bool discard(const struct pollfd *polled, struct place *rest)
{
    char waste[64 << 10];
    if (srv_now_us() >= rest->deadline_us)
        return false;
    if (polled->revents == 0)
        return true;
    ssize_t got = recv(polled->fd, waste, sizeof waste, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0 || (size_t)got >= rest->bytes_left)
        return false;
    rest->bytes_left -= (size_t)got;
    return true;
}

/* The last one moves to place `i`. */
static void let_go(struct srv_linger *linger, unsigned i)
{
    close(linger->polls[1 + i].fd);
    linger->count--;
    linger->polls[1 + i] = linger->polls[1 + linger->count];
    linger->rests[i] = linger->rests[linger->count];
    atomic_fetch_sub(&linger->places, 1);
}

/* False at the end. */
static bool receive(struct srv_linger *linger)
{
    int socket = -1;
    if (read(linger->out, &socket, sizeof socket) != sizeof socket)
        return false;
    unsigned i = linger->count++; /* srv_linger_take counted: there is room */
    linger->polls[1 + i] = (struct pollfd){.fd = socket, .events = POLLIN};
    linger->rests[i] = (struct place){
        .deadline_us = srv_now_us() + linger->patience_us,
        .bytes_left = SRV_LINGER_BYTES,
    };
    return true;
}

static void *linger_main(void *argument)
{
    struct srv_linger *linger = argument;
    bool ending = false;
    linger->polls[0] = (struct pollfd){.fd = linger->out, .events = POLLIN};
    while (!ending) {
        if (poll(linger->polls, 1 + linger->count,
                 linger->count > 0 ? ROUND_MS : -1) < 0)
            continue;
        /* Backwards: what moves has been looked at. */
        for (unsigned i = linger->count; i-- > 0;) {
            if (!discard(&linger->polls[1 + i], &linger->rests[i]))
                let_go(linger, i);
        }
        ending = linger->polls[0].revents != 0 && !receive(linger);
    }
    while (linger->count > 0)
        let_go(linger, linger->count - 1);
    return NULL;
}

enum api_status srv_linger_open(unsigned patience_ms,
                                struct srv_linger **linger)
{
    struct srv_linger *made = calloc(1, sizeof *made);
    int ends[2];
    if (!made)
        return API_NO_MEMORY;
    if (pipe(ends) != 0) {
        free(made);
        return API_INTERNAL;
    }
    made->out = ends[0];
    made->in = ends[1];
    if (patience_ms > SRV_LINGER_MS)
        patience_ms = SRV_LINGER_MS;
    made->patience_us = (int64_t)patience_ms * 1000;
    if (pthread_create(&made->thread, NULL, linger_main, made) != 0) {
        close(made->in);
        close(made->out);
        free(made);
        return API_INTERNAL;
    }
    *linger = made;
    return API_OK;
}

void srv_linger_close(struct srv_linger **linger)
{
    struct srv_linger *old = *linger;
    if (!old)
        return;
    close(old->in); /* which the thread sees */
    pthread_join(old->thread, NULL);
    close(old->out);
    free(old);
    *linger = NULL;
}

void srv_linger_take(struct srv_linger *linger, int socket)
{
    char byte;
    ssize_t next = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (next == 0 || (next < 0 && errno != EAGAIN))
        return; /* the client has closed */
    int own = -1;
    if (atomic_fetch_add(&linger->places, 1) < SRV_LINGER_PLACES)
        own = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (own >= 0) {
        /* The close that follows ends nothing any more, so this must. */
        shutdown(own, SHUT_WR);
        /* The pipe has room for many more than there are places. */
        if (write(linger->in, &own, sizeof own) == sizeof own)
            return;
        close(own);
    }
    atomic_fetch_sub(&linger->places, 1);
}
