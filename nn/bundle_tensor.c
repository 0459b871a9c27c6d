/* The tensors of a bundle: entries of the safetensors header, checked. */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"

#define METADATA "__metadata__"

static const struct {
    const char *name;
    enum nn_dtype dtype;
    uint8_t bytes;
} dtypes[] = {
    {"F32", NN_F32, 4}, {"F16", NN_F16, 2}, {"BF16", NN_BF16, 2},
    {"I32", NN_I32, 4}, {"I8", NN_I8, 1},   {"U8", NN_U8, 1},
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct nn_tensor *)a)->name,
                  ((const struct nn_tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const uint8_t *x = (*(const struct nn_tensor *const *)a)->data;
    const uint8_t *y = (*(const struct nn_tensor *const *)b)->data;
    return (x > y) - (x < y);
}

static enum api_status read_tensor(const struct nn_bundle *bundle,
                                   const char *name,
                                   const struct nn_json *entry,
                                   struct nn_tensor *tensor,
                                   struct api_error *error)
{
    if (!nn_bundle_key_ok(name))
        return api_fail(error, API_BAD_BUNDLE, "tensor with a bad name");
    tensor->name = name;

    const char *dtype = nn_json_text(nn_json_member(entry, "dtype"));
    size_t element_bytes = 0;
    for (size_t i = 0; dtype && i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtype, dtypes[i].name) == 0) {
            tensor->dtype = dtypes[i].dtype;
            element_bytes = dtypes[i].bytes;
        }
    }
    if (element_bytes == 0)
        return api_fail(error, API_BAD_BUNDLE,
                        "tensor %s: element type unknown", name);

    const struct nn_json *shape = nn_json_member(entry, "shape");
    if (!nn_json_is_array(shape) || nn_json_count(shape) > 4)
        return api_fail(error, API_BAD_BUNDLE,
                        "tensor %s: shape is no list of up to 4", name);
    tensor->rank = (uint8_t)nn_json_count(shape);
    /* At most 4 sides of 2^16 and 4 bytes: checked against the file's size
     * after each side, the product stays below 2^30 * 2^16. */
    uint64_t bytes = element_bytes;
    for (size_t i = 0; i < 4; i++) {
        uint64_t side = 1;
        if (i < tensor->rank && !nn_json_integer(nn_json_at(shape, i), 1,
                                                 API_LIMIT_TENSOR_SIDE, &side))
            return api_fail(error, API_BAD_BUNDLE,
                            "tensor %s: side outside 1 to %u", name,
                            API_LIMIT_TENSOR_SIDE);
        tensor->dims[i] = (uint32_t)side;
        bytes *= side;
        if (bytes > bundle->data_bytes)
            return api_fail(error, API_BAD_BUNDLE,
                            "tensor %s: larger than the file", name);
    }

    const struct nn_json *offsets = nn_json_member(entry, "data_offsets");
    uint64_t from, to;
    if (nn_json_count(offsets) != 2 ||
        !nn_json_integer(nn_json_at(offsets, 0), 0, bundle->data_bytes,
                         &from) ||
        !nn_json_integer(nn_json_at(offsets, 1), from, bundle->data_bytes, &to))
        return api_fail(error, API_BAD_BUNDLE,
                        "tensor %s: offsets outside the file", name);
    if (to - from != bytes)
        return api_fail(error, API_BAD_BUNDLE,
                        "tensor %s: offsets do not fit its shape", name);
    tensor->data = bundle->data + from;
    tensor->bytes = (size_t)bytes;
    return API_OK;
}

/* The format wants every byte to belong to exactly one tensor. */
static enum api_status check_places(const struct nn_bundle *bundle,
                                    struct api_error *error)
{
    size_t count = bundle->tensor_count;
    const struct nn_tensor **order = calloc(count + 1, sizeof *order);
    if (!order)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        order[i] = &bundle->tensors[i];
    qsort(order, count, sizeof *order, by_place);
    const uint8_t *end = bundle->data;
    enum api_status status = API_OK;
    for (size_t i = 0; i < count && status == API_OK; i++) {
        if (order[i]->data != end)
            status =
                api_fail(error, API_BAD_BUNDLE,
                         "tensor %s: gap or overlap before it", order[i]->name);
        end = order[i]->data + order[i]->bytes;
    }
    if (status == API_OK && end != bundle->data + bundle->data_bytes)
        status = api_fail(error, API_BAD_BUNDLE,
                          "bytes after the last tensor, or missing ones");
    free(order);
    return status;
}

enum api_status nn_bundle_read_tensors(struct nn_bundle *bundle,
                                       struct api_error *error)
{
    /* The metadata is a member of the header but no tensor. */
    size_t count = nn_json_count(bundle->header) - 1;
    bundle->tensors = calloc(count + 1, sizeof *bundle->tensors);
    if (!bundle->tensors)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    const char *name;
    const struct nn_json *entry;
    for (void *at = NULL; nn_json_next(bundle->header, &at, &name, &entry);) {
        if (strcmp(name, METADATA) == 0)
            continue;
        enum api_status status = read_tensor(
            bundle, name, entry, &bundle->tensors[bundle->tensor_count], error);
        if (status != API_OK)
            return status;
        bundle->tensor_count++;
    }
    qsort(bundle->tensors, bundle->tensor_count, sizeof *bundle->tensors,
          by_name);
    return check_places(bundle, error);
}

const struct nn_tensor *nn_bundle_tensor(const struct nn_bundle *bundle,
                                         const struct nn_json *name)
{
    struct nn_tensor key = {.name = nn_json_text(name)};
    if (!key.name)
        return NULL;
    return bsearch(&key, bundle->tensors, bundle->tensor_count,
                   sizeof *bundle->tensors, by_name);
}
