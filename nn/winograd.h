/* 3x3 convolutions with fewer products: Winograd's F(4x4, 3x3). */
#ifndef CLEAVE_NN_WINOGRAD_H
#define CLEAVE_NN_WINOGRAD_H

#include <stdbool.h>

#include "nn/plan.h"

/* 4 x 4 outputs are made from 6 x 6 inputs by one product at each of 36 points,
 * where a convolution has 144 (Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks", 2015). At each point all such tiles together
 * are a matrix product over the channels. Sums are of values some hundred times
 * as large as the outputs, so that results differ from those of plain
 * convolution by some 1e-5 of the largest. */
enum { NN_WINOGRAD_POINTS = 36 };

/* Is this convolution of floats to be run so? Told from its shape alone, so
 * that a network is always computed alike. */
bool nn_winograd_pays(const struct nn_dense *dense);

/* Turns the 9 weights of one pair of channels into one for each point, in
 * double precision until the end. */
void nn_winograd_weights(const float taps[9], float points[NN_WINOGRAD_POINTS]);

/* Floats of working memory for a thread with tiles of `mr` rows. */
size_t nn_winograd_scratch_floats(const struct nn_step *step, uint32_t mr);

/* Runs one part of a step whose weights nn_weights_pack_winograd has packed, as
 * nn_conv_run does, and its curve too. */
void nn_winograd_run(const struct nn_kernels *kernels,
                     const struct nn_step *step, struct nn_part part,
                     const float *in, const float *with, float *out,
                     float *scratch);

#endif
