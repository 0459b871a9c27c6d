/* Runs a plan: no allocation, no lock, no question which CPU this is. */
#include <string.h>

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

/* Nearly always there is nothing to put. */
static float *put_zeros(float *to, size_t count)
{
    if (count)
        memset(to, 0, count * sizeof *to);
    return to + count;
}

/* Copies the windows of output pixels first..first+rows-1 to `to`, each a row
 * of kernel height * width * channels floats, zeros where they reach over the
 * edge. Neighbours along x are neighbours in memory, so a kernel row is one
 * copy. */
static void gather(const struct nn_step *step, const float *in, uint32_t first,
                   uint32_t rows, float *to)
{
    const size_t channels = step->in.channels;
    const size_t row_floats = step->in.width * channels;
    uint32_t oy = first / step->out.width, ox = first % step->out.width;

    for (; rows; rows--) {
        int32_t y0 = (int32_t)(oy * step->stride[0]) - (int32_t)step->pad[0];
        int32_t x0 = (int32_t)(ox * step->stride[1]) - (int32_t)step->pad[1];
        struct nn_taps ys =
            nn_taps_inside(y0, step->kernel[0], step->in.height);
        struct nn_taps xs = nn_taps_inside(x0, step->kernel[1], step->in.width);
        size_t left = xs.from * channels;
        size_t middle = (xs.to - xs.from) * channels;
        size_t right = (step->kernel[1] - xs.to) * channels;
        const float *from = in;

        if (ys.from < ys.to && middle)
            from += (size_t)(y0 + (int32_t)ys.from) * row_floats +
                    (size_t)(x0 + (int32_t)xs.from) * channels;
        to = put_zeros(to, ys.from * (left + middle + right));
        for (uint32_t ky = ys.from; ky < ys.to; ky++, from += row_floats) {
            to = put_zeros(to, left);
            memcpy(to, from, middle * sizeof *to);
            to = put_zeros(to + middle, right);
        }
        to = put_zeros(to, (step->kernel[0] - ys.to) * (left + middle + right));
        if (++ox == step->out.width) {
            ox = 0;
            oy++;
        }
    }
}

/* Convolution as a matrix product, as many pixels at a time as the kernel
 * takes; tiles are evened out, for a last tile of one row would be slow. */
static void run_product(const struct nn_plan *plan, const struct nn_step *step,
                        const struct memory *memory)
{
    const uint32_t mr = plan->kernels->mr;
    const uint32_t pixels = step->out.height * step->out.width;
    const uint32_t tiles = (pixels + mr - 1) / mr;
    const float *in = source(memory, &step->from);
    const float *with = step->residual ? source(memory, &step->with) : NULL;
    float *out = target(memory, &step->to);
    float *gathered = memory->arena + plan->gather_offset;
    struct nn_tile tile = {
        .depth = step->kernel[0] * step->kernel[1] * step->in.channels,
        .columns = step->out.channels,
        .panels = step->packed,
        .lo = step->lo,
        .hi = step->hi,
    };
    uint32_t first = 0;

    tile.in_stride = tile.depth;
    for (uint32_t i = 0; i < tiles; i++) {
        size_t at = (size_t)first * tile.columns;

        tile.rows = pixels / tiles + (i < pixels % tiles);
        if (step->gather)
            gather(step, in, first, tile.rows, gathered);
        tile.in = step->gather ? gathered : in + (size_t)first * tile.depth;
        tile.residual = with ? with + at : NULL;
        tile.out = out + at;
        plan->kernels->tile(&tile);
        first += tile.rows;
    }
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
            run_product(plan, step, &memory);
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
        }
    }
}
