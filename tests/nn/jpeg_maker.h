/* JPEGs of every kind, made by libjpeg for the tests of the picture input. */
#ifndef CLEAVE_TESTS_NN_JPEG_MAKER_H
#define CLEAVE_TESTS_NN_JPEG_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jpeg_colour { JPEG_GREY, JPEG_YCC, JPEG_RGB, JPEG_CMYK, JPEG_YCCK };

/* What to make. Zero-initialised members mean: plain, quality 90. */
struct jpeg_order {
    uint32_t width, height;
    enum jpeg_colour colour;
    const uint8_t *pixels; /* 1, 3 or 4 bytes each; NULL: a busy pattern */
    int quality;
    bool progressive;
    bool many_scans;     /* grey only: 127 of them */
    bool subsampled;     /* 4:2:0, else 4:4:4, or as the next two say */
    int across, down;    /* pixels of one colour sample, if not 0 */
    const uint8_t *app1; /* contents of an APP1 segment, or NULL */
    size_t app1_bytes;
};

/* malloc'ed, exactly as long as the file. */
uint8_t *jpeg_make(const struct jpeg_order *order, size_t *bytes);

/* Writes an EXIF segment with one orientation entry; `out` has room for
 * JPEG_EXIF_BYTES. */
enum { JPEG_EXIF_BYTES = 32 };
void jpeg_exif(int orientation, bool big_endian, uint8_t *out);

/* Where the frame header's contents begin (precision, height, width). */
size_t jpeg_frame_header(const uint8_t *jpeg, size_t bytes);

#endif
