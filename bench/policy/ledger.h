/* The account of one replay: when pictures begin and how they end. */
#ifndef CLEAVE_BENCH_LEDGER_H
#define CLEAVE_BENCH_LEDGER_H

#include "bench/policy/rivals.h"

struct ledger {
    const struct world *world;
    const struct rules *rules;
    struct outcome *outcome;
    double free_ms; /* when the picture before was answered */
};

/* Allocates *outcome's lists; false without memory. */
bool ledger_open(struct ledger *ledger, const struct world *world,
                 const struct rules *rules, struct outcome *outcome);

/* Of the next picture: when it is due, and when it can begin. */
double ledger_due_ms(const struct ledger *ledger);
double ledger_start_ms(const struct ledger *ledger);

/* The next picture was answered by `point` at `end_ms`. */
void ledger_enter(struct ledger *ledger, uint16_t point, double end_ms);

#endif
