/* Resampling's inner loops for AVX2; integers, so the same bits everywhere. */
#include <immintrin.h>
#include <string.h>

#include "nn/resize.h"

/* Pairs of words times pairs of weights, the weights' parts apart. */
static inline __m256i add_products(__m256i sums, __m256i pairs, __m256i high,
                                   __m256i low)
{
    high =
        _mm256_slli_epi32(_mm256_madd_epi16(pairs, high), NN_RESIZE_LOW_BITS);
    sums = _mm256_add_epi32(sums, high);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, low));
}

/* Some weights' parts at `from`, repeated all over a vector. */
static inline __m256i repeat_2(const int16_t *from)
{
    int32_t parts;
    memcpy(&parts, from, sizeof parts);
    return _mm256_set1_epi32(parts);
}

static inline __m256i repeat_4(const int16_t *from)
{
    int64_t parts;
    memcpy(&parts, from, sizeof parts);
    return _mm256_set1_epi64x(parts);
}

/* Clamped bytes of both lower halves, then of both upper ones. */
static inline __m128i to_bytes(__m256i first, __m256i second)
{
    first = _mm256_srai_epi32(first, NN_RESIZE_FRACTION_BITS);
    second = _mm256_srai_epi32(second, NN_RESIZE_FRACTION_BITS);
    __m256i words = _mm256_packs_epi32(first, second);
    return _mm_packus_epi16(_mm256_castsi256_si128(words),
                            _mm256_extracti128_si256(words, 1));
}

/* Lines that share the loading of their weights. */
enum { LINES = 4 };

/* Output pixel `x` of LINES lines that begin at `line`: RGB and a fourth byte
 * of each. */
static inline __m128i across_pixel(const struct nn_resize_axis *axis,
                                   uint32_t x, const uint8_t *line,
                                   size_t line_bytes)
{
    /* 4 pixels' reds and greens below, blues above; two words share a sum. */
    const __m256i spread = _mm256_setr_epi8(
        0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, /* below */
        2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m128i together =
        _mm_setr_epi8(0, 1, 8, -1, 2, 3, 10, -1, 4, 5, 12, -1, 6, 7, 14, -1);
    const uint8_t *pixels = line + (size_t)axis->first[x] * 3;
    const int16_t *high = axis->high + (size_t)x * axis->taps;
    const int16_t *low = axis->low + (size_t)x * axis->taps;
    const uint32_t used = axis->used[x];
    __m256i sums[LINES];
    for (int i = 0; i < LINES; i++)
        sums[i] = _mm256_set1_epi32(NN_RESIZE_ROUNDING / 2);
    for (uint32_t k = 0; k < used; k += 4, pixels += 12) {
        __m256i highs = repeat_4(high + k), lows = repeat_4(low + k);
        for (size_t i = 0; i < LINES; i++) {
            const void *from = pixels + i * line_bytes;
            __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128(from));
            sums[i] = add_products(sums[i], _mm256_shuffle_epi8(twice, spread),
                                   highs, lows);
        }
    }
    return _mm_shuffle_epi8(to_bytes(_mm256_hadd_epi32(sums[0], sums[1]),
                                     _mm256_hadd_epi32(sums[2], sums[3])),
                            together);
}

/* All but the last pixel of each line: a pixel's fourth byte is one of the
 * next. The last lines are made together with some that were made before. */
static uint32_t across(const struct nn_resize_axis *axis, const uint8_t *source,
                       size_t rows, uint8_t *out)
{
    const size_t line_bytes = (size_t)(axis->to - axis->from) * 3;
    const size_t out_bytes = (size_t)axis->count * 3;
    const uint32_t count = axis->count - 1;
    if (rows < LINES)
        return 0;
    for (size_t row = 0; row < rows; row += LINES) {
        size_t first = row + LINES <= rows ? row : rows - LINES;
        const uint8_t *line = source + first * line_bytes;
        for (uint32_t x = 0; x < count; x++) {
            uint8_t *to = out + first * out_bytes + (size_t)x * 3;
            __m128i pixels = across_pixel(axis, x, line, line_bytes);
            _mm_storeu_si32(to, pixels);
            for (int i = 1; i < LINES; i++) {
                to += out_bytes;
                pixels = _mm_srli_si128(pixels, 4);
                _mm_storeu_si32(to, pixels);
            }
        }
    }
    return count;
}

static inline __m256i load_words(const void *from)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(from));
}

static size_t down(const struct nn_resize_axis *axis, uint32_t y,
                   const uint8_t *top, size_t row_bytes, uint8_t *out)
{
    const int16_t *high = axis->high + (size_t)y * axis->taps;
    const int16_t *low = axis->low + (size_t)y * axis->taps;
    const uint32_t used = axis->used[y];
    size_t x = 0;
    for (; x + 16 <= row_bytes; x += 16) {
        const uint8_t *row = top + x;
        __m256i first = _mm256_set1_epi32(NN_RESIZE_ROUNDING), second = first;
        for (uint32_t k = 0; k < used; k += 2, row += 2 * row_bytes) {
            /* What follows the last line has no weight: any line will do. */
            __m256i a = load_words(row);
            __m256i b = load_words(k + 1 < used ? row + row_bytes : row);
            __m256i highs = repeat_2(high + k), lows = repeat_2(low + k);
            first =
                add_products(first, _mm256_unpacklo_epi16(a, b), highs, lows);
            second =
                add_products(second, _mm256_unpackhi_epi16(a, b), highs, lows);
        }
        _mm_storeu_si128((__m128i *)(void *)(out + x), to_bytes(first, second));
    }
    return x;
}

const struct nn_resize_vectors nn_resize_avx2 = {across, down};
