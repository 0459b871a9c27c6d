/* The inner loops of the engine: one table of functions for each CPU level. */
#ifndef CLEAVE_NN_KERNELS_H
#define CLEAVE_NN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Tensors are NHWC floats with a batch of one, no gaps between rows, at any
 * alignment of a float. No kernel reads or writes outside the tensors it is
 * given. Every result is clamped to lo..hi, which is how the activations are
 * made (-INFINITY..INFINITY for none). Sums run over ascending indices and
 * begin with the bias; levels differ only in the rounding of fused
 * multiply-adds. All functions are pure and thread-safe. */

/* Some rows of a matrix product: out[r][n] = clamp(bias[n] +
 * sum over k of in[r][k] * weight[k][n] + residual[r][n]).
 *
 * `panels` holds the columns in groups of nr, the last group of nr/2 if that
 * holds the rest; each group is its biases, then for every k its weights, both
 * padded with zeros (nn/weights.h). */
struct nn_tile {
    const float *in;       /* row r begins at in + r * in_stride */
    size_t in_stride;      /* floats */
    uint32_t rows;         /* 1 to mr */
    uint32_t depth;        /* k of a segment, at least 1 */
    uint32_t segments;     /* of a row, behind each other in k; at least 1 */
    size_t segment_stride; /* floats from one to the next */
    uint32_t columns;      /* n, at least 1 */
    const float *panels;
    const float *residual; /* rows x columns, or NULL */
    float *out;            /* rows x columns */
    float lo, hi;
};

/* A whole depthwise convolution. `blocks` holds the channels in groups of
 * `lanes`: each group is its biases, then its weights for every tap in raster
 * order, both padded with zeros. Taps outside the input count as zeros. */
struct nn_dwconv {
    const float *in;
    float *out;
    const float *blocks;
    uint32_t in_height, in_width, out_height, out_width, channels;
    uint32_t kernel_height, kernel_width, stride_y, stride_x;
    uint32_t pad_top, pad_left;
    float lo, hi;
};

/* Pooling windows; taps outside the input do not count. Every window holds at
 * least one tap inside. */
struct nn_pool {
    const float *in;
    float *out;
    uint32_t in_height, in_width, out_height, out_width, channels;
    uint32_t kernel_height, kernel_width, stride_y, stride_x;
    uint32_t pad_top, pad_left;
};

/* The last step of a tile of a Winograd convolution (nn/winograd.h): the 4 x 4
 * outputs of 36 points, less where the picture ends. */
struct nn_winograd_out {
    const float *in;  /* a point's channels */
    size_t in_stride; /* floats from point to point, in raster order */
    uint32_t channels;
    const float *residual;  /* laid out like `out`, or NULL */
    float *out;             /* the first of height x width pixels */
    size_t row_stride;      /* floats */
    uint32_t height, width; /* 1 to 4 */
    float lo, hi;
};

/* For the files of the levels: functions whose constant arguments shape their
 * code, and loops that must vanish so that arrays become registers. */
#define NN_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define NN_UNROLL _Pragma("unroll")
#else
#define NN_UNROLL _Pragma("GCC unroll 16")
#endif

struct nn_int8_kernels;

struct nn_kernels {
    const char *name; /* as CLEAVE_CPU spells it */
    uint32_t mr;      /* most rows of a tile */
    uint32_t nr;      /* columns of a panel; even */
    uint32_t lanes;   /* channels of a depthwise block */

    void (*tile)(const struct nn_tile *tile);
    void (*dwconv)(const struct nn_dwconv *job);
    /* out[i] = clamp(a[i] + b[i]) */
    void (*add)(const float *a, const float *b, float *out, size_t count,
                float lo, float hi);

    /* Winograd's transforms, of channels in multiples of 16. winograd_in makes
     * the 36 points of a window of 6 x 6 inputs; a row of the window begins
     * row_stride floats behind the one before, a point out_stride. */
    void (*winograd_in)(const float *in, size_t row_stride, uint32_t channels,
                        float *out, size_t out_stride);
    void (*winograd_out)(const struct nn_winograd_out *job);

    const struct nn_int8_kernels *int8; /* nn/int8.h */
};

/* The reference: plain C, on every machine. */
extern const struct nn_kernels nn_kernels_scalar;
#ifdef CLEAVE_X86
/* Only to be called where nn/cpu.h says so. */
extern const struct nn_kernels nn_kernels_avx2;   /* AVX2 and FMA */
extern const struct nn_kernels nn_kernels_avx512; /* AVX-512 F, BW, DQ, VL */
/* These have the dot product of bytes, VNNI, too. */
extern const struct nn_kernels nn_kernels_avxvnni;
extern const struct nn_kernels nn_kernels_avx512vnni;
#endif
#ifdef CLEAVE_AARCH64
extern const struct nn_kernels nn_kernels_neon; /* on every aarch64 machine */
extern const struct nn_kernels nn_kernels_neondot; /* with SDOT */
#endif

/* What is too cold to need a level of its own (nn/kernels_plain.c). */

/* out[i] = clamp(in[i]) */
void nn_clamp(const float *in, float *out, size_t count, float lo, float hi);

void nn_average_pool(const struct nn_pool *job);
void nn_max_pool(const struct nn_pool *job);

/* Softmax over the channels of each of `pixels` pixels. */
void nn_softmax(const float *in, float *out, size_t pixels, uint32_t channels);

/* Taps from..to-1 of a window that begins at `start` (maybe negative) which
 * lie inside 0..size-1; from == to if none does. */
struct nn_taps {
    uint32_t from, to;
};

static inline struct nn_taps nn_taps_inside(int32_t start, uint32_t kernel,
                                            uint32_t size)
{
    struct nn_taps taps = {0, kernel};

    if (start < 0)
        taps.from = (uint32_t)-start < kernel ? (uint32_t)-start : kernel;
    if (start + (int32_t)kernel > (int32_t)size)
        taps.to = start < (int32_t)size ? (uint32_t)((int32_t)size - start) : 0;
    if (taps.to < taps.from)
        taps.to = taps.from;
    return taps;
}

/* Output columns from..to-1 whose windows lie wholly inside the width. */
static inline struct nn_taps nn_dwconv_inner(const struct nn_dwconv *job)
{
    struct nn_taps inner = {0, 0};
    uint32_t reach = job->in_width + job->pad_left;

    inner.from = (job->pad_left + job->stride_x - 1) / job->stride_x;
    if (inner.from > job->out_width)
        inner.from = job->out_width;
    if (reach >= job->kernel_width)
        inner.to = (reach - job->kernel_width) / job->stride_x + 1;
    if (inner.to > job->out_width)
        inner.to = job->out_width;
    if (inner.to < inner.from)
        inner.to = inner.from;
    return inner;
}

#endif
