/* The client's choice: which operating point to take for one picture. */
#include "client/policy.h"

#include <math.h>

#define P95 0.95

/* Where chances weigh accuracy anyway: a point that is late more often than the
 * fifth time takes no part. At a tight deadline the p95 leaves only those that
 * are quick and mostly wrong. */
#define LIKELY 0.8

/* What it is worth to be in time, in answers that are right: who sets a
 * deadline would rather have a worse answer than a late one. In the replay
 * misses fall by a sixth as against chance times accuracy alone, which sends
 * more late than cautious rules do, and nothing is gained beyond. */
#define IN_TIME 3.5

/* Hysteresis. */
#define CLEARLY_QUICKER 0.9
#define CLEARLY_QUICKER_MS 1.0
#define CLEARLY_MORE_ACCURATE 0.005
#define CLEARLY_CHEAPER 0.95

/* Under a deadline a trial may be expected to take this share of it. */
#define TRIAL_SLACK 0.8

static double square(double value)
{
    return value * value;
}

/* What a picture takes to send. For a split point whose size the bundle does
 * not tell: two bits for each value of the latent. */
static double body_bytes(const struct cli_policy_input *input,
                         const struct api_point *point)
{
    double measured = cli_exits_body_bytes(point);
    switch (point->kind) {
    case API_POINT_OFFLOAD:
        /* The smaller of both files is sent. */
        return point->quality > 0 && measured >= 0
                   ? fmin(measured, (double)input->jpeg_bytes)
                   : (double)input->jpeg_bytes;
    case API_POINT_SPLIT:
        if (measured >= 0)
            return measured;
        return (double)point->latent_height * point->latent_width *
               point->latent_channels / 4.0;
    case API_POINT_LOCAL:
        break;
    }
    return 0;
}

/* Which share of the pictures that are sent must be quicker for `share` of all
 * to be, where those of the exit are the first; none if that is not above 0. */
static double among_sent(double share, double sent)
{
    return 1 - (1 - share) / sent;
}

/* Adds the server's and the link's part to those of the device, for the
 * pictures that do not stay there. */
static void add_remote(const struct cli_policy_input *input, uint16_t point,
                       double body, double variance,
                       struct cli_forecast *forecast)
{
    double part_ms, margin_ms, sent = 1 - forecast->stays;
    double likely = among_sent(LIKELY, sent), p95 = among_sent(P95, sent);
    cli_cost_predict(input->server, point, input->points[point].tail_macs,
                     &part_ms, &margin_ms);
    double queue_margin_ms = cli_estimate_margin(input->queue_ms);
    variance += margin_ms * margin_ms + queue_margin_ms * queue_margin_ms;
    double machines_ms =
        forecast->expected_ms + part_ms + input->queue_ms->mean;
    struct cli_link_forecast link =
        cli_link_predict(input->link, body, input->now_ms);
    double whole_ms = machines_ms + link.expected_ms;
    forecast->expected_ms =
        forecast->stays * forecast->expected_ms + sent * whole_ms;
    /* The parts vary independently, so their margins add as squares. */
    if (likely > 0) {
        margin_ms = cli_link_margin(input->link, &link, likely);
        forecast->likely_ms = whole_ms + sqrt(variance + square(margin_ms));
    }
    if (p95 > 0) {
        margin_ms = cli_link_margin(input->link, &link, p95);
        forecast->p95_ms = whole_ms + sqrt(variance + square(margin_ms));
        struct cli_link_forecast sure = link;
        sure.unsure_ms = 0;
        margin_ms = cli_link_margin(input->link, &sure, p95);
        forecast->sure_ms = whole_ms + sqrt(variance + square(margin_ms));
        double hoped = fmax(1 - link.unsure_ms / link.expected_ms, 0);
        forecast->hoped_ms = machines_ms + hoped * link.expected_ms +
                             sqrt(variance + square(hoped * margin_ms));
    }
    if (input->deadline_ms > 0)
        forecast->meets =
            forecast->stays * forecast->meets +
            sent * cli_link_share_below(input->link, &link,
                                        input->deadline_ms - machines_ms);
}

struct cli_forecast cli_policy_predict(const struct cli_policy_input *input,
                                       uint16_t point)
{
    const struct api_point *info = &input->points[point];
    double body = body_bytes(input, info);
    double stays = cli_exits_share(input->exits, point, info);
    struct cli_forecast forecast = {
        .stays = stays, .bytes = (1 - stays) * body, .meets = 1};
    double part_ms = 0, margin_ms = 0;
    if (info->kind != API_POINT_OFFLOAD || info->quality > 0) {
        cli_cost_predict(input->device, point, info->head_macs, &part_ms,
                         &margin_ms);
        forecast.expected_ms = input->decode_ms + part_ms;
    }
    forecast.joules =
        cli_power_joules(input->power, forecast.expected_ms, forecast.bytes);
    forecast.p95_ms = forecast.expected_ms + margin_ms;
    forecast.likely_ms = forecast.sure_ms = forecast.hoped_ms = forecast.p95_ms;
    if (input->deadline_ms > 0 && forecast.p95_ms > input->deadline_ms)
        forecast.meets = forecast.expected_ms > input->deadline_ms ? 0 : 0.5;
    if (info->kind != API_POINT_LOCAL && stays < 1)
        add_remote(input, point, body, square(margin_ms), &forecast);
    return forecast;
}

static bool is_at_hand(const struct cli_policy_input *input, uint16_t point)
{
    const struct api_point *info = &input->points[point];
    return info->id[0] != '\0' && input->can_run[point] &&
           (input->kind < 0 || (int)info->kind == input->kind);
}

/* Time that the device needs to answer alone after the server has failed, if
 * it can do that within the deadline at all; else 0. INFINITY without a
 * deadline and without a local point. */
static double local_reserve_ms(const struct cli_policy_input *input,
                               const struct cli_forecast *forecasts)
{
    double reserve_ms = INFINITY;
    for (uint16_t i = 0; i < input->point_count; i++) {
        if (input->points[i].kind == API_POINT_LOCAL && input->can_run[i] &&
            !(input->deadline_ms > 0 &&
              forecasts[i].p95_ms > input->deadline_ms))
            reserve_ms = fmin(reserve_ms, forecasts[i].p95_ms);
    }
    return isfinite(reserve_ms) || !(input->deadline_ms > 0) ? reserve_ms : 0;
}

/* The accuracy that a point needs to take part. */
static double least_top1(const struct cli_policy_input *input)
{
    double best = -1;
    if (input->objective == CLI_ACCURACY)
        return -INFINITY;
    for (uint16_t i = 0; i < input->point_count; i++) {
        if (is_at_hand(input, i))
            best = fmax(best, input->points[i].top1);
    }
    return best < 0 ? -INFINITY : fmax(best - input->max_loss, 0);
}

/* How long a point may take. */
static double limit_ms(const struct cli_policy_input *input, uint16_t point,
                       double reserve_ms)
{
    if (!(input->deadline_ms > 0))
        return INFINITY;
    double limit = input->deadline_ms;
    if (input->points[point].kind != API_POINT_LOCAL)
        limit -= reserve_ms;
    return limit;
}

/* Of an answer that is in time with this chance, under CLI_ACCURACY. */
static double worth(const struct api_point *point, double meets)
{
    return meets * (IN_TIME + point->top1);
}

static bool clearly_quicker(double ms, double than_ms)
{
    return ms < CLEARLY_QUICKER * than_ms && ms < than_ms - CLEARLY_QUICKER_MS;
}

/* Is point a better than b by the objective, if `clearly` by enough to be
 * worth a change? */
static bool is_better(const struct cli_policy_input *input,
                      const struct cli_forecast *forecasts, int a, int b,
                      bool clearly)
{
    const struct cli_forecast *left = &forecasts[a], *right = &forecasts[b];
    double gain = worth(&input->points[a], left->meets) -
                  worth(&input->points[b], right->meets);
    switch (input->objective) {
    case CLI_ENERGY:
        if (left->joules != right->joules)
            return left->joules <
                   right->joules * (clearly ? CLEARLY_CHEAPER : 1);
        break;
    case CLI_ACCURACY:
        if (clearly ? gain >= CLEARLY_MORE_ACCURATE : gain > 0)
            return true;
        if (gain < 0)
            return false;
        break;
    case CLI_LATENCY:
        break;
    }
    return clearly ? clearly_quicker(left->p95_ms, right->p95_ms)
                   : left->p95_ms < right->p95_ms;
}

/* Rules points out, and says by what. */
static void judge(const struct cli_policy_input *input, double reserve_ms,
                  struct cli_forecast *forecasts)
{
    double least = least_top1(input);
    for (uint16_t i = 0; i < input->point_count; i++) {
        struct cli_forecast *row = &forecasts[i];
        if (!is_at_hand(input, i))
            row->verdict = CLI_NOT_AT_HAND;
        else if (row->bytes > input->allowance_bytes)
            row->verdict = CLI_BEYOND_BYTES;
        else if (input->points[i].top1 < least)
            row->verdict = CLI_BEYOND_LOSS;
        else if ((input->objective == CLI_ACCURACY
                      ? row->likely_ms
                      : row->p95_ms) > limit_ms(input, i, reserve_ms))
            row->verdict = CLI_BEYOND_TIME;
        else
            row->verdict = CLI_NO_BETTER;
    }
}

static int best_of(const struct cli_policy_input *input,
                   const struct cli_forecast *forecasts)
{
    int best = -1;
    for (uint16_t i = 0; i < input->point_count; i++) {
        if (forecasts[i].verdict == CLI_NO_BETTER &&
            (best < 0 || is_better(input, forecasts, i, best, false)))
            best = i;
    }
    return best;
}

/* Where no point passes: the likeliest to be right in time, or if none is
 * expected in time the quickest of those that may be, because the device alone
 * is sure to be late and would never find out that the link is good again;
 * without any within the allowance the one that sends least. */
static int lesser_evil(const struct cli_policy_input *input,
                       const struct cli_forecast *forecasts)
{
    int likeliest = -1, quickest = -1, leanest = -1;
    double best = 0;
    bool late_quickest = true;
    for (uint16_t i = 0; i < input->point_count; i++) {
        const struct cli_forecast *row = &forecasts[i];
        if (row->verdict == CLI_NOT_AT_HAND)
            continue;
        if (leanest < 0 || row->bytes < forecasts[leanest].bytes)
            leanest = i;
        if (row->verdict == CLI_BEYOND_BYTES)
            continue;
        bool late = row->meets <= 0; /* for sure */
        if (quickest < 0 || (late_quickest && !late) ||
            (late_quickest == late &&
             row->expected_ms < forecasts[quickest].expected_ms)) {
            quickest = i;
            late_quickest = late;
        }
        double gain = worth(&input->points[i], row->meets);
        if (row->expected_ms < input->deadline_ms && gain > best) {
            best = gain;
            likeliest = i;
        }
    }
    return likeliest >= 0 ? likeliest : quickest >= 0 ? quickest : leanest;
}

/* A point to be tried instead of `taken`, or -1. */
static int find_trial(const struct cli_policy_input *input,
                      const struct cli_forecast *forecasts, int taken)
{
    const struct cli_forecast *held = &forecasts[taken];
    int best = -1;
    for (uint16_t i = 0; i < input->point_count; i++) {
        const struct cli_forecast *row = &forecasts[i];
        if (i == taken || input->points[i].kind == API_POINT_LOCAL)
            continue;
        bool hopeful = false;
        double costs_ms = row->expected_ms - held->expected_ms;
        if (input->objective == CLI_LATENCY)
            hopeful = row->verdict == CLI_NO_BETTER &&
                      (clearly_quicker(row->sure_ms, held->p95_ms) ||
                       (costs_ms < input->trial_budget_ms &&
                        clearly_quicker(row->hoped_ms, held->p95_ms)));
        else if (input->objective == CLI_ACCURACY && input->deadline_ms > 0)
            hopeful = row->verdict == CLI_BEYOND_TIME &&
                      input->trial_budget_ms > 0 &&
                      row->expected_ms < TRIAL_SLACK * input->deadline_ms &&
                      input->points[i].top1 - input->points[taken].top1 >=
                          CLEARLY_MORE_ACCURATE;
        if (hopeful && (best < 0 || row->sure_ms < forecasts[best].sure_ms))
            best = i;
    }
    return best;
}

static const char *reason_of(const struct cli_policy_input *input)
{
    bool bounded = input->deadline_ms > 0;
    switch (input->objective) {
    case CLI_ACCURACY:
        return bounded ? "most accurate within the deadline" : "most accurate";
    case CLI_ENERGY:
        return bounded ? "fewest joules within the deadline" : "fewest joules";
    case CLI_LATENCY:
        break;
    }
    return "quickest within the accepted loss";
}

/* Without a deadline the server is given up when the device's own answer would
 * have been there: whoever waits as long as the alternative takes never takes
 * more than twice the best (the ski-rental rule; Karlin et al., 1988). */
static double wait_ms(const struct cli_policy_input *input, double p95_ms,
                      double reserve_ms)
{
    if (!(input->deadline_ms > 0))
        return fmax(reserve_ms, p95_ms);
    return reserve_ms > 0 ? input->deadline_ms - reserve_ms : INFINITY;
}

void cli_policy_choose(const struct cli_policy_input *input,
                       struct cli_forecast *forecasts,
                       struct cli_choice *choice)
{
    for (uint16_t i = 0; i < input->point_count; i++)
        forecasts[i] = cli_policy_predict(input, i);
    double reserve_ms = local_reserve_ms(input, forecasts);
    judge(input, reserve_ms, forecasts);
    *choice = (struct cli_choice){.reason = reason_of(input)};
    int point = best_of(input, forecasts);
    int previous = input->previous;
    if (point >= 0 && previous >= 0 && previous < input->point_count &&
        previous != point && forecasts[previous].verdict == CLI_NO_BETTER &&
        !is_better(input, forecasts, point, previous, true)) {
        point = previous;
        choice->reason = "no point is clearly better";
    }
    int trial = point >= 0 ? find_trial(input, forecasts, point) : -1;
    if (trial >= 0) {
        point = trial;
        choice->is_trial = true;
        choice->reason = "may have become better: tried";
    }
    if (point < 0) {
        point = lesser_evil(input, forecasts);
        choice->reason = "no point is sure to meet the deadline: the likeliest";
    }
    choice->point = point;
    if (point < 0) {
        choice->reason = "no point can run";
        return;
    }
    if (forecasts[point].verdict == CLI_BEYOND_BYTES)
        choice->reason = "beyond the allowance: sends least";
    forecasts[point].verdict = CLI_TAKEN;
    choice->expected_ms = forecasts[point].expected_ms;
    choice->p95_ms = forecasts[point].p95_ms;
    choice->wait_ms = wait_ms(input, choice->p95_ms, reserve_ms);
}

const char *cli_verdict_name(enum cli_verdict verdict)
{
    switch (verdict) {
    case CLI_TAKEN:
        return "taken";
    case CLI_NOT_AT_HAND:
        return "not at hand";
    case CLI_BEYOND_BYTES:
        return "too many bytes";
    case CLI_BEYOND_LOSS:
        return "too inaccurate";
    case CLI_BEYOND_TIME:
        return "too slow";
    case CLI_NO_BETTER:
        return "no better";
    }
    return "unknown";
}
