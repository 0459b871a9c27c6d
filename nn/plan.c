/* The planner: from a parsed graph to steps over one reused arena. */
#include "nn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/conv.h"
#include "nn/int8.h"
#include "nn/place.h"
#include "nn/shape.h"
#include "nn/winograd.h"

/* What the planner knows of a value. Value i + 1 is made by node i. */
struct value {
    struct nn_shape shape;
    struct nn_quant type; /* scale 0: F32 */
    uint32_t readers;     /* nodes that read it and are needed themselves */
    uint32_t swallows;    /* value of the add fused into its node, or 0 */
    bool swallowed;       /* made by an add that was fused away */
};

struct planner {
    const struct nn_graph *graph;
    const struct nn_kernels *kernels;
    struct nn_weights *weights;
    struct api_error *error;
    struct nn_plan *plan;
    struct value *values;    /* [node_count + 1] */
    struct nn_shape *shapes; /* [node_count + 1], as nn_shape_infer wants */
    struct nn_quant *types;  /* likewise, for nn_int8_infer */
    struct nn_uses *uses;    /* of the steps */
};

static enum api_status infer_shapes(struct planner *planner)
{
    const struct nn_graph *graph = planner->graph;
    struct nn_shape *shapes = planner->shapes;
    uint64_t total = 0;

    shapes[0] =
        (struct nn_shape){graph->input[0], graph->input[1], graph->input[2]};
    if (!nn_shape_allowed(&shapes[0]))
        return api_fail(planner->error, API_BAD_BUNDLE,
                        "graph %s: bad input shape", graph->name);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        uint64_t operations;
        enum api_status status = nn_shape_infer(
            graph, i, shapes, &shapes[i + 1], &operations, planner->error);

        if (status == API_OK)
            status = nn_int8_infer(graph, i, shapes, planner->types,
                                   &planner->types[i + 1], planner->error);
        if (status != API_OK)
            return status;
        if (operations > API_LIMIT_GRAPH_OPERATIONS - total)
            return api_fail(planner->error, API_BAD_BUNDLE,
                            "graph %s, node %u: too much to compute",
                            graph->name, i);
        total += operations;
    }
    for (uint32_t i = 0; i <= graph->node_count; i++) {
        planner->values[i].shape = shapes[i];
        planner->values[i].type = planner->types[i];
    }
    return API_OK;
}

/* Counts readers from the output backwards, so that only nodes on the way to
 * the output count. */
static void count_readers(struct planner *planner)
{
    const struct nn_graph *graph = planner->graph;
    struct value *values = planner->values;

    values[graph->node_count].readers = 1; /* the caller */
    for (uint32_t i = graph->node_count; i > 0; i--)
        if (values[i].readers)
            for (uint8_t k = 0; k < graph->nodes[i - 1].in_count; k++)
                values[graph->nodes[i - 1].in[k]].readers++;
}

/* An add whose later operand is a convolution that nobody else reads becomes
 * that convolution's epilogue; its other operand exists by then. */
static void fuse_additions(struct planner *planner)
{
    const struct nn_graph *graph = planner->graph;
    struct value *values = planner->values;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct nn_node *add = &graph->nodes[i], *made;
        uint32_t late;

        if (add->op != NN_OP_ADD || !values[i + 1].readers ||
            add->in[0] == add->in[1])
            continue;
        late = add->in[0] > add->in[1] ? add->in[0] : add->in[1];
        made = &graph->nodes[late - 1]; /* differing, so the later is not 0 */
        if (((made->op == NN_OP_CONV && made->groups == 1) ||
             made->op == NN_OP_LINEAR) &&
            made->act == NN_ACT_NONE && values[late].readers == 1 &&
            (values[late].type.scale > 0) ==
                (values[made->in[0]].type.scale > 0)) {
            values[late].swallows = i + 1;
            values[i + 1].swallowed = true;
        }
    }
}

static bool has_step(const struct planner *planner, uint32_t node)
{
    const struct value *value = &planner->values[node + 1];

    return value->readers && !value->swallowed;
}

/* The other operand of the add that `node` swallowed. */
static uint32_t residual_of(const struct planner *planner, uint32_t node)
{
    uint32_t add = planner->values[node + 1].swallows;
    const uint32_t *in = planner->graph->nodes[add - 1].in;

    return in[0] == node + 1 ? in[1] : in[0];
}

static void set_act(struct nn_step *step, const struct nn_node *node)
{
    step->lo = -INFINITY;
    step->hi = INFINITY;
    step->curve = NN_ACT_NONE;
    switch (node->act) {
    case NN_ACT_NONE:
        break;
    case NN_ACT_RELU6:
        step->hi = 6.0f;
        step->lo = 0.0f;
        break;
    case NN_ACT_RELU:
        step->lo = 0.0f;
        break;
    case NN_ACT_CLIP:
        step->lo = node->limits[0];
        step->hi = node->limits[1];
        break;
    default:
        step->curve = node->act;
        step->slope = node->slope;
    }
}

/* What only some ops have. */
static void set_particulars(struct nn_step *step, const struct nn_node *node)
{
    step->groups = node->op == NN_OP_CONV ? node->groups : 1;
    for (int axis = 0; axis < 2; axis++)
        step->dilation[axis] =
            node->op == NN_OP_CONV ? node->dilation[axis] : 1;
    step->epsilon = node->epsilon;
    step->filter = node->filter;
    step->coordinates = node->coordinates;
    step->block = node->block;
    step->order = node->order;
}

/* Kernel, stride and padding; everything but windows is a window of 1 x 1. */
static void set_window(struct nn_step *step, const struct nn_node *node)
{
    const uint32_t *sides = NULL;

    for (int axis = 0; axis < 2; axis++)
        step->kernel[axis] = step->stride[axis] = 1;
    if (node->op == NN_OP_CONV)
        sides = node->weight->dims + 1;
    else if (node->op == NN_OP_DWCONV)
        sides = node->weight->dims;
    else if (node->op == NN_OP_GLOBAL_AVGPOOL) {
        step->kernel[0] = step->in.height;
        step->kernel[1] = step->in.width;
        return;
    } else if (node->op != NN_OP_AVGPOOL && node->op != NN_OP_MAXPOOL)
        return;
    for (int axis = 0; axis < 2; axis++) {
        step->kernel[axis] = sides ? sides[axis] : node->kernel[axis];
        step->stride[axis] = node->stride[axis];
        step->pad[axis] = node->pad[2 * axis];
    }
}

static void need_scratch(struct planner *planner, size_t floats)
{
    if (floats > planner->plan->gather_floats)
        planner->plan->gather_floats = floats;
}

static enum api_status pack_int8(struct planner *planner,
                                 const struct nn_node *node,
                                 struct nn_step *step)
{
    need_scratch(planner, nn_int8_floats(nn_int8_scratch_bytes(step)));
    return nn_weights_pack_int8(planner->weights, node, step->from_quant,
                                &step->packed_int8, planner->error);
}

/* A convolution of floats in one group: what a provider and Winograd's
 * algorithm are for. */
static bool is_dense(const struct nn_step *step)
{
    return step->op == NN_OP_CONV && step->groups == 1 &&
           !nn_step_is_int8(step) && step->with_quant.scale <= 0;
}

static struct nn_dense dense_of(const struct nn_step *step)
{
    return (struct nn_dense){
        .in_height = step->in.height,
        .in_width = step->in.width,
        .in_channels = step->in.channels,
        .out_height = step->out.height,
        .out_width = step->out.width,
        .out_channels = step->out.channels,
        .kernel = {step->kernel[0], step->kernel[1]},
        .stride = {step->stride[0], step->stride[1]},
        .pad = {step->pad[0], step->pad[1]},
        .dilation = {step->dilation[0], step->dilation[1]},
        .adds = step->residual,
        .lo = step->lo,
        .hi = step->hi,
    };
}

static enum api_status pack_conv(struct planner *planner,
                                 const struct nn_node *node,
                                 struct nn_step *step)
{
    const struct nn_dense dense = dense_of(step);
    const uint32_t mr = planner->kernels->mr;
    enum api_status status = API_OK;

    if (is_dense(step) && nn_winograd_pays(&dense))
        status = nn_weights_pack_winograd(planner->weights, node, &step->packed,
                                          planner->error);
    step->winograd = step->packed != NULL;
    if (step->winograd) {
        need_scratch(planner, nn_winograd_scratch_floats(step, mr));
        return API_OK;
    }
    step->gather = step->groups != 1 || step->kernel[0] != 1 ||
                   step->kernel[1] != 1 || step->stride[0] != 1 ||
                   step->stride[1] != 1 || node->pad[0] || node->pad[1] ||
                   node->pad[2] || node->pad[3];
    need_scratch(planner, nn_conv_scratch_floats(step, mr));
    return status == API_OK ? nn_weights_pack(planner->weights, node,
                                              &step->packed, planner->error)
                            : status;
}

static enum api_status pack(struct planner *planner, uint32_t index,
                            struct nn_step *step)
{
    struct nn_node node = planner->graph->nodes[index];

    if (nn_step_is_int8(step))
        return pack_int8(planner, &node, step);
    if (node.op == NN_OP_AFFINE) /* its channels are those of its input */
        node.out = node.inch = (struct nn_range){0, step->in.channels};
    if (node.op == NN_OP_CONV)
        return pack_conv(planner, &node, step);
    return nn_weights_pack(planner->weights, &node, &step->packed,
                           planner->error);
}

/* Asks the provider, if there is one, for the layer of a dense convolution of
 * floats; what follows the clamp is left to us. */
static enum api_status provide(struct planner *planner,
                               const struct nn_node *node, struct nn_step *step)
{
    const struct nn_provider *provider = planner->plan->provider;
    const struct nn_dense dense = dense_of(step);
    enum api_status status;

    if (!provider || !is_dense(step) ||
        !provider->wants(&dense, planner->kernels))
        return API_OK;
    status = nn_weights_provide(planner->weights, provider, node, &dense,
                                &step->layer, planner->error);
    if (!step->layer)
        return status;
    step->handle = planner->plan->layer_count++;
    need_scratch(planner, provider->scratch_floats(step->layer));
    return status;
}

/* All of a step but where its values lie. */
static enum api_status make_step(struct planner *planner, uint32_t index,
                                 uint32_t number)
{
    const struct nn_node *node = &planner->graph->nodes[index];
    const struct value *values = planner->values;
    struct nn_step *step = &planner->plan->steps[number];
    struct nn_uses *uses = &planner->uses[number];
    enum api_status status;

    *uses = (struct nn_uses){.from = node->in[0], .made = index + 1};
    step->op = node->op;
    step->in = values[node->in[0]].shape;
    step->from_quant = values[node->in[0]].type;
    step->made_quant = values[index + 1].type;
    set_act(step, node);
    set_particulars(step, node);
    set_window(step, node);
    if (node->in_count == 2) {
        uses->with = node->in[1];
        uses->has_with = true;
    }
    if (values[index + 1].swallows) {
        step->residual = true;
        uses->with = residual_of(planner, index);
        uses->has_with = true;
        uses->made = values[index + 1].swallows;
        set_act(step, &planner->graph->nodes[uses->made - 1]);
    }
    if (uses->has_with) {
        step->other = values[uses->with].shape;
        step->with_quant = values[uses->with].type;
    }
    step->out = values[uses->made].shape;
    step->to_quant = values[uses->made].type;
    status = provide(planner, node, step);
    if (status == API_OK && !step->layer &&
        (node->op == NN_OP_CONV || node->op == NN_OP_DWCONV ||
         node->op == NN_OP_LINEAR || node->op == NN_OP_AFFINE))
        status = pack(planner, index, step);
    return status;
}

size_t nn_step_weight_bytes(const struct nn_step *step)
{
    size_t taps = (size_t)step->kernel[0] * step->kernel[1];
    size_t values;

    switch (step->op) {
    case NN_OP_CONV:
    case NN_OP_LINEAR:
        values = taps * (step->in.channels / step->groups);
        break;
    case NN_OP_DWCONV:
        values = taps;
        break;
    default:
        return 0;
    }
    values *= step->out.channels;
    return nn_step_is_int8(step) ? values : values * sizeof(float);
}

static enum api_status make_steps(struct planner *planner)
{
    struct nn_plan *plan = planner->plan;
    const uint32_t nodes = planner->graph->node_count;
    uint32_t number = 0;

    for (uint32_t i = 0; i < nodes; i++)
        plan->step_count += has_step(planner, i);
    plan->steps = calloc(plan->step_count, sizeof *plan->steps);
    planner->uses = calloc(plan->step_count, sizeof *planner->uses);
    if (!plan->steps || !planner->uses)
        return api_fail(planner->error, API_NO_MEMORY, "no memory to plan");
    for (uint32_t i = 0; i < nodes; i++)
        if (has_step(planner, i)) {
            enum api_status status = make_step(planner, i, number++);

            if (status != API_OK)
                return status;
        }
    return nn_place_values(plan, planner->uses, nodes + 1, nodes,
                           planner->graph->name, planner->error);
}

static enum api_status build(const struct nn_graph *graph,
                             const struct nn_kernels *kernels,
                             const struct nn_provider *provider,
                             struct nn_weights *weights, struct nn_plan **plan,
                             struct api_error *error)
{
    struct planner planner = {
        .graph = graph, .kernels = kernels, .weights = weights, .error = error};
    size_t count = (size_t)graph->node_count + 1;
    enum api_status status;

    if (graph->node_count < 1 || graph->node_count > API_LIMIT_NODES)
        return api_fail(error, API_BAD_BUNDLE, "graph %s: not 1 to %u nodes",
                        graph->name, API_LIMIT_NODES);
    planner.plan = calloc(1, sizeof *planner.plan);
    planner.values = calloc(count, sizeof *planner.values);
    planner.shapes = calloc(count, sizeof *planner.shapes);
    planner.types = calloc(count, sizeof *planner.types);
    if (!planner.plan || !planner.values || !planner.shapes || !planner.types) {
        status = api_fail(error, API_NO_MEMORY, "no memory to plan");
        goto out;
    }
    planner.plan->kernels = kernels;
    planner.plan->provider = provider;
    status = infer_shapes(&planner);
    if (status != API_OK)
        goto out;
    planner.plan->in = planner.shapes[0];
    planner.plan->out = planner.shapes[graph->node_count];
    count_readers(&planner);
    fuse_additions(&planner);
    status = make_steps(&planner);
    if (status != API_OK)
        goto out;
    *plan = planner.plan;
    planner.plan = NULL;
out:
    free(planner.uses);
    free(planner.types);
    free(planner.shapes);
    free(planner.values);
    nn_plan_close(&planner.plan);
    return status;
}

enum api_status nn_plan_build(const struct nn_graph *graph,
                              const struct nn_kernels *kernels,
                              struct nn_weights *weights, struct nn_plan **plan,
                              struct api_error *error)
{
    const struct nn_provider *provider = nn_provider();
    enum api_status status =
        build(graph, kernels, provider, weights, plan, error);

    /* What is too large only with the provider's scratch is ours to run. */
    if (status == API_BAD_BUNDLE && provider)
        status = build(graph, kernels, NULL, weights, plan, error);
    return status;
}

enum api_status nn_plan_bind(const struct nn_plan *plan,
                             struct nn_handle ***handles,
                             struct api_error *error)
{
    struct nn_handle **made = NULL;

    *handles = NULL;
    if (plan->layer_count == 0)
        return API_OK;
    made = calloc(plan->layer_count, sizeof *made);
    for (uint32_t i = 0; made && i < plan->step_count; i++) {
        const struct nn_step *step = &plan->steps[i];

        if (!step->layer)
            continue;
        made[step->handle] = plan->provider->bind(step->layer);
        if (!made[step->handle])
            nn_plan_unbind(plan, &made);
    }
    *handles = made;
    return made ? API_OK : api_fail(error, API_NO_MEMORY, "no memory to run");
}

void nn_plan_unbind(const struct nn_plan *plan, struct nn_handle ***handles)
{
    if (!*handles)
        return;
    for (uint32_t i = 0; i < plan->layer_count; i++)
        if ((*handles)[i])
            plan->provider->unbind((*handles)[i]);
    free(*handles);
    *handles = NULL;
}

void nn_plan_close(struct nn_plan **plan)
{
    if (!*plan)
        return;
    free((*plan)->steps);
    free(*plan);
    *plan = NULL;
}
