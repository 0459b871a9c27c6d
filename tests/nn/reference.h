/* What the kernels should compute: in double, with a bound on the rounding. */
#ifndef CLEAVE_TESTS_NN_REFERENCE_H
#define CLEAVE_TESTS_NN_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/bundle.h"
#include "nn/kernels.h"

/* The level that CLEAVE_CPU names; ends the program with status 77, which
 * ctest counts as skipped, if this machine lacks it. The scalar level without
 * CLEAVE_CPU. With CLEAVE_ONEDNN in the environment, plans ask oneDNN. */
const struct nn_kernels *reference_level(void);

/* A tensor over `data`, which it borrows. */
struct nn_tensor tensor_of(enum nn_dtype dtype, const void *data, uint8_t rank,
                           uint32_t a, uint32_t b, uint32_t c, uint32_t d);

/* A sum of products as it should be, and how far float arithmetic may be from
 * it. n terms in any order, fused or not, err by at most (n + 1) units of
 * 2^-24 of the sum of their sizes (Higham, Accuracy and Stability of Numerical
 * Algorithms, section 3.1), and by 2^-149 each where they underflow. */
struct sum {
    double value, size;
    uint32_t terms;
};

void sum_add(struct sum *sum, double term);

/* Fails the test unless `got` is the clamped sum within that bound. */
void sum_check(const struct sum *sum, float lo, float hi, float got,
               const char *what, size_t index);

/* Repeatable numbers. */
enum fill {
    FILL_NORMAL,   /* -1 to 1 */
    FILL_LARGE,    /* to 1e18: products near 1e36 must not overflow */
    FILL_DENORMAL, /* to 1e-40: below the smallest normal float */
    FILL_MIXED,    /* alternating sizes and signs: cancellation */
    FILL_COUNT
};

void fill(float *to, size_t count, enum fill how, uint32_t seed);

/* Sum of one output of a convolution over NHWC input: weight[ky][kx][channel],
 * `in_channels` of them, beginning at channel `from` of the input. The taps
 * outside the input count as zeros. */
struct conv_shape {
    uint32_t height, width, channels; /* input */
    uint32_t kernel_y, kernel_x, stride_y, stride_x;
    uint32_t pad_top, pad_bottom, pad_left, pad_right;
};

static inline uint32_t conv_out(uint32_t size, uint32_t kernel, uint32_t stride,
                                uint32_t pads)
{
    return size + pads < kernel ? 0 : (size + pads - kernel) / stride + 1;
}

/* Calls `visit` for every tap inside the input with the offset (in floats) of
 * its pixel in the input and the number of the tap. */
void each_tap(const struct conv_shape *shape, uint32_t oy, uint32_t ox,
              void (*visit)(void *with, size_t pixel, uint32_t tap),
              void *with);

#endif
