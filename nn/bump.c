/* Memory that is got piece by piece: blocks, each twice the one before. */
#include "nn/bump.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/large.h"

enum { ALIGNMENT = 64, FIRST_BYTES = 64 << 10, MOST_BYTES = 2 << 20 };

/* At the beginning of its memory. */
struct nn_bump_block {
    struct nn_bump_block *before;
    size_t bytes, used;
};

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void *nn_bump_get(struct nn_bump *bump, size_t bytes)
{
    struct nn_bump_block *block = bump->last;
    void *piece;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = round_up(bytes);
    if (!block || bytes > block->bytes - block->used) {
        size_t head = round_up(sizeof *block), least = head + bytes;
        size_t wanted = block ? block->bytes * 2 : FIRST_BYTES;

        if (wanted > MOST_BYTES)
            wanted = MOST_BYTES;
        if (wanted < least)
            wanted = least;
        block = api_large_alloc(wanted);
        if (!block)
            return NULL;
        *block = (struct nn_bump_block){bump->last, wanted, head};
        bump->last = block;
    }
    piece = (unsigned char *)block + block->used;
    block->used += bytes;
    return memset(piece, 0, bytes);
}

void nn_bump_clear(struct nn_bump *bump)
{
    while (bump->last) {
        struct nn_bump_block *before = bump->last->before;

        free(bump->last);
        bump->last = before;
    }
}
