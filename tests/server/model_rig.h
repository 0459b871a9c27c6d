/* Frames and photos that the tests send. */
#ifndef CLEAVE_TESTS_MODEL_RIG_H
#define CLEAVE_TESTS_MODEL_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "nn/nn.h"

/* The tiny model with a context, and a photo as its input. */
struct model_rig {
    struct nn_model *model;
    struct nn_context *context;
    uint8_t *pixels;
    char *photo; /* PHOTO's bytes */
    size_t photo_bytes;
};

void model_rig_open(struct model_rig *rig);
void model_rig_close(struct model_rig *rig);

/* Runs the head of a split point on the photo and makes the frame, into
 * `frame`, which has room for API_LIMIT_FRAME_BYTES. */
void model_rig_frame(struct model_rig *rig, uint16_t point, uint8_t *frame,
                     size_t *frame_bytes);

/* Index of a split point of the tiny model. */
uint16_t model_rig_split(const struct model_rig *rig);

/* A grey picture that takes long to decode: many progressive scans of many
 * blocks. malloc'ed. */
uint8_t *slow_jpeg(size_t *bytes);

#endif
