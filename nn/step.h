/* Runs one step of a plan, or a band of one (nn/band.h). */
#ifndef CLEAVE_NN_STEP_H
#define CLEAVE_NN_STEP_H

#include "nn/plan.h"

/* Where a step's operands and its result begin, as its types say. */
struct nn_operands {
    const void *from, *with; /* `with` is read only if the step has it */
    void *to;
    void *scratch; /* plan->gather_floats for this part */
    struct nn_handle *const *handles;
};

/* The work of one part of a step; all parts together make its result. The
 * number of parts changes no bit of it. */
void nn_step_run(const struct nn_plan *plan, const struct nn_step *step,
                 struct nn_part part, const struct nn_operands *operands);

#endif
