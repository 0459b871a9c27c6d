/* Resampling's inner loops for NEON; integers, so the same bits everywhere.
 * Whole weights: for each of their parts it would multiply as often. */
#include <arm_neon.h>
#include <string.h>

#include "nn/resize.h"

/* Four weights from `at` on. */
static inline int32x4_t weights_4(const struct nn_resize_axis *axis, size_t at)
{
    return vaddw_s16(vshll_n_s16(vld1_s16(axis->high + at), NN_RESIZE_LOW_BITS),
                     vld1_s16(axis->low + at));
}

/* Sums become words, clamped from below. */
static inline uint16x8_t to_words(int32x4_t first, int32x4_t second)
{
    return vcombine_u16(
        vqmovun_s32(vshrq_n_s32(first, NN_RESIZE_FRACTION_BITS)),
        vqmovun_s32(vshrq_n_s32(second, NN_RESIZE_FRACTION_BITS)));
}

/* RGB at `index` of bytes, a lane each; the fourth lane is 0. */
static inline int32x4_t spread(uint8x16_t bytes, const uint8_t *index)
{
    return vreinterpretq_s32_u8(vqtbl1q_u8(bytes, vld1q_u8(index)));
}

/* Sums of RGB and nothing for output pixel `x`. */
static inline int32x4_t pixel_sums(const struct nn_resize_axis *axis,
                                   uint32_t x, const uint8_t *line)
{
    enum { NO = 255 }; /* no such byte: 0 */
    static const uint8_t at[4][16] = {
        {0, NO, NO, NO, 1, NO, NO, NO, 2, NO, NO, NO, NO, NO, NO, NO},
        {3, NO, NO, NO, 4, NO, NO, NO, 5, NO, NO, NO, NO, NO, NO, NO},
        {6, NO, NO, NO, 7, NO, NO, NO, 8, NO, NO, NO, NO, NO, NO, NO},
        {9, NO, NO, NO, 10, NO, NO, NO, 11, NO, NO, NO, NO, NO, NO, NO}};
    const uint8_t *pixels = line + (size_t)axis->first[x] * 3;
    int32x4_t sums = vdupq_n_s32(NN_RESIZE_ROUNDING);
    for (uint32_t k = 0; k < axis->used[x]; k += 4, pixels += 12) {
        int32x4_t weights = weights_4(axis, (size_t)x * axis->taps + k);
        uint8x16_t bytes = vld1q_u8(pixels);
        sums = vmlaq_laneq_s32(sums, spread(bytes, at[0]), weights, 0);
        sums = vmlaq_laneq_s32(sums, spread(bytes, at[1]), weights, 1);
        sums = vmlaq_laneq_s32(sums, spread(bytes, at[2]), weights, 2);
        sums = vmlaq_laneq_s32(sums, spread(bytes, at[3]), weights, 3);
    }
    return sums;
}

static uint32_t across(const struct nn_resize_axis *axis, const uint8_t *source,
                       size_t rows, uint8_t *out)
{
    static const uint8_t together[16] = {0,  1,  2,  4,  5,   6,   8,   9,
                                         10, 12, 13, 14, 255, 255, 255, 255};
    const uint32_t count = axis->count / 4 * 4;
    for (size_t row = 0; row < rows; row++) {
        uint8_t *to = out + row * axis->count * 3;
        for (uint32_t x = 0; x < count; x += 4, to += 12) {
            uint16x8_t first = to_words(pixel_sums(axis, x, source),
                                        pixel_sums(axis, x + 1, source));
            uint16x8_t second = to_words(pixel_sums(axis, x + 2, source),
                                         pixel_sums(axis, x + 3, source));
            uint8x16_t bytes =
                vcombine_u8(vqmovn_u16(first), vqmovn_u16(second));
            bytes = vqtbl1q_u8(bytes, vld1q_u8(together));
            vst1_u8(to, vget_low_u8(bytes));
            uint32_t last = vgetq_lane_u32(vreinterpretq_u32_u8(bytes), 2);
            memcpy(to + 8, &last, sizeof last);
        }
        source += (size_t)(axis->to - axis->from) * 3;
    }
    return count;
}

static size_t down(const struct nn_resize_axis *axis, uint32_t y,
                   const uint8_t *top, size_t row_bytes, uint8_t *out)
{
    size_t x = 0;
    for (; x + 16 <= row_bytes; x += 16) {
        const uint8_t *row = top + x;
        int32x4_t sums[4];
        for (int i = 0; i < 4; i++)
            sums[i] = vdupq_n_s32(NN_RESIZE_ROUNDING);
        for (uint32_t k = 0; k < axis->used[y]; k++, row += row_bytes) {
            int32_t weight = nn_resize_weight(axis, (size_t)y * axis->taps + k);
            uint8x16_t bytes = vld1q_u8(row);
            uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
            uint16x8_t high = vmovl_high_u8(bytes);
            uint32x4_t values[4] = {
                vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low),
                vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high)};
            for (int i = 0; i < 4; i++)
                sums[i] = vmlaq_n_s32(sums[i], vreinterpretq_s32_u32(values[i]),
                                      weight);
        }
        uint8x8_t low = vqmovn_u16(to_words(sums[0], sums[1]));
        uint8x8_t high = vqmovn_u16(to_words(sums[2], sums[3]));
        vst1q_u8(out + x, vcombine_u8(low, high));
    }
    return x;
}

const struct nn_resize_vectors nn_resize_neon = {across, down};
