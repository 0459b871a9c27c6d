/* The int8 operations, one value at a time. */
#include "tests/nn/int8_reference.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every rounding is a store to one of these, so that no compiler keeps more
 * bits or fuses two operations. */
typedef volatile float rounded;

size_t int8_value_count(const struct int8_value *value)
{
    return (size_t)value->height * value->width * value->channels;
}

void int8_value_open(struct int8_value *value)
{
    size_t count = int8_value_count(value);

    value->bytes = NULL;
    value->floats = NULL;
    if (value->type.scale > 0)
        value->bytes = malloc(count);
    else
        value->floats = malloc(count * sizeof(float));
    ck_assert(value->bytes || value->floats);
}

void int8_value_close(struct int8_value *value)
{
    free(value->bytes);
    free(value->floats);
}

static uint8_t to_byte(float x, float lo, float hi)
{
    if (!(x > lo))
        x = lo;
    if (x > hi)
        x = hi;
    return (uint8_t)nearbyintf(x);
}

static float limit(float real, struct nn_quant to)
{
    rounded q = real / to.scale;

    q = q + (float)to.zero;
    return (float)to_byte(q, 0, 255);
}

static void limits_of(const struct nn_node *node, float *low, float *high)
{
    *low = node->act == NN_ACT_NONE ? -INFINITY : 0;
    *high = node->act == NN_ACT_RELU6 ? 6.0f : INFINITY;
    if (node->act == NN_ACT_CLIP) {
        *low = node->limits[0];
        *high = node->limits[1];
    }
}

static float vector_at(const struct nn_tensor *tensor, uint32_t i)
{
    float value = 0;

    if (tensor)
        memcpy(&value, tensor->data + 4 * i, 4);
    return value;
}

/* The sum of output o at (oy, ox): all of a conv's or linear's inputs, or a
 * dwconv's own channel. */
static int64_t product(const struct nn_node *node, const struct int8_value *a,
                       uint32_t oy, uint32_t ox, uint32_t o)
{
    const int8_t *weight = (const int8_t *)node->weight->data;
    const uint32_t *dims = node->weight->dims;
    const int deep = node->op != NN_OP_DWCONV;
    const uint32_t height = node->op == NN_OP_LINEAR ? 1 : dims[deep];
    const uint32_t width = node->op == NN_OP_LINEAR ? 1 : dims[deep + 1];
    const uint32_t channels = deep ? a->channels : 1;
    int64_t sum = 0;

    for (uint32_t ky = 0; ky < height; ky++)
        for (uint32_t kx = 0; kx < width; kx++)
            for (uint32_t c = 0; c < channels; c++) {
                long y = (long)(oy * node->stride[0] + ky) - node->pad[0];
                long x = (long)(ox * node->stride[1] + kx) - node->pad[2];
                size_t tap = (size_t)ky * width + kx;
                size_t at =
                    deep ? ((size_t)o * height * width + tap) * channels + c
                         : tap * dims[2] + o;
                size_t pixel = (size_t)y * a->width + (size_t)x;

                if (y < 0 || y >= a->height || x < 0 || x >= a->width)
                    continue; /* a real 0 */
                sum += (a->bytes[pixel * a->channels + (deep ? c : o)] -
                        a->type.zero) *
                       weight[at];
            }
    return sum;
}

static void weighted(const struct nn_node *node, const struct int8_value *a,
                     struct int8_value *out)
{
    const struct nn_quant to = out->type;
    float low, high;
    size_t at = 0;

    limits_of(node, &low, &high);
    for (uint32_t oy = 0; oy < out->height; oy++)
        for (uint32_t ox = 0; ox < out->width; ox++)
            for (uint32_t o = 0; o < out->channels; o++, at++) {
                rounded sum = (float)product(node, a, oy, ox, o);
                rounded factor = a->type.scale * vector_at(node->scale, o);
                rounded offset = vector_at(node->bias, o);
                rounded x;

                if (to.scale > 0) {
                    factor = factor / to.scale;
                    offset = offset / to.scale;
                    offset = offset + (float)to.zero;
                }
                x = sum * factor;
                x = x + offset;
                if (to.scale > 0)
                    out->bytes[at] =
                        to_byte(x, limit(low, to), limit(high, to));
                else
                    out->floats[at] = x > low ? (x < high ? x : high) : low;
            }
}

static void sum(const struct nn_node *node, const struct int8_value *a,
                const struct int8_value *b, struct int8_value *out)
{
    const struct nn_quant to = out->type;
    rounded f = a->type.scale / to.scale, g = b->type.scale / to.scale;
    rounded p = (float)a->type.zero * f, q = (float)b->type.zero * g;
    rounded both = p + q, c = (float)to.zero - both;
    float low, high;

    limits_of(node, &low, &high);
    for (size_t i = 0; i < int8_value_count(out); i++) {
        rounded x = (float)a->bytes[i] * f, y = (float)b->bytes[i] * g;

        x = x + y;
        x = x + c;
        out->bytes[i] = to_byte(x, limit(low, to), limit(high, to));
    }
}

static uint8_t converted(uint8_t byte, struct nn_quant from, struct nn_quant to)
{
    rounded f = from.scale / to.scale, zeros = (float)from.zero * f;
    rounded offset = (float)to.zero - zeros, x = (float)byte * f;

    x = x + offset;
    return to_byte(x, 0, 255);
}

static void concatenated(const struct int8_value *a, const struct int8_value *b,
                         struct int8_value *out)
{
    for (size_t i = 0; i < int8_value_count(out); i++) {
        size_t pixel = i / out->channels, c = i % out->channels;

        out->bytes[i] =
            c < a->channels
                ? converted(a->bytes[pixel * a->channels + c], a->type,
                            out->type)
                : converted(b->bytes[pixel * b->channels + c - a->channels],
                            b->type, out->type);
    }
}

static void pooled(const struct nn_node *node, const struct int8_value *a,
                   struct int8_value *out)
{
    const int global = node->op == NN_OP_GLOBAL_AVGPOOL;
    const long height = global ? (long)a->height : node->kernel[0];
    const long width = global ? (long)a->width : node->kernel[1];
    const struct nn_quant to = out->type;

    for (size_t i = 0; i < int8_value_count(out); i++) {
        long oy = (long)(i / out->channels / out->width);
        long ox = (long)(i / out->channels % out->width);
        int64_t total = 0;
        int count = 0, largest = 0;
        rounded factor, x;

        for (long y = 0; y < (long)a->height; y++)
            for (long w = 0; w < (long)a->width; w++) {
                long ky = y - oy * node->stride[0] + node->pad[0];
                long kx = w - ox * node->stride[1] + node->pad[2];
                int q =
                    a->bytes[((size_t)y * a->width + (size_t)w) * a->channels +
                             i % out->channels];

                if (ky < 0 || ky >= height || kx < 0 || kx >= width)
                    continue;
                total += q - a->type.zero;
                largest = q > largest ? q : largest;
                count++;
            }
        if (node->op == NN_OP_MAXPOOL) {
            out->bytes[i] = (uint8_t)largest;
            continue;
        }
        factor = to.scale > 0 ? a->type.scale / to.scale : a->type.scale;
        factor = factor / (float)count;
        x = (float)total * factor;
        if (to.scale > 0) {
            x = x + (float)to.zero;
            out->bytes[i] = to_byte(x, 0, 255);
        } else {
            out->floats[i] = x;
        }
    }
}

static uint32_t slide(uint32_t size, uint32_t kernel, uint32_t stride,
                      uint32_t pads)
{
    ck_assert_uint_ge(size + pads, kernel);
    return (size + pads - kernel) / stride + 1;
}

static void shape_of(const struct nn_node *node, const struct int8_value *a,
                     const struct int8_value *b, struct int8_value *out)
{
    const int deep = node->op == NN_OP_CONV;
    uint32_t kernel[2] = {node->kernel[0], node->kernel[1]};

    *out = *a;
    out->type = node->quant;
    switch (node->op) {
    case NN_OP_CONV:
    case NN_OP_DWCONV:
        kernel[0] = node->weight->dims[deep];
        kernel[1] = node->weight->dims[deep + 1];
        out->channels = node->out.to;
        break;
    case NN_OP_LINEAR:
        out->channels = node->out.to;
        return;
    case NN_OP_CONCAT:
        out->channels += b->channels;
        return;
    case NN_OP_GLOBAL_AVGPOOL:
        out->height = out->width = 1;
        return;
    case NN_OP_MAXPOOL:
        out->type = a->type;
        break;
    case NN_OP_AVGPOOL:
        break;
    default:
        return;
    }
    out->height = slide(a->height, kernel[0], node->stride[0],
                        node->pad[0] + node->pad[1]);
    out->width = slide(a->width, kernel[1], node->stride[1],
                       node->pad[2] + node->pad[3]);
}

void int8_node(const struct nn_node *node, const struct int8_value *a,
               const struct int8_value *b, struct int8_value *out)
{
    shape_of(node, a, b, out);
    int8_value_open(out);
    switch (node->op) {
    case NN_OP_QUANTIZE:
        for (size_t i = 0; i < int8_value_count(out); i++) {
            rounded factor = 1.0f / out->type.scale;
            rounded x = a->floats[i] * factor;

            x = x + (float)out->type.zero;
            out->bytes[i] = to_byte(x, 0, 255);
        }
        break;
    case NN_OP_DEQUANTIZE:
        for (size_t i = 0; i < int8_value_count(out); i++)
            out->floats[i] =
                (float)(a->bytes[i] - a->type.zero) * a->type.scale;
        break;
    case NN_OP_CONV:
    case NN_OP_DWCONV:
    case NN_OP_LINEAR:
        weighted(node, a, out);
        break;
    case NN_OP_ADD:
        sum(node, a, b, out);
        break;
    case NN_OP_CONCAT:
        concatenated(a, b, out);
        break;
    case NN_OP_AVGPOOL:
    case NN_OP_MAXPOOL:
    case NN_OP_GLOBAL_AVGPOOL:
        pooled(node, a, out);
        break;
    default:
        ck_abort_msg("no int8 op");
    }
}
