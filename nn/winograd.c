/* Winograd convolution: blocks of tiles to points, products, and back. */
#include "nn/winograd.h"

#include <math.h>
#include <string.h>

#include "nn/activate.h"
#include "nn/pack.h"

enum {
    SIDE = 4,         /* of the outputs of a tile */
    REACH = SIDE + 2, /* of its inputs */
    LANES_MAX = 16,   /* of any level's vectors */
    DEPTH_MAX = 512,  /* 14 rows of it stay in a first-level cache */
    TILES_MIN = 9,    /* or four times the weights are read for too little */
    LINE_FLOATS = 16, /* of a cache */
    CACHED_BYTES = 512 << 10,
    SCRATCH_BYTES = 8 << 20,
};

void nn_winograd_weights(const float taps[9], float points[NN_WINOGRAD_POINTS])
{
    static const double g[REACH][3] = {
        {1.0 / 4, 0, 0},
        {-1.0 / 6, -1.0 / 6, -1.0 / 6},
        {-1.0 / 6, 1.0 / 6, -1.0 / 6},
        {1.0 / 24, 1.0 / 12, 1.0 / 6},
        {1.0 / 24, -1.0 / 12, 1.0 / 6},
        {0, 0, 1},
    };

    for (int y = 0; y < REACH; y++) {
        double row[3];

        for (int kx = 0; kx < 3; kx++)
            row[kx] = g[y][0] * (double)taps[kx] +
                      g[y][1] * (double)taps[3 + kx] +
                      g[y][2] * (double)taps[6 + kx];
        for (int x = 0; x < REACH; x++)
            points[y * REACH + x] =
                (float)(g[x][0] * row[0] + g[x][1] * row[1] + g[x][2] * row[2]);
    }
}

static uint32_t tiles_across(uint32_t pixels)
{
    return (pixels + SIDE - 1) / SIDE;
}

static uint32_t tiles_of(uint32_t height, uint32_t width)
{
    return tiles_across(height) * tiles_across(width);
}

static uint32_t tile_count(const struct nn_step *step)
{
    return tiles_of(step->out.height, step->out.width);
}

bool nn_winograd_pays(const struct nn_dense *dense)
{
    for (int axis = 0; axis < 2; axis++)
        if (dense->kernel[axis] != 3 || dense->stride[axis] != 1 ||
            dense->dilation[axis] != 1)
            return false;
    return dense->in_channels % LANES_MAX == 0 &&
           dense->out_channels % LANES_MAX == 0 &&
           dense->in_channels <= DEPTH_MAX &&
           tiles_of(dense->out_height, dense->out_width) >= TILES_MIN;
}

/* Floats from one point's matrix to the next: not a multiple of 4 KiB, or all
 * that a transform reads or writes would fall into one set of a cache. */
static size_t point_stride(uint32_t tiles, uint32_t channels)
{
    return (size_t)tiles * channels + LINE_FLOATS;
}

/* Tiles that are transformed together. Small weights are read again for each
 * block from the second-level cache, in which its values fit beside them; large
 * ones are read once, for as many tiles as may be. */
static uint32_t block_tiles(const struct nn_step *step, uint32_t mr)
{
    const size_t points = NN_WINOGRAD_POINTS * sizeof(float);
    const size_t weights = points * step->in.channels * step->out.channels;
    const size_t tile = points * (step->in.channels + step->out.channels);
    const size_t room =
        weights <= 2 * CACHED_BYTES ? CACHED_BYTES : SCRATCH_BYTES;
    uint32_t tiles = (uint32_t)(room / tile) / mr * mr;

    if (tiles < mr)
        tiles = mr;
    return tiles < tile_count(step) ? tiles : tile_count(step);
}

static size_t edge_floats(const struct nn_step *step)
{
    return (size_t)REACH * REACH * step->in.channels;
}

size_t nn_winograd_scratch_floats(const struct nn_step *step, uint32_t mr)
{
    uint32_t tiles = block_tiles(step, mr);

    return edge_floats(step) +
           NN_WINOGRAD_POINTS * (point_stride(tiles, step->in.channels) +
                                 point_stride(tiles, step->out.channels));
}

/* The window of a tile, zeros where it reaches over the edge. */
static void copy_window(const struct nn_step *step, const float *in, int32_t y0,
                        int32_t x0, float *to)
{
    const size_t channels = step->in.channels;
    struct nn_taps ys = nn_taps_inside(y0, REACH, step->in.height);
    struct nn_taps xs = nn_taps_inside(x0, REACH, step->in.width);

    memset(to, 0, edge_floats(step) * sizeof *to);
    if (xs.from == xs.to)
        return;
    for (uint32_t y = ys.from; y < ys.to; y++)
        memcpy(to + (y * REACH + xs.from) * channels,
               in + ((size_t)(y0 + (int32_t)y) * step->in.width +
                     (size_t)(x0 + (int32_t)xs.from)) *
                        channels,
               (xs.to - xs.from) * channels * sizeof *to);
}

static void transform_in(const struct nn_kernels *kernels,
                         const struct nn_step *step, const float *in,
                         uint32_t tile, float *edge, float *to, size_t stride)
{
    const uint32_t across = tiles_across(step->out.width);
    const int32_t y0 = (int32_t)(tile / across * SIDE) - (int32_t)step->pad[0];
    const int32_t x0 = (int32_t)(tile % across * SIDE) - (int32_t)step->pad[1];
    const size_t channels = step->in.channels;

    if (y0 < 0 || x0 < 0 || (uint32_t)y0 + REACH > step->in.height ||
        (uint32_t)x0 + REACH > step->in.width) {
        copy_window(step, in, y0, x0, edge);
        kernels->winograd_in(edge, REACH * channels, step->in.channels, to,
                             stride);
    } else {
        kernels->winograd_in(
            in + ((size_t)y0 * step->in.width + (size_t)x0) * channels,
            step->in.width * channels, step->in.channels, to, stride);
    }
}

static void transform_out(const struct nn_kernels *kernels,
                          const struct nn_step *step, const float *from,
                          size_t stride, uint32_t tile, const float *with,
                          float *out)
{
    const uint32_t across = tiles_across(step->out.width);
    const uint32_t y = tile / across * SIDE, x = tile % across * SIDE;
    const size_t at = ((size_t)y * step->out.width + x) * step->out.channels;
    const struct nn_winograd_out job = {
        .in = from,
        .in_stride = stride,
        .channels = step->out.channels,
        .residual = with ? with + at : NULL,
        .out = out + at,
        .row_stride = (size_t)step->out.width * step->out.channels,
        .height = step->out.height - y < SIDE ? step->out.height - y : SIDE,
        .width = step->out.width - x < SIDE ? step->out.width - x : SIDE,
        .lo = step->lo,
        .hi = step->hi,
    };

    kernels->winograd_out(&job);
    for (uint32_t row = 0; step->curve != NN_ACT_NONE && row < job.height;
         row++)
        nn_activate(step->curve, step->slope, job.out + row * job.row_stride,
                    (size_t)job.width * job.channels);
}

/* One point of a block: [tiles][in channels] x [in channels][out channels]. */
static void multiply(const struct nn_kernels *kernels,
                     const struct nn_step *step, uint32_t tiles,
                     const float *in, const float *panels, float *out)
{
    const uint32_t pieces = (tiles + kernels->mr - 1) / kernels->mr;
    const struct nn_part all = {0, pieces, NULL};
    struct nn_tile job = {
        .in_stride = step->in.channels,
        .depth = step->in.channels,
        .segments = 1,
        .columns = step->out.channels,
        .panels = panels,
        .lo = -INFINITY,
        .hi = INFINITY,
    };

    for (uint32_t i = 0; i < pieces; i++) {
        size_t first = nn_part_from(all, i, tiles);

        job.rows = (uint32_t)(nn_part_from(all, i + 1, tiles) - first);
        job.in = in + first * step->in.channels;
        job.out = out + first * step->out.channels;
        kernels->tile(&job);
    }
}

void nn_winograd_run(const struct nn_kernels *kernels,
                     const struct nn_step *step, struct nn_part part,
                     const float *in, const float *with, float *out,
                     float *scratch)
{
    const uint32_t most = block_tiles(step, kernels->mr);
    const struct nn_span mine = nn_part_span(part, tile_count(step));
    const size_t in_stride = point_stride(most, step->in.channels);
    const size_t out_stride = point_stride(most, step->out.channels);
    const size_t panel_floats =
        nn_pack_point_floats(kernels, step->in.channels, step->out.channels);
    float *edge = scratch, *before = edge + edge_floats(step);
    float *after = before + NN_WINOGRAD_POINTS * in_stride;

    for (size_t first = mine.from; first < mine.to; first += most) {
        const uint32_t tiles =
            mine.to - first < most ? (uint32_t)(mine.to - first) : most;

        for (uint32_t i = 0; i < tiles; i++)
            transform_in(kernels, step, in, (uint32_t)first + i, edge,
                         before + (size_t)i * step->in.channels, in_stride);
        for (uint32_t point = 0; point < NN_WINOGRAD_POINTS; point++)
            multiply(kernels, step, tiles, before + point * in_stride,
                     step->packed + point * panel_floats,
                     after + point * out_stride);
        for (uint32_t i = 0; i < tiles; i++)
            transform_out(kernels, step, after + (size_t)i * step->out.channels,
                          out_stride, (uint32_t)first + i, with, out);
    }
}
