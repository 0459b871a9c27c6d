/* References and repeatable numbers for the kernel tests. */
#include "tests/nn/reference.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "nn/cpu.h"
#include "nn/onednn.h"

enum { SKIPPED = 77 };

const struct nn_kernels *reference_level(void)
{
    const char *name = getenv("CLEAVE_CPU");
    const struct nn_kernels *kernels = nn_cpu_find(name ? name : "scalar");

    if (!kernels) {
        printf("skipped: this machine has no %s\n", name);
        exit(SKIPPED);
    }
    if (getenv("CLEAVE_ONEDNN") && nn_onednn_use(NULL) != API_OK) {
        printf("CLEAVE_ONEDNN is set, and oneDNN cannot be used\n");
        exit(EXIT_FAILURE);
    }
    return kernels;
}

struct nn_tensor tensor_of(enum nn_dtype dtype, const void *data, uint8_t rank,
                           uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    const struct nn_tensor tensor = {.name = "t",
                                     .dtype = dtype,
                                     .rank = rank,
                                     .dims = {a, b, c, d},
                                     .data = data};

    return tensor;
}

void sum_add(struct sum *sum, double term)
{
    sum->value += term;
    sum->size += fabs(term);
    sum->terms++;
}

void sum_check(const struct sum *sum, float lo, float hi, float got,
               const char *what, size_t index)
{
    double expected = fmin(fmax(sum->value, lo), hi);
    double terms = sum->terms + 1.0;
    double bound = terms * 0x1p-24 * sum->size + terms * 0x1p-149;

    /* Clamping brings two numbers no further apart. */
    if (!(fabs(got - expected) <= bound))
        ck_abort_msg("%s, output %zu: %.9g instead of %.9g +- %.3g", what,
                     index, (double)got, expected, bound);
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

void fill(float *to, size_t count, enum fill how, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 12345u;

    for (size_t i = 0; i < count; i++) {
        float x = (float)next(&state) * 0x1p-23f - 1.0f;

        switch (how) {
        case FILL_LARGE:
            x *= 1e18f;
            break;
        case FILL_DENORMAL:
            x *= 1e-40f;
            break;
        case FILL_MIXED:
            x *= i % 3 == 0 ? 1e6f : i % 3 == 1 ? -1e-6f : 1.0f;
            break;
        default:
            break;
        }
        to[i] = x;
    }
}

void each_tap(const struct conv_shape *shape, uint32_t oy, uint32_t ox,
              void (*visit)(void *with, size_t pixel, uint32_t tap), void *with)
{
    for (uint32_t ky = 0; ky < shape->kernel_y; ky++)
        for (uint32_t kx = 0; kx < shape->kernel_x; kx++) {
            long y = (long)(oy * shape->stride_y + ky) - (long)shape->pad_top;
            long x = (long)(ox * shape->stride_x + kx) - (long)shape->pad_left;

            if (y >= 0 && y < (long)shape->height && x >= 0 &&
                x < (long)shape->width)
                visit(with,
                      ((size_t)y * shape->width + (size_t)x) * shape->channels,
                      ky * shape->kernel_x + kx);
        }
}
