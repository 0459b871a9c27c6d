/* Opens a bundle and prepares, once, all that can be served without
 * computing. */
#include "server/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "server/selftest.h"
#include "server/process.h"

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
 * fingerprint, which stands for the weights, and a checksum of the first
 * `checked` bytes because numbers and labels can change under it. */
static enum api_status fill(struct srv_document *document, uint64_t fingerprint,
                            char *bytes, size_t count, size_t checked,
                            struct api_error *error)
{
    if (!bytes)
        return api_fail(error, API_NO_MEMORY, "no memory for documents");
    document->bytes = bytes;
    document->count = count;
    snprintf(document->etag, sizeof document->etag,
             "\"%016" PRIx64 "-%zx-%08" PRIx32 "\"", fingerprint, count,
             api_crc32c(0, bytes, checked));
    return API_OK;
}

static enum api_status fill_text(struct srv_document *document,
                                 uint64_t fingerprint, char *text,
                                 struct api_error *error)
{
    size_t count = text ? strlen(text) : 0;
    return fill(document, fingerprint, text, count, count, error);
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

/* A bundle begins with the length of its header, 8 bytes, then the header. */
static size_t head_checked_bytes(const uint8_t *bundle)
{
    size_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | bundle[i];
    return 8 + length;
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
    return fill(document, model->info.fingerprint, (char *)bytes, count,
                head_checked_bytes(bytes), error);
}

static enum api_status export_all(struct srv_model *model,
                                  struct api_error *error)
{
    enum api_status status =
        fill_text(&model->metadata, model->info.fingerprint,
                  api_model_write(&model->info), error);
    if (status == API_OK)
        status = export_labels(model, error);
    if (status == API_OK)
        status = export_head(model, false, &model->head, error);
    if (status == API_OK)
        status = export_head(model, true, &model->head_with_local, error);
    return status;
}

static enum api_status open_workspaces(
    struct srv_model *model, const struct srv_model_options *options,
    struct api_error *error)
{
    struct srv_workspace **opened =
        calloc(options->workspaces, sizeof(struct srv_workspace *));
    enum api_status status = API_OK;
    unsigned count = 0;
    if (!opened)
        return api_fail(error, API_NO_MEMORY, "no memory for workspaces");
    while (status == API_OK && count < options->workspaces) {
        status = srv_workspace_open(model, options->threads_per_request,
                                    options->batch, &opened[count], error);
        if (status == API_OK)
            count++;
    }
    if (status == API_OK)
        status = srv_selftest(model, opened, count, error);
    while (count > 0)
        srv_model_give_back(model, opened[--count]);
    free(opened);
    return status;
}

static enum api_status open_series(struct srv_model *model,
                                   struct srv_metrics *metrics,
                                   struct api_error *error)
{
    const struct api_model *info = &model->info;
    for (uint16_t i = 0; i <= API_LIMIT_POINTS; i++) {
        if (i >= info->point_count && i < API_LIMIT_POINTS)
            continue;
        model->series[i] =
            srv_metrics_series(metrics, info->name, info->version,
                               i < API_LIMIT_POINTS ? info->points[i].id : "");
        if (!model->series[i])
            return api_fail(error, API_NO_MEMORY, "no memory for metrics");
    }
    return API_OK;
}

enum api_status srv_model_open(const struct srv_bundle_file *file,
                               const struct srv_model_options *options,
                               struct srv_model **model,
                               struct api_error *error)
{
    struct srv_model *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the model");
    atomic_init(&made->leases, 1);
    pthread_mutex_init(&made->lock, NULL);
    uint8_t *bytes = NULL;
    size_t count;
    enum api_status status = srv_file_read(file, &bytes, &count, error);
    if (status == API_OK)
        status = nn_model_open_bytes(bytes, count, &made->nn, error);
    if (status == API_OK) {
        describe(made);
        status = export_all(made, error);
        nn_model_return_bytes(made->nn);
    }
    free(bytes);
    if (status == API_OK)
        status = open_workspaces(made, options, error);
    if (status == API_OK)
        status = open_series(made, options->metrics, error);
    if (status == API_OK)
        *model = made;
    else
        srv_model_release(&made);
    return status;
}

static void close_model(struct srv_model *model)
{
    while (model->idle) {
        struct srv_workspace *workspace = srv_model_borrow(model);
        srv_workspace_close(&workspace);
    }
    free(model->metadata.bytes);
    free(model->labels.bytes);
    free(model->head.bytes);
    free(model->head_with_local.bytes);
    nn_model_close(&model->nn);
    pthread_mutex_destroy(&model->lock);
    free(model);
    srv_process_return_memory();
}

struct srv_model *srv_model_lease(struct srv_model *model)
{
    atomic_fetch_add(&model->leases, 1);
    return model;
}

void srv_model_release(struct srv_model **model)
{
    struct srv_model *old = *model;
    *model = NULL;
    if (old && atomic_fetch_sub(&old->leases, 1) == 1)
        close_model(old);
}

struct srv_workspace *srv_model_borrow(struct srv_model *model)
{
    pthread_mutex_lock(&model->lock);
    struct srv_workspace *workspace = model->idle;
    model->idle = workspace->next;
    pthread_mutex_unlock(&model->lock);
    return workspace;
}

void srv_model_give_back(struct srv_model *model,
                         struct srv_workspace *workspace)
{
    /* On top: what was used last is still in some cache. */
    pthread_mutex_lock(&model->lock);
    workspace->next = model->idle;
    model->idle = workspace;
    pthread_mutex_unlock(&model->lock);
}
