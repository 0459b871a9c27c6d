/* The layouts in which the kernels of floats read weights. */
#ifndef CLEAVE_NN_PACK_H
#define CLEAVE_NN_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/bundle.h"
#include "nn/kernels.h"

/* A dense product is taken in chunks of its depth, so that a tile's inputs stay
 * in the first-level cache while it meets all columns, and a chunk's weights in
 * the second while they meet all tiles. A chunk is some whole taps or, of taps
 * with many channels, a part of one. */
struct nn_chunk {
    uint32_t tap_from, tap_to, channel_from, channel_to;
};

/* Chunks of a window of `taps` taps with `channels` channels each; 1 for
 * convolutions in groups, whose taps have few. */
uint32_t nn_chunk_count(uint32_t taps, uint32_t channels, uint32_t groups);

/* Chunk `index` of `count`. */
struct nn_chunk nn_chunk_at(uint32_t taps, uint32_t channels, uint32_t count,
                            uint32_t index);

static inline uint32_t nn_chunk_depth(const struct nn_chunk *chunk)
{
    return (chunk->tap_to - chunk->tap_from) *
           (chunk->channel_to - chunk->channel_from);
}

/* Of a conv, dwconv, linear or affine: has each channel its own weights? How
 * many groups and taps has it, in the end 1? */
bool nn_pack_is_depthwise(enum nn_op op);
uint32_t nn_pack_groups(const struct nn_node *node);
uint32_t nn_pack_taps(const struct nn_node *node);

/* Floats that nn_pack writes, or 0 if they exceed API_LIMIT_PACKED_BYTES. */
size_t nn_pack_floats(const struct nn_kernels *kernels,
                      const struct nn_node *node);

/* Dequantises, scales and packs.
 *
 * conv, linear: the layout of struct nn_tile, with k counting ky, kx, input
 * channel, the last fastest; one such for each group, or for each chunk, of
 * which the first has the biases and the others zeros in their place. dwconv,
 * affine: the layout of struct nn_dwconv; an affine is a depthwise convolution
 * of one tap. What pads them is not written: `to` begins as zeros. */
void nn_pack(const struct nn_kernels *kernels, const struct nn_node *node,
             float *to);

/* Floats of one of nn/winograd.h's points, for so many channels in and out. */
size_t nn_pack_point_floats(const struct nn_kernels *kernels, uint32_t inputs,
                            uint32_t outputs);

/* A 3x3 conv in one group for nn/winograd.h: for each point, in order, the
 * layout of struct nn_tile with the channels as k. The biases are at the point
 * (1, 1), which each output takes once. `to` begins as zeros. */
void nn_pack_points(const struct nn_kernels *kernels,
                    const struct nn_node *node, float *to);

/* A node's weights and then its biases, dequantised and scaled, as
 * [output channel][tap][input channel] and [output channel]. */
void nn_pack_plain(const struct nn_node *node, float *to);

#endif
