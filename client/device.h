/* The device's own side: decoding a picture and running parts of the model. */
#ifndef CLEAVE_CLIENT_DEVICE_H
#define CLEAVE_CLIENT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/nn.h"

/* A bundle ready to run, with all buffers that a picture needs. Not
 * thread-safe. */
struct cli_device;

/* Takes `model` (also on failure) and allocates for it. */
enum api_status cli_device_open(struct nn_model *model,
                                struct cli_device **device,
                                struct api_error *error);

/* Closes the model too and sets *device to NULL. NULL is fine. */
void cli_device_close(struct cli_device **device);

/* Borrowed. */
const struct nn_model *cli_device_model(const struct cli_device *device);

/* Can it answer alone? The local point's index, or -1. */
int cli_device_local_point(const struct cli_device *device);

/* Decodes a JPEG and keeps the pixels for the runs that follow. *ms becomes
 * the time it took. Errors as nn_picture_from_jpeg. */
enum api_status cli_device_decode(struct cli_device *device, const void *jpeg,
                                  size_t jpeg_bytes, double *ms,
                                  struct api_error *error);

/* Makes of a JPEG one of `quality`, 1 to 100, that holds no more than the
 * network looks at (nn_picture_small). The decoded pixels stay as they are.
 * *shrunk is malloc'ed and becomes the caller's. *decode_ms and *encode_ms
 * become the times it took. Errors as nn_picture_from_jpeg. */
enum api_status cli_device_shrink(const struct cli_device *device,
                                  const void *jpeg, size_t jpeg_bytes,
                                  int quality, uint8_t **shrunk,
                                  size_t *shrunk_bytes, double *decode_ms,
                                  double *encode_ms, struct api_error *error);

/* Runs a split point's head on the decoded pixels, and its exit if it has one.
 * *sure: the exit is, and cli_device_answer has the answer. *ms becomes the
 * time for both. */
enum api_status cli_device_run_head(struct cli_device *device, uint16_t point,
                                    bool *sure, double *ms,
                                    struct api_error *error);

/* Makes the frame of what the head of `point` has just given. It is borrowed
 * and lives until the next one. *ms grows by the time for it. */
enum api_status cli_device_make_frame(struct cli_device *device, uint16_t point,
                                      const uint8_t **frame,
                                      size_t *frame_bytes, double *ms,
                                      struct api_error *error);

/* Runs a local point's network on the decoded pixels; cli_device_answer has the
 * answer. */
enum api_status cli_device_run_local(struct cli_device *device, uint16_t point,
                                     double *ms, struct api_error *error);

/* The answer of the last run that gave one. Writes at most `capacity` classes,
 * best first, and returns how many. */
uint32_t cli_device_answer(const struct cli_device *device,
                           struct nn_class *top, uint32_t capacity);

#endif
