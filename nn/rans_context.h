/* Which table codes a symbol: integer sums over the symbols before it. */
#ifndef CLEAVE_NN_RANS_CONTEXT_H
#define CLEAVE_NN_RANS_CONTEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nn/bundle.h"

/* Symbols weigh as if they were at most this large, escapes too. */
enum { CONTEXT_CLAMP = 7 };

/* Every symbol is added, weighted, to the sums of the channels and positions
 * that will depend on it; most symbols are 0 and cost nothing. Used alike by
 * both directions: for each position in raster order context_enter, then for
 * each channel context_table, context_note. */
struct context {
    const struct nn_prior *prior;
    size_t width, x;
    int32_t *here;  /* [channels]: sums of the position entered last */
    int32_t *ahead; /* [width * channels]: of the next one in each column */
};

/* int32_t that a struct context needs. */
static inline size_t context_sums(size_t width, size_t channels)
{
    return (width + 1) * channels;
}

/* Borrows `sums`, context_sums of them, and clears them. */
static inline struct context context_begin(const struct nn_prior *prior,
                                           size_t width, int32_t *sums)
{
    struct context context = {prior, width, 0, sums, sums + prior->channels};
    memset(sums, 0, context_sums(width, prior->channels) * sizeof *sums);
    return context;
}

static inline void context_enter(struct context *context, size_t x)
{
    size_t channels = context->prior->channels;
    if (context->prior->contexts == 1)
        return;
    context->x = x;
    int32_t *ahead = context->ahead + x * channels;
    memcpy(context->here, ahead, channels * sizeof *ahead);
    memset(ahead, 0, channels * sizeof *ahead);
}

/* The table of the next symbol of channel `c`. */
static inline uint32_t context_table(const struct context *context, uint32_t c)
{
    uint32_t limits = context->prior->contexts - 1, reached = 0;
    if (limits == 0)
        return c;
    const int32_t *limit = context->prior->context_limit + (size_t)c * limits;
    for (uint32_t i = 0; i < limits; i++)
        reached += context->here[c] >= limit[i];
    return c * (limits + 1) + reached;
}

static inline void context_add(int32_t *sums, const int8_t *weights,
                               int32_t symbol, uint32_t from, uint32_t to)
{
    for (uint32_t c = from; c < to; c++)
        sums[c] += weights[c] * symbol;
}

/* Takes `symbol`, quantised, of channel `c` at the position entered last. No
 * sum overflows: 3 * 4096 channels of 127 * 7 are below 2^24. */
static inline void context_note(struct context *context, uint32_t c,
                                int32_t symbol)
{
    uint32_t channels = context->prior->channels;
    size_t square = (size_t)channels * channels;
    if (symbol == 0 || context->prior->contexts == 1)
        return;
    if (symbol > CONTEXT_CLAMP)
        symbol = CONTEXT_CLAMP;
    if (symbol < -CONTEXT_CLAMP)
        symbol = -CONTEXT_CLAMP;
    const int8_t *weights =
        context->prior->context_weight + (size_t)c * channels;
    int32_t *ahead = context->ahead + context->x * channels;
    if (context->x + 1 < context->width)
        context_add(ahead + channels, weights, symbol, 0, channels);
    context_add(ahead, weights + square, symbol, 0, channels);
    context_add(context->here, weights + 2 * square, symbol, c + 1, channels);
}

#endif
