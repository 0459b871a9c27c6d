/* Weights as the kernels want them: dequantised, scaled, packed, shared. */
#ifndef CLEAVE_NN_WEIGHTS_H
#define CLEAVE_NN_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/bundle.h"
#include "nn/kernels.h"
#include "nn/provider.h"

/* All packed weights of one model, for one kernel set. Not thread-safe while
 * packing; what it has packed is immutable. */
struct nn_weights;

/* Borrows `kernels`. API_NO_MEMORY. */
enum api_status nn_weights_open(const struct nn_kernels *kernels,
                                struct nn_weights **weights);

/* Frees everything packed and sets *weights to NULL; NULL is fine. */
void nn_weights_close(struct nn_weights **weights);

/* Packs what `node` multiplies and adds as nn_pack does, and lends it out until
 * nn_weights_close. Nodes that use the same channels of the same tensor with
 * the same scale and bias get the same memory, whatever graph they are in.
 *
 * The node's tensors must have the shapes that docs/WIRE.md demands and its
 * ranges must lie within them (nn/plan.c checks). API_BAD_BUNDLE when the
 * model's packed weights exceed API_LIMIT_PACKED_BYTES; API_NO_MEMORY. */
enum api_status nn_weights_pack(struct nn_weights *weights,
                                const struct nn_node *node,
                                const float **packed, struct api_error *error);

/* The same for nn/winograd.h, as nn_pack_points does: a 3x3 conv in one group.
 * *packed is NULL if a quarter of API_LIMIT_PACKED_BYTES is full of such
 * weights: plain convolution has a fourth of them. Errors as of
 * nn_weights_pack. */
enum api_status nn_weights_pack_winograd(struct nn_weights *weights,
                                         const struct nn_node *node,
                                         const float **packed,
                                         struct api_error *error);

/* What int8 kernels read of a node (nn/int8.h). */
struct nn_packed_int8 {
    const uint8_t *weights, *constants;
};

/* The same of a node whose input has the U8 type `in`. Nodes that use the same
 * channels of the same tensor share its weights even where scales, biases or
 * types differ, as those of the same layer behind other heads do.
 * API_BAD_BUNDLE also where a value is out of range (nn/int8_pack.c). */
enum api_status nn_weights_pack_int8(struct nn_weights *weights,
                                     const struct nn_node *node,
                                     struct nn_quant in,
                                     struct nn_packed_int8 *packed,
                                     struct api_error *error);

/* A layer of `provider` for a conv in one group, lent out until
 * nn_weights_close; the same one for equal `dense` and nodes that
 * nn_weights_pack would give the same memory. *layer is NULL if the provider
 * cannot run it, or only with more weights than there may be. Errors as of
 * nn_weights_pack. */
enum api_status nn_weights_provide(struct nn_weights *weights,
                                   const struct nn_provider *provider,
                                   const struct nn_node *node,
                                   const struct nn_dense *dense,
                                   const struct nn_layer **layer,
                                   struct api_error *error);

/* Bytes packed so far. */
size_t nn_weights_bytes(const struct nn_weights *weights);

#endif
