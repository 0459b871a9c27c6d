/* Operators that move, join or normalise values, in plain C. */
#ifndef CLEAVE_NN_OPERATORS_H
#define CLEAVE_NN_OPERATORS_H

#include "nn/plan.h"

/* Each runs one step of its kind on values of the step's shapes (`in`:
 * step->in, `other`: step->other, `out`: step->out), which do not overlap.
 * Thread-safe. */

/* out = clamp(in * other); sides of `other` that are 1 are repeated. */
void nn_multiply(const struct nn_step *step, const float *in,
                 const float *other, float *out);

/* The channels of `in`, then those of `other`. */
void nn_concatenate(const struct nn_step *step, const float *in,
                    const float *other, float *out);

/* (in - mean) / sqrt(variance + epsilon), both over a pixel's channels. */
void nn_layer_norm(const struct nn_step *step, const float *in, float *out);

/* Other height and width, as docs/WIRE.md defines it. */
void nn_resize_value(const struct nn_step *step, const float *in, float *out);

/* Each pixel becomes block x block pixels of fewer channels. */
void nn_depth_to_space(const struct nn_step *step, const float *in, float *out);

#endif
