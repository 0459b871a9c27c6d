/* Reads a binary PPM that has exactly the size the network takes. */
#ifndef CLEAVE_TRAIN_ENGINE_PPM_H
#define CLEAVE_TRAIN_ENGINE_PPM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/nn.h"

/* Does the file begin as a binary PPM does? */
bool ppm_recognise(const uint8_t *bytes, size_t count);

/* Copies the samples of a P6 file of 8 bits into `pixels` (room for height *
 * width * 3 bytes), unchanged. API_UNPROCESSABLE unless the header is "P6",
 * width, height and 255, parted by white space without comments, and the
 * samples end where the file does. */
enum api_status ppm_read(const struct nn_input *input, const uint8_t *bytes,
                         size_t count, uint8_t *pixels,
                         struct api_error *error);

#endif
