/* Dense convolutions by another library, as planner and runner see it. */
#ifndef CLEAVE_NN_PROVIDER_H
#define CLEAVE_NN_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/kernels.h"

/* A convolution of NHWC floats, batch of one, in one group:
 * out = clamp(convolution(in) + bias), to which `adds` adds, before clamping,
 * what the output held before. Has no padding between members, so that equal
 * ones are equal bytes. */
struct nn_dense {
    uint32_t in_height, in_width, in_channels;
    uint32_t out_height, out_width, out_channels;
    uint32_t kernel[2], stride[2], pad[2], dilation[2]; /* y, x; top, left */
    uint32_t adds;                                      /* 0 or 1 */
    float lo, hi; /* -INFINITY..INFINITY where nothing is clamped */
};

/* A convolution made ready, with its packed weights. Immutable, shared by
 * threads. */
struct nn_layer;

/* One context's hold on a layer; one thread at a time may use it. */
struct nn_handle;

struct nn_provider {
    /* Is the provider to run this in place of `kernels`? Told from the shape
     * alone: nothing is loaded and no memory taken for an answer of no. */
    bool (*wants)(const struct nn_dense *dense,
                  const struct nn_kernels *kernels);
    /* `weights`: [out_channels][kernel y][kernel x][in_channels], `biases`:
     * [out_channels], both needed during the call only. NULL if the provider
     * cannot run it after all; our kernels then do. */
    struct nn_layer *(*open)(const struct nn_dense *dense,
                             const struct nn_kernels *kernels,
                             const float *weights, const float *biases);
    void (*close)(struct nn_layer *layer);
    size_t (*bytes)(const struct nn_layer *layer); /* of weights and biases */
    size_t (*scratch_floats)(const struct nn_layer *layer);
    /* NULL: no memory. The layer must outlive its handles. */
    struct nn_handle *(*bind)(const struct nn_layer *layer);
    void (*unbind)(struct nn_handle *handle);
    /* `out` may not overlap `in`; `scratch` has scratch_floats. The work of
     * one thread: starts no others. */
    void (*run)(struct nn_handle *handle, const float *in, float *out,
                float *scratch);
};

/* Whom plans that are built from now on ask; NULL, as at first: nobody. Lasts
 * for the process. Thread-safe. */
void nn_provider_use(const struct nn_provider *provider);
const struct nn_provider *nn_provider(void);

#endif
