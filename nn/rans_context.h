/* Which table codes a symbol: integer sums over the symbols before it. */
#ifndef CLEAVE_NN_RANS_CONTEXT_H
#define CLEAVE_NN_RANS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nn/bundle.h"
#include "nn/rans.h"

/* Symbols weigh as if they were at most this large, escapes too. */
enum { CONTEXT_CLAMP = 7 };

/* Every symbol is added, weighted, to the sums of the channels and positions
 * that will depend on it; most symbols are 0 and cost nothing. Used alike by
 * both directions: for each position in raster order context_enter, then
 * either for each channel context_table, context_note, or context_note_all and
 * context_tables; last context_leave. */
struct context {
    const struct nn_prior *prior;
    nn_rans_weigh_fn *weigh;
    size_t width, x;
    int32_t *here;  /* [channels]: sums of the position entered last */
    int32_t *ahead; /* [width * channels]: of the next one in each column */
    struct nn_rans_weighed *noted; /* [channels] */
    uint32_t noted_count;
};

/* Bytes that a struct context needs. */
static inline size_t context_bytes(size_t width, size_t channels)
{
    return (width + 1) * channels * sizeof(int32_t) +
           channels * sizeof(struct nn_rans_weighed);
}

/* Borrows `memory`, context_bytes of it, and clears it. */
static inline struct context context_begin(const struct nn_prior *prior,
                                           size_t width, void *memory)
{
    size_t channels = prior->channels;
    int32_t *sums = memory;
    memset(memory, 0, context_bytes(width, channels));
    return (struct context){
        .prior = prior,
        .weigh = nn_rans_weigh(),
        .width = width,
        .here = sums,
        .ahead = sums + channels,
        .noted = (struct nn_rans_weighed *)(sums + (width + 1) * channels)};
}

static inline void context_enter(struct context *context, size_t x)
{
    size_t channels = context->prior->channels;
    if (context->prior->contexts == 1)
        return;
    context->x = x;
    context->noted_count = 0;
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
    const int32_t *limit = context->prior->context_limit + c;
    for (uint32_t i = 0; i < limits; i++, limit += context->prior->channels)
        reached += context->here[c] >= *limit;
    return c * (limits + 1) + reached;
}

/* The tables of all channels of a position whose symbols have all been noted,
 * for none weighs on its own channel or an earlier one. */
static inline void context_tables(const struct context *context,
                                  uint32_t *tables)
{
    const struct nn_prior *prior = context->prior;
    const int32_t *limit = prior->context_limit, *here = context->here;
    uint32_t channels = prior->channels;
    for (uint32_t c = 0; c < channels; c++)
        tables[c] = c * prior->contexts;
    for (uint32_t i = 1; i < prior->contexts; i++, limit += channels)
        for (uint32_t c = 0; c < channels; c++)
            tables[c] += here[c] >= limit[c];
}

/* Takes `symbol`, quantised, of channel `c` at the position entered last; what
 * it weighs there is for the caller to add. False if that is nothing. */
static inline bool context_take(struct context *context, uint32_t c,
                                int32_t symbol)
{
    if (symbol == 0 || context->prior->contexts == 1)
        return false;
    if (symbol > CONTEXT_CLAMP)
        symbol = CONTEXT_CLAMP;
    if (symbol < -CONTEXT_CLAMP)
        symbol = -CONTEXT_CLAMP;
    context->noted[context->noted_count++] =
        (struct nn_rans_weighed){c, symbol};
    return true;
}

/* Weights of one of the three places, [channels * channels]. */
static inline const int8_t *context_weights(const struct context *context,
                                            size_t place)
{
    size_t channels = context->prior->channels;
    return context->prior->context_weight + place * channels * channels;
}

/* The same for all symbols of the position. */
static inline void context_note_all(struct context *context,
                                    const int32_t *symbols)
{
    for (uint32_t c = 0; c < context->prior->channels; c++)
        context_take(context, c, symbols[c]);
    if (context->noted_count)
        context->weigh(context->here, context_weights(context, 2),
                       context->prior->channels, context->noted,
                       context->noted_count);
}

/* Adds it at once, as the next channel's table depends on it. */
static inline void context_note(struct context *context, uint32_t c,
                                int32_t symbol)
{
    if (context_take(context, c, symbol))
        context->weigh(context->here, context_weights(context, 2),
                       context->prior->channels,
                       context->noted + context->noted_count - 1, 1);
}

/* Adds what weighs on later positions. No sum overflows: 3 * 4096 channels of
 * 127 * 7 are below 2^24. */
static inline void context_leave(struct context *context)
{
    size_t channels = context->prior->channels;
    int32_t *ahead = context->ahead + context->x * channels;
    if (context->prior->contexts == 1 || context->noted_count == 0)
        return;
    if (context->x + 1 < context->width)
        context->weigh(ahead + channels, context_weights(context, 0), channels,
                       context->noted, context->noted_count);
    context->weigh(ahead, context_weights(context, 1), channels, context->noted,
                   context->noted_count);
}

#endif
