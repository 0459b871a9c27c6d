/* The entropy coder: integer rANS, tables by channel and context. */
#ifndef CLEAVE_NN_RANS_H
#define CLEAVE_NN_RANS_H

#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/bundle.h"

/* The most bytes that `count` symbols take: 61 bits for the rarest escape of
 * the largest value, its share of rounding, and the state. */
#define NN_RANS_BOUND(count) ((count)*8 + 4)

/* |q| that the format can carry; quantisation clamps to it. */
#define NN_RANS_LIMIT (1 << 20)

/* Positions in raster order, height * width of them. */
struct nn_rans_grid {
    size_t height, width;
};

/* Fills bucket and reciprocal, which have room, from valid tables. */
void nn_rans_prepare(struct nn_prior *prior);

/* Bytes of working memory for one call, aligned as malloc aligns. */
size_t nn_rans_scratch_bytes(struct nn_rans_grid grid, size_t channels);

/* Quantises and codes the grid's positions times prior->channels finite
 * floats, channels innermost (docs/WIRE.md), into at most `capacity` bytes.
 * API_TOO_LARGE if they do not suffice; `out` then holds garbage. Thread-safe
 * for distinct scratch. */
enum api_status nn_rans_encode(const struct nn_prior *prior,
                               const float *values, struct nn_rans_grid grid,
                               void *scratch, uint8_t *out, size_t capacity,
                               size_t *out_bytes);

/* The reverse, of untrusted bytes: reads exactly `count` bytes or refuses with
 * API_UNPROCESSABLE, leaving garbage in `values`. Time is bounded by the
 * number of values, whatever the bytes. Thread-safe for distinct scratch. */
enum api_status nn_rans_decode(const struct nn_prior *prior,
                               const uint8_t *bytes, size_t count,
                               struct nn_rans_grid grid, void *scratch,
                               float *values);

/* A symbol, clamped to at most 7, and its row in a matrix of weights. */
struct nn_rans_weighed {
    uint32_t row;
    int32_t symbol;
};

/* sums[c] += weights[row * columns + c] * symbol for all of `list`: what
 * choosing contexts spends its time on. */
typedef void nn_rans_weigh_fn(int32_t *sums, const int8_t *weights,
                              size_t columns,
                              const struct nn_rans_weighed *list, size_t count);

/* The one for this CPU; and that for AVX2 (nn/rans_avx2.c). */
nn_rans_weigh_fn *nn_rans_weigh(void);
void nn_rans_weigh_avx2(int32_t *sums, const int8_t *weights, size_t columns,
                        const struct nn_rans_weighed *list, size_t count);

#endif
