/* cleaved: puts the parts together, in order, and takes them apart again. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/nn.h"
#include "nn/onednn.h"
#include "server/app.h"
#include "server/handlers.h"
#include "server/healthcheck.h"
#include "server/http.h"
#include "server/lifecycle.h"
#include "server/listener.h"
#include "server/loader.h"
#include "server/log.h"
#include "server/model.h"
#include "server/monotonic.h"
#include "server/privileges.h"
#include "server/process.h"
#include "server/reload.h"
#include "server/routes.h"
#include "server/slow.h"
#include "server/supervisor.h"
#include "server/tls.h"

/* Between looks at what needs regular looks. */
#define TICK_MS 1000u

extern char **environ;

/* Written aside and renamed, so that a reader never sees half a number. */
static enum api_status write_port_file(const char *path, unsigned port,
                                       struct api_error *error)
{
    char aside[1100];
    snprintf(aside, sizeof aside, "%s.part", path);
    FILE *file = fopen(aside, "w");
    bool good = file && fprintf(file, "%u\n", port) > 0;
    if (file)
        good = fclose(file) == 0 && good;
    if (!good || rename(aside, path) != 0)
        return api_fail(error, API_INTERNAL, "cannot write %.100s: %s", path,
                        strerror(errno));
    return API_OK;
}

static void log_listening(const struct srv_app *app, unsigned port)
{
    const struct srv_config *config = app->config;
    struct srv_model *models[API_LIMIT_MODELS];
    size_t count = srv_registry_take_all(app->registry, models);
    const struct api_model *info = &models[0]->info;
    struct srv_log_line line;
    srv_log_begin(&line, SRV_INFO, "listening");
    srv_log_text(&line, "version", CLEAVE_VERSION);
    srv_log_text(&line, "host", config->host);
    srv_log_number(&line, "port", port);
    srv_log_text(&line, "scheme", app->tls ? "https" : "http");
    srv_log_text(&line, "model", info->name);
    srv_log_text(&line, "model_version", info->version);
    srv_log_number(&line, "points", info->point_count);
    srv_log_number(&line, "models", (int64_t)count);
    srv_log_text(&line, "isa", nn_cpu_name());
    srv_log_number(&line, "workers", config->workers);
    srv_log_number(&line, "threads_per_request", config->threads_per_request);
    srv_log_end(&line);
    while (count > 0)
        srv_model_release(&models[--count]);
}

/* Takes up what has changed until told to stop. */
static void run_until_stopped(struct srv_app *app)
{
    const unsigned poll_ms = app->config->models_poll_ms;
    const unsigned tick_ms = srv_supervisor_interval_ms(
        poll_ms > 0 && poll_ms < TICK_MS ? poll_ms : TICK_MS);
    int64_t polled_us = srv_now_us();
    int number;
    srv_reload_changed(app);
    srv_supervisor_ready();
    while ((number = srv_signal_wait(tick_ms)) == 0 || number == SIGHUP) {
        bool is_time =
            poll_ms > 0 && srv_now_us() - polled_us >= (int64_t)poll_ms * 1000;
        if (number == SIGHUP || is_time) {
            srv_loader_rescan(app->loader);
            polled_us = srv_now_us();
        }
        if (number == SIGHUP) {
            srv_supervisor_reloading();
            srv_reload(app);
            srv_supervisor_ready();
        } else {
            srv_reload_changed(app);
        }
        /* What takes the workers' lock is stuck when they are. */
        (void)srv_queue_depth(app->queue);
        srv_supervisor_alive();
    }
    srv_supervisor_stopping();
}

/* Everything from the open models to the last answer. */
static enum api_status serve_models(struct srv_app *app,
                                    struct api_error *error)
{
    const struct srv_config *config = app->config;
    struct srv_http *http = NULL;
    int listening = -1;
    unsigned port = 0;

    /* The port first: that it is taken should not be learnt last. */
    enum api_status status = srv_listener_inherit(&listening, &port, error);
    app->socket_inherited = listening >= 0;
    if (status == API_OK && listening < 0)
        status = srv_listener_open(config->host, config->port, &listening,
                                   &port, error);
    if (status == API_OK)
        status = srv_privileges_drop(config->user, error);
    if (status == API_OK)
        status = srv_queue_open(
            &(struct srv_queue_options){.workers = config->workers,
                                        .capacity = config->queue,
                                        .client_capacity = config->client_queue,
                                        .batch = config->batch},
            &app->queue, error);
    if (status == API_OK)
        status = srv_loader_open(app->registry, &app->loader, error);
    if (status == API_OK)
        status = srv_http_open(app, listening, &http, error);
    if (status != API_OK)
        goto out;
    listening = -1; /* http's now */
    if (config->port_file[0])
        status = write_port_file(config->port_file, port, error);
    if (status == API_OK) {
        log_listening(app, port);
        run_until_stopped(app);
        srv_drain(app, &http);
    }
out:
    srv_http_close(&http);
    if (listening >= 0)
        close(listening);
    srv_loader_close(&app->loader);
    srv_queue_close(&app->queue);
    return status;
}

static enum api_status open_models(const struct srv_config *config,
                                   struct srv_app *app, struct api_error *error)
{
    size_t pattern_count;
    const char *const *patterns = srv_route_patterns(&pattern_count);
    enum api_status status =
        srv_metrics_open(patterns, pattern_count, &app->metrics);
    if (status != API_OK)
        return api_fail(error, status, "no memory for metrics");
    const struct srv_registry_options options = {
        .model = config->model,
        .folder = config->models,
        .default_model = config->default_model,
        .each = {.workspaces = config->workers,
                 .threads_per_request = config->threads_per_request,
                 .batch = config->batch,
                 .metrics = app->metrics},
    };
    return srv_registry_open(&options, &app->registry, error);
}

/* All that settings name. Close it whatever this returns. */
static enum api_status open_files(const struct srv_config *config,
                                  struct srv_app *app, struct api_error *error)
{
    enum api_status status = API_OK;
    if (config->tokens[0])
        status = srv_auth_open(config->tokens, &app->auth, error);
    if (status == API_OK && config->tls_cert[0])
        status =
            srv_tls_open(config->tls_cert, config->tls_key, &app->tls, error);
    if (status == API_OK && srv_slow_open(&app->slow) != API_OK)
        status = api_fail(error, API_NO_MEMORY, "no memory for slow requests");
    /* It computes in one thread, where several are to share a request. */
    if (status == API_OK && config->threads_per_request == 1)
        status = nn_onednn_use(error);
    if (status == API_OK)
        status = open_models(config, app, error);
    return status;
}

static void close_files(struct srv_app *app)
{
    srv_registry_close(&app->registry);
    srv_metrics_close(&app->metrics);
    srv_slow_close(&app->slow);
    srv_tls_close(&app->tls);
    srv_auth_close(&app->auth);
}

static enum api_status serve(const struct srv_config *config,
                             struct api_error *error)
{
    struct srv_app app = {.config = config};
    srv_signals_prepare();
    srv_process_raise_fd_limit();
    srv_probe_prepare();
    enum api_status status = open_files(config, &app, error);
    if (status == API_OK)
        status = serve_models(&app, error);
    close_files(&app);
    if (status == API_OK)
        srv_log_message(SRV_INFO, "stopped", "all done");
    return status;
}

static enum api_status check(const struct srv_config *config,
                             struct api_error *error)
{
    struct srv_app app = {.config = config};
    unsigned served, failed;
    srv_log_set_level(SRV_ERROR);
    enum api_status status = open_files(config, &app, error);
    if (status != API_OK) {
        close_files(&app);
        return status;
    }
    srv_registry_count(app.registry, &served, &failed);
    close_files(&app);
    if (failed > 0)
        return api_fail(error, API_BAD_BUNDLE, "%u of %u bundles are refused",
                        failed, served + failed);
    srv_config_print(config, stdout);
    return API_OK;
}

int main(int argc, char **argv)
{
    struct srv_config config;
    enum srv_action action = SRV_SERVE;
    struct api_error error = {API_OK, ""};
    enum api_status status =
        srv_config_read(argc, argv, environ, &config, &action, &error);
    if (status != API_OK) {
        fprintf(stderr, "cleaved: %s\nTry cleaved --help.\n", error.text);
        return api_status_exit(status);
    }
    switch (action) {
    case SRV_HELP:
        srv_config_help(stdout);
        break;
    case SRV_VERSION:
        puts("cleaved " CLEAVE_VERSION);
        break;
    case SRV_CHECK:
        status = check(&config, &error);
        break;
    case SRV_HEALTHCHECK:
        status = srv_healthcheck(&config, &error);
        break;
    case SRV_SERVE:
        srv_log_set_level((enum srv_log_level)config.log_level);
        status = serve(&config, &error);
        break;
    }
    if (status != API_OK)
        fprintf(stderr, "cleaved: %s\n", error.text);
    return api_status_exit(status);
}
