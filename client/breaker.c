/* Circuit breaker: when to leave a failing server alone, and for how long. */
#include "client/breaker.h"

#include <math.h>

#define FIRST_PAUSE_MS 250.0
#define MOST_DOUBLINGS 5u /* 250 ms * 2^5 = 8 s */
#define LONGEST_RETRY_MS 30000.0

bool cli_breaker_allows(const struct cli_breaker *breaker, double now_ms)
{
    return breaker->failures == 0 || now_ms >= breaker->open_until_ms;
}

void cli_breaker_success(struct cli_breaker *breaker)
{
    *breaker = (struct cli_breaker){0};
}

void cli_breaker_failure(struct cli_breaker *breaker, double now_ms,
                         double jitter, double at_least_ms)
{
    uint32_t doublings =
        breaker->failures < MOST_DOUBLINGS ? breaker->failures : MOST_DOUBLINGS;
    double pause_ms = FIRST_PAUSE_MS * (double)(1u << doublings);
    /* fmin and fmax also turn a jitter or Retry-After that is not a number
     * into a bound. */
    pause_ms *= 1.0 - 0.5 * fmin(fmax(jitter, 0.0), 1.0);
    pause_ms = fmax(pause_ms, fmin(at_least_ms, LONGEST_RETRY_MS));
    breaker->open_until_ms = now_ms + pause_ms;
    if (breaker->failures < UINT32_MAX)
        breaker->failures++;
}
