/* Packs int8 weights for the kernels and, apart, what follows their sums. */
#include <math.h>
#include <string.h>

#include "api/limits.h"
#include "nn/int8.h"

/* Results that become bytes stay this far from what an int32 holds. */
static const double BYTES_MAX = 2e9;

static float element(const struct nn_tensor *tensor, uint32_t index)
{
    float value = 0.0f;

    if (tensor)
        memcpy(&value, tensor->data + (size_t)index * sizeof value,
               sizeof value);
    return value;
}

/* Adds up weights in a row, fewer than 2^23; false if one is out of range. */
static bool count(const uint8_t *weights, uint32_t number,
                  struct nn_int8_totals *totals)
{
    int32_t sum = 0, sizes = 0, beyond = 0;

    for (uint32_t i = 0; i < number; i++) {
        int32_t weight = weights[i] ^ 0x80;

        weight -= 0x80;
        sum += weight;
        sizes += weight < 0 ? -weight : weight;
        beyond += weight < -127;
    }
    totals->sum += sum;
    totals->sizes += sizes;
    return beyond == 0;
}

/* Weights k.. of a column of a panel: groups of four, `stride` bytes apart. */
static void spread(const uint8_t *weights, uint32_t number, uint32_t k,
                   size_t stride, uint8_t *to)
{
    uint32_t i = 0;

    for (; i < number && (k + i) % 4 != 0; i++)
        to[(k + i) / 4 * stride + (k + i) % 4] = weights[i];
    for (; number - i >= 4; i += 4)
        memcpy(to + (k + i) / 4 * stride, weights + i, 4);
    for (; i < number; i++)
        to[(k + i) / 4 * stride + (k + i) % 4] = weights[i];
}

/* Groups of four along one kernel row of a conv or linear. */
static uint32_t row_groups(const struct nn_node *node)
{
    uint32_t width = node->op == NN_OP_CONV ? node->weight->dims[2] : 1;

    return (width * (node->inch.to - node->inch.from) + 3) / 4;
}

static uint32_t kernel_rows(const struct nn_node *node)
{
    return node->op == NN_OP_CONV ? node->weight->dims[1] : 1;
}

static uint32_t channels_of(const struct nn_node *node)
{
    return node->out.to - node->out.from;
}

/* Those of a depthwise convolution may be there more than once. */
static uint32_t packed_channels(const struct nn_int8_kernels *kernels,
                                const struct nn_node *node)
{
    const uint32_t channels = channels_of(node);

    return node->op == NN_OP_DWCONV
               ? nn_int8_repeats(kernels->lanes, channels) * channels
               : channels;
}

/* Channel `number` in range, as one column of a panel of `width`. */
static bool pack_column(const struct nn_node *node, uint32_t number,
                        uint32_t width, uint8_t *to,
                        struct nn_int8_totals *totals)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t taps = node->op == NN_OP_CONV ? weight->dims[2] : 1;
    const uint32_t rows = kernel_rows(node), groups = row_groups(node);
    const uint32_t channels = node->inch.to - node->inch.from;
    const size_t all_channels = weight->dims[weight->rank - 1];
    const uint8_t *from =
        weight->data +
        (size_t)(node->out.from + number) * rows * taps * all_channels +
        node->inch.from;
    bool good = true;

    for (uint32_t ky = 0; ky < rows; ky++) {
        for (uint32_t kx = 0; kx < taps; kx++, from += all_channels) {
            good &= count(from, channels, totals);
            spread(from, channels, kx * channels, (size_t)width * 4, to);
        }
        to += (size_t)groups * width * 4;
    }
    return good;
}

static bool pack_panels(const struct nn_int8_kernels *kernels,
                        const struct nn_node *node, uint8_t *to,
                        struct nn_int8_totals *totals)
{
    const uint32_t nr = kernels->nr, columns = channels_of(node);
    const size_t depth = (size_t)kernel_rows(node) * row_groups(node) * 4;
    bool good = true;

    for (uint32_t column = 0; column < columns;) {
        uint32_t width = columns - column <= nr / 2 ? nr / 2 : nr;

        for (uint32_t n = 0; n < width && column + n < columns; n++)
            good &= pack_column(node, column + n, width, to + 4 * n,
                                &totals[column + n]);
        to += width * depth;
        column += width;
    }
    return good;
}

/* Bytes of weights of one depthwise channel. */
static size_t window_bytes(const struct nn_tensor *weight)
{
    return (size_t)weight->dims[1] * ((weight->dims[0] + 3) / 4) * 4;
}

/* Channel number c, whose weights begin at `to` in a block. */
static bool pack_window(const struct nn_int8_kernels *kernels,
                        const struct nn_node *node, uint32_t c, uint8_t *to,
                        struct nn_int8_totals *totals)
{
    const struct nn_tensor *weight = node->weight;
    const uint32_t height = weight->dims[0], width = weight->dims[1];
    const uint8_t *from = weight->data + node->out.from + c;
    bool good = true;

    *totals = (struct nn_int8_totals){0, 0};
    for (uint32_t ky = 0; ky < height; ky++)
        for (uint32_t kx = 0; kx < width; kx++, from += weight->dims[2]) {
            size_t group = (size_t)kx * ((height + 3) / 4) + ky / 4;

            good &= count(from, 1, totals);
            to[group * kernels->lanes * 4 + ky % 4] = *from;
        }
    return good;
}

static bool pack_blocks(const struct nn_int8_kernels *kernels,
                        const struct nn_node *node, uint8_t *to,
                        struct nn_int8_totals *totals)
{
    const uint32_t lanes = kernels->lanes, channels = channels_of(node);
    const uint32_t copies = packed_channels(kernels, node);
    bool good = true;

    for (uint32_t c = 0; c < copies; c += lanes) {
        const uint32_t from = nn_int8_block_from(lanes, copies, c);

        for (uint32_t i = 0; i < lanes && from + i < copies; i++) {
            const uint32_t number = (from + i) % channels;

            good &=
                pack_window(kernels, node, number,
                            to + 4 * nn_int8_lane(lanes, i), &totals[number]);
        }
        to += window_bytes(node->weight) * lanes;
    }
    return good;
}

/* What a packed channel has, in arrays of `width` each that begin at `to`. */
static bool pack_constant(const struct nn_int8_kernels *kernels,
                          const struct nn_node *node, struct nn_quant in,
                          const struct nn_int8_totals *totals, uint32_t number,
                          uint32_t width, uint8_t *to)
{
    const struct nn_quant out = node->quant;
    int32_t start =
        (int32_t)((kernels->origin - (int64_t)in.zero) * totals[number].sum);
    float factor = in.scale * element(node->scale, number);
    float offset = element(node->bias, number);

    if (!isfinite(factor) || !isfinite(offset))
        return false;
    if (out.scale > 0) {
        factor /= out.scale;
        offset = offset / out.scale + (float)out.zero;
        if (!(255.0 * (double)totals[number].sizes * fabs((double)factor) +
                  fabs((double)offset) <=
              BYTES_MAX))
            return false;
    }
    memcpy(to, &start, sizeof start);
    memcpy(to + 4 * (size_t)width, &factor, sizeof factor);
    memcpy(to + 8 * (size_t)width, &offset, sizeof offset);
    return isfinite(factor) && isfinite(offset);
}

/* The smaller unit of columns or channels that are packed. */
static uint32_t unit_of(const struct nn_int8_kernels *kernels,
                        const struct nn_node *node)
{
    return node->op == NN_OP_DWCONV ? kernels->lanes : kernels->nr / 2;
}

static size_t packed_bytes(const struct nn_int8_kernels *kernels,
                           const struct nn_node *node, uint64_t bytes)
{
    const uint32_t unit = unit_of(kernels, node);
    uint64_t columns =
        ((uint64_t)packed_channels(kernels, node) + unit - 1) / unit * unit;

    return bytes > API_LIMIT_PACKED_BYTES / columns ? 0
                                                    : (size_t)(columns * bytes);
}

size_t nn_int8_weight_bytes(const struct nn_int8_kernels *kernels,
                            const struct nn_node *node)
{
    return packed_bytes(kernels, node,
                        node->op == NN_OP_DWCONV
                            ? window_bytes(node->weight)
                            : 4 * (uint64_t)kernel_rows(node) *
                                  row_groups(node));
}

size_t nn_int8_constant_bytes(const struct nn_int8_kernels *kernels,
                              const struct nn_node *node)
{
    return packed_bytes(kernels, node, NN_INT8_CONSTANT_BYTES);
}

enum api_status nn_int8_pack_weights(const struct nn_int8_kernels *kernels,
                                     const struct nn_node *node, uint8_t *to,
                                     struct nn_int8_totals *totals,
                                     struct api_error *error)
{
    bool good = node->op == NN_OP_DWCONV
                    ? pack_blocks(kernels, node, to, totals)
                    : pack_panels(kernels, node, to, totals);

    return good ? API_OK
                : api_fail(error, API_BAD_BUNDLE,
                           "weight %s: a value out of range",
                           node->weight->name);
}

enum api_status nn_int8_pack_constants(const struct nn_int8_kernels *kernels,
                                       const struct nn_node *node,
                                       struct nn_quant in,
                                       const struct nn_int8_totals *totals,
                                       uint8_t *to, struct api_error *error)
{
    const bool blocks = node->op == NN_OP_DWCONV;
    const uint32_t channels = channels_of(node), unit = unit_of(kernels, node);
    const uint32_t copies = packed_channels(kernels, node);
    bool good = true;

    for (uint32_t c = 0; c < copies;) {
        const uint32_t rest = copies - c;
        const uint32_t width = blocks || rest <= unit ? unit : 2 * unit;
        const uint32_t from = blocks ? nn_int8_block_from(width, copies, c) : c;

        for (uint32_t i = 0; i < width && from + i < copies; i++)
            good &= pack_constant(
                kernels, node, in, totals, (from + i) % channels, width,
                to + 4 * (size_t)(blocks ? nn_int8_lane(width, i) : i));
        to += (size_t)NN_INT8_CONSTANT_BYTES * width;
        c += width;
    }
    return good ? API_OK
                : api_fail(error, API_BAD_BUNDLE,
                           "weight %s: a scale or bias of it out of range",
                           node->weight->name);
}
