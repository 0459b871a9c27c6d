/* A model with all that running it takes. */
#ifndef TESTS_NN_RIG_H
#define TESTS_NN_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "nn/nn.h"

#define RIG_TINY CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors"

/* A model, one context, a smooth picture, and room for what any of its points
 * makes. */
struct rig {
    struct nn_model *model;
    struct nn_context *context;
    uint8_t *pixels;
    float *latent, *restored, *probabilities;
    uint8_t *payload;
};

/* Opens the bundle at `path`; a test fails where that does. */
void rig_open(struct rig *rig, const char *path);

void rig_close(struct rig *rig);

/* Memory to be freed by the caller; a test fails where there is none. */
void *rig_memory(size_t bytes);

#endif
