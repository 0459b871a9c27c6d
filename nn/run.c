/* Runs a plan: no allocation, no lock, no question which CPU this is. */
#include <string.h>

#include "nn/activate.h"
#include "nn/conv.h"
#include "nn/int8.h"
#include "nn/operators.h"
#include "nn/plan.h"
#include "nn/winograd.h"

struct memory {
    float *arena; /* one picture's values */
    float *scratch;
    struct nn_handle *const *handles;
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

/* The output rows of a part, as if the picture began and ended with them: rows
 * of the input above and below count as long as a window reaches them. */
struct band {
    struct nn_span rows;
    size_t in_row; /* the first that a window may reach */
    uint32_t pad_top;
};

static struct band band_of(const struct nn_step *step, struct nn_part part)
{
    struct band band = {nn_part_span(part, step->out.height), 0, 0};
    size_t above = band.rows.from * step->stride[0];

    if (above > step->pad[0])
        band.in_row = above - step->pad[0];
    else
        band.pad_top = step->pad[0] - (uint32_t)above;
    if (band.in_row > step->in.height) /* windows in the padding below */
        band.in_row = step->in.height;
    return band;
}

/* Floats of one row of a shape. */
static size_t row_floats(const struct nn_shape *shape)
{
    return (size_t)shape->width * shape->channels;
}

/* What each part of a step has written, in floats of its output. */
static struct nn_span run_dwconv(const struct nn_plan *plan,
                                 const struct nn_step *step,
                                 struct nn_part part, const float *from,
                                 float *to)
{
    const struct band band = band_of(step, part);
    const size_t in_row = row_floats(&step->in);
    const size_t out_row = row_floats(&step->out);
    const struct nn_dwconv job = {
        .in = from + band.in_row * in_row,
        .out = to + band.rows.from * out_row,
        .blocks = step->packed,
        .in_height = step->in.height - (uint32_t)band.in_row,
        .in_width = step->in.width,
        .out_height = (uint32_t)(band.rows.to - band.rows.from),
        .out_width = step->out.width,
        .channels = step->in.channels,
        .kernel_height = step->kernel[0],
        .kernel_width = step->kernel[1],
        .stride_y = step->stride[0],
        .stride_x = step->stride[1],
        .pad_top = band.pad_top,
        .pad_left = step->pad[1],
        .lo = step->lo,
        .hi = step->hi,
    };

    plan->kernels->dwconv(&job);
    return (struct nn_span){band.rows.from * out_row, band.rows.to * out_row};
}

static struct nn_span run_pool(const struct nn_step *step, struct nn_part part,
                               const float *from, float *to)
{
    const struct band band = band_of(step, part);
    const size_t in_row = row_floats(&step->in);
    const size_t out_row = row_floats(&step->out);
    const struct nn_pool job = {
        .in = from + band.in_row * in_row,
        .out = to + band.rows.from * out_row,
        .in_height = step->in.height - (uint32_t)band.in_row,
        .in_width = step->in.width,
        .out_height = (uint32_t)(band.rows.to - band.rows.from),
        .out_width = step->out.width,
        .channels = step->in.channels,
        .kernel_height = step->kernel[0],
        .kernel_width = step->kernel[1],
        .stride_y = step->stride[0],
        .stride_x = step->stride[1],
        .pad_top = band.pad_top,
        .pad_left = step->pad[1],
    };

    if (step->op == NN_OP_MAXPOOL)
        nn_max_pool(&job);
    else
        nn_average_pool(&job);
    return (struct nn_span){band.rows.from * out_row, band.rows.to * out_row};
}

/* The whole of another library's layer. */
static struct nn_span run_layer(const struct nn_plan *plan,
                                const struct nn_step *step,
                                const struct memory *memory, float *scratch)
{
    const size_t floats = nn_shape_floats(&step->out);
    const float *with = source(memory, &step->with);
    float *to = target(memory, &step->to);

    if (step->residual && with != to)
        memcpy(to, with, floats * sizeof *to);
    plan->provider->run(memory->handles[step->handle],
                        source(memory, &step->from), to, scratch);
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

/* One part of a step, up to the curve; gives the values that it has written. */
static struct nn_span run_part(const struct nn_plan *plan,
                               const struct nn_step *step, struct nn_part part,
                               const struct memory *memory)
{
    const float *from = source(memory, &step->from);
    const float *with = source(memory, &step->with);
    float *to = target(memory, &step->to);
    struct nn_span span = nn_part_span(part, nn_shape_floats(&step->out));
    float *scratch = memory->scratch + part.index * plan->gather_floats;

    if (nn_step_is_int8(step))
        return nn_int8_run(plan->kernels, step, part, from, with, to, scratch);
    if (step->layer)
        return part.index == 0 ? run_layer(plan, step, memory, scratch)
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
        return run_dwconv(plan, step, part, from, to);
    case NN_OP_AVGPOOL:
    case NN_OP_MAXPOOL:
    case NN_OP_GLOBAL_AVGPOOL:
        return run_pool(step, part, from, to);
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

/* All steps, each thread its part of each; no step begins before the one
 * before it has ended. */
struct walk {
    const struct nn_plan *plan;
    uint32_t count; /* of pictures */
    float *arena;   /* the values of each, then scratch for all */
    struct nn_handle *const *handles;
    const float *input;
    float *output;
};

static struct memory memory_of(const struct walk *walk, uint32_t picture)
{
    const struct nn_plan *plan = walk->plan;

    return (struct memory){
        .arena = walk->arena + picture * plan->gather_offset,
        .scratch = walk->arena + walk->count * plan->gather_offset,
        .handles = walk->handles,
        .input = walk->input + picture * nn_shape_floats(&plan->in),
        .output = walk->output + picture * nn_shape_floats(&plan->out),
    };
}

static void walk_step(const struct nn_plan *plan, const struct nn_step *step,
                      struct nn_part part, const struct memory *memory)
{
    struct nn_span span = run_part(plan, step, part, memory);

    if (step->curve != NN_ACT_NONE)
        nn_activate(step->curve, step->slope,
                    target(memory, &step->to) + span.from, span.to - span.from);
    nn_part_meet(part);
}

static void walk_stages(void *job, struct nn_part part)
{
    const struct walk *walk = job;
    const struct nn_step *step = walk->plan->steps, *next = step;
    const struct nn_step *end = step + walk->plan->step_count;

    for (; step < end; step = next)
        for (uint32_t i = 0; i < walk->count; i++) {
            const struct memory memory = memory_of(walk, i);

            next = step;
            do
                walk_step(walk->plan, next, part, &memory);
            while (!next++->ends_stage);
        }
}

void nn_plan_run_batch(const struct nn_plan *plan, struct nn_threads *threads,
                       uint32_t count, float *arena,
                       struct nn_handle *const *handles, const float *input,
                       float *output)
{
    struct walk walk = {plan, count, arena, handles, input, output};

    if (threads)
        nn_threads_run(threads, walk_stages, &walk);
    else
        walk_stages(&walk, (struct nn_part){0, 1, NULL});
}

void nn_plan_run(const struct nn_plan *plan, struct nn_threads *threads,
                 float *arena, struct nn_handle *const *handles,
                 const float *input, float *output)
{
    nn_plan_run_batch(plan, threads, 1, arena, handles, input, output);
}
