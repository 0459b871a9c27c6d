/* Kernels that cost too little of a run to be written for each CPU level. */
#include <math.h>

#include "nn/kernels.h"

enum pooling { AVERAGE, MAXIMUM };

void nn_clamp(const float *in, float *out, size_t count, float lo, float hi)
{
    for (size_t i = 0; i < count; i++) {
        float x = in[i] < lo ? lo : in[i];

        out[i] = x > hi ? hi : x;
    }
}

static void pool_pixel(const struct nn_pool *job, enum pooling pooling,
                       uint32_t oy, uint32_t ox)
{
    int32_t y0 = (int32_t)(oy * job->stride_y) - (int32_t)job->pad_top;
    int32_t x0 = (int32_t)(ox * job->stride_x) - (int32_t)job->pad_left;
    struct nn_taps ys = nn_taps_inside(y0, job->kernel_height, job->in_height);
    struct nn_taps xs = nn_taps_inside(x0, job->kernel_width, job->in_width);
    float count = (float)(ys.to - ys.from) * (float)(xs.to - xs.from);
    float *out = job->out + ((size_t)oy * job->out_width + ox) * job->channels;

    for (uint32_t c = 0; c < job->channels; c++)
        out[c] = pooling == AVERAGE ? 0.0f : -INFINITY;
    for (uint32_t ky = ys.from; ky < ys.to; ky++)
        for (uint32_t kx = xs.from; kx < xs.to; kx++) {
            size_t y = (size_t)(y0 + (int32_t)ky);
            size_t x = (size_t)(x0 + (int32_t)kx);
            const float *in = job->in + (y * job->in_width + x) * job->channels;

            if (pooling == AVERAGE)
                for (uint32_t c = 0; c < job->channels; c++)
                    out[c] += in[c];
            else
                for (uint32_t c = 0; c < job->channels; c++)
                    out[c] = in[c] > out[c] ? in[c] : out[c];
        }
    if (pooling == AVERAGE)
        for (uint32_t c = 0; c < job->channels; c++)
            out[c] /= count;
}

void nn_average_pool(const struct nn_pool *job)
{
    for (uint32_t oy = 0; oy < job->out_height; oy++)
        for (uint32_t ox = 0; ox < job->out_width; ox++)
            pool_pixel(job, AVERAGE, oy, ox);
}

void nn_max_pool(const struct nn_pool *job)
{
    for (uint32_t oy = 0; oy < job->out_height; oy++)
        for (uint32_t ox = 0; ox < job->out_width; ox++)
            pool_pixel(job, MAXIMUM, oy, ox);
}

void nn_softmax(const float *in, float *out, size_t pixels, uint32_t channels)
{
    for (; pixels; pixels--, in += channels, out += channels) {
        float largest = in[0];
        float sum = 0.0f;

        for (uint32_t c = 1; c < channels; c++)
            largest = in[c] > largest ? in[c] : largest;
        for (uint32_t c = 0; c < channels; c++) {
            out[c] = expf(in[c] - largest);
            sum += out[c];
        }
        for (uint32_t c = 0; c < channels; c++)
            out[c] /= sum;
    }
}
