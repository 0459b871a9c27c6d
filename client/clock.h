/* Monotonic time. */
#ifndef CLEAVE_CLIENT_CLOCK_H
#define CLEAVE_CLIENT_CLOCK_H

/* Milliseconds since some fixed moment in the past. Thread-safe. */
double cli_now_ms(void);

/* Sleeps for `ms` milliseconds, or less if a signal comes; nothing if
 * ms <= 0. */
void cli_sleep_ms(double ms);

#endif
