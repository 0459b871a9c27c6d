/* A small team of threads that share the work of one run. */
#ifndef CLEAVE_NN_THREADS_H
#define CLEAVE_NN_THREADS_H

#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

struct nn_threads;

/* One thread's place in a team; {0, 1, NULL} is a thread alone. */
struct nn_part {
    uint32_t index, count;
    struct nn_threads *threads;
};

/* The first of `total` pieces of work that part `index` does. The parts follow
 * each other and differ by one piece at most. */
static inline size_t nn_part_from(struct nn_part part, uint32_t index,
                                  size_t total)
{
    size_t rest = total % part.count;

    return total / part.count * index + (index < rest ? index : rest);
}

/* Pieces from..to-1 of some work. */
struct nn_span {
    size_t from, to;
};

static inline struct nn_span nn_part_span(struct nn_part part, size_t total)
{
    return (struct nn_span){nn_part_from(part, part.index, total),
                            nn_part_from(part, part.index + 1, total)};
}

/* Starts count - 1 threads (count at least 2); the caller of nn_threads_run is
 * the last one. API_NO_MEMORY, or API_INTERNAL if a thread cannot start. */
enum api_status nn_threads_open(uint32_t count, struct nn_threads **threads,
                                struct api_error *error);

/* Ends the threads and sets *threads to NULL; NULL is fine. */
void nn_threads_close(struct nn_threads **threads);

/* Calls work(job, part) in every thread of the team, part 0 in this one, and
 * returns when all have returned. A team runs one job at a time. Waiting
 * threads spin for some microseconds, then sleep. Allocates nothing. */
void nn_threads_run(struct nn_threads *threads,
                    void (*work)(void *job, struct nn_part part), void *job);

/* Inside work(): returns when all threads of the team have come here. What
 * each wrote before, all may read afterwards. Nothing for a thread alone. */
void nn_part_meet(struct nn_part part);

#endif
