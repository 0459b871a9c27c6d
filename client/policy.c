/* The client's choice: which operating point to take for one picture. */
#include "client/policy.h"

#include <math.h>

#define CLEARLY_QUICKER 0.9
#define CLEARLY_QUICKER_MS 1.0
#define CLEARLY_MORE_ACCURATE 0.005
#define NEW_POINT_SLACK 0.9

/* Body of a split request whose size the bundle does not tell: two bits for
 * each value of the latent. */
static double body_bytes(const struct cli_policy_input *input,
                         const struct api_point *point)
{
    switch (point->kind) {
    case API_POINT_OFFLOAD:
        return (double)input->jpeg_bytes;
    case API_POINT_SPLIT:
        if (point->bytes_mean >= 0)
            return point->bytes_mean;
        return (double)point->latent_height * point->latent_width *
               point->latent_channels / 4.0;
    case API_POINT_LOCAL:
        break;
    }
    return 0;
}

void cli_policy_predict(const struct cli_policy_input *input, uint16_t point,
                        double *expected_ms, double *p95_ms)
{
    const struct api_point *info = &input->points[point];
    double expected = 0, variance = 0, part = 0, margin = 0;
    if (info->kind != API_POINT_OFFLOAD) {
        cli_cost_predict(input->device, point, info->head_macs, &part, &margin);
        expected += input->decode_ms + part;
        variance += margin * margin;
    }
    if (info->kind != API_POINT_LOCAL) {
        cli_cost_predict(input->server, point, info->tail_macs, &part, &margin);
        expected += part;
        variance += margin * margin;
        cli_link_predict(input->link, body_bytes(input, info), &part, &margin);
        expected += part;
        variance += margin * margin;
    }
    *expected_ms = expected;
    /* The parts vary independently, so their margins add as squares. */
    *p95_ms = expected + sqrt(variance);
}

static bool may_take(const struct cli_policy_input *input, uint16_t point)
{
    const struct api_point *info = &input->points[point];
    return info->id[0] != '\0' && input->can_run[point] &&
           (input->kind < 0 || (int)info->kind == input->kind);
}

static struct cli_choice describe(const struct cli_policy_input *input,
                                  int point, const char *reason)
{
    struct cli_choice choice = {.point = point, .reason = reason};
    if (point >= 0)
        cli_policy_predict(input, (uint16_t)point, &choice.expected_ms,
                           &choice.p95_ms);
    return choice;
}

/* The quickest point by p95 that may be taken and passes `accept`, or -1. */
static int quickest(const struct cli_policy_input *input,
                    bool (*accept)(const struct api_point *, double),
                    double bound)
{
    int best = -1;
    double best_ms = INFINITY;
    for (uint16_t i = 0; i < input->point_count; i++) {
        if (!may_take(input, i) || !accept(&input->points[i], bound))
            continue;
        double expected_ms, p95_ms;
        cli_policy_predict(input, i, &expected_ms, &p95_ms);
        if (p95_ms < best_ms) {
            best_ms = p95_ms;
            best = i;
        }
    }
    return best;
}

static bool accurate_enough(const struct api_point *point, double least)
{
    return point->top1 >= least;
}

static bool is_local(const struct api_point *point, double unused)
{
    (void)unused;
    return point->kind == API_POINT_LOCAL;
}

static bool any_point(const struct api_point *point, double unused)
{
    (void)point;
    (void)unused;
    return true;
}

/* Is `rival` so much quicker than `held` that a change is worth it? */
static bool clearly_quicker(const struct cli_choice *rival,
                            const struct cli_choice *held)
{
    return rival->p95_ms < CLEARLY_QUICKER * held->p95_ms &&
           rival->p95_ms < held->p95_ms - CLEARLY_QUICKER_MS;
}

static bool is_previous_usable(const struct cli_policy_input *input)
{
    return input->previous >= 0 && input->previous < input->point_count &&
           may_take(input, (uint16_t)input->previous);
}

static struct cli_choice choose_quick(const struct cli_policy_input *input)
{
    double best_top1 = -1;
    for (uint16_t i = 0; i < input->point_count; i++) {
        if (may_take(input, i) && input->points[i].top1 > best_top1)
            best_top1 = input->points[i].top1;
    }
    double least =
        best_top1 < 0 ? -INFINITY : fmax(best_top1 - input->max_loss, 0);
    int best = quickest(input, accurate_enough, least);
    struct cli_choice choice =
        describe(input, best, "quickest within the accepted loss");
    if (best < 0 || best == input->previous || !is_previous_usable(input) ||
        input->points[input->previous].top1 < least)
        return choice;
    struct cli_choice held =
        describe(input, input->previous, "no point is clearly quicker");
    return clearly_quicker(&choice, &held) ? choice : held;
}

/* Time that the device needs to answer alone after the server has failed, if
 * it can do that within the deadline at all; else 0. */
static double local_reserve_ms(const struct cli_policy_input *input)
{
    double reserve_ms = INFINITY;
    for (uint16_t i = 0; i < input->point_count; i++) {
        if (input->points[i].kind != API_POINT_LOCAL || !input->can_run[i])
            continue;
        double expected_ms, p95_ms;
        cli_policy_predict(input, i, &expected_ms, &p95_ms);
        if (p95_ms <= input->deadline_ms)
            reserve_ms = fmin(reserve_ms, expected_ms);
    }
    return isfinite(reserve_ms) ? reserve_ms : 0;
}

static struct cli_choice
choose_by_deadline(const struct cli_policy_input *input)
{
    double reserve_ms = local_reserve_ms(input);
    struct cli_choice best = {.point = -1}, held = {.point = -1};
    for (uint16_t i = 0; i < input->point_count; i++) {
        if (!may_take(input, i))
            continue;
        struct cli_choice rival =
            describe(input, i, "most accurate within the deadline");
        double limit_ms = input->deadline_ms;
        if (input->points[i].kind != API_POINT_LOCAL)
            limit_ms -= reserve_ms;
        if (i == input->previous && rival.p95_ms <= limit_ms)
            held = rival;
        if (i != input->previous)
            limit_ms *= NEW_POINT_SLACK;
        if (rival.p95_ms > limit_ms)
            continue;
        double gain = best.point < 0 ? INFINITY
                                     : input->points[i].top1 -
                                           input->points[best.point].top1;
        if (gain > 0 || (!(gain < 0) && rival.p95_ms < best.p95_ms))
            best = rival;
    }
    if (best.point >= 0 && held.point >= 0 && best.point != held.point &&
        input->points[best.point].top1 - input->points[held.point].top1 <
            CLEARLY_MORE_ACCURATE &&
        !clearly_quicker(&best, &held)) {
        held.reason = "no point is clearly better within the deadline";
        return held;
    }
    if (best.point >= 0)
        return best;
    int local = quickest(input, is_local, 0);
    if (local >= 0)
        return describe(input, local, "no point is sure to meet the deadline");
    return describe(input, quickest(input, any_point, 0),
                    "no point meets the deadline: the quickest");
}

void cli_policy_choose(const struct cli_policy_input *input,
                       struct cli_choice *choice)
{
    *choice = input->deadline_ms > 0 ? choose_by_deadline(input)
                                     : choose_quick(input);
    if (choice->point < 0)
        choice->reason = "no point can run";
}
