/* One picture in hand, and the two ways to answer it. */
#include "client/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "client/clock.h"
#include "client/hedge.h"
#include "client/remote.h"

/* A larger picture is made smaller before it is sent, if that helps, at a
 * quality whose loss is far below what a network sees. */
#define OFFLOAD_WHOLE_BYTES (128u << 10)
#define SHRUNK_QUALITY 95

/* What comes of it, before any was seen. */
#define SHRUNK_GUESS_BYTES 40000.0

double cli_job_left_ms(const struct cli_job *job)
{
    return job->until_ms - cli_now_ms();
}

static enum cleave_status fail(struct cli_job *job, enum api_status status,
                               const struct api_error *why)
{
    return cli_client_fail(&job->error, cli_client_status(status), why->text);
}

static bool is_too_large(const struct cli_job *job)
{
    return job->handle->device && job->jpeg_bytes > OFFLOAD_WHOLE_BYTES;
}

/* What offload would send at no quality of its own. */
static size_t expected_offload_bytes(const struct cli_job *job)
{
    const struct cli_estimate *seen = &job->handle->shrunk_bytes;
    if (!is_too_large(job))
        return job->jpeg_bytes;
    return (size_t)(seen->samples > 0 ? seen->mean : SHRUNK_GUESS_BYTES);
}

struct cli_question cli_job_question(const struct cli_job *job,
                                     const bool *can_run, int kind)
{
    const struct cleave *handle = job->handle;
    bool bounded = isfinite(job->until_ms);
    return (struct cli_question){
        .points = handle->model.points,
        .point_count = handle->model.point_count,
        .can_run = can_run,
        .objective = handle->objective == CLEAVE_FRUGAL ? CLI_ENERGY
                     : handle->objective == CLEAVE_ACCURATE || bounded
                         ? CLI_ACCURACY
                         : CLI_LATENCY,
        .kind = kind,
        .now_ms = cli_now_ms(),
        .decode_ms = job->decoded ? job->decode_ms : -1,
        .jpeg_bytes = expected_offload_bytes(job),
        /* A deadline that has passed is still one: 0 would mean none. */
        .deadline_ms = bounded ? fmax(cli_job_left_ms(job), 1e-3) : 0,
    };
}

static struct cli_forecast forecast_local(const struct cli_job *job,
                                          uint16_t point)
{
    struct cli_question question = cli_job_question(job, NULL, -1);
    struct cli_policy_input input =
        cli_decider_input(&job->handle->decider, &question);
    return cli_policy_predict(&input, point);
}

double cli_job_remote_timeout_ms(const struct cli_job *job)
{
    struct cli_question question = cli_job_question(job, NULL, -1);
    int local = cli_client_local_point(job->handle);
    double most_ms =
        cli_decider_patience_ms(&job->handle->decider, &question, local);
    if (local >= 0 && job->give_up_ms > 0)
        most_ms = fmin(most_ms, job->give_up_ms - question.now_ms);
    return fmin(most_ms, job->handle->request_timeout_ms);
}

enum cleave_status cli_job_decode(struct cli_job *job)
{
    struct cleave *handle = job->handle;
    if (handle->pixels_of == job->number)
        return CLEAVE_OK;
    struct api_error why = {.text = ""};
    handle->pixels_of = 0;
    cli_client_unlock(handle);
    enum api_status status = cli_device_decode(
        handle->device, job->jpeg, job->jpeg_bytes, &job->decode_ms, &why);
    cli_client_lock(handle);
    if (status != API_OK)
        return fail(job, status, &why);
    handle->pixels_of = job->number;
    job->decoded = true;
    cli_estimate_add(&handle->decider.decode_ms, job->decode_ms);
    return CLEAVE_OK;
}

static void name_point(struct cli_job *job, uint16_t point, enum cleave_via via)
{
    snprintf(job->result.point, sizeof job->result.point, "%s",
             job->handle->model.points[point].id);
    job->result.via = via;
}

/* What the device has just answered, on a device that is this thread's. */
static void take_own_answer(struct cli_job *job, uint16_t point,
                            enum cleave_via via, double device_ms)
{
    const struct cli_device *device = job->handle->device;
    const struct nn_model *model = cli_device_model(device);
    struct nn_class top[CLEAVE_TOP_MAX];
    uint32_t count = cli_device_answer(device, top, job->handle->top);
    for (uint32_t i = 0; i < count; i++) {
        struct cleave_class *class = &job->result.top[i];
        class->index = top[i].index;
        class->probability = (double)top[i].probability;
        api_label_copy(class->label, nn_model_label(model, top[i].index));
    }
    job->result.top_count = count;
    job->result.device_ms = device_ms;
    name_point(job, point, via);
}

/* The whole network, on a device that is this thread's. */
static enum cleave_status run_local(struct cli_job *job, uint16_t point,
                                    const char *reason)
{
    struct cleave *handle = job->handle;
    enum cleave_status decoded = cli_job_decode(job);
    if (decoded != CLEAVE_OK)
        return decoded;
    double ms = 0;
    struct api_error why = {.text = ""};
    cli_client_unlock(handle);
    enum api_status status =
        cli_device_run_local(handle->device, point, &ms, &why);
    cli_client_lock(handle);
    if (status != API_OK)
        return fail(job, status, &why);
    cli_cost_observe(&handle->decider.device, point,
                     handle->model.points[point].head_macs, ms);
    take_own_answer(job, point, CLEAVE_VIA_LOCAL, job->decode_ms + ms);
    snprintf(job->result.reason, sizeof job->result.reason, "%s%s",
             cli_job_left_ms(job) < 0 ? "late; " : "", reason);
    return CLEAVE_OK;
}

enum cleave_status cli_job_answer_locally(struct cli_job *job,
                                          const char *reason)
{
    struct cleave *handle = job->handle;
    /* The handle's may change; room is left for "late; ". */
    char kept[sizeof job->result.reason - 6];
    snprintf(kept, sizeof kept, "%s", reason);
    cli_client_take_device(handle);
    int point = cli_client_local_point(handle);
    enum cleave_status status =
        point >= 0 ? run_local(job, (uint16_t)point, kept)
                   : cli_client_fail(&job->error, CLEAVE_ERROR_BUNDLE,
                                     "the new model lacks the whole network");
    cli_client_give_device(handle);
    return status;
}

/* The head of a split point, as the body of a request, on a device that is
 * this thread's; or the answer, where its exit is sure. */
static enum cleave_status run_head(struct cli_job *job, uint16_t point,
                                   bool *sure, size_t *frame_bytes,
                                   double *device_ms)
{
    struct cleave *handle = job->handle;
    enum cleave_status decoded = cli_job_decode(job);
    if (decoded != CLEAVE_OK)
        return decoded;
    double head_ms = 0;
    const uint8_t *frame = NULL;
    struct api_error why = {.text = ""};
    cli_client_unlock(handle);
    enum api_status status =
        cli_device_run_head(handle->device, point, sure, &head_ms, &why);
    if (status == API_OK && !*sure)
        status = cli_device_make_frame(handle->device, point, &frame,
                                       frame_bytes, &head_ms, &why);
    cli_client_lock(handle);
    if (status != API_OK)
        return cli_client_fail(&job->error, CLEAVE_ERROR_BUNDLE, why.text);
    cli_cost_observe(&handle->decider.device, point,
                     handle->model.points[point].head_macs, head_ms);
    cli_exits_observe(&handle->decider.exits, point, *sure);
    *device_ms = job->decode_ms + head_ms;
    if (*sure) {
        take_own_answer(job, point, CLEAVE_VIA_EXIT, *device_ms);
        return CLEAVE_OK;
    }
    /* The device makes another picture's frame while this one is sent. */
    uint8_t *kept = realloc(job->frame, *frame_bytes);
    if (!kept)
        return cli_client_fail(&job->error, CLEAVE_ERROR_SYSTEM,
                               "out of memory");
    memcpy(kept, frame, *frame_bytes);
    job->frame = kept;
    return CLEAVE_OK;
}

/* Makes the picture smaller, at the quality of `point` or, for its size alone,
 * at the best. */
static void shrink(struct cli_job *job, uint16_t point, int quality)
{
    struct cleave *handle = job->handle;
    double decode_ms, encode_ms;
    free(job->shrunk);
    job->shrunk = NULL;
    job->shrunk_quality = quality;
    cli_client_take_device(handle);
    bool same = handle->generation == job->generation;
    cli_client_unlock(handle);
    bool made = cli_device_shrink(handle->device, job->jpeg, job->jpeg_bytes,
                                  quality, &job->shrunk, &job->shrunk_bytes,
                                  &decode_ms, &encode_ms, NULL) == API_OK;
    cli_client_lock(handle);
    cli_client_give_device(handle);
    if (!made)
        return;
    job->shrunk_ms = decode_ms + encode_ms;
    cli_estimate_add(&handle->decider.decode_ms, decode_ms);
    if (handle->model.points[point].quality == 0)
        cli_estimate_add(&handle->shrunk_bytes, (double)job->shrunk_bytes);
    else if (same)
        cli_cost_observe(&handle->decider.device, point, 0, encode_ms);
}

/* The picture as the body of a request: itself, or made smaller at the point's
 * quality or where it is large. One that cannot be is left for the server to
 * judge. */
static void make_offload_body(struct cli_job *job, uint16_t point,
                              const uint8_t **body, size_t *body_bytes,
                              double *device_ms)
{
    int quality = (int)job->handle->model.points[point].quality;
    if (quality == 0 && is_too_large(job))
        quality = SHRUNK_QUALITY;
    if (quality > 0 && job->handle->device && job->shrunk_quality != quality)
        shrink(job, point, quality);
    *device_ms = job->shrunk_ms;
    bool smaller =
        quality > 0 && job->shrunk && job->shrunk_bytes < job->jpeg_bytes;
    *body = smaller ? job->shrunk : job->jpeg;
    *body_bytes = smaller ? job->shrunk_bytes : job->jpeg_bytes;
}

static void take_answer(struct cli_job *job, uint16_t point,
                        const struct cli_answer *answer, bool learn)
{
    struct cleave *handle = job->handle;
    if (learn) {
        cli_client_server_answered(handle);
        cli_decider_saw_reply(&handle->decider, job->result.bytes_sent,
                              answer->exchange_ms - answer->server_ms,
                              cli_now_ms());
        if (answer->server_ms > 0 && handle->generation == job->generation)
            cli_decider_saw_server(
                &handle->decider, point, handle->model.points[point].tail_macs,
                answer->queue_ms, answer->server_ms - answer->queue_ms);
    }
    job->result.server_ms = answer->server_ms;
    job->result.link_ms = fmax(answer->total_ms - answer->server_ms, 0);
    job->result.top_count = answer->body.top_count;
    for (uint32_t i = 0; i < answer->body.top_count; i++) {
        struct cleave_class *class = &job->result.top[i];
        class->index = answer->body.top[i].index;
        class->probability = answer->body.top[i].probability;
        api_label_copy(class->label, answer->body.top[i].label);
    }
}

/* Sends one body and takes the answer in. */
static enum api_status send(struct cli_job *job, uint16_t point,
                            const uint8_t *body, size_t body_bytes,
                            double timeout_ms, const int *off_fd,
                            double *retry_after_ms, struct api_error *why)
{
    struct cleave *handle = job->handle;
    unsigned server = handle->server;
    struct cli_transport *transport = handle->transport;
    char model[sizeof handle->model.name];
    memcpy(model, handle->model.name, sizeof model);
    bool split = body == job->frame;
    struct cli_answer answer;
    name_point(job, point, split ? CLEAVE_VIA_SPLIT : CLEAVE_VIA_OFFLOAD);
    double start_ms = cli_now_ms();
    cli_client_unlock(handle);
    enum api_status served = cli_remote_classify(
        transport, model, split, body, body_bytes, handle->top, timeout_ms,
        off_fd, &answer, retry_after_ms, why);
    cli_client_lock(handle);
    bool learn = handle->server == server; /* else it is of another one */
    if (served == API_OK) {
        job->result.bytes_sent = body_bytes;
        job->result.server = server;
        take_answer(job, point, &answer, learn);
    } else if (served == API_DEADLINE && learn) {
        job->is_failure =
            cli_decider_saw_silence(&handle->decider, body_bytes,
                                    cli_now_ms() - start_ms, cli_now_ms());
    }
    return served;
}

/* Lets the device begin where it must for its answer to be in time, and the
 * server go on until that is there; NULL if that is not wanted or cannot be. */
static struct cli_hedge *open_hedge(const struct cli_job *job,
                                    double *timeout_ms)
{
    struct cleave *handle = job->handle;
    int local = cli_client_local_point(handle);
    double left_ms = cli_job_left_ms(job), begin_ms = *timeout_ms;
    if (!handle->hedges || local < 0)
        return NULL;
    if (isfinite(left_ms))
        begin_ms = fmin(begin_ms,
                        left_ms - forecast_local(job, (uint16_t)local).p95_ms);
    struct cli_hedge *hedge = cli_hedge_open(job, cli_now_ms() + begin_ms);
    if (hedge)
        *timeout_ms = handle->request_timeout_ms;
    return hedge;
}

enum cleave_status cli_job_try_remote(struct cli_job *job, uint16_t point,
                                      enum api_status *served,
                                      double *retry_after_ms,
                                      struct api_error *why)
{
    struct cleave *handle = job->handle;
    const uint8_t *body = NULL;
    size_t body_bytes = 0;
    double device_ms = 0;
    *retry_after_ms = 0;
    if (handle->model.points[point].kind == API_POINT_SPLIT) {
        cli_client_take_device(handle);
        bool same = handle->generation == job->generation, sure = false;
        enum cleave_status made =
            same ? run_head(job, point, &sure, &body_bytes, &device_ms)
                 : CLEAVE_OK;
        cli_client_give_device(handle);
        if (made != CLEAVE_OK)
            return made;
        if (!same) {
            *served = api_fail(why, API_MODEL_MISMATCH,
                               "another model has come just now");
            return CLEAVE_OK;
        }
        if (sure) {
            *served = API_OK;
            return CLEAVE_OK;
        }
        body = job->frame;
    } else {
        make_offload_body(job, point, &body, &body_bytes, &device_ms);
    }
    double timeout_ms = cli_job_remote_timeout_ms(job);
    if (timeout_ms < CLI_REQUEST_LEAST_MS) {
        *served = api_fail(why, API_DEADLINE, "no time is left to ask it");
        return CLEAVE_OK;
    }
    job->result.device_ms = device_ms;
    struct cli_hedge *hedge = open_hedge(job, &timeout_ms);
    *served = send(job, point, body, body_bytes, timeout_ms,
                   hedge ? cli_hedge_off_fd(hedge) : NULL, retry_after_ms, why);
    bool is_wanted = *served == API_DEADLINE || *served == API_UNREACHABLE ||
                     *served == API_OVERLOADED || *served == API_QUOTA ||
                     *served == API_INTERNAL;
    enum cleave_status status = CLEAVE_OK;
    if (hedge)
        job->is_hedged = cli_hedge_close(hedge, is_wanted, job, &status);
    return status;
}
