/* The inference engine: the public header of nn/, beside onednn.h. */
#ifndef CLEAVE_NN_NN_H
#define CLEAVE_NN_NN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/point.h"
#include "api/status.h"

/* A bundle, opened, validated and planned. Immutable after nn_model_open, so
 * any number of threads may use it at once, each through its own context. */
struct nn_model;

/* One worker's working memory for every graph of a model. Not thread-safe:
 * one per thread. Nothing is allocated after nn_context_open. */
struct nn_context;

/* What the network takes: RGB bytes, height x width x 3, interleaved. */
struct nn_input {
    uint16_t width, height;  /* pixels */
    uint16_t resize_shorter; /* shorter side before the centre crop */
    bool bicubic;            /* else bilinear; both antialiased */
    float mean[3], scale[3]; /* x = (pixel - mean) / scale */
};

/* One class of an answer. */
struct nn_class {
    uint32_t index;
    float probability;
};

/* Opens and validates the bundle at `path` (read-only memory map; weights are
 * packed for this CPU, once) and plans every graph in it. A head bundle, which
 * lacks tails and maybe the full network, is valid: the points that need what
 * is missing still appear but cannot be run. API_NOT_FOUND if the file cannot
 * be opened, API_BAD_BUNDLE with a reason if it is not a valid bundle. The
 * file must not be changed in place while open (replace it by rename). */
enum api_status nn_model_open(const char *path, struct nn_model **model,
                              struct api_error *error);

/* The same from memory, which is borrowed until the model is closed or
 * nn_model_return_bytes. */
enum api_status nn_model_open_bytes(const uint8_t *bytes, size_t count,
                                    struct nn_model **model,
                                    struct api_error *error);

/* Ends that loan: all that runs has been packed. Only nn_model_export_head
 * needs the bytes, and is API_UNAVAILABLE from then on. Not while another
 * thread uses the model. */
void nn_model_return_bytes(struct nn_model *model);

/* Frees the model and sets *model to NULL; NULL is fine. All contexts must be
 * closed before. */
void nn_model_close(struct nn_model **model);

/* Facts of the model. Strings are borrowed and live as long as the model. */
const char *nn_model_name(const struct nn_model *model);
const char *nn_model_version(const struct nn_model *model);
uint64_t nn_model_fingerprint(const struct nn_model *model);
const struct nn_input *nn_model_input(const struct nn_model *model);
uint32_t nn_model_class_count(const struct nn_model *model);
const char *nn_model_label(const struct nn_model *model, uint32_t index);
uint16_t nn_model_point_count(const struct nn_model *model);
const struct api_point *nn_model_point(const struct nn_model *model,
                                       uint16_t index);
/* Index of the point called `id`, or -1. */
int nn_model_point_find(const struct nn_model *model, const char *id);
/* Can this bundle run the point's device side (head, or whole network for a
 * local point), and its server side (tail, or whole network for offload)?
 * False for a side that such a point does not have. */
bool nn_model_has_head(const struct nn_model *model, uint16_t point);
bool nn_model_has_tail(const struct nn_model *model, uint16_t point);
/* Do two points run one and the same graph on the server, if any? */
bool nn_model_same_tail(const struct nn_model *model, uint16_t a, uint16_t b);

/* Can what a device sends for point `a` be finished as point `b`? Between
 * split points that share head, codec and prior but not the tail, and between
 * offload points. */
bool nn_model_same_input(const struct nn_model *model, uint16_t a, uint16_t b);

/* Serialises the subset that a device needs: heads and exits, priors, labels,
 * points, and with `include_local` the whole network. *bytes is malloc'ed and
 * becomes the caller's to free(). The subset keeps the model's fingerprint.
 * API_UNAVAILABLE after nn_model_return_bytes. */
enum api_status nn_model_export_head(const struct nn_model *model,
                                     bool include_local, uint8_t **bytes,
                                     size_t *byte_count,
                                     struct api_error *error);

enum api_status nn_context_open(const struct nn_model *model,
                                struct nn_context **context,
                                struct api_error *error);
void nn_context_close(struct nn_context **context);

/* Lets the context's runs be shared by `threads` threads, 1 to
 * API_LIMIT_THREADS, of which the caller is one (1 after nn_context_open). The
 * answers stay the same to the bit. Allocates; not while a run is going on.
 * API_USAGE, API_NO_MEMORY or API_INTERNAL leave the context as it was. */
enum api_status nn_context_use_threads(struct nn_context *context,
                                       uint32_t threads,
                                       struct api_error *error);

/* Decodes a JPEG into the network's input exactly as training does: limits
 * checked before any decode, DCT-scaled when large, EXIF orientation applied,
 * grey expanded, resized with antialiasing, centre-cropped. `pixels` has room
 * for height * width * 3 bytes. API_UNPROCESSABLE: not a JPEG, truncated or
 * damaged; API_TOO_LARGE: beyond a limit; API_UNSUPPORTED_MEDIA: CMYK and
 * other colour spaces. Thread-safe; allocates. */
enum api_status nn_picture_from_jpeg(const struct nn_input *input,
                                     const uint8_t *jpeg, size_t jpeg_bytes,
                                     uint8_t *pixels, struct api_error *error);

/* The view of a picture that is made smaller to be sent: what the network looks
 * at and no more, uncropped. A JPEG of its pixels, read for `input` by
 * nn_picture_from_jpeg, differs from the picture only by what JPEG loses. */
struct nn_input nn_picture_small(const struct nn_input *input);

/* Encodes RGB pixels, height x width x 3, as a JPEG with whole chroma at this
 * `quality`, 1 to 100 as libjpeg counts it. *jpeg is malloc'ed and becomes the
 * caller's to free(). API_NO_MEMORY if that is what is lacking. Thread-safe. */
enum api_status nn_picture_to_jpeg(const uint8_t *pixels, uint16_t width,
                                   uint16_t height, int quality, uint8_t **jpeg,
                                   size_t *jpeg_bytes, struct api_error *error);

/* Number of floats in the latent of a split point (0 for others) and the most
 * bytes that encoding one can take. */
size_t nn_latent_values(const struct nn_model *model, uint16_t point);
size_t nn_latent_bound(const struct nn_model *model, uint16_t point);

/* Runs the head of a split point on input pixels. `latent`: NHWC floats,
 * nn_latent_values of them. API_UNAVAILABLE if the bundle lacks the head. */
enum api_status nn_run_head(struct nn_context *context, uint16_t point,
                            const uint8_t *pixels, float *latent);

/* Runs the exit of a split point, if it has one (exit_threshold), on the latent
 * as nn_run_head wrote it; `probabilities`: class_count floats. *sure: the best
 * of them reaches the threshold, so that they are the answer.
 * API_UNAVAILABLE if there is no exit. */
enum api_status nn_run_exit(struct nn_context *context, uint16_t point,
                            const float *latent, float *probabilities,
                            bool *sure);

/* Encodes a latent with the point's codec into at most `capacity` bytes.
 * Values that are not finite are API_UNPROCESSABLE. The bytes are no frame
 * yet: api_frame_write puts the header around them. */
enum api_status nn_latent_encode(struct nn_context *context, uint16_t point,
                                 const float *latent, uint8_t *payload,
                                 size_t capacity, size_t *payload_bytes);

/* Decodes untrusted bytes into a latent. API_UNPROCESSABLE unless they are
 * exactly one encoded latent of this point. Bit-exact on every CPU. */
enum api_status nn_latent_decode(struct nn_context *context, uint16_t point,
                                 const uint8_t *payload, size_t payload_bytes,
                                 float *latent, struct api_error *error);

/* Runs the tail of a split point; `probabilities`: class_count floats. */
enum api_status nn_run_tail(struct nn_context *context, uint16_t point,
                            const float *latent, float *probabilities);

/* The same for `count` latents, one behind another, as the answers will be:
 * each is the same to the bit as alone. What they save is reading the weights
 * anew for each of them, as long as the context's memory, which is as large as
 * its hungriest graph needs, holds the values of several; it mostly does, for
 * tails have the small layers. */
enum api_status nn_run_tails(struct nn_context *context, uint16_t point,
                             uint32_t count, const float *latents,
                             float *probabilities);

/* Runs the whole network of an offload or local point. */
enum api_status nn_run_full(struct nn_context *context, uint16_t point,
                            const uint8_t *pixels, float *probabilities);

/* Writes the input whose answer the bundle knows for what a server runs for
 * the point (docs/WIRE.md, Known answer): `pixels` of an offload point, as
 * nn_run_full takes them, the `latent` of a split one. False, with nothing
 * written, if it knows none. */
bool nn_known_input(const struct nn_model *model, uint16_t point,
                    uint8_t *pixels, float *latent);

/* Is this what should come of nn_known_input? API_BAD_BUNDLE, with a class's
 * two probabilities as the reason, if not: weights are damaged, or this CPU or
 * this build computes something else. API_OK if nothing is known. */
enum api_status nn_known_check(const struct nn_model *model, uint16_t point,
                               const float *probabilities,
                               struct api_error *error);

/* The `top_count` most probable classes, best first; ties go to the lower
 * index. Returns how many were written (at most class_count). */
uint32_t nn_top(const float *probabilities, uint32_t class_count,
                struct nn_class *top, uint32_t top_count);

/* Name of the kernel set in use: "scalar", "avx2", "avxvnni", "avx512",
 * "avx512vnni", "neon", "neondot". It is chosen once, at the first call into
 * nn; CLEAVE_CPU in the environment forces one (an unknown or unsupported name
 * makes nn_model_open fail, API_USAGE). */
const char *nn_cpu_name(void);

#endif
