/* Pictures of which only what counts is decoded: as if all had been. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "nn/nn.h"
#include "tests/nn/dice.h"
#include "tests/nn/jpeg_maker.h"
#include "tests/run_suite.h"

/* All pixels of a JPEG, malloc'ed. */
static uint8_t *decode_whole(const uint8_t *bytes, size_t count)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, bytes, (unsigned long)count);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    uint8_t *pixels =
        malloc((size_t)jpeg.output_width * jpeg.output_height * 3);
    uint8_t *row = pixels;
    for (; jpeg.output_scanline < jpeg.output_height;
         row += (size_t)jpeg.output_width * 3)
        jpeg_read_scanlines(&jpeg, &row, 1);
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return pixels;
}

/* The shorter side stays as it is, so that a crop is pixels of the picture. */
static void check_part(uint64_t *seed, struct jpeg_order *order)
{
    uint32_t width = order->width = 1 + dice_below(seed, 400);
    uint32_t height = order->height = 1 + dice_below(seed, 400);
    uint32_t shorter = width < height ? width : height;
    const struct nn_input input = {
        .width = (uint16_t)(1 + dice_below(seed, shorter)),
        .height = (uint16_t)(1 + dice_below(seed, shorter)),
        .resize_shorter = (uint16_t)shorter};
    size_t count, row_bytes = (size_t)input.width * 3;
    uint8_t *jpeg = jpeg_make(order, &count);
    uint8_t *whole = decode_whole(jpeg, count);
    uint8_t *part = malloc(row_bytes * input.height);
    ck_assert_int_eq(nn_picture_from_jpeg(&input, jpeg, count, part, NULL),
                     API_OK);
    size_t left = (width - input.width) / 2, top = (height - input.height) / 2;
    for (size_t y = 0; y < input.height; y++)
        ck_assert_msg(
            memcmp(part + y * row_bytes, whole + ((top + y) * width + left) * 3,
                   row_bytes) == 0,
            "%u x %u of %u x %u, colours %d x %d, line %zu", input.width,
            input.height, width, height, order->across, order->down, y);
    free(part);
    free(whole);
    free(jpeg);
}

/* Pixels of a colour sample, across and down. */
static const int samples[][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2},
                                 {4, 1}, {1, 4}, {4, 2}, {2, 4}};

START_TEST(a_part_is_as_in_the_whole)
{
    uint64_t seed = 6;
    for (int round = 0; round < 400; round++) {
        struct jpeg_order order = {.across = samples[round % 8][0],
                                   .down = samples[round % 8][1],
                                   .progressive = dice_below(&seed, 4) == 0};
        order.colour = dice_below(&seed, 6) ? JPEG_YCC : JPEG_GREY;
        check_part(&seed, &order);
    }
}
END_TEST

/* At a reduced scale, where progressive files are the ones decoded whole. */
START_TEST(a_scaled_part_is_as_in_the_whole)
{
    enum { SIDE = 24 };
    static const struct nn_input input = {
        .width = SIDE, .height = SIDE, .resize_shorter = 30, .bicubic = true};
    uint64_t seed = 7;
    for (int round = 0; round < 160; round++) {
        struct jpeg_order order = {.width = 60 + dice_below(&seed, 500),
                                   .height = 60 + dice_below(&seed, 500),
                                   .colour = JPEG_YCC,
                                   .across = samples[round % 8][0],
                                   .down = samples[round % 8][1]};
        uint8_t pixels[2][SIDE * SIDE * 3];
        for (int i = 0; i < 2; i++) {
            size_t count;
            order.progressive = i;
            uint8_t *jpeg = jpeg_make(&order, &count);
            ck_assert_int_eq(
                nn_picture_from_jpeg(&input, jpeg, count, pixels[i], NULL),
                API_OK);
            free(jpeg);
        }
        ck_assert_msg(memcmp(pixels[0], pixels[1], sizeof *pixels) == 0,
                      "%u x %u, colours %d x %d", order.width, order.height,
                      order.across, order.down);
    }
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("part");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_part_is_as_in_the_whole);
    tcase_add_test(tests, a_scaled_part_is_as_in_the_whole);
    Suite *suite = suite_create("picture_part");
    suite_add_tcase(suite, tests);
    return suite;
}
