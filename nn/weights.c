/* Packs weights for the kernels and shares them between graphs. */
#include "nn/weights.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bump.h"
#include "nn/half.h"
#include "nn/int8.h"
#include "nn/threads.h"
#include "nn/winograd.h"

enum { FIRST_SLOTS = 64 };

/* 14 rows of so many floats take 28 KiB of a first-level cache. */
enum { CHUNK_DEPTH = 512 };

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

uint32_t nn_chunk_count(uint32_t taps, uint32_t channels, uint32_t groups)
{
    uint32_t parts = (channels + CHUNK_DEPTH - 1) / CHUNK_DEPTH;

    if (groups > 1)
        return 1;
    if (parts > 1)
        return taps * parts;
    parts = CHUNK_DEPTH / channels; /* taps in a chunk */
    return (taps + parts - 1) / parts;
}

struct nn_chunk nn_chunk_at(uint32_t taps, uint32_t channels, uint32_t count,
                            uint32_t index)
{
    struct nn_chunk chunk = {0, taps, 0, channels};
    uint32_t parts = count / taps;

    if (parts > 1) {
        const struct nn_part part = {0, parts, NULL};

        chunk.tap_from = index / parts;
        chunk.tap_to = chunk.tap_from + 1;
        chunk.channel_from =
            (uint32_t)nn_part_from(part, index % parts, channels);
        chunk.channel_to =
            (uint32_t)nn_part_from(part, index % parts + 1, channels);
    } else {
        const struct nn_part part = {0, count, NULL};

        chunk.tap_from = (uint32_t)nn_part_from(part, index, taps);
        chunk.tap_to = (uint32_t)nn_part_from(part, index + 1, taps);
    }
    return chunk;
}

static bool is_depthwise(enum nn_op op)
{
    return op == NN_OP_DWCONV || op == NN_OP_AFFINE;
}

static uint32_t groups_of(const struct nn_node *node)
{
    return node->op == NN_OP_CONV ? node->groups : 1;
}

static bool same_quant(struct nn_quant a, struct nn_quant b)
{
    return a.zero == b.zero && memcmp(&a.scale, &b.scale, sizeof a.scale) == 0;
}

static bool same_weights(const struct nn_node *a, const struct nn_node *b)
{
    return is_depthwise(a->op) == is_depthwise(b->op) &&
           a->weight == b->weight && a->out.from == b->out.from &&
           a->out.to == b->out.to && a->inch.from == b->inch.from &&
           a->inch.to == b->inch.to && groups_of(a) == groups_of(b);
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

/* Element `index` of a tensor of numbers, at any alignment. */
static float element(const struct nn_tensor *tensor, size_t index)
{
    float value;
    uint16_t half;

    switch (tensor->dtype) {
    case NN_F16:
        memcpy(&half, tensor->data + index * sizeof half, sizeof half);
        return nn_half_to_float(half);
    case NN_BF16:
        memcpy(&half, tensor->data + index * sizeof half, sizeof half);
        return nn_bfloat_to_float(half);
    case NN_I8:
        return (float)(int8_t)tensor->data[index];
    default:
        memcpy(&value, tensor->data + index * sizeof value, sizeof value);
        return value;
    }
}

/* Scale or bias of the n-th channel in range: those tensors have one value
 * for each channel that the node uses. */
static float element_or(const struct nn_tensor *tensor, size_t n, float other)
{
    return tensor ? element(tensor, n) : other;
}

static uint32_t taps_of(const struct nn_node *node)
{
    return node->op == NN_OP_CONV
               ? node->weight->dims[1] * node->weight->dims[2]
               : 1;
}

/* The panels of one group or chunk, of `columns` output channels that begin
 * with the `first` in range; returns where they end. */
static float *pack_group(const struct nn_weights *weights,
                         const struct nn_node *node,
                         const struct nn_chunk *chunk, uint32_t first,
                         uint32_t columns, float *to)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t nr = weights->kernels->nr;
    const bool is_first = chunk->tap_from == 0 && chunk->channel_from == 0;
    size_t taps = taps_of(node);
    size_t all_channels = weight->dims[weight->rank - 1];

    for (uint32_t column = 0; column < columns;) {
        uint32_t rest = columns - column;
        uint32_t width = rest <= nr / 2 ? nr / 2 : nr;

        if (rest > width)
            rest = width;
        for (uint32_t n = 0; n < rest; n++) {
            size_t row = (node->out.from + first + column + n) * taps;
            float scale = element_or(node->scale, first + column + n, 1.0f);
            float *at = to + n;

            if (is_first)
                *at = element_or(node->bias, first + column + n, 0.0f);
            for (size_t tap = chunk->tap_from; tap < chunk->tap_to; tap++) {
                size_t from = (row + tap) * all_channels + node->inch.from;

                for (uint32_t c = chunk->channel_from; c < chunk->channel_to;
                     c++) {
                    at += width;
                    *at = element(weight, from + c) * scale;
                }
            }
        }
        to += ((size_t)nn_chunk_depth(chunk) + 1) * width;
        column += width;
    }
    return to;
}

static void pack_panels(const struct nn_weights *weights,
                        const struct nn_node *node, float *to)
{
    uint32_t groups = groups_of(node);
    uint32_t columns = (node->out.to - node->out.from) / groups;
    uint32_t channels = node->inch.to - node->inch.from, taps = taps_of(node);
    uint32_t chunks = nn_chunk_count(taps, channels, groups);

    for (uint32_t group = 0; group < groups; group++)
        for (uint32_t i = 0; i < chunks; i++) {
            struct nn_chunk chunk = nn_chunk_at(taps, channels, chunks, i);

            to =
                pack_group(weights, node, &chunk, group * columns, columns, to);
        }
}

/* Floats of one point's panels: for each column its bias, then its weights. */
static size_t point_floats(const struct nn_weights *weights,
                           const struct nn_node *node)
{
    const size_t half = weights->kernels->nr / 2;
    const size_t columns = node->out.to - node->out.from;
    const size_t channels = node->inch.to - node->inch.from;

    return (columns + half - 1) / half * half * (channels + 1);
}

static void pack_points(const struct nn_weights *weights,
                        const struct nn_node *node, float *to)
{
    enum { TAPS = 9, WITH_BIAS = 7 }; /* the point (1, 1) of 6 x 6 */
    const struct nn_tensor *weight = node->weight;
    const uint32_t nr = weights->kernels->nr;
    const uint32_t columns = node->out.to - node->out.from;
    const uint32_t channels = node->inch.to - node->inch.from;
    const size_t all_channels = weight->dims[weight->rank - 1];
    const size_t stride = point_floats(weights, node);

    for (uint32_t n = 0; n < columns; n++) {
        const uint32_t panel = n / nr * nr;
        const uint32_t width = columns - panel <= nr / 2 ? nr / 2 : nr;
        const float scale = element_or(node->scale, n, 1.0f);
        float *at = to + (size_t)panel * (channels + 1) + n % nr;

        at[WITH_BIAS * stride] = element_or(node->bias, n, 0.0f);
        for (uint32_t c = 0; c < channels; c++) {
            float taps[TAPS], points[NN_WINOGRAD_POINTS];

            for (size_t tap = 0; tap < TAPS; tap++)
                taps[tap] =
                    scale * element(weight, ((node->out.from + n) * TAPS +
                                             tap) * all_channels +
                                                node->inch.from + c);
            nn_winograd_weights(taps, points);
            at += width;
            for (size_t point = 0; point < NN_WINOGRAD_POINTS; point++)
                at[point * stride] = points[point];
        }
    }
}

static void pack_blocks(const struct nn_weights *weights,
                        const struct nn_node *node, float *to)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t lanes = weights->kernels->lanes;
    uint32_t channels = node->out.to - node->out.from;
    size_t taps = weight ? (size_t)weight->dims[0] * weight->dims[1] : 1;

    for (uint32_t c = 0; c < channels; c++) {
        float *at = to + c / lanes * (taps + 1) * lanes + c % lanes;
        float scale = element_or(node->scale, c, 1.0f);

        *at = element_or(node->bias, c, 0.0f);
        for (size_t tap = 0; tap < taps; tap++) {
            size_t index =
                weight ? tap * weight->dims[2] + node->out.from + c : 0;

            at += lanes;
            *at = weight ? element(weight, index) * scale : scale;
        }
    }
}

/* Floats that packing the node takes, or 0 if they exceed the limit. */
static size_t packed_floats(const struct nn_weights *weights,
                            const struct nn_node *node)
{
    const uint32_t *dims = node->weight ? node->weight->dims : NULL;
    uint64_t columns = node->out.to - node->out.from;
    uint64_t depth = 1, chunks = 1;

    if (is_depthwise(node->op)) {
        uint32_t lanes = weights->kernels->lanes;

        if (dims)
            depth = (uint64_t)dims[0] * dims[1];
        columns = (columns + lanes - 1) / lanes * lanes;
    } else {
        uint32_t half = weights->kernels->nr / 2, groups = groups_of(node);

        depth = node->inch.to - node->inch.from;
        if (node->op == NN_OP_CONV) /* sides are below 2^17, so this fits */
            depth *= dims[1] * (uint64_t)dims[2];
        columns = (columns / groups + half - 1) / half * half * groups;
        if (depth > API_LIMIT_PACKED_BYTES) /* taps may not fit 32 bits */
            return 0;
        chunks = nn_chunk_count(taps_of(node), node->inch.to - node->inch.from,
                                groups);
    }
    if (depth + chunks > API_LIMIT_PACKED_BYTES / sizeof(float) / columns)
        return 0;
    return (size_t)(columns * (depth + chunks));
}

static size_t packed_bytes(const struct nn_weights *weights,
                           const struct entry *entry)
{
    const struct nn_int8_kernels *int8 = weights->kernels->int8;

    switch (entry->kind) {
    case BYTES:
        return nn_int8_weight_bytes(int8, &entry->node);
    case CONSTANTS:
        return nn_int8_constant_bytes(int8, &entry->node);
    case POINTS:
        return NN_WINOGRAD_POINTS * point_floats(weights, &entry->node) *
               sizeof(float);
    default:
        return packed_floats(weights, &entry->node) * sizeof(float);
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
        pack_points(weights, node, entry->packed);
        return API_OK;
    default:
        if (is_depthwise(node->op))
            pack_blocks(weights, node, entry->packed);
        else
            pack_panels(weights, node, entry->packed);
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

/* A node's weights and then its biases, dequantised and scaled, as
 * [output channel][tap][input channel] and [output channel]. */
static void fill_plain(const struct nn_node *node, float *to)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t columns = node->out.to - node->out.from;
    const size_t all_channels = weight->dims[weight->rank - 1];
    const size_t taps = taps_of(node);

    for (uint32_t n = 0; n < columns; n++) {
        float scale = element_or(node->scale, n, 1.0f);

        for (size_t tap = 0; tap < taps; tap++) {
            size_t from = ((node->out.from + n) * taps + tap) * all_channels;

            for (uint32_t c = node->inch.from; c < node->inch.to; c++)
                *to++ = element(weight, from + c) * scale;
        }
    }
    for (uint32_t n = 0; n < columns; n++)
        *to++ = element_or(node->bias, n, 0.0f);
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
    const size_t ours = packed_floats(weights, node);
    const size_t depth =
        (size_t)taps_of(node) * (node->inch.to - node->inch.from);
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
    fill_plain(node, plain);
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
