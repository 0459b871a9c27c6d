/* Operators that move, join or normalise values, in plain C. */
#include "nn/operators.h"

#include <math.h>
#include <string.h>

static float clamp(float x, float lo, float hi)
{
    x = x < lo ? lo : x;
    return x > hi ? hi : x;
}

void nn_multiply(const struct nn_step *step, const float *in,
                 const float *other, float *out)
{
    const struct nn_shape *shape = &step->out, *small = &step->other;
    const size_t next_x = small->width == 1 ? 0 : small->channels;
    const size_t next_y =
        small->height == 1 ? 0 : (size_t)small->width * small->channels;
    const float lo = step->lo, hi = step->hi;

    for (uint32_t y = 0; y < shape->height; y++) {
        const float *factor = other + y * next_y;

        for (uint32_t x = 0; x < shape->width; x++, factor += next_x) {
            if (small->channels == 1)
                for (uint32_t c = 0; c < shape->channels; c++)
                    out[c] = clamp(in[c] * factor[0], lo, hi);
            else
                for (uint32_t c = 0; c < shape->channels; c++)
                    out[c] = clamp(in[c] * factor[c], lo, hi);
            in += shape->channels;
            out += shape->channels;
        }
    }
}

void nn_concatenate(const struct nn_step *step, const float *in,
                    const float *other, float *out)
{
    const size_t first = step->in.channels, second = step->other.channels;
    size_t pixels = (size_t)step->out.height * step->out.width;

    for (; pixels; pixels--, in += first, other += second) {
        memcpy(out, in, first * sizeof *out);
        memcpy(out + first, other, second * sizeof *out);
        out += first + second;
    }
}

void nn_layer_norm(const struct nn_step *step, const float *in, float *out)
{
    const uint32_t channels = step->in.channels;
    size_t pixels = (size_t)step->in.height * step->in.width;

    for (; pixels; pixels--, in += channels, out += channels) {
        double sum = 0, squares = 0;
        float mean, scale;

        for (uint32_t c = 0; c < channels; c++)
            sum += (double)in[c];
        mean = (float)(sum / channels);
        for (uint32_t c = 0; c < channels; c++) {
            double off = (double)(in[c] - mean);

            squares += off * off;
        }
        scale = (float)(1 / sqrt(squares / channels + (double)step->epsilon));
        for (uint32_t c = 0; c < channels; c++)
            out[c] = (in[c] - mean) * scale;
    }
}

/* The two source pixels of a resized one, and the share of the second. */
struct pair {
    uint32_t first, second;
    float share;
};

/* Quotients of exact integers, so that ties fall alike everywhere. */
static struct pair source_of(const struct nn_step *step, uint32_t i,
                             uint32_t in, uint32_t out)
{
    struct pair pair = {0, 0, 0.0f};
    double at;

    if (step->coordinates == NN_HALF_PIXEL)
        at = (2.0 * i + 1) * in / (2.0 * out) - 0.5;
    else if (step->coordinates == NN_ASYMMETRIC)
        at = (double)i * in / out;
    else
        at = out > 1 ? (double)i * (in - 1) / (out - 1) : 0;
    if (step->filter == NN_NEAREST)
        at = step->coordinates == NN_ASYMMETRIC ? floor(at) : ceil(at - 0.5);
    at = fmin(fmax(at, 0), in - 1);
    pair.first = (uint32_t)at;
    pair.second = pair.first + 1 < in ? pair.first + 1 : pair.first;
    pair.share = (float)(at - pair.first);
    return pair;
}

void nn_resize_value(const struct nn_step *step, const float *in, float *out)
{
    const size_t channels = step->in.channels;
    const size_t row = step->in.width * channels;

    for (uint32_t y = 0; y < step->out.height; y++) {
        struct pair ys = source_of(step, y, step->in.height, step->out.height);
        const float *top = in + ys.first * row, *bottom = in + ys.second * row;

        for (uint32_t x = 0; x < step->out.width; x++, out += channels) {
            struct pair xs =
                source_of(step, x, step->in.width, step->out.width);
            size_t left = xs.first * channels, right = xs.second * channels;

            if (step->filter == NN_NEAREST) {
                memcpy(out, top + left, channels * sizeof *out);
                continue;
            }
            for (size_t c = 0; c < channels; c++) {
                float a =
                    top[left + c] * (1 - xs.share) + top[right + c] * xs.share;
                float b = bottom[left + c] * (1 - xs.share) +
                          bottom[right + c] * xs.share;

                out[c] = a * (1 - ys.share) + b * ys.share;
            }
        }
    }
}

void nn_depth_to_space(const struct nn_step *step, const float *in, float *out)
{
    const uint32_t block = step->block, channels = step->out.channels;
    const size_t square = (size_t)block * block;

    for (uint32_t y = 0; y < step->out.height; y++)
        for (uint32_t x = 0; x < step->out.width; x++, out += channels) {
            size_t pixel = (size_t)(y / block) * step->in.width + x / block;
            size_t tap = (size_t)(y % block) * block + x % block;
            const float *from = in + pixel * step->in.channels;

            for (uint32_t c = 0; c < channels; c++)
                out[c] = from[step->order == NN_DCR ? tap * channels + c
                                                    : c * square + tap];
        }
}
