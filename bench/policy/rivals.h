/* Who decides in a replay: Cleave's policy, and what it is compared with. */
#ifndef CLEAVE_BENCH_RIVALS_H
#define CLEAVE_BENCH_RIVALS_H

#include <stdbool.h>

#include "client/simulate/world.h"

/* Without a deadline the aim is to be quick within the accepted loss of
 * accuracy, with one to be right within it. */
struct rules {
    double deadline_ms; /* 0: none */
};

/* How one decider did over a whole trace. */
struct outcome {
    uint64_t pictures;
    double latency_ms_sum; /* from a picture's due time to its answer */
    double *latency_ms;    /* [pictures]; owned */
    uint16_t *point;       /* [pictures] that made the answer; owned */
    uint64_t misses;       /* answers after the deadline */
    double accuracy_sum;   /* top-1 of answers in time */
    double bytes, probe_bytes;
};

void outcome_free(struct outcome *outcome);

/* Each allocates *outcome; false without memory. All answer every picture:
 * one begins when it is due and the one before is done. */

/* client/decider.c, driven as client/classify.c drives it. */
bool rival_auto(const struct world *world, const struct rules *rules,
                struct outcome *outcome);

/* Knows what each point will do. Without a deadline the quickest: an earlier
 * end never makes a later picture slower, so no decider can be quicker in
 * all. With one the most accurate that meets it. */
bool rival_oracle(const struct world *world, const struct rules *rules,
                  struct outcome *outcome);

/* Knows all that about the moment when the picture before was due, and nothing
 * newer: what foresight is worth, against what the best informed decider
 * without it could do. It gives a server up as Cleave does. */
bool rival_late_oracle(const struct world *world, const struct rules *rules,
                       struct outcome *outcome);

/* Always the same point. A server that does not answer within ten seconds is
 * given up and the device answers. */
bool rival_fixed(const struct world *world, const struct rules *rules,
                 uint16_t point, struct outcome *outcome);

/* The rule of the third paper, by its published code: throughput from the last
 * request by an exponentially weighted mean of 0.4, fixed computing times,
 * the most accurate split point within 0.8 of the deadline, else the leanest.
 * It needs a deadline. */
bool rival_paper(const struct world *world, const struct rules *rules,
                 struct outcome *outcome);

/* May `point` be taken under these rules, accuracy considered? */
bool rules_accept(const struct world *world, const struct rules *rules,
                  uint16_t point);

#endif
