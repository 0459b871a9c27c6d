/* Opens a bundle: maps the file, splits header from data, reads the parts. */
#define _DEFAULT_SOURCE /* madvise: POSIX's own does nothing in glibc */
#include "nn/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"

bool nn_bundle_name_ok(const char *name, size_t max)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    size_t good = strspn(name, allowed);
    return good >= 1 && good <= max && name[good] == '\0';
}

bool nn_bundle_key_ok(const char *key)
{
    size_t i = 0;
    while (key[i] > ' ' && key[i] < 0x7f)
        i++;
    return i >= 1 && i <= 255 && key[i] == '\0';
}

/* Splits the file by safetensors' rule: 8 bytes of length, JSON, data. */
static enum api_status read_header(struct nn_bundle *bundle,
                                   struct api_error *error)
{
    const uint8_t *file = bundle->file;
    if (bundle->file_bytes < 8)
        return api_fail(error, API_BAD_BUNDLE, "shorter than its header");
    if (bundle->file_bytes > API_LIMIT_BUNDLE_BYTES)
        return api_fail(error, API_BAD_BUNDLE, "more than %u bytes",
                        API_LIMIT_BUNDLE_BYTES);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | file[i];
    if (length > API_LIMIT_BUNDLE_HEADER_BYTES)
        return api_fail(error, API_BAD_BUNDLE,
                        "header of more than %u bytes (no safetensors file?)",
                        API_LIMIT_BUNDLE_HEADER_BYTES);
    if (length > bundle->file_bytes - 8)
        return api_fail(error, API_BAD_BUNDLE, "header cut off");
    if (length == 0 || file[8] != '{')
        return api_fail(error, API_BAD_BUNDLE, "header is no JSON object");
    enum api_status status = nn_json_parse(
        (const char *)file + 8, (size_t)length, &bundle->header, error);
    if (status != API_OK)
        return status;
    bundle->data = file + 8 + length;
    bundle->data_bytes = bundle->file_bytes - 8 - (size_t)length;
    return API_OK;
}

/* safetensors' metadata maps strings to strings; ours holds one document. */
static enum api_status read_document(struct nn_bundle *bundle,
                                     struct api_error *error)
{
    const struct nn_json *metadata =
        nn_json_member(bundle->header, "__metadata__");
    const char *name;
    const struct nn_json *value;
    for (void *at = NULL; nn_json_next(metadata, &at, &name, &value);) {
        if (!nn_json_text(value))
            return api_fail(error, API_BAD_BUNDLE, "metadata that is not text");
    }
    const char *format = nn_json_text(nn_json_member(metadata, "format"));
    const char *text = nn_json_text(nn_json_member(metadata, "cleave"));
    if (!format || strcmp(format, "cleave") != 0 || !text)
        return api_fail(error, API_BAD_BUNDLE,
                        "a safetensors file, but not a Cleave bundle");
    enum api_status status =
        nn_json_parse(text, strlen(text), &bundle->document, error);
    if (status != API_OK)
        return status;
    uint64_t version;
    if (!nn_json_integer(nn_json_member(bundle->document, "format"), 1, 1,
                         &version))
        return api_fail(error, API_BAD_BUNDLE,
                        "bundle format unknown to this version");
    return API_OK;
}

static enum api_status read_parts(struct nn_bundle *bundle,
                                  struct api_error *error)
{
    static enum api_status (*const readers[])(struct nn_bundle *,
                                              struct api_error *) = {
        read_header,           read_document,         nn_bundle_read_tensors,
        nn_bundle_read_meta,   nn_bundle_read_graphs, nn_bundle_read_priors,
        nn_bundle_read_points,
    };
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        enum api_status status = readers[i](bundle, error);
        if (status != API_OK)
            return status;
    }
    return API_OK;
}

enum api_status nn_bundle_parse(const uint8_t *bytes, size_t count,
                                struct nn_bundle **bundle,
                                struct api_error *error)
{
    struct nn_bundle *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    made->file = bytes;
    made->file_bytes = count;
    enum api_status status = read_parts(made, error);
    if (status != API_OK) {
        nn_bundle_close(&made);
        return status;
    }
    *bundle = made;
    return API_OK;
}

static enum api_status map_file(int descriptor, const uint8_t **bytes,
                                size_t *count, struct api_error *error)
{
    struct stat facts;
    if (fstat(descriptor, &facts) != 0)
        return api_fail(error, API_NOT_FOUND, "cannot examine the bundle: %s",
                        strerror(errno));
    if (!S_ISREG(facts.st_mode))
        return api_fail(error, API_BAD_BUNDLE, "not a regular file");
    if (facts.st_size < 8)
        return api_fail(error, API_BAD_BUNDLE, "shorter than its header");
    if ((uintmax_t)facts.st_size > API_LIMIT_BUNDLE_BYTES)
        return api_fail(error, API_BAD_BUNDLE, "more than %u bytes",
                        API_LIMIT_BUNDLE_BYTES);
    void *map = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE,
                     descriptor, 0);
    if (map == MAP_FAILED)
        return api_fail(error, API_NO_MEMORY, "cannot map the bundle: %s",
                        strerror(errno));
    *bytes = map;
    *count = (size_t)facts.st_size;
    return API_OK;
}

enum api_status nn_bundle_open(const char *path, struct nn_bundle **bundle,
                               struct api_error *error)
{
    /* O_NONBLOCK: a FIFO at `path` must not hang us before fstat sees it. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return api_fail(error, API_NOT_FOUND, "cannot open %s: %s", path,
                        strerror(errno));
    const uint8_t *bytes = NULL;
    size_t count = 0;
    enum api_status status = map_file(descriptor, &bytes, &count, error);
    close(descriptor);
    if (status != API_OK)
        return status;
    struct nn_bundle *made = NULL;
    status = nn_bundle_parse(bytes, count, &made, error);
    if (status != API_OK) {
        munmap((void *)(uintptr_t)bytes, count);
        return status;
    }
    made->mapped = true;
    *bundle = made;
    return API_OK;
}

void nn_bundle_rest(const struct nn_bundle *bundle)
{
    if (bundle->mapped)
        madvise((void *)(uintptr_t)bundle->file, bundle->file_bytes,
                MADV_DONTNEED);
}

void nn_bundle_return(struct nn_bundle *bundle)
{
    if (bundle->mapped)
        return;
    for (uint32_t i = 0; i < bundle->tensor_count; i++)
        bundle->tensors[i].data = NULL;
    bundle->file = bundle->data = NULL;
}

void nn_bundle_close(struct nn_bundle **bundle)
{
    struct nn_bundle *old = *bundle;
    if (!old)
        return;
    for (uint32_t i = 0; i < old->graph_count; i++)
        free(old->graphs[i].nodes);
    for (uint32_t i = 0; i < old->prior_count; i++) {
        free(old->priors[i].gain);
        free(old->priors[i].inverse_gain);
        free(old->priors[i].symbol_min);
        free(old->priors[i].cdf_start);
        free(old->priors[i].cdf);
        free(old->priors[i].reciprocal);
        free(old->priors[i].bucket);
        free(old->priors[i].context_weight);
        free(old->priors[i].context_limit);
    }
    free(old->labels);
    free(old->tensors);
    free(old->graphs);
    free(old->priors);
    free(old->points);
    nn_json_free(&old->document);
    nn_json_free(&old->header);
    if (old->mapped)
        munmap((void *)(uintptr_t)old->file, old->file_bytes);
    free(old);
    *bundle = NULL;
}
