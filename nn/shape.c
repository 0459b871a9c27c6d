/* Shape inference: the one place where nodes are checked against each other. */
#include "nn/shape.h"

#include "api/limits.h"

/* What a refusal names. */
struct where {
    const struct nn_graph *graph;
    uint32_t index;
    struct api_error *error;
};

static enum api_status refuse(const struct where *where, const char *reason)
{
    return api_fail(where->error, API_BAD_BUNDLE, "graph %s, node %u: %s",
                    where->graph->name, where->index, reason);
}

bool nn_shape_allowed(const struct nn_shape *shape)
{
    uint64_t floats; /* three sides of at most 2^16 */

    if (shape->height < 1 || shape->height > API_LIMIT_TENSOR_SIDE ||
        shape->width < 1 || shape->width > API_LIMIT_TENSOR_SIDE ||
        shape->channels < 1 || shape->channels > API_LIMIT_TENSOR_SIDE)
        return false;
    floats = (uint64_t)shape->height * shape->width * shape->channels;
    return floats <= API_LIMIT_ARENA_BYTES / sizeof(float);
}

/* Outputs along one axis, 0 if the kernel does not fit. */
static uint32_t outputs(uint32_t size, uint32_t kernel, uint32_t stride,
                        uint32_t before, uint32_t after)
{
    uint32_t padded = size + before + after; /* below 2^17 */

    return padded < kernel ? 0 : (padded - kernel) / stride + 1;
}

/* Sets height and width of *out from those of *in and the node's window. */
static enum api_status slide(const struct where *where,
                             const struct nn_shape *in, uint32_t kernel_y,
                             uint32_t kernel_x, struct nn_shape *out)
{
    const struct nn_node *node = &where->graph->nodes[where->index];
    uint32_t reach[2] = {kernel_y, kernel_x};

    if (kernel_y < 1 || kernel_y > 255 || kernel_x < 1 || kernel_x > 255 ||
        node->stride[0] < 1 || node->stride[1] < 1)
        return refuse(where, "kernel or stride out of range");
    if (node->op == NN_OP_CONV)
        for (int axis = 0; axis < 2; axis++) {
            if (node->dilation[axis] < 1)
                return refuse(where, "dilation out of range");
            reach[axis] = (reach[axis] - 1) * node->dilation[axis] + 1;
        }
    out->height = outputs(in->height, reach[0], node->stride[0], node->pad[0],
                          node->pad[1]);
    out->width = outputs(in->width, reach[1], node->stride[1], node->pad[2],
                         node->pad[3]);
    if (!out->height || !out->width)
        return refuse(where, "the kernel is larger than its padded input");
    return API_OK;
}

static bool range_within(const struct nn_range *range, uint32_t size)
{
    return range->from < range->to && range->to <= size;
}

static bool vector_fits(const struct nn_tensor *vector, uint32_t channels)
{
    return !vector || (vector->dtype == NN_F32 && vector->dims[0] == channels);
}

static enum api_status infer_weighted(const struct where *where,
                                      const struct nn_shape *in,
                                      struct nn_shape *out,
                                      uint64_t *operations)
{
    const struct nn_node *node = &where->graph->nodes[where->index];
    const struct nn_tensor *weight = node->weight;
    uint8_t rank = node->op == NN_OP_CONV     ? 4
                   : node->op == NN_OP_LINEAR ? 2
                                              : 3;
    uint32_t channels = node->out.to - node->out.from;
    uint64_t depth;
    enum api_status status;

    if (!weight || weight->rank != rank || weight->dtype == NN_I32 ||
        weight->dtype == NN_U8)
        return refuse(where, "weight of the wrong rank or type");
    if (node->op == NN_OP_DWCONV) {
        if (!range_within(&node->out, weight->dims[2]) ||
            channels != in->channels)
            return refuse(where, "channels disagree with weight or input");
        status = slide(where, in, weight->dims[0], weight->dims[1], out);
        depth = (uint64_t)weight->dims[0] * weight->dims[1];
    } else {
        uint32_t inch = node->inch.to - node->inch.from;
        uint32_t groups = node->op == NN_OP_CONV ? node->groups : 1;

        if (!range_within(&node->out, weight->dims[0]) ||
            !range_within(&node->inch, weight->dims[rank - 1]) ||
            (uint64_t)inch * groups != in->channels)
            return refuse(where, "channels disagree with weight or input");
        if (channels % groups != 0) /* inputs agree, so groups are not 0 */
            return refuse(where, "the outputs do not divide into the groups");
        if (node->op == NN_OP_LINEAR) {
            if (in->height != 1 || in->width != 1)
                return refuse(where, "the input of linear is not 1 x 1");
            *out = *in;
            status = API_OK;
            depth = inch;
        } else {
            status = slide(where, in, weight->dims[1], weight->dims[2], out);
            depth = (uint64_t)weight->dims[1] * weight->dims[2] * inch;
        }
    }
    if (status != API_OK)
        return status;
    if (!vector_fits(node->scale, channels) ||
        !vector_fits(node->bias, channels))
        return refuse(where, "scale or bias does not fit the channels");
    out->channels = channels;
    if (!nn_shape_allowed(out))
        return refuse(where, "output too large");
    *operations = nn_shape_floats(out) * depth; /* below 2^28 * 2^32 */
    return API_OK;
}

static enum api_status infer_pool(const struct where *where,
                                  const struct nn_shape *in,
                                  struct nn_shape *out, uint64_t *operations)
{
    const struct nn_node *node = &where->graph->nodes[where->index];
    enum api_status status =
        slide(where, in, node->kernel[0], node->kernel[1], out);

    if (status != API_OK)
        return status;
    /* Otherwise a window could lie in the padding alone. */
    for (int side = 0; side < 4; side++)
        if (node->pad[side] >= node->kernel[side / 2])
            return refuse(where, "pooling pads as much as its kernel");
    out->channels = in->channels;
    if (!nn_shape_allowed(out))
        return refuse(where, "output too large");
    *operations = nn_shape_floats(out) * node->kernel[0] * node->kernel[1];
    return API_OK;
}

/* Is each side that of the other shape, or 1? */
static bool spreads_over(const struct nn_shape *small,
                         const struct nn_shape *large)
{
    return (small->height == large->height || small->height == 1) &&
           (small->width == large->width || small->width == 1) &&
           (small->channels == large->channels || small->channels == 1);
}

static bool same_shape(const struct nn_shape *a, const struct nn_shape *b)
{
    return a->height == b->height && a->width == b->width &&
           a->channels == b->channels;
}

/* What moves or joins values: *out is the shape of the first input. */
static enum api_status infer_moved(const struct where *where,
                                   const struct nn_shape *other,
                                   struct nn_shape *out)
{
    const struct nn_node *node = &where->graph->nodes[where->index];
    const uint32_t square = (uint32_t)node->block * node->block;

    if (node->op == NN_OP_CONCAT) {
        if (out->height != other->height || out->width != other->width)
            return refuse(where, "the inputs of concat differ in size");
        out->channels += other->channels; /* both at most 2^16 */
    } else if (node->op == NN_OP_RESIZE) {
        out->height = node->size[0];
        out->width = node->size[1];
    } else {
        if (!square || out->channels % square != 0)
            return refuse(where, "the channels are no multiple of the block");
        out->height *= node->block;
        out->width *= node->block;
        out->channels /= square;
    }
    if (!nn_shape_allowed(out))
        return refuse(where, "output too large");
    return API_OK;
}

uint8_t nn_shape_inputs(enum nn_op op)
{
    return op == NN_OP_ADD || op == NN_OP_MUL || op == NN_OP_CONCAT ? 2 : 1;
}

enum api_status nn_shape_infer(const struct nn_graph *graph, uint32_t index,
                               const struct nn_shape *shapes,
                               struct nn_shape *out, uint64_t *operations,
                               struct api_error *error)
{
    const struct where where = {graph, index, error};
    const struct nn_node *node = &graph->nodes[index];
    const uint8_t in_count = nn_shape_inputs(node->op);
    struct nn_shape in, other, made;
    uint64_t cost;
    enum api_status status = API_OK;

    if (node->in_count != in_count)
        return refuse(&where, "wrong number of inputs");
    for (uint8_t i = 0; i < in_count; i++)
        if (node->in[i] > index) /* value i + 1 is made by node i */
            return refuse(&where, "input is no earlier value");
    in = made = shapes[node->in[0]];
    other = shapes[node->in[in_count - 1]];
    cost = nn_shape_floats(&in);
    switch (node->op) {
    case NN_OP_CONV:
    case NN_OP_DWCONV:
    case NN_OP_LINEAR:
        status = infer_weighted(&where, &in, &made, &cost);
        break;
    case NN_OP_AVGPOOL:
    case NN_OP_MAXPOOL:
        status = infer_pool(&where, &in, &made, &cost);
        break;
    case NN_OP_GLOBAL_AVGPOOL:
        made.height = made.width = 1;
        break;
    case NN_OP_ADD:
        if (!same_shape(&in, &other))
            return refuse(&where, "the inputs of add differ in shape");
        break;
    case NN_OP_MUL:
        if (!spreads_over(&other, &in))
            return refuse(&where, "the second input of mul does not fit");
        break;
    case NN_OP_CONCAT:
    case NN_OP_RESIZE:
    case NN_OP_DEPTH_TO_SPACE:
        status = infer_moved(&where, &other, &made);
        if (status == API_OK)
            cost = nn_shape_floats(&made);
        break;
    case NN_OP_AFFINE:
        if (!node->scale || !node->bias ||
            !vector_fits(node->scale, in.channels) ||
            !vector_fits(node->bias, in.channels))
            return refuse(&where, "scale or bias does not fit the channels");
        break;
    case NN_OP_ACT:
    case NN_OP_SOFTMAX:
    case NN_OP_LAYER_NORM:
    case NN_OP_QUANTIZE:
    case NN_OP_DEQUANTIZE:
        break;
    default:
        return refuse(&where, "unknown op");
    }
    if (status != API_OK)
        return status;
    *out = made;
    *operations = cost;
    return API_OK;
}
