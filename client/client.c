/* Opening and closing a handle, and keeping its model current. */
#include "client/client.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "client/clock.h"
#include "client/hedge.h"
#include "client/learnt.h"
#include "client/prober.h"
#include "client/remote.h"

#define CONNECT_TIMEOUT_MS 1000.0
#define TOP_DEFAULT 5u
#define THREADS_DEFAULT 3u
#define THREADS_MOST 64u

/* A head bundle of ten megabytes may take its time on a slow link as long as
 * it moves. */
#define FETCH_TIMEOUT_MS 900000.0

enum cleave_status cli_client_fail(struct cleave_error *error,
                                   enum cleave_status status, const char *text)
{
    if (error) {
        error->status = status;
        snprintf(error->text, sizeof error->text, "%s", text);
    }
    return status;
}

enum cleave_status cli_client_status(enum api_status status)
{
    switch (status) {
    case API_OK:
        return CLEAVE_OK;
    case API_USAGE:
    case API_BAD_REQUEST:
        return CLEAVE_ERROR_USAGE;
    case API_TOO_LARGE:
    case API_UNSUPPORTED_MEDIA:
    case API_UNPROCESSABLE:
        return CLEAVE_ERROR_PICTURE;
    case API_BAD_BUNDLE:
    case API_UNAVAILABLE:
    case API_NOT_FOUND:
        return CLEAVE_ERROR_BUNDLE;
    case API_UNREACHABLE:
        return CLEAVE_ERROR_UNREACHABLE;
    case API_DEADLINE:
        return CLEAVE_ERROR_DEADLINE;
    default:
        return CLEAVE_ERROR_SYSTEM;
    }
}

enum cleave_status cli_client_server_status(enum api_status status)
{
    switch (status) {
    case API_UNREACHABLE:
    case API_DEADLINE:
        return CLEAVE_ERROR_UNREACHABLE;
    case API_BAD_BUNDLE:
        return CLEAVE_ERROR_BUNDLE;
    case API_NO_MEMORY:
        return CLEAVE_ERROR_SYSTEM;
    default:
        return CLEAVE_ERROR_SERVER;
    }
}

void cli_client_lock(struct cleave *handle)
{
    pthread_mutex_lock(&handle->lock);
}

void cli_client_unlock(struct cleave *handle)
{
    pthread_mutex_unlock(&handle->lock);
}

void cli_client_take_device(struct cleave *handle)
{
    if (pthread_mutex_trylock(&handle->computing) == 0)
        return;
    /* The order is device, then lock. */
    pthread_mutex_unlock(&handle->lock);
    pthread_mutex_lock(&handle->computing);
    pthread_mutex_lock(&handle->lock);
}

void cli_client_give_device(struct cleave *handle)
{
    pthread_mutex_unlock(&handle->computing);
}

void cli_client_log(const struct cleave *handle, enum cleave_level level,
                    const char *format, ...)
{
    if (!handle->log)
        return;
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    handle->log(handle->log_context, level, text);
}

void cli_client_server_answered(struct cleave *handle)
{
    if (handle->decider.breaker.failures > 0)
        cli_client_log(handle, CLEAVE_NOTE, "%s answers again",
                       cli_transport_url(handle->transport));
    cli_breaker_success(&handle->decider.breaker);
    handle->last_failure[0] = '\0';
}

static const char *describe(enum api_status status)
{
    switch (status) {
    case API_UNREACHABLE:
        return "server unreachable";
    case API_DEADLINE:
        return "server too slow";
    case API_OVERLOADED:
        return "server overloaded";
    case API_QUOTA:
        return "server holds this address to its share";
    case API_MODEL_MISMATCH:
        return "server has another model version";
    default:
        return "server error";
    }
}

void cli_client_server_failed(struct cleave *handle,
                              const struct api_error *why,
                              double retry_after_ms)
{
    bool first = handle->decider.breaker.failures == 0;
    cli_decider_saw_failure(&handle->decider, retry_after_ms, cli_now_ms());
    handle->last_status = why->status;
    snprintf(handle->last_failure, sizeof handle->last_failure, "%s: %.150s",
             describe(why->status), why->text);
    if (!cli_servers_fail_over(handle) && first)
        cli_client_log(handle, CLEAVE_WARNING, "%s", handle->last_failure);
}

int cli_client_local_point(const struct cleave *handle)
{
    return handle->device ? cli_device_local_point(handle->device) : -1;
}

bool cli_client_is_current(const struct cleave *handle)
{
    return handle->server_fingerprint == 0 ||
           handle->server_fingerprint == handle->model.fingerprint;
}

/* The points have changed: what was learnt of the old ones' speed stays only
 * as a guess. */
static void forget_points(struct cleave *handle)
{
    cli_decider_forget_points(&handle->decider);
    for (unsigned i = 0; i < handle->server_count; i++) {
        struct cli_cost *cost = &handle->servers[i].cost;
        cli_cost_reset(cost, cost->ms_per_mmac.mean);
    }
    handle->device_calibrated = cli_learnt_recall(handle);
    handle->pixels_of = 0;
    handle->generation++;
}

/* Makes `device` the handle's own and its points those that indices mean, once
 * the picture that the old one is working on is done. */
static void adopt(struct cleave *handle, struct cli_device *device)
{
    cli_client_take_device(handle);
    cli_device_close(&handle->device);
    handle->device = device;
    const struct nn_model *model = cli_device_model(device);
    struct api_model *points = &handle->model;
    *points = (struct api_model){.fingerprint = nn_model_fingerprint(model)};
    snprintf(points->name, sizeof points->name, "%s", nn_model_name(model));
    snprintf(points->version, sizeof points->version, "%s",
             nn_model_version(model));
    points->input_width = nn_model_input(model)->width;
    points->input_height = nn_model_input(model)->height;
    points->class_count = nn_model_class_count(model);
    for (uint16_t i = 0;
         i < nn_model_point_count(model) && i < API_LIMIT_POINTS; i++) {
        points->points[i] = *nn_model_point(model, i);
        points->point_count = (uint16_t)(i + 1);
    }
    forget_points(handle);
    cli_client_give_device(handle);
}

static enum api_status adopt_model(struct cleave *handle,
                                   struct nn_model *model,
                                   struct api_error *error)
{
    struct cli_device *device = NULL;
    enum api_status status = cli_device_open(model, &device, error);
    if (status == API_OK)
        adopt(handle, device);
    return status;
}

enum api_status cli_client_refresh(struct cleave *handle, double timeout_ms,
                                   struct api_error *error)
{
    double until_ms = cli_now_ms() + timeout_ms;
    double exchange_ms = 0;
    struct api_model *current = malloc(sizeof *current);
    if (!current)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    struct nn_model *model = NULL;
    struct cli_transport *transport = handle->transport;
    cli_client_unlock(handle);
    enum api_status status =
        cli_remote_model(transport, handle->asked_model,
                         fmin(timeout_ms, handle->request_timeout_ms), current,
                         &exchange_ms, error);
    cli_client_lock(handle);
    if (status != API_OK)
        goto out;
    if (transport != handle->transport) {
        status = api_fail(error, API_UNREACHABLE, "another server is in use");
        goto out;
    }
    cli_client_server_answered(handle);
    cli_decider_saw_reply(&handle->decider, 0, exchange_ms, cli_now_ms());
    handle->server_fingerprint = current->fingerprint;
    if (!handle->device) {
        if (current->fingerprint != handle->model.fingerprint)
            forget_points(handle);
        handle->model = *current;
    }
    if (!handle->cache ||
        (handle->device && current->fingerprint == handle->model.fingerprint))
        goto out;
    cli_client_unlock(handle);
    status =
        cli_head_cache_fetch(handle->cache, transport, current->name,
                             fmin(until_ms - cli_now_ms(), FETCH_TIMEOUT_MS),
                             handle->request_timeout_ms, &model, error);
    cli_client_lock(handle);
    if (*cli_head_cache_trouble(handle->cache))
        cli_client_log(handle, CLEAVE_WARNING, "%s",
                       cli_head_cache_trouble(handle->cache));
    if (status != API_OK)
        goto out;
    bool same = handle->device &&
                nn_model_fingerprint(model) == handle->model.fingerprint;
    if (same)
        nn_model_close(&model);
    else
        status = adopt_model(handle, model, error);
    /* The bundle came after the metadata, so it is the newer word. */
    if (status == API_OK && transport == handle->transport)
        handle->server_fingerprint = handle->model.fingerprint;
    if (status == API_OK && !same)
        cli_client_log(handle, CLEAVE_NOTE, "model %s, version %s, is in use",
                       handle->model.name, handle->model.version);
out:
    free(current);
    return status;
}

/* The same alphabet as bundles allow, so that it can stand in a path. */
static bool is_model_name(const char *name)
{
    size_t bytes = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789._-");
    return bytes > 0 && bytes < 64 && name[bytes] == '\0' &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static double or_default(unsigned given_ms, double default_ms)
{
    return given_ms > 0 ? (double)given_ms : default_ms;
}

static void apply_objective(struct cleave *handle,
                            const struct cleave_options *options)
{
    struct cli_decider *decider = &handle->decider;
    handle->objective = options->objective;
    handle->meter = cli_meter_open("/sys");
    cli_decider_set_plan(decider, options->bytes_per_picture);
    if (options->joules_per_cpu_second > 0)
        decider->power.joules_per_cpu_second = options->joules_per_cpu_second;
    if (options->joules_per_byte > 0)
        decider->power.joules_per_byte = options->joules_per_byte;
}

static enum api_status apply(struct cleave *handle,
                             const struct cleave_options *options,
                             struct api_error *error)
{
    handle->connect_timeout_ms =
        or_default(options->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    handle->request_timeout_ms =
        or_default(options->request_timeout_ms, CLI_REQUEST_MOST_MS);
    handle->top = options->top > 0 ? options->top : TOP_DEFAULT;
    handle->threads = options->threads > 0 ? options->threads : THREADS_DEFAULT;
    handle->hedges = options->hedge != 0;
    handle->log = options->log;
    handle->log_context = options->log_context;
    cli_decider_reset(&handle->decider, (uint32_t)(uintptr_t)handle ^
                                            (uint32_t)(cli_now_ms() * 1e3));
    apply_objective(handle, options);
    if (handle->top > CLEAVE_TOP_MAX)
        return api_fail(error, API_USAGE, "at most %d classes per answer",
                        CLEAVE_TOP_MAX);
    if (handle->threads > THREADS_MOST)
        return api_fail(error, API_USAGE, "at most %u threads", THREADS_MOST);
    if (options->model && !is_model_name(options->model))
        return api_fail(error, API_USAGE, "\"%.64s\" is no model's name",
                        options->model);
    if (options->model)
        snprintf(handle->asked_model, sizeof handle->asked_model, "%s",
                 options->model);
    if (!options->server_url && !options->bundle_path)
        return api_fail(error, API_USAGE,
                        "neither a server nor a bundle was named");
    return API_OK;
}

static enum api_status add_servers(struct cleave *handle,
                                   const struct cleave_options *options,
                                   struct api_error *error)
{
    if (!options->server_url)
        return API_OK;
    enum api_status status =
        cli_servers_add(handle, options->server_url, error);
    const char *const *other = options->fallback_urls;
    while (status == API_OK && other && *other)
        status = cli_servers_add(handle, *other++, error);
    for (unsigned i = 0; status == API_OK && i < handle->server_count; i++)
        status = cli_transport_secure(handle->servers[i].transport,
                                      options->token, options->ca_file, error);
    return status;
}

static enum api_status open_parts(struct cleave *handle,
                                  const struct cleave_options *options,
                                  struct api_error *error)
{
    enum api_status status = add_servers(handle, options, error);
    if (status == API_OK && options->bundle_path) {
        struct nn_model *model = NULL;
        status = nn_model_open(options->bundle_path, &model, error);
        if (status == API_OK)
            status = adopt_model(handle, model, error);
        if (status == API_OK && !options->model)
            snprintf(handle->asked_model, sizeof handle->asked_model, "%s",
                     handle->model.name);
    } else if (status == API_OK && !options->no_bundle) {
        status = cli_head_cache_open(
            options->cache_dir, cli_transport_url(handle->transport),
            handle->asked_model, !options->heads_only, &handle->cache, error);
    }
    return status;
}

/* The server failed us at the start: is there something that can do without?
 */
static enum cleave_status open_without_server(struct cleave *handle,
                                              const struct api_error *why,
                                              struct cleave_error *error)
{
    struct nn_model *model = NULL;
    bool cached = !handle->device && handle->cache &&
                  cli_head_cache_load(handle->cache, &model, NULL) == API_OK &&
                  adopt_model(handle, model, NULL) == API_OK;
    if (cli_client_local_point(handle) >= 0) {
        snprintf(handle->notice, sizeof handle->notice,
                 "%.160s; answering by the %s bundle of model %.40s",
                 handle->last_failure, cached ? "cached" : "given",
                 handle->model.name);
        return CLEAVE_OK;
    }
    char text[sizeof error->text];
    snprintf(text, sizeof text, "%.150s%s", handle->last_failure,
             handle->cache ? "; no cached bundle can answer instead" : "");
    return cli_client_fail(error, cli_client_server_status(why->status), text);
}

/* Asks the servers in turn for the model. */
static enum api_status refresh_from_any(struct cleave *handle,
                                        struct api_error *why)
{
    for (;;) {
        unsigned asked = handle->server;
        enum api_status status =
            cli_client_refresh(handle, FETCH_TIMEOUT_MS, why);
        why->status = status;
        if (status == API_OK)
            return API_OK;
        cli_client_server_failed(handle, why, 0);
        /* In their order, and not in circles. */
        if (handle->server <= asked)
            return status;
    }
}

static enum cleave_status open_with(struct cleave *handle,
                                    const struct cleave_options *options,
                                    struct cleave_error *error)
{
    struct api_error why = {.text = ""};
    enum api_status status = apply(handle, options, &why);
    if (status == API_OK)
        status = open_parts(handle, options, &why);
    if (status != API_OK)
        return cli_client_fail(error, cli_client_status(status), why.text);
    if (!handle->transport)
        return CLEAVE_OK;
    if (refresh_from_any(handle, &why) != API_OK)
        return open_without_server(handle, &why, error);
    if (!cli_client_is_current(handle))
        snprintf(handle->notice, sizeof handle->notice,
                 "the server runs another version of model %.40s than "
                 "the given bundle: no split is possible",
                 handle->model.name);
    else if (handle->cache)
        snprintf(handle->notice, sizeof handle->notice, "%s",
                 cli_head_cache_trouble(handle->cache));
    return CLEAVE_OK;
}

static void make_locks(struct cleave *handle)
{
    cli_condition_init(&handle->refreshed);
    pthread_mutex_init(&handle->lock, NULL);
    pthread_mutex_init(&handle->computing, NULL);
}

enum cleave_status cleave_open(const struct cleave_options *options,
                               struct cleave **handle,
                               struct cleave_error *error)
{
    struct cleave *made = calloc(1, sizeof *made);
    if (!made)
        return cli_client_fail(error, CLEAVE_ERROR_SYSTEM, "out of memory");
    make_locks(made);
    cli_client_lock(made);
    enum cleave_status status = open_with(made, options, error);
    cli_client_unlock(made);
    if (status == CLEAVE_OK) {
        *handle = made;
        made = NULL;
    }
    cleave_close(&made);
    return status;
}

void cleave_close(struct cleave **handle)
{
    struct cleave *old = *handle;
    if (!old)
        return;
    cli_crew_close(&old->crew);
    cli_prober_close(&old->prober);
    cli_hedge_end(old);
    cli_learnt_keep(old, true);
    cli_meter_close(&old->meter);
    cli_device_close(&old->device);
    cli_head_cache_close(&old->cache);
    cli_servers_close(old);
    pthread_mutex_destroy(&old->computing);
    pthread_mutex_destroy(&old->lock);
    pthread_cond_destroy(&old->refreshed);
    free(old);
    *handle = NULL;
}

const char *cleave_notice(const struct cleave *handle)
{
    return handle->notice;
}

const char *cleave_via_name(enum cleave_via via)
{
    switch (via) {
    case CLEAVE_VIA_OFFLOAD:
        return "offload";
    case CLEAVE_VIA_SPLIT:
        return "split";
    case CLEAVE_VIA_LOCAL:
        return "local";
    case CLEAVE_VIA_EXIT:
        return "exit";
    }
    return "unknown";
}

const char *cleave_version(void)
{
    return CLEAVE_VERSION;
}
