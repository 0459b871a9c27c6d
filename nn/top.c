/* The most probable classes. */
#include "nn/nn.h"

/* Does a class come before `other` in the answer? */
static bool before(float probability, uint32_t index,
                   const struct nn_class *other)
{
    return probability > other->probability ||
           (probability == other->probability && index < other->index);
}

uint32_t nn_top(const float *probabilities, uint32_t class_count,
                struct nn_class *top, uint32_t top_count)
{
    uint32_t held = 0;

    for (uint32_t i = 0; i < class_count && top_count; i++) {
        uint32_t at = held;

        if (held == top_count && !before(probabilities[i], i, &top[held - 1]))
            continue;
        if (held < top_count)
            held++;
        else
            at = held - 1;
        for (; at && before(probabilities[i], i, &top[at - 1]); at--)
            top[at] = top[at - 1];
        top[at] = (struct nn_class){i, probabilities[i]};
    }
    return held;
}
