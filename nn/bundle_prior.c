/* The priors of a bundle: entropy tables, copied out of the file, checked. */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"

enum { CDF_TOTAL = 65536, SYMBOL_LIMIT = 1 << 20 };

static const float gain_min = 1e-9f, gain_max = 1e9f;

static enum api_status refuse(const struct nn_prior *prior, const char *reason,
                              struct api_error *error)
{
    return api_fail(error, API_BAD_BUNDLE, "prior %s: %s", prior->name, reason);
}

/* The one-dimensional tensor under `member`, NULL unless of `dtype`. */
static const struct nn_tensor *find(const struct nn_bundle *bundle,
                                    const struct nn_json *json,
                                    const char *member, enum nn_dtype dtype)
{
    const struct nn_tensor *tensor =
        nn_bundle_tensor(bundle, nn_json_member(json, member));
    if (!tensor || tensor->dtype != dtype || tensor->rank != 1)
        return NULL;
    return tensor;
}

static enum api_status copy_tables(const struct nn_tensor *const tensors[4],
                                   struct nn_prior *prior,
                                   struct api_error *error)
{
    size_t channels = prior->channels;
    prior->gain = malloc(tensors[0]->bytes);
    prior->inverse_gain = malloc(tensors[0]->bytes);
    prior->symbol_min = malloc(tensors[1]->bytes);
    prior->cdf_start = malloc(tensors[2]->bytes);
    prior->cdf = malloc(tensors[3]->bytes);
    prior->bucket = calloc(channels, 256 * sizeof *prior->bucket);
    if (!prior->gain || !prior->inverse_gain || !prior->symbol_min ||
        !prior->cdf_start || !prior->cdf || !prior->bucket)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    memcpy(prior->gain, tensors[0]->data, tensors[0]->bytes);
    memcpy(prior->symbol_min, tensors[1]->data, tensors[1]->bytes);
    memcpy(prior->cdf_start, tensors[2]->data, tensors[2]->bytes);
    memcpy(prior->cdf, tensors[3]->data, tensors[3]->bytes);
    return API_OK;
}

/* Strictly increasing from 0 to 65536 in at least one step, which bounds the
 * entries by 65537, and intervals by what bucket's 16 bits can number. */
static bool cdf_ok(const uint32_t *cdf, uint32_t entries)
{
    if (cdf[0] != 0 || cdf[entries - 1] != CDF_TOTAL)
        return false;
    for (uint32_t i = 1; i < entries; i++)
        if (cdf[i] <= cdf[i - 1])
            return false;
    return true;
}

static void fill_buckets(const uint32_t *cdf, uint16_t *bucket)
{
    uint32_t interval = 0;
    for (uint32_t b = 0; b < 256; b++) {
        while (cdf[interval + 1] <= b << 8)
            interval++;
        bucket[b] = (uint16_t)interval;
    }
}

static enum api_status check_tables(struct nn_prior *prior, uint32_t entries,
                                    struct api_error *error)
{
    const uint32_t *start = prior->cdf_start;
    if (start[0] != 0 || start[prior->channels] != entries)
        return refuse(prior, "cdf_start does not span cdf", error);
    for (uint32_t c = 0; c < prior->channels; c++) {
        /* Compared before use; written so that no sum can wrap. */
        if (start[c + 1] > entries || start[c + 1] < start[c] ||
            start[c + 1] - start[c] < 2)
            return refuse(prior, "cdf_start does not rise by 2 or more", error);
        if (!cdf_ok(prior->cdf + start[c], start[c + 1] - start[c]))
            return refuse(prior, "cdf does not rise from 0 to 65536", error);
        fill_buckets(prior->cdf + start[c], prior->bucket + (size_t)c * 256);
        float gain = prior->gain[c];
        if (!(gain >= gain_min && gain <= gain_max))
            return refuse(prior, "gain outside 1e-9 to 1e9", error);
        prior->inverse_gain[c] = 1.0f / gain;
        if (prior->symbol_min[c] < -SYMBOL_LIMIT ||
            prior->symbol_min[c] > SYMBOL_LIMIT)
            return refuse(prior, "symbol_min beyond 2^20", error);
    }
    return API_OK;
}

static enum api_status read_prior(const struct nn_bundle *bundle,
                                  const char *name, const struct nn_json *json,
                                  struct nn_prior *prior,
                                  struct api_error *error)
{
    if (!nn_bundle_key_ok(name))
        return api_fail(error, API_BAD_BUNDLE, "prior with a bad name");
    prior->name = name;
    const struct nn_tensor *const tensors[4] = {
        find(bundle, json, "gain", NN_F32),
        find(bundle, json, "symbol_min", NN_I32),
        find(bundle, json, "cdf_start", NN_I32),
        find(bundle, json, "cdf", NN_I32),
    };
    for (size_t i = 0; i < 4; i++)
        if (!tensors[i])
            return refuse(prior, "a table is missing or no list of its type",
                          error);
    uint32_t channels = tensors[0]->dims[0];
    if (channels > API_LIMIT_PRIOR_CHANNELS ||
        tensors[3]->dims[0] > API_LIMIT_PRIOR_ENTRIES)
        return refuse(prior, "tables beyond their limits", error);
    if (tensors[1]->dims[0] != channels || tensors[2]->dims[0] != channels + 1)
        return refuse(prior, "tables do not agree on the channels", error);
    prior->channels = channels;
    enum api_status status = copy_tables(tensors, prior, error);
    if (status != API_OK)
        return status;
    return check_tables(prior, tensors[3]->dims[0], error);
}

enum api_status nn_bundle_read_priors(struct nn_bundle *bundle,
                                      struct api_error *error)
{
    const struct nn_json *priors = nn_json_member(bundle->document, "priors");
    size_t count = nn_json_count(priors);
    if (priors && (!nn_json_is_object(priors) || count > API_LIMIT_PRIORS))
        return api_fail(error, API_BAD_BUNDLE,
                        "priors are no object of at most %u", API_LIMIT_PRIORS);
    bundle->priors = calloc(count + 1, sizeof *bundle->priors);
    if (!bundle->priors)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    const char *name;
    const struct nn_json *json;
    for (void *at = NULL; nn_json_next(priors, &at, &name, &json);) {
        /* Counted first: what a failing read allocated is freed by close. */
        struct nn_prior *prior = &bundle->priors[bundle->prior_count++];
        enum api_status status = read_prior(bundle, name, json, prior, error);
        if (status != API_OK)
            return status;
    }
    return API_OK;
}

const struct nn_prior *nn_bundle_prior(const struct nn_bundle *bundle,
                                       const char *name)
{
    for (uint32_t i = 0; i < bundle->prior_count; i++)
        if (strcmp(bundle->priors[i].name, name) == 0)
            return &bundle->priors[i];
    return NULL;
}
