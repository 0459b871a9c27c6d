/* Medians of repeated calls. */
#include "bench/timing.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_UP_SECONDS 0.3
enum { LEAST_RUNS = 7, MOST_RUNS = 1 << 20 };

static clockid_t clock_in_force = CLOCK_MONOTONIC;

int bench_clock(const char *name)
{
    if (strcmp(name, "cpu") == 0)
        clock_in_force = CLOCK_PROCESS_CPUTIME_ID;
    else if (strcmp(name, "wall") != 0)
        return 0;
    return 1;
}

double bench_now(void)
{
    struct timespec now;

    clock_gettime(clock_in_force, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

void bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
}

double bench_median(void (*call)(void *), void *argument, double seconds,
                    size_t *runs)
{
    double *times = malloc(MOST_RUNS * sizeof *times);
    double began = bench_now(), median;
    size_t count = 0;

    if (!times)
        abort();
    do
        call(argument);
    while (bench_now() - began < WARM_UP_SECONDS);
    began = bench_now();
    while (count < MOST_RUNS &&
           (count < LEAST_RUNS || bench_now() - began < seconds)) {
        double start = bench_now();

        call(argument);
        times[count++] = bench_now() - start;
    }
    bench_sort(times, count);
    median = times[count / 2];
    free(times);
    *runs = count;
    return median;
}
