/* Int8 kernels for AVX2. */
#include <immintrin.h>
#include <stdint.h>

/* Even and odd bytes as words, so that no pair of products saturates. */
static inline __m256i dot(__m256i sum, __m256i x, __m256i weights)
{
    __m256i even = _mm256_and_si256(x, _mm256_set1_epi16(0xff));
    __m256i odd = _mm256_srli_epi16(x, 8);
    __m256i even_weights = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8);
    __m256i odd_weights = _mm256_srai_epi16(weights, 8);

    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, even_weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(odd, odd_weights));
}

#define TILE_MR 4
#define DW_PIXELS 2
#include "nn/kernels_int8_256.h"
#include "nn/kernels_int8_256_dw.h"

const struct nn_int8_kernels nn_int8_avx2 = {
    .mr = TILE_MR,
    .nr = NR_256,
    .lanes = DW_LANES,
    .tile = tile_256,
    .dwconv = dwconv_256,
    .add = add_256,
    .quantize = quantize_256,
};
