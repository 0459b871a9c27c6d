/* What one inference thread owns. */
#ifndef CLEAVE_SERVER_WORKER_H
#define CLEAVE_SERVER_WORKER_H

#include <stdint.h>

#include "api/status.h"
#include "nn/nn.h"

/* Buffers fit every point of the default model. */
struct srv_worker {
    struct nn_context *context;
    uint8_t *pixels;
    float *latent;
    float *probabilities;
};

/* For struct srv_queue_options; `context` is the struct srv_registry. Opening
 * runs every point once, so that no request meets cold memory, and fails if
 * an answer is no probability distribution. */
enum api_status srv_worker_open(void *context, void **worker,
                                struct api_error *error);
void srv_worker_close(void **worker);

#endif
