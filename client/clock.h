/* Monotonic time. */
#ifndef CLEAVE_CLIENT_CLOCK_H
#define CLEAVE_CLIENT_CLOCK_H

#include <pthread.h>
#include <time.h>

/* Milliseconds since some fixed moment in the past. Thread-safe. */
double cli_now_ms(void);

/* Sleeps for `ms` milliseconds, or less if a signal comes; nothing if
 * ms <= 0. */
void cli_sleep_ms(double ms);

/* A moment of cli_now_ms, or a span, as the system takes it; not negative. */
struct timespec cli_timespec(double ms);

/* Initialises a condition whose timed waits go by cli_now_ms, and not by the
 * time of day, which may be set. */
void cli_condition_init(pthread_cond_t *condition);

#endif
