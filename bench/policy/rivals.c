/* Who decides in a replay, but for Cleave's own policy. */
#include "bench/policy/rivals.h"

#include <math.h>

#include "bench/policy/ledger.h"
#include "client/policy.h"

#define GIVE_UP_MS 10000.0

/* The third paper's client. */
#define PAPER_WEIGHT 0.4
#define PAPER_SHARE 0.8
#define PAPER_BYTES_PER_MS 100.0 /* before the first request */

/* By `point`, or by the device after the server was given up. */
static struct passage enter_passage(struct ledger *ledger, uint16_t point,
                                    double give_up_ms)
{
    const struct world *world = ledger->world;
    double start_ms = ledger_start_ms(ledger);
    uint64_t picture = ledger->outcome->pictures;
    struct passage passage = world_pass(world, picture, point, start_ms);
    ledger->outcome->bytes += passage.body_bytes;
    if (passage.link_ms <= give_up_ms) {
        ledger_enter(ledger, point, start_ms + world_passage_ms(&passage));
        return passage;
    }
    uint16_t local = world_local_point(world);
    start_ms += passage.device_ms + give_up_ms;
    struct passage alone = world_pass(world, picture, local, start_ms);
    ledger_enter(ledger, local, start_ms + world_passage_ms(&alone));
    return passage;
}

bool rules_accept(const struct world *world, const struct rules *rules,
                  uint16_t point)
{
    double best = 0;
    for (uint16_t i = 0; i < world->point_count; i++)
        best = fmax(best, world->points[i].top1);
    return rules->deadline_ms > 0 ||
           world->points[point].top1 >= best - CLI_POLICY_MAX_LOSS;
}

/* The best point for a picture begun at `start_ms`, with `left_ms` to its
 * deadline, if everything about that moment is known. */
static uint16_t best_point(const struct world *world, const struct rules *rules,
                           uint64_t picture, double start_ms, double left_ms)
{
    uint16_t best = world_local_point(world);
    double best_ms = INFINITY, best_worth = -1;
    for (uint16_t i = 0; i < world->point_count; i++) {
        if (!rules_accept(world, rules, i))
            continue;
        struct passage passage = world_pass(world, picture, i, start_ms);
        double ms = world_passage_ms(&passage);
        bool in_time = rules->deadline_ms > 0 && ms <= left_ms;
        double worth = in_time ? world->points[i].top1 : 0;
        if (worth > best_worth || (!(worth < best_worth) && ms < best_ms)) {
            best = i;
            best_ms = ms;
            best_worth = worth;
        }
    }
    return best;
}

bool rival_oracle(const struct world *world, const struct rules *rules,
                  struct outcome *outcome)
{
    struct ledger ledger;
    if (!ledger_open(&ledger, world, rules, outcome))
        return false;
    while (outcome->pictures < world->picture_count) {
        double start_ms = ledger_start_ms(&ledger);
        double late_ms = start_ms - ledger_due_ms(&ledger);
        enter_passage(&ledger,
                      best_point(world, rules, outcome->pictures, start_ms,
                                 rules->deadline_ms - late_ms),
                      GIVE_UP_MS);
    }
    return true;
}

bool rival_late_oracle(const struct world *world, const struct rules *rules,
                       struct outcome *outcome)
{
    struct ledger ledger;
    if (!ledger_open(&ledger, world, rules, outcome))
        return false;
    uint16_t best = world_local_point(world);
    struct passage alone = world_pass(world, 0, best, 0);
    while (outcome->pictures < world->picture_count) {
        double due_ms = ledger_due_ms(&ledger);
        uint64_t picture = outcome->pictures;
        enter_passage(&ledger, best, world_passage_ms(&alone));
        best = best_point(world, rules, picture, due_ms, rules->deadline_ms);
    }
    return true;
}

bool rival_fixed(const struct world *world, const struct rules *rules,
                 uint16_t point, struct outcome *outcome)
{
    struct ledger ledger;
    if (!ledger_open(&ledger, world, rules, outcome))
        return false;
    while (outcome->pictures < world->picture_count)
        enter_passage(&ledger, point, GIVE_UP_MS);
    return true;
}

bool rival_paper(const struct world *world, const struct rules *rules,
                 struct outcome *outcome)
{
    struct ledger ledger;
    if (!ledger_open(&ledger, world, rules, outcome))
        return false;
    double bytes_per_ms = PAPER_BYTES_PER_MS;
    while (outcome->pictures < world->picture_count) {
        int best = -1, leanest = -1;
        for (uint16_t i = 0; i < world->point_count; i++) {
            const struct api_point *point = &world->points[i];
            if (point->kind != API_POINT_SPLIT)
                continue;
            double compute_ms =
                world->costs->decode_ms + world->costs->device_ms[i];
            double ms = compute_ms + point->bytes_mean / bytes_per_ms;
            if (ms < PAPER_SHARE * rules->deadline_ms &&
                (best < 0 || point->top1 > world->points[best].top1))
                best = i;
            if (leanest < 0 ||
                point->bytes_mean + (double)point->head_macs * 1e-6 <
                    world->points[leanest].bytes_mean +
                        (double)world->points[leanest].head_macs * 1e-6)
                leanest = i;
        }
        struct passage passage = enter_passage(
            &ledger, (uint16_t)(best >= 0 ? best : leanest), GIVE_UP_MS);
        /* Its own code takes the decoder's time off as well. */
        double seen = passage.body_bytes / fmin(passage.link_ms, GIVE_UP_MS);
        bytes_per_ms = PAPER_WEIGHT * seen + (1 - PAPER_WEIGHT) * bytes_per_ms;
    }
    return true;
}
