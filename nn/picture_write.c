/* JPEG output: pixels to a picture to send. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "nn/nn.h"

struct nn_input nn_picture_small(const struct nn_input *input)
{
    struct nn_input small = *input;
    small.width = small.height = small.resize_shorter;
    return small;
}

/* Where libjpeg's errors go. */
struct job {
    struct jpeg_error_mgr errors; /* first: libjpeg hands out its address */
    struct jpeg_compress_struct jpeg;
    jmp_buf escape;
    unsigned char *bytes; /* malloc'ed by libjpeg */
    unsigned long count;
};

static void on_error(j_common_ptr common)
{
    longjmp(((struct job *)common->err)->escape, 1);
}

/* Leaves early by longjmp wherever libjpeg meets an error. */
static bool write_guarded(struct job *job, const uint8_t *pixels,
                          uint16_t width, uint16_t height, int quality)
{
    struct jpeg_compress_struct *jpeg = &job->jpeg;
    if (setjmp(job->escape) != 0)
        return false;
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, &job->bytes, &job->count);
    jpeg->image_width = width;
    jpeg->image_height = height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->optimize_coding = TRUE;
    /* Small pictures have no colour to spare: not the usual 4:2:0. */
    jpeg->comp_info[0].h_samp_factor = 1;
    jpeg->comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        /* libjpeg's type is older than const; it only reads. */
        JSAMPROW row = (JSAMPROW)(size_t)(pixels + (size_t)jpeg->next_scanline *
                                                       width * 3);
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    return true;
}

enum api_status nn_picture_to_jpeg(const uint8_t *pixels, uint16_t width,
                                   uint16_t height, int quality, uint8_t **jpeg,
                                   size_t *jpeg_bytes, struct api_error *error)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    job->jpeg.err = jpeg_std_error(&job->errors);
    job->errors.error_exit = on_error;
    bool written = write_guarded(job, pixels, width, height, quality);
    jpeg_destroy_compress(&job->jpeg);
    if (written) {
        *jpeg = job->bytes;
        *jpeg_bytes = job->count;
    } else {
        free(job->bytes);
    }
    free(job);
    return written ? API_OK
                   : api_fail(error, API_NO_MEMORY,
                              "the picture cannot be encoded");
}
