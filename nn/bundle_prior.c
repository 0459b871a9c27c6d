/* The priors of a bundle: entropy tables, copied out of the file, checked. */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"
#include "nn/rans.h"

enum { CDF_TOTAL = 65536, SYMBOL_LIMIT = 1 << 20 };

static const float gain_min = 1e-9f, gain_max = 1e9f;

static enum api_status refuse(const struct nn_prior *prior, const char *reason,
                              struct api_error *error)
{
    return api_fail(error, API_BAD_BUNDLE, "prior %s: %s", prior->name, reason);
}

/* A prior's tensors; the context's are NULL where it has none. */
struct tables {
    const struct nn_tensor *gain, *symbol_min, *cdf_start, *cdf, *weight,
        *limit;
};

/* Finds the tensor under `member`; false if it is missing, or of another type
 * or rank. */
static bool find(const struct nn_bundle *bundle, const struct nn_json *json,
                 const char *member, enum nn_dtype dtype, uint8_t rank,
                 const struct nn_tensor **tensor)
{
    *tensor = nn_bundle_tensor(bundle, nn_json_member(json, member));
    return *tensor && (*tensor)->dtype == dtype && (*tensor)->rank == rank;
}

static bool find_tables(const struct nn_bundle *bundle,
                        const struct nn_json *json, struct tables *tables)
{
    if (!find(bundle, json, "gain", NN_F32, 1, &tables->gain) ||
        !find(bundle, json, "symbol_min", NN_I32, 1, &tables->symbol_min) ||
        !find(bundle, json, "cdf_start", NN_I32, 1, &tables->cdf_start) ||
        !find(bundle, json, "cdf", NN_I32, 1, &tables->cdf))
        return false;
    if (!nn_json_member(json, "context_weight") &&
        !nn_json_member(json, "context_limit"))
        return true;
    return find(bundle, json, "context_weight", NN_I8, 3, &tables->weight) &&
           find(bundle, json, "context_limit", NN_I32, 2, &tables->limit);
}

/* Shapes that agree; any weights and limits will do. */
static bool shapes_agree(const struct tables *tables,
                         const struct nn_prior *prior)
{
    uint32_t channels = prior->channels;
    if (tables->symbol_min->dims[0] != channels ||
        tables->cdf_start->dims[0] != channels * prior->contexts + 1)
        return false;
    return !tables->weight || (tables->weight->dims[0] == 3 &&
                               tables->weight->dims[1] == channels &&
                               tables->weight->dims[2] == channels &&
                               tables->limit->dims[0] == channels);
}

static void *copy(const struct nn_tensor *tensor)
{
    void *bytes = malloc(tensor->bytes);
    if (bytes)
        memcpy(bytes, tensor->data, tensor->bytes);
    return bytes;
}

/* A [C, K] tensor of I32 as [K, C]. */
static int32_t *transpose(const struct nn_tensor *tensor)
{
    size_t rows = tensor->dims[0], columns = tensor->dims[1];
    int32_t *made = malloc(tensor->bytes);
    for (size_t i = 0; made && i < rows * columns; i++)
        memcpy(&made[i % columns * rows + i / columns],
               tensor->data + i * sizeof *made, sizeof *made);
    return made;
}

/* Without those of this position's channels that are not yet known. */
static int8_t *copy_weights(const struct nn_tensor *tensor)
{
    size_t channels = tensor->dims[1];
    int8_t *made = copy(tensor);
    for (size_t from = 0; made && from < channels; from++)
        memset(made + (2 * channels + from) * channels, 0, from + 1);
    return made;
}

static enum api_status copy_tables(const struct tables *tables,
                                   struct nn_prior *prior,
                                   struct api_error *error)
{
    prior->gain = copy(tables->gain);
    prior->inverse_gain = malloc(tables->gain->bytes);
    prior->symbol_min = copy(tables->symbol_min);
    prior->cdf_start = copy(tables->cdf_start);
    prior->cdf = copy(tables->cdf);
    prior->reciprocal = malloc(tables->cdf->bytes);
    prior->bucket = calloc((size_t)prior->channels * prior->contexts,
                           NN_BUCKETS * sizeof *prior->bucket);
    if (tables->weight) {
        prior->context_weight = copy_weights(tables->weight);
        prior->context_limit = transpose(tables->limit);
    }
    if (!prior->gain || !prior->inverse_gain || !prior->symbol_min ||
        !prior->cdf_start || !prior->cdf || !prior->reciprocal ||
        !prior->bucket ||
        (tables->weight && (!prior->context_weight || !prior->context_limit)))
        return api_fail(error, API_NO_MEMORY, "out of memory");
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

static enum api_status check_tables(struct nn_prior *prior, uint32_t entries,
                                    struct api_error *error)
{
    const uint32_t *start = prior->cdf_start;
    uint32_t count = prior->channels * prior->contexts;
    if (start[0] != 0 || start[count] != entries)
        return refuse(prior, "cdf_start does not span cdf", error);
    for (uint32_t t = 0; t < count; t++) {
        /* Compared before use; written so that no sum can wrap. */
        if (start[t + 1] > entries || start[t + 1] < start[t] ||
            start[t + 1] - start[t] < 2)
            return refuse(prior, "cdf_start does not rise by 2 or more", error);
        if (!cdf_ok(prior->cdf + start[t], start[t + 1] - start[t]))
            return refuse(prior, "cdf does not rise from 0 to 65536", error);
    }
    return API_OK;
}

static enum api_status check_channels(struct nn_prior *prior,
                                      struct api_error *error)
{
    for (uint32_t c = 0; c < prior->channels; c++) {
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
    struct tables tables = {0};
    if (!find_tables(bundle, json, &tables))
        return refuse(prior, "a table is missing or no list of its type",
                      error);
    prior->channels = tables.gain->dims[0];
    prior->contexts = tables.limit ? tables.limit->dims[1] + 1 : 1;
    if (prior->channels > API_LIMIT_PRIOR_CHANNELS / prior->contexts ||
        tables.cdf->dims[0] > API_LIMIT_PRIOR_ENTRIES)
        return refuse(prior, "tables beyond their limits", error);
    if (!shapes_agree(&tables, prior))
        return refuse(prior, "tables do not agree on the channels", error);
    enum api_status status = copy_tables(&tables, prior, error);
    if (status == API_OK)
        status = check_tables(prior, tables.cdf->dims[0], error);
    if (status == API_OK)
        status = check_channels(prior, error);
    if (status == API_OK)
        nn_rans_prepare(prior);
    return status;
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
