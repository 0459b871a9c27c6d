/* The memory in which one thread runs one model. */
#ifndef CLEAVE_SERVER_WORKSPACE_H
#define CLEAVE_SERVER_WORKSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/nn.h"

struct srv_model;

/* Buffers fit every point of the model. */
struct srv_workspace {
    struct srv_workspace *next; /* the model's */
    struct nn_context *context;
    uint8_t *pixels;
    float *latent;
    float *probabilities;
};

enum api_status srv_workspace_open(const struct srv_model *model,
                                   struct srv_workspace **workspace,
                                   struct api_error *error);
/* Sets *workspace to NULL; NULL is fine. */
void srv_workspace_close(struct srv_workspace **workspace);

/* Runs every point, or only the first that can run, on a grey picture and an
 * empty latent, so that no request meets cold memory. API_INTERNAL if an
 * answer is no probability distribution. */
enum api_status srv_workspace_test(struct srv_workspace *workspace,
                                   const struct srv_model *model,
                                   bool every_point, struct api_error *error);

#endif
