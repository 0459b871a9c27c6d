/* Tests of api/frame.c: layout, round trips, and every kind of damage. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "api/limits.h"
#include "api/point.h"
#include "tests/run_suite.h"

/* A repeatable stream of bytes (xorshift). */
static uint32_t random_state = 2463534242u;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static struct api_frame random_frame(uint8_t *payload, uint32_t payload_bytes)
{
    for (uint32_t i = 0; i < payload_bytes; i++)
        payload[i] = (uint8_t)next_random();
    return (struct api_frame){
        .fingerprint = (uint64_t)next_random() << 32 | next_random(),
        .point = (uint16_t)next_random(),
        .codec = (uint8_t)(1 + next_random() % 2),
        .channels = (uint16_t)(1 + next_random() % 64),
        .height = (uint16_t)(1 + next_random() % 64),
        .width = (uint16_t)(1 + next_random() % 64),
        .payload = payload,
        .payload_bytes = payload_bytes,
    };
}

START_TEST(crc32c_matches_published_vectors)
{
    /* RFC 3720, appendix B.4. */
    uint8_t bytes[32] = {0};
    ck_assert_uint_eq(api_crc32c(0, bytes, 32), 0x8A9136AA);
    memset(bytes, 0xFF, 32);
    ck_assert_uint_eq(api_crc32c(0, bytes, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(api_crc32c(0, bytes, 32), 0x46DD794E);
    ck_assert_uint_eq(api_crc32c(0, "123456789", 9), 0xE3069283);
    ck_assert_uint_eq(api_crc32c(0, NULL, 0), 0);
    ck_assert_uint_eq(api_crc32c(api_crc32c(0, "1234", 4), "56789", 5),
                      0xE3069283);
}
END_TEST

START_TEST(layout_is_the_documented_one)
{
    const uint8_t payload[3] = {0xAA, 0xBB, 0xCC};
    const struct api_frame frame = {.fingerprint = 0x0123456789ABCDEFu,
                                    .point = 0x0203,
                                    .codec = API_CODEC_U8ZSTD,
                                    .channels = 48,
                                    .height = 14,
                                    .width = 0x010E,
                                    .payload = payload,
                                    .payload_bytes = 3};
    static const uint8_t want[24] = {
        0xC5, 0x4C, 1,    2,    0x03, 0x02, 48,   0, 14, 0, 0x0E, 0x01,
        0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 1, 3,  0, 0,    0};
    uint8_t out[40];
    memset(out, 0x5A, sizeof out);
    size_t bytes = 0;
    ck_assert_int_eq(api_frame_write(&frame, out, sizeof out, &bytes), API_OK);
    ck_assert_uint_eq(bytes, 31);
    ck_assert_mem_eq(out, want, sizeof want);
    ck_assert_mem_eq(out + 28, payload, 3);
    ck_assert_uint_eq(out[31], 0x5A);
    uint32_t crc = api_crc32c(api_crc32c(0, out, 24), payload, 3);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(out[24 + i], crc >> (8 * i) & 0xFF);
}
END_TEST

START_TEST(random_frames_round_trip)
{
    uint8_t payload[2000], out[2028];
    for (int round = 0; round < 500; round++) {
        struct api_frame frame =
            random_frame(payload, next_random() % sizeof payload);
        size_t bytes = 0;
        struct api_frame read;
        if (round % 2) {
            /* Encoded in place. */
            memcpy(out + API_FRAME_HEADER_BYTES, payload, frame.payload_bytes);
            frame.payload = out + API_FRAME_HEADER_BYTES;
        }
        ck_assert_int_eq(api_frame_write(&frame, out, sizeof out, &bytes),
                         API_OK);
        ck_assert_uint_eq(bytes, 28 + frame.payload_bytes);
        ck_assert_int_eq(api_frame_read(out, bytes, &read, NULL), API_OK);
        ck_assert(read.fingerprint == frame.fingerprint);
        ck_assert_uint_eq(read.point, frame.point);
        ck_assert_uint_eq(read.codec, frame.codec);
        ck_assert_uint_eq(read.channels, frame.channels);
        ck_assert_uint_eq(read.height, frame.height);
        ck_assert_uint_eq(read.width, frame.width);
        ck_assert_uint_eq(read.payload_bytes, frame.payload_bytes);
        ck_assert_ptr_eq(read.payload, out + 28);
        ck_assert_int_eq(memcmp(read.payload, payload, read.payload_bytes), 0);
    }
}
END_TEST

START_TEST(every_flipped_bit_is_detected)
{
    uint8_t payload[200], out[228];
    struct api_frame frame = random_frame(payload, sizeof payload);
    size_t bytes = 0;
    ck_assert_int_eq(api_frame_write(&frame, out, sizeof out, &bytes), API_OK);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct api_frame read = {.point = 777};
        struct api_error error = {API_OK, ""};
        ck_assert_int_eq(api_frame_read(out, bytes, &read, &error),
                         API_UNPROCESSABLE);
        ck_assert_int_eq(error.status, API_UNPROCESSABLE);
        ck_assert_uint_gt(strlen(error.text), 0);
        ck_assert_uint_eq(read.point, 777);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    struct api_frame read;
    ck_assert_int_eq(api_frame_read(out, bytes, &read, NULL), API_OK);
}
END_TEST

START_TEST(truncated_and_trailing_bytes_are_refused)
{
    uint8_t payload[60], out[28 + 60 + 8] = {0};
    struct api_frame frame = random_frame(payload, sizeof payload), read;
    size_t bytes = 0;
    ck_assert_int_eq(api_frame_write(&frame, out, sizeof out, &bytes), API_OK);
    for (size_t count = 0; count < bytes; count++) {
        /* An exact allocation, so that a sanitizer sees any read past it. */
        uint8_t *cut = malloc(count ? count : 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, out, count);
        ck_assert_int_eq(api_frame_read(cut, count, &read, NULL),
                         API_UNPROCESSABLE);
        free(cut);
    }
    for (size_t count = bytes + 1; count <= sizeof out; count++)
        ck_assert_int_eq(api_frame_read(out, count, &read, NULL),
                         API_UNPROCESSABLE);
}
END_TEST

/* Rewrites the checksum, so that what else is wrong has to be noticed. */
static void seal(uint8_t *bytes, size_t count)
{
    uint32_t crc = api_crc32c(api_crc32c(0, bytes, 24), bytes + 28, count - 28);
    for (int i = 0; i < 4; i++)
        bytes[24 + i] = (uint8_t)(crc >> (8 * i));
}

START_TEST(sealed_nonsense_is_refused)
{
    static const struct {
        size_t offset;
        uint8_t bytes[6];
        size_t count;
        const char *word;
    } cases[] = {
        {0, {0x4C, 0xC5}, 2, "magic"},
        {2, {2}, 1, "version"},
        {3, {0}, 1, "codec"},
        {3, {3}, 1, "codec"},
        {6, {0, 0}, 2, "shape"},
        {8, {0, 0}, 2, "shape"},
        {10, {0, 0}, 2, "shape"},
        {6, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 6, "shape"},
        {6, {0, 4, 0, 4, 2, 0}, 6, "shape"}, /* one over: 2 * 2^20 values */
        {20, {9, 0, 0, 0}, 4, "payload"},
        {20, {0xFF, 0xFF, 0xFF, 0xFF}, 4, "payload"},
    };
    uint8_t payload[10], out[38];
    struct api_frame frame = random_frame(payload, sizeof payload), read;
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(api_frame_write(&frame, out, sizeof out, &bytes),
                         API_OK);
        memcpy(out + cases[i].offset, cases[i].bytes, cases[i].count);
        seal(out, bytes);
        struct api_error error;
        ck_assert_int_eq(api_frame_read(out, bytes, &read, &error),
                         API_UNPROCESSABLE);
        ck_assert_ptr_nonnull(strstr(error.text, cases[i].word));
    }
}
END_TEST

START_TEST(sizes_are_capped)
{
    size_t most = API_LIMIT_FRAME_BYTES;
    uint8_t *payload = calloc(1, most), *out = calloc(1, most + 1);
    ck_assert(payload && out);
    struct api_frame frame = random_frame(payload, 0), read;
    frame.payload_bytes = (uint32_t)(most - 28);
    size_t bytes = 1;
    ck_assert_int_eq(api_frame_write(&frame, out, most - 1, &bytes),
                     API_TOO_LARGE);
    ck_assert_uint_eq(bytes, 1);
    ck_assert_int_eq(api_frame_write(&frame, out, most, &bytes), API_OK);
    ck_assert_uint_eq(bytes, most);
    ck_assert_int_eq(api_frame_read(out, bytes, &read, NULL), API_OK);
    frame.payload_bytes++;
    ck_assert_int_eq(api_frame_write(&frame, out, most + 1, &bytes),
                     API_TOO_LARGE);
    frame.payload_bytes = UINT32_MAX;
    ck_assert_int_eq(api_frame_write(&frame, out, SIZE_MAX, &bytes),
                     API_TOO_LARGE);
    ck_assert_int_eq(api_frame_read(out, most + 1, &read, NULL),
                     API_UNPROCESSABLE);
    free(payload);
    free(out);
}
END_TEST

START_TEST(random_bytes_never_pass)
{
    uint8_t bytes[64];
    struct api_frame read;
    for (int round = 0; round < 20000; round++) {
        size_t count = next_random() % (sizeof bytes + 1);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)next_random();
        if (round % 2 && count >= 4) /* get past the first checks */
            memcpy(bytes, (const uint8_t[]){0xC5, 0x4C, 1, 1}, 4);
        ck_assert_int_eq(api_frame_read(bytes, count, &read, NULL),
                         API_UNPROCESSABLE);
    }
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("frame");
    tcase_add_test(cases, crc32c_matches_published_vectors);
    tcase_add_test(cases, layout_is_the_documented_one);
    tcase_add_test(cases, random_frames_round_trip);
    tcase_add_test(cases, every_flipped_bit_is_detected);
    tcase_add_test(cases, truncated_and_trailing_bytes_are_refused);
    tcase_add_test(cases, sealed_nonsense_is_refused);
    tcase_add_test(cases, sizes_are_capped);
    tcase_add_test(cases, random_bytes_never_pass);
    Suite *suite = suite_create("frame");
    suite_add_tcase(suite, cases);
    return suite;
}
