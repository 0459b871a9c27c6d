/* oneDNN for large dense convolutions of floats, where a program wants it. */
#ifndef CLEAVE_NN_ONEDNN_H
#define CLEAVE_NN_ONEDNN_H

#include "api/status.h"

/* Lets models that are opened from now on run those dense convolutions by
 * oneDNN for which it is faster than our kernels (the rule is in nn/onednn.c).
 * The library is loaded, not linked, and only when the first such layer is
 * planned: it takes 40 MB, which most bundles do not need. It is the system's
 * libdnnl of the version that this was built with; where that is missing, makes
 * threads in another way than by OpenMP, or refuses a layer, our kernels run.
 *
 * A layer is computed by one thread, while others of its context wait: without
 * is better for a program that gives runs several. Answers differ from our
 * kernels' in the rounding of sums, and are repeatable on one machine.
 *
 * CLEAVE_ONEDNN in the environment overrides the rule: "off" never, "on" for
 * every layer that the library takes (API_USAGE if it cannot be loaded). Any
 * other value that is not empty: API_USAGE.
 *
 * In a program built without oneDNN this does nothing. Call it before the first
 * model is opened. */
#ifdef CLEAVE_HAS_ONEDNN
enum api_status nn_onednn_use(struct api_error *error);
#else
static inline enum api_status nn_onednn_use(struct api_error *error)
{
    (void)error;
    return API_OK;
}
#endif

#endif
