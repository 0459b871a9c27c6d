/* A running estimate of a varying quantity: its mean and its spread. */
#ifndef CLEAVE_CLIENT_ESTIMATE_H
#define CLEAVE_CLIENT_ESTIMATE_H

#include <stdint.h>

/* Exponentially weighted mean and mean absolute deviation, as TCP keeps them
 * of its round trip (RFC 6298). Zero-initialised: nothing seen yet. Plain
 * data: not thread-safe, may be copied. */
struct cli_estimate {
    double mean;
    double deviation;
    uint32_t samples; /* saturates */
};

/* Takes in one sample. Values that are not finite are ignored. */
void cli_estimate_add(struct cli_estimate *estimate, double sample);

/* How much to add to the mean so that about 95 of 100 samples stay below. */
double cli_estimate_margin(const struct cli_estimate *estimate);

#endif
