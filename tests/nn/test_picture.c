/* Pictures: equal to Pillow's in every byte; whatever is odd or hostile. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "nn/exif.h"
#include "nn/nn.h"
#include "tests/nn/dice.h"
#include "tests/nn/jpeg_maker.h"
#include "tests/nn/sha256.h"
#include "tests/run_suite.h"

#define PICTURES CLEAVE_SOURCE_DIR "/tests/data/pictures/"

enum { SIDE = 32, PIXELS_BYTES = SIDE * SIDE * 3 };

static const struct nn_input small = {
    .width = SIDE, .height = SIDE, .resize_shorter = 36, .bicubic = true};

static enum api_status decode(const uint8_t *jpeg, size_t count,
                              uint8_t *pixels, struct api_error *error)
{
    return nn_picture_from_jpeg(&small, jpeg, count, pixels, error);
}

static void decode_order(const struct jpeg_order *order, uint8_t *pixels)
{
    size_t count;
    uint8_t *jpeg = jpeg_make(order, &count);
    struct api_error error = {0};
    ck_assert_msg(decode(jpeg, count, pixels, &error) == API_OK, "%s",
                  error.text);
    free(jpeg);
}

static uint8_t *read_picture(const char *name, size_t *count)
{
    char path[sizeof PICTURES + 64];
    snprintf(path, sizeof path, "%s%s", PICTURES, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    uint8_t *bytes = malloc(1 << 20);
    *count = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

START_TEST(sha256_is_sha256)
{
    char hex[65];
    sha256_hex("abc", 3, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223"
                          "b00361a396177a9cb410ff61f20015ad");
}
END_TEST

/* The golden names say the filter and the shorter side. */
static void check_golden(const char *name, const char *variant,
                         const char *want)
{
    struct nn_input input = {.width = 224, .height = 224};
    input.bicubic = strncmp(variant, "bicubic", 7) == 0;
    input.resize_shorter =
        (uint16_t)strtoul(variant + strcspn(variant, "0123456789"), NULL, 10);
    size_t count;
    uint8_t *jpeg = read_picture(name, &count);
    uint8_t *pixels = malloc(224 * 224 * 3);
    struct api_error error = {0};
    ck_assert_msg(nn_picture_from_jpeg(&input, jpeg, count, pixels, &error) ==
                      API_OK,
                  "%s: %s", name, error.text);
    char got[65];
    sha256_hex(pixels, 224 * 224 * 3, got);
    ck_assert_msg(strcmp(got, want) == 0, "%s, %s: not Pillow's bytes", name,
                  variant);
    free(pixels);
    free(jpeg);
}

START_TEST(pictures_equal_pillows)
{
    json_t *root = json_load_file(PICTURES "pictures.json", 0, NULL);
    const char *name, *variant;
    json_t *variants, *want;
    int checked = 0;
    json_object_foreach(json_object_get(root, "pictures"), name, variants)
    {
        json_object_foreach(variants, variant, want)
        {
            check_golden(name, variant, json_string_value(want));
            checked++;
        }
    }
    ck_assert_int_ge(checked, 20);
    json_decref(root);
}
END_TEST

/* Four flat quarters of 32 x 24 pixels: JPEG keeps flat blocks exactly, so
 * turned copies can be compared byte for byte. */
enum { WIDE = 64, HIGH = 48 };

static void quarter(int x, int y, uint8_t *pixel)
{
    static const uint8_t colours[4][3] = {
        {200, 30, 30}, {30, 200, 30}, {30, 30, 200}, {128, 128, 128}};
    memcpy(pixel, colours[(x >= WIDE / 2) + 2 * (y >= HIGH / 2)], 3);
}

/* How a camera that says `orientation` stores the upright quarters. */
static struct jpeg_order stored(int orientation, uint8_t *pixels)
{
    int turned = orientation >= 5;
    int width = turned ? HIGH : WIDE, height = turned ? WIDE : HIGH;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            static const char moves[8][2][3] = {
                {"x", "y"}, {"-x", "y"}, {"-x", "-y"}, {"x", "-y"},
                {"y", "x"}, {"-y", "x"}, {"-y", "-x"}, {"y", "-x"}};
            int at[2];
            for (int i = 0; i < 2; i++) {
                const char *move = moves[orientation - 1][i];
                int minus = move[0] == '-', along_y = move[minus] == 'y';
                int last = (along_y ? height : width) - 1;
                int value = along_y ? y : x;
                at[i] = minus ? last - value : value;
            }
            quarter(at[0], at[1], pixels + (y * width + x) * 3);
        }
    }
    return (struct jpeg_order){.width = (uint32_t)width,
                               .height = (uint32_t)height,
                               .colour = JPEG_YCC,
                               .pixels = pixels};
}

START_TEST(every_orientation_is_turned_upright)
{
    uint8_t pixels[WIDE * HIGH * 3], exif[JPEG_EXIF_BYTES];
    uint8_t want[PIXELS_BYTES], got[PIXELS_BYTES];
    struct jpeg_order order = stored(1, pixels);
    decode_order(&order, want);
    ck_assert_mem_ne(want, want + PIXELS_BYTES / 2, PIXELS_BYTES / 2);
    for (int orientation = 1; orientation <= 8; orientation++) {
        for (int big_endian = 0; big_endian < 2; big_endian++) {
            order = stored(orientation, pixels);
            jpeg_exif(orientation, big_endian, exif);
            order.app1 = exif;
            order.app1_bytes = sizeof exif;
            decode_order(&order, got);
            ck_assert_msg(memcmp(got, want, sizeof got) == 0, "orientation %d",
                          orientation);
        }
    }
}
END_TEST

START_TEST(damaged_exif_means_upright)
{
    uint8_t exif[JPEG_EXIF_BYTES];
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        jpeg_exif(6, big_endian, exif);
        ck_assert_int_eq(nn_exif_orientation(exif, sizeof exif), 6);
        /* Cut anywhere before the end of the entry (the last 4 bytes say that
         * no directory follows). */
        for (size_t cut = 0; cut < sizeof exif; cut++) {
            uint8_t *part = malloc(cut ? cut : 1);
            memcpy(part, exif, cut);
            ck_assert_int_eq(nn_exif_orientation(part, cut),
                             cut < sizeof exif - 4 ? 1 : 6);
            free(part);
        }
        static const int values[] = {0, 9, 255};
        for (int i = 0; i < 3; i++) {
            jpeg_exif(values[i], big_endian, exif);
            ck_assert_int_eq(nn_exif_orientation(exif, sizeof exif), 1);
        }
    }
    /* Little-endian: directory offset, entries, tag, type, count. */
    static const size_t places[] = {10, 14, 16, 18, 20, 0, 6, 8};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        jpeg_exif(6, false, exif);
        exif[places[i]] = places[i] == 14 ? 0 : 0xFF;
        ck_assert_int_eq(nn_exif_orientation(exif, sizeof exif), 1);
    }
    jpeg_exif(6, false, exif);
    memset(exif + 10, 0xFF, 4);
    ck_assert_int_eq(nn_exif_orientation(exif, sizeof exif), 1);

    uint64_t seed = 2;
    for (int round = 0; round < 20000; round++) {
        jpeg_exif(8, round & 1, exif);
        for (int i = 0; i < 3; i++)
            exif[6 + dice_below(&seed, 26)] = (uint8_t)dice(&seed);
        int found = nn_exif_orientation(exif, sizeof exif);
        ck_assert(found >= 1 && found <= 8);
    }
}
END_TEST

START_TEST(progressive_equals_sequential)
{
    uint8_t one[PIXELS_BYTES], other[PIXELS_BYTES];
    struct jpeg_order order = {
        .width = 157, .height = 211, .colour = JPEG_YCC, .subsampled = true};
    decode_order(&order, one);
    order.progressive = true;
    decode_order(&order, other);
    ck_assert_mem_eq(one, other, sizeof one);
}
END_TEST

START_TEST(grey_becomes_three_equal_channels)
{
    uint8_t pixels[PIXELS_BYTES];
    struct jpeg_order order = {.width = 90, .height = 60, .colour = JPEG_GREY};
    decode_order(&order, pixels);
    for (int i = 0; i < PIXELS_BYTES; i += 3)
        ck_assert(pixels[i] == pixels[i + 1] && pixels[i] == pixels[i + 2]);
}
END_TEST

START_TEST(rgb_without_a_transform_is_taken)
{
    uint8_t flat[64 * 48 * 3], pixels[PIXELS_BYTES];
    for (size_t i = 0; i < sizeof flat; i++)
        flat[i] = (uint8_t[]){240, 16, 128}[i % 3];
    struct jpeg_order order = {
        .width = 64, .height = 48, .colour = JPEG_RGB, .pixels = flat};
    decode_order(&order, pixels);
    ck_assert_mem_eq(pixels, flat, sizeof pixels);
}
END_TEST

START_TEST(extreme_shapes_are_taken)
{
    static const uint32_t shapes[][2] = {
        {1, 1}, {1, 3000}, {3000, 1}, {16384, 2}, {2, 16384}, {8, 8}, {7, 5}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        uint32_t width = shapes[i][0], height = shapes[i][1];
        uint8_t *flat = malloc((size_t)width * height);
        memset(flat, 77, (size_t)width * height);
        struct jpeg_order order = {.width = width,
                                   .height = height,
                                   .colour = JPEG_GREY,
                                   .pixels = flat};
        uint8_t pixels[PIXELS_BYTES];
        memset(pixels, 0, sizeof pixels);
        decode_order(&order, pixels);
        for (int k = 0; k < PIXELS_BYTES; k++)
            ck_assert_uint_eq(pixels[k], 77);
        free(flat);
    }
}
END_TEST

static void check_refused(const uint8_t *jpeg, size_t count,
                          enum api_status want, const char *reason)
{
    struct api_error error = {0};
    uint8_t pixels[PIXELS_BYTES];
    enum api_status status = decode(jpeg, count, pixels, &error);
    ck_assert_msg(status == want, "%s (%s), not %s", api_status_name(status),
                  error.text, api_status_name(want));
    ck_assert_int_eq(error.status, want);
    ck_assert_msg(strstr(error.text, reason) != NULL, "%s", error.text);
    /* The detail is optional. */
    ck_assert_int_eq(decode(jpeg, count, pixels, NULL), want);
}

/* A picture of the network's own size is encoded and read back nearly as it
 * was, the closer the higher the quality. */
START_TEST(what_is_written_reads_back)
{
    enum { LENGTH = 256, BYTES = LENGTH * LENGTH * 3 };
    static const int qualities[] = {30, 75, 95};
    static uint8_t before[BYTES], after[BYTES];
    const struct nn_input square = {.width = LENGTH,
                                    .height = LENGTH,
                                    .resize_shorter = LENGTH,
                                    .bicubic = true};
    size_t count, last_bytes = 0;
    double last_error = 255;
    uint8_t *jpeg = read_picture("coffee.jpg", &count);
    ck_assert_int_eq(nn_picture_from_jpeg(&square, jpeg, count, before, NULL),
                     API_OK);
    free(jpeg);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(nn_picture_to_jpeg(before, LENGTH, LENGTH,
                                            qualities[i], &jpeg, &count, NULL),
                         API_OK);
        ck_assert_int_eq(
            nn_picture_from_jpeg(&square, jpeg, count, after, NULL), API_OK);
        free(jpeg);
        double sum = 0;
        for (size_t k = 0; k < BYTES; k++)
            sum += abs(before[k] - after[k]);
        ck_assert_uint_gt(count, last_bytes);
        ck_assert_double_lt(sum / BYTES, last_error);
        last_bytes = count;
        last_error = sum / BYTES;
    }
    ck_assert_double_lt(last_error, 2.5);
    ck_assert_uint_lt(last_bytes, BYTES / 3);
}
END_TEST

START_TEST(four_inks_are_refused)
{
    static const enum jpeg_colour inks[] = {JPEG_CMYK, JPEG_YCCK};
    for (int i = 0; i < 2; i++) {
        struct jpeg_order order = {
            .width = 40, .height = 40, .colour = inks[i]};
        size_t count;
        uint8_t *jpeg = jpeg_make(&order, &count);
        check_refused(jpeg, count, API_UNSUPPORTED_MEDIA, "colour space");
        free(jpeg);
    }
}
END_TEST

START_TEST(truncated_files_are_refused)
{
    for (int progressive = 0; progressive < 2; progressive++) {
        struct jpeg_order order = {.width = 150,
                                   .height = 130,
                                   .colour = JPEG_YCC,
                                   .subsampled = true,
                                   .progressive = progressive};
        size_t count;
        uint8_t *jpeg = jpeg_make(&order, &count);
        for (size_t percent = 0; percent < 100; percent += 5) {
            size_t cut = count * percent / 100;
            uint8_t *part = malloc(cut ? cut : 1);
            memcpy(part, jpeg, cut);
            check_refused(part, cut, API_UNPROCESSABLE, "JPEG");
            free(part);
        }
        /* Even if only the end marker is missing. */
        check_refused(jpeg, count - 2, API_UNPROCESSABLE, "Premature end");
        free(jpeg);
    }
}
END_TEST

START_TEST(what_follows_the_end_does_not_matter)
{
    struct jpeg_order order = {.width = 50, .height = 50, .colour = JPEG_YCC};
    uint8_t want[PIXELS_BYTES], got[PIXELS_BYTES];
    decode_order(&order, want);
    size_t count;
    uint8_t *jpeg = jpeg_make(&order, &count);
    jpeg = realloc(jpeg, count + 100);
    memset(jpeg + count, 0x5A, 100);
    ck_assert_int_eq(decode(jpeg, count + 100, got, NULL), API_OK);
    ck_assert_mem_eq(want, got, sizeof got);
    free(jpeg);
}
END_TEST

START_TEST(other_files_are_refused)
{
    static const char *const others[] = {
        "",          "\xFF", "\xFF\xD8", "GIF89a....", "\x89PNG\r\n\x1A\n",
        "{\"a\": 1}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_refused((const uint8_t *)others[i], strlen(others[i]),
                      API_UNPROCESSABLE, "not a JPEG");
    /* Begins and ends like one, and has nothing between. */
    check_refused((const uint8_t *)"\xFF\xD8\xFF\xD9", 4, API_UNPROCESSABLE,
                  "JPEG");
    check_refused((const uint8_t *)"\xFF\xD8\xFF\xFF\xFF\xFF", 6,
                  API_UNPROCESSABLE, "JPEG");
    uint8_t *large = calloc(1, (16u << 20) + 1);
    memcpy(large, "\xFF\xD8\xFF", 3);
    check_refused(large, (16u << 20) + 1, API_TOO_LARGE, "bytes");
    free(large);
}
END_TEST

/* A header may promise anything; it is believed only as far as the limits. */
START_TEST(bombs_are_refused_by_their_header)
{
    static const struct {
        uint8_t precision;
        uint32_t width, height;
        enum api_status want;
        const char *reason;
    } rows[] = {
        {8, 65500, 65500, API_TOO_LARGE, "a side above"},
        {8, 65535, 65535, API_TOO_LARGE, "Maximum supported"},
        {8, 16385, 1, API_TOO_LARGE, "a side above"},
        {8, 1, 16385, API_TOO_LARGE, "a side above"},
        {8, 16384, 16384, API_TOO_LARGE, "pixels"},
        {8, 8192, 8193, API_TOO_LARGE, "pixels"},
        {8, 0, 10, API_UNPROCESSABLE, "Empty"},
        {12, 100, 100, API_UNSUPPORTED_MEDIA, "precision"},
        {8, 8192, 8192, API_UNPROCESSABLE, "remature end"},
    };
    for (int progressive = 0; progressive < 2; progressive++) {
        struct jpeg_order order = {.width = 40,
                                   .height = 40,
                                   .colour = JPEG_GREY,
                                   .progressive = progressive};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            size_t count;
            uint8_t *jpeg = jpeg_make(&order, &count);
            uint8_t *frame = jpeg + jpeg_frame_header(jpeg, count);
            frame[0] = rows[i].precision;
            frame[1] = (uint8_t)(rows[i].height >> 8);
            frame[2] = (uint8_t)rows[i].height;
            frame[3] = (uint8_t)(rows[i].width >> 8);
            frame[4] = (uint8_t)rows[i].width;
            check_refused(jpeg, count - 2, rows[i].want, rows[i].reason);
            free(jpeg);
        }
    }
}
END_TEST

START_TEST(coefficients_beyond_memory_are_refused)
{
    /* 64 million pixels of three full planes would be 384 MiB in libjpeg. */
    struct jpeg_order order = {
        .width = 40, .height = 40, .colour = JPEG_YCC, .progressive = true};
    size_t count;
    uint8_t *jpeg = jpeg_make(&order, &count);
    uint8_t *frame = jpeg + jpeg_frame_header(jpeg, count);
    frame[1] = frame[3] = 8192 >> 8;
    frame[2] = frame[4] = 0;
    check_refused(jpeg, count, API_TOO_LARGE, "JPEG");
    free(jpeg);
}
END_TEST

START_TEST(too_many_scans_are_refused)
{
    struct jpeg_order order = {
        .width = 40, .height = 40, .colour = JPEG_GREY, .many_scans = true};
    size_t count;
    uint8_t *jpeg = jpeg_make(&order, &count);
    check_refused(jpeg, count, API_TOO_LARGE, "scans");
    free(jpeg);
}
END_TEST

START_TEST(warnings_are_refusals)
{
    struct jpeg_order order = {.width = 80, .height = 80, .colour = JPEG_YCC};
    size_t count;
    uint8_t *jpeg = jpeg_make(&order, &count);
    /* A restart marker where none belongs. */
    jpeg[count / 2] = 0xFF;
    jpeg[count / 2 + 1] = 0xD3;
    check_refused(jpeg, count, API_UNPROCESSABLE, "JPEG damaged");
    free(jpeg);
}
END_TEST

START_TEST(random_damage_does_no_harm)
{
    uint64_t seed = 17;
    for (int kind = 0; kind < 4; kind++) {
        uint8_t exif[JPEG_EXIF_BYTES];
        jpeg_exif(5 + kind, kind & 1, exif);
        struct jpeg_order order = {.width = 70,
                                   .height = 50,
                                   .colour = kind == 3 ? JPEG_GREY : JPEG_YCC,
                                   .subsampled = kind != 1,
                                   .progressive = kind >= 2,
                                   .quality = 50,
                                   .app1 = exif,
                                   .app1_bytes = sizeof exif};
        size_t count;
        uint8_t *jpeg = jpeg_make(&order, &count);
        uint8_t *bytes = malloc(count);
        for (int round = 0; round < 1500; round++) {
            memcpy(bytes, jpeg, count);
            uint32_t edits = 1 + dice_below(&seed, 3);
            for (uint32_t i = 0; i < edits; i++)
                bytes[3 + dice_below(&seed, (uint32_t)count - 3)] =
                    dice_below(&seed, 4) ? (uint8_t)dice(&seed) : 0xFF;
            uint8_t pixels[PIXELS_BYTES];
            enum api_status status = decode(bytes, count, pixels, NULL);
            ck_assert(status == API_OK || status == API_UNPROCESSABLE ||
                      status == API_TOO_LARGE ||
                      status == API_UNSUPPORTED_MEDIA);
        }
        free(bytes);
        free(jpeg);
    }
}
END_TEST

Suite *make_suite(void)
{
    TCase *good = tcase_create("good");
    tcase_set_timeout(good, 60);
    tcase_add_test(good, sha256_is_sha256);
    tcase_add_test(good, pictures_equal_pillows);
    tcase_add_test(good, every_orientation_is_turned_upright);
    tcase_add_test(good, damaged_exif_means_upright);
    tcase_add_test(good, progressive_equals_sequential);
    tcase_add_test(good, grey_becomes_three_equal_channels);
    tcase_add_test(good, rgb_without_a_transform_is_taken);
    tcase_add_test(good, extreme_shapes_are_taken);
    tcase_add_test(good, what_is_written_reads_back);
    tcase_add_test(good, what_follows_the_end_does_not_matter);
    TCase *bad = tcase_create("bad");
    tcase_set_timeout(bad, 120);
    tcase_add_test(bad, four_inks_are_refused);
    tcase_add_test(bad, truncated_files_are_refused);
    tcase_add_test(bad, other_files_are_refused);
    tcase_add_test(bad, bombs_are_refused_by_their_header);
    tcase_add_test(bad, coefficients_beyond_memory_are_refused);
    tcase_add_test(bad, too_many_scans_are_refused);
    tcase_add_test(bad, warnings_are_refusals);
    tcase_add_test(bad, random_damage_does_no_harm);
    Suite *suite = suite_create("picture");
    suite_add_tcase(suite, good);
    suite_add_tcase(suite, bad);
    return suite;
}
