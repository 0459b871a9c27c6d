/* Int8 kernels on NEON's vectors, for files that define dots before. */
#include <string.h>

#include "nn/int8.h"
#include "nn/kernels.h"

/* Products are of signed bytes: q - 128, which is q with its top bit flipped,
 * so sums begin with 128 times the weights. The file defines, before it
 * includes this:
 *
 * struct sums: sums of four columns, zero where all bytes are
 * static inline void dot_pair(struct sums *sums, int8x16_t w0, int8x16_t w1,
 *                             int8x8_t x);
 *     adds the products of four k by w0 and the next four by w1
 * static inline int32x4_t total(const struct sums *sums);
 * static inline int32x4_t dot(int32x4_t sum, int8x16_t x, int8x16_t w);
 *     adds to each int32 the products of four bytes
 * TILE_MR: rows of a tile whose sums fit the registers */

enum {
    ORIGIN = 128,
    LANES_128 = 4,
    NR_128 = 2 * LANES_128,
    DW_LANES = 4 * LANES_128,
    DW_PIXELS = 7 /* divides the widths of 224 * 224 networks */
};

static inline int8x16_t flip(uint8x16_t x)
{
    return vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(0x80)));
}

/* NaN becomes lo. Selected, for a minimum would not tell zeros apart as the
 * reference does. */
static inline float32x4_t clamp_128(float32x4_t x, float lo, float hi)
{
    float32x4_t low = vdupq_n_f32(lo), high = vdupq_n_f32(hi);

    x = vbslq_f32(vcgtq_f32(x, low), x, low);
    return vbslq_f32(vcltq_f32(x, high), x, high);
}

/* What the sums of one vector become, before it is rounded. */
static inline float32x4_t scaled(int32x4_t sum, const uint8_t *factor,
                                 const uint8_t *offset, float lo, float hi)
{
    float32x4_t x = vmulq_f32(vcvtq_f32_s32(sum),
                              vld1q_f32((const float *)(const void *)factor));

    x = vaddq_f32(x, vld1q_f32((const float *)(const void *)offset));
    return clamp_128(x, lo, hi);
}

/* Eight values of 0 to 255, rounded, as bytes. */
static inline uint8x8_t rounded(float32x4_t a, float32x4_t b)
{
    uint16x4_t low = vmovn_u32(vcvtnq_u32_f32(a));
    uint16x4_t high = vmovn_u32(vcvtnq_u32_f32(b));

    return vmovn_u16(vcombine_u16(low, high));
}

static inline uint8x8_t load_bytes(const uint8_t *from, uint32_t count)
{
    uint8_t some[8] = {0};

    if (count >= 8)
        return vld1_u8(from);
    memcpy(some, from, count);
    return vld1_u8(some);
}

static inline void store_bytes(uint8_t *to, uint8x8_t bytes, uint32_t count)
{
    uint8_t some[8];

    if (count >= 8) {
        vst1_u8(to, bytes);
        return;
    }
    vst1_u8(some, bytes);
    memcpy(to, some, count);
}

static inline float32x4_t sum_four(uint16x4_t a, uint16x4_t b,
                                   const struct nn_int8_sum *sum)
{
    float32x4_t x = vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(a)), sum->first);
    float32x4_t y = vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(b)), sum->second);

    x = vaddq_f32(vaddq_f32(x, y), vdupq_n_f32(sum->offset));
    return clamp_128(x, sum->lo, sum->hi);
}

static inline uint8x8_t sum_128(uint8x8_t a, uint8x8_t b,
                                const struct nn_int8_sum *sum)
{
    uint16x8_t x = vmovl_u8(a), y = vmovl_u8(b);

    return rounded(sum_four(vget_low_u16(x), vget_low_u16(y), sum),
                   sum_four(vget_high_u16(x), vget_high_u16(y), sum));
}

/* What follows the sums of rows x 1 or 2 vectors, which lie in memory so that
 * one copy of this serves all shapes. */
static void finish(const struct nn_int8_tile *tile, uint32_t column,
                   int32x4_t sums[TILE_MR][2], uint32_t vectors)
{
    const uint8_t *starts = nn_int8_constants(tile, column);
    const uint32_t bytes = vectors * 16; /* of one array */
    const uint32_t rest = tile->columns - column;
    const uint32_t used =
        rest < vectors * LANES_128 ? rest : vectors * LANES_128;

    for (uint32_t r = 0; r < tile->row_count; r++) {
        size_t at = r * tile->out_stride + column;
        float32x4_t x[2];
        uint8x8_t q;

        for (uint32_t v = 0; v < 2; v++) {
            const uint8_t *start = starts + (v < vectors ? v * 16 : 0);
            const int32_t *first = (const int32_t *)(const void *)start;

            x[v] = scaled(vaddq_s32(sums[r][v], vld1q_s32(first)),
                          start + bytes, start + 2 * bytes, tile->lo, tile->hi);
        }
        if (tile->floats) {
            float some[NR_128];

            vst1q_f32(some, x[0]);
            vst1q_f32(some + LANES_128, x[1]);
            memcpy(tile->floats + at, some, used * sizeof *some);
            continue;
        }
        q = rounded(x[0], x[1]);
        if (tile->residual)
            q = sum_128(q, load_bytes(tile->residual + at, used), &tile->sum);
        store_bytes(tile->bytes + at, q, used);
    }
}

/* Adds the products of `lanes` / 4 groups of each row, an even number of them,
 * and of as many of the panel. */
NN_INLINE void multiply(struct sums sum[TILE_MR][2], const int8x16_t x[TILE_MR],
                        const int8_t *weights, const uint32_t rows,
                        const uint32_t vectors, const uint32_t half)
{
    const int8_t *next = weights + vectors * 16;

    NN_UNROLL
    for (uint32_t v = 0; v < vectors; v++) {
        int8x16_t w0 = vld1q_s8(weights + v * 16);
        int8x16_t w1 = vld1q_s8(next + v * 16);

        NN_UNROLL
        for (uint32_t r = 0; r < rows; r++)
            dot_pair(&sum[r][v], w0, w1,
                     half ? vget_high_s8(x[r]) : vget_low_s8(x[r]));
    }
}

/* The last one to three groups of a segment, with zeros behind them. */
NN_INLINE void multiply_rest(struct sums sum[TILE_MR][2],
                             const uint8_t *const row[TILE_MR], size_t at,
                             uint32_t groups, const int8_t *weights,
                             const uint32_t rows, const uint32_t vectors)
{
    int8_t padded[4 * NR_128 * 4] = {0};
    int8x16_t x[TILE_MR];

    memcpy(padded, weights, (size_t)groups * vectors * 16);
    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        uint8_t some[16] = {0};

        memcpy(some, row[r] + at, (size_t)groups * 4);
        x[r] = flip(vld1q_u8(some));
    }
    multiply(sum, x, padded, rows, vectors, 0);
    multiply(sum, x, padded + 2 * vectors * 16, rows, vectors, 1);
}

/* `rows` and `vectors` are constants at each call, so the sums live in
 * registers. Inputs are loaded by sixteens. */
NN_INLINE void block(const struct nn_int8_tile *tile, const int8_t *weights,
                     uint32_t column, const uint32_t rows,
                     const uint32_t vectors)
{
    struct sums sum[TILE_MR][2] = {0};
    int32x4_t sums[TILE_MR][2] = {0};
    const uint8_t *row[TILE_MR];
    int8x16_t x[TILE_MR];

    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++)
        row[r] = tile->rows[r];
    for (uint32_t s = 0; s < tile->segments; s++) {
        size_t at = s * tile->segment_stride;
        uint32_t groups = tile->groups;

        for (; groups >= 4; groups -= 4, at += 16) {
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r++)
                x[r] = flip(vld1q_u8(row[r] + at));
            multiply(sum, x, weights, rows, vectors, 0);
            multiply(sum, x, weights + 2 * vectors * 16, rows, vectors, 1);
            weights += 4 * vectors * 16;
        }
        if (groups)
            multiply_rest(sum, row, at, groups, weights, rows, vectors);
        weights += groups * vectors * 16;
    }
    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        NN_UNROLL
        for (uint32_t v = 0; v < vectors; v++)
            sums[r][v] = total(&sum[r][v]);
    }
    finish(tile, column, sums, vectors);
}

NN_INLINE void panels(const struct nn_int8_tile *tile, const uint32_t rows)
{
    const size_t depth = (size_t)tile->segments * tile->groups;
    const int8_t *weights = (const int8_t *)tile->weights;
    uint32_t column = 0;

    for (; column < tile->columns && tile->columns - column > LANES_128;
         column += NR_128) {
        block(tile, weights, column, rows, 2);
        weights += depth * 32;
    }
    if (column < tile->columns)
        block(tile, weights, column, rows, 1);
}

static void tile_128(const struct nn_int8_tile *tile)
{
    switch (tile->row_count) {
    case 1:
        panels(tile, 1);
        break;
    case 2:
        panels(tile, 2);
        break;
    case 3:
        panels(tile, 3);
        break;
#if TILE_MR > 4
    case 4:
        panels(tile, 4);
        break;
    case 5:
        panels(tile, 5);
        break;
    case 6:
        panels(tile, 6);
        break;
    case 7:
        panels(tile, 7);
        break;
#endif
    default:
        panels(tile, TILE_MR);
        break;
    }
}

static void add_128(const uint8_t *a, const uint8_t *b, uint8_t *out,
                    size_t count, const struct nn_int8_sum *sum)
{
    for (size_t i = 0; i < count; i += 8) {
        uint32_t rest = count - i < 8 ? (uint32_t)(count - i) : 8;

        store_bytes(
            out + i,
            sum_128(load_bytes(a + i, rest), load_bytes(b + i, rest), sum),
            rest);
    }
}

static inline float32x4_t quantized(const float *in, float factor, float zero)
{
    float32x4_t x = vmulq_n_f32(vld1q_f32(in), factor);

    return clamp_128(vaddq_f32(x, vdupq_n_f32(zero)), 0.0f, 255.0f);
}

static void quantize_128(const float *in, uint8_t *out, size_t count,
                         float factor, float zero)
{
    float some[8] = {0.0f};

    for (; count >= 8; count -= 8, in += 8, out += 8)
        vst1_u8(out, rounded(quantized(in, factor, zero),
                             quantized(in + LANES_128, factor, zero)));
    memcpy(some, in, count * sizeof *in);
    store_bytes(out,
                rounded(quantized(some, factor, zero),
                        quantized(some + LANES_128, factor, zero)),
                (uint32_t)count);
}
