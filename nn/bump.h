/* A bump allocator: memory got piece by piece and given back all at once. */
#ifndef CLEAVE_NN_BUMP_H
#define CLEAVE_NN_BUMP_H

#include <stddef.h>

struct nn_bump_block;

/* An empty one is all zeros. Not thread-safe. */
struct nn_bump {
    struct nn_bump_block *last; /* each knows the one before */
};

/* `bytes` zeros (at least 1) at a multiple of 64, or NULL. The allocator owns
 * them. It gets memory in blocks that double up to 2 MiB, which may be a huge
 * page (api/large.h). */
void *nn_bump_get(struct nn_bump *bump, size_t bytes);

/* Frees all pieces and leaves an empty one. */
void nn_bump_clear(struct nn_bump *bump);

#endif
