/* Monotonic time. */
#include "client/clock.h"

#include <time.h>

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
    struct timespec pause = {0};
    pause.tv_sec = (time_t)(ms / 1e3);
    pause.tv_nsec = (long)((ms - (double)pause.tv_sec * 1e3) * 1e6);
    nanosleep(&pause, NULL);
}
