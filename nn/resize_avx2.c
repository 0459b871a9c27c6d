/* Resampling's inner loops for AVX2; integers, so the same bits everywhere. */
#include <immintrin.h>

#include "nn/resize.h"

/* 16 sums of 32 bits. */
struct sums {
    __m256i low, high;
};

static inline struct sums begin(void)
{
    __m256i rounding = _mm256_set1_epi32(NN_RESIZE_ROUNDING);
    return (struct sums){rounding, rounding};
}

static inline struct sums add_product(struct sums sums, const uint8_t *from,
                                      int32_t weight)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);
    __m256i factor = _mm256_set1_epi32(weight);
    __m256i low = _mm256_cvtepu8_epi32(bytes);
    __m256i high = _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8));
    sums.low = _mm256_add_epi32(sums.low, _mm256_mullo_epi32(low, factor));
    sums.high = _mm256_add_epi32(sums.high, _mm256_mullo_epi32(high, factor));
    return sums;
}

/* Packing saturates to 0..255 on the way, and interleaves the halves. */
static inline __m128i to_bytes(struct sums sums)
{
    __m256i low = _mm256_srai_epi32(sums.low, NN_RESIZE_FRACTION_BITS);
    __m256i high = _mm256_srai_epi32(sums.high, NN_RESIZE_FRACTION_BITS);
    __m256i words =
        _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words),
                            _mm256_extracti128_si256(words, 1));
}

static void across_block(const struct nn_resize_axis *axis,
                         const uint8_t *source, size_t rows, uint8_t *out)
{
    enum { LANES = NN_RESIZE_LANES };
    const size_t out_row = (size_t)axis->count * 3;
    for (uint32_t x = 0; x < axis->count; x++) {
        const int32_t *weights = axis->weights + (size_t)x * axis->taps;
        const uint8_t *at = source + (size_t)axis->first[x] * 3 * LANES;
        struct sums red = begin(), green = begin(), blue = begin();
        uint8_t bytes[3][LANES];
        for (uint32_t k = 0; k < axis->used[x]; k++, at += 3 * LANES) {
            red = add_product(red, at, weights[k]);
            green = add_product(green, at + LANES, weights[k]);
            blue = add_product(blue, at + 2 * LANES, weights[k]);
        }
        _mm_storeu_si128((__m128i *)(void *)bytes[0], to_bytes(red));
        _mm_storeu_si128((__m128i *)(void *)bytes[1], to_bytes(green));
        _mm_storeu_si128((__m128i *)(void *)bytes[2], to_bytes(blue));
        uint8_t *to = out + (size_t)x * 3;
        for (size_t row = 0; row < rows; row++, to += out_row)
            for (int colour = 0; colour < 3; colour++)
                to[colour] = bytes[colour][row];
    }
}

void nn_resize_across_avx2(const struct nn_resize_axis *axis,
                           const uint8_t *source, size_t rows, uint8_t *out)
{
    const size_t block_bytes =
        nn_resize_block_bytes(1, (size_t)(axis->to - axis->from) * 3);
    for (size_t row = 0; row < rows; row += NN_RESIZE_LANES) {
        size_t rest = rows - row;
        across_block(axis, source,
                     rest < NN_RESIZE_LANES ? rest : NN_RESIZE_LANES, out);
        source += block_bytes;
        out += (size_t)axis->count * 3 * NN_RESIZE_LANES;
    }
}

size_t nn_resize_down_avx2(const struct nn_resize_axis *axis, uint32_t y,
                           const uint8_t *top, size_t row_bytes, uint8_t *out)
{
    const int32_t *weights = axis->weights + (size_t)y * axis->taps;
    size_t x = 0;
    for (; x + NN_RESIZE_LANES <= row_bytes; x += NN_RESIZE_LANES) {
        struct sums sums = begin();
        for (uint32_t k = 0; k < axis->used[y]; k++)
            sums = add_product(sums, top + k * row_bytes + x, weights[k]);
        _mm_storeu_si128((__m128i *)(void *)(out + x), to_bytes(sums));
    }
    return x;
}
