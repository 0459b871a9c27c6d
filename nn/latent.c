/* Latents as payloads: picks the codec, and is the uint8 affine + zstd one. */
#include "nn/latent.h"

#include <math.h>
#include <string.h>

/* Contexts in caller's memory instead of zstd's own malloc. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include "api/limits.h"
#include "nn/rans.h"

enum {
    ZSTD_LEVEL = 9,
    AFFINE_BYTES = 8, /* lo and step before the zstd frame */
    SCRATCH_ALIGNMENT = 64
};

size_t nn_latent_count(const struct nn_bundle_point *point)
{
    /* 0 for other points, whose shape is 0; the parser bounds the product. */
    return (size_t)point->info.latent_height * point->info.latent_width *
           point->info.latent_channels;
}

/* The affine codec's scratch is the quantised bytes, then zstd's context. */
static size_t symbols_bytes(size_t count)
{
    return (count + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT *
           SCRATCH_ALIGNMENT;
}

static size_t compressor_bytes(size_t count)
{
    return ZSTD_estimateCCtxSize_usingCParams(
        ZSTD_getCParams(ZSTD_LEVEL, count, 0));
}

/* Positions of a latent: the parser made prior and latent agree. */
static struct nn_rans_grid grid_of(const struct nn_bundle_point *point)
{
    return (struct nn_rans_grid){point->info.latent_height,
                                 point->info.latent_width};
}

size_t nn_latent_scratch_bytes(const struct nn_bundle_point *point)
{
    size_t count = nn_latent_count(point);
    if (point->info.codec == API_CODEC_RANS)
        return nn_rans_scratch_bytes(grid_of(point),
                                     point->info.latent_channels);
    if (point->info.codec != API_CODEC_U8ZSTD)
        return 0;
    size_t packing = compressor_bytes(count);
    size_t unpacking = ZSTD_estimateDCtxSize();
    return symbols_bytes(count) + (packing > unpacking ? packing : unpacking);
}

size_t nn_latent_payload_bound(const struct nn_bundle_point *point)
{
    size_t count = nn_latent_count(point), bound = 0;
    if (point->info.codec == API_CODEC_RANS)
        bound = NN_RANS_BOUND(count);
    else if (point->info.codec == API_CODEC_U8ZSTD)
        bound = AFFINE_BYTES + ZSTD_compressBound(count);
    return bound < API_LIMIT_FRAME_BYTES ? bound : API_LIMIT_FRAME_BYTES;
}

static void store_float(uint8_t *bytes, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(bits >> 8 * i);
}

static float load_float(const uint8_t *bytes)
{
    uint32_t bits = 0;
    for (int i = 3; i >= 0; i--)
        bits = bits << 8 | bytes[i];
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* What the affine codec can restore: a NaN fails every comparison. */
static bool affine_ok(float lo, float step)
{
    return isfinite(lo) && isfinite(step) && step > 0 &&
           isfinite(lo + 255.0f * step);
}

static enum api_status pack_affine(const float *latent, size_t count,
                                   void *scratch, uint8_t *payload,
                                   size_t capacity, size_t *payload_bytes)
{
    float lo = latent[0], hi = latent[0];
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(latent[i]))
            return API_UNPROCESSABLE;
        lo = latent[i] < lo ? latent[i] : lo;
        hi = latent[i] > hi ? latent[i] : hi;
    }
    float step = (hi - lo) / 255.0f;
    if (step == 0)
        step = 1; /* all equal, or nearer than binary32 can divide */
    if (!affine_ok(lo, step))
        return API_UNPROCESSABLE;
    if (capacity < AFFINE_BYTES)
        return API_TOO_LARGE;

    uint8_t *symbols = scratch;
    for (size_t i = 0; i < count; i++) {
        float symbol = rintf((latent[i] - lo) / step);
        symbols[i] = (uint8_t)(symbol > 255 ? 255 : symbol);
    }
    store_float(payload, lo);
    store_float(payload + 4, step);
    ZSTD_CCtx *context = ZSTD_initStaticCCtx(symbols + symbols_bytes(count),
                                             compressor_bytes(count));
    if (!context)
        return API_INTERNAL;
    size_t packed =
        ZSTD_compressCCtx(context, payload + AFFINE_BYTES,
                          capacity - AFFINE_BYTES, symbols, count, ZSTD_LEVEL);
    if (ZSTD_isError(packed))
        return ZSTD_getErrorCode(packed) == ZSTD_error_dstSize_tooSmall
                   ? API_TOO_LARGE
                   : API_INTERNAL;
    *payload_bytes = AFFINE_BYTES + packed;
    return API_OK;
}

static enum api_status unpack_affine(const uint8_t *payload,
                                     size_t payload_bytes, void *scratch,
                                     float *latent, size_t count,
                                     struct api_error *error)
{
    if (payload_bytes < AFFINE_BYTES)
        return api_fail(error, API_UNPROCESSABLE, "payload cut off");
    float lo = load_float(payload), step = load_float(payload + 4);
    if (!affine_ok(lo, step))
        return api_fail(error, API_UNPROCESSABLE,
                        "payload with an impossible range of values");

    const uint8_t *packed = payload + AFFINE_BYTES;
    size_t packed_bytes = payload_bytes - AFFINE_BYTES;
    /* zstd would decode several frames in a row; ours is one. */
    if (ZSTD_findFrameCompressedSize(packed, packed_bytes) != packed_bytes)
        return api_fail(error, API_UNPROCESSABLE,
                        "payload is not one zstd frame");
    uint8_t *symbols = scratch;
    ZSTD_DCtx *context = ZSTD_initStaticDCtx(symbols + symbols_bytes(count),
                                             ZSTD_estimateDCtxSize());
    if (!context)
        return api_fail(error, API_INTERNAL, "zstd took no memory");
    size_t got =
        ZSTD_decompressDCtx(context, symbols, count, packed, packed_bytes);
    if (ZSTD_isError(got))
        return api_fail(error, API_UNPROCESSABLE, "payload damaged: %s",
                        ZSTD_getErrorName(got));
    if (got != count)
        return api_fail(error, API_UNPROCESSABLE,
                        "payload of another number of values");
    for (size_t i = 0; i < count; i++)
        latent[i] = lo + (float)symbols[i] * step;
    return API_OK;
}

static bool can_code(const struct nn_bundle_point *point)
{
    return point->info.codec == API_CODEC_U8ZSTD ||
           (point->info.codec == API_CODEC_RANS && point->prior);
}

enum api_status nn_latent_pack(const struct nn_bundle_point *point,
                               const float *latent, void *scratch,
                               uint8_t *payload, size_t capacity,
                               size_t *payload_bytes)
{
    size_t count = nn_latent_count(point);
    if (!can_code(point))
        return API_UNAVAILABLE;
    if (capacity > API_LIMIT_FRAME_BYTES)
        capacity = API_LIMIT_FRAME_BYTES;
    if (point->info.codec == API_CODEC_U8ZSTD)
        return pack_affine(latent, count, scratch, payload, capacity,
                           payload_bytes);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(latent[i]))
            return API_UNPROCESSABLE;
    return nn_rans_encode(point->prior, latent, grid_of(point), scratch,
                          payload, capacity, payload_bytes);
}

enum api_status nn_latent_unpack(const struct nn_bundle_point *point,
                                 const uint8_t *payload, size_t payload_bytes,
                                 void *scratch, float *latent,
                                 struct api_error *error)
{
    if (!can_code(point))
        return api_fail(error, API_UNAVAILABLE,
                        "this bundle cannot decode point %s", point->info.id);
    if (point->info.codec == API_CODEC_U8ZSTD)
        return unpack_affine(payload, payload_bytes, scratch, latent,
                             nn_latent_count(point), error);
    if (nn_rans_decode(point->prior, payload, payload_bytes, grid_of(point),
                       scratch, latent) != API_OK)
        return api_fail(error, API_UNPROCESSABLE,
                        "payload is not one coded latent of point %s",
                        point->info.id);
    return API_OK;
}
