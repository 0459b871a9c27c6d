/* Activation curves in plain C that compilers turn into vector code. */
#include "nn/activate.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Beyond these e^x is no normal float. */
static const float EXP_MIN = -87.0f, EXP_MAX = 88.0f;

/* e^x = 2^n e^r with |r| at most ln(2)/2, where eight terms of the series are
 * enough. Without calls or branches, so that loops over it are vectorised. */
static inline float exponential(float x)
{
    /* Adding this leaves the nearest integer in the low bits. */
    const float shift = 0x1.8p23f;
    float shifted, n, r, sum, power;
    uint32_t bits;

    x = x < EXP_MIN ? EXP_MIN : x;
    x = x > EXP_MAX ? EXP_MAX : x;
    shifted = x * 0x1.715476p0f + shift;
    n = shifted - shift;
    /* ln 2 in two parts; the first has few bits, so that n times it is exact */
    r = x - n * 0x1.63p-1f;
    r = r + n * 0x1.bd0106p-13f;
    sum = 1.0f / 5040;
    sum = sum * r + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23; /* the exponent n; what is above falls out */
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

/* x/2 erfc(-x/sqrt 2), erfc by Abramowitz and Stegun, 7.1.26. */
static inline float gelu(float x)
{
    float z = fabsf(x) * 0x1.6a09e6p-1f;
    float t = 1.0f / (1.0f + 0.3275911f * z);
    float tail = 1.061405429f;

    tail = tail * t - 1.453152027f;
    tail = tail * t + 1.421413741f;
    tail = tail * t - 0.284496736f;
    tail = tail * t + 0.254829592f;
    tail = tail * t * exponential(-z * z);
    return 0.5f * x * (x < 0.0f ? tail : 2.0f - tail);
}

static inline float hard_swish(float x)
{
    float gate = x * (1.0f / 6) + 0.5f;

    gate = gate < 0.0f ? 0.0f : gate;
    return x * (gate > 1.0f ? 1.0f : gate);
}

void nn_activate(enum nn_act act, float slope, float *values, size_t count)
{
    switch (act) {
    case NN_ACT_LEAKY_RELU:
        for (size_t i = 0; i < count; i++)
            values[i] *= values[i] < 0.0f ? slope : 1.0f;
        break;
    case NN_ACT_SIGMOID:
        for (size_t i = 0; i < count; i++)
            values[i] = sigmoid(values[i]);
        break;
    case NN_ACT_HARD_SWISH:
        for (size_t i = 0; i < count; i++)
            values[i] = hard_swish(values[i]);
        break;
    case NN_ACT_SILU:
        for (size_t i = 0; i < count; i++)
            values[i] *= sigmoid(values[i]);
        break;
    case NN_ACT_GELU:
        for (size_t i = 0; i < count; i++)
            values[i] = gelu(values[i]);
        break;
    default:
        break;
    }
}
