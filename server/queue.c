/* Mutex, condition variable, linked list: nothing cleverer is needed at a few
 * hundred jobs a second, each of them milliseconds long. */
#include "server/queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "server/monotonic.h"

struct srv_queue {
    struct srv_queue_options options;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* a job was added, or the queue closes */
    pthread_cond_t started; /* a worker is open, or failed to open */
    struct srv_job *first, **end;
    unsigned depth, running;
    bool closing, abandoned;
    unsigned opened, failed;
    struct api_error error; /* of the first worker that failed */
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

static void work(struct srv_queue *queue, void *worker)
{
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (!queue->first && !queue->closing)
            pthread_cond_wait(&queue->work, &queue->lock);
        if (!queue->first)
            break;
        struct srv_job *job = take(queue);
        queue->running++;
        pthread_mutex_unlock(&queue->lock);
        if (srv_now_us() > job->deadline_us)
            job->run(job, NULL, API_DEADLINE);
        else
            job->run(job, worker, API_OK);
        pthread_mutex_lock(&queue->lock);
        queue->running--;
    }
    pthread_mutex_unlock(&queue->lock);
}

static void *worker_main(void *argument)
{
    struct srv_queue *queue = argument;
    void *worker = NULL;
    struct api_error error = {API_OK, ""};
    enum api_status status =
        queue->options.open_worker(queue->options.context, &worker, &error);

    pthread_mutex_lock(&queue->lock);
    if (status == API_OK) {
        queue->opened++;
    } else if (queue->failed++ == 0) {
        queue->error = error;
        queue->error.status = status;
    }
    pthread_cond_signal(&queue->started);
    pthread_mutex_unlock(&queue->lock);

    if (status == API_OK) {
        work(queue, worker);
        queue->options.close_worker(&worker);
    }
    return NULL;
}

enum api_status srv_queue_open(const struct srv_queue_options *options,
                               struct srv_queue **queue,
                               struct api_error *error)
{
    struct srv_queue *made =
        calloc(1, sizeof *made + options->workers * sizeof made->threads[0]);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the queue");
    made->options = *options;
    made->end = &made->first;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->started, NULL);

    struct api_error why = {API_OK, ""};
    while (made->thread_count < options->workers) {
        if (pthread_create(&made->threads[made->thread_count], NULL,
                           worker_main, made) != 0) {
            api_fail(&why, API_INTERNAL, "cannot start worker thread %u",
                     made->thread_count + 1);
            break;
        }
        made->thread_count++;
    }
    pthread_mutex_lock(&made->lock);
    while (made->opened + made->failed < made->thread_count)
        pthread_cond_wait(&made->started, &made->lock);
    if (made->failed)
        why = made->error;
    pthread_mutex_unlock(&made->lock);

    if (why.status != API_OK) {
        srv_queue_close(&made);
        return api_fail(error, why.status, "%s", why.text);
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
    if (queue->depth < queue->options.capacity && !queue->abandoned) {
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
        job->run(job, NULL, API_OVERLOADED);
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
    pthread_cond_destroy(&old->started);
    pthread_cond_destroy(&old->work);
    pthread_mutex_destroy(&old->lock);
    free(old);
    *queue = NULL;
}
