/* How often the exits of split points keep pictures on this device. */
#include "client/exits.h"

#include <math.h>

/* What was measured counts as so many pictures seen here. */
#define MEASURED_RUNS 20.0

/* A picture so long ago weighs 1/e: slow, for shares of a few pictures scatter
 * widely, and a wrong one costs little. */
#define REMEMBERED_RUNS 200.0

void cli_exits_observe(struct cli_exits *exits, uint16_t point, bool stayed)
{
    const double fade = 1 - 1 / REMEMBERED_RUNS;
    if (point >= API_LIMIT_POINTS)
        return;
    exits->runs[point] = fade * exits->runs[point] + 1;
    exits->stays[point] = fade * exits->stays[point] + (stayed ? 1 : 0);
}

double cli_exits_share(const struct cli_exits *exits, uint16_t point,
                       const struct api_point *info)
{
    if (!(info->exit_threshold > 0) || point >= API_LIMIT_POINTS)
        return 0;
    /* Unmeasured it is not relied on before it was seen. */
    double measured = fmax(info->exit_share, 0);
    return (MEASURED_RUNS * measured + exits->stays[point]) /
           (MEASURED_RUNS + exits->runs[point]);
}

double cli_exits_body_bytes(const struct api_point *info)
{
    double sent = info->exit_threshold > 0 ? 1 - fmax(info->exit_share, 0) : 1;
    return sent > 0 ? info->bytes_mean / sent : -1;
}
