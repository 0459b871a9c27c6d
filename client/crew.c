/* Pictures submitted for later: the threads that answer them. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/clock.h"

/* One picture in hand. */
struct task {
    const void *jpeg;
    size_t jpeg_bytes;
    char point[48];
    double until_ms;
    cleave_callback callback;
    void *context;
};

struct cli_crew {
    struct cleave *handle;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;  /* a task has come, or the end */
    pthread_cond_t room;  /* a picture was answered */
    struct task *tasks;   /* [thread_count] a ring of those that wait */
    unsigned first, waiting;
    unsigned in_progress; /* waiting or being worked on */
    bool closing;
    unsigned thread_count;
    pthread_t threads[];
};

static void answer(struct cleave *handle, const struct task *task,
                   struct cleave_result *result)
{
    struct cleave_error error = {.text = ""};
    enum cleave_status status =
        cli_classify(handle, task->jpeg, task->jpeg_bytes, task->point,
                     task->until_ms, result, &error);
    task->callback(task->context, status, status == CLEAVE_OK ? result : NULL,
                   status == CLEAVE_OK ? NULL : &error);
}

static void *work(void *context)
{
    struct cli_crew *crew = context;
    struct cleave_result result;
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->waiting == 0 && !crew->closing)
            pthread_cond_wait(&crew->work, &crew->lock);
        if (crew->waiting == 0)
            break;
        struct task task = crew->tasks[crew->first];
        crew->first = (crew->first + 1) % crew->thread_count;
        crew->waiting--;
        pthread_mutex_unlock(&crew->lock);
        answer(crew->handle, &task, &result);
        pthread_mutex_lock(&crew->lock);
        crew->in_progress--;
        pthread_cond_broadcast(&crew->room);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

void cli_crew_close(struct cli_crew **crew)
{
    struct cli_crew *old = *crew;
    if (!old)
        return;
    pthread_mutex_lock(&old->lock);
    old->closing = true;
    pthread_cond_broadcast(&old->work);
    pthread_mutex_unlock(&old->lock);
    for (unsigned i = 0; i < old->thread_count; i++)
        pthread_join(old->threads[i], NULL);
    pthread_mutex_destroy(&old->lock);
    pthread_cond_destroy(&old->work);
    pthread_cond_destroy(&old->room);
    free(old->tasks);
    free(old);
    *crew = NULL;
}

/* Starts the threads, or as many as the system allows: NULL if none. */
static struct cli_crew *make_crew(struct cleave *handle)
{
    unsigned wanted = handle->threads;
    struct cli_crew *made =
        calloc(1, sizeof *made + wanted * sizeof *made->threads);
    if (!made)
        return NULL;
    made->handle = handle;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->room, NULL);
    made->tasks = calloc(wanted, sizeof *made->tasks);
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&made->lock); /* the count is not theirs to read yet */
    while (made->tasks && made->thread_count < wanted &&
           pthread_create(&made->threads[made->thread_count], NULL, work,
                          made) == 0)
        made->thread_count++;
    pthread_mutex_unlock(&made->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (made->thread_count == 0)
        cli_crew_close(&made);
    return made;
}

static struct cli_crew *get_crew(struct cleave *handle)
{
    cli_client_lock(handle);
    if (!handle->crew)
        handle->crew = make_crew(handle);
    struct cli_crew *crew = handle->crew;
    cli_client_unlock(handle);
    return crew;
}

enum cleave_status cleave_submit(struct cleave *handle, const void *jpeg,
                                 size_t jpeg_bytes, const char *point,
                                 unsigned deadline_ms, cleave_callback callback,
                                 void *context, struct cleave_error *error)
{
    struct task task = {.jpeg = jpeg,
                        .jpeg_bytes = jpeg_bytes,
                        .until_ms = deadline_ms > 0
                                        ? cli_now_ms() + (double)deadline_ms
                                        : INFINITY,
                        .callback = callback,
                        .context = context};
    int bytes =
        snprintf(task.point, sizeof task.point, "%s", point ? point : "auto");
    if (bytes < 0 || (size_t)bytes >= sizeof task.point)
        return cli_client_fail(error, CLEAVE_ERROR_USAGE,
                               "no point has so long a name");
    struct cli_crew *crew = get_crew(handle);
    if (!crew)
        return cli_client_fail(error, CLEAVE_ERROR_SYSTEM,
                               "no thread can be started");
    pthread_mutex_lock(&crew->lock);
    while (crew->in_progress == crew->thread_count)
        pthread_cond_wait(&crew->room, &crew->lock);
    unsigned last = (crew->first + crew->waiting) % crew->thread_count;
    crew->tasks[last] = task;
    crew->waiting++;
    crew->in_progress++;
    pthread_cond_signal(&crew->work);
    pthread_mutex_unlock(&crew->lock);
    return CLEAVE_OK;
}

void cleave_wait(struct cleave *handle)
{
    cli_client_lock(handle);
    struct cli_crew *crew = handle->crew;
    cli_client_unlock(handle);
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    while (crew->in_progress > 0)
        pthread_cond_wait(&crew->room, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
}
