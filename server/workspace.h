/* The memory in which one thread runs one model. */
#ifndef CLEAVE_SERVER_WORKSPACE_H
#define CLEAVE_SERVER_WORKSPACE_H

#include <stdint.h>

#include "api/status.h"
#include "nn/nn.h"

struct srv_model;

/* Buffers fit every point of the model. */
struct srv_workspace {
    struct srv_workspace *next; /* the model's */
    struct nn_context *context;
    uint8_t *pixels;
    float *latent;        /* those of a batch one behind another */
    float *probabilities; /* likewise */
};

/* Grey pixels and an empty latent, for runs that `threads` threads share, of up
 * to `batch` latents. */
enum api_status srv_workspace_open(const struct srv_model *model,
                                   unsigned threads, unsigned batch,
                                   struct srv_workspace **workspace,
                                   struct api_error *error);
/* Sets *workspace to NULL; NULL is fine. */
void srv_workspace_close(struct srv_workspace **workspace);

#endif
