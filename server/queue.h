/* A bounded queue of jobs and the worker threads that run them. */
#ifndef CLEAVE_SERVER_QUEUE_H
#define CLEAVE_SERVER_QUEUE_H

#include <stdint.h>

#include "api/status.h"

struct srv_queue;

/* One piece of work; usually a member of the request it belongs to. The
 * submitter owns it until srv_queue_submit succeeds, and has it back when
 * `run` is called, exactly once. */
struct srv_job {
    struct srv_job *next; /* the queue's */
    int64_t queued_us;    /* set by the queue, by srv_now_us */
    int64_t deadline_us;  /* by srv_now_us; not begun after it */
    /* `worker` is what open_worker made, or NULL if the verdict is not
     * API_OK: API_DEADLINE (expired while waiting) or API_OVERLOADED
     * (abandoned because the server stops). */
    void (*run)(struct srv_job *job, void *worker, enum api_status verdict);
};

struct srv_queue_options {
    unsigned capacity; /* jobs waiting, at least 1 */
    unsigned workers;  /* threads, at least 1 */
    void *context;     /* for the two below */
    /* Makes a worker's own state, in its thread, before any job runs. */
    enum api_status (*open_worker)(void *context, void **worker,
                                   struct api_error *error);
    void (*close_worker)(void **worker);
};

/* Starts the workers and waits until every one of them is open. If one fails,
 * its error is returned and none is left. */
enum api_status srv_queue_open(const struct srv_queue_options *options,
                               struct srv_queue **queue,
                               struct api_error *error);

/* Appends a job; never blocks. API_OVERLOADED if `capacity` jobs wait or the
 * queue is abandoned. Thread-safe. */
enum api_status srv_queue_submit(struct srv_queue *queue, struct srv_job *job);

/* Jobs that wait, and jobs that run. Thread-safe; may be old when read. */
unsigned srv_queue_depth(struct srv_queue *queue);
unsigned srv_queue_running(struct srv_queue *queue);

/* Hands back all waiting jobs as API_OVERLOADED, from the calling thread, and
 * refuses new ones. Running jobs finish. */
void srv_queue_abandon(struct srv_queue *queue);

/* Runs what waits, ends the workers, and sets *queue to NULL. NULL is fine. */
void srv_queue_close(struct srv_queue **queue);

#endif
