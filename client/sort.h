/* Sorting numbers. */
#ifndef CLEAVE_CLIENT_SORT_H
#define CLEAVE_CLIENT_SORT_H

#include <stddef.h>

/* In place, the smallest first; none may be NaN. */
void cli_sort_floats(float *values, size_t count);
void cli_sort_doubles(double *values, size_t count);

#endif
