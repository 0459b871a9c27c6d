/* What device and server take for each point of a bundle, on this machine. */
#ifndef CLEAVE_CLIENT_SIMULATE_MEASURE_H
#define CLEAVE_CLIENT_SIMULATE_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "client/simulate/world.h"
#include "nn/nn.h"

/* A made-up JPEG, 640 by 480 pixels and about as rich as a photo. *jpeg is
 * malloc'ed and becomes the caller's to free(). */
enum api_status measure_picture(uint8_t **jpeg, size_t *jpeg_bytes,
                                struct api_error *error);

/* Medians of a few runs by one thread: of decoding, each head with its
 * encoding and the whole network (`device`), and of what a worker does for
 * each point (`server`). What is not asked for stays as it is. Takes the model
 * and closes it, also on failure. API_UNAVAILABLE: the bundle lacks a part, as
 * a head bundle does the tails. */
enum api_status measure_bundle(struct nn_model *model, bool device, bool server,
                               struct world_costs *costs,
                               struct api_error *error);

#endif
