/* The reference int8 kernels: plain C that every other level equals. */
#include <math.h>
#include <string.h>

#include "nn/int8.h"

enum { MR = 4, NR = 8, LANES = 16 };

/* NaN becomes lo. */
static float clamp_one(float x, float lo, float hi)
{
    x = x > lo ? x : lo;
    return x < hi ? x : hi;
}

/* rintf by adding and taking off: where x is 0 to 255 this leaves no fraction
 * bits, and costs no call. */
static uint8_t to_byte(float x)
{
    const float shift = 0x1.8p23f;
    float shifted = x + shift;

    return (uint8_t)(shifted - shift);
}

static uint8_t add_one(uint8_t a, uint8_t b, const struct nn_int8_sum *sum)
{
    float x = (float)a * sum->first + (float)b * sum->second;

    return to_byte(clamp_one(x + sum->offset, sum->lo, sum->hi));
}

/* The sum of one row and column; `weight` is the column's first. */
static int32_t product(const struct nn_int8_tile *tile, const uint8_t *row,
                       const int8_t *weight, uint32_t width)
{
    int32_t sum = 0;

    for (uint32_t s = 0; s < tile->segments; s++, row += tile->segment_stride)
        for (uint32_t g = 0; g < tile->groups; g++, weight += 4 * width)
            for (uint32_t i = 0; i < 4; i++)
                sum += row[4 * g + i] * weight[i];
    return sum;
}

static void tile_panel(const struct nn_int8_tile *tile, const int8_t *weights,
                       uint32_t column, uint32_t width)
{
    uint32_t used = tile->columns - column;
    const uint8_t *constants = nn_int8_constants(tile, column);
    int32_t start[NR];
    float factor[NR], offset[NR];

    memcpy(start, constants, width * sizeof *start);
    memcpy(factor, constants + 4 * width, width * sizeof *factor);
    memcpy(offset, constants + 8 * width, width * sizeof *offset);
    if (used > width)
        used = width;
    for (uint32_t r = 0; r < tile->row_count; r++)
        for (uint32_t n = 0; n < used; n++) {
            size_t at = r * tile->out_stride + column + n;
            int32_t sum =
                product(tile, tile->rows[r], weights + 4 * n, width) + start[n];
            float x = (float)sum * factor[n];

            x = clamp_one(x + offset[n], tile->lo, tile->hi);
            if (tile->floats)
                tile->floats[at] = x;
            else if (tile->residual)
                tile->bytes[at] =
                    add_one(to_byte(x), tile->residual[at], &tile->sum);
            else
                tile->bytes[at] = to_byte(x);
        }
}

static void tile_scalar(const struct nn_int8_tile *tile)
{
    const int8_t *weights = (const int8_t *)tile->weights;
    uint32_t column = 0;

    while (column < tile->columns) {
        uint32_t width = tile->columns - column <= NR / 2 ? NR / 2 : NR;

        tile_panel(tile, weights, column, width);
        weights += (size_t)width * 4 * tile->segments * tile->groups;
        column += width;
    }
}

/* Channel c of one pixel; `weight` is the channel's first. */
static int32_t window(const struct nn_int8_dwconv *job, uint32_t pixel,
                      uint32_t c, const int8_t *weight)
{
    int32_t sum = 0;

    for (uint32_t kx = 0; kx < job->kernel_width; kx++) {
        const size_t at = nn_int8_tap(job, job->stride_x, pixel, kx) + c;

        for (uint32_t ky = 0; ky < job->kernel_height; ky += 4) {
            for (uint32_t i = 0; i < 4 && ky + i < job->kernel_height; i++)
                sum += job->rows[ky + i][at] * weight[i];
            weight += 4 * LANES;
        }
    }
    return sum;
}

static void dwconv_scalar(const struct nn_int8_dwconv *job)
{
    for (uint32_t c = 0; c < job->channels; c++) {
        const struct nn_int8_block block =
            nn_int8_block_at(job, LANES, c / LANES * LANES);
        uint32_t lane = nn_int8_lane(LANES, c - block.channel);
        int32_t start;
        float factor, offset;

        memcpy(&start, block.constants + 4 * lane, sizeof start);
        memcpy(&factor, block.constants + 4 * (LANES + lane), sizeof factor);
        memcpy(&offset, block.constants + 4 * (2 * LANES + lane),
               sizeof offset);
        for (uint32_t pixel = 0; pixel < job->pixels; pixel++) {
            size_t to = (size_t)pixel * job->channels + c;
            int32_t sum =
                window(job, pixel, c, (const int8_t *)block.weights + 4 * lane);
            float x = (float)(sum + start) * factor;

            x = clamp_one(x + offset, job->lo, job->hi);
            if (job->floats)
                job->floats[to] = x;
            else
                job->bytes[to] = to_byte(x);
        }
    }
}

static void add_scalar(const uint8_t *a, const uint8_t *b, uint8_t *out,
                       size_t count, const struct nn_int8_sum *sum)
{
    for (size_t i = 0; i < count; i++)
        out[i] = add_one(a[i], b[i], sum);
}

static void quantize_scalar(const float *in, uint8_t *out, size_t count,
                            float factor, float zero)
{
    for (size_t i = 0; i < count; i++) {
        float x = in[i] * factor;

        out[i] = to_byte(clamp_one(x + zero, 0.0f, 255.0f));
    }
}

const struct nn_int8_kernels nn_int8_scalar = {
    .mr = MR,
    .nr = NR,
    .lanes = LANES,
    .tile = tile_scalar,
    .dwconv = dwconv_scalar,
    .add = add_scalar,
    .quantize = quantize_scalar,
};
