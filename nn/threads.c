/* A small team of threads: they meet at a barrier that spins, then sleeps. */
#include "nn/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Steps of a network take some ten microseconds to milliseconds: those who
 * wait for the slowest spin about as long as falling asleep and being woken
 * would take. */
enum { SPINS = 4000 };

struct helper {
    pthread_t thread;
    struct nn_part part;
};

struct nn_threads {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    atomic_uint arrived; /* at the barrier, in this generation */
    atomic_uint generation;
    uint32_t count;
    void (*work)(void *job, struct nn_part part); /* NULL: end */
    void *job;
    struct helper helpers[]; /* [count - 1] */
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The last to arrive moves the generation on. The lock is taken for that, so
 * that no sleeper can miss it between its look and its sleep. */
static void meet(struct nn_threads *threads)
{
    unsigned generation =
        atomic_load_explicit(&threads->generation, memory_order_relaxed);

    if (atomic_fetch_add(&threads->arrived, 1) + 1 == threads->count) {
        atomic_store_explicit(&threads->arrived, 0, memory_order_relaxed);
        pthread_mutex_lock(&threads->lock);
        atomic_store(&threads->generation, generation + 1);
        pthread_cond_broadcast(&threads->moved);
        pthread_mutex_unlock(&threads->lock);
        return;
    }
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load(&threads->generation) != generation)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&threads->lock);
    while (atomic_load(&threads->generation) == generation)
        pthread_cond_wait(&threads->moved, &threads->lock);
    pthread_mutex_unlock(&threads->lock);
}

void nn_part_meet(struct nn_part part)
{
    if (part.count > 1)
        meet(part.threads);
}

/* Two meetings bound each job: one at its beginning, one at its end. */
static void *help(void *argument)
{
    const struct nn_part part = ((const struct helper *)argument)->part;
    struct nn_threads *threads = part.threads;

    for (;;) {
        meet(threads);
        if (!threads->work)
            return NULL;
        threads->work(threads->job, part);
        meet(threads);
    }
}

static bool start(struct nn_threads *threads, uint32_t index)
{
    struct helper *helper = &threads->helpers[index - 1];

    helper->part = (struct nn_part){index, threads->count, threads};
    return pthread_create(&helper->thread, NULL, help, helper) == 0;
}

/* Ends and frees a team of which the first `started` are there. */
static void end(struct nn_threads *threads, uint32_t started)
{
    threads->work = NULL;
    meet(threads);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(threads->helpers[i - 1].thread, NULL);
    pthread_cond_destroy(&threads->moved);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

enum api_status nn_threads_open(uint32_t count, struct nn_threads **threads,
                                struct api_error *error)
{
    struct nn_threads *made =
        calloc(1, sizeof *made + (count - 1) * sizeof made->helpers[0]);
    uint32_t started = 1;

    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for threads");
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->moved, NULL);
    made->count = count;
    while (started < count && start(made, started))
        started++;
    if (started == count) {
        *threads = made;
        return API_OK;
    }
    /* The missing ones arrive by proxy, so that the others can leave. */
    atomic_fetch_add(&made->arrived, count - started);
    end(made, started);
    return api_fail(error, API_INTERNAL, "cannot start thread %u of %u",
                    started + 1, count);
}

void nn_threads_close(struct nn_threads **threads)
{
    if (*threads)
        end(*threads, (*threads)->count);
    *threads = NULL;
}

void nn_threads_run(struct nn_threads *threads,
                    void (*work)(void *job, struct nn_part part), void *job)
{
    const struct nn_part part = {0, threads->count, threads};

    threads->work = work;
    threads->job = job;
    meet(threads);
    work(job, part);
    meet(threads);
}
