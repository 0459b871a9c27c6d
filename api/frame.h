/* The bottleneck frame: one encoded latent on the wire (docs/WIRE.md). */
#ifndef CLEAVE_API_FRAME_H
#define CLEAVE_API_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

#define API_FRAME_HEADER_BYTES 28u
#define API_FRAME_VERSION 1u
#define API_FRAME_MEDIA_TYPE "application/vnd.cleave.frame"

/* Everything in the header but magic, version and checksum. */
struct api_frame {
    uint64_t fingerprint;    /* of the model whose head made the latent */
    uint16_t point;          /* index in the model's list of points */
    uint8_t codec;           /* enum api_codec */
    uint16_t channels, height, width;
    const uint8_t *payload;  /* borrowed */
    uint32_t payload_bytes;
};

/* Writes header, payload and checksum. `frame->payload` may already lie at
 * out + API_FRAME_HEADER_BYTES (encoded in place). *out_bytes becomes
 * API_FRAME_HEADER_BYTES + payload_bytes. API_TOO_LARGE if that exceeds
 * `capacity` or API_LIMIT_FRAME_BYTES. Thread-safe. */
enum api_status api_frame_write(const struct api_frame *frame, uint8_t *out,
                                size_t capacity, size_t *out_bytes);

/* Checks magic, version, codec, shape bounds, length and checksum of `bytes`
 * and fills *frame, whose payload borrows from `bytes`. API_UNPROCESSABLE
 * with a reason for anything else than one whole, intact frame. It does not
 * know any model: fingerprint, point and shape are the caller's to compare.
 * Thread-safe. */
enum api_status api_frame_read(const uint8_t *bytes, size_t count,
                               struct api_frame *frame,
                               struct api_error *error);

/* The same without the checksum, for a guess at little cost. */
enum api_status api_frame_peek(const uint8_t *bytes, size_t count,
                               struct api_frame *frame,
                               struct api_error *error);

/* CRC-32C (Castagnoli; RFC 3720 appendix B.4) of `count` bytes, continuing
 * from `crc` (0 to begin). */
uint32_t api_crc32c(uint32_t crc, const void *bytes, size_t count);

#endif
