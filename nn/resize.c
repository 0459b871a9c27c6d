/* Separable resampling with fixed-point weights, one axis at a time. */
#include "nn/resize.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nn/cpu.h"

/* Keys' cubic convolution with a = -0.5. The order of the operations decides
 * the last bit, so it is Pillow's. */
static double bicubic_weight(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double bilinear_weight(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Weights stay well below 16 in size, so the high part fits. */
static void set_weight(struct nn_resize_axis *axis, size_t at, double weight)
{
    double scaled = weight * NN_RESIZE_ONE;
    int32_t fixed = (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    int32_t low = fixed & ((1 << NN_RESIZE_LOW_BITS) - 1);
    axis->high[at] = (int16_t)((fixed - low) / (1 << NN_RESIZE_LOW_BITS));
    axis->low[at] = (int16_t)low;
}

/* The source pixels under output pixel `at` and the filter's value on each,
 * which sum to *total. */
struct window {
    uint32_t first, used;
    double total;
};

static struct window sample(uint32_t in_count, uint32_t out_count, uint32_t at,
                            bool bicubic, double *values)
{
    double scale = (double)in_count / out_count;
    double stretch = scale < 1.0 ? 1.0 : scale;
    double support = (bicubic ? 2.0 : 1.0) * stretch;
    double centre = (at + 0.5) * scale, inverse = 1.0 / stretch;
    double low = centre - support + 0.5, high = centre + support + 0.5;
    struct window window = {.first = low > 0 ? (uint32_t)low : 0};
    uint32_t end = high < in_count ? (uint32_t)high : in_count;
    window.used = end - window.first;
    for (uint32_t i = 0; i < window.used; i++) {
        double x = (i + window.first - centre + 0.5) * inverse;
        values[i] = bicubic ? bicubic_weight(x) : bilinear_weight(x);
        window.total += values[i];
    }
    return window;
}

static void fill_identity(uint32_t crop, struct nn_resize_axis *axis)
{
    for (uint32_t i = 0; i < axis->count; i++) {
        axis->first[i] = crop + i;
        axis->used[i] = 1;
        set_weight(axis, (size_t)i * axis->taps, 1);
    }
}

enum api_status nn_resize_axis_fill(uint32_t in_count, uint32_t out_count,
                                    uint32_t crop, uint32_t count, bool bicubic,
                                    struct nn_resize_axis *axis)
{
    double scale = (double)in_count / out_count;
    double support = (bicubic ? 2.0 : 1.0) * (scale < 1.0 ? 1.0 : scale);
    /* A window is less than 2 * support + 1 pixels and rounding long. */
    struct nn_resize_axis made = {.count = count, .taps = 4};
    if (in_count != out_count)
        made.taps = ((uint32_t)(support * 2) + 2 + 3) / 4 * 4;
    double *values = malloc(made.taps * sizeof *values);
    made.first = calloc(count, sizeof *made.first);
    made.used = calloc(count, sizeof *made.used);
    made.high = calloc(count, made.taps * sizeof *made.high);
    made.low = calloc(count, made.taps * sizeof *made.low);
    if (!values || !made.first || !made.used || !made.high || !made.low) {
        free(values);
        nn_resize_axis_clear(&made);
        return API_NO_MEMORY;
    }
    if (in_count == out_count)
        fill_identity(crop, &made);
    for (uint32_t i = 0; i < count && in_count != out_count; i++) {
        struct window window =
            sample(in_count, out_count, crop + i, bicubic, values);
        for (uint32_t k = 0; k < window.used; k++)
            set_weight(&made, (size_t)i * made.taps + k,
                       values[k] / window.total);
        made.first[i] = window.first;
        made.used[i] = window.used;
    }
    free(values);
    /* Windows move right and never shrink on the right. */
    made.from = made.first[0];
    made.to = made.first[count - 1] + made.used[count - 1];
    for (uint32_t i = 0; i < count; i++)
        made.first[i] -= made.from;
    *axis = made;
    return API_OK;
}

void nn_resize_axis_clear(struct nn_resize_axis *axis)
{
    free(axis->first);
    free(axis->used);
    free(axis->high);
    free(axis->low);
    memset(axis, 0, sizeof *axis);
}

/* Bicubic weights overshoot, so sums leave 0..255. */
static uint8_t to_byte(int32_t sum)
{
    int32_t value = sum >> NN_RESIZE_FRACTION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Every level but the plain one has them; NULL where there is none. */
static const struct nn_resize_vectors *vectors(void)
{
    const struct nn_kernels *kernels;
    if (nn_cpu_select(&kernels, NULL) != API_OK ||
        kernels == &nn_kernels_scalar)
        return NULL;
#if defined CLEAVE_X86
    return &nn_resize_avx2;
#elif defined CLEAVE_AARCH64
    return &nn_resize_neon;
#else
    return NULL;
#endif
}

/* One line from pixel `x` on. */
static void across_from(const struct nn_resize_axis *axis, const uint8_t *line,
                        uint32_t x, uint8_t *out)
{
    for (; x < axis->count; x++) {
        const uint8_t *pixel = line + (size_t)axis->first[x] * 3;
        int32_t sums[3] = {NN_RESIZE_ROUNDING, NN_RESIZE_ROUNDING,
                           NN_RESIZE_ROUNDING};
        for (uint32_t k = 0; k < axis->used[x]; k++, pixel += 3) {
            int32_t weight = nn_resize_weight(axis, (size_t)x * axis->taps + k);
            for (int i = 0; i < 3; i++)
                sums[i] += pixel[i] * weight;
        }
        for (int i = 0; i < 3; i++)
            out[(size_t)x * 3 + (size_t)i] = to_byte(sums[i]);
    }
}

void nn_resize_across(const struct nn_resize_axis *axis, const uint8_t *source,
                      size_t rows, uint8_t *out)
{
    const struct nn_resize_vectors *vector = vectors();
    uint32_t x = vector ? vector->across(axis, source, rows, out) : 0;
    for (size_t row = 0; row < rows; row++) {
        across_from(axis, source, x, out);
        source += (size_t)(axis->to - axis->from) * 3;
        out += (size_t)axis->count * 3;
    }
}

/* Columns that share one pass over the taps: what stays in registers. */
enum { STRIP = 64 };

/* One line from column `x` on. */
static void down_from(const struct nn_resize_axis *axis, uint32_t y,
                      const uint8_t *top, size_t row_bytes, size_t x,
                      uint8_t *out)
{
    for (; x < row_bytes; x += STRIP) {
        int32_t sums[STRIP];
        size_t width = row_bytes - x < STRIP ? row_bytes - x : STRIP;
        for (size_t i = 0; i < width; i++)
            sums[i] = NN_RESIZE_ROUNDING;
        for (uint32_t k = 0; k < axis->used[y]; k++) {
            const uint8_t *row = top + k * row_bytes + x;
            int32_t weight = nn_resize_weight(axis, (size_t)y * axis->taps + k);
            for (size_t i = 0; i < width; i++)
                sums[i] += row[i] * weight;
        }
        for (size_t i = 0; i < width; i++)
            out[i + x] = to_byte(sums[i]);
    }
}

void nn_resize_down(const struct nn_resize_axis *axis, const uint8_t *source,
                    size_t row_bytes, uint8_t *out)
{
    const struct nn_resize_vectors *vector = vectors();
    for (uint32_t y = 0; y < axis->count; y++, out += row_bytes) {
        const uint8_t *top = source + axis->first[y] * row_bytes;
        size_t x = vector ? vector->down(axis, y, top, row_bytes, out) : 0;
        down_from(axis, y, top, row_bytes, x, out);
    }
}
