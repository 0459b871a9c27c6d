/* From untrusted JPEG bytes to the network's pixels; the only setjmp. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "api/limits.h"
#include "nn/exif.h"
#include "nn/nn.h"
#include "nn/resize.h"

/* What one decode owns. On the heap, so that longjmp cannot clobber it. */
struct job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    enum api_status status;
    struct api_error *error;

    const struct nn_input *input;
    uint8_t *row;    /* one decoded line */
    uint8_t *region; /* upright source pixels that count, in blocks */
    uint8_t *narrow; /* region, resized across */
    struct nn_resize_axis x, y; /* of the upright picture */
    bool flip_x, flip_y, swap;  /* decoded to upright: flips, then swap */
};

static struct job *job_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

_Noreturn static void give_up(struct job *job, enum api_status status)
{
    job->status = status;
    longjmp(job->escape, 1);
}

/* libjpeg's message becomes the reason, under the status that fits it. */
_Noreturn static void on_error(j_common_ptr jpeg)
{
    struct job *job = job_of(jpeg);
    enum api_status status = API_UNPROCESSABLE;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        status = API_NO_MEMORY;
        break;
    case JERR_NO_BACKING_STORE:
    case JERR_IMAGE_TOO_BIG:
        status = API_TOO_LARGE;
        break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
        status = API_UNSUPPORTED_MEDIA;
        break;
    default:
        break;
    }
    api_fail(job->error, status, "JPEG refused: %s", text);
    give_up(job, status);
}

/* libjpeg warns where it goes on with invented pixels. We do not. */
static void on_message(j_common_ptr jpeg, int level)
{
    if (level >= 0)
        return;
    struct job *job = job_of(jpeg);
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    api_fail(job->error, API_UNPROCESSABLE, "JPEG damaged: %s", text);
    give_up(job, API_UNPROCESSABLE);
}

static void on_progress(j_common_ptr jpeg)
{
    struct job *job = job_of(jpeg);
    if (job->jpeg.input_scan_number <= (int)API_LIMIT_JPEG_SCANS)
        return;
    api_fail(job->error, API_TOO_LARGE, "JPEG of more than %u scans",
             API_LIMIT_JPEG_SCANS);
    give_up(job, API_TOO_LARGE);
}

static enum api_status check_header(const struct job *job)
{
    const struct jpeg_decompress_struct *jpeg = &job->jpeg;
    if (jpeg->image_width > API_LIMIT_PICTURE_SIDE ||
        jpeg->image_height > API_LIMIT_PICTURE_SIDE)
        return api_fail(
            job->error, API_TOO_LARGE, "picture of %u x %u: a side above %u",
            jpeg->image_width, jpeg->image_height, API_LIMIT_PICTURE_SIDE);
    if ((uint64_t)jpeg->image_width * jpeg->image_height >
        API_LIMIT_PICTURE_PIXELS)
        return api_fail(job->error, API_TOO_LARGE,
                        "picture of %u x %u: more than %u pixels",
                        jpeg->image_width, jpeg->image_height,
                        API_LIMIT_PICTURE_PIXELS);
    /* Newer versions of libjpeg read more than 8 bits, by other functions. */
    if (jpeg->data_precision != 8)
        return api_fail(job->error, API_UNSUPPORTED_MEDIA,
                        "JPEG with a precision of %d bits",
                        jpeg->data_precision);
    bool grey = jpeg->jpeg_color_space == JCS_GRAYSCALE;
    bool colour = jpeg->jpeg_color_space == JCS_YCbCr ||
                  jpeg->jpeg_color_space == JCS_RGB;
    if (!(grey && jpeg->num_components == 1) &&
        !(colour && jpeg->num_components == 3))
        return api_fail(job->error, API_UNSUPPORTED_MEDIA,
                        "colour space of the JPEG is neither grey, YCbCr nor "
                        "RGB");
    return API_OK;
}

/* Decodes at 1/8, 1/4 or 1/2 where that leaves the shorter side at least
 * twice what the network needs: the resize after it hides the difference. */
static void choose_scale(struct job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    uint32_t shorter = jpeg->image_width < jpeg->image_height
                           ? jpeg->image_width
                           : jpeg->image_height;
    uint32_t divisor = 8;
    while (divisor > 1 &&
           (shorter + divisor - 1) / divisor < 2u * job->input->resize_shorter)
        divisor /= 2;
    jpeg->scale_num = 1;
    jpeg->scale_denom = divisor;
    jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
}

static void choose_orientation(struct job *job)
{
    int orientation = 1;
    for (jpeg_saved_marker_ptr marker = job->jpeg.marker_list; marker;
         marker = marker->next) {
        if (marker->data_length >= 6 &&
            memcmp(marker->data, "Exif\0", 6) == 0) {
            orientation =
                nn_exif_orientation(marker->data, marker->data_length);
            break;
        }
    }
    job->flip_x = orientation == 2 || orientation == 3 || orientation == 7 ||
                  orientation == 8;
    job->flip_y = orientation == 3 || orientation == 4 || orientation == 6 ||
                  orientation == 7;
    job->swap = orientation >= 5;
}

/* Which pixels of the upright picture the centre crop needs, and how. */
static enum api_status plan_resize(struct job *job)
{
    const struct nn_input *input = job->input;
    uint32_t width = job->jpeg.output_width, height = job->jpeg.output_height;
    if (job->swap) {
        uint32_t other = width;
        width = height;
        height = other;
    }
    /* Sides stay below 2^14 * 2^11, their doubles below 2^26: no overflow. */
    uint32_t side = input->resize_shorter;
    uint32_t wide = side, high = side;
    if (width <= height)
        high = (height * side * 2 + width) / (2 * width);
    else
        wide = (width * side * 2 + height) / (2 * height);
    enum api_status status =
        nn_resize_axis_fill(width, wide, (wide - input->width) / 2,
                            input->width, input->bicubic, &job->x);
    if (status == API_OK)
        status = nn_resize_axis_fill(height, high, (high - input->height) / 2,
                                     input->height, input->bicubic, &job->y);
    if (status != API_OK)
        return api_fail(job->error, status, "out of memory");

    size_t columns = job->x.to - job->x.from, rows = job->y.to - job->y.from;
    job->row = malloc((size_t)job->jpeg.output_width * 3);
    job->region = calloc(1, nn_resize_block_bytes(rows, columns * 3));
    job->narrow = malloc(rows * input->width * 3);
    if (!job->row || !job->region || !job->narrow)
        return api_fail(job->error, API_NO_MEMORY, "out of memory");
    return API_OK;
}

/* Where a pixel of the region lies, as nn_resize_across wants it. */
static size_t in_blocks(size_t columns, size_t row, size_t column)
{
    return (row / NN_RESIZE_LANES * columns + column) * 3 * NN_RESIZE_LANES +
           row % NN_RESIZE_LANES;
}

/* Copies what counts of decoded line `y` to its upright place in region. */
static void keep_line(struct job *job, uint32_t y)
{
    uint32_t width = job->jpeg.output_width, height = job->jpeg.output_height;
    const struct nn_resize_axis *along = job->swap ? &job->y : &job->x;
    const struct nn_resize_axis *across = job->swap ? &job->x : &job->y;
    uint32_t line = job->flip_y ? height - 1 - y : y;
    if (line < across->from || line >= across->to)
        return;
    size_t columns = job->x.to - job->x.from;
    size_t grey = job->jpeg.output_components == 1;
    for (uint32_t i = along->from; i < along->to; i++) {
        uint32_t x = job->flip_x ? width - 1 - i : i;
        size_t beside = i - along->from, below = line - across->from;
        const uint8_t *pixel = job->row + (size_t)x * (grey ? 1 : 3);
        uint8_t *out =
            job->region + (job->swap ? in_blocks(columns, beside, below)
                                     : in_blocks(columns, below, beside));
        out[0] = pixel[0];
        out[NN_RESIZE_LANES] = pixel[grey ? 0 : 1];
        out[2 * NN_RESIZE_LANES] = pixel[grey ? 0 : 2];
    }
}

/* Leaves early by longjmp wherever libjpeg meets an error or warning. */
static enum api_status read_pixels(struct job *job, const uint8_t *bytes,
                                   size_t count)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->mem->max_memory_to_use = API_LIMIT_JPEG_MEMORY_BYTES;
    jpeg->progress = &job->progress;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_mem_src(jpeg, bytes, (unsigned long)count);
    jpeg_read_header(jpeg, TRUE);
    enum api_status status = check_header(job);
    if (status != API_OK)
        return status;
    choose_scale(job);
    choose_orientation(job);
    jpeg_calc_output_dimensions(jpeg);
    status = plan_resize(job);
    if (status != API_OK)
        return status;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint32_t y = jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, &job->row, 1);
        keep_line(job, y);
    }
    jpeg_finish_decompress(jpeg);
    return API_OK;
}

static enum api_status read_guarded(struct job *job, const uint8_t *bytes,
                                    size_t count)
{
    if (setjmp(job->escape) != 0)
        return job->status;
    return read_pixels(job, bytes, count);
}

enum api_status nn_picture_from_jpeg(const struct nn_input *input,
                                     const uint8_t *jpeg, size_t jpeg_bytes,
                                     uint8_t *pixels, struct api_error *error)
{
    static const uint8_t magic[3] = {0xFF, 0xD8, 0xFF};
    if (jpeg_bytes < sizeof magic || memcmp(jpeg, magic, sizeof magic) != 0)
        return api_fail(error, API_UNPROCESSABLE, "not a JPEG");
    if (jpeg_bytes > API_LIMIT_JPEG_BYTES)
        return api_fail(error, API_TOO_LARGE, "JPEG of more than %u bytes",
                        API_LIMIT_JPEG_BYTES);
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    job->error = error;
    job->input = input;
    job->jpeg.err = jpeg_std_error(&job->errors);
    job->jpeg.client_data = job;
    job->errors.error_exit = on_error;
    job->errors.emit_message = on_message;
    job->progress.progress_monitor = on_progress;

    enum api_status status = read_guarded(job, jpeg, jpeg_bytes);
    if (status == API_OK) {
        size_t rows = job->y.to - job->y.from;
        nn_resize_across(&job->x, job->region, rows, job->narrow);
        nn_resize_down(&job->y, job->narrow, (size_t)input->width * 3, pixels);
    }
    jpeg_destroy_decompress(&job->jpeg);
    nn_resize_axis_clear(&job->x);
    nn_resize_axis_clear(&job->y);
    free(job->narrow);
    free(job->region);
    free(job->row);
    free(job);
    return status;
}
