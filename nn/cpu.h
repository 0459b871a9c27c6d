/* Which kernel set this process runs: found once, or forced by CLEAVE_CPU. */
#ifndef CLEAVE_NN_CPU_H
#define CLEAVE_NN_CPU_H

#include "api/status.h"
#include "nn/kernels.h"

/* The best set that the CPU and the operating system support, or the one that
 * CLEAVE_CPU names. Decided at the first call of the process; later changes of
 * the environment have no effect. API_USAGE if CLEAVE_CPU names a set that is
 * unknown or that this machine cannot run. Thread-safe. */
enum api_status nn_cpu_select(const struct nn_kernels **kernels,
                              struct api_error *error);

/* The set called `name`, or NULL if it is unknown or cannot run here. Ignores
 * CLEAVE_CPU. Thread-safe. */
const struct nn_kernels *nn_cpu_find(const char *name);

#endif
