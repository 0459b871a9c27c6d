/* Which rows of a step's input make which of its output. */
#include "nn/band.h"

struct nn_span nn_band_reach(const struct nn_step *step, struct nn_span rows)
{
    const size_t pad = step->pad[0], stride = step->stride[0];
    const size_t from = rows.from * stride;
    const size_t to = (rows.to - 1) * stride + nn_band_window(step);
    struct nn_span reach = {from > pad ? from - pad : 0,
                            to > pad ? to - pad : 0};

    if (reach.to > step->in.height)
        reach.to = step->in.height;
    if (reach.from > reach.to) /* all in the padding below */
        reach.from = reach.to;
    return reach;
}

struct nn_step nn_band_step(const struct nn_step *step, struct nn_span rows)
{
    const struct nn_span reach = nn_band_reach(step, rows);
    const size_t above = rows.from * step->stride[0];
    struct nn_step band = *step;

    band.in.height = (uint32_t)(reach.to - reach.from);
    band.out.height = (uint32_t)(rows.to - rows.from);
    band.pad[0] = above < step->pad[0] ? step->pad[0] - (uint32_t)above : 0;
    return band;
}
