/* The account of one replay: when pictures begin and how they end. */
#include "bench/policy/ledger.h"

#include <math.h>
#include <stdlib.h>

void outcome_free(struct outcome *outcome)
{
    free(outcome->latency_ms);
    free(outcome->point);
    *outcome = (struct outcome){.pictures = 0};
}

bool ledger_open(struct ledger *ledger, const struct world *world,
                 const struct rules *rules, struct outcome *outcome)
{
    *ledger = (struct ledger){world, rules, outcome, 0};
    *outcome = (struct outcome){.pictures = 0};
    outcome->latency_ms = calloc(world->picture_count, sizeof(double));
    outcome->point = calloc(world->picture_count, sizeof(uint16_t));
    return outcome->latency_ms && outcome->point;
}

double ledger_due_ms(const struct ledger *ledger)
{
    return (double)ledger->outcome->pictures * ledger->world->period_ms;
}

double ledger_start_ms(const struct ledger *ledger)
{
    return fmax(ledger_due_ms(ledger), ledger->free_ms);
}

void ledger_enter(struct ledger *ledger, uint16_t point, double end_ms)
{
    struct outcome *outcome = ledger->outcome;
    double latency_ms = end_ms - ledger_due_ms(ledger);
    bool late = ledger->rules->deadline_ms > 0 &&
                latency_ms > ledger->rules->deadline_ms;
    outcome->latency_ms_sum += latency_ms;
    outcome->latency_ms[outcome->pictures] = latency_ms;
    outcome->point[outcome->pictures] = point;
    outcome->misses += late;
    outcome->accuracy_sum += late ? 0 : ledger->world->points[point].top1;
    outcome->pictures++;
    ledger->free_ms = end_ms;
}
