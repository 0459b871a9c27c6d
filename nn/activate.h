/* Activations that are curves; those that clamp are in the kernels. */
#ifndef CLEAVE_NN_ACTIVATE_H
#define CLEAVE_NN_ACTIVATE_H

#include <stddef.h>

#include "nn/bundle.h"

/* Puts each value's activation in its place:
 *
 *   leaky_relu   x, below 0 slope x
 *   sigmoid      1 / (1 + e^-x)
 *   hard_swish   x clamp(x / 6 + 1/2, 0, 1)
 *   silu         x sigmoid(x)
 *   gelu         x / 2 (1 + erf(x / sqrt 2))
 *
 * Sigmoid and silu err by 5e-7 of themselves, hard_swish and gelu by 5e-7 of
 * |x|; what is no normal float may come out as 0. Does nothing for those that
 * clamp. Thread-safe. */
void nn_activate(enum nn_act act, float slope, float *values, size_t count);

#endif
