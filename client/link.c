/* What the link to the server costs: round trip and time per kilobyte. */
#include "client/link.h"

#include <math.h>

/* A smaller body's transfer drowns in the jitter of the round trip; it tells
 * about the round trip instead. */
#define LARGE_BYTES 4096u

#define GUESS_RTT_MS 60.0
#define GUESS_MS_PER_KB 4.0 /* 2 Mbit/s */

static double kilobytes(double bytes)
{
    return bytes / 1000.0;
}

void cli_link_observe(struct cli_link *link, size_t up_bytes, double elapsed_ms)
{
    if (!isfinite(elapsed_ms))
        return;
    if (elapsed_ms < 0)
        elapsed_ms = 0;
    double sent_kb = kilobytes((double)up_bytes);
    if (up_bytes < LARGE_BYTES) {
        double transfer_ms = sent_kb * link->ms_per_kb.mean;
        /* Throughput that was overestimated in time must not make the round
         * trip vanish: at least half of what was seen is round trip. */
        cli_estimate_add(&link->rtt_ms,
                         fmax(elapsed_ms - transfer_ms, elapsed_ms / 2));
        return;
    }
    if (link->rtt_ms.samples == 0 || elapsed_ms < link->rtt_ms.mean)
        cli_estimate_add(&link->rtt_ms, elapsed_ms / 2);
    cli_estimate_add(&link->ms_per_kb,
                     fmax(elapsed_ms - link->rtt_ms.mean, 0) / sent_kb);
}

void cli_link_predict(const struct cli_link *link, double bytes,
                      double *expected_ms, double *margin_ms)
{
    struct cli_estimate rtt = link->rtt_ms, per_kb = link->ms_per_kb;
    if (rtt.samples == 0)
        rtt = (struct cli_estimate){GUESS_RTT_MS, GUESS_RTT_MS / 2, 1};
    if (per_kb.samples == 0)
        per_kb = (struct cli_estimate){GUESS_MS_PER_KB, GUESS_MS_PER_KB / 2, 1};
    double sent_kb = kilobytes(bytes);
    *expected_ms = rtt.mean + sent_kb * per_kb.mean;
    *margin_ms = hypot(cli_estimate_margin(&rtt),
                       sent_kb * cli_estimate_margin(&per_kb));
}

bool cli_link_knows_throughput(const struct cli_link *link)
{
    return link->ms_per_kb.samples > 0;
}
