/* A thread that looks over all connections a few times a second. */
#include "server/reaper.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "server/monotonic.h"

#define ROUND_US 100000

struct srv_reaper_entry {
    struct srv_reaper_entry *next, **link; /* under the reaper's lock */
    int socket;
    bool cut; /* under the lock: was shut down */
    _Atomic int64_t deadline_us;
};

struct srv_reaper {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_t thread;
    bool ending;
    struct srv_reaper_entry *first;
};

/* With the lock held, which keeps every socket in the list from being closed
 * (and its number from being given to another connection). */
static void look_over(struct srv_reaper *reaper)
{
    int64_t now_us = srv_now_us();
    for (struct srv_reaper_entry *entry = reaper->first; entry;
         entry = entry->next) {
        if (atomic_load(&entry->deadline_us) > now_us)
            continue;
        shutdown(entry->socket, SHUT_RDWR);
        entry->cut = true;
        atomic_store(&entry->deadline_us, SRV_NO_DEADLINE);
    }
}

static void *reaper_main(void *argument)
{
    struct srv_reaper *reaper = argument;
    pthread_mutex_lock(&reaper->lock);
    while (!reaper->ending) {
        look_over(reaper);
        int64_t wake_us = srv_now_us() + ROUND_US;
        struct timespec wake = {.tv_sec = (time_t)(wake_us / 1000000),
                                .tv_nsec = (long)(wake_us % 1000000) * 1000};
        while (!reaper->ending &&
               pthread_cond_timedwait(&reaper->ended, &reaper->lock, &wake) !=
                   ETIMEDOUT)
            continue;
    }
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

enum api_status srv_reaper_open(struct srv_reaper **reaper)
{
    struct srv_reaper *made = calloc(1, sizeof *made);
    if (!made)
        return API_NO_MEMORY;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&made->thread, NULL, reaper_main, made) != 0) {
        pthread_cond_destroy(&made->ended);
        pthread_mutex_destroy(&made->lock);
        free(made);
        return API_INTERNAL;
    }
    *reaper = made;
    return API_OK;
}

void srv_reaper_close(struct srv_reaper **reaper)
{
    struct srv_reaper *old = *reaper;
    if (!old)
        return;
    pthread_mutex_lock(&old->lock);
    old->ending = true;
    pthread_cond_signal(&old->ended);
    pthread_mutex_unlock(&old->lock);
    pthread_join(old->thread, NULL);
    pthread_cond_destroy(&old->ended);
    pthread_mutex_destroy(&old->lock);
    free(old);
    *reaper = NULL;
}

struct srv_reaper_entry *srv_reaper_add(struct srv_reaper *reaper, int socket)
{
    struct srv_reaper_entry *entry = malloc(sizeof *entry);
    if (!entry)
        return NULL;
    entry->socket = socket;
    entry->cut = false;
    atomic_init(&entry->deadline_us, SRV_NO_DEADLINE);
    pthread_mutex_lock(&reaper->lock);
    entry->next = reaper->first;
    entry->link = &reaper->first;
    if (entry->next)
        entry->next->link = &entry->next;
    reaper->first = entry;
    pthread_mutex_unlock(&reaper->lock);
    return entry;
}

bool srv_reaper_remove(struct srv_reaper *reaper,
                       struct srv_reaper_entry *entry)
{
    if (!entry)
        return false;
    pthread_mutex_lock(&reaper->lock);
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    bool cut = entry->cut;
    pthread_mutex_unlock(&reaper->lock);
    free(entry);
    return cut;
}

void srv_reaper_arm(struct srv_reaper_entry *entry, int64_t deadline_us)
{
    if (entry)
        atomic_store(&entry->deadline_us, deadline_us);
}
