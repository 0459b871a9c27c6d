/* Loads oneDNN, and hides in what its majors differ. */
#include "nn/onednn_api.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct onednn loaded;

/* POSIX has dlsym's void * converted like this. */
static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);

    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* A team for each worker would take the cores from the other workers. OpenMP
 * lets a thread ask for a team of one; other ways of making threads do not. */
static bool keeps_to_its_thread(struct onednn *made, void *library)
{
    switch (made->dnnl_version()->cpu_runtime) {
    case DNNL_RUNTIME_SEQ:
        return true;
    case DNNL_RUNTIME_OMP:
        return find(library, "omp_set_num_threads", &made->omp_set_num_threads);
    default:
        return false;
    }
}

/* It stays loaded, and its first use decides for the process. */
static const struct onednn *load(const struct nn_kernels *kernels)
{
    void *library = dlopen(ONEDNN_SONAME, RTLD_NOW | RTLD_LOCAL);
    struct onednn made = {0};
    bool found = library != NULL;

#define ONEDNN_FIND(name) found = found && find(library, #name, &made.name);
    ONEDNN_FUNCTIONS(ONEDNN_FIND)
#undef ONEDNN_FIND
    if (!found || !keeps_to_its_thread(&made, library))
        return NULL;
    onednn_alone(&made);
    if (!onednn_has_avx512(kernels))
        made.dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    if (made.dnnl_engine_create(&made.engine, dnnl_cpu, 0) != dnnl_success)
        return NULL;
    loaded = made;
    return &loaded;
}

const struct onednn *onednn_load(const struct nn_kernels *kernels)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const struct onednn *onednn;
    static bool tried;

    pthread_mutex_lock(&lock);
    if (!tried)
        onednn = load(kernels);
    tried = true;
    pthread_mutex_unlock(&lock);
    return onednn;
}

void onednn_alone(const struct onednn *onednn)
{
    if (onednn->omp_set_num_threads)
        onednn->omp_set_num_threads(1);
}

dnnl_status_t onednn_append_clamp(const struct onednn *onednn,
                                  dnnl_post_ops_t after, float lo, float hi)
{
    const bool relu = lo == 0.0f && isinf(hi);
    const dnnl_alg_kind_t how = relu ? dnnl_eltwise_relu : dnnl_eltwise_clip;
    const float alpha = relu ? 0.0f : lo, beta = relu ? 0.0f : hi;

#if DNNL_VERSION_MAJOR >= 3
    return onednn->dnnl_post_ops_append_eltwise(after, how, alpha, beta);
#else
    return onednn->dnnl_post_ops_append_eltwise(after, 1.0f, how, alpha, beta);
#endif
}

/* oneDNN counts the pixels between taps, and wants all that windows reach. */
struct window {
    dnnl_dims_t stride, between, before, after;
};

static struct window window_of(const struct nn_dense *dense)
{
    const int64_t in[] = {dense->in_height, dense->in_width};
    const int64_t out[] = {dense->out_height, dense->out_width};
    struct window window = {{0}, {0}, {0}, {0}};

    for (int axis = 0; axis < 2; axis++) {
        int64_t reach =
            (int64_t)(dense->kernel[axis] - 1) * dense->dilation[axis] + 1;

        window.stride[axis] = dense->stride[axis];
        window.between[axis] = (int64_t)dense->dilation[axis] - 1;
        window.before[axis] = dense->pad[axis];
        window.after[axis] = (out[axis] - 1) * dense->stride[axis] + reach -
                             in[axis] - dense->pad[axis];
    }
    return window;
}

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t onednn_desc_open(const struct onednn *onednn, onednn_desc *desc,
                               int rank, const dnnl_dims_t dims,
                               dnnl_format_tag_t tag)
{
    return onednn->dnnl_memory_desc_create_with_tag(desc, rank, dims, dnnl_f32,
                                                    tag);
}

void onednn_desc_close(const struct onednn *onednn, onednn_desc desc)
{
    if (desc)
        onednn->dnnl_memory_desc_destroy(desc);
}

dnnl_status_t onednn_append_sum(const struct onednn *onednn,
                                dnnl_post_ops_t after)
{
    return onednn->dnnl_post_ops_append_sum(after, 1.0f, 0, dnnl_f32);
}

dnnl_status_t onednn_conv(const struct onednn *onednn,
                          const struct nn_dense *dense,
                          const onednn_desc descs[4],
                          const_dnnl_primitive_attr_t attr,
                          dnnl_primitive_desc_t *made)
{
    const struct window window = window_of(dense);

    return onednn->dnnl_convolution_forward_primitive_desc_create(
        made, onednn->engine, dnnl_forward_inference, dnnl_convolution_direct,
        descs[0], descs[1], descs[2], descs[3], window.stride, window.between,
        window.before, window.after, attr);
}

#else

dnnl_status_t onednn_desc_open(const struct onednn *onednn, onednn_desc *desc,
                               int rank, const dnnl_dims_t dims,
                               dnnl_format_tag_t tag)
{
    *desc = malloc(sizeof **desc);
    return *desc ? onednn->dnnl_memory_desc_init_by_tag(*desc, rank, dims,
                                                        dnnl_f32, tag)
                 : dnnl_out_of_memory;
}

void onednn_desc_close(const struct onednn *onednn, onednn_desc desc)
{
    (void)onednn;
    free(desc);
}

dnnl_status_t onednn_append_sum(const struct onednn *onednn,
                                dnnl_post_ops_t after)
{
    return onednn->dnnl_post_ops_append_sum(after, 1.0f);
}

dnnl_status_t onednn_conv(const struct onednn *onednn,
                          const struct nn_dense *dense,
                          const onednn_desc descs[4],
                          const_dnnl_primitive_attr_t attr,
                          dnnl_primitive_desc_t *made)
{
    const struct window window = window_of(dense);
    dnnl_convolution_desc_t conv;
    dnnl_status_t status = onednn->dnnl_dilated_convolution_forward_desc_init(
        &conv, dnnl_forward_inference, dnnl_convolution_direct, descs[0],
        descs[1], descs[2], descs[3], window.stride, window.between,
        window.before, window.after);

    return status == dnnl_success ? onednn->dnnl_primitive_desc_create(
                                        made, &conv, attr, onednn->engine, NULL)
                                  : status;
}

#endif
