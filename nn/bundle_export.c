/* Writes the part of a bundle that a device needs, as a bundle of its own. */
#include <stdlib.h>
#include <string.h>

#include "api/large.h"
#include "api/limits.h"
#include "nn/bundle_parts.h"

/* The data begins at a multiple of this, as safetensors writers do. */
enum { DATA_ALIGNMENT = 64 };

struct export
{
    const struct nn_bundle *bundle;
    bool *keep_graph;               /* [graph_count] */
    bool *keep_tensor;              /* [tensor_count] */
    const struct nn_tensor **order; /* kept tensors as they lie in the file */
    size_t order_count, data_bytes;
};

static void keep_tensor(struct export *job, const struct nn_tensor *tensor)
{
    if (tensor)
        job->keep_tensor[tensor - job->bundle->tensors] = true;
}

static void choose_graphs(struct export *job, bool include_local)
{
    const struct nn_bundle *bundle = job->bundle;
    for (uint16_t i = 0; i < bundle->point_count; i++) {
        const struct nn_bundle_point *point = &bundle->points[i];
        if (point->head)
            job->keep_graph[point->head - bundle->graphs] = true;
        if (point->exit)
            job->keep_graph[point->exit - bundle->graphs] = true;
        if (point->full && include_local && point->info.kind == API_POINT_LOCAL)
            job->keep_graph[point->full - bundle->graphs] = true;
    }
}

static int by_place(const void *a, const void *b)
{
    const uint8_t *x = (*(const struct nn_tensor *const *)a)->data;
    const uint8_t *y = (*(const struct nn_tensor *const *)b)->data;
    return (x > y) - (x < y);
}

static void choose_tensors(struct export *job)
{
    static const char *const tables[] = {"gain",           "symbol_min",
                                         "cdf_start",      "cdf",
                                         "context_weight", "context_limit"};
    const struct nn_bundle *bundle = job->bundle;
    for (uint32_t g = 0; g < bundle->graph_count; g++) {
        const struct nn_graph *graph = &bundle->graphs[g];
        for (uint32_t i = 0; job->keep_graph[g] && i < graph->node_count; i++) {
            keep_tensor(job, graph->nodes[i].weight);
            keep_tensor(job, graph->nodes[i].scale);
            keep_tensor(job, graph->nodes[i].bias);
        }
    }
    const struct nn_json *priors = nn_json_member(bundle->document, "priors");
    const char *name;
    const struct nn_json *prior;
    for (void *at = NULL; nn_json_next(priors, &at, &name, &prior);)
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
            keep_tensor(job, nn_bundle_tensor(
                                 bundle, nn_json_member(prior, tables[i])));

    for (uint32_t i = 0; i < bundle->tensor_count; i++) {
        if (!job->keep_tensor[i])
            continue;
        job->order[job->order_count++] = &bundle->tensors[i];
        job->data_bytes += bundle->tensors[i].bytes;
    }
    qsort(job->order, job->order_count, sizeof *job->order, by_place);
}

/* The document as text, without the graphs that are left out; NULL: out of
 * memory. */
static char *write_document(const struct export *job)
{
    const struct nn_bundle *bundle = job->bundle;
    char *text = NULL;
    struct nn_json *document = nn_json_object();
    struct nn_json *graphs = nn_json_object();
    bool good = document && graphs;
    const struct nn_json *all = nn_json_member(bundle->document, "graphs");
    for (uint32_t i = 0; good && i < bundle->graph_count; i++) {
        const char *name = bundle->graphs[i].name;
        if (job->keep_graph[i])
            good = nn_json_set(graphs, name, nn_json_member(all, name));
    }
    const char *name;
    const struct nn_json *value;
    for (void *at = NULL;
         good && nn_json_next(bundle->document, &at, &name, &value);)
        good = nn_json_set(document, name,
                           strcmp(name, "graphs") == 0 ? graphs : value);
    if (good)
        text = nn_json_write(document);
    nn_json_free(&graphs);
    nn_json_free(&document);
    return text;
}

/* The entry of one tensor: the original one with new offsets. */
static bool set_tensor(const struct export *job, struct nn_json *header,
                       const struct nn_tensor *tensor, uint64_t from)
{
    const uint64_t offsets[2] = {from, from + tensor->bytes};
    const struct nn_json *old =
        nn_json_member(job->bundle->header, tensor->name);
    struct nn_json *entry = nn_json_object();
    bool good = entry &&
                nn_json_set(entry, "dtype", nn_json_member(old, "dtype")) &&
                nn_json_set(entry, "shape", nn_json_member(old, "shape")) &&
                nn_json_set_integers(entry, "data_offsets", offsets, 2) &&
                nn_json_set(header, tensor->name, entry);
    nn_json_free(&entry);
    return good;
}

/* The whole safetensors header as text; NULL: out of memory. */
static char *write_header(const struct export *job)
{
    char *text = NULL, *document = write_document(job);
    struct nn_json *header = nn_json_object();
    struct nn_json *metadata = nn_json_object();
    bool good = document && header && metadata &&
                nn_json_set_text(metadata, "format", "cleave") &&
                nn_json_set_text(metadata, "cleave", document) &&
                nn_json_set(header, "__metadata__", metadata);
    uint64_t from = 0;
    for (size_t i = 0; good && i < job->order_count; i++) {
        good = set_tensor(job, header, job->order[i], from);
        from += job->order[i]->bytes;
    }
    if (good)
        text = nn_json_write(header);
    nn_json_free(&metadata);
    nn_json_free(&header);
    free(document);
    return text;
}

static uint8_t *assemble(const struct export *job, const char *header,
                         size_t *byte_count)
{
    size_t text_bytes = strlen(header);
    size_t start =
        (8 + text_bytes + DATA_ALIGNMENT - 1) / DATA_ALIGNMENT * DATA_ALIGNMENT;
    uint8_t *bytes = api_large_alloc(start + job->data_bytes);
    if (!bytes)
        return NULL;
    uint64_t length = start - 8;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(length >> 8 * i);
    memcpy(bytes + 8, header, text_bytes);
    memset(bytes + 8 + text_bytes, ' ', start - 8 - text_bytes);
    uint8_t *end = bytes + start;
    for (size_t i = 0; i < job->order_count; i++) {
        memcpy(end, job->order[i]->data, job->order[i]->bytes);
        end += job->order[i]->bytes;
    }
    *byte_count = start + job->data_bytes;
    return bytes;
}

enum api_status nn_bundle_export_head(const struct nn_bundle *bundle,
                                      bool include_local, uint8_t **bytes,
                                      size_t *byte_count,
                                      struct api_error *error)
{
    enum api_status status = API_NO_MEMORY;
    char *header = NULL;
    uint8_t *made;
    struct export job = {.bundle = bundle};
    if (!bundle->file)
        return api_fail(error, API_UNAVAILABLE,
                        "the bundle's bytes were given back");
    job.keep_graph = calloc(bundle->graph_count + 1, sizeof *job.keep_graph);
    job.keep_tensor = calloc(bundle->tensor_count + 1, sizeof *job.keep_tensor);
    job.order = calloc(bundle->tensor_count + 1, sizeof *job.order);
    if (!job.keep_graph || !job.keep_tensor || !job.order)
        goto out;
    choose_graphs(&job, include_local);
    choose_tensors(&job);
    header = write_header(&job);
    if (!header)
        goto out;
    made = assemble(&job, header, byte_count);
    if (!made)
        goto out;
    *bytes = made;
    status = API_OK;
out:
    if (status != API_OK)
        api_fail(error, status, "out of memory");
    free(header);
    free(job.order);
    free(job.keep_tensor);
    free(job.keep_graph);
    return status;
}
