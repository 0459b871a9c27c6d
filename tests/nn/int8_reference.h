/* What int8 nodes should give, read off docs/WIRE.md one value at a time. */
#ifndef CLEAVE_TESTS_NN_INT8_REFERENCE_H
#define CLEAVE_TESTS_NN_INT8_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "nn/bundle.h"

/* A value of a graph: one of bytes and floats is NULL, by its type. */
struct int8_value {
    uint32_t height, width, channels;
    struct nn_quant type; /* scale 0: F32 */
    uint8_t *bytes;
    float *floats;
};

/* Allocates what the shape and type need; the test fails on no memory. */
void int8_value_open(struct int8_value *value);
void int8_value_close(struct int8_value *value);
size_t int8_value_count(const struct int8_value *value);

/* Computes a node of any int8 op to *out, which it opens. `b` is the second
 * input of add and concat. A conv's, dwconv's or linear's ranges begin at 0. */
void int8_node(const struct nn_node *node, const struct int8_value *a,
               const struct int8_value *b, struct int8_value *out);

#endif
