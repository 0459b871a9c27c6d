/* What each op makes of its inputs' shapes, and what it costs. */
#ifndef CLEAVE_NN_SHAPE_H
#define CLEAVE_NN_SHAPE_H

#include "nn/plan.h"

/* Checks node number `index` of `graph` against the shapes of the values
 * before it, `shapes[0..index]`, and stores the shape of its own value and the
 * multiply-accumulates (or reads, where it multiplies nothing) that it costs.
 * API_BAD_BUNDLE with a reason. */
enum api_status nn_shape_infer(const struct nn_graph *graph, uint32_t index,
                               const struct nn_shape *shapes,
                               struct nn_shape *out, uint64_t *operations,
                               struct api_error *error);

/* How many values a node of this op reads. */
uint8_t nn_shape_inputs(enum nn_op op);

/* Is this a shape that the engine takes: sides from 1 to
 * API_LIMIT_TENSOR_SIDE, bytes at most API_LIMIT_ARENA_BYTES? */
bool nn_shape_allowed(const struct nn_shape *shape);

#endif
