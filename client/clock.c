/* Monotonic time. */
#include "client/clock.h"

double cli_now_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

void cli_sleep_ms(double ms)
{
    if (!(ms > 0))
        return;
    struct timespec pause = cli_timespec(ms);
    nanosleep(&pause, NULL);
}

struct timespec cli_timespec(double ms)
{
    struct timespec made = {.tv_sec = (time_t)(ms / 1e3)};
    made.tv_nsec = (long)((ms - (double)made.tv_sec * 1e3) * 1e6);
    return made;
}

void cli_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}
