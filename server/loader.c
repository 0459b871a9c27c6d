/* A queue with one thread, which gives way to those that answer requests. */
#include "server/loader.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "server/log.h"

/* Requests to load and unload that may wait. */
#define CAPACITY 16
#define NICENESS 10

struct srv_loader {
    struct srv_registry *registry;
    struct srv_queue *queue;
    struct srv_job first, rescan;
    atomic_bool rescanning; /* the job is the queue's */
};

/* Linux counts niceness by thread, so this leaves the workers alone. */
static void give_way(struct srv_job *job, enum api_status verdict)
{
    (void)verdict;
    (void)job;
    setpriority(PRIO_PROCESS, 0, NICENESS);
}

static void rescan(struct srv_job *job, enum api_status verdict)
{
    struct srv_loader *loader =
        (struct srv_loader *)(void *)((char *)job -
                                      offsetof(struct srv_loader, rescan));
    /* First, so that what changes from now on is seen by another scan. */
    atomic_store(&loader->rescanning, false);
    struct api_error error;
    if (verdict == API_OK &&
        srv_registry_scan(loader->registry, &error) != API_OK)
        srv_log_message(SRV_ERROR, "models_unreadable", error.text);
}

enum api_status srv_loader_open(struct srv_registry *registry,
                                struct srv_loader **loader,
                                struct api_error *error)
{
    struct srv_loader *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the loader");
    enum api_status status = srv_queue_open(
        &(struct srv_queue_options){
            .workers = 1, .capacity = CAPACITY, .batch = 1},
        &made->queue, error);
    if (status != API_OK) {
        free(made);
        return status;
    }
    made->registry = registry;
    made->first.run = give_way;
    made->first.deadline_us = INT64_MAX;
    srv_queue_submit(made->queue, &made->first); /* empty: it is accepted */
    *loader = made;
    return API_OK;
}

void srv_loader_close(struct srv_loader **loader)
{
    struct srv_loader *old = *loader;
    if (!old)
        return;
    srv_queue_close(&old->queue);
    free(old);
    *loader = NULL;
}

void srv_loader_rescan(struct srv_loader *loader)
{
    if (atomic_exchange(&loader->rescanning, true))
        return;
    loader->rescan.run = rescan;
    loader->rescan.deadline_us = INT64_MAX;
    if (srv_queue_submit(loader->queue, &loader->rescan) != API_OK)
        atomic_store(&loader->rescanning, false);
}

enum api_status srv_loader_submit(struct srv_loader *loader,
                                  struct srv_job *job)
{
    return srv_queue_submit(loader->queue, job);
}

void srv_loader_stop(struct srv_loader *loader)
{
    const struct timespec pause = {0, 10000000};
    srv_queue_abandon(loader->queue);
    while (srv_queue_running(loader->queue) > 0)
        nanosleep(&pause, NULL);
}
