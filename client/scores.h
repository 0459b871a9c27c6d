/* How wrong predictions were lately: a quantile without a distribution. */
#ifndef CLEAVE_CLIENT_SCORES_H
#define CLEAVE_CLIENT_SCORES_H

#include <stdint.h>

#define CLI_SCORES_KEPT 64u

/* The last scores (observed - predicted) / predicted deviation. Transfer times
 * have heavy tails that no normal distribution covers, so the margin above a
 * prediction is read off what really happened, as in split conformal
 * prediction (Vovk et al., 2005; Lei et al., 2018). Zero-initialised: nothing
 * seen. Plain data, may be copied. */
struct cli_scores {
    float kept[CLI_SCORES_KEPT];
    uint32_t next;
    uint32_t count; /* at most CLI_SCORES_KEPT */
};

/* Takes in one score, oldest out. Not finite: ignored. */
void cli_scores_add(struct cli_scores *scores, double score);

/* The score that `share` (0 to 1) of the next predictions stay below: rank
 * share * (count + 1), rounded up, of those kept. While too few are kept for
 * that rank, a guess that is no lower than the highest. Never below 0. */
double cli_scores_quantile(const struct cli_scores *scores, double share);

/* The share of predictions expected to stay below `score`, 0 to 1 exclusive:
 * those kept, and a normal distribution that counts as a few more. */
double cli_scores_share_below(const struct cli_scores *scores, double score);

#endif
