/* Kernels for NEON, which every aarch64 CPU has. */
#include <arm_neon.h>

#include "nn/int8.h"
#include "nn/kernels.h"

/* 8 rows by 2 vectors: 16 sums, 8 inputs and 2 weights of 32 registers. A
 * depthwise block is 2 vectors, so that four pixels of it are eight sums in
 * flight: two multiply-adds a cycle that take four cycles each. */
enum { MR = 8, VECTOR = 4, NR = 2 * VECTOR, LANES = 2 * VECTOR };

/* The first `count` floats, at most a vector, none if negative; then zeros. */
static float32x4_t load_some(const float *from, int32_t count)
{
    float32x4_t x = vdupq_n_f32(0.0f);

    if (count >= VECTOR)
        return vld1q_f32(from);
    if (count > 0)
        x = vld1q_lane_f32(from, x, 0);
    if (count > 1)
        x = vld1q_lane_f32(from + 1, x, 1);
    if (count > 2)
        x = vld1q_lane_f32(from + 2, x, 2);
    return x;
}

static void store_some(float *to, float32x4_t x, int32_t count)
{
    if (count >= VECTOR) {
        vst1q_f32(to, x);
        return;
    }
    if (count > 0)
        vst1q_lane_f32(to, x, 0);
    if (count > 1)
        vst1q_lane_f32(to + 1, x, 1);
    if (count > 2)
        vst1q_lane_f32(to + 2, x, 2);
}

static float32x4_t clamp_vector(float32x4_t x, float32x4_t lo, float32x4_t hi)
{
    return vminq_f32(hi, vmaxq_f32(lo, x)); /* NaN passes through */
}

/* Adds lane `lane` of each row's inputs times one row of the panel. */
NN_INLINE void multiply_add(float32x4_t sum[MR][2], const float32x4_t x[MR],
                            const float *weights, const uint32_t rows,
                            const uint32_t vectors, const uint32_t lane)
{
    NN_UNROLL
    for (uint32_t v = 0; v < vectors; v++) {
        float32x4_t weight = vld1q_f32(weights + v * VECTOR);

        NN_UNROLL
        for (uint32_t r = 0; r < rows; r++)
            sum[r][v] = vfmaq_n_f32(sum[r][v], weight, x[r][lane]);
    }
}

/* `rows` and `vectors` are constants at each call, so the sums live in
 * registers. Inputs are loaded by fours along k and multiplied lane by lane. */
NN_INLINE void block(const struct nn_tile *tile, const float *panel,
                     uint32_t column, const uint32_t rows,
                     const uint32_t vectors)
{
    const float *in[MR];
    float32x4_t sum[MR][2], x[MR];
    float32x4_t lo = vdupq_n_f32(tile->lo), hi = vdupq_n_f32(tile->hi);
    const size_t rest = tile->segment_stride - tile->depth;

    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        in[r] = tile->in + r * tile->in_stride;
        NN_UNROLL
        for (uint32_t v = 0; v < vectors; v++)
            sum[r][v] = vld1q_f32(panel + v * VECTOR);
    }
    panel += vectors * VECTOR;
    for (uint32_t s = tile->segments; s; s--) {
        uint32_t k = tile->depth;

        for (; k >= VECTOR; k -= VECTOR) {
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r++) {
                x[r] = vld1q_f32(in[r]);
                in[r] += VECTOR;
            }
            NN_UNROLL
            for (uint32_t lane = 0; lane < VECTOR; lane++)
                multiply_add(sum, x, panel + lane * vectors * VECTOR, rows,
                             vectors, lane);
            panel += VECTOR * vectors * VECTOR;
        }
        for (; k; k--, panel += vectors * VECTOR) {
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r++)
                x[r] = vld1q_dup_f32(in[r]++);
            multiply_add(sum, x, panel, rows, vectors, 0);
        }
        NN_UNROLL
        for (uint32_t r = 0; r < rows; r++)
            in[r] += rest;
    }
    NN_UNROLL
    for (uint32_t v = 0; v < vectors; v++) {
        uint32_t at = column + v * VECTOR;
        int32_t count = (int32_t)(tile->columns - at);

        NN_UNROLL
        for (uint32_t r = 0; r < rows; r++) {
            size_t offset = (size_t)r * tile->columns + at;
            float32x4_t y = sum[r][v];

            if (tile->residual)
                y = vaddq_f32(y, load_some(tile->residual + offset, count));
            store_some(tile->out + offset, clamp_vector(y, lo, hi), count);
        }
    }
}

NN_INLINE void panels(const struct nn_tile *tile, const uint32_t rows)
{
    const float *panel = tile->panels;
    uint32_t column = 0;

    for (; column < tile->columns && tile->columns - column > VECTOR;
         column += NR) {
        block(tile, panel, column, rows, 2);
        panel += NR * ((size_t)tile->depth * tile->segments + 1);
    }
    if (column < tile->columns)
        block(tile, panel, column, rows, 1);
}

static void tile_neon(const struct nn_tile *tile)
{
    switch (tile->rows) {
    case 1:
        panels(tile, 1);
        break;
    case 2:
        panels(tile, 2);
        break;
    case 3:
        panels(tile, 3);
        break;
    case 4:
        panels(tile, 4);
        break;
    case 5:
        panels(tile, 5);
        break;
    case 6:
        panels(tile, 6);
        break;
    case 7:
        panels(tile, 7);
        break;
    default:
        panels(tile, 8);
        break;
    }
}

/* A whole block of channels is loaded plainly, the last one by count. */
NN_INLINE float32x4_t load(const float *from, int32_t count, const int whole)
{
    return whole ? vld1q_f32(from) : load_some(from, count);
}

NN_INLINE void store(float *to, float32x4_t x, int32_t count, const int whole)
{
    if (whole)
        vst1q_f32(to, x);
    else
        store_some(to, x, count);
}

/* One block of one output pixel; only taps inside the input. */
NN_INLINE void dwconv_pixel(const struct nn_dwconv *job, const float *in,
                            const float *group, float *out, int32_t count,
                            const int whole, struct nn_taps ys, int32_t y0,
                            uint32_t ox)
{
    int32_t x0 = (int32_t)(ox * job->stride_x) - (int32_t)job->pad_left;
    struct nn_taps xs = nn_taps_inside(x0, job->kernel_width, job->in_width);
    float32x4_t lo = vdupq_n_f32(job->lo), hi = vdupq_n_f32(job->hi);
    float32x4_t sum[2] = {vld1q_f32(group), vld1q_f32(group + VECTOR)};

    for (uint32_t ky = ys.from; ky < ys.to; ky++)
        for (uint32_t kx = xs.from; kx < xs.to; kx++) {
            size_t y = (size_t)(y0 + (int32_t)ky);
            size_t x = (size_t)(x0 + (int32_t)kx);
            size_t tap = (size_t)ky * job->kernel_width + kx;
            const float *from = in + (y * job->in_width + x) * job->channels;
            const float *weight = group + (tap + 1) * LANES;

            NN_UNROLL
            for (int32_t v = 0; v < LANES; v += VECTOR)
                sum[v / VECTOR] =
                    vfmaq_f32(sum[v / VECTOR], load(from + v, count - v, whole),
                              vld1q_f32(weight + v));
        }
    out += (size_t)ox * job->channels;
    NN_UNROLL
    for (int32_t v = 0; v < LANES; v += VECTOR)
        store(out + v, clamp_vector(sum[v / VECTOR], lo, hi), count - v, whole);
}

/* Four neighbouring output pixels whose windows lie inside the width: they
 * share the loads of weights and, for constant kernel and stride, of inputs.
 * `in` is the first tap of the first window. */
NN_INLINE void dwconv_four(const struct nn_dwconv *job, const float *in,
                           const float *group, float *out, int32_t count,
                           const int whole, struct nn_taps ys,
                           const uint32_t kernel, const uint32_t stride)
{
    const size_t channels = job->channels;
    const size_t row_floats = job->in_width * channels;
    const float *weight = group + (1 + (size_t)ys.from * kernel) * LANES;
    float32x4_t lo = vdupq_n_f32(job->lo), hi = vdupq_n_f32(job->hi);
    float32x4_t sum[4][2];

    NN_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        sum[i][0] = vld1q_f32(group);
        sum[i][1] = vld1q_f32(group + VECTOR);
    }
    for (uint32_t ky = ys.from; ky < ys.to; ky++, in += row_floats) {
#pragma GCC unroll 5
        for (uint32_t kx = 0; kx < kernel; kx++, weight += LANES) {
            NN_UNROLL
            for (int32_t v = 0; v < LANES; v += VECTOR) {
                float32x4_t w = vld1q_f32(weight + v);

                NN_UNROLL
                for (uint32_t i = 0; i < 4; i++) {
                    const float *from = in + (kx + i * stride) * channels + v;

                    sum[i][v / VECTOR] = vfmaq_f32(
                        sum[i][v / VECTOR], load(from, count - v, whole), w);
                }
            }
        }
    }
    NN_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        NN_UNROLL
        for (int32_t v = 0; v < LANES; v += VECTOR)
            store(out + i * channels + v,
                  clamp_vector(sum[i][v / VECTOR], lo, hi), count - v, whole);
    }
}

/* One row of outputs of one block of channels. */
NN_INLINE void dwconv_row(const struct nn_dwconv *job, uint32_t oy,
                          uint32_t channel, const float *group,
                          struct nn_taps inner, const int whole,
                          const uint32_t kernel, const uint32_t stride)
{
    int32_t y0 = (int32_t)(oy * job->stride_y) - (int32_t)job->pad_top;
    struct nn_taps ys = nn_taps_inside(y0, job->kernel_height, job->in_height);
    int32_t count = (int32_t)(job->channels - channel);
    const float *in = job->in + channel;
    float *out =
        job->out + (size_t)oy * job->out_width * job->channels + channel;
    uint32_t ox = 0;

    for (; ox < inner.from; ox++)
        dwconv_pixel(job, in, group, out, count, whole, ys, y0, ox);
    if (ys.from < ys.to) {
        size_t row = (size_t)(y0 + (int32_t)ys.from) * job->in_width;

        for (; ox + 4 <= inner.to; ox += 4) {
            size_t x = (size_t)ox * stride - job->pad_left;

            dwconv_four(job, in + (row + x) * job->channels, group,
                        out + (size_t)ox * job->channels, count, whole, ys,
                        kernel, stride);
        }
    }
    for (; ox < job->out_width; ox++)
        dwconv_pixel(job, in, group, out, count, whole, ys, y0, ox);
}

NN_INLINE void dwconv_all(const struct nn_dwconv *job, const uint32_t kernel,
                          const uint32_t stride)
{
    size_t group_floats = ((size_t)job->kernel_height * kernel + 1) * LANES;
    struct nn_taps inner = nn_dwconv_inner(job);

    for (uint32_t oy = 0; oy < job->out_height; oy++) {
        const float *group = job->blocks;
        uint32_t c = 0;

        for (; c + LANES <= job->channels; c += LANES) {
            dwconv_row(job, oy, c, group, inner, 1, kernel, stride);
            group += group_floats;
        }
        if (c < job->channels)
            dwconv_row(job, oy, c, group, inner, 0, kernel, stride);
    }
}

static void dwconv_neon(const struct nn_dwconv *job)
{
    uint32_t kernel = job->kernel_width, stride = job->stride_x;

    if (kernel == 3 && stride == 1)
        dwconv_all(job, 3, 1);
    else if (kernel == 3 && stride == 2)
        dwconv_all(job, 3, 2);
    else if (kernel == 5 && stride == 1)
        dwconv_all(job, 5, 1);
    else if (kernel == 5 && stride == 2)
        dwconv_all(job, 5, 2);
    else
        dwconv_all(job, kernel, stride);
}

static void add_neon(const float *a, const float *b, float *out, size_t count,
                     float lo, float hi)
{
    float32x4_t low = vdupq_n_f32(lo), high = vdupq_n_f32(hi);
    int32_t rest;
    size_t i = 0;

    for (; i + VECTOR <= count; i += VECTOR) {
        float32x4_t sum = vaddq_f32(vld1q_f32(a + i), vld1q_f32(b + i));

        vst1q_f32(out + i, clamp_vector(sum, low, high));
    }
    rest = (int32_t)(count - i);
    store_some(
        out + i,
        clamp_vector(vaddq_f32(load_some(a + i, rest), load_some(b + i, rest)),
                     low, high),
        rest);
}

#define NN_VECTOR float32x4_t
#define NN_VECTOR_LANES VECTOR
#define NN_LOAD vld1q_f32
#define NN_STORE vst1q_f32
#define NN_SET vdupq_n_f32
#define NN_FMA(a, b, c) vfmaq_f32(c, a, b)
#include "nn/kernels_winograd.h"

const struct nn_kernels nn_kernels_neon = {
    .name = "neon",
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_neon,
    .dwconv = dwconv_neon,
    .add = add_neon,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .int8 = &nn_int8_neon,
};

const struct nn_kernels nn_kernels_neondot = {
    .name = "neondot",
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_neon,
    .dwconv = dwconv_neon,
    .add = add_neon,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .int8 = &nn_int8_neondot,
};
