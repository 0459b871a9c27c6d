/* Runs a plan: no allocation, no lock, no question which CPU this is. */
#include "nn/activate.h"
#include "nn/conv.h"
#include "nn/operators.h"
#include "nn/plan.h"

struct memory {
    float *arena;
    const float *input;
    float *output;
};

static const float *source(const struct memory *memory,
                           const struct nn_place *place)
{
    switch (place->memory) {
    case NN_AT_INPUT:
        return memory->input;
    case NN_AT_OUTPUT:
        return memory->output;
    default:
        return memory->arena + place->offset;
    }
}

static float *target(const struct memory *memory, const struct nn_place *place)
{
    return place->memory == NN_AT_OUTPUT ? memory->output
                                         : memory->arena + place->offset;
}

static void run_dwconv(const struct nn_plan *plan, const struct nn_step *step,
                       const struct memory *memory)
{
    const struct nn_dwconv job = {
        .in = source(memory, &step->from),
        .out = target(memory, &step->to),
        .blocks = step->packed,
        .in_height = step->in.height,
        .in_width = step->in.width,
        .out_height = step->out.height,
        .out_width = step->out.width,
        .channels = step->in.channels,
        .kernel_height = step->kernel[0],
        .kernel_width = step->kernel[1],
        .stride_y = step->stride[0],
        .stride_x = step->stride[1],
        .pad_top = step->pad[0],
        .pad_left = step->pad[1],
        .lo = step->lo,
        .hi = step->hi,
    };

    plan->kernels->dwconv(&job);
}

static void run_pool(const struct nn_step *step, const struct memory *memory)
{
    const struct nn_pool job = {
        .in = source(memory, &step->from),
        .out = target(memory, &step->to),
        .in_height = step->in.height,
        .in_width = step->in.width,
        .out_height = step->out.height,
        .out_width = step->out.width,
        .channels = step->in.channels,
        .kernel_height = step->kernel[0],
        .kernel_width = step->kernel[1],
        .stride_y = step->stride[0],
        .stride_x = step->stride[1],
        .pad_top = step->pad[0],
        .pad_left = step->pad[1],
    };

    if (step->op == NN_OP_MAXPOOL)
        nn_max_pool(&job);
    else
        nn_average_pool(&job);
}

void nn_plan_run(const struct nn_plan *plan, float *arena, const float *input,
                 float *output)
{
    const struct memory memory = {arena, input, output};

    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct nn_step *step = &plan->steps[i];
        const float *from = source(&memory, &step->from);
        float *to = target(&memory, &step->to);

        switch (step->op) {
        case NN_OP_CONV:
        case NN_OP_LINEAR:
            nn_conv_run(plan->kernels, step, from,
                        step->residual ? source(&memory, &step->with) : NULL,
                        to, arena + plan->gather_offset);
            break;
        case NN_OP_DWCONV:
        case NN_OP_AFFINE:
            run_dwconv(plan, step, &memory);
            break;
        case NN_OP_ADD:
            plan->kernels->add(from, source(&memory, &step->with), to,
                               nn_shape_floats(&step->out), step->lo, step->hi);
            break;
        case NN_OP_ACT:
            nn_clamp(from, to, nn_shape_floats(&step->out), step->lo, step->hi);
            break;
        case NN_OP_AVGPOOL:
        case NN_OP_MAXPOOL:
        case NN_OP_GLOBAL_AVGPOOL:
            run_pool(step, &memory);
            break;
        case NN_OP_SOFTMAX:
            nn_softmax(from, to, (size_t)step->out.height * step->out.width,
                       step->out.channels);
            break;
        case NN_OP_MUL:
            nn_multiply(step, from, source(&memory, &step->with), to);
            break;
        case NN_OP_CONCAT:
            nn_concatenate(step, from, source(&memory, &step->with), to);
            break;
        case NN_OP_LAYER_NORM:
            nn_layer_norm(step, from, to);
            break;
        case NN_OP_RESIZE:
            nn_resize_value(step, from, to);
            break;
        case NN_OP_DEPTH_TO_SPACE:
            nn_depth_to_space(step, from, to);
            break;
        }
        if (step->curve != NN_ACT_NONE)
            nn_activate(step->curve, step->slope, to,
                        nn_shape_floats(&step->out));
    }
}
