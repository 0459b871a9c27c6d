/* How wrong predictions were lately: a quantile without a distribution. */
#include "client/scores.h"

#include <math.h>
#include <string.h>

#include "client/sort.h"

/* Before there is evidence: three standard deviations. */
#define GUESS 3.0

/* The normal distribution's weight, in kept scores. */
#define PRIOR_WEIGHT 4.0

void cli_scores_add(struct cli_scores *scores, double score)
{
    if (!isfinite(score))
        return;
    scores->kept[scores->next] = (float)score;
    scores->next = (scores->next + 1) % CLI_SCORES_KEPT;
    if (scores->count < CLI_SCORES_KEPT)
        scores->count++;
}

double cli_scores_quantile(const struct cli_scores *scores, double share)
{
    float sorted[CLI_SCORES_KEPT];
    uint32_t count = scores->count;
    memcpy(sorted, scores->kept, sizeof sorted);
    cli_sort_floats(sorted, count);
    double rank = ceil(share * (count + 1.0));
    if (rank > count)
        return fmax(GUESS, count > 0 ? (double)sorted[count - 1] : 0);
    return fmax(0, rank < 1 ? 0 : (double)sorted[(uint32_t)rank - 1]);
}

double cli_scores_share_below(const struct cli_scores *scores, double score)
{
    double below = PRIOR_WEIGHT * 0.5 * erfc(-score / sqrt(2));
    for (uint32_t i = 0; i < scores->count; i++)
        below += (double)scores->kept[i] <= score;
    return below / (scores->count + PRIOR_WEIGHT);
}
