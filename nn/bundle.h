/* A bundle file as parsed structures: tensors, graphs, priors, points. */
#ifndef CLEAVE_NN_BUNDLE_H
#define CLEAVE_NN_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/limits.h"
#include "api/point.h"
#include "api/status.h"
#include "nn/nn.h"

enum nn_dtype { NN_F32, NN_F16, NN_BF16, NN_I32, NN_I8, NN_U8 };

/* A tensor in the mapped file. Rows are last-index-fastest. `data` may lie at
 * any alignment: read it with memcpy. */
struct nn_tensor {
    const char *name;
    enum nn_dtype dtype;
    uint8_t rank;              /* 0 to 4 */
    uint32_t dims[4];          /* unused ones are 1 */
    const uint8_t *data;
    size_t bytes;
};

enum nn_op {
    NN_OP_CONV, NN_OP_DWCONV, NN_OP_LINEAR, NN_OP_ADD, NN_OP_MUL, NN_OP_ACT,
    NN_OP_AFFINE, NN_OP_AVGPOOL, NN_OP_MAXPOOL, NN_OP_GLOBAL_AVGPOOL,
    NN_OP_SOFTMAX, NN_OP_LAYER_NORM, NN_OP_CONCAT, NN_OP_RESIZE,
    NN_OP_DEPTH_TO_SPACE, NN_OP_QUANTIZE, NN_OP_DEQUANTIZE
};

/* The first four clamp; the others are curves (nn/activate.h). */
enum nn_act {
    NN_ACT_NONE, NN_ACT_RELU, NN_ACT_RELU6, NN_ACT_CLIP, NN_ACT_LEAKY_RELU,
    NN_ACT_SIGMOID, NN_ACT_HARD_SWISH, NN_ACT_SILU, NN_ACT_GELU
};

enum nn_filter { NN_NEAREST, NN_BILINEAR };

/* Where a resized line's pixel lies in its source line. */
enum nn_coordinates { NN_HALF_PIXEL, NN_ALIGN_CORNERS, NN_ASYMMETRIC };

/* Which part of a channel's number says where depth_to_space puts it: the
 * first (depth, column, row) or the last (column, row, depth). */
enum nn_depth_order { NN_DCR, NN_CRD };

struct nn_range { uint32_t from, to; };  /* half-open */

/* The type of a U8 value, whose byte q stands for scale * (q - zero); a scale
 * of 0 means F32. */
struct nn_quant {
    float scale;                       /* 0, or 1e-30 to 1e30 */
    uint8_t zero;
};

/* One node; docs/WIRE.md says which members each op has. The parser
 * guarantees: inputs are earlier values; tensors have the rank and dtype that
 * the op wants; ranges are non-empty and within the weight; scale and bias
 * have one F32 for each output channel in range (affine has both, of one
 * length); strides, dilations and kernels are 1 to 255, pads 0 to 254, groups
 * 1 or more; limits are in order. `out` and `inch` are always filled in: both
 * are `channels` of a dwconv, the whole weight of a linear, 0..0 of what has no
 * weight. What an op does not have is 0 or as the format's default. Agreement
 * of shapes and types between nodes is the planner's. */
struct nn_node {
    enum nn_op op;
    enum nn_act act;
    float limits[2];                   /* clip: smallest, largest */
    float slope;                       /* leaky_relu: below 0 */
    uint8_t in_count;
    uint32_t in[2];                    /* value ids; value 0: graph input */
    const struct nn_tensor *weight, *scale, *bias;  /* or NULL */
    struct nn_range out, inch;         /* channels of the weight in use */
    uint8_t stride[2], kernel[2];      /* y, x; kernel of conv from weight */
    uint8_t pad[4];                    /* top, bottom, left, right */
    uint8_t dilation[2];               /* conv: y, x, pixels between taps */
    uint32_t groups;                   /* conv */
    float epsilon;                     /* layer_norm */
    uint32_t size[2];                  /* resize: height, width */
    enum nn_filter filter;             /* resize */
    enum nn_coordinates coordinates;   /* resize */
    uint8_t block;                     /* depth_to_space: 1 to 255 */
    enum nn_depth_order order;         /* depth_to_space */
    struct nn_quant quant;             /* of its result */
};

/* An input made of a seed, and what a graph answers to it: docs/WIRE.md. The
 * parser guarantees: classes are labels' numbers, probabilities lie in 1e-30 to
 * 1, the tolerance in 1e-6 to 0.5, the shift in 0 to 30. */
struct nn_known_answer {
    uint32_t seed;
    uint8_t shift;                     /* how small a latent's values are */
    uint8_t count;                     /* of top; 0: nothing is known */
    float tolerance;                   /* relative to each probability */
    struct nn_class top[API_LIMIT_KNOWN_CLASSES];
};

struct nn_graph {
    const char *name;
    uint32_t input[3];                 /* height, width, channels */
    uint32_t node_count;
    struct nn_node *nodes;
    struct nn_known_answer known;
};

/* A bucket of a table is NN_BUCKET of the 65536 values that are looked up. */
enum { NN_BUCKET = 1024, NN_BUCKETS = 65536 / NN_BUCKET };

/* Entropy tables of one width and rate, copied out of the file and validated
 * (monotone, complete, within 0..65536). Channel c has the tables from
 * c * contexts on, one for each context. */
struct nn_prior {
    const char *name;
    uint32_t channels, contexts;       /* contexts: 1 or more */
    float *gain, *inverse_gain;        /* [channels], 1e-9 to 1e9 */
    int32_t *symbol_min;               /* [channels], at most 2^20 in size */
    uint32_t *cdf_start;               /* [channels * contexts + 1] */
    uint32_t *cdf;                     /* [cdf_start[channels * contexts]] */
    uint32_t *reciprocal;              /* as cdf: of the interval that begins
                                        * there (nn/rans.c) */
    uint16_t *bucket;                  /* [channels * contexts * NN_BUCKETS]:
                                        * the interval that holds the bucket's
                                        * first value */
    int32_t *context_limit;            /* [(contexts - 1) * channels] */
    int8_t *context_weight;            /* [3 * channels * channels]; NULL if
                                        * contexts is 1. The first index says
                                        * where the weighted symbol is: left,
                                        * above, here; then its channel; then
                                        * the channel whose context it
                                        * decides. 0 where the file's is not
                                        * used */
};

/* A point and what it runs on; NULL where this bundle lacks the part. A
 * present head or full network takes the bundle's input, a present tail or exit
 * the latent, and a present rANS head or tail has its prior, whose channels
 * are the latent's. Where the point has an exit, a present head has it too. */
struct nn_bundle_point {
    struct api_point info;
    const struct nn_graph *head, *exit, *tail, *full;
    const struct nn_prior *prior;
};

struct nn_json;

struct nn_bundle {
    char name[64], version[64];
    uint64_t fingerprint;
    struct nn_input input;
    uint32_t label_count, tensor_count, graph_count, prior_count;
    uint16_t point_count;
    const char **labels;
    struct nn_tensor *tensors;
    struct nn_graph *graphs;
    struct nn_prior *priors;
    struct nn_bundle_point *points;
    struct nn_json *header, *document; /* the JSON that strings borrow from */
    const uint8_t *file;               /* mapped, or borrowed from the caller */
    size_t file_bytes;
    const uint8_t *data;               /* the tensors' part of the file */
    size_t data_bytes;
    bool mapped;
};

/* Parses and validates `bytes`, which are borrowed until nn_bundle_close.
 * API_BAD_BUNDLE with a reason for anything that docs/WIRE.md does not allow;
 * never reads outside the bytes. */
enum api_status nn_bundle_parse(const uint8_t *bytes, size_t count,
                                struct nn_bundle **bundle,
                                struct api_error *error);

/* Gives back the memory that holds a mapped file's tensors: what was needed of
 * them has been packed. They are read again when they are asked for. */
void nn_bundle_rest(const struct nn_bundle *bundle);

/* Ends the loan of parsed bytes, after which tensors have no data. What the
 * file's JSON said stays. A mapped file stays mapped. */
void nn_bundle_return(struct nn_bundle *bundle);

/* Maps the file at `path` read-only and parses it. */
enum api_status nn_bundle_open(const char *path, struct nn_bundle **bundle,
                               struct api_error *error);

/* Frees, unmaps, and sets *bundle to NULL. NULL is fine. */
void nn_bundle_close(struct nn_bundle **bundle);

/* Serialises the subset for a device, see nn_model_export_head. */
enum api_status nn_bundle_export_head(const struct nn_bundle *bundle,
                                      bool include_local, uint8_t **bytes,
                                      size_t *byte_count,
                                      struct api_error *error);

/* The graph of that name; NULL if the bundle has none. */
const struct nn_graph *nn_bundle_graph(const struct nn_bundle *bundle,
                                       const char *name);

#endif
