/* Convolution as matrix products: dense, dilated and in groups. */
#include "nn/conv.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "nn/pack.h"

/* Half of what most second-level caches hold. */
enum { CACHED_BYTES = 512 << 10 };

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

/* The same for a chunk of a window that takes all channels. */
static void gather_chunk(const struct nn_step *step, const float *in,
                         const struct nn_chunk *chunk, uint32_t first,
                         uint32_t rows, float *to)
{
    const size_t channels = chunk->channel_to - chunk->channel_from;
    const size_t depth = nn_chunk_depth(chunk);

    in += chunk->channel_from;
    for (uint32_t tap = chunk->tap_from; tap < chunk->tap_to; tap++) {
        const int64_t down =
            (int64_t)(tap / step->kernel[1]) * step->dilation[0] - step->pad[0];
        const int64_t right =
            (int64_t)(tap % step->kernel[1]) * step->dilation[1] - step->pad[1];
        uint32_t oy = first / step->out.width, ox = first % step->out.width;
        float *at = to;

        for (uint32_t row = 0; row < rows; row++, at += depth) {
            int64_t y = (int64_t)oy * step->stride[0] + down;
            int64_t x = (int64_t)ox * step->stride[1] + right;

            if (y < 0 || y >= step->in.height || x < 0 || x >= step->in.width)
                memset(at, 0, channels * sizeof *at);
            else
                memcpy(at,
                       in + ((size_t)y * step->in.width + (size_t)x) *
                                step->in.channels,
                       channels * sizeof *at);
            if (++ox == step->out.width) {
                ox = 0;
                oy++;
            }
        }
        to += channels;
    }
}

/* Pixels that lie a multiple of 4 KiB apart fall into one set of most
 * first-level caches, which has less ways than a tile has rows. */
static bool collide(const struct nn_step *step)
{
    return step->in.channels % 1024 == 0 && step->op == NN_OP_CONV;
}

/* Floats of one window of one group. */
static size_t depth_of(const struct nn_step *step)
{
    return (size_t)step->kernel[0] * step->kernel[1] *
           (step->in.channels / step->groups);
}

size_t nn_conv_scratch_floats(const struct nn_step *step, uint32_t mr)
{
    size_t row = step->gather || collide(step) ? depth_of(step) : 0;

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

/* Everything that the tiles of a dense step have in common. */
struct dense {
    const struct nn_kernels *kernels;
    const struct nn_step *step;
    const float *in, *with;
    float *out, *scratch;
    size_t columns; /* padded to whole panels */
    uint32_t tiles, taps, chunks;
};

/* Where the windows of a tile lie side by side inside the input, the kernel
 * takes their rows from there. */
static bool set_in_place(const struct nn_step *step, const float *in,
                         size_t first, struct nn_tile *tile)
{
    const size_t channels = step->in.channels;
    const size_t y = first / step->out.width * step->stride[0];
    const size_t x = first % step->out.width * step->stride[1];
    const size_t width =
        (size_t)(tile->rows - 1) * step->stride[1] + step->kernel[1];

    if (first % step->out.width + tile->rows > step->out.width ||
        y < step->pad[0] || x < step->pad[1] ||
        y - step->pad[0] + step->kernel[0] > step->in.height ||
        x - step->pad[1] + width > step->in.width)
        return false;
    tile->in = in + ((y - step->pad[0]) * step->in.width + x - step->pad[1]) *
                        channels;
    tile->in_stride = step->stride[1] * channels;
    tile->depth = (uint32_t)(step->kernel[1] * channels);
    tile->segments = step->kernel[0];
    tile->segment_stride = step->in.width * channels;
    return true;
}

/* One chunk of one tile. The first begins with biases and residual, the others
 * with what has been summed; the last is clamped. */
static void run_dense_tile(const struct dense *dense, uint32_t index,
                           uint32_t number)
{
    const struct nn_step *step = dense->step;
    const uint32_t pixels = step->out.height * step->out.width;
    const struct nn_part all = {0, dense->tiles, NULL};
    const size_t first = nn_part_from(all, index, pixels);
    const struct nn_chunk chunk =
        nn_chunk_at(dense->taps, step->in.channels, dense->chunks, number);
    const size_t before =
        (size_t)chunk.tap_from * step->in.channels + chunk.channel_from;
    const bool last = number + 1 == dense->chunks;
    const size_t at = first * step->out.channels;
    struct nn_tile tile = {
        .rows = (uint32_t)(nn_part_from(all, index + 1, pixels) - first),
        .depth = nn_chunk_depth(&chunk),
        .segments = 1,
        .columns = step->out.channels,
        .panels = step->packed + (before + number) * dense->columns,
        .residual = number        ? dense->out + at
                    : dense->with ? dense->with + at
                                  : NULL,
        .out = dense->out + at,
        .lo = last ? step->lo : -INFINITY,
        .hi = last ? step->hi : INFINITY,
    };

    if (step->gather && dense->chunks == 1 && step->dilation[0] == 1 &&
        step->dilation[1] == 1) {
        if (!set_in_place(step, dense->in, first, &tile)) {
            gather(step, dense->in, (uint32_t)first, tile.rows, dense->scratch);
            tile.in = dense->scratch;
            tile.in_stride = tile.depth;
        }
    } else if (step->gather || collide(step)) {
        gather_chunk(step, dense->in, &chunk, (uint32_t)first, tile.rows,
                     dense->scratch);
        tile.in = dense->scratch;
        tile.in_stride = tile.depth;
    } else {
        tile.in = dense->in + first * step->in.channels + before;
        tile.in_stride = step->in.channels;
    }
    dense->kernels->tile(&tile);
}

/* Weights that a second-level cache keeps meet all chunks of a tile in turn;
 * of larger ones, each chunk meets all tiles before the next is read. */
static void run_dense(const struct dense *dense, struct nn_span tiles)
{
    const size_t weights =
        depth_of(dense->step) * dense->columns * sizeof(float);

    if (weights <= CACHED_BYTES) {
        for (size_t i = tiles.from; i < tiles.to; i++)
            for (uint32_t k = 0; k < dense->chunks; k++)
                run_dense_tile(dense, (uint32_t)i, k);
    } else {
        for (uint32_t k = 0; k < dense->chunks; k++)
            for (size_t i = tiles.from; i < tiles.to; i++)
                run_dense_tile(dense, (uint32_t)i, k);
    }
}

static void run_groups(const struct nn_kernels *kernels,
                       const struct nn_step *step, size_t panel_columns,
                       uint32_t tiles, struct nn_span mine, const float *in,
                       float *out, float *scratch)
{
    const uint32_t pixels = step->out.height * step->out.width;
    const struct nn_part all = {0, tiles, NULL};
    struct nn_tile tile = {
        .depth = (uint32_t)depth_of(step),
        .segments = 1,
        .in_stride = depth_of(step),
        .columns = step->out.channels / step->groups,
        .panels = step->packed,
        .lo = step->lo,
        .hi = step->hi,
    };

    for (uint32_t group = 0; group < step->groups; group++) {
        for (size_t i = mine.from; i < mine.to; i++) {
            size_t first = nn_part_from(all, (uint32_t)i, pixels);

            tile.rows =
                (uint32_t)(nn_part_from(all, (uint32_t)i + 1, pixels) - first);
            run_group_tile(kernels, step, in, group, (uint32_t)first, &tile,
                           out, scratch);
        }
        tile.panels += panel_columns * ((size_t)tile.depth + 1);
    }
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
    const uint32_t columns = step->out.channels / step->groups;
    const uint32_t taps = step->kernel[0] * step->kernel[1];
    const size_t padded = ((size_t)columns + half - 1) / half * half;
    const struct nn_part all = {0, tiles, NULL};
    const struct nn_span mine = nn_part_span(part, tiles);

    if (step->groups > 1) {
        run_groups(kernels, step, padded, tiles, mine, in, out, scratch);
    } else {
        const struct dense dense = {
            kernels, step,
            in,      with,
            out,     scratch,
            padded,  tiles,
            taps,    nn_chunk_count(taps, step->in.channels, 1)};

        run_dense(&dense, mine);
    }
    return (struct nn_span){nn_part_from(all, (uint32_t)mine.from, pixels),
                            nn_part_from(all, (uint32_t)mine.to, pixels)};
}
