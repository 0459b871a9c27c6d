/* Int8 kernels on vectors of 256 bits, for files that define dot() before. */
#include <string.h>

#include "nn/int8.h"
#include "nn/kernels.h"

/* The file defines, before it includes this:
 *
 * static inline __m256i dot(__m256i sum, __m256i x, __m256i weights);
 *     adds to each int32 the products of four bytes: x unsigned, weights not
 * TILE_MR: rows of a tile whose sums fit the registers
 * DW_PIXELS: neighbours of a depthwise convolution, likewise */

enum { LANES_32 = 8, NR_256 = 2 * LANES_32, DW_LANES = 4 * LANES_32 };

/* NaN becomes lo. */
static inline __m256 clamp_256(__m256 x, __m256 lo, __m256 hi)
{
    return _mm256_min_ps(_mm256_max_ps(x, lo), hi);
}

/* Sixteen int32 of 0 to 255 as bytes. */
static inline __m128i narrow(__m256i a, __m256i b)
{
    __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);

    return _mm_packus_epi16(_mm256_castsi256_si128(words),
                            _mm256_extracti128_si256(words, 1));
}

static inline __m256 widen(__m128i bytes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

/* Of sixteen values, the first `count`. */
static inline __m128i load_bytes(const uint8_t *from, uint32_t count)
{
    uint8_t some[16] = {0};

    if (count >= 16)
        return _mm_loadu_si128((const __m128i *)from);
    if (count == 8)
        return _mm_loadl_epi64((const __m128i *)from);
    memcpy(some, from, count);
    return _mm_loadu_si128((const __m128i *)some);
}

/* By moves of 8, 4, 2 and 1: narrow layers end every row like this. */
static inline void store_bytes(uint8_t *to, __m128i bytes, uint32_t count)
{
    if (count >= 16) {
        _mm_storeu_si128((__m128i *)to, bytes);
        return;
    }
    if (count & 8) {
        _mm_storel_epi64((__m128i *)to, bytes);
        bytes = _mm_srli_si128(bytes, 8);
        to += 8;
    }
    if (count & 4) {
        const int32_t four = _mm_cvtsi128_si32(bytes);

        memcpy(to, &four, 4);
        bytes = _mm_srli_si128(bytes, 4);
        to += 4;
    }
    if (count & 2) {
        const uint16_t two = (uint16_t)_mm_extract_epi16(bytes, 0);

        memcpy(to, &two, 2);
        bytes = _mm_srli_si128(bytes, 2);
        to += 2;
    }
    if (count & 1)
        *to = (uint8_t)_mm_extract_epi8(bytes, 0);
}

static inline void store_floats(float *to, __m256 x, uint32_t count)
{
    float some[LANES_32];

    if (count >= LANES_32) {
        _mm256_storeu_ps(to, x);
        return;
    }
    _mm256_storeu_ps(some, x);
    memcpy(to, some, count * sizeof *to);
}

static inline __m256 sum_256(__m256 a, __m256 b, const struct nn_int8_sum *sum)
{
    __m256 x = _mm256_add_ps(_mm256_mul_ps(a, _mm256_set1_ps(sum->first)),
                             _mm256_mul_ps(b, _mm256_set1_ps(sum->second)));

    return clamp_256(_mm256_add_ps(x, _mm256_set1_ps(sum->offset)),
                     _mm256_set1_ps(sum->lo), _mm256_set1_ps(sum->hi));
}

/* The bytes of sixteen sums' floats, added to `with` if there is a residual. */
static inline __m128i to_bytes(const struct nn_int8_tile *tile, __m256 a,
                               __m256 b, __m128i with)
{
    __m256i low = _mm256_cvtps_epi32(a), high = _mm256_cvtps_epi32(b);

    if (tile->residual) {
        low = _mm256_cvtps_epi32(
            sum_256(_mm256_cvtepi32_ps(low), widen(with), &tile->sum));
        high = _mm256_cvtps_epi32(sum_256(_mm256_cvtepi32_ps(high),
                                          widen(_mm_srli_si128(with, 8)),
                                          &tile->sum));
    }
    return narrow(low, high);
}

/* Loads of panels are aligned, for their groups are of 32 or 64 bytes. */
static inline __m256i load_256(const void *from)
{
    return _mm256_load_si256(from);
}

/* Rounded sums of a vector: they are far from 2^31 (nn/int8_pack.c). */
static inline __m256i scaled(__m256i sum, __m256i factor, __m256i offset)
{
    __m256 x =
        _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_castsi256_ps(factor));

    x = _mm256_add_ps(x, _mm256_castsi256_ps(offset));
    return _mm256_cvtps_epi32(x);
}

#ifdef TILE_MR

/* What follows the sums of rows x 1 vector: the bytes of two rows at a time. */
static void finish_rows(const struct nn_int8_tile *tile, uint32_t column,
                        const __m256i sums[TILE_MR][2])
{
    const uint8_t *factors = nn_int8_constants(tile, column) + 32;
    const __m256 factor = _mm256_castsi256_ps(load_256(factors));
    const __m256 offset = _mm256_castsi256_ps(load_256(factors + 32));
    const __m256 lo = _mm256_set1_ps(tile->lo), hi = _mm256_set1_ps(tile->hi);
    const uint32_t rest = tile->columns - column;
    const uint32_t used = rest < LANES_32 ? rest : LANES_32;
    const uint8_t *residual = tile->residual;

    for (uint32_t r = 0; r < tile->row_count; r += 2) {
        const uint32_t other = r + 1 < tile->row_count ? r + 1 : r;
        const size_t at[2] = {r * tile->out_stride + column,
                              other * tile->out_stride + column};
        __m128i bytes = _mm_setzero_si128();
        __m256 x[2];

        for (uint32_t i = 0; i < 2; i++) {
            x[i] = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i ? other : r][0]),
                                 factor);
            x[i] = clamp_256(_mm256_add_ps(x[i], offset), lo, hi);
        }
        if (residual)
            bytes = _mm_unpacklo_epi64(load_bytes(residual + at[0], used),
                                       load_bytes(residual + at[1], used));
        bytes = to_bytes(tile, x[0], x[1], bytes);
        store_bytes(tile->bytes + at[0], bytes, used);
        store_bytes(tile->bytes + at[1], _mm_unpackhi_epi64(bytes, bytes),
                    used);
    }
}

/* What follows the sums of rows x 1 or 2 vectors, which lie in memory so that
 * one copy of this serves all shapes. */
static void finish(const struct nn_int8_tile *tile, uint32_t column,
                   const __m256i sums[TILE_MR][2], uint32_t vectors)
{
    const uint32_t used = tile->columns - column;
    const uint8_t *factors = nn_int8_constants(tile, column) + vectors * 32;
    const uint8_t *offsets = factors + vectors * 32;
    const size_t other = vectors == 2 ? 32 : 0; /* any will do if unused */
    const __m256 lo = _mm256_set1_ps(tile->lo), hi = _mm256_set1_ps(tile->hi);
    const __m256 factor[2] = {_mm256_castsi256_ps(load_256(factors)),
                              _mm256_castsi256_ps(load_256(factors + other))};
    const __m256 offset[2] = {_mm256_castsi256_ps(load_256(offsets)),
                              _mm256_castsi256_ps(load_256(offsets + other))};

    if (tile->bytes && vectors == 1) {
        finish_rows(tile, column, sums);
        return;
    }
    for (uint32_t r = 0; r < tile->row_count; r++) {
        size_t at = r * tile->out_stride + column;
        __m256 x[2];

        for (uint32_t v = 0; v < 2; v++) {
            x[v] = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][v]), factor[v]);
            x[v] = clamp_256(_mm256_add_ps(x[v], offset[v]), lo, hi);
        }
        if (tile->bytes) {
            uint32_t count = used < NR_256 ? used : NR_256;
            __m128i with = tile->residual
                               ? load_bytes(tile->residual + at, count)
                               : _mm_setzero_si128();

            store_bytes(tile->bytes + at, to_bytes(tile, x[0], x[1], with),
                        count);
            continue;
        }
        store_floats(tile->floats + at, x[0], used);
        if (vectors == 2)
            store_floats(tile->floats + at + LANES_32, x[1], used - LANES_32);
    }
}

/* `rows` and `vectors` are constants at each call, so the sums live in
 * registers. */
NN_INLINE void block(const struct nn_int8_tile *tile, const uint8_t *weights,
                     uint32_t column, const uint32_t rows,
                     const uint32_t vectors)
{
    const uint8_t *starts = nn_int8_constants(tile, column);
    __m256i sums[TILE_MR][2], sum[TILE_MR][2];
    const uint8_t *row[TILE_MR];

    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        row[r] = tile->rows[r];
        NN_UNROLL
        for (uint32_t v = 0; v < vectors; v++)
            sum[r][v] = load_256(starts + v * 32);
    }
    for (uint32_t s = 0; s < tile->segments; s++) {
        size_t at = s * tile->segment_stride;
        const size_t end = at + (size_t)tile->groups * 4;

        for (; at < end; at += 4, weights += vectors * 32) {
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r++) {
                int32_t four;
                __m256i x;

                memcpy(&four, row[r] + at, 4);
                x = _mm256_set1_epi32(four);
                NN_UNROLL
                for (uint32_t v = 0; v < vectors; v++)
                    sum[r][v] = dot(sum[r][v], x, load_256(weights + v * 32));
            }
        }
    }
    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        NN_UNROLL
        for (uint32_t v = 0; v < 2; v++) /* the second is unused, or there */
            sums[r][v] = sum[r][v < vectors ? v : 0];
    }
    finish(tile, column, sums, vectors);
}

NN_INLINE void panels(const struct nn_int8_tile *tile, const uint32_t rows)
{
    const size_t depth = (size_t)tile->segments * tile->groups;
    const uint8_t *weights = tile->weights;
    uint32_t column = 0;

    for (; column < tile->columns && tile->columns - column > LANES_32;
         column += NR_256) {
        block(tile, weights, column, rows, 2);
        weights += depth * 64;
    }
    if (column < tile->columns)
        block(tile, weights, column, rows, 1);
}

static void tile_256(const struct nn_int8_tile *tile)
{
    switch (tile->row_count) {
    case 1:
        panels(tile, 1);
        break;
    case 2:
        panels(tile, 2);
        break;
    case 3:
        panels(tile, 3);
        break;
#if TILE_MR > 4
    case 4:
        panels(tile, 4);
        break;
    case 5:
        panels(tile, 5);
        break;
#endif
    default:
        panels(tile, TILE_MR);
        break;
    }
}

#endif

static void add_256(const uint8_t *a, const uint8_t *b, uint8_t *out,
                    size_t count, const struct nn_int8_sum *sum)
{
    for (size_t i = 0; i < count; i += 16) {
        uint32_t rest = count - i < 16 ? (uint32_t)(count - i) : 16;
        __m128i x = load_bytes(a + i, rest), y = load_bytes(b + i, rest);
        __m256 low = sum_256(widen(x), widen(y), sum);
        __m256 high = sum_256(widen(_mm_srli_si128(x, 8)),
                              widen(_mm_srli_si128(y, 8)), sum);

        store_bytes(out + i,
                    narrow(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)),
                    rest);
    }
}

static inline __m256i quantized(const float *in, __m256 factor, __m256 zero)
{
    __m256 x = _mm256_mul_ps(_mm256_loadu_ps(in), factor);

    x = clamp_256(_mm256_add_ps(x, zero), _mm256_setzero_ps(),
                  _mm256_set1_ps(255.0f));
    return _mm256_cvtps_epi32(x);
}

static void quantize_256(const float *in, uint8_t *out, size_t count,
                         float factor, float zero)
{
    const __m256 factors = _mm256_set1_ps(factor), zeros = _mm256_set1_ps(zero);
    float some[16] = {0.0f};

    for (; count >= 16; count -= 16, in += 16, out += 16)
        store_bytes(out,
                    narrow(quantized(in, factors, zeros),
                           quantized(in + LANES_32, factors, zeros)),
                    16);
    memcpy(some, in, count * sizeof *in);
    store_bytes(out,
                narrow(quantized(some, factors, zeros),
                       quantized(some + LANES_32, factors, zeros)),
                (uint32_t)count);
}
