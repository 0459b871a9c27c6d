/* The device's own answer, begun while the server may still give one. */
#include "client/hedge.h"

#include <stdlib.h>
#include <string.h>

#include "client/aside.h"
#include "client/client.h"
#include "client/clock.h"

/* The handle's lock guards it. */
struct cli_hedge {
    struct cli_aside aside;
    pthread_cond_t change;
    double begin_ms;
    bool settled; /* by the server: nobody waits for the device */
    bool begun, done;
    struct cli_job job;
    enum cleave_status status;
    struct cli_hedge *next; /* of the handle's stragglers */
    uint8_t jpeg[];
};

static void wait_to_begin(struct cli_hedge *hedge)
{
    double begin_ms = hedge->begin_ms;
    struct timespec until = cli_timespec(begin_ms);
    while (!hedge->settled && cli_now_ms() < begin_ms)
        pthread_cond_timedwait(&hedge->change, &hedge->job.handle->lock,
                               &until);
}

static void *run(void *context)
{
    struct cli_hedge *hedge = context;
    struct cleave *handle = hedge->job.handle;
    cli_client_lock(handle);
    wait_to_begin(hedge);
    if (!hedge->settled) {
        hedge->begun = true;
        hedge->status = cli_job_answer_locally(
            &hedge->job, "server too slow: the device was sooner");
    }
    hedge->done = true;
    cli_aside_call_off(&hedge->aside);
    pthread_cond_broadcast(&hedge->change);
    cli_client_unlock(handle);
    return NULL;
}

static void end(struct cli_hedge *hedge)
{
    cli_aside_end(&hedge->aside);
    pthread_cond_destroy(&hedge->change);
    free(hedge);
}

static void end_straggler(struct cleave *handle)
{
    struct cli_hedge *first = handle->stragglers;
    handle->stragglers = first->next;
    end(first);
}

struct cli_hedge *cli_hedge_open(const struct cli_job *job, double begin_ms)
{
    struct cleave *handle = job->handle;
    while (handle->stragglers && handle->stragglers->done)
        end_straggler(handle);
    if (handle->stragglers)
        return NULL;
    struct cli_hedge *made = calloc(1, sizeof *made + job->jpeg_bytes);
    if (!made)
        return NULL;
    memcpy(made->jpeg, job->jpeg, job->jpeg_bytes);
    made->begin_ms = begin_ms;
    made->job = (struct cli_job){.handle = handle,
                                 .number = job->number,
                                 .jpeg = made->jpeg,
                                 .jpeg_bytes = job->jpeg_bytes,
                                 .until_ms = job->until_ms,
                                 .decoded = job->decoded,
                                 .decode_ms = job->decode_ms};
    cli_condition_init(&made->change);
    if (cli_aside_begin(&made->aside, run, made))
        return made;
    end(made);
    return NULL;
}

const int *cli_hedge_off_fd(const struct cli_hedge *hedge)
{
    return &hedge->aside.off_fd;
}

bool cli_hedge_close(struct cli_hedge *hedge, bool is_wanted,
                     struct cli_job *job, enum cleave_status *status)
{
    struct cleave *handle = job->handle;
    bool is_answer = is_wanted && hedge->begun;
    hedge->settled = true;
    pthread_cond_broadcast(&hedge->change);
    while (!hedge->done && (is_answer || !hedge->begun))
        pthread_cond_wait(&hedge->change, &handle->lock);
    if (is_answer) {
        job->result = hedge->job.result;
        job->error = hedge->job.error;
        *status = hedge->status;
    }
    if (hedge->done) {
        end(hedge);
    } else {
        hedge->next = handle->stragglers;
        handle->stragglers = hedge;
    }
    return is_answer;
}

void cli_hedge_end(struct cleave *handle)
{
    while (handle->stragglers)
        end_straggler(handle);
}
