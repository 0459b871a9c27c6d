/* Known answers: inputs made of a seed, and what graphs must make of them.
 * docs/WIRE.md, Known answer. */
#ifndef CLEAVE_NN_KNOWN_ANSWER_H
#define CLEAVE_NN_KNOWN_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/bundle.h"

/* The input's bytes, as a picture's or as a latent's values, in the order in
 * which they lie. */
void nn_known_pixels(const struct nn_known_answer *known, uint8_t *pixels,
                     size_t count);
void nn_known_latent(const struct nn_known_answer *known, float *latent,
                     size_t count);

/* API_BAD_BUNDLE unless every known class has its probability, within the
 * tolerance. `probabilities` are the bundle's label_count. */
enum api_status nn_known_compare(const struct nn_known_answer *known,
                                 const float *probabilities,
                                 struct api_error *error);

#endif
