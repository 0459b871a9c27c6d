/* Some rows of a step's output, as a step of their own. */
#ifndef CLEAVE_NN_BAND_H
#define CLEAVE_NN_BAND_H

#include "nn/plan.h"

/* Rows of the input from the first tap of a window to its last. */
static inline uint32_t nn_band_window(const struct nn_step *step)
{
    return (step->kernel[0] - 1) * step->dilation[0] + 1;
}

/* Rows of the input that some rows of the output, at least one, are made of. */
struct nn_span nn_band_reach(const struct nn_step *step, struct nn_span rows);

/* The step as if its output were those rows only, and its input those that they
 * are made of. */
struct nn_step nn_band_step(const struct nn_step *step, struct nn_span rows);

/* Bytes of a row of a value. */
static inline size_t nn_band_row_bytes(const struct nn_shape *shape,
                                       struct nn_quant type)
{
    return (size_t)shape->width * shape->channels *
           (type.scale > 0 ? 1 : sizeof(float));
}

#endif
