/* Mutex, condition variable, linked list: nothing cleverer is needed at a few
 * hundred jobs a second, each of them milliseconds long. */
#include "server/queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "server/monotonic.h"

struct srv_queue {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job was added, or the queue closes */
    struct srv_job *first, **end;
    unsigned capacity, depth, running;
    bool closing, abandoned;
    unsigned thread_count;
    pthread_t threads[];
};

/* With the lock held. */
static struct srv_job *take(struct srv_queue *queue)
{
    struct srv_job *job = queue->first;
    queue->first = job->next;
    if (!queue->first)
        queue->end = &queue->first;
    queue->depth--;
    return job;
}

static void *work(void *argument)
{
    struct srv_queue *queue = argument;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (!queue->first && !queue->closing)
            pthread_cond_wait(&queue->work, &queue->lock);
        if (!queue->first)
            break;
        struct srv_job *job = take(queue);
        queue->running++;
        pthread_mutex_unlock(&queue->lock);
        job->run(job, srv_now_us() > job->deadline_us ? API_DEADLINE : API_OK);
        pthread_mutex_lock(&queue->lock);
        queue->running--;
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

enum api_status srv_queue_open(unsigned capacity, unsigned workers,
                               struct srv_queue **queue,
                               struct api_error *error)
{
    struct srv_queue *made =
        calloc(1, sizeof *made + workers * sizeof made->threads[0]);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the queue");
    made->capacity = capacity;
    made->end = &made->first;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->work, NULL);
    for (; made->thread_count < workers; made->thread_count++) {
        if (pthread_create(&made->threads[made->thread_count], NULL, work,
                           made) == 0)
            continue;
        api_fail(error, API_INTERNAL, "cannot start worker thread %u",
                 made->thread_count + 1);
        srv_queue_close(&made);
        return API_INTERNAL;
    }
    *queue = made;
    return API_OK;
}

enum api_status srv_queue_submit(struct srv_queue *queue, struct srv_job *job)
{
    enum api_status status = API_OVERLOADED;
    job->next = NULL;
    job->queued_us = srv_now_us();
    pthread_mutex_lock(&queue->lock);
    if (queue->depth < queue->capacity && !queue->abandoned) {
        *queue->end = job;
        queue->end = &job->next;
        queue->depth++;
        pthread_cond_signal(&queue->work);
        status = API_OK;
    }
    pthread_mutex_unlock(&queue->lock);
    return status;
}

unsigned srv_queue_depth(struct srv_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    unsigned depth = queue->depth;
    pthread_mutex_unlock(&queue->lock);
    return depth;
}

unsigned srv_queue_running(struct srv_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    unsigned running = queue->running;
    pthread_mutex_unlock(&queue->lock);
    return running;
}

void srv_queue_abandon(struct srv_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->abandoned = true;
    struct srv_job *job = queue->first;
    queue->first = NULL;
    queue->end = &queue->first;
    queue->depth = 0;
    pthread_mutex_unlock(&queue->lock);
    while (job) {
        struct srv_job *next = job->next; /* `run` gives the job away */
        job->run(job, API_OVERLOADED);
        job = next;
    }
}

void srv_queue_close(struct srv_queue **queue)
{
    struct srv_queue *old = *queue;
    if (!old)
        return;
    pthread_mutex_lock(&old->lock);
    old->closing = true;
    pthread_cond_broadcast(&old->work);
    pthread_mutex_unlock(&old->lock);
    for (unsigned i = 0; i < old->thread_count; i++)
        pthread_join(old->threads[i], NULL);
    pthread_cond_destroy(&old->work);
    pthread_mutex_destroy(&old->lock);
    free(old);
    *queue = NULL;
}
