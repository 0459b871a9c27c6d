/* Finds steps that run together. */
#include "nn/chain.h"

#include "nn/band.h"

enum {
    LINE_BYTES = 64,
    /* From so many on a value between two steps is not in a second-level cache
     * any more when the next step reads it (docs/PERFORMANCE.md). */
    LARGE_BYTES = 768 << 10,
    /* The rows between the steps, and all their weights, which meet each band
     * again. */
    BANDS_BYTES = 512 << 10,
    WEIGHTS_BYTES = 256 << 10,
};

/* Can it be run row by row? Every window must hold a row of the input, so that
 * the rows needed follow those made. */
static bool goes_by_rows(const struct nn_step *step)
{
    switch (step->op) {
    case NN_OP_CONV:
    case NN_OP_DWCONV:
    case NN_OP_AFFINE:
    case NN_OP_QUANTIZE:
    case NN_OP_MAXPOOL:
    case NN_OP_AVGPOOL:
        return !step->layer && !step->winograd &&
               step->pad[0] < nn_band_window(step) &&
               (size_t)(step->out.height - 1) * step->stride[0] <
                   (size_t)step->in.height + step->pad[0];
    default:
        return false;
    }
}

/* Bytes between the steps for `rows` rows of the last one's output, and where
 * each value's lie. The first band needs most: later ones find the rows that
 * two windows share. */
static size_t bands_bytes(struct nn_step *steps, uint32_t count, uint32_t rows)
{
    size_t bytes = 0;

    for (uint32_t i = count - 1; i > 0; i--) {
        size_t needed =
            (size_t)(rows - 1) * steps[i].stride[0] + nn_band_window(&steps[i]);

        if (needed > steps[i].in.height)
            needed = steps[i].in.height;
        rows = (uint32_t)needed;
        steps[i - 1].to = (struct nn_place){NN_AT_CHAIN, bytes / sizeof(float)};
        bytes +=
            (needed * nn_band_row_bytes(&steps[i].in, steps[i].from_quant) +
             LINE_BYTES - 1) /
            LINE_BYTES * LINE_BYTES;
    }
    return bytes;
}

size_t nn_chain_find(struct nn_step *steps, uint32_t count,
                     const bool *hands_on)
{
    size_t weights = nn_step_weight_bytes(&steps[0]);
    uint32_t length = 1, rows = 1;

    steps[0].chain_steps = 1;
    if (!goes_by_rows(&steps[0]) || weights > WEIGHTS_BYTES)
        return 0;
    for (; length < count && length < NN_CHAIN_STEPS_MAX; length++) {
        const struct nn_step *next = &steps[length];
        const size_t value =
            nn_band_row_bytes(&next->in, next->from_quant) * next->in.height;

        weights += nn_step_weight_bytes(next);
        if (!hands_on[length - 1] || value < LARGE_BYTES ||
            !goes_by_rows(next) || weights > WEIGHTS_BYTES ||
            bands_bytes(steps, length + 1, 1) > BANDS_BYTES)
            break;
    }
    if (length == 1)
        return 0;
    while (rows < steps[length - 1].out.height &&
           bands_bytes(steps, length, rows + 1) <= BANDS_BYTES)
        rows++;
    steps[0].chain_steps = length;
    steps[0].chain_rows = rows;
    return bands_bytes(steps, length, rows) / sizeof(float);
}
