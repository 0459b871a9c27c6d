/* Payloads of both codecs: golden values, round trips, hostile bytes. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "api/limits.h"
#include "nn/latent.h"
#include "tests/nn/dice.h"
#include "tests/nn/golden.h"
#include "tests/run_suite.h"

#define TINY CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors"

static struct nn_bundle *bundle;
static void *scratch;
static float *latent, *got;
static uint8_t *payload;
static size_t count, bound, packed;

static const struct nn_bundle_point *point_called(const char *id)
{
    for (uint16_t i = 0; i < bundle->point_count; i++)
        if (strcmp(bundle->points[i].info.id, id) == 0)
            return &bundle->points[i];
    ck_abort_msg("no point %s", id);
    return NULL;
}

/* Buffers are as long as the contract says, so that sanitizers check it. */
static const struct nn_bundle_point *prepare(const char *id)
{
    if (!bundle)
        ck_assert_int_eq(nn_bundle_open(TINY, &bundle, NULL), API_OK);
    const struct nn_bundle_point *point = point_called(id);
    count = nn_latent_count(point);
    bound = nn_latent_payload_bound(point);
    scratch = malloc(nn_latent_scratch_bytes(point) + 1);
    latent = calloc(count + 1, sizeof *latent);
    got = calloc(count + 1, sizeof *got);
    payload = malloc(bound + 1);
    return point;
}

static void release(void)
{
    free(scratch);
    free(latent);
    free(got);
    free(payload);
    nn_bundle_close(&bundle);
}

static const char *const ids[] = {"w50-low", "w50-high", "w100-low",
                                  "w100-high", "w100-u8"};

START_TEST(pytorch_restores_the_same)
{
    const struct nn_bundle_point *point = prepare(ids[_i]);
    struct golden *golden = golden_open("tiny_golden.safetensors");
    char name[64];
    snprintf(name, sizeof name, "latent/%s", ids[_i]);
    ck_assert_msg(golden_has(golden, name), "no golden %s", name);
    memcpy(latent, golden_data(golden, name, count * 4), count * 4);
    ck_assert_int_eq(
        nn_latent_pack(point, latent, scratch, payload, bound, &packed),
        API_OK);
    ck_assert_int_eq(
        nn_latent_unpack(point, payload, packed, scratch, got, NULL), API_OK);
    snprintf(name, sizeof name, "restored/%s", ids[_i]);
    const float *want = golden_data(golden, name, count * 4);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(got[i] == want[i], "%s, value %zu: %.9g, not %.9g", name,
                      i, (double)got[i], (double)want[i]);
    golden_close(golden);
    release();
}
END_TEST

START_TEST(affine_round_trips_within_half_a_step)
{
    const struct nn_bundle_point *point = prepare("w100-u8");
    uint64_t seed = 21;
    for (int round = 0; round < 200; round++) {
        float spread = powf(10.0f, (float)dice_below(&seed, 70) - 35.0f);
        float lo = FLT_MAX, hi = -FLT_MAX;
        for (size_t i = 0; i < count; i++) {
            latent[i] =
                ((float)dice_below(&seed, 20001) / 1e4f - 1.0f) * spread;
            lo = fminf(lo, latent[i]);
            hi = fmaxf(hi, latent[i]);
        }
        ck_assert_int_eq(
            nn_latent_pack(point, latent, scratch, payload, bound, &packed),
            API_OK);
        ck_assert_int_eq(
            nn_latent_unpack(point, payload, packed, scratch, got, NULL),
            API_OK);
        float step = (hi - lo) / 255.0f;
        float worst = 0;
        for (size_t i = 0; i < count; i++)
            worst = fmaxf(worst, fabsf(got[i] - latent[i]));
        ck_assert_float_le(worst, 0.502f * step);
        size_t untouched = 5;
        ck_assert_int_eq(nn_latent_pack(point, latent, scratch, payload,
                                        packed - 1, &untouched),
                         API_TOO_LARGE);
        ck_assert_uint_eq(untouched, 5);
    }
    release();
}
END_TEST

START_TEST(equal_and_tiny_values_round_trip)
{
    static const float all[] = {0.0f, -3.25f, 1e30f, 1e-45f, FLT_MAX / 2};
    for (size_t p = 0; p < sizeof ids / sizeof *ids; p++) {
        const struct nn_bundle_point *point = prepare(ids[p]);
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            for (size_t i = 0; i < count; i++)
                latent[i] = all[k];
            ck_assert_int_eq(
                nn_latent_pack(point, latent, scratch, payload, bound, &packed),
                API_OK);
            ck_assert_int_eq(
                nn_latent_unpack(point, payload, packed, scratch, got, NULL),
                API_OK);
            if (point->info.codec == API_CODEC_U8ZSTD)
                ck_assert_mem_eq(got, latent, count * sizeof *got);
        }
        /* Nearer to each other than binary32 can divide by 255. */
        latent[0] = 0.0f;
        for (size_t i = 1; i < count; i++)
            latent[i] = 1e-45f;
        ck_assert_int_eq(
            nn_latent_pack(point, latent, scratch, payload, bound, &packed),
            API_OK);
        release();
    }
}
END_TEST

START_TEST(values_that_are_not_finite_are_refused)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t p = 0; p < sizeof ids / sizeof *ids; p++) {
        const struct nn_bundle_point *point = prepare(ids[p]);
        for (size_t k = 0; k < 3; k++) {
            for (size_t at = 0; at < count; at += count - 1) {
                memset(latent, 0, count * sizeof *latent);
                latent[at] = bad[k];
                packed = 99;
                ck_assert_int_eq(nn_latent_pack(point, latent, scratch, payload,
                                                bound, &packed),
                                 API_UNPROCESSABLE);
                ck_assert_uint_eq(packed, 99);
            }
        }
        release();
    }
    /* Finite each, but their spread is not. */
    const struct nn_bundle_point *point = prepare("w100-u8");
    latent[0] = FLT_MAX;
    latent[1] = -FLT_MAX;
    ck_assert_int_eq(
        nn_latent_pack(point, latent, scratch, payload, bound, &packed),
        API_UNPROCESSABLE);
    release();
}
END_TEST

START_TEST(points_without_a_latent_are_refused)
{
    const struct nn_bundle_point *point = prepare("offload");
    struct api_error error = {0};
    ck_assert_uint_eq(nn_latent_count(point), 0);
    ck_assert_uint_eq(nn_latent_scratch_bytes(point), 0);
    ck_assert_uint_eq(nn_latent_payload_bound(point), 0);
    ck_assert_int_eq(
        nn_latent_pack(point, latent, scratch, payload, bound, &packed),
        API_UNAVAILABLE);
    ck_assert_int_eq(nn_latent_unpack(point, payload, 0, scratch, got, &error),
                     API_UNAVAILABLE);
    ck_assert_int_eq(error.status, API_UNAVAILABLE);
    struct nn_bundle_point bare = *point_called("w50-low");
    bare.prior = NULL;
    ck_assert_int_eq(nn_latent_unpack(&bare, payload, 0, scratch, got, &error),
                     API_UNAVAILABLE);
    release();
}
END_TEST

static void fill(uint64_t *seed)
{
    for (size_t i = 0; i < count; i++)
        latent[i] = (float)dice_below(seed, 400) / 50.0f - 4.0f;
}

START_TEST(damaged_payloads_do_no_harm)
{
    const struct nn_bundle_point *point = prepare(ids[_i]);
    uint64_t seed = 31;
    fill(&seed);
    ck_assert_int_eq(
        nn_latent_pack(point, latent, scratch, payload, bound, &packed),
        API_OK);
    uint8_t *bytes = malloc(packed);
    for (size_t cut = 0; cut < packed; cut++) {
        uint8_t *part = malloc(cut ? cut : 1);
        memcpy(part, payload, cut);
        struct api_error error = {0};
        ck_assert_int_eq(
            nn_latent_unpack(point, part, cut, scratch, got, &error),
            API_UNPROCESSABLE);
        ck_assert_uint_gt(strlen(error.text), 0);
        free(part);
    }
    for (size_t at = 0; at < packed; at++) {
        for (int round = 0; round < 8; round++) {
            memcpy(bytes, payload, packed);
            bytes[at] ^= (uint8_t)(1 << round);
            enum api_status status =
                nn_latent_unpack(point, bytes, packed, scratch, got, NULL);
            ck_assert(status == API_OK || status == API_UNPROCESSABLE);
            bool finite = true;
            for (size_t i = 0; status == API_OK && i < count; i++)
                finite &= isfinite(got[i]) != 0;
            ck_assert(finite);
        }
    }
    free(bytes);
    release();
}
END_TEST

static enum api_status unpack_frames(const struct nn_bundle_point *point,
                                     uint32_t lo, uint32_t step,
                                     const void *frames, size_t frames_bytes)
{
    uint8_t *bytes = malloc(8 + frames_bytes);
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(lo >> 8 * i);
        bytes[4 + i] = (uint8_t)(step >> 8 * i);
    }
    memcpy(bytes + 8, frames, frames_bytes);
    enum api_status status =
        nn_latent_unpack(point, bytes, 8 + frames_bytes, scratch, got, NULL);
    free(bytes);
    return status;
}

START_TEST(only_one_zstd_frame_of_the_right_size)
{
    enum { ONE = 0x3F800000, NOT_A_NUMBER = 0x7FC00000 };
    const struct nn_bundle_point *point = prepare("w100-u8");
    uint8_t plain[2048] = {0}, frames[4096];
    size_t exact = ZSTD_compress(frames, 4096, plain, count, 3);
    ck_assert_int_eq(unpack_frames(point, 0, ONE, frames, exact), API_OK);
    ck_assert_int_eq(unpack_frames(point, NOT_A_NUMBER, ONE, frames, exact),
                     API_UNPROCESSABLE);
    ck_assert_int_eq(unpack_frames(point, 0, NOT_A_NUMBER, frames, exact),
                     API_UNPROCESSABLE);
    ck_assert_int_eq(unpack_frames(point, 0, 0, frames, exact),
                     API_UNPROCESSABLE);
    ck_assert_int_eq(unpack_frames(point, 0, 0x80000000u | ONE, frames, exact),
                     API_UNPROCESSABLE);
    ck_assert_int_eq(unpack_frames(point, 0, 0x7F7FFFFF, frames, exact),
                     API_UNPROCESSABLE);
    frames[exact] = 0;
    ck_assert_int_eq(unpack_frames(point, 0, ONE, frames, exact + 1),
                     API_UNPROCESSABLE);
    /* Two frames that together have the right size. */
    size_t half = ZSTD_compress(frames, 4096, plain, count / 2, 3);
    size_t rest =
        ZSTD_compress(frames + half, 4096 - half, plain, count - count / 2, 3);
    ck_assert_int_eq(unpack_frames(point, 0, ONE, frames, half + rest),
                     API_UNPROCESSABLE);
    ck_assert_int_eq(unpack_frames(point, 0, ONE, frames, half),
                     API_UNPROCESSABLE);
    size_t more = ZSTD_compress(frames, 4096, plain, count + 1, 3);
    ck_assert_int_eq(unpack_frames(point, 0, ONE, frames, more),
                     API_UNPROCESSABLE);
    /* A skippable frame holds nothing. */
    static const uint8_t skip[] = {0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0};
    ck_assert_int_eq(unpack_frames(point, 0, ONE, skip, sizeof skip),
                     API_UNPROCESSABLE);
    release();
}
END_TEST

START_TEST(no_payload_outgrows_a_frame)
{
    /* The largest latent, all of it outliers: too much for one frame. */
    prepare("w100-low");
    struct nn_bundle_point large = *point_called("w100-low");
    large.info.latent_height = 512;
    large.info.latent_width = 256;
    size_t values = nn_latent_count(&large);
    ck_assert_uint_eq(values, API_LIMIT_LATENT_VALUES);
    size_t room = nn_latent_payload_bound(&large);
    ck_assert_uint_eq(room, API_LIMIT_FRAME_BYTES);
    float *wild = malloc(values * sizeof *wild);
    uint8_t *out = malloc(room * 16);
    void *large_scratch = malloc(nn_latent_scratch_bytes(&large));
    for (size_t i = 0; i < values; i++)
        wild[i] = i % 2 ? 1e30f : -1e30f;
    ck_assert_int_eq(
        nn_latent_pack(&large, wild, large_scratch, out, room * 16, &packed),
        API_TOO_LARGE);
    free(large_scratch);
    free(out);
    free(wild);
    release();
}
END_TEST

Suite *make_suite(void)
{
    enum { IDS = sizeof ids / sizeof *ids };
    TCase *cases = tcase_create("latent");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, pytorch_restores_the_same, 0, IDS);
    tcase_add_test(cases, affine_round_trips_within_half_a_step);
    tcase_add_test(cases, equal_and_tiny_values_round_trip);
    tcase_add_test(cases, values_that_are_not_finite_are_refused);
    tcase_add_test(cases, points_without_a_latent_are_refused);
    tcase_add_loop_test(cases, damaged_payloads_do_no_harm, 0, IDS);
    tcase_add_test(cases, only_one_zstd_frame_of_the_right_size);
    tcase_add_test(cases, no_payload_outgrows_a_frame);
    Suite *suite = suite_create("latent");
    suite_add_tcase(suite, cases);
    return suite;
}
