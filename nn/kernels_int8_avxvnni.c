/* Int8 kernels for AVX-VNNI, the dot product of AVX-512 on shorter vectors. */
#include <immintrin.h>
#include <stdint.h>

/* Built without AVX-VNNI, this is the same instruction as AVX-512 encodes it:
 * so tests run these kernels on CPUs that have only that. */
static inline __m256i dot(__m256i sum, __m256i x, __m256i weights)
{
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(sum, x, weights);
#else
    return _mm256_dpbusd_epi32(sum, x, weights);
#endif
}

#define TILE_MR 6
#define DW_PIXELS 2
#include "nn/kernels_int8_256.h"
#include "nn/kernels_int8_256_dw.h"

const struct nn_int8_kernels nn_int8_avxvnni = {
    .mr = TILE_MR,
    .nr = NR_256,
    .lanes = DW_LANES,
    .tile = tile_256,
    .dwconv = dwconv_256,
    .add = add_256,
    .quantize = quantize_256,
};
