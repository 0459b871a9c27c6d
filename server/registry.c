/* Opens models and prepares, once, all that can be served without computing.
 * It holds one model now; callers ask by name, so that it can hold more. */
#include "server/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"

struct srv_registry {
    struct srv_model model;
    struct srv_document list;
};

static void describe(struct srv_model *model)
{
    const struct nn_model *nn = model->nn;
    struct api_model *info = &model->info;
    snprintf(info->name, sizeof info->name, "%s", nn_model_name(nn));
    snprintf(info->version, sizeof info->version, "%s", nn_model_version(nn));
    info->fingerprint = nn_model_fingerprint(nn);
    info->input_width = nn_model_input(nn)->width;
    info->input_height = nn_model_input(nn)->height;
    info->class_count = nn_model_class_count(nn);
    info->point_count = nn_model_point_count(nn);
    model->offload_point = -1;
    for (uint16_t i = 0; i < info->point_count; i++) {
        info->points[i] = *nn_model_point(nn, i);
        if (info->points[i].kind == API_POINT_OFFLOAD &&
            nn_model_has_tail(nn, i) && model->offload_point < 0)
            model->offload_point = i;
        size_t values = nn_latent_values(nn, i);
        if (values > model->latent_most)
            model->latent_most = values;
    }
}

/* Takes malloc'ed `bytes`; NULL means that memory ran out. The tag holds the
 * fingerprint for a reader of logs, and a checksum because numbers and labels
 * can change under the same fingerprint. */
static enum api_status fill(struct srv_document *document, uint64_t fingerprint,
                            char *bytes, size_t count, struct api_error *error)
{
    if (!bytes)
        return api_fail(error, API_NO_MEMORY, "no memory for documents");
    document->bytes = bytes;
    document->count = count;
    snprintf(document->etag, sizeof document->etag,
             "\"%016" PRIx64 "-%zx-%08" PRIx32 "\"", fingerprint, count,
             api_crc32c(0, bytes, count));
    return API_OK;
}

static enum api_status fill_text(struct srv_document *document,
                                 uint64_t fingerprint, char *text,
                                 struct api_error *error)
{
    return fill(document, fingerprint, text, text ? strlen(text) : 0, error);
}

static enum api_status export_labels(struct srv_model *model,
                                     struct api_error *error)
{
    uint32_t count = model->info.class_count;
    const char **labels = malloc(count * sizeof *labels);
    if (!labels)
        return api_fail(error, API_NO_MEMORY, "no memory for labels");
    for (uint32_t i = 0; i < count; i++)
        labels[i] = nn_model_label(model->nn, i);
    char *text = api_labels_write(labels, count);
    free(labels);
    return fill_text(&model->labels, model->info.fingerprint, text, error);
}

/* A bundle without a device's part is served all the same. */
static enum api_status export_head(struct srv_model *model, bool include_local,
                                   struct srv_document *document,
                                   struct api_error *error)
{
    uint8_t *bytes = NULL;
    size_t count = 0;
    enum api_status status =
        nn_model_export_head(model->nn, include_local, &bytes, &count, error);
    if (status == API_UNAVAILABLE)
        return API_OK;
    if (status != API_OK)
        return status;
    return fill(document, model->info.fingerprint, (char *)bytes, count, error);
}

static enum api_status open_model(const char *path, struct srv_model *model,
                                  struct api_error *error)
{
    enum api_status status = nn_model_open(path, &model->nn, error);
    if (status != API_OK)
        return status;
    describe(model);
    status = fill_text(&model->metadata, model->info.fingerprint,
                       api_model_write(&model->info), error);
    if (status == API_OK)
        status = export_labels(model, error);
    if (status == API_OK)
        status = export_head(model, false, &model->head, error);
    if (status == API_OK)
        status = export_head(model, true, &model->head_with_local, error);
    return status;
}

enum api_status srv_registry_open(const char *path,
                                  struct srv_registry **registry,
                                  struct api_error *error)
{
    struct srv_registry *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the model");
    enum api_status status = open_model(path, &made->model, error);
    if (status == API_OK) {
        const struct api_model *models[] = {&made->model.info};
        status = fill_text(&made->list, made->model.info.fingerprint,
                           api_model_list_write(models, 1), error);
    }
    if (status != API_OK) {
        srv_registry_close(&made);
        return status;
    }
    *registry = made;
    return API_OK;
}

void srv_registry_close(struct srv_registry **registry)
{
    struct srv_registry *old = *registry;
    if (!old)
        return;
    free(old->list.bytes);
    free(old->model.metadata.bytes);
    free(old->model.labels.bytes);
    free(old->model.head.bytes);
    free(old->model.head_with_local.bytes);
    nn_model_close(&old->model.nn);
    free(old);
    *registry = NULL;
}

const struct srv_model *srv_registry_find(const struct srv_registry *registry,
                                          const char *name, size_t length)
{
    const char *own = registry->model.info.name;
    if (strlen(own) == length && memcmp(own, name, length) == 0)
        return &registry->model;
    return NULL;
}

const struct srv_model *
srv_registry_default(const struct srv_registry *registry)
{
    return &registry->model;
}

const struct srv_document *
srv_registry_list(const struct srv_registry *registry)
{
    return &registry->list;
}
