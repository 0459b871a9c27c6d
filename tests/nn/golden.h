/* Tensors that PyTorch computed: reads plain safetensors files of the tests. */
#ifndef CLEAVE_TESTS_NN_GOLDEN_H
#define CLEAVE_TESTS_NN_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

struct golden;

/* Opens tests/data/`name`; the test fails if that is not possible. */
struct golden *golden_open(const char *name);
void golden_close(struct golden *golden);

/* Does it hold a tensor of that name? */
int golden_has(const struct golden *golden, const char *name);

/* The bytes of a tensor, borrowed, aligned for floats; the test fails if there
 * is none of that name or if it has not `bytes` bytes (0: any number). */
const void *golden_data(const struct golden *golden, const char *name,
                        size_t bytes);

/* Fails the test unless `got` is within 1e-4 of each golden value, relative to
 * the tensor's largest: float sums in another order differ by about 1e-6, and
 * layers on layers make that some more. */
void golden_compare(const struct golden *golden, const char *name,
                    const float *got, size_t count);

#endif
