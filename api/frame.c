/* Reads and writes the bottleneck frame of docs/WIRE.md. */
#include "api/frame.h"

#include <string.h>

#include "api/limits.h"
#include "api/point.h"

enum {
    MAGIC_0 = 0xC5,
    MAGIC_1 = 0x4C,
    CHECKSUM_OFFSET = 24 /* the checksum covers what precedes and follows it */
};

/* CRC-32C, reflected polynomial 82F63B78, of the 16 four-bit values. Two
 * lookups a byte are some 10 us for a usual frame of 1-2 kB, and the table
 * stays small enough to be checked by eye. */
static const uint32_t crc_nibble[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
    0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
    0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

uint32_t api_crc32c(uint32_t crc, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
    }
    return ~crc;
}

static void put(uint8_t *at, uint64_t value, int count)
{
    for (int i = 0; i < count; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint32_t checksum(const uint8_t *frame, size_t payload_bytes)
{
    return api_crc32c(api_crc32c(0, frame, CHECKSUM_OFFSET),
                      frame + API_FRAME_HEADER_BYTES, payload_bytes);
}

enum api_status api_frame_write(const struct api_frame *frame, uint8_t *out,
                                size_t capacity, size_t *out_bytes)
{
    size_t payload_bytes = frame->payload_bytes;
    if (payload_bytes > API_LIMIT_FRAME_BYTES - API_FRAME_HEADER_BYTES ||
        capacity < API_FRAME_HEADER_BYTES + payload_bytes)
        return API_TOO_LARGE;
    uint8_t *payload = out + API_FRAME_HEADER_BYTES;
    if (payload_bytes > 0 && frame->payload != payload)
        memmove(payload, frame->payload, payload_bytes);
    out[0] = MAGIC_0;
    out[1] = MAGIC_1;
    out[2] = API_FRAME_VERSION;
    out[3] = frame->codec;
    put(out + 4, frame->point, 2);
    put(out + 6, frame->channels, 2);
    put(out + 8, frame->height, 2);
    put(out + 10, frame->width, 2);
    put(out + 12, frame->fingerprint, 8);
    put(out + 20, payload_bytes, 4);
    put(out + CHECKSUM_OFFSET, checksum(out, payload_bytes), 4);
    *out_bytes = API_FRAME_HEADER_BYTES + payload_bytes;
    return API_OK;
}

enum api_status api_frame_peek(const uint8_t *bytes, size_t count,
                               struct api_frame *frame, struct api_error *error)
{
    const enum api_status bad = API_UNPROCESSABLE;
    if (count < API_FRAME_HEADER_BYTES)
        return api_fail(error, bad, "a frame has at least %u bytes, not %zu",
                        API_FRAME_HEADER_BYTES, count);
    if (count > API_LIMIT_FRAME_BYTES)
        return api_fail(error, bad, "a frame has at most %u bytes, not %zu",
                        API_LIMIT_FRAME_BYTES, count);
    if (bytes[0] != MAGIC_0 || bytes[1] != MAGIC_1)
        return api_fail(error, bad, "not a frame: wrong magic");
    if (bytes[2] != API_FRAME_VERSION)
        return api_fail(error, bad, "frame version %u is not supported",
                        (unsigned)bytes[2]);
    if (bytes[3] != API_CODEC_RANS && bytes[3] != API_CODEC_U8ZSTD)
        return api_fail(error, bad, "frame codec %u is not known",
                        (unsigned)bytes[3]);

    struct api_frame read = {
        .codec = bytes[3],
        .point = (uint16_t)get(bytes + 4, 2),
        .channels = (uint16_t)get(bytes + 6, 2),
        .height = (uint16_t)get(bytes + 8, 2),
        .width = (uint16_t)get(bytes + 10, 2),
        .fingerprint = get(bytes + 12, 8),
        .payload = bytes + API_FRAME_HEADER_BYTES,
        .payload_bytes = (uint32_t)get(bytes + 20, 4),
    };
    /* Three 16-bit factors fit 48 bits. */
    uint64_t values = (uint64_t)read.channels * read.height * read.width;
    if (values == 0 || values > API_LIMIT_LATENT_VALUES)
        return api_fail(error, bad, "latent shape %ux%ux%u is out of bounds",
                        (unsigned)read.height, (unsigned)read.width,
                        (unsigned)read.channels);
    if (read.payload_bytes != count - API_FRAME_HEADER_BYTES)
        return api_fail(
            error, bad, "frame announces %u payload bytes but has %zu",
            (unsigned)read.payload_bytes, count - API_FRAME_HEADER_BYTES);
    *frame = read;
    return API_OK;
}

enum api_status api_frame_read(const uint8_t *bytes, size_t count,
                               struct api_frame *frame, struct api_error *error)
{
    struct api_frame read;
    enum api_status status = api_frame_peek(bytes, count, &read, error);
    if (status != API_OK)
        return status;
    if (get(bytes + CHECKSUM_OFFSET, 4) != checksum(bytes, read.payload_bytes))
        return api_fail(error, API_UNPROCESSABLE,
                        "frame checksum does not match");
    *frame = read;
    return API_OK;
}
