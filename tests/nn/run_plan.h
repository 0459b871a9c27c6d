/* Runs graphs in every way that there is: alone, by a team, in a batch. */
#ifndef TESTS_NN_RUN_PLAN_H
#define TESTS_NN_RUN_PLAN_H

#include "nn/plan.h"

/* One picture by `threads` threads, over an arena full of NaN, which would show
 * in the output if a step read what none had written. A test fails where
 * something does. */
void run_plan(const struct nn_plan *plan, uint32_t threads, const float *input,
              float *output);

/* Plans and runs a graph; three threads must say the same to the bit, and so
 * must a batch. */
void run_every_way(const struct nn_graph *graph,
                   const struct nn_kernels *kernels, struct nn_weights *weights,
                   const float *input, float *output);

#endif
