/* oneDNN's C API, loaded at run time; majors 2 and 3 look alike from here. */
#ifndef CLEAVE_NN_ONEDNN_API_H
#define CLEAVE_NN_ONEDNN_API_H

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "nn/provider.h"

/* A description of a tensor, owned or borrowed. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t onednn_desc;
typedef const_dnnl_memory_desc_t onednn_desc_view;
#define ONEDNN_FUNCTIONS_OF_MAJOR(F)                                           \
    F(dnnl_memory_desc_create_with_tag)                                        \
    F(dnnl_memory_desc_destroy)                                                \
    F(dnnl_convolution_forward_primitive_desc_create)
#else
typedef dnnl_memory_desc_t *onednn_desc;
typedef const dnnl_memory_desc_t *onednn_desc_view;
#define ONEDNN_FUNCTIONS_OF_MAJOR(F)                                           \
    F(dnnl_memory_desc_init_by_tag)                                            \
    F(dnnl_dilated_convolution_forward_desc_init)                              \
    F(dnnl_primitive_desc_create)
#endif

#define ONEDNN_FUNCTIONS(F)                                                    \
    F(dnnl_version)                                                            \
    F(dnnl_set_max_cpu_isa)                                                    \
    F(dnnl_engine_create)                                                      \
    F(dnnl_stream_create)                                                      \
    F(dnnl_stream_destroy)                                                     \
    F(dnnl_primitive_attr_create)                                              \
    F(dnnl_primitive_attr_destroy)                                             \
    F(dnnl_primitive_attr_set_scratchpad_mode)                                 \
    F(dnnl_primitive_attr_set_post_ops)                                        \
    F(dnnl_post_ops_create)                                                    \
    F(dnnl_post_ops_destroy)                                                   \
    F(dnnl_post_ops_append_sum)                                                \
    F(dnnl_post_ops_append_eltwise)                                            \
    F(dnnl_primitive_desc_query)                                               \
    F(dnnl_primitive_desc_query_md)                                            \
    F(dnnl_primitive_desc_destroy)                                             \
    F(dnnl_reorder_primitive_desc_create)                                      \
    F(dnnl_memory_desc_get_size)                                               \
    F(dnnl_memory_create)                                                      \
    F(dnnl_memory_set_data_handle)                                             \
    F(dnnl_memory_destroy)                                                     \
    F(dnnl_primitive_create)                                                   \
    F(dnnl_primitive_execute)                                                  \
    F(dnnl_primitive_destroy)                                                  \
    ONEDNN_FUNCTIONS_OF_MAJOR(F)

struct onednn {
#define ONEDNN_MEMBER(name) __typeof__(&name) name;
    ONEDNN_FUNCTIONS(ONEDNN_MEMBER)
#undef ONEDNN_MEMBER
    void (*omp_set_num_threads)(int count); /* NULL: built without OpenMP */
    dnnl_engine_t engine;                   /* the CPU; for any thread */
};

static inline bool onednn_has_avx512(const struct nn_kernels *kernels)
{
    return strncmp(kernels->name, "avx512", 6) == 0;
}

/* The library, loaded by the first call and kept; NULL if it cannot be, or
 * makes threads in a way that cannot be turned off. Its instructions are
 * limited to AVX2 if the first caller's `kernels` are. Thread-safe. */
const struct onednn *onednn_load(const struct nn_kernels *kernels);

/* Keeps what this thread calls next in this thread: an OpenMP team is as large
 * as the thread that makes it last said. */
void onednn_alone(const struct onednn *onednn);

/* Each gives what the library said; what it makes is the caller's. */

/* A tensor of floats. Freed by onednn_desc_close, which takes NULL too. */
dnnl_status_t onednn_desc_open(const struct onednn *onednn, onednn_desc *desc,
                               int rank, const dnnl_dims_t dims,
                               dnnl_format_tag_t tag);
void onednn_desc_close(const struct onednn *onednn, onednn_desc desc);

/* What follows the sums: the addition of what was there, and clamping. */
dnnl_status_t onednn_append_sum(const struct onednn *onednn,
                                dnnl_post_ops_t after);
dnnl_status_t onednn_append_clamp(const struct onednn *onednn,
                                  dnnl_post_ops_t after, float lo, float hi);

/* src, weights, bias, dst. */
dnnl_status_t onednn_conv(const struct onednn *onednn,
                          const struct nn_dense *dense,
                          const onednn_desc descs[4],
                          const_dnnl_primitive_attr_t attr,
                          dnnl_primitive_desc_t *made);

#endif
