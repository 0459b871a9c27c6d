/* The ways from what a client sent to probabilities. */
#ifndef CLEAVE_SERVER_COMPUTE_H
#define CLEAVE_SERVER_COMPUTE_H

#include <stddef.h>
#include <stdint.h>

#include "api/frame.h"
#include "api/status.h"
#include "server/request.h"

/* Under load, a request that allows it is answered by the lightest network that
 * can: then `infer.point` is another one than `infer.asked`.
 *
 * Each borrows a workspace of the request's model, in which the probabilities
 * are left, and sets the point and how long the stages took. Worker threads.
 * Errors are those of nn_picture_from_jpeg, api_frame_read and
 * nn_latent_decode; API_MODEL_MISMATCH for a frame of no served version. */

/* A JPEG, through the whole network. */
enum api_status srv_compute_jpeg(struct srv_request *request,
                                 const uint8_t *jpeg, size_t jpeg_bytes,
                                 struct api_error *error);

/* RGB bytes, height x width x 3 as the network takes them, through the whole
 * network. */
enum api_status srv_compute_pixels(struct srv_request *request,
                                   const uint8_t *pixels,
                                   struct api_error *error);

/* A frame, through its point's tail. If it was made with another version of
 * the model that is served too, the request goes over to that one, unless it
 * names its version. */
enum api_status srv_compute_frame(struct srv_request *request,
                                  const uint8_t *bytes, size_t count,
                                  struct api_error *error);

/* The bodies of requests that the queue let run together, as frames, in one run
 * where their tails are the same. errors[i] tells what became of requests[i],
 * which is no other's affair; the answer of one that is API_OK is where
 * srv_compute_answer says until any of them is ended. */
void srv_compute_frames(struct srv_request *const *requests, unsigned count,
                        struct api_error *errors);

/* What the network made of a request: the probability of each class, in the
 * workspace. */
const float *srv_compute_answer(const struct srv_request *request);

/* What tells frames that srv_compute_frames can run together (srv_job.alike):
 * those of one tail of one model; NULL for a body that is none of this model's
 * or damaged. HTTP threads too. */
const void *srv_compute_alike(const struct srv_request *request);

/* Says in `quality` whether the request lets the server choose: "auto" or
 * "full". API_BAD_REQUEST for anything else. */
enum api_status srv_compute_quality(struct srv_request *request,
                                    const char *quality,
                                    struct api_error *error);

/* The first steps alone: a JPEG to the workspace's pixels, and a frame to its
 * latent; *frame borrows from `bytes`. They leave the point alone. */
enum api_status srv_compute_picture(struct srv_request *request,
                                    const uint8_t *jpeg, size_t jpeg_bytes,
                                    struct api_error *error);
enum api_status srv_compute_latent(struct srv_request *request,
                                   const uint8_t *bytes, size_t count,
                                   struct api_frame *frame,
                                   struct api_error *error);

/* Gives the workspace back, if one was borrowed. */
void srv_compute_end(struct srv_request *request);

#endif
