/* Int8 operators that cost too little to be written for each CPU level. */
#include <math.h>
#include <string.h>

#include "nn/int8.h"
#include "nn/plan.h"

enum { CHUNK = 64 }; /* channels that are pooled together */

static uint8_t to_byte(float x)
{
    return (uint8_t)rintf(fminf(fmaxf(x, 0.0f), 255.0f));
}

void nn_int8_dequantize(const struct nn_step *step, const uint8_t *in,
                        float *out)
{
    const float scale = step->from_quant.scale;
    const int32_t zero = step->from_quant.zero;
    size_t count = nn_shape_floats(&step->out);

    for (size_t i = 0; i < count; i++)
        out[i] = (float)(in[i] - zero) * scale;
}

/* The taps of one window that lie inside. */
struct window {
    struct nn_taps ys, xs;
    const uint8_t *corner; /* the first of them */
    uint32_t count;
};

static struct window window_of(const struct nn_step *step, const uint8_t *in,
                               uint32_t oy, uint32_t ox)
{
    int32_t y0 = (int32_t)(oy * step->stride[0]) - (int32_t)step->pad[0];
    int32_t x0 = (int32_t)(ox * step->stride[1]) - (int32_t)step->pad[1];
    struct window window = {
        .ys = nn_taps_inside(y0, step->kernel[0], step->in.height),
        .xs = nn_taps_inside(x0, step->kernel[1], step->in.width)};
    size_t y = (size_t)(y0 + (int32_t)window.ys.from);
    size_t x = (size_t)(x0 + (int32_t)window.xs.from);

    window.corner = in + (y * step->in.width + x) * step->in.channels;
    window.count =
        (window.ys.to - window.ys.from) * (window.xs.to - window.xs.from);
    return window;
}

static void max_pixel(const struct nn_step *step, const struct window *window,
                      uint8_t *out)
{
    const size_t channels = step->in.channels;

    memset(out, 0, channels);
    for (uint32_t ky = window->ys.from; ky < window->ys.to; ky++)
        for (uint32_t kx = window->xs.from; kx < window->xs.to; kx++) {
            const uint8_t *in =
                window->corner +
                ((size_t)(ky - window->ys.from) * step->in.width + kx -
                 window->xs.from) *
                    channels;

            for (size_t c = 0; c < channels; c++)
                out[c] = in[c] > out[c] ? in[c] : out[c];
        }
}

void nn_int8_max_pool(const struct nn_step *step, const uint8_t *in,
                      uint8_t *out)
{
    for (uint32_t oy = 0; oy < step->out.height; oy++)
        for (uint32_t ox = 0; ox < step->out.width; ox++) {
            const struct window window = window_of(step, in, oy, ox);

            max_pixel(step, &window, out);
            out += step->out.channels;
        }
}

/* Adds up `channels` channels, at most CHUNK, from number `from` on. */
static void sum_up(const struct nn_step *step, const struct window *window,
                   uint32_t from, uint32_t channels, int32_t sums[CHUNK])
{
    memset(sums, 0, CHUNK * sizeof *sums);
    for (uint32_t ky = window->ys.from; ky < window->ys.to; ky++)
        for (uint32_t kx = window->xs.from; kx < window->xs.to; kx++) {
            const uint8_t *in =
                window->corner + from +
                ((size_t)(ky - window->ys.from) * step->in.width + kx -
                 window->xs.from) *
                    step->in.channels;

            for (uint32_t c = 0; c < channels; c++)
                sums[c] += in[c];
        }
}

void nn_int8_average_pool(const struct nn_step *step, const uint8_t *in,
                          void *out)
{
    const struct nn_quant from = step->from_quant, to = step->to_quant;
    const bool bytes = to.scale > 0;
    const float ratio = bytes ? from.scale / to.scale : from.scale;
    float *floats = out;
    uint8_t *small = out;
    int32_t sums[CHUNK];
    size_t at = 0;

    for (uint32_t pixel = 0; pixel < step->out.height * step->out.width;
         pixel++) {
        const struct window window = window_of(
            step, in, pixel / step->out.width, pixel % step->out.width);
        const float factor = ratio / (float)window.count;
        const int32_t zeros = (int32_t)window.count * from.zero;

        for (uint32_t c = 0; c < step->in.channels; c += CHUNK) {
            uint32_t rest = step->in.channels - c;

            if (rest > CHUNK)
                rest = CHUNK;
            sum_up(step, &window, c, rest, sums);
            for (uint32_t i = 0; i < rest; i++, at++) {
                float x = (float)(sums[i] - zeros) * factor;

                if (bytes)
                    small[at] = to_byte(x + (float)to.zero);
                else
                    floats[at] = x;
            }
        }
    }
}

/* What each byte of one type is in another. */
static void translate(struct nn_quant from, struct nn_quant to,
                      uint8_t table[256])
{
    const float factor = from.scale / to.scale;
    const float zeros = (float)from.zero * factor;
    const float offset = (float)to.zero - zeros;

    for (int q = 0; q < 256; q++) {
        float x = (float)q * factor;

        table[q] = to_byte(x + offset);
    }
}

void nn_int8_concatenate(const struct nn_step *step, const uint8_t *in,
                         const uint8_t *other, uint8_t *out)
{
    const uint32_t first = step->in.channels, second = step->other.channels;
    size_t pixels = (size_t)step->out.height * step->out.width;
    uint8_t tables[2][256];

    translate(step->from_quant, step->to_quant, tables[0]);
    translate(step->with_quant, step->to_quant, tables[1]);
    for (; pixels; pixels--) {
        for (uint32_t c = 0; c < first; c++)
            *out++ = tables[0][*in++];
        for (uint32_t c = 0; c < second; c++)
            *out++ = tables[1][*other++];
    }
}
