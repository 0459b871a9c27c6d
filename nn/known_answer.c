/* Makes the inputs of known answers and compares what comes of them. */
#include "nn/known_answer.h"

#include <math.h>

/* The linear congruential generator of "Numerical Recipes" (Press et al.); its
 * low bits are poor, so a byte is its high ones. */
static uint8_t next_byte(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint8_t)(*state >> 24);
}

void nn_known_pixels(const struct nn_known_answer *known, uint8_t *pixels,
                     size_t count)
{
    uint32_t state = known->seed;

    for (size_t i = 0; i < count; i++)
        pixels[i] = next_byte(&state);
}

void nn_known_latent(const struct nn_known_answer *known, float *latent,
                     size_t count)
{
    /* A power of two, so that every value is exact. */
    const float step = 1.0f / (float)(1u << known->shift);
    uint32_t state = known->seed;

    for (size_t i = 0; i < count; i++)
        latent[i] = (float)(next_byte(&state) - 128) * step;
}

enum api_status nn_known_compare(const struct nn_known_answer *known,
                                 const float *probabilities,
                                 struct api_error *error)
{
    for (uint8_t i = 0; i < known->count; i++) {
        const struct nn_class *wanted = &known->top[i];
        const float got = probabilities[wanted->index];

        /* So put that NaN differs, too. */
        if (!(fabsf(got - wanted->probability) <=
              known->tolerance * wanted->probability))
            return api_fail(error, API_BAD_BUNDLE,
                            "class %u has probability %.6g, the known answer "
                            "is %.6g",
                            wanted->index, (double)got,
                            (double)wanted->probability);
    }
    return API_OK;
}
