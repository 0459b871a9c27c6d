/* Int8 kernels for NEON with the dot product of Armv8.2, SDOT. */
#include <arm_neon.h>

struct sums {
    int32x4_t columns;
};

static inline void dot_pair(struct sums *sums, int8x16_t w0, int8x16_t w1,
                            int8x8_t x)
{
    sums->columns = vdotq_lane_s32(sums->columns, w0, x, 0);
    sums->columns = vdotq_lane_s32(sums->columns, w1, x, 1);
}

static inline int32x4_t total(const struct sums *sums)
{
    return sums->columns;
}

static inline int32x4_t dot(int32x4_t sum, int8x16_t x, int8x16_t w)
{
    return vdotq_s32(sum, x, w);
}

#define TILE_MR 8
#include "nn/kernels_int8_128.h"
#include "nn/kernels_int8_128_dw.h"

const struct nn_int8_kernels nn_int8_neondot = {
    .mr = TILE_MR,
    .nr = NR_128,
    .lanes = DW_LANES,
    .origin = ORIGIN,
    .tile = tile_128,
    .dwconv = dwconv_128,
    .add = add_128,
    .quantize = quantize_128,
};
