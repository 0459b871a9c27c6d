/* Weights in the order in which the kernels of floats read them. */
#include "nn/pack.h"

#include <string.h>

#include "api/limits.h"
#include "nn/half.h"
#include "nn/threads.h"
#include "nn/winograd.h"

/* 14 rows of so many floats take 28 KiB of a first-level cache. */
enum { CHUNK_DEPTH = 512 };

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

bool nn_pack_is_depthwise(enum nn_op op)
{
    return op == NN_OP_DWCONV || op == NN_OP_AFFINE;
}

uint32_t nn_pack_groups(const struct nn_node *node)
{
    return node->op == NN_OP_CONV ? node->groups : 1;
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

uint32_t nn_pack_taps(const struct nn_node *node)
{
    return node->op == NN_OP_CONV
               ? node->weight->dims[1] * node->weight->dims[2]
               : 1;
}

/* The panels of one group or chunk, of `columns` output channels that begin
 * with the `first` in range; returns where they end. */
static float *pack_group(const struct nn_kernels *kernels,
                         const struct nn_node *node,
                         const struct nn_chunk *chunk, uint32_t first,
                         uint32_t columns, float *to)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t nr = kernels->nr;
    const bool is_first = chunk->tap_from == 0 && chunk->channel_from == 0;
    size_t taps = nn_pack_taps(node);
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

static void pack_panels(const struct nn_kernels *kernels,
                        const struct nn_node *node, float *to)
{
    uint32_t groups = nn_pack_groups(node);
    uint32_t columns = (node->out.to - node->out.from) / groups;
    uint32_t channels = node->inch.to - node->inch.from,
             taps = nn_pack_taps(node);
    uint32_t chunks = nn_chunk_count(taps, channels, groups);

    for (uint32_t group = 0; group < groups; group++)
        for (uint32_t i = 0; i < chunks; i++) {
            struct nn_chunk chunk = nn_chunk_at(taps, channels, chunks, i);

            to =
                pack_group(kernels, node, &chunk, group * columns, columns, to);
        }
}

size_t nn_pack_point_floats(const struct nn_kernels *kernels, uint32_t inputs,
                            uint32_t outputs)
{
    const size_t half = kernels->nr / 2;

    return (outputs + half - 1) / half * half * ((size_t)inputs + 1);
}

void nn_pack_points(const struct nn_kernels *kernels,
                    const struct nn_node *node, float *to)
{
    enum { TAPS = 9, WITH_BIAS = 7 }; /* the point (1, 1) of 6 x 6 */
    const struct nn_tensor *weight = node->weight;
    const uint32_t nr = kernels->nr;
    const uint32_t columns = node->out.to - node->out.from;
    const uint32_t channels = node->inch.to - node->inch.from;
    const size_t all_channels = weight->dims[weight->rank - 1];
    const size_t stride = nn_pack_point_floats(kernels, channels, columns);

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

static void pack_blocks(const struct nn_kernels *kernels,
                        const struct nn_node *node, float *to)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t lanes = kernels->lanes;
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

void nn_pack(const struct nn_kernels *kernels, const struct nn_node *node,
             float *to)
{
    if (nn_pack_is_depthwise(node->op))
        pack_blocks(kernels, node, to);
    else
        pack_panels(kernels, node, to);
}

size_t nn_pack_floats(const struct nn_kernels *kernels,
                      const struct nn_node *node)
{
    const uint32_t *dims = node->weight ? node->weight->dims : NULL;
    uint64_t columns = node->out.to - node->out.from;
    uint64_t depth = 1, chunks = 1;

    if (nn_pack_is_depthwise(node->op)) {
        uint32_t lanes = kernels->lanes;

        if (dims)
            depth = (uint64_t)dims[0] * dims[1];
        columns = (columns + lanes - 1) / lanes * lanes;
    } else {
        uint32_t half = kernels->nr / 2, groups = nn_pack_groups(node);

        depth = node->inch.to - node->inch.from;
        if (node->op == NN_OP_CONV) /* sides are below 2^17, so this fits */
            depth *= dims[1] * (uint64_t)dims[2];
        columns = (columns / groups + half - 1) / half * half * groups;
        if (depth > API_LIMIT_PACKED_BYTES) /* taps may not fit 32 bits */
            return 0;
        chunks = nn_chunk_count(nn_pack_taps(node),
                                node->inch.to - node->inch.from, groups);
    }
    if (depth + chunks > API_LIMIT_PACKED_BYTES / sizeof(float) / columns)
        return 0;
    return (size_t)(columns * (depth + chunks));
}

void nn_pack_plain(const struct nn_node *node, float *to)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t columns = node->out.to - node->out.from;
    const size_t all_channels = weight->dims[weight->rank - 1];
    const size_t taps = nn_pack_taps(node);

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
