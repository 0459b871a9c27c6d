/* One step: which kernel runs it, and what of it belongs to a thread. */
#include "nn/step.h"

#include <string.h>

#include "nn/activate.h"
#include "nn/band.h"
#include "nn/conv.h"
#include "nn/int8.h"
#include "nn/operators.h"
#include "nn/winograd.h"

/* Floats of one row of a shape. */
static size_t row_floats(const struct nn_shape *shape)
{
    return (size_t)shape->width * shape->channels;
}

/* What each part of a step has written, in floats of its output. */
static struct nn_span run_dwconv(const struct nn_plan *plan,
                                 const struct nn_step *step,
                                 struct nn_span rows, const float *from,
                                 float *to)
{
    const struct nn_step band = nn_band_step(step, rows);
    const size_t in_row = row_floats(&step->in);
    const size_t out_row = row_floats(&step->out);
    const struct nn_dwconv job = {
        .in = from + nn_band_reach(step, rows).from * in_row,
        .out = to + rows.from * out_row,
        .blocks = band.packed,
        .in_height = band.in.height,
        .in_width = band.in.width,
        .out_height = band.out.height,
        .out_width = band.out.width,
        .channels = band.in.channels,
        .kernel_height = band.kernel[0],
        .kernel_width = band.kernel[1],
        .stride_y = band.stride[0],
        .stride_x = band.stride[1],
        .pad_top = band.pad[0],
        .pad_left = band.pad[1],
        .lo = band.lo,
        .hi = band.hi,
    };

    plan->kernels->dwconv(&job);
    return (struct nn_span){rows.from * out_row, rows.to * out_row};
}

static struct nn_span run_pool(const struct nn_step *step, struct nn_span rows,
                               const float *from, float *to)
{
    const struct nn_step band = nn_band_step(step, rows);
    const size_t in_row = row_floats(&step->in);
    const size_t out_row = row_floats(&step->out);
    const struct nn_pool job = {
        .in = from + nn_band_reach(step, rows).from * in_row,
        .out = to + rows.from * out_row,
        .in_height = band.in.height,
        .in_width = band.in.width,
        .out_height = band.out.height,
        .out_width = band.out.width,
        .channels = band.in.channels,
        .kernel_height = band.kernel[0],
        .kernel_width = band.kernel[1],
        .stride_y = band.stride[0],
        .stride_x = band.stride[1],
        .pad_top = band.pad[0],
        .pad_left = band.pad[1],
    };

    if (step->op == NN_OP_MAXPOOL)
        nn_max_pool(&job);
    else
        nn_average_pool(&job);
    return (struct nn_span){rows.from * out_row, rows.to * out_row};
}

/* What is done row by row. */
static struct nn_span run_rows(const struct nn_plan *plan,
                               const struct nn_step *step, struct nn_part part,
                               const float *from, float *to)
{
    const struct nn_span rows = nn_part_span(part, step->out.height);

    if (rows.from == rows.to)
        return (struct nn_span){0, 0};
    if (step->op == NN_OP_DWCONV || step->op == NN_OP_AFFINE)
        return run_dwconv(plan, step, rows, from, to);
    return run_pool(step, rows, from, to);
}

/* The whole of another library's layer. */
static struct nn_span run_layer(const struct nn_plan *plan,
                                const struct nn_step *step,
                                const struct nn_operands *operands)
{
    const size_t floats = nn_shape_floats(&step->out);

    if (step->residual && operands->with != operands->to)
        memcpy(operands->to, operands->with, floats * sizeof(float));
    plan->provider->run(operands->handles[step->handle], operands->from,
                        operands->to, operands->scratch);
    return (struct nn_span){0, floats};
}

/* Steps too short or too rare to be shared: the first thread does them. */
static struct nn_span run_whole(const struct nn_step *step, const float *from,
                                const float *with, float *to)
{
    const size_t floats = nn_shape_floats(&step->out);

    switch (step->op) {
    case NN_OP_SOFTMAX:
        nn_softmax(from, to, floats / step->out.channels, step->out.channels);
        break;
    case NN_OP_MUL:
        nn_multiply(step, from, with, to);
        break;
    case NN_OP_CONCAT:
        nn_concatenate(step, from, with, to);
        break;
    case NN_OP_LAYER_NORM:
        nn_layer_norm(step, from, to);
        break;
    case NN_OP_RESIZE:
        nn_resize_value(step, from, to);
        break;
    default: /* NN_OP_DEPTH_TO_SPACE: the last that is left */
        nn_depth_to_space(step, from, to);
        break;
    }
    return (struct nn_span){0, floats};
}

/* Up to the curve; gives the values that it has written and that need it. */
static struct nn_span run_part(const struct nn_plan *plan,
                               const struct nn_step *step, struct nn_part part,
                               const struct nn_operands *operands)
{
    const float *from = operands->from, *with = operands->with;
    float *to = operands->to, *scratch = operands->scratch;
    struct nn_span span = nn_part_span(part, nn_shape_floats(&step->out));

    if (nn_step_is_int8(step))
        return nn_int8_run(plan->kernels, step, part, from, with, to, scratch);
    if (step->layer)
        return part.index == 0 ? run_layer(plan, step, operands)
                               : (struct nn_span){0, 0};
    if (step->winograd) {
        nn_winograd_run(plan->kernels, step, part, from,
                        step->residual ? with : NULL, to, scratch);
        return (struct nn_span){0, 0};
    }
    switch (step->op) {
    case NN_OP_CONV:
    case NN_OP_LINEAR:
        span = nn_conv_run(plan->kernels, step, part, from,
                           step->residual ? with : NULL, to, scratch);
        span.from *= step->out.channels;
        span.to *= step->out.channels;
        return span;
    case NN_OP_DWCONV:
    case NN_OP_AFFINE:
    case NN_OP_AVGPOOL:
    case NN_OP_MAXPOOL:
    case NN_OP_GLOBAL_AVGPOOL:
        return run_rows(plan, step, part, from, to);
    case NN_OP_ADD:
        plan->kernels->add(from + span.from, with + span.from, to + span.from,
                           span.to - span.from, step->lo, step->hi);
        return span;
    case NN_OP_ACT:
        nn_clamp(from + span.from, to + span.from, span.to - span.from,
                 step->lo, step->hi);
        return span;
    default:
        return part.index == 0 ? run_whole(step, from, with, to)
                               : (struct nn_span){0, 0};
    }
}

void nn_step_run(const struct nn_plan *plan, const struct nn_step *step,
                 struct nn_part part, const struct nn_operands *operands)
{
    struct nn_span span = run_part(plan, step, part, operands);

    if (step->curve != NN_ACT_NONE)
        nn_activate(step->curve, step->slope, (float *)operands->to + span.from,
                    span.to - span.from);
}
