/* Convolution as matrix products: dense, dilated and in groups. */
#include "nn/conv.h"

#include <string.h>

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

/* The same where neighbours along x are none in memory: in a dilated window,
 * and in one that takes the channels of one group. Copies tap by tap. */
static void gather_taps(const struct nn_step *step, const float *in,
                        uint32_t group, uint32_t first, uint32_t rows,
                        float *to)
{
    const size_t channels = step->in.channels / step->groups;

    in += group * channels;
    for (uint32_t pixel = first; pixel < first + rows; pixel++) {
        int64_t y =
            (int64_t)(pixel / step->out.width) * step->stride[0] - step->pad[0];
        int64_t left =
            (int64_t)(pixel % step->out.width) * step->stride[1] - step->pad[1];

        for (uint32_t ky = 0; ky < step->kernel[0]; ky++) {
            int64_t x = left;

            for (uint32_t kx = 0; kx < step->kernel[1]; kx++) {
                if (y < 0 || y >= step->in.height || x < 0 ||
                    x >= step->in.width)
                    memset(to, 0, channels * sizeof *to);
                else
                    memcpy(to,
                           in + ((size_t)y * step->in.width + (size_t)x) *
                                    step->in.channels,
                           channels * sizeof *to);
                to += channels;
                x += step->dilation[1];
            }
            y += step->dilation[0];
        }
    }
}

/* Floats of one window of one group. */
static size_t depth_of(const struct nn_step *step)
{
    return (size_t)step->kernel[0] * step->kernel[1] *
           (step->in.channels / step->groups);
}

size_t nn_conv_scratch_floats(const struct nn_step *step, uint32_t mr)
{
    size_t row = step->gather ? depth_of(step) : 0;

    if (step->groups > 1)
        row += step->out.channels / step->groups;
    return row * mr;
}

/* Some pixels of a group: the tile leaves no gaps between rows, so that its
 * result is copied to where the group's channels belong. */
static void run_group_tile(const struct nn_kernels *kernels,
                           const struct nn_step *step, const float *in,
                           uint32_t group, uint32_t first, struct nn_tile *tile,
                           float *out, float *scratch)
{
    float *to = out + (size_t)first * step->out.channels +
                (size_t)group * tile->columns;

    gather_taps(step, in, group, first, tile->rows, scratch);
    tile->in = scratch;
    tile->out = scratch + (size_t)kernels->mr * tile->depth;
    kernels->tile(tile);
    for (uint32_t row = 0; row < tile->rows; row++)
        memcpy(to + (size_t)row * step->out.channels,
               tile->out + (size_t)row * tile->columns,
               tile->columns * sizeof *to);
}

static void run_dense_tile(const struct nn_kernels *kernels,
                           const struct nn_step *step, const float *in,
                           const float *with, uint32_t first,
                           struct nn_tile *tile, float *out, float *scratch)
{
    size_t at = (size_t)first * tile->columns;

    if (step->dilation[0] != 1 || step->dilation[1] != 1)
        gather_taps(step, in, 0, first, tile->rows, scratch);
    else if (step->gather)
        gather(step, in, first, tile->rows, scratch);
    tile->in = step->gather ? scratch : in + (size_t)first * tile->depth;
    tile->residual = with ? with + at : NULL;
    tile->out = out + at;
    kernels->tile(tile);
}

/* As many pixels at a time as the kernel takes; tiles are evened out, for a
 * last tile of one row would be slow. */
struct nn_span nn_conv_run(const struct nn_kernels *kernels,
                           const struct nn_step *step, struct nn_part part,
                           const float *in, const float *with, float *out,
                           float *scratch)
{
    const uint32_t mr = kernels->mr, half = kernels->nr / 2;
    const uint32_t pixels = step->out.height * step->out.width;
    const uint32_t tiles = (pixels + mr - 1) / mr;
    struct nn_tile tile = {
        .depth = (uint32_t)depth_of(step),
        .columns = step->out.channels / step->groups,
        .panels = step->packed,
        .lo = step->lo,
        .hi = step->hi,
    };
    const struct nn_part all = {0, tiles, NULL};
    const struct nn_span mine = nn_part_span(part, tiles);
    const struct nn_span written = {
        nn_part_from(all, (uint32_t)mine.from, pixels),
        nn_part_from(all, (uint32_t)mine.to, pixels)};
    const size_t panel_floats = (size_t)(tile.columns + half - 1) / half *
                                half * ((size_t)tile.depth + 1);

    tile.in_stride = tile.depth;
    for (uint32_t group = 0; group < step->groups; group++) {
        uint32_t first = (uint32_t)written.from;

        for (size_t i = mine.from; i < mine.to; i++) {
            tile.rows = pixels / tiles + (i < pixels % tiles);
            if (step->groups > 1)
                run_group_tile(kernels, step, in, group, first, &tile, out,
                               scratch);
            else
                run_dense_tile(kernels, step, in, with, first, &tile, out,
                               scratch);
            first += tile.rows;
        }
        tile.panels += panel_floats;
    }
    return written;
}
