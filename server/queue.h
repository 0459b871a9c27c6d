/* A bounded queue of jobs and the worker threads that run them. Clients take
 * turns: while several have jobs waiting, each gets one run before any gets
 * another; one client's jobs run in order. A full queue takes a job of a client
 * that has few waiting in place of the oldest of the one that has most. While
 * others wait, a job that would end after its deadline is not begun.
 *
 * Jobs may say that they are alike. Then a worker takes those that are next in
 * turn together, a batch, but leaves as many to each of the other workers: no
 * job waits for others to come, and no worker idles while a batch is run. */
#ifndef CLEAVE_SERVER_QUEUE_H
#define CLEAVE_SERVER_QUEUE_H

#include <stdint.h>

#include "api/status.h"

struct srv_queue;

/* Jobs of one kind take about as long as each other. */
#define SRV_JOB_KINDS 64u

/* One piece of work; usually a member of the request it belongs to. The
 * submitter owns it until srv_queue_submit succeeds, and has it back when
 * `run` is called, exactly once. */
struct srv_job {
    struct srv_job *next; /* the queue's; in `run`, the next of its batch */
    int64_t queued_us;    /* set by the queue, by srv_now_us */
    int64_t deadline_us;  /* by srv_now_us; not begun after it */
    uint64_t client;      /* whose turn it takes; see client_of.h */
    unsigned kind;        /* below SRV_JOB_KINDS; one takes equally long */
    const void *alike;    /* those of one value may run together; NULL: alone */
    /* Runs this job and, if the verdict is API_OK, those behind it by `next`.
     * The work is done only if the verdict is API_OK; else it is API_DEADLINE
     * (too late, or would be), API_QUOTA (gave way to another client's) or
     * API_OVERLOADED (abandoned because the server stops). */
    void (*run)(struct srv_job *job, enum api_status verdict);
};

struct srv_queue_options {
    unsigned workers;         /* threads, at least 1 */
    unsigned capacity;        /* most jobs that wait, at least 1 */
    unsigned client_capacity; /* most of them of one client; 0: all */
    unsigned batch;           /* most jobs that run together, at least 1 */
};

enum api_status srv_queue_open(const struct srv_queue_options *options,
                               struct srv_queue **queue,
                               struct api_error *error);

/* What srv_queue_submit would say to a job of this client now. */
enum api_status srv_queue_ask(struct srv_queue *queue, uint64_t client);

/* Appends a job; never blocks. API_OVERLOADED if `capacity` jobs wait or the
 * queue is abandoned, API_QUOTA if its client has too many waiting.
 * Thread-safe. */
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
