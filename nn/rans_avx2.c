/* The entropy coder's inner loop for AVX2; integers, so the same everywhere. */
#include <immintrin.h>

#include "nn/rans.h"

enum { COLUMNS = 16 };

static inline __m128i load_row(const int8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

/* Sixteen columns. Rows go in pairs, whose bytes lie side by side, so that one
 * instruction multiplies and adds both; a last single one meets zeros. */
static void weigh_columns(int32_t *sums, const int8_t *weights, size_t columns,
                          const struct nn_rans_weighed *list, size_t count)
{
    __m256i *to = (__m256i *)(void *)sums;
    __m256i low = _mm256_loadu_si256(to), high = _mm256_loadu_si256(to + 1);

    for (size_t i = 0; i < count; i += 2) {
        const int both = i + 1 < count;
        const uint32_t second = both ? (uint32_t)list[i + 1].symbol : 0;
        const __m256i symbols = _mm256_set1_epi32(
            (int32_t)(second << 16 | ((uint32_t)list[i].symbol & 0xffff)));
        __m128i a = load_row(weights + list[i].row * columns);
        __m128i b = both ? load_row(weights + list[i + 1].row * columns) : a;
        __m256i first = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
        __m256i rest = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));

        low = _mm256_add_epi32(low, _mm256_madd_epi16(first, symbols));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(rest, symbols));
    }
    _mm256_storeu_si256(to, low);
    _mm256_storeu_si256(to + 1, high);
}

void nn_rans_weigh_avx2(int32_t *sums, const int8_t *weights, size_t columns,
                        const struct nn_rans_weighed *list, size_t count)
{
    size_t c = 0;

    for (; c + COLUMNS <= columns; c += COLUMNS)
        weigh_columns(sums + c, weights + c, columns, list, count);
    for (size_t i = 0; i < count && c < columns; i++)
        for (size_t rest = c; rest < columns; rest++)
            sums[rest] +=
                weights[list[i].row * columns + rest] * list[i].symbol;
}
