/* Sorting numbers. */
#include "client/sort.h"

#include <stdlib.h>

static int compare_floats(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

void cli_sort_floats(float *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_floats);
}

void cli_sort_doubles(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
}
