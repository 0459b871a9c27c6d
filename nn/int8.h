/* Int8 steps: kernels for each CPU level, and what needs no level. */
#ifndef CLEAVE_NN_INT8_H
#define CLEAVE_NN_INT8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/bundle.h"
#include "nn/threads.h"

/* Values are NHWC bytes q that stand for scale * (q - zero). Sums of products
 * are exact. What follows them is binary32, one rounding for each operation
 * and no fused multiply-add, in the order that docs/WIRE.md gives, so that all
 * levels give the same bits. Rounding to integers is half to even. No kernel
 * reads or writes outside what it is given. All functions are pure and
 * thread-safe. */

enum {
    NN_INT8_DEPTH_MAX = 66311,  /* 255 * 127 of these fit in 31 bits */
    NN_INT8_CONSTANT_BYTES = 12 /* of a column: a start, a factor, an offset */
};

/* The sum of two values: q = clamp(rint(a * first + b * second + offset)). */
struct nn_int8_sum {
    float first, second, offset;
    float lo, hi; /* integers from 0 to 255 */
};

/* Some rows of a matrix product, then x = sum * factor[n] + offset[n]:
 * floats[r][n] = clamp(x), or bytes[r][n] = clamp(rint(x)), the latter maybe
 * added to a residual. For bytes, |x| is below 2^31.
 *
 * A row is `segments` stretches of `groups` * 4 bytes, as many as the kernel of
 * a convolution has rows; segment s begins segment_stride bytes after the one
 * before. Columns are in panels of nr, the last one of nr/2 if that holds the
 * rest. A panel of `weights` is, for every four k, for each column four
 * weights; one of `constants` is for each column an int32 that its sum begins
 * with, a float factor, a float offset, all three arrays. Columns and weights
 * are padded with zeros. */
struct nn_int8_tile {
    const uint8_t *const *rows; /* [row_count], where each row begins */
    size_t row_stride;          /* bytes, or 0 where they do not lie evenly */
    uint32_t row_count;         /* 1 to mr */
    uint32_t columns;           /* n, at least 1 */
    uint32_t segments, groups;  /* at least 1 */
    size_t segment_stride;      /* bytes */
    const uint8_t *weights;     /* both at a multiple of 32 bytes */
    const uint8_t *constants;
    size_t out_stride; /* values from one row of results to the next */
    float *floats;     /* one of these two is NULL */
    uint8_t *bytes;
    float lo, hi;            /* of bytes: integers from 0 to 255 */
    const uint8_t *residual; /* bytes, at out_stride too; or NULL */
    struct nn_int8_sum sum;  /* first: of the product, second: the residual */
};

/* The constants of the panel that begins with number `column`. */
static inline const uint8_t *nn_int8_constants(const struct nn_int8_tile *tile,
                                               uint32_t column)
{
    return tile->constants + (size_t)column * NN_INT8_CONSTANT_BYTES;
}

/* Some neighbouring pixels of a depthwise convolution, whose windows lie
 * inside the rows. Channels are in blocks of `lanes` (nn_int8_block_from),
 * permuted (nn_int8_lane); where they do not fill one, they are repeated, as
 * if they were the channels of nn_int8_repeats neighbours, so that a vector
 * holds several pixels. A block of `weights` is, for each tap along x and
 * for every four along y, for each channel four weights; one of `constants` is
 * as a panel's above.
 *
 * Where phase_bytes is not 0, a row's values are in stride_x phases, so that
 * neighbouring windows' taps are neighbours too: first every stride_x-th pixel
 * from the first on, then, phase_bytes behind that, from the second on. */
struct nn_int8_dwconv {
    const uint8_t *const *rows; /* [kernel_height], first tap of each row */
    uint32_t pixels;            /* at least 1 */
    uint32_t channels;
    uint32_t kernel_height, kernel_width, stride_x;
    size_t phase_bytes;
    const uint8_t *weights; /* both at a multiple of 32 bytes */
    const uint8_t *constants;
    float *floats; /* pixels x channels; one of these two is NULL */
    uint8_t *bytes;
    float lo, hi; /* of bytes: integers from 0 to 255 */
};

struct nn_int8_kernels {
    uint32_t mr;    /* most rows of a tile */
    uint32_t nr;    /* columns of a panel; even */
    uint32_t lanes; /* channels of a depthwise block; a multiple of 16 */
    uint8_t origin; /* products are of q - origin: sums begin with the rest */

    void (*tile)(const struct nn_int8_tile *tile);
    void (*dwconv)(const struct nn_int8_dwconv *job);
    void (*add)(const uint8_t *a, const uint8_t *b, uint8_t *out, size_t count,
                const struct nn_int8_sum *sum);
    /* out[i] = clamp(rint(in[i] * factor + zero)), 0 for NaN */
    void (*quantize)(const float *in, uint8_t *out, size_t count, float factor,
                     float zero);
};

/* Where channel c of a depthwise block of `lanes` lies in its arrays. Vectors
 * interleave bytes within 16 at a time: their quarters become four vectors,
 * and packing these into bytes puts them back in order. */
static inline uint32_t nn_int8_lane(uint32_t lanes, uint32_t c)
{
    return c % 16 / 4 * (lanes / 4) + c / 16 * 4 + c % 4;
}

/* The first channel of the depthwise block that ends `channels` channels or
 * begins at number c, a multiple of `lanes`: the last block is a whole one
 * where there are as many channels, and shares some with the one before. */
static inline uint32_t nn_int8_block_from(uint32_t lanes, uint32_t channels,
                                          uint32_t c)
{
    return channels >= lanes && channels - c < lanes ? channels - lanes : c;
}

/* How often `channels` channels are packed, one copy behind the other: the
 * fewest times with which an eighth or less of the last block is shared. */
static inline uint32_t nn_int8_repeats(uint32_t lanes, uint32_t channels)
{
    uint32_t repeats = 1;

    if (channels >= lanes)
        return 1;
    while (repeats * channels < lanes ||
           (lanes - repeats * channels % lanes) % lanes * 8 >
               repeats * channels)
        repeats++;
    return repeats;
}

/* From a row's start to tap kx of the window of `pixel`. */
static inline size_t nn_int8_tap(const struct nn_int8_dwconv *job,
                                 uint32_t stride_x, uint32_t pixel, uint32_t kx)
{
    if (!job->phase_bytes)
        return ((size_t)pixel * stride_x + kx) * job->channels;
    return kx % stride_x * job->phase_bytes +
           ((size_t)pixel + kx / stride_x) * job->channels;
}

/* A block of a depthwise convolution: its first channel, what was packed. */
struct nn_int8_block {
    uint32_t channel;
    const uint8_t *weights, *constants;
};

/* The block, of `lanes`, that begins at number c, a multiple of `lanes`. */
static inline struct nn_int8_block
nn_int8_block_at(const struct nn_int8_dwconv *job, uint32_t lanes, uint32_t c)
{
    const size_t fours = (job->kernel_height + 3) / 4;

    return (struct nn_int8_block){
        nn_int8_block_from(
            lanes, nn_int8_repeats(lanes, job->channels) * job->channels, c),
        job->weights + c * job->kernel_width * fours * 4,
        job->constants + (size_t)c * NN_INT8_CONSTANT_BYTES};
}

/* The reference: plain C, on every machine. */
extern const struct nn_int8_kernels nn_int8_scalar;
#ifdef CLEAVE_X86
extern const struct nn_int8_kernels nn_int8_avx2;
extern const struct nn_int8_kernels nn_int8_avxvnni;
extern const struct nn_int8_kernels nn_int8_avx512;
extern const struct nn_int8_kernels nn_int8_avx512vnni;
#endif
#ifdef CLEAVE_AARCH64
extern const struct nn_int8_kernels nn_int8_neon;
extern const struct nn_int8_kernels nn_int8_neondot;
#endif

/* Floats of memory that hold so many bytes. */
static inline size_t nn_int8_floats(size_t bytes)
{
    return bytes / sizeof(float) + (bytes % sizeof(float) != 0);
}

struct nn_shape;
struct nn_step;
struct nn_kernels;

/* What node number `index` makes of values of the types types[0..index], whose
 * scale is 0 where they are floats, and shapes[0..index]; its shapes have been
 * inferred. API_BAD_BUNDLE with a reason where docs/WIRE.md does not allow it
 * (nn/int8_type.c). */
enum api_status nn_int8_infer(const struct nn_graph *graph, uint32_t index,
                              const struct nn_shape *shapes,
                              const struct nn_quant *types,
                              struct nn_quant *made, struct api_error *error);

/* The weights of an output channel added up, and their sizes likewise. */
struct nn_int8_totals {
    int32_t sum, sizes;
};

/* Bytes that the packed weights and constants of a conv, dwconv or linear node
 * take, 0 if they exceed API_LIMIT_PACKED_BYTES. */
size_t nn_int8_weight_bytes(const struct nn_int8_kernels *kernels,
                            const struct nn_node *node);
size_t nn_int8_constant_bytes(const struct nn_int8_kernels *kernels,
                              const struct nn_node *node);

/* Packs a node's weights, which do not depend on its scale, bias and types, to
 * zeroed memory, with the totals of each channel in range. API_BAD_BUNDLE where
 * a weight is out of range. */
enum api_status nn_int8_pack_weights(const struct nn_int8_kernels *kernels,
                                     const struct nn_node *node, uint8_t *to,
                                     struct nn_int8_totals *totals,
                                     struct api_error *error);

/* Packs what follows the sums, for an input of type `in`, to zeroed memory.
 * API_BAD_BUNDLE where a constant is out of range (nn/int8_pack.c). */
enum api_status nn_int8_pack_constants(const struct nn_int8_kernels *kernels,
                                       const struct nn_node *node,
                                       struct nn_quant in,
                                       const struct nn_int8_totals *totals,
                                       uint8_t *to, struct api_error *error);

/* Bytes of working memory of a conv, dwconv or linear step whose window and
 * shapes are set (nn/int8_conv.c). */
size_t nn_int8_scratch_bytes(const struct nn_step *step);

/* Runs one part of a conv, dwconv or linear step, each part with its own
 * scratch; gives the output's values that it has written. `with` is the
 * residual or NULL. */
struct nn_span nn_int8_conv_run(const struct nn_int8_kernels *kernels,
                                const struct nn_step *step, struct nn_part part,
                                const uint8_t *in, const uint8_t *with,
                                void *out, uint8_t *scratch);
struct nn_span nn_int8_dwconv_run(const struct nn_int8_kernels *kernels,
                                  const struct nn_step *step,
                                  struct nn_part part, const uint8_t *in,
                                  void *out, uint8_t *scratch);

/* The sum of values of the types a and b in an add step, or in one whose
 * residual is the second. */
struct nn_int8_sum nn_int8_sum_of(struct nn_quant a, struct nn_quant b,
                                  const struct nn_step *step);

/* Runs one part of any step that takes or makes bytes, and gives the output's
 * values that it has written; `with` is not read where the step has neither a
 * second operand nor a residual (nn/int8_run.c). */
struct nn_span nn_int8_run(const struct nn_kernels *kernels,
                           const struct nn_step *step, struct nn_part part,
                           const void *in, const void *with, void *out,
                           void *scratch);

/* A real limit of a value of type `to`, as one of its bytes. */
float nn_int8_limit(float real, struct nn_quant to);

/* What is too cold to need a level of its own (nn/int8_plain.c); each runs a
 * step of its kind. */
void nn_int8_dequantize(const struct nn_step *step, const uint8_t *in,
                        float *out);
void nn_int8_max_pool(const struct nn_step *step, const uint8_t *in,
                      uint8_t *out);
/* avgpool, global_avgpool: bytes or floats */
void nn_int8_average_pool(const struct nn_step *step, const uint8_t *in,
                          void *out);
void nn_int8_concatenate(const struct nn_step *step, const uint8_t *in,
                         const uint8_t *other, uint8_t *out);

#endif
