/* Steps that run together, some rows at a time: a value between them is never
 * there as a whole, and does not leave a core's own cache. */
#ifndef CLEAVE_NN_CHAIN_H
#define CLEAVE_NN_CHAIN_H

#include <stdbool.h>

#include "nn/plan.h"

enum { NN_CHAIN_STEPS_MAX = 8 };

/* Makes a chain of as many of `steps` as pay, from the first on, at least of
 * that one; sets its chain_steps, chain_rows and, for what the others hand on,
 * places at NN_AT_CHAIN. hands_on[i]: the next step reads the result of step i
 * as its input, nobody else does. Gives the floats of those places. */
size_t nn_chain_find(struct nn_step *steps, uint32_t count,
                     const bool *hands_on);

#endif
