/* The entropy coder: integer rANS over per-channel tables (docs/WIRE.md). */
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

/* Quantises and codes `positions` times prior->channels finite floats,
 * channels innermost, into at most `capacity` bytes. API_TOO_LARGE if they do
 * not suffice; `out` then holds garbage. Thread-safe. */
enum api_status nn_rans_encode(const struct nn_prior *prior,
                               const float *values, size_t positions,
                               uint8_t *out, size_t capacity,
                               size_t *out_bytes);

/* The reverse, of untrusted bytes: reads exactly `count` bytes or refuses with
 * API_UNPROCESSABLE, leaving garbage in `values`. Time is bounded by the
 * number of values, whatever the bytes. Thread-safe. */
enum api_status nn_rans_decode(const struct nn_prior *prior,
                               const uint8_t *bytes, size_t count,
                               size_t positions, float *values);

#endif
