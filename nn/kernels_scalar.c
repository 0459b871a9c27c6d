/* The reference kernels: plain C that every other level is tested against. */
#include "nn/kernels.h"

#include <string.h>

#include "nn/int8.h"

enum { MR = 4, NR = 8, LANES = 8 };

static float clamp_one(float x, float lo, float hi)
{
    x = x < lo ? lo : x;
    return x > hi ? hi : x;
}

/* Rows and columns are constants where this is called, so that the sums stay
 * in registers. */
static inline void block(const struct nn_tile *tile, const float *panel,
                         uint32_t row, const uint32_t rows, uint32_t column,
                         const uint32_t width)
{
    const float *in = tile->in + row * tile->in_stride;
    const float *weight = panel + width;
    uint32_t used = tile->columns - column;
    float sum[MR][NR];

    for (uint32_t r = 0; r < rows; r++)
        memcpy(sum[r], panel, width * sizeof(float));
    for (uint32_t s = 0; s < tile->segments; s++, in += tile->segment_stride)
        for (uint32_t k = 0; k < tile->depth; k++, weight += width)
            for (uint32_t r = 0; r < rows; r++)
                for (uint32_t n = 0; n < width; n++)
                    sum[r][n] += in[r * tile->in_stride + k] * weight[n];
    if (used > width)
        used = width;
    for (uint32_t r = 0; r < rows; r++) {
        size_t at = (size_t)(row + r) * tile->columns + column;

        for (uint32_t n = 0; n < used; n++) {
            float x = sum[r][n];

            if (tile->residual)
                x += tile->residual[at + n];
            tile->out[at + n] = clamp_one(x, tile->lo, tile->hi);
        }
    }
}

static void tile_scalar(const struct nn_tile *tile)
{
    const float *panel = tile->panels;
    uint32_t column = 0;

    while (column < tile->columns) {
        uint32_t width = tile->columns - column <= NR / 2 ? NR / 2 : NR;

        if (tile->rows == MR && width == NR)
            block(tile, panel, 0, MR, column, NR);
        else
            for (uint32_t r = 0; r < tile->rows; r++)
                block(tile, panel, r, 1, column, width);
        panel += width * ((size_t)tile->depth * tile->segments + 1);
        column += width;
    }
}

/* One pixel of up to LANES channels; `lanes` is a constant where it counts. */
static inline void dwconv_lanes(const struct nn_dwconv *job,
                                const struct nn_taps *ys,
                                const struct nn_taps *xs, const float *corner,
                                const float *group, float *out,
                                const uint32_t lanes)
{
    float sum[LANES];

    memcpy(sum, group, sizeof sum);
    for (uint32_t ky = ys->from; ky < ys->to; ky++)
        for (uint32_t kx = xs->from; kx < xs->to; kx++) {
            size_t pixel =
                (size_t)(ky - ys->from) * job->in_width + (kx - xs->from);
            size_t tap = (size_t)ky * job->kernel_width + kx;
            const float *in = corner + pixel * job->channels;
            const float *weight = group + (tap + 1) * LANES;

            for (uint32_t lane = 0; lane < lanes; lane++)
                sum[lane] += in[lane] * weight[lane];
        }
    for (uint32_t lane = 0; lane < lanes; lane++)
        out[lane] = clamp_one(sum[lane], job->lo, job->hi);
}

static void dwconv_pixel(const struct nn_dwconv *job, uint32_t oy, uint32_t ox)
{
    int32_t y0 = (int32_t)(oy * job->stride_y) - (int32_t)job->pad_top;
    int32_t x0 = (int32_t)(ox * job->stride_x) - (int32_t)job->pad_left;
    struct nn_taps ys = nn_taps_inside(y0, job->kernel_height, job->in_height);
    struct nn_taps xs = nn_taps_inside(x0, job->kernel_width, job->in_width);
    size_t group_floats =
        ((size_t)job->kernel_height * job->kernel_width + 1) * LANES;
    const float *group = job->blocks;
    const float *corner = job->in; /* first tap inside; unused if none is */
    float *out = job->out + ((size_t)oy * job->out_width + ox) * job->channels;

    if (ys.from < ys.to && xs.from < xs.to) {
        size_t y = (size_t)(y0 + (int32_t)ys.from);
        size_t x = (size_t)(x0 + (int32_t)xs.from);

        corner += (y * job->in_width + x) * job->channels;
    }
    for (uint32_t c = 0; c < job->channels; c += LANES) {
        uint32_t rest = job->channels - c;

        if (rest >= LANES)
            dwconv_lanes(job, &ys, &xs, corner + c, group, out + c, LANES);
        else
            dwconv_lanes(job, &ys, &xs, corner + c, group, out + c, rest);
        group += group_floats;
    }
}

static void dwconv_scalar(const struct nn_dwconv *job)
{
    for (uint32_t oy = 0; oy < job->out_height; oy++)
        for (uint32_t ox = 0; ox < job->out_width; ox++)
            dwconv_pixel(job, oy, ox);
}

static void add_scalar(const float *a, const float *b, float *out, size_t count,
                       float lo, float hi)
{
    for (size_t i = 0; i < count; i++)
        out[i] = clamp_one(a[i] + b[i], lo, hi);
}

#define clamp_vector clamp_one
#define NN_VECTOR float
#define NN_VECTOR_LANES 1
#define NN_LOAD(from) (*(from))
#define NN_STORE(to, x) (*(to) = (x))
#define NN_SET(x) (x)
#define NN_FMA(a, b, c) ((a) * (b) + (c))
#include "nn/kernels_winograd.h"

const struct nn_kernels nn_kernels_scalar = {
    .name = "scalar",
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_scalar,
    .dwconv = dwconv_scalar,
    .add = add_scalar,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .int8 = &nn_int8_scalar,
};
