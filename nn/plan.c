/* The planner: from a parsed graph to steps over one reused arena. */
#include "nn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/conv.h"
#include "nn/int8.h"
#include "nn/shape.h"
#include "nn/winograd.h"

enum {
    ALIGN_FLOATS = 16,       /* 64 bytes, one cache line */
    STAGE_BYTES = 512 << 10, /* half of what most second-level caches hold */
};

#define ARENA_FLOATS_MAX (API_LIMIT_ARENA_BYTES / sizeof(float))

/* What the planner knows of a value. Value i + 1 is made by node i. */
struct value {
    struct nn_shape shape;
    struct nn_quant type; /* scale 0: F32 */
    struct nn_place place;
    uint32_t readers;   /* nodes that read it and are needed themselves */
    uint32_t last_step; /* the last one that reads it */
    uint32_t swallows;  /* value of the add fused into its node, or 0 */
    bool swallowed;     /* made by an add that was fused away */
};

/* A part of the arena in use at some step. */
struct block {
    size_t from, to;
    uint32_t last_step;
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
    struct block *blocks;    /* sorted by offset */
    uint32_t block_count;
    size_t gather_floats;
};

static size_t aligned(size_t floats)
{
    return (floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

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

static void find_last_steps(struct planner *planner)
{
    uint32_t step = 0;

    for (uint32_t i = 0; i < planner->graph->node_count; i++) {
        const struct nn_node *node = &planner->graph->nodes[i];

        if (!has_step(planner, i))
            continue;
        for (uint8_t k = 0; k < node->in_count; k++)
            planner->values[node->in[k]].last_step = step;
        if (planner->values[i + 1].swallows)
            planner->values[residual_of(planner, i)].last_step = step;
        step++;
    }
    planner->plan->step_count = step;
}

/* First fit among the blocks in use. */
static enum api_status place(struct planner *planner, struct value *value)
{
    size_t values = nn_shape_floats(&value->shape);
    size_t floats =
        aligned(value->type.scale > 0 ? nn_int8_floats(values) : values);
    struct block *blocks = planner->blocks;
    size_t from = 0;
    uint32_t at = 0;

    while (at < planner->block_count && blocks[at].from - from < floats)
        from = blocks[at++].to;
    if (floats > ARENA_FLOATS_MAX || from > ARENA_FLOATS_MAX - floats)
        return api_fail(planner->error, API_BAD_BUNDLE,
                        "graph %s needs more than %u MiB of memory",
                        planner->graph->name, API_LIMIT_ARENA_BYTES >> 20);
    memmove(blocks + at + 1, blocks + at,
            (planner->block_count - at) * sizeof *blocks);
    blocks[at] = (struct block){from, from + floats, value->last_step};
    planner->block_count++;
    value->place = (struct nn_place){NN_AT_ARENA, from};
    if (from + floats > planner->plan->gather_offset)
        planner->plan->gather_offset = from + floats;
    return API_OK;
}

static void release_read(struct planner *planner, uint32_t step)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < planner->block_count; i++)
        if (planner->blocks[i].last_step > step)
            planner->blocks[kept++] = planner->blocks[i];
    planner->block_count = kept;
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
    if (floats > planner->gather_floats)
        planner->gather_floats = floats;
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

/* A layer adds to what its output held, so that it best lies where the residual
 * does, if nobody needs that any more and it is not being read as the input. */
static bool take_over(struct planner *planner, const struct nn_step *step,
                      const struct value *residual, uint32_t number,
                      struct value *value)
{
    if (!step->layer || residual->last_step != number ||
        residual->place.memory != NN_AT_ARENA ||
        (step->from.memory == NN_AT_ARENA &&
         step->from.offset == residual->place.offset))
        return false;
    value->place = residual->place;
    for (uint32_t i = 0; i < planner->block_count; i++)
        if (planner->blocks[i].from == value->place.offset)
            planner->blocks[i].last_step = value->last_step;
    return true;
}

static enum api_status make_step(struct planner *planner, uint32_t index,
                                 uint32_t number)
{
    const struct nn_node *node = &planner->graph->nodes[index];
    struct nn_step *step = &planner->plan->steps[number];
    struct value *values = planner->values;
    const struct value *residual = NULL;
    uint32_t made = index + 1;
    enum api_status status;

    step->op = node->op;
    step->in = values[node->in[0]].shape;
    step->from = values[node->in[0]].place;
    step->from_quant = values[node->in[0]].type;
    step->made_quant = values[made].type;
    set_act(step, node);
    set_particulars(step, node);
    set_window(step, node);
    if (node->in_count == 2) {
        step->with = values[node->in[1]].place;
        step->other = values[node->in[1]].shape;
        step->with_quant = values[node->in[1]].type;
    }
    if (values[made].swallows) {
        residual = &values[residual_of(planner, index)];
        step->residual = true;
        step->with = residual->place;
        step->with_quant = residual->type;
        made = values[made].swallows;
        set_act(step, &planner->graph->nodes[made - 1]);
    }
    step->out = values[made].shape;
    step->to_quant = values[made].type;
    status = provide(planner, node, step);
    if (status != API_OK)
        return status;
    if (made == planner->graph->node_count)
        values[made].place = (struct nn_place){NN_AT_OUTPUT, 0};
    else if (!residual ||
             !take_over(planner, step, residual, number, &values[made]))
        status = place(planner, &values[made]);
    step->to = values[made].place;
    if (status == API_OK && !step->layer &&
        (node->op == NN_OP_CONV || node->op == NN_OP_DWCONV ||
         node->op == NN_OP_LINEAR || node->op == NN_OP_AFFINE))
        status = pack(planner, index, step);
    release_read(planner, number);
    return status;
}

static size_t weight_bytes(const struct nn_step *step)
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

/* As many steps to a stage as fit; one with more weights is a stage itself. */
static void end_stages(struct nn_plan *plan)
{
    size_t held = 0;

    for (uint32_t i = 0; i < plan->step_count; i++) {
        size_t bytes = weight_bytes(&plan->steps[i]);

        if (i > 0 && held + bytes > STAGE_BYTES) {
            plan->steps[i - 1].ends_stage = true;
            held = 0;
        }
        held += bytes;
    }
    plan->steps[plan->step_count - 1].ends_stage = true;
}

static enum api_status make_steps(struct planner *planner)
{
    struct nn_plan *plan = planner->plan;
    uint32_t number = 0;

    plan->steps = calloc(plan->step_count, sizeof *plan->steps);
    if (!plan->steps)
        return api_fail(planner->error, API_NO_MEMORY, "no memory to plan");
    planner->values[0].place = (struct nn_place){NN_AT_INPUT, 0};
    for (uint32_t i = 0; i < planner->graph->node_count; i++)
        if (has_step(planner, i)) {
            enum api_status status = make_step(planner, i, number++);

            if (status != API_OK)
                return status;
        }
    end_stages(plan);
    plan->gather_floats = aligned(planner->gather_floats);
    if (plan->gather_floats > ARENA_FLOATS_MAX - plan->gather_offset)
        return api_fail(planner->error, API_BAD_BUNDLE,
                        "graph %s needs more than %u MiB of memory",
                        planner->graph->name, API_LIMIT_ARENA_BYTES >> 20);
    plan->arena_floats = plan->gather_offset + plan->gather_floats;
    return API_OK;
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
    planner.blocks = calloc(count, sizeof *planner.blocks);
    if (!planner.plan || !planner.values || !planner.shapes || !planner.types ||
        !planner.blocks) {
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
    find_last_steps(&planner);
    status = make_steps(&planner);
    if (status != API_OK)
        goto out;
    *plan = planner.plan;
    planner.plan = NULL;
out:
    free(planner.blocks);
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
