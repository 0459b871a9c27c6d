/* The Open Inference Protocol without inference: metadata, health, and the
 * repository of models. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/oip.h"
#include "server/app.h"
#include "server/handlers.h"
#include "server/model.h"

static const char json_type[] = "application/json";

/* Takes malloc'ed text; NULL means that memory ran out. */
static void reply_json(struct srv_request *request, char *text)
{
    srv_reply_owned(request, 200, json_type, text, text ? strlen(text) : 0);
}

static void reply_literal(struct srv_request *request, const char *text)
{
    srv_reply_static(request, json_type, text, strlen(text));
}

void srv_oip_server(struct srv_request *request)
{
    reply_json(request, api_oip_server_write("cleaved", CLEAVE_VERSION));
}

void srv_oip_live(struct srv_request *request)
{
    reply_literal(request, "{\"live\":true}");
}

/* The protocol's own schema of this reply says "live", its text "ready". */
void srv_oip_ready(struct srv_request *request)
{
    if (srv_reply_unless_ready(request))
        reply_literal(request, "{\"live\":true,\"ready\":true}");
}

void srv_oip_model(struct srv_request *request)
{
    const struct srv_model *own = request->model;
    struct srv_model *models[API_LIMIT_MODELS];
    const char *versions[API_LIMIT_MODELS];
    size_t count = srv_registry_take_all(request->app->registry, models);
    size_t version_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(models[i]->info.name, own->info.name) == 0)
            versions[version_count++] = models[i]->info.version;
    }
    reply_json(request, api_oip_model_write(&own->info, own->offload_point >= 0,
                                            versions, version_count));
    while (count > 0)
        srv_model_release(&models[--count]);
}

void srv_oip_model_ready(struct srv_request *request)
{
    char text[120];
    snprintf(text, sizeof text, "{\"name\":\"%s\",\"ready\":true}",
             request->model->info.name);
    reply_json(request, strdup(text));
}

void srv_oip_index(struct srv_request *request)
{
    struct api_repository_request asked;
    struct api_error error;
    enum api_status status = api_repository_read(
        (const char *)request->body, request->body_bytes, &asked, &error);
    if (status != API_OK) {
        srv_reply_problem(request, status, error.text);
        return;
    }
    struct api_bundle_state *bundles =
        malloc(API_LIMIT_MODELS * sizeof *bundles);
    char *text = NULL;
    if (bundles) {
        size_t count = srv_registry_index(request->app->registry, bundles);
        text = api_oip_index_write(bundles, count, asked.only_served);
        free(bundles);
    }
    reply_json(request, text);
}

void srv_oip_control_begin(struct srv_request *request)
{
    if (!request->app->config->model_control)
        srv_reply_problem(request, API_UNAVAILABLE,
                          "start cleaved with --model-control 1 to load and "
                          "unload models by request");
}

typedef enum api_status control_fn(struct srv_registry *registry,
                                   const char *name, struct api_error *error);

/* In the loader's thread. */
static void run(struct srv_job *job, enum api_status verdict,
                control_fn *control)
{
    struct srv_request *request =
        (struct srv_request *)(void *)((char *)job -
                                       offsetof(struct srv_request, infer.job));
    struct api_error error = {API_OK, "the server is shutting down"};
    char name[64];
    enum api_status status = verdict;
    if (verdict == API_QUOTA)
        api_fail(&error, verdict, "it gave way to another client's");
    snprintf(name, sizeof name, "%.*s", (int)request->name_length,
             request->name);
    if (status == API_OK)
        status = control(request->app->registry, name, &error);
    if (status == API_OK)
        reply_literal(request, "{}");
    else
        srv_reply_problem(request, status, error.text);
    srv_request_resume(request);
}

static void run_load(struct srv_job *job, enum api_status verdict)
{
    run(job, verdict, srv_registry_load);
}

static void run_unload(struct srv_job *job, enum api_status verdict)
{
    run(job, verdict, srv_registry_unload);
}

static void submit(struct srv_request *request,
                   void (*work)(struct srv_job *, enum api_status))
{
    struct api_repository_request asked;
    struct api_error error = {API_OK, "too many models are being loaded"};
    enum api_status status = api_repository_read(
        (const char *)request->body, request->body_bytes, &asked, &error);
    request->infer.job.run = work;
    request->infer.job.deadline_us = INT64_MAX;
    if (status == API_OK && request->name_length >= 64)
        status = api_fail(&error, API_NOT_FOUND, "no bundle of that name");
    if (status == API_OK)
        status = srv_loader_submit(request->app->loader, &request->infer.job);
    if (status == API_OK)
        return;
    srv_reply_problem(request, status, error.text);
    srv_request_resume(request);
}

void srv_oip_load(struct srv_request *request)
{
    submit(request, run_load);
}

void srv_oip_unload(struct srv_request *request)
{
    submit(request, run_unload);
}
