/* Draws tables, weights and limits for a prior. */
#include "tests/nn/random_prior.h"

#include <stdlib.h>
#include <string.h>

#include "nn/rans.h"
#include "tests/nn/dice.h"

enum { MOST_INTERVALS = 9 };

/* Strictly rising from 0 to 65536; returns the number of entries. */
static uint32_t draw_table(uint64_t *seed, uint32_t *cdf)
{
    uint32_t intervals = 1 + dice_below(seed, MOST_INTERVALS);
    cdf[0] = 0;
    for (uint32_t i = 1; i < intervals; i++) {
        uint32_t room = 65536 - cdf[i - 1] - (intervals - i);
        /* Now and then nearly everything, so that the rest is rare. */
        cdf[i] = cdf[i - 1] + 1 + dice_below(seed, room) / (i % 3 + 1);
    }
    cdf[intervals] = 65536;
    return intervals + 1;
}

static int32_t draw_limit(uint64_t *seed)
{
    switch (dice_below(seed, 8)) {
    case 0:
        return INT32_MIN;
    case 1:
        return INT32_MAX;
    default:
        return (int32_t)dice_below(seed, 2001) - 1000;
    }
}

struct nn_prior *random_prior_make(uint32_t channels, uint32_t contexts,
                                   uint64_t seed)
{
    struct nn_prior *prior = calloc(1, sizeof *prior);
    size_t tables = (size_t)channels * contexts;
    size_t limits = tables - channels;
    size_t weights = (size_t)3 * channels * channels;
    int8_t *weight = malloc(weights);
    *prior = (struct nn_prior){
        .name = "random",
        .channels = channels,
        .contexts = contexts,
        .gain = malloc(channels * sizeof *prior->gain),
        .inverse_gain = malloc(channels * sizeof *prior->inverse_gain),
        .symbol_min = malloc(channels * sizeof *prior->symbol_min),
        .cdf_start = calloc(tables + 1, sizeof *prior->cdf_start),
        .cdf = malloc(tables * (MOST_INTERVALS + 1) * sizeof *prior->cdf),
        .reciprocal =
            malloc(tables * (MOST_INTERVALS + 1) * sizeof *prior->reciprocal),
        .bucket = malloc(tables * NN_BUCKETS * sizeof *prior->bucket),
        .context_limit = malloc((limits + 1) * sizeof *prior->context_limit),
        .context_weight = weight};
    for (uint32_t c = 0; c < channels; c++) {
        prior->gain[c] = prior->inverse_gain[c] = 1.0f;
        prior->symbol_min[c] = -(int32_t)dice_below(&seed, MOST_INTERVALS);
    }
    for (size_t t = 0; t < tables; t++)
        prior->cdf_start[t + 1] =
            prior->cdf_start[t] +
            draw_table(&seed, prior->cdf + prior->cdf_start[t]);
    nn_rans_prepare(prior);
    for (size_t i = 0; i < limits; i++)
        prior->context_limit[i] = draw_limit(&seed);
    for (size_t i = 0; i < weights; i++)
        weight[i] = (int8_t)(dice_below(&seed, 256) - 128);
    for (size_t from = 0; from < channels; from++) /* as when read */
        memset(weight + (2 * channels + from) * channels, 0, from + 1);
    return prior;
}

void random_prior_free(struct nn_prior **prior)
{
    struct nn_prior *old = *prior;
    free(old->gain);
    free(old->inverse_gain);
    free(old->symbol_min);
    free(old->cdf_start);
    free(old->cdf);
    free(old->reciprocal);
    free(old->bucket);
    free(old->context_limit);
    free(old->context_weight);
    free(old);
    *prior = NULL;
}
