/* Kernels for AVX2 with FMA. */
#include <immintrin.h>

#include "nn/int8.h"
#include "nn/kernels.h"

/* 6 rows by 2 vectors: 12 sums, 2 weights and a broadcast of 16 registers. */
enum { MR = 6, LANES = 8, NR = 2 * LANES };

/* The lanes below `count`, as maskload wants it. */
static __m256i mask_of(uint32_t count)
{
    static const int32_t bits[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};

    if (count > LANES)
        count = LANES;
    return _mm256_loadu_si256((const __m256i *)(bits + LANES - count));
}

/* The lanes below `count`. Not a store under a mask, which takes AMD's cores
 * some twenty cycles. */
static inline void store(float *to, __m256 x, uint32_t count)
{
    __m128 half = _mm256_castps256_ps128(x);

    if (count >= LANES) {
        _mm256_storeu_ps(to, x);
        return;
    }
    if (count & 4) {
        _mm_storeu_ps(to, half);
        half = _mm256_extractf128_ps(x, 1);
        to += 4;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)to, half);
        half = _mm_movehl_ps(half, half);
        to += 2;
    }
    if (count & 1)
        _mm_store_ss(to, half);
}

static __m256 clamp_vector(__m256 x, __m256 lo, __m256 hi)
{
    return _mm256_min_ps(hi, _mm256_max_ps(lo, x)); /* NaN passes through */
}

/* `rows` and `vectors` are constants at each call, so the sums live in
 * registers. Rows are addressed in threes off one pointer. */
NN_INLINE void block(const struct nn_tile *tile, const float *panel,
                     uint32_t column, const uint32_t rows,
                     const uint32_t vectors)
{
    const size_t stride = tile->in_stride;
    const size_t rest = tile->segment_stride - tile->depth;
    const float *base[(MR + 2) / 3];
    __m256 sum[MR][2];
    __m256 lo = _mm256_set1_ps(tile->lo), hi = _mm256_set1_ps(tile->hi);

    NN_UNROLL
    for (uint32_t r = 0; r < rows; r += 3)
        base[r / 3] = tile->in + r * stride;
    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        NN_UNROLL
        for (uint32_t v = 0; v < vectors; v++)
            sum[r][v] = _mm256_loadu_ps(panel + v * LANES);
    }
    panel += vectors * LANES;
    for (uint32_t s = tile->segments; s; s--) {
        for (uint32_t k = tile->depth; k; k--) {
            __m256 weight[2];

            NN_UNROLL
            for (uint32_t v = 0; v < vectors; v++)
                weight[v] = _mm256_loadu_ps(panel + v * LANES);
            panel += vectors * LANES;
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r++) {
                __m256 x = _mm256_broadcast_ss(base[r / 3] + r % 3 * stride);

                NN_UNROLL
                for (uint32_t v = 0; v < vectors; v++)
                    sum[r][v] = _mm256_fmadd_ps(x, weight[v], sum[r][v]);
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
        uint32_t count = at < tile->columns ? tile->columns - at : 0;
        __m256i mask = mask_of(count);

        NN_UNROLL
        for (uint32_t r = 0; r < rows; r++) {
            size_t offset = (size_t)r * tile->columns + at;
            __m256 x = sum[r][v];

            if (tile->residual)
                x = _mm256_add_ps(
                    x, _mm256_maskload_ps(tile->residual + offset, mask));
            store(tile->out + offset, clamp_vector(x, lo, hi), count);
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

static void tile_avx2(const struct nn_tile *tile)
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
    default:
        panels(tile, 6);
        break;
    }
}

/* A whole block of channels is loaded plainly, the last one under a mask. */
NN_INLINE __m256 load(const float *from, uint32_t count)
{
    return count >= LANES ? _mm256_loadu_ps(from)
                          : _mm256_maskload_ps(from, mask_of(count));
}

/* One block of one output pixel; only taps inside the input. */
NN_INLINE void dwconv_pixel(const struct nn_dwconv *job, const float *in,
                            const float *group, float *out, uint32_t count,
                            struct nn_taps ys, int32_t y0, uint32_t ox)
{
    int32_t x0 = (int32_t)(ox * job->stride_x) - (int32_t)job->pad_left;
    struct nn_taps xs = nn_taps_inside(x0, job->kernel_width, job->in_width);
    __m256 sum = _mm256_loadu_ps(group);

    for (uint32_t ky = ys.from; ky < ys.to; ky++)
        for (uint32_t kx = xs.from; kx < xs.to; kx++) {
            size_t y = (size_t)(y0 + (int32_t)ky);
            size_t x = (size_t)(x0 + (int32_t)kx);
            size_t tap = (size_t)ky * job->kernel_width + kx;
            __m256 value =
                load(in + (y * job->in_width + x) * job->channels, count);

            sum = _mm256_fmadd_ps(
                value, _mm256_loadu_ps(group + (tap + 1) * LANES), sum);
        }
    store(out + (size_t)ox * job->channels,
          clamp_vector(sum, _mm256_set1_ps(job->lo), _mm256_set1_ps(job->hi)),
          count);
}

/* Four neighbouring output pixels whose windows lie inside the width: they
 * share the loads of weights and, for constant kernel and stride, of inputs.
 * `in` is the first tap of the first window. */
NN_INLINE void dwconv_four(const struct nn_dwconv *job, const float *in,
                           const float *group, float *out, uint32_t count,
                           struct nn_taps ys, const uint32_t kernel,
                           const uint32_t stride)
{
    const size_t channels = job->channels;
    const size_t row_floats = job->in_width * channels;
    const float *weight = group + (1 + (size_t)ys.from * kernel) * LANES;
    __m256 lo = _mm256_set1_ps(job->lo), hi = _mm256_set1_ps(job->hi);
    __m256 sum[4];

    for (uint32_t i = 0; i < 4; i++)
        sum[i] = _mm256_loadu_ps(group);
    for (uint32_t ky = ys.from; ky < ys.to; ky++, in += row_floats) {
#pragma GCC unroll 5
        for (uint32_t kx = 0; kx < kernel; kx++, weight += LANES) {
            __m256 w = _mm256_loadu_ps(weight);

            NN_UNROLL
            for (uint32_t i = 0; i < 4; i++)
                sum[i] = _mm256_fmadd_ps(
                    load(in + (kx + i * stride) * channels, count), w, sum[i]);
        }
    }
    for (uint32_t i = 0; i < 4; i++)
        store(out + i * channels, clamp_vector(sum[i], lo, hi), count);
}

/* One row of outputs of one block of channels. */
NN_INLINE void dwconv_row(const struct nn_dwconv *job, uint32_t oy,
                          uint32_t channel, const float *group,
                          struct nn_taps inner, uint32_t count,
                          const uint32_t kernel, const uint32_t stride)
{
    int32_t y0 = (int32_t)(oy * job->stride_y) - (int32_t)job->pad_top;
    struct nn_taps ys = nn_taps_inside(y0, job->kernel_height, job->in_height);
    const float *in = job->in + channel;
    float *out =
        job->out + (size_t)oy * job->out_width * job->channels + channel;
    uint32_t ox = 0;

    for (; ox < inner.from; ox++)
        dwconv_pixel(job, in, group, out, count, ys, y0, ox);
    if (ys.from < ys.to) {
        size_t row = (size_t)(y0 + (int32_t)ys.from) * job->in_width;

        for (; ox + 4 <= inner.to; ox += 4) {
            size_t x = (size_t)ox * stride - job->pad_left;

            dwconv_four(job, in + (row + x) * job->channels, group,
                        out + (size_t)ox * job->channels, count, ys, kernel,
                        stride);
        }
    }
    for (; ox < job->out_width; ox++)
        dwconv_pixel(job, in, group, out, count, ys, y0, ox);
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
            dwconv_row(job, oy, c, group, inner, LANES, kernel, stride);
            group += group_floats;
        }
        if (c < job->channels)
            dwconv_row(job, oy, c, group, inner, job->channels - c, kernel,
                       stride);
    }
}

static void dwconv_avx2(const struct nn_dwconv *job)
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

static void add_avx2(const float *a, const float *b, float *out, size_t count,
                     float lo, float hi)
{
    __m256 low = _mm256_set1_ps(lo), high = _mm256_set1_ps(hi);
    uint32_t rest;
    size_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        __m256 sum =
            _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));

        _mm256_storeu_ps(out + i, clamp_vector(sum, low, high));
    }
    rest = (uint32_t)(count - i);
    store(out + i,
          clamp_vector(_mm256_add_ps(load(a + i, rest), load(b + i, rest)), low,
                       high),
          rest);
}

#define NN_VECTOR __m256
#define NN_VECTOR_LANES LANES
#define NN_LOAD _mm256_loadu_ps
#define NN_STORE _mm256_storeu_ps
#define NN_SET _mm256_set1_ps
#define NN_FMA _mm256_fmadd_ps
#include "nn/kernels_winograd.h"

const struct nn_kernels nn_kernels_avx2 = {
    .name = "avx2",
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_avx2,
    .dwconv = dwconv_avx2,
    .add = add_avx2,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .int8 = &nn_int8_avx2,
};

const struct nn_kernels nn_kernels_avxvnni = {
    .name = "avxvnni",
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_avx2,
    .dwconv = dwconv_avx2,
    .add = add_avx2,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .int8 = &nn_int8_avxvnni,
};
