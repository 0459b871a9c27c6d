/* Priors with contexts as a bundle could hold them, from a seed. */
#ifndef CLEAVE_TESTS_NN_RANDOM_PRIOR_H
#define CLEAVE_TESTS_NN_RANDOM_PRIOR_H

#include <stdint.h>

#include "nn/bundle.h"

/* Gain 1; tables of 1 to 9 intervals about 0, of unlike lengths in the
 * contexts of one channel; any weights; limits that are all reached, never
 * reached or near 0. */
struct nn_prior *random_prior_make(uint32_t channels, uint32_t contexts,
                                   uint64_t seed);

/* Frees and sets *prior to NULL. */
void random_prior_free(struct nn_prior **prior);

#endif
