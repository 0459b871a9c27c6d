/* Int8 convolution: rows of windows in place, or of a copy with its padding. */
#include <math.h>
#include <string.h>

#include "nn/int8.h"
#include "nn/plan.h"

enum {
    MR_MAX = 16,
    KERNEL_MAX = 255,
    PANEL_BYTES = 256 << 10 /* as many as stay in a core's own cache */
};

/* An input whose windows are all inside: the step's own or a padded copy. */
struct image {
    const uint8_t *pixels;
    size_t row_bytes;
};

static size_t padded_width(const struct nn_step *step)
{
    return (size_t)(step->out.width - 1) * step->stride[1] + step->kernel[1];
}

static size_t padded_height(const struct nn_step *step)
{
    return (size_t)(step->out.height - 1) * step->stride[0] + step->kernel[0];
}

/* Kernel rows are read in fours of bytes. */
static bool in_place(const struct nn_step *step)
{
    return !step->pad[0] && !step->pad[1] &&
           padded_width(step) <= step->in.width &&
           padded_height(step) <= step->in.height &&
           (size_t)step->kernel[1] * step->in.channels % 4 == 0;
}

/* As much of a depthwise step as makes whole phases. */
static size_t line_bytes(const struct nn_step *step)
{
    const size_t stride = step->stride[1];

    return (padded_width(step) + stride - 1) / stride * stride *
           step->in.channels;
}

/* A depthwise step keeps a row of zero points and a kernel of copied rows. */
size_t nn_int8_scratch_bytes(const struct nn_step *step)
{
    const size_t channels = step->in.channels;

    if (step->op == NN_OP_DWCONV)
        return (1 + (size_t)step->kernel[0]) * line_bytes(step);
    if (in_place(step))
        return 0;
    return padded_width(step) * padded_height(step) * channels + 3;
}

/* Copies the input into the zero points around it, of its padded rows those
 * given; rows and columns that no window reaches stay out. */
static struct image pad(const struct nn_step *step, struct nn_span rows,
                        const uint8_t *in, uint8_t *to)
{
    const size_t channels = step->in.channels;
    const size_t width = padded_width(step);
    const size_t before = step->pad[1] < width ? step->pad[1] : width;
    const size_t inside =
        step->in.width < width - before ? step->in.width : width - before;
    const size_t after = width - before - inside;
    const uint8_t zero = step->from_quant.zero;
    const struct image image = {to, width * channels};

    to += rows.from * image.row_bytes;
    for (size_t y = rows.from; y < rows.to; y++) {
        if (y < step->pad[0] || y - step->pad[0] >= step->in.height) {
            memset(to, zero, image.row_bytes);
        } else {
            const uint8_t *from =
                in + (y - step->pad[0]) * step->in.width * channels;

            memset(to, zero, before * channels);
            memcpy(to + before * channels, from, inside * channels);
            memset(to + (before + inside) * channels, zero, after * channels);
        }
        to += image.row_bytes;
    }
    return image;
}

/* The padded rows that the windows of some pixels reach. */
static struct nn_span rows_of(const struct nn_step *step, struct nn_span pixels)
{
    const size_t width = step->out.width, stride = step->stride[0];

    return (struct nn_span){pixels.from / width * stride,
                            (pixels.to - 1) / width * stride + step->kernel[0]};
}

/* Limits and, for a residual, the sum. */
static void set_result(const struct nn_step *step, void *out,
                       struct nn_int8_tile *tile)
{
    const struct nn_quant to = step->to_quant;

    tile->lo = step->lo;
    tile->hi = step->hi;
    if (!(to.scale > 0)) {
        tile->floats = out;
        return;
    }
    tile->bytes = out;
    tile->lo = nn_int8_limit(step->lo, to);
    tile->hi = nn_int8_limit(step->hi, to);
    if (step->residual) { /* the limits are the sum's */
        tile->sum = nn_int8_sum_of(step->made_quant, step->with_quant, step);
        tile->lo = 0.0f;
        tile->hi = 255.0f;
    }
}

/* Tiles are evened out, for a last one of one row would be slow. */
static void run_columns(const struct nn_int8_kernels *kernels,
                        const struct nn_step *step, struct nn_span span,
                        const struct image *image, const uint8_t *with,
                        struct nn_int8_tile *tile)
{
    const uint32_t pixels = (uint32_t)(span.to - span.from);
    const uint32_t tiles = (pixels + kernels->mr - 1) / kernels->mr;
    const size_t down = image->row_bytes * step->stride[0];
    const size_t right = (size_t)step->stride[1] * step->in.channels;
    const uint8_t *rows[MR_MAX];
    uint8_t *bytes = tile->bytes;
    float *floats = tile->floats;
    uint32_t y = (uint32_t)span.from / step->out.width;
    uint32_t x = (uint32_t)span.from % step->out.width;
    /* Of the tile, in values of the output. */
    size_t first = span.from * tile->out_stride;

    tile->rows = rows;
    for (uint32_t i = 0; i < tiles; i++) {
        tile->row_count = pixels / tiles + (i < pixels % tiles);
        tile->row_stride = x + tile->row_count <= step->out.width ? right : 0;
        for (uint32_t r = 0; r < tile->row_count; r++) {
            rows[r] = image->pixels + y * down + x * right;
            if (++x == step->out.width) {
                x = 0;
                y++;
            }
        }
        tile->residual = with ? with + first : NULL;
        tile->bytes = bytes ? bytes + first : NULL;
        tile->floats = floats ? floats + first : NULL;
        kernels->tile(tile);
        first += tile->row_count * tile->out_stride;
    }
    tile->bytes = bytes;
    tile->floats = floats;
}

/* Some columns for all pixels, then the next: weights are the larger part
 * where pixels are few, and so come into the cache once. */
struct nn_span nn_int8_conv_run(const struct nn_int8_kernels *kernels,
                                const struct nn_step *step, struct nn_part part,
                                const uint8_t *in, const uint8_t *with,
                                void *out, uint8_t *scratch)
{
    const struct nn_span pixels =
        nn_part_span(part, (size_t)step->out.height * step->out.width);
    struct image image = {in, (size_t)step->in.width * step->in.channels};
    struct nn_int8_tile tile = {
        .segments = step->kernel[0],
        .groups = (step->kernel[1] * step->in.channels + 3) / 4,
        .weights = step->packed_int8.weights,
        .constants = step->packed_int8.constants,
        .out_stride = step->out.channels,
    };
    const size_t column_bytes = 4 * (size_t)tile.segments * tile.groups;
    uint32_t count = (uint32_t)(PANEL_BYTES / column_bytes / kernels->nr);

    count = (count ? count : 1) * kernels->nr;
    if (pixels.from == pixels.to)
        return (struct nn_span){0, 0};
    if (!in_place(step))
        image = pad(step, rows_of(step, pixels), in, scratch);
    tile.segment_stride = image.row_bytes;
    set_result(step, out, &tile);
    for (uint32_t column = 0; column < step->out.channels; column += count) {
        uint32_t rest = step->out.channels - column;

        tile.columns = rest < count ? rest : count;
        run_columns(kernels, step, pixels, &image, with ? with + column : NULL,
                    &tile);
        tile.weights += count * column_bytes;
        tile.constants += (size_t)count * NN_INT8_CONSTANT_BYTES;
        if (tile.bytes)
            tile.bytes += count;
        else
            tile.floats += count;
    }
    return (struct nn_span){pixels.from * step->out.channels,
                            pixels.to * step->out.channels};
}

/* Rows of the input with the zero points beside them, and one of zero points
 * only. A copied row serves all windows that reach it: row y is at y modulo
 * the kernel's height. */
struct lines {
    const struct nn_step *step;
    const uint8_t *in;
    size_t row_bytes;
    size_t phase_bytes;       /* as the kernel wants them; 0: no phases */
    uint8_t *zeros, *copies;  /* NULL: rows are read in place */
    int64_t held[KERNEL_MAX]; /* which row each copy is of, or -1 */
};

/* A pixel's channels, which are some eights at most: too few for a call. */
static void copy_pixel(uint8_t *to, const uint8_t *from, size_t channels)
{
    if (channels < 8) {
        memcpy(to, from, channels);
        return;
    }
    for (size_t c = 0; c + 8 < channels; c += 8)
        memcpy(to + c, from + c, 8);
    memcpy(to + channels - 8, from + channels - 8, 8);
}

static void copy_phases(const struct lines *lines, const uint8_t *from,
                        uint8_t *to)
{
    const struct nn_step *step = lines->step;
    const size_t channels = step->in.channels, stride = step->stride[1];

    for (size_t i = 0; i < stride; i++) {
        /* Of this phase, the pixels below `before` are padding. */
        const size_t before =
            i < step->pad[1] ? (step->pad[1] - i + stride - 1) / stride : 0;
        const size_t width = lines->phase_bytes / channels;

        for (size_t n = before; n < width; n++) {
            const size_t x = n * stride + i - step->pad[1];

            if (x >= step->in.width)
                break;
            copy_pixel(to + n * channels, from + x * channels, channels);
        }
        to += lines->phase_bytes;
    }
}

static const uint8_t *line(struct lines *lines, int64_t y)
{
    const struct nn_step *step = lines->step;
    const size_t in_bytes = (size_t)step->in.width * step->in.channels;
    const size_t before = (size_t)step->pad[1] * step->in.channels;
    const uint8_t *from;
    uint32_t slot;
    uint8_t *to;

    if (y < 0 || y >= step->in.height)
        return lines->zeros;
    from = lines->in + (size_t)y * in_bytes;
    if (!lines->copies)
        return from;
    slot = (uint32_t)(y % step->kernel[0]);
    to = lines->copies + slot * lines->row_bytes;
    if (lines->held[slot] != y) {
        lines->held[slot] = y;
        if (lines->phase_bytes)
            copy_phases(lines, from, to);
        else if (before < lines->row_bytes)
            memcpy(to + before, from,
                   in_bytes < lines->row_bytes - before
                       ? in_bytes
                       : lines->row_bytes - before);
    }
    return to;
}

struct nn_span nn_int8_dwconv_run(const struct nn_int8_kernels *kernels,
                                  const struct nn_step *step,
                                  struct nn_part part, const uint8_t *in,
                                  void *out, uint8_t *scratch)
{
    const struct nn_span mine = nn_part_span(part, step->out.height);
    const size_t row_bytes = line_bytes(step);
    const size_t out_values = (size_t)step->out.width * step->out.channels;
    const bool phases =
        step->stride[1] > 1 && step->in.channels < kernels->lanes;
    const bool copies =
        phases || step->pad[1] || padded_width(step) > step->in.width;
    struct lines lines = {.step = step,
                          .in = in,
                          .row_bytes = row_bytes,
                          .phase_bytes =
                              phases ? row_bytes / step->stride[1] : 0,
                          .zeros = scratch,
                          .copies = copies ? scratch + row_bytes : NULL};
    const uint8_t *rows[KERNEL_MAX];
    struct nn_int8_tile result = {0};
    struct nn_int8_dwconv job = {
        .rows = rows,
        .pixels = step->out.width,
        .channels = step->in.channels,
        .kernel_height = step->kernel[0],
        .kernel_width = step->kernel[1],
        .stride_x = step->stride[1],
        .phase_bytes = lines.phase_bytes,
        .weights = step->packed_int8.weights,
        .constants = step->packed_int8.constants,
    };

    set_result(step, out, &result);
    if (result.bytes)
        job.bytes = result.bytes + mine.from * out_values;
    else
        job.floats = result.floats + mine.from * out_values;
    job.lo = result.lo;
    job.hi = result.hi;
    for (uint32_t ky = 0; ky < step->kernel[0]; ky++)
        lines.held[ky] = -1;
    memset(scratch, step->from_quant.zero, nn_int8_scratch_bytes(step));
    for (size_t oy = mine.from; oy < mine.to; oy++) {
        const int64_t y = (int64_t)oy * step->stride[0] - step->pad[0];

        for (uint32_t ky = 0; ky < step->kernel[0]; ky++)
            rows[ky] = line(&lines, y + ky);
        kernels->dwconv(&job);
        if (job.bytes)
            job.bytes += out_values;
        else
            job.floats += out_values;
    }
    return (struct nn_span){mine.from * out_values, mine.to * out_values};
}
