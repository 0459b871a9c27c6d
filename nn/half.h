/* IEEE 754 binary16 and bfloat16 to binary32, in portable C. */
#ifndef CLEAVE_NN_HALF_H
#define CLEAVE_NN_HALF_H

#include <stdint.h>
#include <string.h>

/* Exact for every input; NaN stays NaN, infinities stay infinities. */
static inline float nn_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t fraction = half & 0x3ffu;
    uint32_t bits;
    float value;

    if (exponent == 0) { /* zero or subnormal: fraction times 2^-24 */
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    exponent = exponent == 31 ? 255 : exponent + 112; /* bias 15 to 127 */
    bits = sign | exponent << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bfloat16 is the upper half of a binary32. */
static inline float nn_bfloat_to_float(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
