/* What the engine says about a picture when it is asked directly. */
#ifndef CLEAVE_TESTS_DIRECT_H
#define CLEAVE_TESTS_DIRECT_H

#include <stddef.h>
#include <stdint.h>

#include "nn/nn.h"

/* The best class by `point`, and the bytes that a client has to send for it:
 * the picture's for offload, a frame's for split, none for local or if the
 * point's exit is sure. */
void direct_answer(const struct nn_model *model, struct nn_context *context,
                   uint16_t point, const uint8_t *jpeg, size_t jpeg_bytes,
                   struct nn_class *best, size_t *sent_bytes);

#endif
