/* Antialiased resampling of RGB bytes, equal to Pillow's in every byte. */
#ifndef CLEAVE_NN_RESIZE_H
#define CLEAVE_NN_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

/* One axis: how `count` neighbouring pixels of a resized line come out of the
 * pixels from..to (half-open) of the source line. Weights have 22 fraction
 * bits; a line whose length does not change has one weight of 1 a pixel. */
struct nn_resize_axis {
    uint32_t count;    /* output pixels */
    uint32_t from, to; /* source pixels that they need */
    uint32_t taps;     /* weights kept for each output pixel */
    uint32_t *first;   /* [count]: first source pixel, relative to `from` */
    uint32_t *used;    /* [count]: weights in use, 1 to taps */
    int32_t *weights;  /* [count * taps] */
};

/* Prepares the pixels crop..crop + count of a line resized from `in_count` to
 * `out_count` pixels (all at least 1; the crop lies within out_count) into
 * *axis, whose arrays the caller frees with nn_resize_axis_clear. Memory is
 * proportional to in_count + out_count at most. API_NO_MEMORY. Thread-safe. */
enum api_status nn_resize_axis_fill(uint32_t in_count, uint32_t out_count,
                                    uint32_t crop, uint32_t count, bool bicubic,
                                    struct nn_resize_axis *axis);
void nn_resize_axis_clear(struct nn_resize_axis *axis);

/* `rows` lines of (to - from) RGB pixels become lines of `count` pixels. */
void nn_resize_across(const struct nn_resize_axis *axis, const uint8_t *source,
                      size_t rows, uint8_t *out);

/* (to - from) lines of `row_bytes` bytes become `count` lines. */
void nn_resize_down(const struct nn_resize_axis *axis, const uint8_t *source,
                    size_t row_bytes, uint8_t *out);

#endif
