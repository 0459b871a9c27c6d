/* What the link to the server costs: round trip and time per kilobyte. */
#include "client/link.h"

#include <math.h>

/* The guess, 2 Mbit/s, and how unsure it is: standard deviations. */
#define GUESS_RTT_MS 60.0
#define GUESS_RTT_DEVIATION_MS 60.0
#define GUESS_MS_PER_KB 4.0
#define GUESS_PER_KB_DEVIATION 6.0

/* How far a link wanders in a second, of its present value: what drives of
 * cellular modems show for the throughput; the round trip is steadier. */
#define RTT_WANDER 0.05
#define PER_KB_WANDER 0.25
#define PER_KB_WANDERS_FROM 0.05 /* a fast link may become a slow one */
#define VARIANCE_LEAST 1e-9      /* rounding must not make it negative */

/* Exchanges scatter around their mean by these shares of their parts: a link
 * that is shared varies in throughput more than in distance. */
#define RTT_SCATTER 0.15
#define PER_KB_SCATTER 0.5
#define SCATTER_LEAST_MS 1.0

/* Further off than so many deviations is far off: the link has changed, or it
 * stalled for once. A change may be as large as the error in the round trip,
 * and in the throughput at least down to half a megabit a second. */
#define FAR_OFF 3.0
#define PER_KB_JUMP 16.0
#define DOUBT 3.0

/* No score counts for more: beyond, the link has changed. */
#define SCORE_MOST 6.0

/* What did not come within a time takes longer than that, by this at least. */
#define SILENCE_LASTS 1.25

static double square(double value)
{
    return value * value;
}

static double kilobytes(double bytes)
{
    return bytes / 1000.0;
}

/* Nothing is less sure than the guess, or than its own value is large. The
 * correlation stays what it was, so the variances remain possible. */
static void bound(struct cli_link *link)
{
    double rtt_most = square(fmax(GUESS_RTT_DEVIATION_MS, link->rtt_ms));
    double per_kb_most = square(fmax(GUESS_PER_KB_DEVIATION, link->ms_per_kb));
    double rtt_share = fmin(rtt_most / link->rtt_variance, 1);
    double per_kb_share = fmin(per_kb_most / link->per_kb_variance, 1);
    link->rtt_variance *= rtt_share;
    link->per_kb_variance *= per_kb_share;
    link->covariance *= sqrt(rtt_share * per_kb_share);
}

/* The state at `now_ms`: the same means, less sure with each second. */
static struct cli_link aged(const struct cli_link *link, double now_ms)
{
    struct cli_link now = *link;
    if (!link->known) {
        now.rtt_ms = GUESS_RTT_MS;
        now.ms_per_kb = GUESS_MS_PER_KB;
        now.rtt_variance = square(GUESS_RTT_DEVIATION_MS);
        now.covariance = 0;
        now.per_kb_variance = square(GUESS_PER_KB_DEVIATION);
        return now;
    }
    double seconds = fmax(now_ms - link->seen_ms, 0) / 1000.0;
    double rtt_step = RTT_WANDER * link->rtt_ms;
    double per_kb_step =
        PER_KB_WANDER * fmax(link->ms_per_kb, PER_KB_WANDERS_FROM);
    now.rtt_variance += square(rtt_step) * seconds;
    now.per_kb_variance += square(per_kb_step) * seconds;
    bound(&now);
    return now;
}

static double variance_at(const struct cli_link *link, double sent_kb)
{
    return link->rtt_variance + 2 * sent_kb * link->covariance +
           square(sent_kb) * link->per_kb_variance;
}

static struct cli_link_forecast describe(const struct cli_link *now,
                                         double sent_kb)
{
    double scatter = hypot(RTT_SCATTER * now->rtt_ms,
                           PER_KB_SCATTER * sent_kb * now->ms_per_kb);
    return (struct cli_link_forecast){
        .expected_ms = now->rtt_ms + sent_kb * now->ms_per_kb,
        .unsure_ms = sqrt(fmax(variance_at(now, sent_kb), 0)),
        .scatter_ms = fmax(scatter, SCATTER_LEAST_MS),
    };
}

static double deviation_ms(const struct cli_link_forecast *forecast)
{
    return hypot(forecast->unsure_ms, forecast->scatter_ms);
}

/* One step of the filter by an error of the prediction for `sent_kb`, whose
 * own variance is `total`. */
static void correct(struct cli_link *link, double sent_kb, double error_ms,
                    double total)
{
    double rtt_part = link->rtt_variance + sent_kb * link->covariance;
    double per_kb_part = link->covariance + sent_kb * link->per_kb_variance;
    link->rtt_ms = fmax(link->rtt_ms + rtt_part / total * error_ms, 0);
    link->ms_per_kb = fmax(link->ms_per_kb + per_kb_part / total * error_ms, 0);
    link->covariance -= rtt_part * per_kb_part / total;
    link->rtt_variance =
        fmax(link->rtt_variance - rtt_part * rtt_part / total, VARIANCE_LEAST);
    link->per_kb_variance =
        fmax(link->per_kb_variance - per_kb_part * per_kb_part / total,
             VARIANCE_LEAST);
}

/* Takes in one sample. One that is far off is doubted: about half of it is
 * taken for a stall that passes, unless the one before was doubted too. */
static void learn(struct cli_link *link, double sent_kb, double sample_ms,
                  bool may_believe, double now_ms)
{
    struct cli_link now = aged(link, now_ms);
    struct cli_link_forecast expected = describe(&now, sent_kb);
    double error_ms = sample_ms - expected.expected_ms;
    double deviation = deviation_ms(&expected);
    double noise = square(expected.scatter_ms);
    if (link->known)
        cli_scores_add(&now.scores, fmin(error_ms / deviation, SCORE_MOST));
    now.doubted = false;
    if (fabs(error_ms) > FAR_OFF * deviation) {
        now.doubted = !(may_believe && (link->doubted || !link->known));
        now.rtt_variance += square(error_ms);
        now.per_kb_variance += square(fmax(PER_KB_JUMP, now.ms_per_kb));
        noise += now.doubted ? DOUBT * square(error_ms) : 0;
    }
    correct(&now, sent_kb, error_ms, variance_at(&now, sent_kb) + noise);
    bound(&now);
    now.known = true;
    now.seen_ms = now_ms;
    *link = now;
}

void cli_link_observe(struct cli_link *link, size_t up_bytes, double elapsed_ms,
                      double now_ms)
{
    if (!isfinite(elapsed_ms))
        return;
    elapsed_ms = fmax(elapsed_ms, 0);
    if (!(link->least_ms > 0) || elapsed_ms < link->least_ms)
        link->least_ms = elapsed_ms;
    learn(link, kilobytes((double)up_bytes), elapsed_ms, true, now_ms);
}

void cli_link_observe_silence(struct cli_link *link, size_t up_bytes,
                              double waited_ms, double now_ms)
{
    struct cli_link_forecast expected =
        cli_link_predict(link, (double)up_bytes, now_ms);
    if (SILENCE_LASTS * waited_ms > expected.expected_ms)
        learn(link, kilobytes((double)up_bytes), SILENCE_LASTS * waited_ms,
              false, now_ms);
}

struct cli_link_forecast cli_link_predict(const struct cli_link *link,
                                          double bytes, double now_ms)
{
    struct cli_link now = aged(link, now_ms);
    return describe(&now, kilobytes(bytes));
}

double cli_link_margin(const struct cli_link *link,
                       const struct cli_link_forecast *forecast, double share)
{
    return cli_scores_quantile(&link->scores, share) * deviation_ms(forecast);
}

double cli_link_share_below(const struct cli_link *link,
                            const struct cli_link_forecast *forecast, double ms)
{
    return cli_scores_share_below(&link->scores, (ms - forecast->expected_ms) /
                                                     deviation_ms(forecast));
}
