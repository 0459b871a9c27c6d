/* How often the exits of split points keep pictures on this device. */
#ifndef CLEAVE_CLIENT_EXITS_H
#define CLEAVE_CLIENT_EXITS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/limits.h"
#include "api/point.h"

/* Pictures that a point's head has run on, and those of them whose answer was
 * the exit's, each weighing less the longer ago it was. Zero-initialised:
 * nothing seen. Plain data: not thread-safe, may be copied. */
struct cli_exits {
    double runs[API_LIMIT_POINTS], stays[API_LIMIT_POINTS];
};

/* Takes in one picture. Points beyond the limit are ignored. */
void cli_exits_observe(struct cli_exits *exits, uint16_t point, bool stayed);

/* The share that is expected to stay, 0 to 1: what the validation pictures did,
 * then more and more what was seen here. 0 for a point without an exit, for
 * which `exits` may be NULL. */
double cli_exits_share(const struct cli_exits *exits, uint16_t point,
                       const struct api_point *info);

/* Mean request body of the validation pictures that were sent; negative if
 * that was not measured or none was. */
double cli_exits_body_bytes(const struct api_point *info);

#endif
