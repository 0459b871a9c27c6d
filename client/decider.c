/* What a device has learnt of its link, itself and its server, and the
 * decisions that it makes of that. */
#include "client/decider.h"

#include <math.h>

/* Guesses for machines not measured yet: 2 and 10 GMAC/s. */
#define DEVICE_MS_PER_MMAC 0.5
#define SERVER_MS_PER_MMAC 0.1

/* Decoding before any was seen. */
#define DECODE_GUESS_MS 5.0

/* A point that may have become better is tried again after the shorter pause,
 * and after each trial in vain twice as late, up to the longer one. */
#define TRY_FIRST_PAUSE_MS 3000.0
#define TRY_LONGEST_PAUSE_MS 12000.0

/* Trials may cost so much of all time. */
#define TRIAL_SHARE 0.005

/* Under a deadline a trial in vain is a miss, not just a slow answer. */
#define TRY_DEADLINE_FACTOR 10.0

/* A data plan's savings: so many pictures' worth at most. */
#define PLAN_SAVES_PICTURES 100.0

/* A probe answers within the usual round trip or the link is still bad. */
#define PROBE_ROUND_TRIPS 4.0
#define PROBE_LEAST_MS 50.0
#define PROBE_MOST_MS 1000.0
#define LATE_PROBES_BELIEVED 3u

/* The rest of the time is for the picture itself; a probe that could be waited
 * for so briefly is not worth it. */
#define PROBE_SHARE 0.5
#define WAIT_LEAST_MS 1.0

void cli_decider_reset(struct cli_decider *decider, uint32_t seed)
{
    *decider = (struct cli_decider){
        .power = CLI_POWER_DEFAULT,
        .previous = -1,
        .tried = -1,
        .random_state = seed ? seed : 1,
        .try_pause_ms = TRY_FIRST_PAUSE_MS,
        .try_after_ms = INFINITY, /* until the first reply */
    };
    cli_cost_reset(&decider->device, DEVICE_MS_PER_MMAC);
    cli_cost_reset(&decider->server, SERVER_MS_PER_MMAC);
}

void cli_decider_forget_points(struct cli_decider *decider)
{
    cli_cost_reset(&decider->device, decider->device.ms_per_mmac.mean);
    cli_cost_reset(&decider->server, decider->server.ms_per_mmac.mean);
    decider->exits = (struct cli_exits){.runs = {0}};
    decider->previous = decider->tried = -1;
    decider->forecast_count = 0;
}

void cli_decider_set_plan(struct cli_decider *decider, double bytes_per_picture)
{
    decider->bytes_per_picture = bytes_per_picture;
    decider->allowance_bytes = 0;
}

/* xorshift32 (Marsaglia, 2003): spreads retries, nothing more. */
double cli_decider_random(struct cli_decider *decider)
{
    uint32_t state = decider->random_state;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    decider->random_state = state;
    return (double)state / 4294967296.0;
}

struct cli_policy_input cli_decider_input(const struct cli_decider *decider,
                                          const struct cli_question *question)
{
    double decode_ms = question->decode_ms;
    if (decode_ms < 0)
        decode_ms = decider->decode_ms.samples > 0 ? decider->decode_ms.mean
                                                   : DECODE_GUESS_MS;
    return (struct cli_policy_input){
        .points = question->points,
        .point_count = question->point_count,
        .can_run = question->can_run,
        .link = &decider->link,
        .device = &decider->device,
        .exits = &decider->exits,
        .server = &decider->server,
        .queue_ms = &decider->queue_ms,
        .power = &decider->power,
        .objective = question->objective,
        .now_ms = question->now_ms,
        .decode_ms = decode_ms,
        .jpeg_bytes = question->jpeg_bytes,
        .deadline_ms = question->deadline_ms,
        .allowance_bytes = decider->bytes_per_picture > 0
                               ? decider->allowance_bytes
                               : INFINITY,
        .max_loss = CLI_POLICY_MAX_LOSS,
        .kind = question->kind,
        .previous = decider->previous,
        .trial_budget_ms =
            question->now_ms >= decider->try_after_ms
                ? TRIAL_SHARE * (question->now_ms - decider->tried_ms)
                : 0,
    };
}

static double pause_ms(struct cli_decider *decider)
{
    double factor = decider->deadline_ms > 0 ? TRY_DEADLINE_FACTOR : 1;
    return factor * decider->try_pause_ms *
           (0.75 + 0.5 * cli_decider_random(decider));
}

/* Was the last trial worth it? Then the next may come soon. */
static void learn_from_trial(struct cli_decider *decider, int point)
{
    if (decider->tried < 0)
        return;
    decider->try_pause_ms =
        point == decider->tried
            ? TRY_FIRST_PAUSE_MS
            : fmin(2 * decider->try_pause_ms, TRY_LONGEST_PAUSE_MS);
    decider->tried = -1;
}

struct cli_choice cli_decider_choose(struct cli_decider *decider,
                                     const struct cli_question *question)
{
    decider->allowance_bytes =
        fmin(decider->allowance_bytes + decider->bytes_per_picture,
             PLAN_SAVES_PICTURES * decider->bytes_per_picture);
    struct cli_policy_input input = cli_decider_input(decider, question);
    struct cli_choice *choice = &decider->choice;
    cli_policy_choose(&input, decider->forecasts, choice);
    decider->forecast_count = question->point_count;
    decider->objective = question->objective;
    decider->deadline_ms = question->deadline_ms;
    decider->jpeg_bytes = question->jpeg_bytes;
    decider->went_alone =
        choice->point >= 0 &&
        question->points[choice->point].kind == API_POINT_LOCAL;
    if (choice->is_trial) {
        decider->tried = choice->point;
        decider->tried_ms = question->now_ms;
        decider->try_after_ms = question->now_ms + pause_ms(decider);
    } else {
        learn_from_trial(decider, choice->point);
        decider->previous = choice->point;
    }
    return *choice;
}

/* Nothing is tried before something is known to compare it with. */
static void begin_trials(struct cli_decider *decider, double now_ms)
{
    if (decider->link.known)
        return;
    decider->tried_ms = now_ms;
    decider->try_after_ms = now_ms + TRY_FIRST_PAUSE_MS;
}

void cli_decider_saw_reply(struct cli_decider *decider, size_t up_bytes,
                           double elapsed_ms, double now_ms)
{
    begin_trials(decider, now_ms);
    decider->late_probes = 0;
    cli_breaker_success(&decider->breaker);
    cli_link_observe(&decider->link, up_bytes, elapsed_ms, now_ms);
    decider->allowance_bytes -= (double)up_bytes;
}

bool cli_decider_saw_silence(struct cli_decider *decider, size_t up_bytes,
                             double waited_ms, double now_ms)
{
    struct cli_link_forecast forecast =
        cli_link_predict(&decider->link, (double)up_bytes, now_ms);
    bool surprising =
        waited_ms >
        forecast.expected_ms + cli_link_margin(&decider->link, &forecast, 0.95);
    begin_trials(decider, now_ms);
    cli_link_observe_silence(&decider->link, up_bytes, waited_ms, now_ms);
    decider->allowance_bytes -= (double)up_bytes;
    /* One probe in an outage is as long as the next: none surprises. */
    return surprising || decider->breaker.failures > 0;
}

void cli_decider_saw_failure(struct cli_decider *decider, double at_least_ms,
                             double now_ms)
{
    cli_breaker_failure(&decider->breaker, now_ms, cli_decider_random(decider),
                        at_least_ms);
}

void cli_decider_saw_server(struct cli_decider *decider, uint16_t point,
                            uint64_t tail_macs, double queue_ms,
                            double compute_ms)
{
    cli_estimate_add(&decider->queue_ms, queue_ms);
    cli_cost_observe(&decider->server, point, tail_macs, compute_ms);
}

static double alone_ms(const struct cli_decider *decider,
                       const struct cli_question *question,
                       uint16_t local_point)
{
    struct cli_policy_input input = cli_decider_input(decider, question);
    return cli_policy_predict(&input, local_point).expected_ms;
}

double cli_decider_patience_ms(const struct cli_decider *decider,
                               const struct cli_question *question,
                               int local_point)
{
    double left_ms =
        question->deadline_ms > 0 ? question->deadline_ms : INFINITY;
    if (!isfinite(left_ms) || local_point < 0)
        return left_ms;
    double reserve_ms = alone_ms(decider, question, (uint16_t)local_point);
    /* Where the device alone would be late, only the server can be in time. */
    return reserve_ms < left_ms ? fmax(left_ms - reserve_ms, left_ms / 2)
                                : left_ms;
}

/* Would the device alone be late, or answer nothing? */
static bool needs_server(const struct cli_decider *decider,
                         const struct cli_question *question, int local_point)
{
    return local_point < 0 ||
           (question->deadline_ms > 0 &&
            alone_ms(decider, question, (uint16_t)local_point) >
                question->deadline_ms);
}

bool cli_decider_wants_probe(struct cli_decider *decider,
                             const struct cli_question *question,
                             int local_point, double spare_ms, double *wait_ms)
{
    *wait_ms = PROBE_MOST_MS;
    if (decider->link.least_ms > 0)
        *wait_ms = fmin(
            fmax(PROBE_ROUND_TRIPS * decider->link.least_ms, PROBE_LEAST_MS),
            PROBE_MOST_MS);
    *wait_ms = fmin(*wait_ms, PROBE_SHARE * spare_ms);
    if (*wait_ms < WAIT_LEAST_MS)
        return false;
    if (decider->breaker.failures > 0)
        return cli_breaker_allows(&decider->breaker, question->now_ms) ||
               needs_server(decider, question, local_point);
    if (!decider->went_alone || decider->objective != CLI_LATENCY ||
        question->now_ms < decider->probe_after_ms)
        return false;
    decider->probe_after_ms = question->now_ms + pause_ms(decider);
    return true;
}

bool cli_decider_believes_late_probe(struct cli_decider *decider, double now_ms)
{
    if (decider->breaker.failures == 0 ||
        ++decider->late_probes >= LATE_PROBES_BELIEVED)
        return true;
    cli_breaker_success(&decider->breaker);
    cli_decider_saw_failure(decider, 0, now_ms);
    return false;
}
