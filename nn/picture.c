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
    struct nn_resize_axis x, y; /* of the upright picture */
    bool flip_x, flip_y, swap;  /* decoded to upright: flips, then swap */
    uint32_t left, right;       /* decoded columns that count, half-open */
    uint32_t top, bottom;       /* decoded lines that count, half-open */
    uint32_t row_left;          /* the column that `row` begins with */
    uint8_t *region;            /* upright pixels that count */
    uint8_t *narrow;            /* region, resized across */
    uint8_t *row;               /* one decoded line; behind region as narrow */
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
    jpeg->out_color_space = JCS_RGB;
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

    const struct nn_resize_axis *along = job->swap ? &job->y : &job->x;
    const struct nn_resize_axis *across = job->swap ? &job->x : &job->y;
    width = job->jpeg.output_width;
    height = job->jpeg.output_height;
    job->left = job->flip_x ? width - along->to : along->from;
    job->right = job->flip_x ? width - along->from : along->to;
    job->top = job->flip_y ? height - across->to : across->from;
    job->bottom = job->flip_y ? height - across->from : across->to;
    return API_OK;
}

/* In one piece: after several large ones are freed malloc gives memory back to
 * the system, and the next picture's pages would have to be made anew. */
static enum api_status get_memory(struct job *job)
{
    size_t columns = job->x.to - job->x.from, rows = job->y.to - job->y.from;
    size_t region_bytes = rows * columns * 3 + NN_RESIZE_SLACK;
    size_t narrow_bytes = rows * job->input->width * 3;
    job->region =
        malloc(region_bytes + narrow_bytes + job->jpeg.output_width * 3);
    if (!job->region)
        return api_fail(job->error, API_NO_MEMORY, "out of memory");
    job->narrow = job->region + region_bytes;
    job->row = job->narrow + narrow_bytes;
    return API_OK;
}

/* Copies what counts of decoded line `y` to its upright place in region. */
static void keep_line(struct job *job, uint32_t y)
{
    if (y < job->top)
        return;
    const uint8_t *pixels = job->row + (size_t)(job->left - job->row_left) * 3;
    size_t count = job->right - job->left, columns = job->x.to - job->x.from;
    size_t place = job->flip_y ? job->bottom - 1 - y : y - job->top;
    if (!job->flip_x && !job->swap) {
        memcpy(job->region + place * columns * 3, pixels, count * 3);
        return;
    }
    for (size_t i = 0; i < count; i++, pixels += 3) {
        size_t beside = job->flip_x ? count - 1 - i : i;
        size_t at =
            job->swap ? beside * columns + place : place * columns + beside;
        memcpy(job->region + at * 3, pixels, 3);
    }
}

/* Pixels beside those that count, for colours are interpolated from their
 * neighbours: at the sides of a part they are others than in the whole. */
enum { MARGIN = 4 };

/* Whether a part is decoded as in the whole. Progressive files may ask for
 * smoothing, which reaches farther than MARGIN; and with factors above 2,
 * jpeg_crop_scanline of libjpeg-turbo 2.1 cuts colours short that are both
 * scaled and interpolated. */
static bool can_part(const struct jpeg_decompress_struct *jpeg)
{
    return !jpeg->progressive_mode && jpeg->max_h_samp_factor <= 2 &&
           jpeg->max_v_samp_factor <= 2;
}

/* Spares libjpeg the columns that do not count. */
static void crop_lines(struct job *job)
{
    const uint32_t step = 32; /* odd ends of its vectors take long */
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    uint32_t from = job->left > MARGIN ? job->left - MARGIN : 0;
    uint32_t to = (job->right + MARGIN + step - 1) / step * step;
    from = from / step * step;
    if (to > jpeg->output_width)
        to = jpeg->output_width;
    uint32_t count = to - from;
    jpeg_crop_scanline(jpeg, &from, &count);
    job->row_left = from;
}

static void read_lines(struct job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    bool part = can_part(jpeg);
    if (part)
        crop_lines(job);
    if (part && job->top > MARGIN)
        jpeg_skip_scanlines(jpeg, job->top - MARGIN);
    while (jpeg->output_scanline < job->bottom) {
        uint32_t y = jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, &job->row, 1);
        keep_line(job, y);
    }
    /* To skip the last line too would be not to look for damage. */
    if (part && jpeg->output_height - job->bottom > 1)
        jpeg_skip_scanlines(jpeg, jpeg->output_height - job->bottom - 1);
    while (jpeg->output_scanline < jpeg->output_height)
        jpeg_read_scanlines(jpeg, &job->row, 1);
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
    if (status == API_OK)
        status = get_memory(job);
    if (status != API_OK)
        return status;
    jpeg_start_decompress(jpeg);
    read_lines(job);
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
    free(job->region);
    free(job);
    return status;
}
