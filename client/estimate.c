/* A running estimate of a varying quantity: its mean and its spread. */
#include "client/estimate.h"

#include <math.h>

/* RFC 6298 takes 1/8 and 1/4; a camera sends far fewer pictures than TCP sends
 * segments, so the mean follows faster here. */
#define MEAN_GAIN 0.25
#define DEVIATION_GAIN 0.25

/* Of the first sample. RFC 6298 takes a half; a machine's computing times, of
 * which these estimates are, scatter far less than round trips. */
#define FIRST_DEVIATION 0.125

/* For a normal distribution the 95 % quantile lies 1.645 standard deviations
 * above the mean, and one of those is 1.253 mean absolute deviations. */
#define P95_IN_DEVIATIONS (1.645 * 1.253)

void cli_estimate_add(struct cli_estimate *estimate, double sample)
{
    if (!isfinite(sample))
        return;
    if (estimate->samples == 0) {
        estimate->mean = sample;
        estimate->deviation = FIRST_DEVIATION * fabs(sample);
    } else {
        double error = sample - estimate->mean;
        estimate->mean += MEAN_GAIN * error;
        estimate->deviation +=
            DEVIATION_GAIN * (fabs(error) - estimate->deviation);
    }
    if (estimate->samples < UINT32_MAX)
        estimate->samples++;
}

double cli_estimate_margin(const struct cli_estimate *estimate)
{
    return P95_IN_DEVIATIONS * estimate->deviation;
}
