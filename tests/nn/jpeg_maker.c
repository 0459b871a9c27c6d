/* Encodes test pictures with libjpeg, which ends the test on an error. */
#include "tests/nn/jpeg_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static int components(enum jpeg_colour colour)
{
    return colour == JPEG_GREY ? 1 : colour <= JPEG_RGB ? 3 : 4;
}

static J_COLOR_SPACE given_space(enum jpeg_colour colour)
{
    return colour == JPEG_GREY  ? JCS_GRAYSCALE
           : colour <= JPEG_RGB ? JCS_RGB
                                : JCS_CMYK;
}

/* Each coefficient in a scan of its own, in two steps of precision. */
static void script_many_scans(struct jpeg_compress_struct *jpeg)
{
    static jpeg_scan_info scans[127];
    for (int i = 0; i < 127; i++) {
        int coefficient = i <= 63 ? i : i - 63;
        scans[i] = (jpeg_scan_info){.comps_in_scan = 1,
                                    .Ss = coefficient,
                                    .Se = coefficient,
                                    .Ah = i <= 63 ? 0 : 1,
                                    .Al = i > 0 && i <= 63 ? 1 : 0};
    }
    jpeg->scan_info = scans;
    jpeg->num_scans = 127;
}

static void write_lines(struct jpeg_compress_struct *jpeg,
                        const uint8_t *pixels)
{
    size_t row_bytes =
        (size_t)jpeg->image_width * (size_t)jpeg->input_components;
    uint8_t *row = malloc(row_bytes);
    while (jpeg->next_scanline < jpeg->image_height) {
        uint32_t y = jpeg->next_scanline;
        for (size_t i = 0; i < row_bytes; i++)
            row[i] = pixels ? pixels[y * row_bytes + i]
                            : (uint8_t)(i * 5 + y * 3 + (i * y >> 6));
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    free(row);
}

uint8_t *jpeg_make(const struct jpeg_order *order, size_t *bytes)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long out_bytes = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &out, &out_bytes);
    jpeg.image_width = order->width;
    jpeg.image_height = order->height;
    jpeg.input_components = components(order->colour);
    jpeg.in_color_space = given_space(order->colour);
    jpeg_set_defaults(&jpeg);
    if (order->colour == JPEG_RGB)
        jpeg_set_colorspace(&jpeg, JCS_RGB);
    if (order->colour == JPEG_YCCK)
        jpeg_set_colorspace(&jpeg, JCS_YCCK);
    jpeg_set_quality(&jpeg, order->quality ? order->quality : 90, TRUE);
    for (int i = 0; !order->subsampled && i < jpeg.num_components; i++)
        jpeg.comp_info[i].h_samp_factor = jpeg.comp_info[i].v_samp_factor = 1;
    if (order->across) {
        jpeg.comp_info[0].h_samp_factor = order->across;
        jpeg.comp_info[0].v_samp_factor = order->down;
    }
    if (order->progressive)
        jpeg_simple_progression(&jpeg);
    if (order->many_scans)
        script_many_scans(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    if (order->app1)
        jpeg_write_marker(&jpeg, JPEG_APP0 + 1, order->app1,
                          (unsigned)order->app1_bytes);
    write_lines(&jpeg, order->pixels);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    uint8_t *exact = malloc(out_bytes);
    memcpy(exact, out, out_bytes);
    free(out);
    *bytes = out_bytes;
    return exact;
}

void jpeg_exif(int orientation, bool big_endian, uint8_t *out)
{
    static const uint8_t little[JPEG_EXIF_BYTES] = {
        'E',  'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, /* header */
        1,    0,                                                /* entries */
        0x12, 1,   3,   0,   1, 0, 0,   0,   0,  0, 0, 0,       /* entry */
        0,    0,   0,   0};
    static const uint8_t big[JPEG_EXIF_BYTES] = {
        'E', 'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
        1,   0x12, 0,   3,   0, 0, 0,   1,   0, 0,  0, 0, 0, 0, 0, 0};
    memcpy(out, big_endian ? big : little, JPEG_EXIF_BYTES);
    out[big_endian ? 25 : 24] = (uint8_t)orientation;
}

size_t jpeg_frame_header(const uint8_t *jpeg, size_t bytes)
{
    size_t at = 2;
    while (at + 4 < bytes && (jpeg[at + 1] < 0xC0 || jpeg[at + 1] > 0xC2))
        at += 2 + ((size_t)jpeg[at + 2] << 8 | jpeg[at + 3]);
    return at + 4;
}
