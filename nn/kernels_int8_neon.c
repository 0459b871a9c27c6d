/* Int8 kernels for NEON, which every aarch64 CPU has. */
#include <arm_neon.h>

/* Two columns each, which still are two sums a column. */
struct sums {
    int32x4_t low, high;
};

/* Two products of at most 128 * 127 fit in 16 bits. */
static inline void dot_pair(struct sums *sums, int8x16_t w0, int8x16_t w1,
                            int8x8_t x)
{
    int32x2_t fours = vreinterpret_s32_s8(x);
    int8x8_t x0 = vreinterpret_s8_s32(vdup_lane_s32(fours, 0));
    int8x8_t x1 = vreinterpret_s8_s32(vdup_lane_s32(fours, 1));
    int16x8_t low = vmull_s8(vget_low_s8(w0), x0);
    int16x8_t high = vmull_s8(vget_high_s8(w0), x0);

    sums->low = vpadalq_s16(sums->low, vmlal_s8(low, vget_low_s8(w1), x1));
    sums->high = vpadalq_s16(sums->high, vmlal_s8(high, vget_high_s8(w1), x1));
}

static inline int32x4_t total(const struct sums *sums)
{
    return vpaddq_s32(sums->low, sums->high);
}

static inline int32x4_t dot(int32x4_t sum, int8x16_t x, int8x16_t w)
{
    int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
    int16x8_t high = vmull_s8(vget_high_s8(x), vget_high_s8(w));

    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}

#define TILE_MR 4
#include "nn/kernels_int8_128.h"
#include "nn/kernels_int8_128_dw.h"

const struct nn_int8_kernels nn_int8_neon = {
    .mr = TILE_MR,
    .nr = NR_128,
    .lanes = DW_LANES,
    .origin = ORIGIN,
    .tile = tile_128,
    .dwconv = dwconv_128,
    .add = add_128,
    .quantize = quantize_128,
};
