/* What a device must know of a model: metadata, labels, head bundle. */
#include <string.h>

#include "server/app.h"
#include "server/handlers.h"
#include "server/registry.h"

static const char json_type[] = "application/json";

static void reply_document(struct srv_request *request, const char *type,
                           const struct srv_document *document)
{
    srv_reply_static(request, type, document->bytes, document->count);
}

void srv_model_list(struct srv_request *request)
{
    struct srv_model *models[API_LIMIT_MODELS];
    const struct api_model *infos[API_LIMIT_MODELS];
    size_t count = srv_registry_take_all(request->app->registry, models);
    for (size_t i = 0; i < count; i++)
        infos[i] = &models[i]->info;
    char *text = api_model_list_write(infos, count);
    srv_reply_owned(request, 200, json_type, text, text ? strlen(text) : 0);
    while (count > 0)
        srv_model_release(&models[--count]);
}

void srv_model_metadata(struct srv_request *request)
{
    reply_document(request, json_type, &request->model->metadata);
}

void srv_model_labels(struct srv_request *request)
{
    reply_document(request, json_type, &request->model->labels);
}

void srv_model_head(struct srv_request *request)
{
    char include[16];
    int given = srv_request_query(request, "include", include, sizeof include);
    if (given < 0 || (given > 0 && strcmp(include, "local") != 0)) {
        srv_reply_problem(request, API_BAD_REQUEST,
                          "query parameter include takes \"local\" only");
        return;
    }
    const struct srv_document *document =
        given ? &request->model->head_with_local : &request->model->head;
    if (!document->bytes) {
        srv_reply_problem(request, API_UNAVAILABLE,
                          "this model's bundle has no such part");
        return;
    }
    reply_document(request, "application/octet-stream", document);
    /* The library sends no body then, but the length it would have. */
    if (srv_request_holds(request, document->etag))
        request->reply.code = 304;
    srv_reply_header(request, "ETag", "%s", document->etag);
    srv_reply_header(request, "Cache-Control", "no-cache");
}
