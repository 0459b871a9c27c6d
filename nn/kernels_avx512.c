/* Kernels for AVX-512 (F, BW, DQ, VL). */
#include <immintrin.h>

#include "nn/int8.h"
#include "nn/kernels.h"

/* 14 rows by 2 vectors fill 28 of the 32 registers, and 14 divides the pixel
 * counts of 224 * 224 networks (12544, 3136, 784, 196). */
enum { MR = 14, LANES = 16, NR = 2 * LANES };

/* The lanes below `count`. */
static __mmask16 mask_of(uint32_t count)
{
    uint32_t lanes = count >= LANES ? 0xffffu : (1u << count) - 1u;

    return (__mmask16)lanes;
}

static __m512 clamp_vector(__m512 x, __m512 lo, __m512 hi)
{
    return _mm512_min_ps(hi, _mm512_max_ps(lo, x)); /* NaN passes through */
}

/* `rows` and `vectors` are constants at each call, so the sums live in
 * registers. Rows are addressed in threes off one pointer, base + {0, 1, 2}
 * strides, because fourteen pointers would not fit the integer registers. */
NN_INLINE void block(const struct nn_tile *tile, const float *panel,
                     uint32_t column, const uint32_t rows,
                     const uint32_t vectors)
{
    const size_t stride = tile->in_stride;
    const size_t rest = tile->segment_stride - tile->depth;
    const float *base[(MR + 2) / 3];
    __m512 sum[MR][2];
    __m512 lo = _mm512_set1_ps(tile->lo), hi = _mm512_set1_ps(tile->hi);

    NN_UNROLL
    for (uint32_t r = 0; r < rows; r += 3)
        base[r / 3] = tile->in + r * stride;
    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        NN_UNROLL
        for (uint32_t v = 0; v < vectors; v++)
            sum[r][v] = _mm512_loadu_ps(panel + v * LANES);
    }
    panel += vectors * LANES;
    for (uint32_t s = tile->segments; s; s--) {
        for (uint32_t k = tile->depth; k; k--) {
            __m512 weight[2];

            NN_UNROLL
            for (uint32_t v = 0; v < vectors; v++)
                weight[v] = _mm512_loadu_ps(panel + v * LANES);
            panel += vectors * LANES;
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r++) {
                __m512 x = _mm512_set1_ps(base[r / 3][r % 3 * stride]);

                NN_UNROLL
                for (uint32_t v = 0; v < vectors; v++)
                    sum[r][v] = _mm512_fmadd_ps(x, weight[v], sum[r][v]);
            }
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r += 3)
                base[r / 3]++;
        }
        NN_UNROLL
        for (uint32_t r = 0; r < rows; r += 3)
            base[r / 3] += rest;
    }
    NN_UNROLL
    for (uint32_t v = 0; v < vectors; v++) {
        uint32_t at = column + v * LANES;
        __mmask16 mask = mask_of(at < tile->columns ? tile->columns - at : 0);

        NN_UNROLL
        for (uint32_t r = 0; r < rows; r++) {
            size_t offset = (size_t)r * tile->columns + at;
            __m512 x = sum[r][v];

            if (tile->residual)
                x = _mm512_add_ps(
                    x, _mm512_maskz_loadu_ps(mask, tile->residual + offset));
            _mm512_mask_storeu_ps(tile->out + offset, mask,
                                  clamp_vector(x, lo, hi));
        }
    }
}

NN_INLINE void panels(const struct nn_tile *tile, const uint32_t rows)
{
    const float *panel = tile->panels;
    uint32_t column = 0;

    for (; column < tile->columns && tile->columns - column > LANES;
         column += NR) {
        block(tile, panel, column, rows, 2);
        panel += NR * ((size_t)tile->depth * tile->segments + 1);
    }
    if (column < tile->columns)
        block(tile, panel, column, rows, 1);
}

static void tile_avx512(const struct nn_tile *tile)
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
    case 8:
        panels(tile, 8);
        break;
    case 9:
        panels(tile, 9);
        break;
    case 10:
        panels(tile, 10);
        break;
    case 11:
        panels(tile, 11);
        break;
    case 12:
        panels(tile, 12);
        break;
    case 13:
        panels(tile, 13);
        break;
    default:
        panels(tile, 14);
        break;
    }
}

/* Channels `mask` of one output pixel; only taps inside the input. */
static void dwconv_pixel(const struct nn_dwconv *job, const float *in,
                         const float *group, float *out, __mmask16 mask,
                         struct nn_taps ys, int32_t y0, uint32_t ox)
{
    int32_t x0 = (int32_t)(ox * job->stride_x) - (int32_t)job->pad_left;
    struct nn_taps xs = nn_taps_inside(x0, job->kernel_width, job->in_width);
    __m512 sum = _mm512_loadu_ps(group);

    for (uint32_t ky = ys.from; ky < ys.to; ky++)
        for (uint32_t kx = xs.from; kx < xs.to; kx++) {
            size_t y = (size_t)(y0 + (int32_t)ky);
            size_t x = (size_t)(x0 + (int32_t)kx);
            size_t tap = (size_t)ky * job->kernel_width + kx;
            __m512 value = _mm512_maskz_loadu_ps(
                mask, in + (y * job->in_width + x) * job->channels);

            sum = _mm512_fmadd_ps(
                value, _mm512_loadu_ps(group + (tap + 1) * LANES), sum);
        }
    _mm512_mask_storeu_ps(
        out + (size_t)ox * job->channels, mask,
        clamp_vector(sum, _mm512_set1_ps(job->lo), _mm512_set1_ps(job->hi)));
}

/* Four neighbouring output pixels whose windows lie inside the width: they
 * share the loads of weights and, for constant kernel and stride, of inputs.
 * `in` is the first tap of the first window. */
NN_INLINE void dwconv_four(const struct nn_dwconv *job, const float *in,
                           const float *group, float *out, __mmask16 mask,
                           struct nn_taps ys, const uint32_t kernel,
                           const uint32_t stride)
{
    const size_t channels = job->channels;
    const size_t row_floats = job->in_width * channels;
    const float *weight = group + (1 + (size_t)ys.from * kernel) * LANES;
    __m512 lo = _mm512_set1_ps(job->lo), hi = _mm512_set1_ps(job->hi);
    __m512 sum[4];

    for (uint32_t i = 0; i < 4; i++)
        sum[i] = _mm512_loadu_ps(group);
    for (uint32_t ky = ys.from; ky < ys.to; ky++, in += row_floats) {
#pragma GCC unroll 5
        for (uint32_t kx = 0; kx < kernel; kx++, weight += LANES) {
            __m512 w = _mm512_loadu_ps(weight);

            NN_UNROLL
            for (uint32_t i = 0; i < 4; i++)
                sum[i] = _mm512_fmadd_ps(
                    _mm512_maskz_loadu_ps(mask,
                                          in + (kx + i * stride) * channels),
                    w, sum[i]);
        }
    }
    for (uint32_t i = 0; i < 4; i++)
        _mm512_mask_storeu_ps(out + i * channels, mask,
                              clamp_vector(sum[i], lo, hi));
}

/* One row of outputs of one block of channels. */
NN_INLINE void dwconv_row(const struct nn_dwconv *job, uint32_t oy,
                          uint32_t channel, const float *group,
                          struct nn_taps inner, const uint32_t kernel,
                          const uint32_t stride)
{
    int32_t y0 = (int32_t)(oy * job->stride_y) - (int32_t)job->pad_top;
    struct nn_taps ys = nn_taps_inside(y0, job->kernel_height, job->in_height);
    __mmask16 mask = mask_of(job->channels - channel);
    const float *in = job->in + channel;
    float *out =
        job->out + (size_t)oy * job->out_width * job->channels + channel;
    uint32_t ox = 0;

    for (; ox < inner.from; ox++)
        dwconv_pixel(job, in, group, out, mask, ys, y0, ox);
    if (ys.from < ys.to) {
        size_t row = (size_t)(y0 + (int32_t)ys.from) * job->in_width;

        for (; ox + 4 <= inner.to; ox += 4) {
            size_t x = (size_t)ox * stride - job->pad_left;

            dwconv_four(job, in + (row + x) * job->channels, group,
                        out + (size_t)ox * job->channels, mask, ys, kernel,
                        stride);
        }
    }
    for (; ox < job->out_width; ox++)
        dwconv_pixel(job, in, group, out, mask, ys, y0, ox);
}

NN_INLINE void dwconv_all(const struct nn_dwconv *job, const uint32_t kernel,
                          const uint32_t stride)
{
    size_t group_floats = ((size_t)job->kernel_height * kernel + 1) * LANES;
    struct nn_taps inner = nn_dwconv_inner(job);

    for (uint32_t oy = 0; oy < job->out_height; oy++) {
        const float *group = job->blocks;

        for (uint32_t c = 0; c < job->channels; c += LANES) {
            dwconv_row(job, oy, c, group, inner, kernel, stride);
            group += group_floats;
        }
    }
}

static void dwconv_avx512(const struct nn_dwconv *job)
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

static void add_avx512(const float *a, const float *b, float *out, size_t count,
                       float lo, float hi)
{
    __m512 low = _mm512_set1_ps(lo), high = _mm512_set1_ps(hi);

    for (size_t i = 0; i < count; i += LANES) {
        size_t rest = count - i;
        __mmask16 mask = mask_of(rest < LANES ? (uint32_t)rest : LANES);
        __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i),
                                   _mm512_maskz_loadu_ps(mask, b + i));

        _mm512_mask_storeu_ps(out + i, mask, clamp_vector(sum, low, high));
    }
}

#define NN_VECTOR __m512
#define NN_VECTOR_LANES LANES
#define NN_LOAD _mm512_loadu_ps
#define NN_STORE _mm512_storeu_ps
#define NN_SET _mm512_set1_ps
#define NN_FMA _mm512_fmadd_ps
#include "nn/kernels_winograd.h"

const struct nn_kernels nn_kernels_avx512 = {
    .name = "avx512",
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_avx512,
    .dwconv = dwconv_avx512,
    .add = add_avx512,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .int8 = &nn_int8_avx512,
};

const struct nn_kernels nn_kernels_avx512vnni = {
    .name = "avx512vnni",
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_avx512,
    .dwconv = dwconv_avx512,
    .add = add_avx512,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .int8 = &nn_int8_avx512vnni,
};
