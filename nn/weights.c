/* Packs weights for the kernels and shares them between graphs. */
#include "nn/weights.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bump.h"
#include "nn/int8.h"
#include "nn/pack.h"
#include "nn/winograd.h"

enum { FIRST_SLOTS = 64 };

/* Winograd's weights are four times as many as a plain convolution's. */
enum { POINTS_BYTES_MAX = API_LIMIT_PACKED_BYTES / 4 };

enum kind { FLOATS, POINTS, BYTES, CONSTANTS, LAYER };

/* One thing packed. */
struct entry {
    enum kind kind;
    struct nn_node node;   /* shape and place members unused */
    struct nn_quant in;    /* of CONSTANTS */
    struct nn_dense dense; /* of LAYER, as is whose it is */
    const struct nn_provider *provider;
    void *packed; /* NULL in an empty slot */
    /* Of BYTES: of each channel, for the constants that go with them. */
    struct nn_int8_totals *totals;
};

struct nn_weights {
    const struct nn_kernels *kernels;
    struct entry *slots; /* open addressing, at most half full */
    size_t slot_count;   /* a power of two */
    size_t used;
    size_t bytes;
    size_t points_bytes; /* of these, of POINTS */
    struct nn_bump bump; /* what `packed` points to, but providers' layers */
};

static bool same_quant(struct nn_quant a, struct nn_quant b)
{
    return a.zero == b.zero && memcmp(&a.scale, &b.scale, sizeof a.scale) == 0;
}

static bool same_weights(const struct nn_node *a, const struct nn_node *b)
{
    return nn_pack_is_depthwise(a->op) == nn_pack_is_depthwise(b->op) &&
           a->weight == b->weight && a->out.from == b->out.from &&
           a->out.to == b->out.to && a->inch.from == b->inch.from &&
           a->inch.to == b->inch.to && nn_pack_groups(a) == nn_pack_groups(b);
}

/* Would packing give the same? Bytes are the same whatever follows them. */
static bool same(const struct entry *a, const struct entry *b)
{
    return a->kind == b->kind && same_weights(&a->node, &b->node) &&
           (a->kind == BYTES ||
            (a->node.scale == b->node.scale && a->node.bias == b->node.bias &&
             same_quant(a->node.quant, b->node.quant) &&
             same_quant(a->in, b->in) &&
             memcmp(&a->dense, &b->dense, sizeof a->dense) == 0));
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return ((hash ^ value) * 0x9e3779b97f4a7c15u) ^ (hash >> 29);
}

/* The slot of what is like `wanted`, or an empty one for it. */
static struct entry *find(const struct nn_weights *weights,
                          const struct entry *wanted)
{
    const struct nn_node *node = &wanted->node;
    size_t mask = weights->slot_count - 1;
    uint64_t hash = wanted->kind;

    hash = mix(hash, (uintptr_t)node->weight);
    hash = mix(hash, (uint64_t)node->out.from << 32 | node->out.to);
    hash = mix(hash, (uint64_t)node->inch.from << 32 | node->inch.to);
    if (wanted->kind != BYTES) {
        hash = mix(hash, (uintptr_t)node->scale);
        hash = mix(hash, (uintptr_t)node->bias);
    }
    for (size_t i = (size_t)(hash >> 17) & mask;; i = (i + 1) & mask)
        if (!weights->slots[i].packed || same(&weights->slots[i], wanted))
            return &weights->slots[i];
}

static enum api_status grow(struct nn_weights *weights)
{
    struct nn_weights wider = *weights;

    wider.slot_count *= 2;
    wider.slots = calloc(wider.slot_count, sizeof *wider.slots);
    if (!wider.slots)
        return API_NO_MEMORY;
    for (size_t i = 0; i < weights->slot_count; i++)
        if (weights->slots[i].packed)
            *find(&wider, &weights->slots[i]) = weights->slots[i];
    free(weights->slots);
    *weights = wider;
    return API_OK;
}

enum api_status nn_weights_open(const struct nn_kernels *kernels,
                                struct nn_weights **weights)
{
    struct nn_weights *made = calloc(1, sizeof *made);

    if (!made)
        return API_NO_MEMORY;
    made->kernels = kernels;
    made->slot_count = FIRST_SLOTS;
    made->slots = calloc(made->slot_count, sizeof *made->slots);
    if (!made->slots) {
        free(made);
        return API_NO_MEMORY;
    }
    *weights = made;
    return API_OK;
}

void nn_weights_close(struct nn_weights **weights)
{
    if (!*weights)
        return;
    for (size_t i = 0; i < (*weights)->slot_count; i++) {
        struct entry *slot = &(*weights)->slots[i];

        free(slot->totals);
        if (slot->provider)
            slot->provider->close(slot->packed);
    }
    nn_bump_clear(&(*weights)->bump);
    free((*weights)->slots);
    free(*weights);
    *weights = NULL;
}

size_t nn_weights_bytes(const struct nn_weights *weights)
{
    return weights->bytes;
}

static size_t packed_bytes(const struct nn_weights *weights,
                           const struct entry *entry)
{
    const struct nn_int8_kernels *int8 = weights->kernels->int8;
    const struct nn_node *node = &entry->node;

    switch (entry->kind) {
    case BYTES:
        return nn_int8_weight_bytes(int8, node);
    case CONSTANTS:
        return nn_int8_constant_bytes(int8, node);
    case POINTS:
        return NN_WINOGRAD_POINTS * sizeof(float) *
               nn_pack_point_floats(weights->kernels,
                                    node->inch.to - node->inch.from,
                                    node->out.to - node->out.from);
    default:
        return nn_pack_floats(weights->kernels, node) * sizeof(float);
    }
}

/* `totals` are those of the bytes that constants go with. */
static enum api_status fill(const struct nn_weights *weights,
                            struct entry *entry,
                            const struct nn_int8_totals *totals,
                            struct api_error *error)
{
    const struct nn_int8_kernels *int8 = weights->kernels->int8;
    const struct nn_node *node = &entry->node;

    switch (entry->kind) {
    case BYTES:
        entry->totals =
            calloc(node->out.to - node->out.from, sizeof *entry->totals);
        if (!entry->totals)
            return api_fail(error, API_NO_MEMORY, "no memory for the weights");
        return nn_int8_pack_weights(int8, node, entry->packed, entry->totals,
                                    error);
    case CONSTANTS:
        return nn_int8_pack_constants(int8, node, entry->in, totals,
                                      entry->packed, error);
    case POINTS:
        nn_pack_points(weights->kernels, node, entry->packed);
        return API_OK;
    default:
        nn_pack(weights->kernels, node, entry->packed);
        return API_OK;
    }
}

static enum api_status too_much(struct api_error *error)
{
    return api_fail(error, API_BAD_BUNDLE, "the weights in use exceed %u MiB",
                    API_LIMIT_PACKED_BYTES >> 20);
}

/* Puts `entry` into its empty slot. */
static enum api_status keep(struct nn_weights *weights, struct entry *slot,
                            const struct entry *entry, size_t bytes,
                            struct api_error *error)
{
    *slot = *entry;
    weights->bytes += bytes;
    /* Growing may fail: then the table merely fills up further, but one slot
     * must stay empty for find() to end. */
    if (++weights->used * 2 > weights->slot_count && grow(weights) != API_OK &&
        weights->used + 1 >= weights->slot_count)
        return api_fail(error, API_NO_MEMORY, "no memory for the weights");
    return API_OK;
}

/* Completes `entry` by what is like it, packed now or before. */
static enum api_status obtain(struct nn_weights *weights, struct entry *entry,
                              const struct nn_int8_totals *totals,
                              struct api_error *error)
{
    struct entry *slot = find(weights, entry);
    size_t bytes;
    enum api_status status;

    if (slot->packed) {
        *entry = *slot;
        return API_OK;
    }
    bytes = packed_bytes(weights, entry);
    if (!bytes || bytes > API_LIMIT_PACKED_BYTES - weights->bytes)
        return too_much(error);
    entry->packed = nn_bump_get(&weights->bump, bytes);
    if (!entry->packed)
        return api_fail(error, API_NO_MEMORY, "no memory for the weights");
    status = fill(weights, entry, totals, error);
    if (status != API_OK) {
        free(entry->totals);
        return status;
    }
    return keep(weights, slot, entry, bytes, error);
}

enum api_status nn_weights_pack(struct nn_weights *weights,
                                const struct nn_node *node,
                                const float **packed, struct api_error *error)
{
    struct entry floats = {.kind = FLOATS, .node = *node};
    enum api_status status = obtain(weights, &floats, NULL, error);

    if (status == API_OK)
        *packed = floats.packed;
    return status;
}

enum api_status nn_weights_pack_winograd(struct nn_weights *weights,
                                         const struct nn_node *node,
                                         const float **packed,
                                         struct api_error *error)
{
    struct entry points = {.kind = POINTS, .node = *node};
    const size_t before = weights->bytes;
    enum api_status status;

    *packed = NULL;
    if (packed_bytes(weights, &points) >
        POINTS_BYTES_MAX - weights->points_bytes)
        return API_OK;
    status = obtain(weights, &points, NULL, error);
    if (status != API_OK)
        return status;
    weights->points_bytes += weights->bytes - before;
    *packed = points.packed;
    return API_OK;
}

enum api_status nn_weights_pack_int8(struct nn_weights *weights,
                                     const struct nn_node *node,
                                     struct nn_quant in,
                                     struct nn_packed_int8 *packed,
                                     struct api_error *error)
{
    struct entry bytes = {.kind = BYTES, .node = *node};
    struct entry constants = {.kind = CONSTANTS, .node = *node, .in = in};
    enum api_status status = obtain(weights, &bytes, NULL, error);

    if (status == API_OK)
        status = obtain(weights, &constants, bytes.totals, error);
    if (status == API_OK)
        *packed = (struct nn_packed_int8){bytes.packed, constants.packed};
    return status;
}

enum api_status nn_weights_provide(struct nn_weights *weights,
                                   const struct nn_provider *provider,
                                   const struct nn_node *node,
                                   const struct nn_dense *dense,
                                   const struct nn_layer **layer,
                                   struct api_error *error)
{
    struct entry entry = {
        .kind = LAYER, .node = *node, .dense = *dense, .provider = provider};
    struct entry *slot = find(weights, &entry);
    const size_t ours = nn_pack_floats(weights->kernels, node);
    const size_t depth =
        (size_t)nn_pack_taps(node) * (node->inch.to - node->inch.from);
    const size_t columns = node->out.to - node->out.from;
    size_t bytes;
    float *plain;

    *layer = slot->packed;
    if (slot->packed)
        return API_OK;
    if (!ours || ours * sizeof(float) > API_LIMIT_PACKED_BYTES - weights->bytes)
        return too_much(error);
    plain = malloc((depth + 1) * columns * sizeof *plain);
    if (!plain)
        return api_fail(error, API_NO_MEMORY, "no memory for the weights");
    nn_pack_plain(node, plain);
    entry.packed =
        provider->open(dense, weights->kernels, plain, plain + depth * columns);
    free(plain);
    if (!entry.packed)
        return API_OK;
    bytes = provider->bytes(entry.packed);
    if (bytes > API_LIMIT_PACKED_BYTES - weights->bytes) {
        provider->close(entry.packed);
        return API_OK; /* ours fit */
    }
    *layer = entry.packed;
    return keep(weights, slot, &entry, bytes, error);
}
