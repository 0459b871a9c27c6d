/* Int8 kernels for AVX-512 (F, BW, DQ, VL) without its dot product. */
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

static inline __m512i dot_512(__m512i sum, __m512i x, __m512i weights)
{
    __m512i even = _mm512_and_si512(x, _mm512_set1_epi16(0xff));
    __m512i odd = _mm512_srli_epi16(x, 8);
    __m512i even_weights = _mm512_srai_epi16(_mm512_slli_epi16(weights, 8), 8);
    __m512i odd_weights = _mm512_srai_epi16(weights, 8);

    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(even, even_weights));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(odd, odd_weights));
}

#define TILE_512_MR 8
#define DW_PIXELS 2
#include "nn/kernels_int8_256.h"
#include "nn/kernels_int8_256_dw.h"
#include "nn/kernels_int8_512.h"

const struct nn_int8_kernels nn_int8_avx512 = {
    .mr = TILE_512_MR,
    .nr = NR_512,
    .lanes = DW_LANES,
    .tile = tile_512,
    .dwconv = dwconv_256,
    .add = add_256,
    .quantize = quantize_256,
};
