/* One node of a graph: its op, inputs, weights and parameters. */
#include <float.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"

/* Members that a node may have, by position in member_names. */
enum member {
    M_OP = 1 << 0,
    M_IN = 1 << 1,
    M_WEIGHT = 1 << 2,
    M_SCALE = 1 << 3,
    M_BIAS = 1 << 4,
    M_OUT = 1 << 5,
    M_INCH = 1 << 6,
    M_CHANNELS = 1 << 7,
    M_STRIDE = 1 << 8,
    M_PAD = 1 << 9,
    M_KERNEL = 1 << 10,
    M_ACT = 1 << 11,
    M_LIMITS = 1 << 12,
    M_SLOPE = 1 << 13,
    M_DILATION = 1 << 14,
    M_GROUPS = 1 << 15,
    M_EPSILON = 1 << 16,
    M_SIZE = 1 << 17,
    M_FILTER = 1 << 18,
    M_COORDINATES = 1 << 19,
    M_BLOCK = 1 << 20,
    M_ORDER = 1 << 21,
    M_QUANT = 1 << 22
};

static const char *const member_names[] = {
    "op",     "in",          "weight",   "scale",  "bias",    "out",
    "inch",   "channels",    "stride",   "pad",    "kernel",  "act",
    "limits", "slope",       "dilation", "groups", "epsilon", "size",
    "filter", "coordinates", "block",    "order",  "quant",
};

enum {
    M_WINDOW = M_STRIDE | M_PAD,
    M_ACTS = M_ACT | M_LIMITS | M_SLOPE,
    M_LAYER = M_SCALE | M_BIAS | M_ACTS
};

static const struct {
    const char *name;
    enum nn_op op;
    uint8_t in_count;
    uint8_t weight_rank; /* 0: takes no weight */
    unsigned members;    /* besides op and in */
} ops[] = {
    {"conv", NN_OP_CONV, 1, 4,
     M_WEIGHT | M_OUT | M_INCH | M_WINDOW | M_LAYER | M_DILATION | M_GROUPS |
         M_QUANT},
    {"dwconv", NN_OP_DWCONV, 1, 3,
     M_WEIGHT | M_CHANNELS | M_WINDOW | M_LAYER | M_QUANT},
    {"linear", NN_OP_LINEAR, 1, 2, M_WEIGHT | M_LAYER | M_QUANT},
    {"add", NN_OP_ADD, 2, 0, M_ACTS | M_QUANT},
    {"mul", NN_OP_MUL, 2, 0, M_ACTS},
    {"act", NN_OP_ACT, 1, 0, M_ACTS},
    {"affine", NN_OP_AFFINE, 1, 0, M_LAYER},
    {"avgpool", NN_OP_AVGPOOL, 1, 0, M_KERNEL | M_WINDOW | M_QUANT},
    {"maxpool", NN_OP_MAXPOOL, 1, 0, M_KERNEL | M_WINDOW},
    {"global_avgpool", NN_OP_GLOBAL_AVGPOOL, 1, 0, M_QUANT},
    {"softmax", NN_OP_SOFTMAX, 1, 0, 0},
    {"layer_norm", NN_OP_LAYER_NORM, 1, 0, M_EPSILON},
    {"concat", NN_OP_CONCAT, 2, 0, M_QUANT},
    {"resize", NN_OP_RESIZE, 1, 0, M_SIZE | M_FILTER | M_COORDINATES},
    {"depth_to_space", NN_OP_DEPTH_TO_SPACE, 1, 0, M_BLOCK | M_ORDER},
    {"quantize", NN_OP_QUANTIZE, 1, 0, M_QUANT},
    {"dequantize", NN_OP_DEQUANTIZE, 1, 0, 0},
};

/* What a refusal names: nodes have no names, so graph and number. */
struct place {
    const struct nn_bundle *bundle;
    const char *graph;
    uint32_t node;
    struct api_error *error;
};

static enum api_status refuse(const struct place *at, const char *reason)
{
    return api_fail(at->error, API_BAD_BUNDLE, "graph %s, node %u: %s",
                    at->graph, at->node, reason);
}

/* A member that the op does not know would be computed wrong, not ignored. */
static bool members_ok(const struct nn_json *json, unsigned allowed)
{
    const char *name;
    const struct nn_json *value;
    for (void *at = NULL; nn_json_next(json, &at, &name, &value);) {
        unsigned found = 0;
        for (size_t i = 0; i < sizeof member_names / sizeof *member_names; i++)
            if (strcmp(name, member_names[i]) == 0)
                found = 1u << i;
        if (!(found & allowed))
            return false;
    }
    return true;
}

/* `count` integers in min..max, or all `fallback` where there is no list. */
static bool read_bytes(const struct nn_json *json, size_t count, uint8_t min,
                       uint8_t max, uint8_t fallback, uint8_t *out)
{
    if (json && (!nn_json_is_array(json) || nn_json_count(json) != count))
        return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = fallback;
        if (json && !nn_json_integer(nn_json_at(json, i), min, max, &value))
            return false;
        out[i] = (uint8_t)value;
    }
    return true;
}

/* A non-empty part of 0..limit; all of it where there is no list. */
static bool read_range(const struct nn_json *json, uint32_t limit,
                       struct nn_range *range)
{
    uint64_t from = 0, to = limit;
    if (json && (!nn_json_is_array(json) || nn_json_count(json) != 2 ||
                 !nn_json_integer(nn_json_at(json, 0), 0, limit - 1, &from) ||
                 !nn_json_integer(nn_json_at(json, 1), from + 1, limit, &to)))
        return false;
    range->from = (uint32_t)from;
    range->to = (uint32_t)to;
    return true;
}

static enum api_status read_inputs(const struct place *at,
                                   const struct nn_json *json,
                                   struct nn_node *node)
{
    const struct nn_json *in = nn_json_member(json, "in");
    if (!nn_json_is_array(in) || nn_json_count(in) != node->in_count)
        return refuse(at, "wrong number of inputs");
    for (size_t i = 0; i < node->in_count; i++) {
        uint64_t value;
        /* Node i makes value i + 1, so values up to i are earlier. */
        if (!nn_json_integer(nn_json_at(in, i), 0, at->node, &value))
            return refuse(at, "input is no earlier value");
        node->in[i] = (uint32_t)value;
    }
    return API_OK;
}

static enum api_status read_weight(const struct place *at,
                                   const struct nn_json *json, uint8_t rank,
                                   struct nn_node *node)
{
    const struct nn_tensor *weight =
        nn_bundle_tensor(at->bundle, nn_json_member(json, "weight"));
    if (!weight)
        return refuse(at, "weight is no tensor of this file");
    if (weight->rank != rank)
        return refuse(at, "weight of the wrong rank");
    if (weight->dtype == NN_I32 || weight->dtype == NN_U8)
        return refuse(at, "weight is neither F16, BF16, F32 nor I8");
    node->weight = weight;
    if (node->op == NN_OP_DWCONV) {
        if (!read_range(nn_json_member(json, "channels"), weight->dims[2],
                        &node->out))
            return refuse(at, "channels outside the weight");
        node->inch = node->out;
    } else {
        if (!read_range(nn_json_member(json, "out"), weight->dims[0],
                        &node->out))
            return refuse(at, "out outside the weight");
        if (!read_range(nn_json_member(json, "inch"), weight->dims[rank - 1],
                        &node->inch))
            return refuse(at, "inch outside the weight");
    }
    if (node->op != NN_OP_LINEAR) {
        const uint32_t *sides = weight->dims + (node->op == NN_OP_CONV ? 1 : 0);
        if (sides[0] > 255 || sides[1] > 255)
            return refuse(at, "kernel of more than 255");
        node->kernel[0] = (uint8_t)sides[0];
        node->kernel[1] = (uint8_t)sides[1];
    }
    return API_OK;
}

/* One F32 for each of `channels`; 0 stands for any number. */
static enum api_status read_vector(const struct place *at,
                                   const struct nn_json *name,
                                   uint32_t channels,
                                   const struct nn_tensor **vector)
{
    if (!name)
        return API_OK;
    const struct nn_tensor *found = nn_bundle_tensor(at->bundle, name);
    if (!found)
        return refuse(at, "scale or bias is no tensor of this file");
    if (found->dtype != NN_F32 || found->rank != 1)
        return refuse(at, "scale or bias is no list of F32");
    if (channels != 0 && found->dims[0] != channels)
        return refuse(at, "scale or bias does not fit the channels");
    *vector = found;
    return API_OK;
}

static enum api_status read_scale_bias(const struct place *at,
                                       const struct nn_json *json,
                                       struct nn_node *node)
{
    uint32_t channels = node->out.to - node->out.from;
    enum api_status status =
        read_vector(at, nn_json_member(json, "scale"), channels, &node->scale);
    if (status != API_OK)
        return status;
    if (node->op == NN_OP_AFFINE) {
        if (!node->scale)
            return refuse(at, "no scale");
        channels = node->scale->dims[0];
    }
    status =
        read_vector(at, nn_json_member(json, "bias"), channels, &node->bias);
    if (status == API_OK && node->op == NN_OP_AFFINE && !node->bias)
        return refuse(at, "no bias");
    return status;
}

/* The position of a text among `count` names; 0 where there is none. */
static bool read_choice(const struct nn_json *json, const char *const *names,
                        unsigned count, unsigned *choice)
{
    const char *name = nn_json_text(json);
    *choice = 0;
    if (!json)
        return true;
    for (unsigned i = 0; name && i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            *choice = i;
            return true;
        }
    }
    return false;
}

static bool read_float(const struct nn_json *json, double min, double max,
                       float *out)
{
    double value;
    if (!nn_json_number(json, min, max, &value))
        return false;
    *out = (float)value;
    return true;
}

/* What shapes an activation stands beside it, and only there. */
static enum api_status read_act(const struct place *at,
                                const struct nn_json *json,
                                struct nn_node *node)
{
    static const char *const names[] = {"none",       "relu",       "relu6",
                                        "clip",       "leaky_relu", "sigmoid",
                                        "hard_swish", "silu",       "gelu"};
    const struct nn_json *limits = nn_json_member(json, "limits");
    const struct nn_json *slope = nn_json_member(json, "slope");
    unsigned act;
    if (!read_choice(nn_json_member(json, "act"), names, 9, &act))
        return refuse(at, "act unknown to this version");
    node->act = (enum nn_act)act;
    if (node->act == NN_ACT_CLIP
            ? nn_json_count(limits) != 2 ||
                  !read_float(nn_json_at(limits, 0), -FLT_MAX, FLT_MAX,
                              &node->limits[0]) ||
                  !read_float(nn_json_at(limits, 1), node->limits[0], FLT_MAX,
                              &node->limits[1])
            : limits != NULL)
        return refuse(at, "clip alone has limits, two numbers in order");
    if (node->act == NN_ACT_LEAKY_RELU
            ? !read_float(slope, -1e3, 1e3, &node->slope)
            : slope != NULL)
        return refuse(at, "leaky_relu alone has a slope");
    return API_OK;
}

/* Stride, padding, kernel, dilation and groups. */
static enum api_status read_window(const struct place *at,
                                   const struct nn_json *json, unsigned members,
                                   struct nn_node *node)
{
    const struct nn_json *kernel = nn_json_member(json, "kernel");
    const struct nn_json *groups = nn_json_member(json, "groups");
    uint64_t count = 1;
    if (!read_bytes(nn_json_member(json, "stride"), 2, 1, 255, 1, node->stride))
        return refuse(at, "stride is not two numbers from 1 to 255");
    if (!read_bytes(nn_json_member(json, "pad"), 4, 0, 254, 0, node->pad))
        return refuse(at, "pad is not four numbers from 0 to 254");
    if (!read_bytes(nn_json_member(json, "dilation"), 2, 1, 255, 1,
                    node->dilation))
        return refuse(at, "dilation is not two numbers from 1 to 255");
    if (groups && !nn_json_integer(groups, 1, API_LIMIT_TENSOR_SIDE, &count))
        return refuse(at, "groups is no number from 1 on");
    node->groups = (uint32_t)count;
    if ((members & M_KERNEL) &&
        (!kernel || !read_bytes(kernel, 2, 1, 255, 1, node->kernel)))
        return refuse(at, "kernel is not two numbers from 1 to 255");
    return API_OK;
}

static enum api_status read_resize(const struct place *at,
                                   const struct nn_json *json,
                                   struct nn_node *node)
{
    static const char *const filters[] = {"nearest", "bilinear"};
    static const char *const places[] = {"half_pixel", "align_corners",
                                         "asymmetric"};
    const struct nn_json *size = nn_json_member(json, "size");
    unsigned choice;
    if (nn_json_count(size) != 2)
        return refuse(at, "size is not [h, w]");
    for (size_t i = 0; i < 2; i++) {
        uint64_t side;
        if (!nn_json_integer(nn_json_at(size, i), 1, API_LIMIT_TENSOR_SIDE,
                             &side))
            return refuse(at, "size out of range");
        node->size[i] = (uint32_t)side;
    }
    if (!read_choice(nn_json_member(json, "filter"), filters, 2, &choice))
        return refuse(at, "filter unknown to this version");
    node->filter = (enum nn_filter)choice;
    if (!read_choice(nn_json_member(json, "coordinates"), places, 3, &choice))
        return refuse(at, "coordinates unknown to this version");
    node->coordinates = (enum nn_coordinates)choice;
    return API_OK;
}

static enum api_status read_depth_to_space(const struct place *at,
                                           const struct nn_json *json,
                                           struct nn_node *node)
{
    static const char *const orders[] = {"dcr", "crd"};
    uint64_t block;
    unsigned choice;
    if (!nn_json_integer(nn_json_member(json, "block"), 1, 255, &block))
        return refuse(at, "block is no number from 1 to 255");
    node->block = (uint8_t)block;
    if (!read_choice(nn_json_member(json, "order"), orders, 2, &choice))
        return refuse(at, "order unknown to this version");
    node->order = (enum nn_depth_order)choice;
    return API_OK;
}

static enum api_status read_quant(const struct place *at,
                                  const struct nn_json *json,
                                  struct nn_node *node)
{
    const struct nn_json *quant = nn_json_member(json, "quant");
    uint64_t zero;
    if (!quant)
        return node->op == NN_OP_QUANTIZE ? refuse(at, "no quant") : API_OK;
    if (nn_json_count(quant) != 2 ||
        !read_float(nn_json_at(quant, 0), 1e-30, 1e30, &node->quant.scale) ||
        !nn_json_integer(nn_json_at(quant, 1), 0, 255, &zero))
        return refuse(at, "quant is no scale and zero point in range");
    node->quant.zero = (uint8_t)zero;
    return API_OK;
}

enum api_status nn_bundle_read_node(const struct nn_bundle *bundle,
                                    const struct nn_graph *graph,
                                    uint32_t index, const struct nn_json *json,
                                    struct api_error *error)
{
    const struct place place = {bundle, graph->name, index, error};
    const struct place *at = &place;
    struct nn_node *node = &graph->nodes[index];
    const char *name = nn_json_text(nn_json_member(json, "op"));
    size_t row = 0, rows = sizeof ops / sizeof *ops;
    while (name && row < rows && strcmp(name, ops[row].name) != 0)
        row++;
    if (!name || row == rows)
        return refuse(at, "op unknown to this version");
    node->op = ops[row].op;
    node->in_count = ops[row].in_count;
    if (!members_ok(json, ops[row].members | M_OP | M_IN))
        return refuse(at, "a member that this op does not have");

    enum api_status status = read_inputs(at, json, node);
    if (status == API_OK && ops[row].weight_rank)
        status = read_weight(at, json, ops[row].weight_rank, node);
    if (status == API_OK)
        status = read_scale_bias(at, json, node);
    if (status == API_OK)
        status = read_act(at, json, node);
    if (status == API_OK)
        status = read_window(at, json, ops[row].members, node);
    if (status == API_OK && node->op == NN_OP_RESIZE)
        status = read_resize(at, json, node);
    if (status == API_OK && node->op == NN_OP_DEPTH_TO_SPACE)
        status = read_depth_to_space(at, json, node);
    if (status == API_OK)
        status = read_quant(at, json, node);
    if (status == API_OK && node->op == NN_OP_LAYER_NORM &&
        !read_float(nn_json_member(json, "epsilon"), 1e-12, 1, &node->epsilon))
        return refuse(at, "epsilon is no number from 1e-12 to 1");
    return status;
}
