/* Circuit breaker: when to leave a failing server alone, and for how long. */
#ifndef CLEAVE_CLIENT_BREAKER_H
#define CLEAVE_CLIENT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised: closed. Plain data without a clock of its own: times are
 * monotonic milliseconds given by the caller. Not thread-safe. */
struct cli_breaker {
    uint32_t failures; /* in a row */
    double open_until_ms;
};

/* May a request go out at `now_ms`? While failures last, one may each time the
 * pause is over: the trial that decides whether the breaker closes. */
bool cli_breaker_allows(const struct cli_breaker *breaker, double now_ms);

/* An answer came: closes the breaker. */
void cli_breaker_success(struct cli_breaker *breaker);

/* A request failed: opens the breaker for a pause that doubles with each
 * failure in a row, from a quarter of a second to eight seconds, shortened by
 * up to half by `jitter` (0 to 1) so that many devices do not return at once;
 * but for no less than `at_least_ms` (a server's Retry-After), itself clamped
 * to half a minute. Eight seconds, because a device that could have been
 * quicker with its server's help loses more than one small probe costs. */
void cli_breaker_failure(struct cli_breaker *breaker, double now_ms,
                         double jitter, double at_least_ms);

#endif
