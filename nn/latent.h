/* Latent floats to payload bytes and back, by either codec of docs/WIRE.md. */
#ifndef CLEAVE_NN_LATENT_H
#define CLEAVE_NN_LATENT_H

#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/bundle.h"

/* Floats in the latent of `point`: height * width * channels, 0 for a point
 * that is no split. */
size_t nn_latent_count(const struct nn_bundle_point *point);

/* Bytes of working memory that pack and unpack need for `point`; 0 for a point
 * that is no split. A context that serves several points takes the largest. */
size_t nn_latent_scratch_bytes(const struct nn_bundle_point *point);

/* The most payload bytes that packing a latent of `point` can give, or
 * API_LIMIT_FRAME_BYTES if that is less: packing then refuses. */
size_t nn_latent_payload_bound(const struct nn_bundle_point *point);

/* Encodes `latent` (NHWC, nn_latent_count floats) with the point's codec into
 * `payload`, which has room for `capacity` bytes. `scratch`: at least
 * nn_latent_scratch_bytes, aligned as malloc aligns; contents irrelevant.
 * Allocates nothing. API_UNPROCESSABLE: a value is not finite (rANS), or their
 * spread is not (u8zstd); API_TOO_LARGE: needs more than `capacity` or than
 * API_LIMIT_FRAME_BYTES; API_UNAVAILABLE: a point that is no split, or its
 * prior is missing. On failure `payload` holds garbage. Thread-safe for
 * distinct scratch. */
enum api_status nn_latent_pack(const struct nn_bundle_point *point,
                               const float *latent, void *scratch,
                               uint8_t *payload, size_t capacity,
                               size_t *payload_bytes);

/* Decodes untrusted bytes into `latent` (nn_latent_count floats).
 * API_UNPROCESSABLE unless they are exactly one packed latent of this point;
 * then `latent` holds garbage. Same scratch, same API_UNAVAILABLE as above;
 * allocates nothing, bit-exact on every CPU. Thread-safe for distinct
 * scratch. */
enum api_status nn_latent_unpack(const struct nn_bundle_point *point,
                                 const uint8_t *payload, size_t payload_bytes,
                                 void *scratch, float *latent,
                                 struct api_error *error);

#endif
