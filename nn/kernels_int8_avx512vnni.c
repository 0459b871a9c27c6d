/* Int8 kernels for AVX-512 (F, BW, DQ, VL) with its dot product, VNNI. */
#include <immintrin.h>
#include <stdint.h>

static inline __m256i dot(__m256i sum, __m256i x, __m256i weights)
{
    return _mm256_dpbusd_epi32(sum, x, weights);
}

static inline __m512i dot_512(__m512i sum, __m512i x, __m512i weights)
{
    return _mm512_dpbusd_epi32(sum, x, weights);
}

/* 14 rows by 2 vectors fill 28 of the 32 registers, and 14 divides the pixel
 * counts of 224 * 224 networks, 7 the widths. */
#define TILE_512_MR 14
#define DW_PIXELS 7
#include "nn/kernels_int8_256.h"
#include "nn/kernels_int8_256_dw.h"
#include "nn/kernels_int8_512.h"

const struct nn_int8_kernels nn_int8_avx512vnni = {
    .mr = TILE_512_MR,
    .nr = NR_512,
    .lanes = DW_LANES,
    .tile = tile_512,
    .dwconv = dwconv_256,
    .add = add_256,
    .quantize = quantize_256,
};
