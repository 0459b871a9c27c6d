/* Antialiased resampling of RGB bytes, equal to Pillow's in every byte. */
#ifndef CLEAVE_NN_RESIZE_H
#define CLEAVE_NN_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

/* Weights are integers: 32 bits hold a byte, the weight's fraction and 2 bits
 * for sign and overshoot. Each is kept as high * 2^11 + low, 0 <= low < 2^11:
 * vector units multiply 16 bits at twice the rate of 32, and both parts' sums
 * are exact. */
#define NN_RESIZE_FRACTION_BITS (32 - 8 - 2)
#define NN_RESIZE_LOW_BITS 11
#define NN_RESIZE_ONE ((int32_t)1 << NN_RESIZE_FRACTION_BITS)
#define NN_RESIZE_ROUNDING (NN_RESIZE_ONE / 2)

/* One axis: how `count` neighbouring pixels of a resized line come out of the
 * pixels from..to (half-open) of the source line. Weights have 22 fraction
 * bits; a line whose length does not change has one weight of 1 a pixel. */
struct nn_resize_axis {
    uint32_t count;      /* output pixels */
    uint32_t from, to;   /* source pixels that they need */
    uint32_t taps;       /* weights kept for each output pixel: 4, 8, ... */
    uint32_t *first;     /* [count]: first source pixel, relative to `from` */
    uint32_t *used;      /* [count]: weights in use, 1 to taps; others are 0 */
    int16_t *high, *low; /* [count * taps]: parts of the weights */
};

static inline int32_t nn_resize_weight(const struct nn_resize_axis *axis,
                                       size_t at)
{
    return axis->high[at] * (1 << NN_RESIZE_LOW_BITS) + axis->low[at];
}

/* Prepares the pixels crop..crop + count of a line resized from `in_count` to
 * `out_count` pixels (all at least 1; the crop lies within out_count) into
 * *axis, whose arrays the caller frees with nn_resize_axis_clear. Memory is
 * proportional to in_count + out_count at most. API_NO_MEMORY. Thread-safe. */
enum api_status nn_resize_axis_fill(uint32_t in_count, uint32_t out_count,
                                    uint32_t crop, uint32_t count, bool bicubic,
                                    struct nn_resize_axis *axis);
void nn_resize_axis_clear(struct nn_resize_axis *axis);

/* Bytes behind the last line that nn_resize_across may read, whatever they
 * are. */
enum { NN_RESIZE_SLACK = 16 };

/* `rows` lines of (to - from) RGB pixels become lines of `count` pixels; there
 * are no gaps between lines. */
void nn_resize_across(const struct nn_resize_axis *axis, const uint8_t *source,
                      size_t rows, uint8_t *out);

/* (to - from) lines of `row_bytes` bytes become `count` lines. */
void nn_resize_down(const struct nn_resize_axis *axis, const uint8_t *source,
                    size_t row_bytes, uint8_t *out);

/* The same for one vector unit, only to be called where there is one. */
struct nn_resize_vectors {
    /* Makes the first pixels of every line, of which it returns the number. */
    uint32_t (*across)(const struct nn_resize_axis *axis, const uint8_t *source,
                       size_t rows, uint8_t *out);
    /* Makes line `y` from the lines that begin at `top`, up to the column that
     * it returns. */
    size_t (*down)(const struct nn_resize_axis *axis, uint32_t y,
                   const uint8_t *top, size_t row_bytes, uint8_t *out);
};

#ifdef CLEAVE_X86
extern const struct nn_resize_vectors nn_resize_avx2;
#endif
#ifdef CLEAVE_AARCH64
extern const struct nn_resize_vectors nn_resize_neon;
#endif

#endif
