/* One clock for deadlines and durations. */
#ifndef CLEAVE_SERVER_MONOTONIC_H
#define CLEAVE_SERVER_MONOTONIC_H

#include <stdint.h>
#include <time.h>

/* Microseconds since some fixed moment; never goes back. Thread-safe. */
static inline int64_t srv_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

#endif
