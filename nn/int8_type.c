/* Which values are bytes: the one place where nodes' types are checked. */
#include <math.h>

#include "nn/int8.h"
#include "nn/plan.h"

enum { WINDOW_MAX = 1 << 23 }; /* 255 times as many positions fit in 31 bits */

#define RATIO_MAX 1e30f /* so that sums of two scaled bytes are finite */

static enum api_status refuse(const struct nn_graph *graph, uint32_t index,
                              const char *reason, struct api_error *error)
{
    return api_fail(error, API_BAD_BUNDLE, "graph %s, node %u: %s", graph->name,
                    index, reason);
}

static bool is_curve(enum nn_act act)
{
    return act > NN_ACT_CLIP;
}

/* Why a node with weights cannot take bytes; NULL if it can. */
static const char *weighted_fault(const struct nn_node *node)
{
    const uint32_t *dims = node->weight->dims;
    uint64_t depth = node->inch.to - node->inch.from;

    if (node->weight->dtype != NN_I8)
        return "a U8 input needs an I8 weight";
    if (!node->scale)
        return "a U8 input needs a scale";
    if (node->op == NN_OP_CONV &&
        (node->groups != 1 || node->dilation[0] != 1 || node->dilation[1] != 1))
        return "an int8 conv has neither groups nor dilation";
    if (node->op == NN_OP_CONV)
        depth *= (uint64_t)dims[1] * dims[2];
    else if (node->op == NN_OP_DWCONV)
        depth = (uint64_t)dims[0] * dims[1];
    if (depth > NN_INT8_DEPTH_MAX)
        return "sums of this many products may overflow";
    if (node->quant.scale > 0 && is_curve(node->act))
        return "act does not go with quant";
    return NULL;
}

/* Why a node cannot scale bytes of type `in` to its own. */
static const char *ratio_fault(struct nn_quant in, struct nn_quant to)
{
    return to.scale > 0 && in.scale / to.scale > RATIO_MAX
               ? "the scales are too far apart"
               : NULL;
}

static const char *pair_fault(const struct nn_node *node, struct nn_quant a,
                              struct nn_quant b)
{
    const char *fault = ratio_fault(a, node->quant);

    if (!(node->quant.scale > 0))
        return "two U8 inputs need quant";
    if (is_curve(node->act))
        return "act does not go with quant";
    return fault ? fault : ratio_fault(b, node->quant);
}

static const char *pool_fault(const struct nn_node *node,
                              const struct nn_shape *in, struct nn_quant type)
{
    uint64_t window = node->op == NN_OP_GLOBAL_AVGPOOL
                          ? (uint64_t)in->height * in->width
                          : (uint64_t)node->kernel[0] * node->kernel[1];

    if (window > WINDOW_MAX)
        return "sums of this many values may overflow";
    return ratio_fault(type, node->quant);
}

enum api_status nn_int8_infer(const struct nn_graph *graph, uint32_t index,
                              const struct nn_shape *shapes,
                              const struct nn_quant *types,
                              struct nn_quant *made, struct api_error *error)
{
    const struct nn_node *node = &graph->nodes[index];
    const struct nn_quant a = types[node->in[0]];
    const struct nn_quant b = types[node->in[node->in_count - 1]];
    const char *fault = NULL;

    *made = node->quant;
    if (node->op == NN_OP_QUANTIZE ? a.scale > 0
                                   : (a.scale > 0) != (b.scale > 0))
        fault = "an input is U8 where F32 is wanted";
    else if (!(a.scale > 0)) {
        if (node->op == NN_OP_DEQUANTIZE)
            fault = "the input is F32 where U8 is wanted";
        else if (node->op != NN_OP_QUANTIZE && node->quant.scale > 0)
            fault = "quant does not go with F32 inputs";
    } else {
        switch (node->op) {
        case NN_OP_DEQUANTIZE:
            break;
        case NN_OP_CONV:
        case NN_OP_DWCONV:
        case NN_OP_LINEAR:
            fault = weighted_fault(node);
            break;
        case NN_OP_ADD:
        case NN_OP_CONCAT:
            fault = pair_fault(node, a, b);
            break;
        case NN_OP_AVGPOOL:
        case NN_OP_GLOBAL_AVGPOOL:
            fault = pool_fault(node, &shapes[node->in[0]], a);
            break;
        case NN_OP_MAXPOOL:
            *made = a;
            break;
        default:
            fault = "this op takes no U8 input";
        }
    }
    if (!fault && index + 1 == graph->node_count && made->scale > 0)
        fault = "the graph's output is U8";
    return fault ? refuse(graph, index, fault, error) : API_OK;
}

float nn_int8_limit(float real, struct nn_quant to)
{
    float q = real / to.scale + (float)to.zero;

    return rintf(fminf(fmaxf(q, 0.0f), 255.0f));
}
