/* Where the values of a plan lie during a run. */
#ifndef CLEAVE_NN_PLACE_H
#define CLEAVE_NN_PLACE_H

#include "nn/plan.h"

/* Which values a step reads and makes. 0 is the plan's input. */
struct nn_uses {
    uint32_t from, with; /* `with` only if has_with */
    uint32_t made;
    bool has_with;
};

/* Gives all steps of `plan`, complete but for this, their places, so that
 * memory is reused: chains first (nn/chain.h), then the rest; and ends stages.
 * uses[i] is of step i, values are below value_count, `output` is the plan's.
 * `graph` is named in errors. API_BAD_BUNDLE where the arena would exceed
 * API_LIMIT_ARENA_BYTES; API_NO_MEMORY. */
enum api_status nn_place_values(struct nn_plan *plan,
                                const struct nn_uses *uses,
                                uint32_t value_count, uint32_t output,
                                const char *graph, struct api_error *error);

#endif
