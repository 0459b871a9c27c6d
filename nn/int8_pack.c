/* Packs int8 weights for the kernels, with what follows their sums. */
#include <math.h>
#include <string.h>

#include "api/limits.h"
#include "nn/int8.h"

/* Bytes of a start, a factor and an offset. */
enum { HEAD_BYTES = 12 };

/* What a packed channel begins with, in arrays `step` elements apart. */
struct head {
    uint8_t *start, *factor, *offset;
};

/* One output channel: a window of weights in the file and where they go. */
struct channel {
    const struct nn_node *node;
    const struct nn_int8_kernels *kernels;
    struct nn_quant in;
    uint32_t number; /* in range */
    struct head head;
};

static float element(const struct nn_tensor *tensor, uint32_t index)
{
    float value = 0.0f;

    if (tensor)
        memcpy(&value, tensor->data + (size_t)index * sizeof value,
               sizeof value);
    return value;
}

/* What the weights of a channel add up to, and their sizes. */
struct totals {
    int64_t sum, sizes;
};

/* Results that become bytes stay this far from what an int32 holds. */
static const double BYTES_MAX = 2e9;

/* Writes what a channel begins with. */
static bool write_head(const struct channel *channel,
                       const struct totals *totals)
{
    const struct nn_node *node = channel->node;
    const struct nn_quant out = node->quant;
    int32_t start =
        (int32_t)((channel->kernels->origin - (int64_t)channel->in.zero) *
                  totals->sum);
    float factor = channel->in.scale * element(node->scale, channel->number);
    float offset = element(node->bias, channel->number);

    if (!isfinite(factor) || !isfinite(offset))
        return false;
    if (out.scale > 0) {
        factor /= out.scale;
        offset = offset / out.scale + (float)out.zero;
        if (!(255.0 * (double)totals->sizes * fabs((double)factor) +
                  fabs((double)offset) <=
              BYTES_MAX))
            return false;
    }
    memcpy(channel->head.start, &start, sizeof start);
    memcpy(channel->head.factor, &factor, sizeof factor);
    memcpy(channel->head.offset, &offset, sizeof offset);
    return isfinite(factor) && isfinite(offset);
}

/* Adds up weights in a row, fewer than 2^23; false if one is out of range. */
static bool count(const uint8_t *weights, uint32_t number,
                  struct totals *totals)
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

/* One column of a panel of `width`, whose weights begin at `to`. */
static bool pack_column(const struct channel *channel, uint32_t width,
                        uint8_t *to)
{
    const struct nn_node *node = channel->node;
    const struct nn_tensor *weight = node->weight;
    const uint32_t taps = node->op == NN_OP_CONV ? weight->dims[2] : 1;
    const uint32_t rows = kernel_rows(node), groups = row_groups(node);
    const uint32_t channels = node->inch.to - node->inch.from;
    const size_t all_channels = weight->dims[weight->rank - 1];
    const uint8_t *from = weight->data +
                          (size_t)(node->out.from + channel->number) * rows *
                              taps * all_channels +
                          node->inch.from;
    struct totals totals = {0, 0};
    bool good = true;

    for (uint32_t ky = 0; ky < rows; ky++) {
        for (uint32_t kx = 0; kx < taps; kx++, from += all_channels) {
            good &= count(from, channels, &totals);
            spread(from, channels, kx * channels, (size_t)width * 4, to);
        }
        to += (size_t)groups * width * 4;
    }
    return good && write_head(channel, &totals);
}

static bool pack_panels(struct channel *channel, uint8_t *to)
{
    const struct nn_node *node = channel->node;
    const uint32_t nr = channel->kernels->nr;
    const uint32_t columns = node->out.to - node->out.from;
    const size_t depth = (size_t)kernel_rows(node) * row_groups(node) * 4;

    for (uint32_t column = 0; column < columns;) {
        uint32_t width = columns - column <= nr / 2 ? nr / 2 : nr;

        for (uint32_t n = 0; n < width && column + n < columns; n++) {
            channel->number = column + n;
            channel->head.start = to + 4 * n;
            channel->head.factor = channel->head.start + 4 * width;
            channel->head.offset = channel->head.factor + 4 * width;
            if (!pack_column(channel, width, to + HEAD_BYTES * width + 4 * n))
                return false;
        }
        to += width * (HEAD_BYTES + depth);
        column += width;
    }
    return true;
}

/* Bytes of weights of one depthwise channel. */
static size_t window_bytes(const struct nn_tensor *weight)
{
    return (size_t)weight->dims[1] * ((weight->dims[0] + 3) / 4) * 4;
}

/* Channel number c, in lane `lane` of a block. */
static bool pack_window(struct channel *channel, uint32_t c, uint8_t *block,
                        uint32_t lane)
{
    const struct nn_node *node = channel->node;
    const struct nn_tensor *weight = node->weight;
    const uint32_t lanes = channel->kernels->lanes;
    const uint32_t height = weight->dims[0], width = weight->dims[1];
    const uint8_t *from = weight->data + node->out.from + c;
    uint8_t *first = block + (HEAD_BYTES * lanes + 4 * lane);
    struct totals totals = {0, 0};
    bool good = true;

    for (uint32_t ky = 0; ky < height; ky++)
        for (uint32_t kx = 0; kx < width; kx++, from += weight->dims[2]) {
            size_t group = (size_t)kx * ((height + 3) / 4) + ky / 4;

            good &= count(from, 1, &totals);
            first[group * lanes * 4 + ky % 4] = *from;
        }
    channel->number = c;
    channel->head.start = block + 4 * lane;
    channel->head.factor = channel->head.start + 4 * lanes;
    channel->head.offset = channel->head.factor + 4 * lanes;
    return good && write_head(channel, &totals);
}

static bool pack_blocks(struct channel *channel, uint8_t *to)
{
    const struct nn_node *node = channel->node;
    const uint32_t lanes = channel->kernels->lanes;
    const uint32_t channels = node->out.to - node->out.from;

    for (uint32_t c = 0; c < channels; c += lanes) {
        const uint32_t from = nn_int8_block(lanes, channels, c);

        for (uint32_t i = 0; i < lanes && from + i < channels; i++)
            if (!pack_window(channel, from + i, to, nn_int8_lane(lanes, i)))
                return false;
        to += (HEAD_BYTES + window_bytes(node->weight)) * lanes;
    }
    return true;
}

size_t nn_int8_packed_bytes(const struct nn_int8_kernels *kernels,
                            const struct nn_node *node)
{
    const uint32_t unit =
        node->op == NN_OP_DWCONV ? kernels->lanes : kernels->nr / 2;
    uint64_t columns =
        ((uint64_t)node->out.to - node->out.from + unit - 1) / unit * unit;
    uint64_t depth = node->op == NN_OP_DWCONV
                         ? window_bytes(node->weight)
                         : 4 * (uint64_t)kernel_rows(node) * row_groups(node);

    if (depth + HEAD_BYTES > API_LIMIT_PACKED_BYTES / columns)
        return 0;
    return (size_t)(columns * (depth + HEAD_BYTES));
}

enum api_status nn_int8_pack(const struct nn_int8_kernels *kernels,
                             const struct nn_node *node, struct nn_quant in,
                             uint8_t *to, struct api_error *error)
{
    struct channel channel = {.node = node, .kernels = kernels, .in = in};
    bool good = node->op == NN_OP_DWCONV ? pack_blocks(&channel, to)
                                         : pack_panels(&channel, to);

    return good ? API_OK
                : api_fail(error, API_BAD_BUNDLE,
                           "weight %s: a value, scale or bias out of range",
                           node->weight->name);
}
