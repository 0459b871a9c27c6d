/* Mutex, condition variable, a list for each client and one of clients: round
 * robin as in J. Nagle, "On Packet Switches with Infinite Storage" (RFC 970),
 * dropping from the longest list as in P. McKenney, "Stochastic Fairness
 * Queueing" (1990). How long a job will take is foretold as TCP does a round
 * trip (RFC 6298).
 * Nothing cleverer is needed at a few hundred jobs a second, each of them
 * milliseconds long. */
#include "server/queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "server/monotonic.h"

#define BUCKET_COUNT 256u

/* The waiting jobs of one client; exists only while there are any. */
struct lane {
    uint64_t client;
    struct srv_job *first, **end;
    unsigned depth;
    struct lane *next_turn;   /* or next spare lane */
    struct lane *next_bucket; /* in its bucket */
};

/* How long jobs of a kind took; zero before the first. */
struct history {
    int64_t mean_us, deviation_us;
};

struct srv_queue {
    pthread_mutex_t lock;
    pthread_cond_t work;             /* a job was added, or the queue closes */
    struct lane *turns, **turns_end; /* whose turn is next */
    struct lane *buckets[BUCKET_COUNT];
    struct lane *spare, *lanes; /* as many as jobs can wait */
    struct srv_queue_options options;
    unsigned depth, running;
    bool closing, abandoned;
    struct history histories[SRV_JOB_KINDS];
    unsigned thread_count;
    pthread_t threads[];
};

/* Everything down to `work` is called with the lock held. */

static struct lane **bucket_of(struct srv_queue *queue, uint64_t client)
{
    /* Fibonacci hashing: the high bits of the product. */
    return &queue->buckets[client * UINT64_C(0x9E3779B97F4A7C15) >> 56];
}

static struct lane *find_lane(struct srv_queue *queue, uint64_t client)
{
    struct lane *lane = *bucket_of(queue, client);
    while (lane && lane->client != client)
        lane = lane->next_bucket;
    return lane;
}

static void queue_up(struct srv_queue *queue, struct lane *lane)
{
    lane->next_turn = NULL;
    *queue->turns_end = lane;
    queue->turns_end = &lane->next_turn;
}

static struct lane *open_lane(struct srv_queue *queue, uint64_t client)
{
    struct lane *lane = queue->spare, **bucket = bucket_of(queue, client);
    queue->spare = lane->next_turn;
    lane->client = client;
    lane->first = NULL;
    lane->end = &lane->first;
    lane->next_bucket = *bucket;
    *bucket = lane;
    queue_up(queue, lane);
    return lane;
}

static void close_lane(struct srv_queue *queue, struct lane *lane)
{
    struct lane **link = bucket_of(queue, lane->client);
    while (*link != lane)
        link = &(*link)->next_bucket;
    *link = lane->next_bucket;
    lane->next_turn = queue->spare;
    queue->spare = lane;
}

static struct srv_job *pop(struct srv_queue *queue, struct lane *lane)
{
    struct srv_job *job = lane->first;
    lane->first = job->next;
    job->next = NULL;
    lane->depth--;
    queue->depth--;
    return job;
}

/* The next job; NULL if none waits. */
static struct srv_job *take(struct srv_queue *queue)
{
    struct lane *lane = queue->turns;
    if (!lane)
        return NULL;
    queue->turns = lane->next_turn;
    if (!queue->turns)
        queue->turns_end = &queue->turns;
    struct srv_job *job = pop(queue, lane);
    if (lane->first)
        queue_up(queue, lane);
    else
        close_lane(queue, lane);
    return job;
}

/* The next job and, behind it by `next`, those that run with it: they come next
 * in turn, so that nobody's turn is passed over. NULL if none waits. */
static struct srv_job *take_batch(struct srv_queue *queue, unsigned *count)
{
    struct srv_job *first = take(queue), *last = first;
    unsigned most = 1 + queue->depth / queue->options.workers;
    if (most > queue->options.batch)
        most = queue->options.batch;
    *count = first != NULL;
    while (first && first->alike && *count < most && queue->turns &&
           queue->turns->first->alike == first->alike) {
        last->next = take(queue);
        last = last->next;
        ++*count;
    }
    return first;
}

/* Of a queue that is not empty. */
static struct lane *longest(const struct srv_queue *queue)
{
    struct lane *best = queue->turns;
    for (struct lane *lane = best; lane; lane = lane->next_turn) {
        if (lane->depth > best->depth)
            best = lane;
    }
    return best;
}

/* May a client add a job? Perhaps in place of another's: *gives_way is then
 * that one's lane, which keeps at least one, else NULL. */
static enum api_status judge(struct srv_queue *queue, uint64_t client,
                             struct lane **gives_way)
{
    const struct lane *lane = find_lane(queue, client);
    unsigned depth = lane ? lane->depth : 0;
    *gives_way = NULL;
    if (queue->abandoned)
        return API_OVERLOADED;
    if (queue->depth == queue->options.capacity) {
        *gives_way = longest(queue);
        if (depth + 1 >= (*gives_way)->depth)
            return API_OVERLOADED;
    }
    return depth < queue->options.client_capacity ? API_OK : API_QUOTA;
}

static void put(struct srv_queue *queue, struct lane *lane, struct srv_job *job)
{
    *lane->end = job;
    lane->end = &job->next;
    lane->depth++;
    queue->depth++;
}

static void learn(struct history *history, int64_t took_us)
{
    if (history->mean_us == 0) {
        history->mean_us = took_us;
        history->deviation_us = took_us / 2;
        return;
    }
    int64_t error_us = took_us - history->mean_us;
    history->deviation_us +=
        ((error_us < 0 ? -error_us : error_us) - history->deviation_us) / 4;
    history->mean_us += error_us / 8;
}

/* A job that would be done too late gives its time to those behind it, or
 * under overload every answer would come just after its deadline. If there is
 * none behind it, there is nothing to lose by trying, and a forecast that
 * refused everything could not be put right. */
static bool is_too_late(const struct srv_queue *queue,
                        const struct srv_job *job, int64_t now_us)
{
    const struct history *history = &queue->histories[job->kind];
    int64_t done_us = now_us;
    if (queue->depth > 0)
        done_us += history->mean_us + 4 * history->deviation_us;
    return done_us > job->deadline_us;
}

/* Parts a batch into what is to be run and what would be too late. */
static struct srv_job *part(const struct srv_queue *queue, struct srv_job *jobs,
                            int64_t now_us, struct srv_job **late)
{
    struct srv_job *in_time = NULL, **end = &in_time;
    for (struct srv_job *next; jobs; jobs = next) {
        struct srv_job ***to = &end;
        next = jobs->next;
        jobs->next = NULL;
        if (is_too_late(queue, jobs, now_us))
            to = &late;
        **to = jobs;
        *to = &jobs->next;
    }
    return in_time;
}

static void *work(void *argument)
{
    struct srv_queue *queue = argument;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (!queue->turns && !queue->closing)
            pthread_cond_wait(&queue->work, &queue->lock);
        unsigned count;
        struct srv_job *jobs = take_batch(queue, &count);
        if (!jobs)
            break;
        queue->running += count;
        int64_t begun_us = srv_now_us();
        struct history *history = &queue->histories[jobs->kind];
        struct srv_job *late = NULL;
        struct srv_job *in_time = part(queue, jobs, begun_us, &late);
        pthread_mutex_unlock(&queue->lock);
        for (struct srv_job *next; late; late = next) {
            next = late->next;
            late->next = NULL; /* each by itself */
            late->run(late, API_DEADLINE); /* after which it may be gone */
        }
        begun_us = srv_now_us();
        if (in_time)
            in_time->run(in_time, API_OK);
        pthread_mutex_lock(&queue->lock);
        if (in_time)
            learn(history, srv_now_us() - begun_us);
        queue->running -= count;
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

enum api_status srv_queue_open(const struct srv_queue_options *options,
                               struct srv_queue **queue,
                               struct api_error *error)
{
    const unsigned workers = options->workers, capacity = options->capacity;
    struct srv_queue *made =
        calloc(1, sizeof *made + workers * sizeof made->threads[0]);
    struct lane *lanes = calloc(capacity, sizeof *lanes);
    if (!made || !lanes) {
        free(made);
        free(lanes);
        return api_fail(error, API_NO_MEMORY, "no memory for the queue");
    }
    made->options = *options;
    if (options->client_capacity == 0)
        made->options.client_capacity = capacity;
    made->turns_end = &made->turns;
    made->lanes = lanes;
    for (unsigned i = 0; i < capacity; i++) {
        lanes[i].next_turn = made->spare;
        made->spare = &lanes[i];
    }
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

enum api_status srv_queue_ask(struct srv_queue *queue, uint64_t client)
{
    struct lane *gives_way;
    pthread_mutex_lock(&queue->lock);
    enum api_status status = judge(queue, client, &gives_way);
    pthread_mutex_unlock(&queue->lock);
    return status;
}

enum api_status srv_queue_submit(struct srv_queue *queue, struct srv_job *job)
{
    struct lane *gives_way;
    struct srv_job *displaced = NULL;
    job->next = NULL;
    job->queued_us = srv_now_us();
    pthread_mutex_lock(&queue->lock);
    enum api_status status = judge(queue, job->client, &gives_way);
    if (status == API_OK) {
        if (gives_way)
            displaced = pop(queue, gives_way);
        struct lane *lane = find_lane(queue, job->client);
        put(queue, lane ? lane : open_lane(queue, job->client), job);
        pthread_cond_signal(&queue->work);
    }
    pthread_mutex_unlock(&queue->lock);
    if (displaced)
        displaced->run(displaced, API_QUOTA);
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
    for (struct srv_job *job; (job = take(queue));) {
        pthread_mutex_unlock(&queue->lock);
        job->run(job, API_OVERLOADED);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
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
    free(old->lanes);
    free(old);
    *queue = NULL;
}
