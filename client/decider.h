/* What a device has learnt of its link, itself and its server, and the
 * decisions that it makes of that. */
#ifndef CLEAVE_CLIENT_DECIDER_H
#define CLEAVE_CLIENT_DECIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/breaker.h"
#include "client/policy.h"

/* Everything that requests, probes and runs have taught, and the last
 * decision. All clocks are the caller's monotonic milliseconds, so a replay
 * drives it as well as a device does. Plain data without pointers, but for
 * the last choice's reason, which is static text: may be copied. Not
 * thread-safe. */
struct cli_decider {
    struct cli_link link;
    struct cli_cost device, server;
    struct cli_exits exits;
    struct cli_estimate decode_ms, queue_ms;
    struct cli_power power;
    struct cli_breaker breaker;
    int previous; /* point chosen last, or -1 */
    uint32_t random_state;

    /* Trials of points not taken lately. */
    int tried;       /* the last picture's, or -1 */
    double tried_ms; /* when the last one was made */
    double try_after_ms, probe_after_ms, try_pause_ms;
    unsigned late_probes; /* in a row, after a failure */
    bool went_alone;      /* the last picture was answered here by choice */

    double bytes_per_picture; /* of the data plan; 0: no limit */
    double allowance_bytes;   /* saved up and not yet sent */

    /* The table that the last choice was made from. */
    struct cli_forecast forecasts[API_LIMIT_POINTS];
    struct cli_choice choice;
    uint16_t forecast_count; /* 0: no choice yet */
    enum cli_objective objective;
    double deadline_ms; /* 0: none */
    size_t jpeg_bytes;
};

/* One picture to decide about. Pointers are borrowed. */
struct cli_question {
    const struct api_point *points;
    uint16_t point_count;
    const bool *can_run; /* [point_count] */
    enum cli_objective objective;
    int kind; /* only this api_point_kind; -1: any */
    double now_ms;
    double decode_ms; /* known for this picture; negative: predict it */
    size_t jpeg_bytes;
    double deadline_ms; /* left; 0: none */
};

/* Knows nothing. `seed` spreads retries and trials over devices. */
void cli_decider_reset(struct cli_decider *decider, uint32_t seed);

/* A number from 0 to 1, to spread retries. */
double cli_decider_random(struct cli_decider *decider);

/* The points have changed: what was learnt of the old ones' speed stays only
 * as a guess. */
void cli_decider_forget_points(struct cli_decider *decider);

/* A data plan: `bytes_per_picture` on average, saved up for as many pictures
 * as a few minutes hold; 0 ends it. */
void cli_decider_set_plan(struct cli_decider *decider,
                          double bytes_per_picture);

/* What the policy is told about this picture. */
struct cli_policy_input cli_decider_input(const struct cli_decider *decider,
                                          const struct cli_question *question);

/* Decides, and keeps the table in `forecasts`. Once for each picture. */
struct cli_choice cli_decider_choose(struct cli_decider *decider,
                                     const struct cli_question *question);

/* The server answered a request of `up_bytes` after `elapsed_ms` beyond its
 * own time. */
void cli_decider_saw_reply(struct cli_decider *decider, size_t up_bytes,
                           double elapsed_ms, double now_ms);

/* It did not within `waited_ms`. True if most replies would have come by then,
 * so that it is a failure; else only the time allowed was short. */
bool cli_decider_saw_silence(struct cli_decider *decider, size_t up_bytes,
                             double waited_ms, double now_ms);

/* It refused or cannot be reached; see cli_breaker_failure. */
void cli_decider_saw_failure(struct cli_decider *decider, double at_least_ms,
                             double now_ms);

/* The server's own time for a point, as Server-Timing tells it. */
void cli_decider_saw_server(struct cli_decider *decider, uint16_t point,
                            uint64_t tail_macs, double queue_ms,
                            double compute_ms);

/* The longest request, where nobody asks for another limit, and the shortest
 * that is worth sending. */
#define CLI_REQUEST_MOST_MS 10000.0
#define CLI_REQUEST_LEAST_MS 1.0

/* How long the server may take for the picture in question: what is left of
 * its deadline (INFINITY: it has none), less what the device needs to answer by
 * `local_point` (-1: it cannot) after the server has failed, if that fits, but
 * never less than half of it. */
double cli_decider_patience_ms(const struct cli_decider *decider,
                               const struct cli_question *question,
                               int local_point);

/* Is it time for a probe, before the picture in question? By one a broken
 * connection is tried again, and a link that was too slow for any picture.
 * Where the device alone, by `local_point`, cannot be in time no pause after a
 * failure is kept. *wait_ms: how long the picture waits for it, a few round
 * trips of better days, and half of `spare_ms`, the server's time, at most.
 * Then it was silent; but it goes on beside the pictures for CLI_PROBE_MOST_MS,
 * or until the next one. */
bool cli_decider_wants_probe(struct cli_decider *decider,
                             const struct cli_question *question,
                             int local_point, double spare_ms, double *wait_ms);

/* Without that, a link that has become slow would never answer in time. */
#define CLI_PROBE_MOST_MS 2000.0

/* A probe was answered after it had been taken for silent. True if that is to
 * be believed, by cli_decider_saw_reply: after a failure the third in a row.
 * One or two are a stall that ends, so that the next probe only comes soon. */
bool cli_decider_believes_late_probe(struct cli_decider *decider,
                                     double now_ms);

#endif
