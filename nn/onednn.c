/* The provider that runs dense convolutions by oneDNN. */
#include "nn/onednn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/cpu.h"
#include "nn/onednn_api.h"
#include "nn/winograd.h"

enum { ALIGNMENT = 64 };

enum { SRC, WEIGHTS, BIAS, DST, TENSORS };

struct nn_layer {
    const struct onednn *onednn;
    onednn_desc descs[TENSORS]; /* of the weights: any layout */
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    float *packed; /* weights as the primitive wants them, then biases */
    size_t packed_bytes, scratch_bytes;
    dnnl_memory_t weights, bias; /* read only, so that contexts share them */
};

struct nn_handle {
    const struct nn_layer *layer;
    dnnl_stream_t stream;
    dnnl_memory_t src, dst, scratch;
};

/* What CLEAVE_ONEDNN said. */
static bool always;

/* From so many multiplications on it is faster, with few exceptions, measured
 * layer by layer (docs/PERFORMANCE.md): it does not copy windows, nor multiply
 * the zeros around a picture. Winograd's fewer products it has not. With AVX2
 * its windows are faster only where the weights are many. */
enum { WINDOW_PAYS = 20000000, POINT_PAYS = 50000000, AVX2_CHANNELS = 256 };

static bool pays(const struct nn_dense *dense, const struct nn_kernels *kernels)
{
    const uint64_t taps = (uint64_t)dense->kernel[0] * dense->kernel[1];
    const double products = (double)dense->out_height * dense->out_width *
                            dense->out_channels * dense->in_channels *
                            (double)taps;

    if (nn_winograd_pays(dense))
        return false;
    if (taps == 1)
        return products >= POINT_PAYS;
    return products >= WINDOW_PAYS &&
           (onednn_has_avx512(kernels) || dense->in_channels >= AVX2_CHANNELS);
}

/* Plain C is for machines, and for tests, without vector instructions. */
static bool wants(const struct nn_dense *dense,
                  const struct nn_kernels *kernels)
{
    return kernels != &nn_kernels_scalar && (always || pays(dense, kernels));
}

static bool describe(struct nn_layer *layer, const struct nn_dense *dense)
{
    const dnnl_dims_t src = {1, dense->in_channels, dense->in_height,
                             dense->in_width};
    const dnnl_dims_t dst = {1, dense->out_channels, dense->out_height,
                             dense->out_width};
    const dnnl_dims_t weights = {dense->out_channels, dense->in_channels,
                                 dense->kernel[0], dense->kernel[1]};
    const dnnl_dims_t bias = {dense->out_channels};
    const struct onednn *onednn = layer->onednn;
    onednn_desc *descs = layer->descs;

    return onednn_desc_open(onednn, &descs[SRC], 4, src, dnnl_nhwc) ==
               dnnl_success &&
           onednn_desc_open(onednn, &descs[DST], 4, dst, dnnl_nhwc) ==
               dnnl_success &&
           onednn_desc_open(onednn, &descs[WEIGHTS], 4, weights,
                            dnnl_format_tag_any) == dnnl_success &&
           onednn_desc_open(onednn, &descs[BIAS], 1, bias, dnnl_a) ==
               dnnl_success;
}

static bool set_attributes(const struct onednn *onednn,
                           const struct nn_dense *dense,
                           dnnl_primitive_attr_t attr, dnnl_post_ops_t after)
{
    if (dense->adds && onednn_append_sum(onednn, after) != dnnl_success)
        return false;
    if ((isfinite(dense->lo) || isfinite(dense->hi)) &&
        onednn_append_clamp(onednn, after, dense->lo, dense->hi) !=
            dnnl_success)
        return false;
    return onednn->dnnl_primitive_attr_set_post_ops(attr, after) ==
               dnnl_success &&
           onednn->dnnl_primitive_attr_set_scratchpad_mode(
               attr, dnnl_scratchpad_mode_user) == dnnl_success;
}

/* Refuses what oneDNN has plain C or a general matrix product for. */
static bool is_jit(const struct nn_layer *layer)
{
    const char *name = NULL;

    return layer->onednn->dnnl_primitive_desc_query(
               layer->desc, dnnl_query_impl_info_str, 0, (void *)&name) ==
               dnnl_success &&
           (strncmp(name, "jit", 3) == 0 || strncmp(name, "brg", 3) == 0);
}

static bool make_primitive(struct nn_layer *layer, const struct nn_dense *dense)
{
    const struct onednn *onednn = layer->onednn;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t after = NULL;
    bool made = onednn->dnnl_primitive_attr_create(&attr) == dnnl_success &&
                onednn->dnnl_post_ops_create(&after) == dnnl_success &&
                set_attributes(onednn, dense, attr, after) &&
                onednn_conv(onednn, dense, layer->descs, attr, &layer->desc) ==
                    dnnl_success &&
                is_jit(layer) &&
                onednn->dnnl_primitive_create(&layer->primitive, layer->desc) ==
                    dnnl_success;

    if (after)
        onednn->dnnl_post_ops_destroy(after);
    if (attr)
        onednn->dnnl_primitive_attr_destroy(attr);
    return made;
}

/* Copies the weights into the layout that the primitive has chosen. */
static bool reorder(const struct nn_layer *layer, const struct nn_dense *dense,
                    onednn_desc_view packed, const float *weights)
{
    const dnnl_dims_t dims = {dense->out_channels, dense->in_channels,
                              dense->kernel[0], dense->kernel[1]};
    const struct onednn *onednn = layer->onednn;
    onednn_desc plain = NULL;
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t copy = NULL;
    dnnl_stream_t stream = NULL;
    bool done =
        onednn_desc_open(onednn, &plain, 4, dims, dnnl_ohwi) == dnnl_success &&
        onednn->dnnl_memory_create(&from, plain, onednn->engine,
                                   (void *)weights) == dnnl_success &&
        onednn->dnnl_reorder_primitive_desc_create(&desc, plain, onednn->engine,
                                                   packed, onednn->engine,
                                                   NULL) == dnnl_success &&
        onednn->dnnl_primitive_create(&copy, desc) == dnnl_success &&
        onednn->dnnl_stream_create(&stream, onednn->engine,
                                   dnnl_stream_default_flags) == dnnl_success;

    if (done) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from},
                                        {DNNL_ARG_TO, layer->weights}};

        done = onednn->dnnl_primitive_execute(copy, stream, 2, args) ==
               dnnl_success;
    }
    if (stream)
        onednn->dnnl_stream_destroy(stream);
    if (copy)
        onednn->dnnl_primitive_destroy(copy);
    if (desc)
        onednn->dnnl_primitive_desc_destroy(desc);
    if (from)
        onednn->dnnl_memory_destroy(from);
    onednn_desc_close(onednn, plain);
    return done;
}

static bool pack(struct nn_layer *layer, const struct nn_dense *dense,
                 const float *weights, const float *biases)
{
    const struct onednn *onednn = layer->onednn;
    const onednn_desc_view wanted = onednn->dnnl_primitive_desc_query_md(
        layer->desc, dnnl_query_weights_md, 0);
    const onednn_desc_view scratch = onednn->dnnl_primitive_desc_query_md(
        layer->desc, dnnl_query_scratchpad_md, 0);
    const size_t bias_bytes = dense->out_channels * sizeof *biases;
    const size_t weight_bytes = onednn->dnnl_memory_desc_get_size(wanted);
    const size_t bias_at =
        (weight_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    layer->scratch_bytes = onednn->dnnl_memory_desc_get_size(scratch);
    layer->packed_bytes =
        bias_at + (bias_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    layer->packed = aligned_alloc(ALIGNMENT, layer->packed_bytes);
    if (!layer->packed)
        return false;
    memset(layer->packed, 0, layer->packed_bytes);
    memcpy(layer->packed + bias_at / sizeof(float), biases, bias_bytes);
    return onednn->dnnl_memory_create(&layer->weights, wanted, onednn->engine,
                                      layer->packed) == dnnl_success &&
           onednn->dnnl_memory_create(
               &layer->bias, layer->descs[BIAS], onednn->engine,
               layer->packed + bias_at / sizeof(float)) == dnnl_success &&
           reorder(layer, dense, wanted, weights);
}

static void close_layer(struct nn_layer *layer)
{
    const struct onednn *onednn = layer->onednn;

    if (layer->bias)
        onednn->dnnl_memory_destroy(layer->bias);
    if (layer->weights)
        onednn->dnnl_memory_destroy(layer->weights);
    if (layer->primitive)
        onednn->dnnl_primitive_destroy(layer->primitive);
    if (layer->desc)
        onednn->dnnl_primitive_desc_destroy(layer->desc);
    for (int i = 0; i < TENSORS; i++)
        onednn_desc_close(onednn, layer->descs[i]);
    free(layer->packed);
    free(layer);
}

static struct nn_layer *open_layer(const struct nn_dense *dense,
                                   const struct nn_kernels *kernels,
                                   const float *weights, const float *biases)
{
    const struct onednn *onednn = onednn_load(kernels);
    struct nn_layer *made = onednn ? calloc(1, sizeof *made) : NULL;

    if (!made)
        return NULL;
    made->onednn = onednn;
    onednn_alone(onednn);
    if (describe(made, dense) && make_primitive(made, dense) &&
        pack(made, dense, weights, biases))
        return made;
    close_layer(made);
    return NULL;
}

static size_t bytes_of(const struct nn_layer *layer)
{
    return layer->packed_bytes;
}

static size_t scratch_floats(const struct nn_layer *layer)
{
    return (layer->scratch_bytes + sizeof(float) - 1) / sizeof(float);
}

static void unbind(struct nn_handle *handle)
{
    const struct onednn *onednn = handle->layer->onednn;

    if (handle->scratch)
        onednn->dnnl_memory_destroy(handle->scratch);
    if (handle->dst)
        onednn->dnnl_memory_destroy(handle->dst);
    if (handle->src)
        onednn->dnnl_memory_destroy(handle->src);
    if (handle->stream)
        onednn->dnnl_stream_destroy(handle->stream);
    free(handle);
}

static struct nn_handle *bind(const struct nn_layer *layer)
{
    const struct onednn *onednn = layer->onednn;
    const onednn_desc_view scratch = onednn->dnnl_primitive_desc_query_md(
        layer->desc, dnnl_query_scratchpad_md, 0);
    struct nn_handle *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->layer = layer;
    if (onednn->dnnl_stream_create(&made->stream, onednn->engine,
                                   dnnl_stream_default_flags) == dnnl_success &&
        onednn->dnnl_memory_create(&made->src, layer->descs[SRC],
                                   onednn->engine,
                                   DNNL_MEMORY_NONE) == dnnl_success &&
        onednn->dnnl_memory_create(&made->dst, layer->descs[DST],
                                   onednn->engine,
                                   DNNL_MEMORY_NONE) == dnnl_success &&
        (layer->scratch_bytes == 0 ||
         onednn->dnnl_memory_create(&made->scratch, scratch, onednn->engine,
                                    DNNL_MEMORY_NONE) == dnnl_success))
        return made;
    unbind(made);
    return NULL;
}

/* A run cannot fail; what can go wrong in here is that a few hundred bytes for
 * oneDNN's list of arguments are not to be had. */
static void run(struct nn_handle *handle, const float *in, float *out,
                float *scratch)
{
    const struct nn_layer *layer = handle->layer;
    const struct onednn *onednn = layer->onednn;
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, handle->src},
        {DNNL_ARG_DST, handle->dst},
        {DNNL_ARG_WEIGHTS, layer->weights},
        {DNNL_ARG_BIAS, layer->bias},
        {DNNL_ARG_SCRATCHPAD, handle->scratch}}; /* the last, for not all
                                                    have one */
    const int count = handle->scratch ? 5 : 4;

    onednn_alone(onednn);
    if (onednn->dnnl_memory_set_data_handle(handle->src, (void *)in) !=
            dnnl_success ||
        onednn->dnnl_memory_set_data_handle(handle->dst, out) != dnnl_success ||
        (handle->scratch && onednn->dnnl_memory_set_data_handle(
                                handle->scratch, scratch) != dnnl_success) ||
        onednn->dnnl_primitive_execute(layer->primitive, handle->stream, count,
                                       args) != dnnl_success)
        abort();
}

static const struct nn_provider provider = {
    wants,          open_layer, close_layer, bytes_of,
    scratch_floats, bind,       unbind,      run};

enum api_status nn_onednn_use(struct api_error *error)
{
    const char *said = getenv("CLEAVE_ONEDNN");
    const struct nn_kernels *kernels;
    enum api_status status;

    if (said && strcmp(said, "off") == 0)
        return API_OK;
    always = said && strcmp(said, "on") == 0;
    if (said && *said && !always)
        return api_fail(error, API_USAGE, "CLEAVE_ONEDNN is on or off");
    if (always) {
        status = nn_cpu_select(&kernels, error);
        if (status != API_OK)
            return status;
        if (!onednn_load(kernels))
            return api_fail(error, API_USAGE,
                            "CLEAVE_ONEDNN=on, but " ONEDNN_SONAME
                            " cannot be used");
    }
    nn_provider_use(&provider);
    return API_OK;
}
