/* Classifying a picture: choose a point, mend what can be, fall back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "client/client.h"
#include "client/clock.h"
#include "client/job.h"
#include "client/learnt.h"

/* How long a 503's Retry-After may hold a picture up: if it could be answered
 * locally instead, and if not. */
#define WAIT_MOST_MS 500.0
#define WAIT_MOST_ALONE_MS 3000.0

/* After asking in vain for a newer model: no picture asks again before. */
#define STALE_RETRY_MS 10000.0

/* How long the first picture may wait for the device to be measured. */
#define CALIBRATION_MOST_MS 2000.0
#define CALIBRATION_SHARE 0.25

/* Another server is not worth asking in less time than this. */
#define RETRY_LEAST_MS 1.0

static bool is_auto(const char *wanted)
{
    return strcmp(wanted, "auto") == 0;
}

/* Is there no earlier point of this one's kind? The server answers JPEGs by
 * the first offload point, whatever their quality, the device alone by the
 * first local one; others are there to be measured. */
static bool is_first_of_kind(const struct cleave *handle, uint16_t point)
{
    const struct api_point *points = handle->model.points;
    for (uint16_t i = 0; i < point; i++)
        if (points[i].kind == points[point].kind)
            return false;
    return true;
}

/* Can the handle run this point, as long as the server answers? */
static bool is_at_hand(const struct cleave *handle, uint16_t point)
{
    bool has_head = handle->device &&
                    nn_model_has_head(cli_device_model(handle->device), point);
    switch (handle->model.points[point].kind) {
    case API_POINT_OFFLOAD:
        return handle->transport && (handle->model.points[point].quality > 0
                                         ? handle->device != NULL
                                         : is_first_of_kind(handle, point));
    case API_POINT_SPLIT:
        return handle->transport && has_head && cli_client_is_current(handle);
    case API_POINT_LOCAL:
        return has_head && is_first_of_kind(handle, point);
    }
    return false;
}

static bool is_local(const struct cleave *handle, int point)
{
    return handle->model.points[point].kind == API_POINT_LOCAL;
}

/* May the server be asked now? Where nothing else could answer there is
 * nothing to lose by asking. While a thread tries whether a failed server is
 * back, the others do not. */
static bool may_ask_server(const struct cleave *handle)
{
    bool on_trial = handle->probing && handle->decider.breaker.failures > 0;
    return handle->transport &&
           ((cli_breaker_allows(&handle->decider.breaker, cli_now_ms()) &&
             !on_trial) ||
            cli_client_local_point(handle) < 0);
}

/* The point that `wanted` stands for; -1 if none can run. False if the model
 * does not know it. A point asked for by id may be one that cannot run. */
static bool choose_point(struct cli_job *job, const char *wanted, int *point,
                         const char **reason)
{
    struct cleave *handle = job->handle;
    const struct api_model *model = &handle->model;
    *reason = "asked for";
    job->generation = handle->generation;
    for (uint16_t i = 0; i < model->point_count; i++) {
        if (strcmp(model->points[i].id, wanted) == 0) {
            *point = i;
            return true;
        }
    }
    int kind = is_auto(wanted) ? -1 : api_point_kind_parse(wanted);
    if (kind < 0 && !is_auto(wanted))
        return false;
    bool can_run[API_LIMIT_POINTS] = {false};
    bool ask = may_ask_server(handle);
    for (uint16_t i = 0; i < model->point_count; i++)
        can_run[i] = is_at_hand(handle, i) && (ask || is_local(handle, i));
    struct cli_question question = cli_job_question(job, can_run, kind);
    struct cli_choice choice = cli_decider_choose(&handle->decider, &question);
    *point = choice.point;
    job->give_up_ms =
        is_auto(wanted) ? question.now_ms + choice.wait_ms : INFINITY;
    cli_learnt_keep(handle, false);
    if (is_auto(wanted)) {
        bool lost = handle->transport && !ask;
        *reason = lost ? handle->last_failure : choice.reason;
    }
    return true;
}

/* No point asked for can run, for this reason. */
static enum cleave_status fall_back(struct cli_job *job, enum api_status status,
                                    const char *reason)
{
    if (cli_client_local_point(job->handle) >= 0)
        return cli_job_answer_locally(job, reason);
    enum cleave_status result = cli_client_server_status(status);
    if (status == API_DEADLINE && isfinite(job->until_ms))
        result = CLEAVE_ERROR_DEADLINE;
    return cli_client_fail(&job->error, result, reason);
}

/* The model, maybe a new one, does not know what was asked for: says what it
 * knows, as far as there is room. */
static enum cleave_status fail_unknown(struct cli_job *job, const char *wanted)
{
    const struct api_model *model = &job->handle->model;
    char text[sizeof job->error.text];
    int used = snprintf(text, sizeof text, "model %.40s has no point \"%.48s\"",
                        model->name, wanted);
    for (uint16_t i = 0; i < model->point_count; i++) {
        const char *id = model->points[i].id;
        const char *before = i == 0 ? ": " : ", ";
        /* Room for this one, and for the sign that more would follow. */
        if ((size_t)used + strlen(id) + sizeof ", , ..." > sizeof text) {
            snprintf(text + used, sizeof text - (size_t)used, "%s...", before);
            break;
        }
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s",
                         before, id);
    }
    return cli_client_fail(&job->error, CLEAVE_ERROR_USAGE, text);
}

/* Why a point that the model has, or no point at all, can run just now. */
static enum cleave_status explain(struct cli_job *job, int point)
{
    struct cleave *handle = job->handle;
    if (!handle->transport)
        return fall_back(job, API_BAD_BUNDLE,
                         point >= 0 && is_local(handle, point)
                             ? "the bundle lacks the whole network"
                             : "no server was named");
    if (!may_ask_server(handle))
        return fall_back(job, handle->last_status, handle->last_failure);
    if (!handle->device)
        return fall_back(job, API_BAD_BUNDLE,
                         "without a bundle only offload is possible");
    if (!cli_client_is_current(handle))
        return fall_back(job, API_MODEL_MISMATCH,
                         "the server has another model version");
    return fall_back(job, API_BAD_BUNDLE,
                     "the bundle lacks what this point runs");
}

/* Waits until the thread that fetches a new model is done, but no longer than
 * the server may take. */
static void wait_for_refresh(struct cli_job *job)
{
    struct cleave *handle = job->handle;
    double until_ms = cli_now_ms() + cli_job_remote_timeout_ms(job);
    struct timespec until = cli_timespec(until_ms);
    while (handle->refreshing &&
           pthread_cond_timedwait(&handle->refreshed, &handle->lock, &until) ==
               0)
        ;
}

/* Asks the server for its present model, once for a picture. */
static void refresh(struct cli_job *job, struct api_error *why)
{
    struct cleave *handle = job->handle;
    double timeout_ms =
        isfinite(job->until_ms) ? cli_job_remote_timeout_ms(job) : INFINITY;
    struct api_error detail = {.text = ""};
    job->refreshed = true;
    handle->refreshing = true;
    handle->stale_retry_ms = cli_now_ms() + STALE_RETRY_MS;
    if (cli_client_refresh(handle, timeout_ms, &detail) != API_OK)
        api_fail(why, why->status, "its head cannot be fetched: %.150s",
                 detail.text);
    handle->refreshing = false;
    pthread_cond_broadcast(&handle->refreshed);
}

/* After a 409 or 404: gets the server's present model, by this thread or
 * another, and not for every picture. True if there is a new one to try with.
 */
static bool get_new_model(struct cli_job *job, struct api_error *why)
{
    struct cleave *handle = job->handle;
    if (handle->refreshing)
        wait_for_refresh(job);
    else if (handle->generation == job->generation && !job->refreshed &&
             cli_now_ms() >= handle->stale_retry_ms)
        refresh(job, why);
    if (handle->generation == job->generation)
        return false;
    handle->stale_retry_ms = 0;
    job->decoded = false; /* the new model may take another size */
    return true;
}

static bool wait_for_server(struct cli_job *job, double retry_after_ms)
{
    bool alone = cli_client_local_point(job->handle) < 0;
    double most_ms = fmin(alone ? WAIT_MOST_ALONE_MS : WAIT_MOST_MS,
                          cli_job_remote_timeout_ms(job) / 2);
    if (job->waited || retry_after_ms > most_ms)
        return false;
    job->waited = true;
    cli_client_unlock(job->handle);
    cli_sleep_ms(retry_after_ms);
    cli_client_lock(job->handle);
    return true;
}

/* The server refused the picture itself: no other way would do better. */
static bool is_picture_refused(const struct cli_job *job,
                               enum api_status served)
{
    return job->result.via == CLEAVE_VIA_OFFLOAD &&
           (served == API_UNPROCESSABLE || served == API_UNSUPPORTED_MEDIA);
}

/* The server that was asked has failed. True if another one can be. */
static bool try_another_server(struct cli_job *job, unsigned asked,
                               const struct api_error *why,
                               double retry_after_ms)
{
    struct cleave *handle = job->handle;
    /* Unless a picture beside this one found that out before. */
    if (handle->server == asked)
        cli_client_server_failed(handle, why, retry_after_ms);
    return handle->server != asked && ++job->tried < handle->server_count &&
           cli_job_remote_timeout_ms(job) >= RETRY_LEAST_MS;
}

/* Can the server be asked by that point? */
static bool can_ask_by(const struct cli_job *job, int point)
{
    return point >= 0 && !is_local(job->handle, point) &&
           is_at_hand(job->handle, (uint16_t)point);
}

/* Chooses again after the server has changed: true if it can be asked. */
static bool choose_again(struct cli_job *job, const char *wanted, int *point,
                         const char **reason)
{
    return choose_point(job, wanted, point, reason) && can_ask_by(job, *point);
}

static enum cleave_status answer_remotely(struct cli_job *job,
                                          const char *wanted, int point,
                                          const char *reason)
{
    struct cleave *handle = job->handle;
    for (;;) {
        struct api_error why = {.text = ""};
        enum api_status served;
        double retry_after_ms;
        unsigned asked = handle->server;
        enum cleave_status result = cli_job_try_remote(
            job, (uint16_t)point, &served, &retry_after_ms, &why);
        if (result != CLEAVE_OK)
            return result;
        if (served == API_OK) {
            snprintf(job->result.reason, sizeof job->result.reason, "%s",
                     reason);
            return CLEAVE_OK;
        }
        why.status = served;
        if (job->is_hedged) {
            if (handle->server == asked &&
                (served != API_DEADLINE || job->is_failure))
                cli_client_server_failed(handle, &why, retry_after_ms);
            return CLEAVE_OK;
        }
        if (is_picture_refused(job, served)) {
            if (handle->server == asked)
                cli_client_server_answered(handle);
            return cli_client_fail(&job->error, CLEAVE_ERROR_PICTURE, why.text);
        }
        bool is_told_to_wait =
            served == API_QUOTA ||
            (served == API_OVERLOADED && handle->server_count == 1);
        if (is_told_to_wait && wait_for_server(job, retry_after_ms) &&
            choose_again(job, wanted, &point, &reason))
            continue;
        if ((served == API_MODEL_MISMATCH || served == API_NOT_FOUND) &&
            get_new_model(job, &why)) {
            if (!choose_point(job, wanted, &point, &reason))
                return fail_unknown(job, wanted);
            if (can_ask_by(job, point))
                continue;
        }
        if (served == API_DEADLINE && !job->is_failure)
            return fall_back(job, served,
                             "server too slow: not waited for any longer");
        if (try_another_server(job, asked, &why, retry_after_ms) &&
            choose_again(job, wanted, &point, &reason))
            continue;
        return fall_back(job, served, handle->last_failure);
    }
}

/* Measures the device, once, on this picture. */
static enum cleave_status calibrate_device(struct cli_job *job)
{
    struct cleave *handle = job->handle;
    if (!handle->device || handle->device_calibrated)
        return CLEAVE_OK;
    enum cleave_status decoded = CLEAVE_OK;
    cli_client_take_device(handle);
    if (!handle->device_calibrated) {
        decoded = cli_job_decode(job);
        if (decoded == CLEAVE_OK)
            cli_calibrate_device(
                handle, fmin(CALIBRATION_MOST_MS,
                             cli_job_left_ms(job) * CALIBRATION_SHARE));
    }
    cli_client_give_device(handle);
    return decoded;
}

/* Measures the server in use and tries those that failed, in one thread at a
 * time. */
static void calibrate_servers(struct cli_job *job)
{
    struct cleave *handle = job->handle;
    if (handle->probing)
        return;
    handle->probing = true;
    cli_servers_fail_back(handle, cli_job_remote_timeout_ms(job));
    struct cli_question question = cli_job_question(job, NULL, -1);
    cli_calibrate_link(handle, &question, cli_job_remote_timeout_ms(job));
    handle->probing = false;
}

/* Brings what the choice depends on up to date. */
static enum cleave_status prepare(struct cli_job *job, const char *wanted)
{
    struct cleave *handle = job->handle;
    bool chooses = is_auto(wanted) || strcmp(wanted, "split") == 0;
    if (strcmp(wanted, "local") == 0)
        return CLEAVE_OK;
    job->generation = handle->generation;
    calibrate_servers(job);
    struct api_error why = {.text = ""};
    if (!cli_client_is_current(handle) && handle->cache &&
        may_ask_server(handle))
        (void)get_new_model(job, &why); /* else the old one goes on */
    if (!chooses)
        return CLEAVE_OK;
    return calibrate_device(job);
}

static enum cleave_status run(struct cli_job *job, const char *wanted)
{
    struct cleave *handle = job->handle;
    enum cleave_status prepared = prepare(job, wanted);
    if (prepared != CLEAVE_OK)
        return prepared;
    int point = -1;
    const char *reason = "";
    if (!choose_point(job, wanted, &point, &reason))
        return fail_unknown(job, wanted);
    if (point < 0 || !is_at_hand(handle, (uint16_t)point) ||
        (!is_local(handle, point) && !may_ask_server(handle)))
        return explain(job, point);
    return is_local(handle, point)
               ? cli_job_answer_locally(job, reason)
               : answer_remotely(job, wanted, point, reason);
}

static double read_meter(struct cleave *handle)
{
    return handle->meter ? cli_meter_joules(handle->meter) : -1;
}

enum cleave_status cli_classify(struct cleave *handle, const void *jpeg,
                                size_t jpeg_bytes, const char *point,
                                double until_ms, struct cleave_result *result,
                                struct cleave_error *error)
{
    struct cli_job job = {.handle = handle,
                          .jpeg = jpeg,
                          .jpeg_bytes = jpeg_bytes,
                          .until_ms = until_ms};
    if (jpeg_bytes == 0)
        return cli_client_fail(error, CLEAVE_ERROR_PICTURE,
                               "the picture is empty");
    if (jpeg_bytes > API_LIMIT_JPEG_BYTES)
        return cli_client_fail(error, CLEAVE_ERROR_PICTURE,
                               "the picture is larger than 16 MiB");
    cli_client_lock(handle);
    job.number = ++handle->jobs;
    double before_joules = read_meter(handle);
    enum cleave_status status = run(&job, point);
    double after_joules = read_meter(handle);
    job.result.joules =
        cli_power_joules(&handle->decider.power, job.result.device_ms,
                         (double)job.result.bytes_sent);
    job.result.machine_joules = before_joules < 0 || after_joules < 0
                                    ? -1
                                    : after_joules - before_joules;
    cli_client_unlock(handle);
    free(job.frame);
    free(job.shrunk);
    if (status == CLEAVE_OK)
        *result = job.result;
    else if (error)
        *error = job.error;
    return status;
}

enum cleave_status cleave_classify(struct cleave *handle, const void *jpeg,
                                   size_t jpeg_bytes, const char *point,
                                   unsigned deadline_ms,
                                   struct cleave_result *result,
                                   struct cleave_error *error)
{
    double until_ms =
        deadline_ms > 0 ? cli_now_ms() + (double)deadline_ms : INFINITY;
    return cli_classify(handle, jpeg, jpeg_bytes, point ? point : "auto",
                        until_ms, result, error);
}
