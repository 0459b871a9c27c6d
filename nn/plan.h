/* A graph made ready to run: shapes, memory places, packed weights. */
#ifndef CLEAVE_NN_PLAN_H
#define CLEAVE_NN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"
#include "nn/bundle.h"
#include "nn/kernels.h"
#include "nn/provider.h"
#include "nn/threads.h"
#include "nn/weights.h"

struct nn_shape {
    uint32_t height, width, channels;
};

static inline size_t nn_shape_floats(const struct nn_shape *shape)
{
    return (size_t)shape->height * shape->width * shape->channels;
}

/* Where a value lies during a run: in the caller's input or output, at an
 * offset (in floats) in the arena, or some rows of it between two steps of a
 * chain, at an offset in that part of a thread's working memory. */
enum nn_memory { NN_AT_INPUT, NN_AT_OUTPUT, NN_AT_ARENA, NN_AT_CHAIN };

struct nn_place {
    enum nn_memory memory;
    size_t offset;
};

/* One call of a kernel. Steps run in order. */
struct nn_step {
    enum nn_op op;
    struct nn_shape in, out;
    struct nn_place from, to;
    struct nn_place with;  /* second operand, or residual */
    struct nn_shape other; /* of a second operand */
    bool residual;         /* conv, linear: adds `with` before clamping */
    bool gather;           /* conv: windows are copied together first */
    bool winograd;         /* conv: is run by nn/winograd.h */
    bool begins_stage;     /* see nn_plan_run_batch; the first does anyway */
    uint32_t chain_steps;  /* that run together from this one on (nn/chain.h) */
    uint32_t chain_rows;   /* of their output at a time; 0 for one step */
    uint32_t kernel[2], stride[2], pad[2]; /* y, x; pad: top, left */
    uint32_t dilation[2], groups;          /* conv, linear */
    const float *packed;                   /* lent by the nn_weights */
    const struct nn_layer *layer; /* conv: in place of `packed`, or NULL */
    uint32_t handle;              /* of a layer: which of a run's handles */
    float lo, hi;
    enum nn_act curve; /* comes behind the clamp; NN_ACT_NONE: nothing does */
    float slope;       /* leaky_relu */
    float epsilon;     /* layer_norm */
    enum nn_filter filter;           /* resize */
    enum nn_coordinates coordinates; /* resize */
    uint32_t block;                  /* depth_to_space */
    enum nn_depth_order order;       /* depth_to_space */

    /* Types of the operands and of the result; scale 0 where they are F32. A
     * step with one that is not is an int8 step (nn/int8.h). */
    struct nn_quant from_quant, with_quant, to_quant;
    struct nn_quant made_quant;        /* residual: before the addition */
    struct nn_packed_int8 packed_int8; /* in place of `packed` */
};

/* Bytes of its weights, as many as its products need. */
size_t nn_step_weight_bytes(const struct nn_step *step);

static inline bool nn_step_is_int8(const struct nn_step *step)
{
    return step->from_quant.scale > 0 || step->to_quant.scale > 0;
}

/* Immutable once built; any number of threads may run it, each with its own
 * arena. */
struct nn_plan {
    const struct nn_kernels *kernels;
    struct nn_shape in, out;
    uint32_t step_count;
    struct nn_step *steps;
    size_t gather_offset; /* in the arena, in floats */
    size_t gather_floats; /* for each thread, a multiple of a cache line */
    size_t chain_offset;  /* in these, of what lies at NN_AT_CHAIN */
    size_t arena_floats;  /* of one thread; at most API_LIMIT_ARENA_BYTES */
    const struct nn_provider *provider; /* who runs the steps' layers */
    uint32_t layer_count;               /* steps that have one */
};

/* Infers all shapes, refuses what cannot be run (API_BAD_BUNDLE with the
 * graph's name and the node's number): shapes and types that disagree, kernels
 * larger than their padded input, anything beyond API_LIMIT_TENSOR_SIDE,
 * API_LIMIT_ARENA_BYTES or API_LIMIT_GRAPH_OPERATIONS. Then it drops nodes
 * that nobody reads, fuses additions into the convolution before them, places
 * values so that memory is reused, and packs weights into `weights`, for the
 * nn_provider() where it wants a step, unless the arena is too small for its
 * scratch: then all is ours. Borrows `kernels` and `weights`; `graph`
 * is not needed afterwards. */
enum api_status nn_plan_build(const struct nn_graph *graph,
                              const struct nn_kernels *kernels,
                              struct nn_weights *weights, struct nn_plan **plan,
                              struct api_error *error);

/* Frees the plan and sets *plan to NULL; NULL is fine. */
void nn_plan_close(struct nn_plan **plan);

/* Floats of an arena for a run by `threads` threads. */
static inline size_t nn_plan_arena_floats(const struct nn_plan *plan,
                                          uint32_t threads)
{
    return plan->arena_floats + (threads - 1) * plan->gather_floats;
}

/* The same for a run of `count` pictures at once: each has its own values. */
static inline size_t nn_plan_batch_floats(const struct nn_plan *plan,
                                          uint32_t threads, uint32_t count)
{
    return nn_plan_arena_floats(plan, threads) +
           (count - 1) * plan->gather_offset;
}

/* Handles for one context's runs of the plan's layers, one at a time, in
 * *handles; NULL if the plan has none. API_NO_MEMORY. */
enum api_status nn_plan_bind(const struct nn_plan *plan,
                             struct nn_handle ***handles,
                             struct api_error *error);

/* Frees them, before the plan, and sets *handles to NULL; NULL is fine. */
void nn_plan_unbind(const struct nn_plan *plan, struct nn_handle ***handles);

/* Runs the plan (nn/run.c) by the threads of a team, or by this one alone if
 * `threads` is NULL: the results are the same to the bit. `arena` has
 * nn_plan_arena_floats floats with any contents, `handles` are those of
 * nn_plan_bind, `input` and `output` hold plan->in and plan->out. Neither
 * allocates nor fails; alone, it does not lock either. (A provider's layer may
 * allocate: oneDNN makes a list of its arguments.) */
void nn_plan_run(const struct nn_plan *plan, struct nn_threads *threads,
                 float *arena, struct nn_handle *const *handles,
                 const float *input, float *output);

/* Runs the plan on `count` pictures, at least 1, whose inputs lie one behind
 * another, as do their outputs; `arena` has nn_plan_batch_floats floats. Each
 * picture's results are those of nn_plan_run to the bit. The pictures go
 * through one stage of the plan after another: steps whose weights a core's own
 * cache holds together, so that weights come into the cache once for all of
 * them, and what a picture's steps hand on stays there. */
void nn_plan_run_batch(const struct nn_plan *plan, struct nn_threads *threads,
                       uint32_t count, float *arena,
                       struct nn_handle *const *handles, const float *input,
                       float *output);

#endif
