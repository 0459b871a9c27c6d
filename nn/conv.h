/* Convolution and fully connected layers as matrix products. */
#ifndef CLEAVE_NN_CONV_H
#define CLEAVE_NN_CONV_H

#include "nn/plan.h"

/* Floats of working memory that a conv or linear step takes with tiles of `mr`
 * rows. Its window, groups, gather and shapes must be set. */
size_t nn_conv_scratch_floats(const struct nn_step *step, uint32_t mr);

/* Runs one part of a conv or linear step: `in` and `out` have its shapes,
 * `with` is added before clamping (the shape of `out`; NULL if the step has no
 * residual, as with groups). Leaves step->curve to the caller. Gives the output
 * pixels that this part has written. Thread-safe for distinct scratch. */
struct nn_span nn_conv_run(const struct nn_kernels *kernels,
                           const struct nn_step *step, struct nn_part part,
                           const float *in, const float *with, float *out,
                           float *scratch);

#endif
