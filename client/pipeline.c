/* Pictures on their way from a source through a handle to a report. */
#include "client/pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/clock.h"
#include "client/cmd.h"
#include "client/stop.h"

/* How far reading may be ahead of reporting, beyond what is in flight. */
#define AHEAD 4u

#define METRICS_EVERY_MS 1000.0

/* A picture's place, from reading to reporting. */
struct slot {
    struct pipeline *pipeline;
    struct cli_picture picture;
    uint64_t dropped; /* pictures that this one took the place of */
    double start_ms, total_ms;
    bool done, answered;
    struct cleave_result result;
    char why[sizeof((struct cleave_error *)0)->text];
};

/* Pictures have numbers, counted up as they pass each stage: reported <=
 * submitted <= read. Number n is at home in slot n % slot_count. */
struct pipeline {
    const struct cli_pipeline_plan *plan;
    struct slot *slots;
    unsigned slot_count;
    pthread_mutex_t lock; /* guards what follows, and slots between stages */
    pthread_cond_t moved; /* a picture passed a stage, or reading ended */
    uint64_t read, submitted, reported;
    unsigned in_flight;
    bool ended; /* nothing more will be read */

    double metrics_written_ms;
    bool metrics_failed, stdout_failed, failed;
};

static struct slot *slot_of(struct pipeline *pipeline, uint64_t number)
{
    return &pipeline->slots[number % pipeline->slot_count];
}

/* The picture read last if it may be dropped for a newer one; else NULL. */
static struct slot *find_stale(struct pipeline *pipeline,
                               const struct cli_picture *newer)
{
    if (!pipeline->plan->latest || !newer->live ||
        pipeline->submitted == pipeline->read)
        return NULL;
    struct slot *last = slot_of(pipeline, pipeline->read - 1);
    return last->picture.live && last->picture.jpeg ? last : NULL;
}

/* Puts a picture in its place; waits for one. With `latest` it takes that of
 * the one that waits, so that reading need not. */
static void put(struct pipeline *pipeline, struct cli_picture *picture)
{
    pthread_mutex_lock(&pipeline->lock);
    struct slot *stale = find_stale(pipeline, picture);
    while (!stale &&
           pipeline->read - pipeline->reported == pipeline->slot_count) {
        pthread_cond_wait(&pipeline->moved, &pipeline->lock);
        stale = find_stale(pipeline, picture);
    }
    if (stale) {
        cli_picture_free(&stale->picture);
        stale->picture = *picture;
        stale->dropped++;
    } else {
        struct slot *slot = slot_of(pipeline, pipeline->read++);
        slot->picture = *picture;
        slot->dropped = 0;
        slot->done = slot->answered = false;
    }
    pthread_cond_broadcast(&pipeline->moved);
    pthread_mutex_unlock(&pipeline->lock);
}

static void *read_source(void *context)
{
    struct pipeline *pipeline = context;
    struct cli_picture picture;
    while (cli_source_next(pipeline->plan->source, &picture))
        put(pipeline, &picture);
    pthread_mutex_lock(&pipeline->lock);
    pipeline->ended = true;
    pthread_cond_broadcast(&pipeline->moved);
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}

/* In a thread of the handle. */
static void on_answer(void *context, enum cleave_status status,
                      const struct cleave_result *result,
                      const struct cleave_error *error)
{
    struct slot *slot = context;
    struct pipeline *pipeline = slot->pipeline;
    slot->total_ms = cli_now_ms() - slot->start_ms;
    slot->answered = status == CLEAVE_OK;
    if (slot->answered)
        slot->result = *result;
    else
        memcpy(slot->why, error->text, sizeof slot->why);
    pthread_mutex_lock(&pipeline->lock);
    slot->done = true;
    pipeline->in_flight--;
    pthread_cond_broadcast(&pipeline->moved);
    pthread_mutex_unlock(&pipeline->lock);
}

/* Hands the next picture to the handle, without the lock. */
static void submit(struct pipeline *pipeline, struct slot *slot)
{
    const struct cli_pipeline_plan *plan = pipeline->plan;
    struct cleave_error error = {.text = ""};
    slot->start_ms = cli_now_ms();
    if (slot->picture.jpeg &&
        cleave_submit(plan->handle, slot->picture.jpeg,
                      slot->picture.jpeg_bytes, plan->point, plan->deadline_ms,
                      on_answer, slot, &error) == CLEAVE_OK)
        return;
    if (!slot->picture.jpeg)
        memcpy(error.text, slot->picture.why, sizeof slot->picture.why);
    on_answer(slot, CLEAVE_ERROR_PICTURE, NULL, &error);
}

static void write_metrics(struct pipeline *pipeline, bool at_once)
{
    const struct cli_pipeline_plan *plan = pipeline->plan;
    double now_ms = cli_now_ms();
    if (!plan->metrics_path || pipeline->metrics_failed ||
        (!at_once && now_ms - pipeline->metrics_written_ms < METRICS_EVERY_MS))
        return;
    pipeline->metrics_written_ms = now_ms;
    if (cli_metrics_write(plan->metrics, plan->metrics_path))
        return;
    pipeline->metrics_failed = true;
    cmd_complain("cannot write %s any more: %s", plan->metrics_path,
                 strerror(errno));
}

/* Reports the oldest picture, without the lock. */
static void report(struct pipeline *pipeline, struct slot *slot)
{
    const struct cli_pipeline_plan *plan = pipeline->plan;
    struct cli_outcome outcome = {.picture = &slot->picture,
                                  .result =
                                      slot->answered ? &slot->result : NULL,
                                  .why = slot->why,
                                  .total_ms = slot->total_ms,
                                  .dropped = slot->dropped};
    plan->metrics->dropped += slot->dropped;
    if (slot->answered)
        cli_metrics_answered(plan->metrics, &slot->result,
                             slot->total_ms * 1e-3);
    else
        plan->metrics->failed++;
    pipeline->failed |= !slot->answered;
    /* Nobody reads any more after a failure to write. */
    if (!pipeline->stdout_failed && !cli_report_add(plan->report, &outcome)) {
        (void)cmd_finish(CMD_OK); /* complains */
        pipeline->stdout_failed = true;
        cli_stop_ask();
    }
    write_metrics(pipeline, false);
    cli_picture_free(&slot->picture);
}

/* What is due next: a report, for room, then a picture for the handle. False
 * at the end of all. Called and left with the lock. */
static bool step(struct pipeline *pipeline)
{
    const struct cli_pipeline_plan *plan = pipeline->plan;
    struct slot *oldest = slot_of(pipeline, pipeline->reported);
    if (pipeline->reported < pipeline->submitted && oldest->done) {
        pthread_mutex_unlock(&pipeline->lock);
        report(pipeline, oldest);
        pthread_mutex_lock(&pipeline->lock);
        pipeline->reported++;
        pthread_cond_broadcast(&pipeline->moved);
        return true;
    }
    /* One slot stays free, so that a newer picture finds a place. */
    if (pipeline->submitted < pipeline->read &&
        pipeline->in_flight < plan->in_flight &&
        pipeline->submitted - pipeline->reported < pipeline->slot_count - 1) {
        struct slot *next = slot_of(pipeline, pipeline->submitted++);
        pipeline->in_flight++;
        pthread_mutex_unlock(&pipeline->lock);
        submit(pipeline, next);
        pthread_mutex_lock(&pipeline->lock);
        return true;
    }
    if (pipeline->ended && pipeline->reported == pipeline->read)
        return false;
    pthread_cond_wait(&pipeline->moved, &pipeline->lock);
    return true;
}

static bool run(struct pipeline *pipeline)
{
    pthread_t reader;
    if (pthread_create(&reader, NULL, read_source, pipeline) != 0) {
        cmd_complain("no thread can be started");
        return false;
    }
    cli_report_begin(pipeline->plan->report);
    pthread_mutex_lock(&pipeline->lock);
    while (step(pipeline))
        ;
    pthread_mutex_unlock(&pipeline->lock);
    pthread_join(reader, NULL);
    cleave_wait(pipeline->plan->handle); /* for the last callback's return */
    write_metrics(pipeline, true);
    cli_report_end(pipeline->plan->report);
    return !pipeline->failed && !pipeline->stdout_failed &&
           !cli_source_unfinished(pipeline->plan->source);
}

bool cli_pipeline_run(const struct cli_pipeline_plan *plan)
{
    struct pipeline pipeline = {.plan = plan,
                                .slot_count = plan->in_flight + AHEAD};
    pipeline.slots = calloc(pipeline.slot_count, sizeof *pipeline.slots);
    if (!pipeline.slots) {
        cmd_complain("out of memory");
        return false;
    }
    for (unsigned i = 0; i < pipeline.slot_count; i++)
        pipeline.slots[i].pipeline = &pipeline;
    pthread_mutex_init(&pipeline.lock, NULL);
    pthread_cond_init(&pipeline.moved, NULL);
    bool answered = run(&pipeline);
    pthread_cond_destroy(&pipeline.moved);
    pthread_mutex_destroy(&pipeline.lock);
    free(pipeline.slots);
    return answered;
}
