/* Every int8 kernel of one CPU level, to the bit, between guard pages. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/cpu.h"
#include "nn/int8.h"
#include "nn/kernels.h"
#include "nn/weights.h"
#include "tests/nn/dice.h"
#include "tests/nn/guard.h"
#include "tests/nn/int8_reference.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

static const struct nn_int8_kernels *level;

static uint64_t seed = 7;

enum { SIDE_MAX = 40, DEPTH_MAX = 7 * 7 * 72, OUT_MAX = 132 };

/* A convolution of any kind with random numbers, and room for it. */
struct job {
    struct int8_value in, expected;
    struct nn_tensor weight, scale, bias;
    struct nn_node node;
    int8_t *weights;
    float scales[OUT_MAX], biases[OUT_MAX];
    struct guard in_guard, out_guard, residual_guard;
    struct guard weights_guard, constants_guard;
    enum guard_side side;
};

static void job_open(struct job *job)
{
    memset(job, 0, sizeof *job);
    guard_open(&job->in_guard, SIDE_MAX * SIDE_MAX * 80);
    guard_open(&job->out_guard, SIDE_MAX * SIDE_MAX * OUT_MAX);
    guard_open(&job->residual_guard, SIDE_MAX * SIDE_MAX * OUT_MAX);
    guard_open(&job->weights_guard, (OUT_MAX + 64) * (DEPTH_MAX / 4 + 32));
    guard_open(&job->constants_guard, (OUT_MAX + 64) * 4);
    job->weights = malloc((size_t)OUT_MAX * DEPTH_MAX);
    ck_assert_ptr_nonnull(job->weights);
}

static void job_close(struct job *job)
{
    free(job->weights);
    guard_close(&job->constants_guard);
    guard_close(&job->weights_guard);
    guard_close(&job->residual_guard);
    guard_close(&job->out_guard);
    guard_close(&job->in_guard);
}

/* `bytes` bytes at one side of a guard that counts in floats. */
static uint8_t *place(struct guard *guard, size_t bytes, enum guard_side side)
{
    size_t floats = (bytes + 3) / 4;
    uint8_t *from = (uint8_t *)guard_place(guard, floats, side);

    return side == GUARD_AFTER ? from + floats * 4 - bytes : from;
}

static void random_bytes(uint8_t *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)dice(&seed);
}

static float random_float(float low, float high)
{
    return low + (high - low) * (float)dice_below(&seed, 1u << 24) * 0x1p-24f;
}

/* Extremes are where sums saturate if they can. */
static void draw_numbers(struct job *job, size_t weights, uint32_t channels)
{
    int extreme = dice_below(&seed, 4) == 0;

    random_bytes(job->in.bytes, int8_value_count(&job->in));
    for (size_t i = 0; i < weights; i++) {
        int weight = (int)dice_below(&seed, 255) - 127;

        job->weights[i] = (int8_t)(extreme ? 127 : weight);
    }
    if (extreme)
        memset(job->in.bytes, 255, int8_value_count(&job->in));
    for (uint32_t i = 0; i < channels; i++) {
        job->scales[i] = random_float(0.0001f, 0.01f);
        job->biases[i] = random_float(-3, 3);
    }
    job->in.type =
        (struct nn_quant){random_float(0.01f, 0.02f), (uint8_t)dice(&seed)};
    job->node.quant = (struct nn_quant){0};
    if (dice_below(&seed, 4))
        job->node.quant =
            (struct nn_quant){random_float(0.01f, 0.3f), (uint8_t)dice(&seed)};
    job->node.act = (enum nn_act)dice_below(&seed, NN_ACT_CLIP + 1);
    job->node.limits[0] = -0.3f;
    job->node.limits[1] = 1.7f;
    job->scale = tensor_of(NN_F32, job->scales, 1, channels, 1, 1, 1);
    job->bias = tensor_of(NN_F32, job->biases, 1, channels, 1, 1, 1);
    job->node.scale = &job->scale;
    job->node.bias = dice_below(&seed, 8) ? &job->bias : NULL;
}

/* Zeros that end at a guard page; aligned all the same, as a scalar half panel
 * is no whole line. */
static uint8_t *zeros(struct guard *guard, size_t bytes)
{
    uint8_t *to = place(guard, bytes, GUARD_AFTER);

    ck_assert_uint_gt(bytes, 0);
    to -= (uintptr_t)to % 64;
    memset(to, 0, bytes);
    return to;
}

/* Packs through the product's own code. */
static struct nn_packed_int8 pack(struct job *job)
{
    struct nn_int8_totals totals[OUT_MAX] = {{0, 0}};
    uint8_t *weights =
        zeros(&job->weights_guard, nn_int8_weight_bytes(level, &job->node));
    uint8_t *constants =
        zeros(&job->constants_guard, nn_int8_constant_bytes(level, &job->node));

    ck_assert_int_eq(
        nn_int8_pack_weights(level, &job->node, weights, totals, NULL), API_OK);
    ck_assert_int_eq(nn_int8_pack_constants(level, &job->node, job->in.type,
                                            totals, constants, NULL),
                     API_OK);
    return (struct nn_packed_int8){weights, constants};
}

static void limits(const struct nn_node *node, float *lo, float *hi)
{
    *lo = node->act == NN_ACT_NONE ? -INFINITY : 0.0f;
    *hi = node->act == NN_ACT_RELU6 ? 6.0f : INFINITY;
    if (node->act == NN_ACT_CLIP) {
        *lo = node->limits[0];
        *hi = node->limits[1];
    }
    if (node->quant.scale > 0) {
        *lo = nn_int8_limit(*lo, node->quant);
        *hi = nn_int8_limit(*hi, node->quant);
    }
}

/* A convolution without padding, whose kernel rows are whole fours. */
static void tile_check(struct job *job, uint32_t rows, uint32_t columns,
                       uint32_t kernel, uint32_t channels)
{
    const uint32_t width = rows + kernel - 1;
    const uint8_t *row[64];
    struct nn_int8_tile tile = {
        .rows = row,
        .row_count = rows,
        .columns = columns,
        .segments = kernel,
        .groups = kernel * channels / 4,
        .segment_stride = (size_t)width * channels,
        .out_stride = columns,
    };
    size_t outputs = (size_t)rows * columns;
    struct nn_packed_int8 packed;

    job->in = (struct int8_value){
        .height = kernel, .width = width, .channels = channels};
    job->in.bytes =
        place(&job->in_guard, int8_value_count(&job->in), job->side);
    job->weight =
        tensor_of(NN_I8, job->weights, 4, columns, kernel, kernel, channels);
    job->node = (struct nn_node){.op = NN_OP_CONV,
                                 .groups = 1,
                                 .weight = &job->weight,
                                 .out = {0, columns},
                                 .inch = {0, channels},
                                 .stride = {1, 1},
                                 .dilation = {1, 1}};
    draw_numbers(job, (size_t)columns * kernel * kernel * channels, columns);
    packed = pack(job);
    tile.weights = packed.weights;
    tile.constants = packed.constants;
    limits(&job->node, &tile.lo, &tile.hi);
    for (uint32_t r = 0; r < rows; r++)
        row[r] = job->in.bytes + (size_t)r * channels;
    tile.row_stride = columns % 3 ? channels : 0; /* saying it is no duty */
    if (job->node.quant.scale > 0)
        tile.bytes = place(&job->out_guard, outputs, job->side);
    else
        tile.floats = guard_place(&job->out_guard, outputs, job->side);
    level->tile(&tile);
    guard_check(&job->out_guard);
    int8_node(&job->node, &job->in, NULL, &job->expected);
    ck_assert_uint_eq(int8_value_count(&job->expected), outputs);
    if (tile.floats)
        ck_assert_mem_eq(tile.floats, job->expected.floats, outputs * 4);
    else
        ck_assert_mem_eq(tile.bytes, job->expected.bytes, outputs);
    int8_value_close(&job->expected);
}

START_TEST(tile_of_every_size)
{
    static const uint32_t kernels[] = {1, 1, 3, 2, 1, 5};
    static const uint32_t channels[] = {4, 12, 4, 6, 64, 8};
    const uint32_t columns = 2 * level->nr + 1;
    struct job job;
    uint32_t kind = 0;

    job_open(&job);
    for (uint32_t rows = 1; rows <= level->mr; rows++)
        for (uint32_t n = 1; n <= columns; n++, kind++) {
            job.side = kind % 2 ? GUARD_BEFORE : GUARD_AFTER;
            tile_check(&job, rows, n, kernels[kind % 6], channels[kind % 6]);
        }
    job_close(&job);
}
END_TEST

/* Two products whose sum is what one of them adds as its residual. */
START_TEST(tile_with_a_residual)
{
    const uint32_t columns = level->nr + 3;
    struct job job;

    job_open(&job);
    for (uint32_t round = 0; round < 200; round++) {
        const uint32_t rows = 1 + dice_below(&seed, level->mr);
        const uint32_t n = 1 + dice_below(&seed, columns);
        const struct nn_quant type = {random_float(0.01f, 0.3f),
                                      (uint8_t)dice(&seed)};
        const struct nn_node add = {
            .op = NN_OP_ADD,
            .act = dice_below(&seed, 2) ? NN_ACT_RELU : NN_ACT_NONE,
            .quant = {random_float(0.01f, 0.3f), (uint8_t)dice(&seed)}};
        const uint8_t *row[64];
        struct int8_value made, with, expected;
        struct nn_int8_tile tile = {.rows = row,
                                    .row_count = rows,
                                    .columns = n,
                                    .segments = 1,
                                    .groups = 5,
                                    .out_stride = n,
                                    .lo = 0.0f,
                                    .hi = 255.0f};
        struct nn_packed_int8 packed;
        uint8_t *residual;

        job.side = round % 2 ? GUARD_BEFORE : GUARD_AFTER;
        job.in =
            (struct int8_value){.height = 1, .width = rows, .channels = 20};
        job.in.bytes = place(&job.in_guard, rows * 20, job.side);
        job.weight = tensor_of(NN_I8, job.weights, 4, n, 1, 1, 20);
        job.node = (struct nn_node){.op = NN_OP_CONV,
                                    .groups = 1,
                                    .weight = &job.weight,
                                    .out = {0, n},
                                    .inch = {0, 20},
                                    .stride = {1, 1},
                                    .dilation = {1, 1}};
        draw_numbers(&job, n * 20, n);
        job.node.act = NN_ACT_NONE;
        job.node.quant =
            (struct nn_quant){random_float(0.01f, 0.3f), (uint8_t)dice(&seed)};
        int8_node(&job.node, &job.in, NULL, &made);
        with = made;
        with.type = type;
        with.bytes = residual =
            place(&job.residual_guard, (size_t)rows * n, job.side);
        random_bytes(residual, (size_t)rows * n);
        int8_node(&add, &made, &with, &expected);
        {
            const struct nn_quant to = add.quant, of = job.node.quant;
            struct nn_int8_sum *sum = &tile.sum;
            volatile float f = of.scale / to.scale, g = type.scale / to.scale;
            volatile float p = (float)of.zero * f, q = (float)type.zero * g;
            volatile float both = p + q;

            *sum =
                (struct nn_int8_sum){f, g, (float)to.zero - both, 0.0f, 255.0f};
            if (add.act == NN_ACT_RELU)
                sum->lo = nn_int8_limit(0.0f, to);
        }
        packed = pack(&job);
        tile.weights = packed.weights;
        tile.constants = packed.constants;
        tile.residual = residual;
        tile.bytes = place(&job.out_guard, (size_t)rows * n, job.side);
        for (uint32_t r = 0; r < rows; r++)
            row[r] = job.in.bytes + (size_t)r * 20;
        level->tile(&tile);
        guard_check(&job.out_guard);
        ck_assert_mem_eq(tile.bytes, expected.bytes, (size_t)rows * n);
        int8_value_close(&expected);
        int8_value_close(&made);
    }
    job_close(&job);
}
END_TEST

/* Kernels as networks have them, and odd ones. */
static const struct {
    uint32_t height, width, stride;
} windows[] = {{3, 3, 1}, {3, 3, 2}, {5, 5, 1}, {5, 5, 2}, {1, 1, 1},
               {7, 7, 1}, {2, 5, 3}, {4, 3, 1}, {9, 2, 2}};

enum { WINDOWS = sizeof windows / sizeof windows[0] };

/* Rows of an input in phases, at the end of a guard; the places that make the
 * phases equally long hold any bytes. */
static void split_rows(const struct int8_value *in, struct guard *guard,
                       struct nn_int8_dwconv *dwconv, const uint8_t **row)
{
    const uint32_t stride = dwconv->stride_x, channels = in->channels;
    const size_t width = (in->width + stride - 1) / stride;
    const size_t row_bytes = width * stride * channels;
    uint8_t *to = place(guard, in->height * row_bytes, GUARD_AFTER);

    dwconv->phase_bytes = width * channels;
    for (uint32_t y = 0; y < in->height; y++, to += row_bytes) {
        row[y] = to;
        random_bytes(to, row_bytes);
        for (uint32_t x = 0; x < in->width; x++)
            memcpy(
                to + x % stride * dwconv->phase_bytes + x / stride * channels,
                in->bytes + ((size_t)y * in->width + x) * channels, channels);
    }
}

START_TEST(dwconv_of_every_channel_count)
{
    const uint32_t height = windows[_i].height, width = windows[_i].width;
    const uint32_t stride = windows[_i].stride;
    struct job job;

    job_open(&job);
    /* Each with few pixels, then with as many as vectors of several take. */
    for (uint32_t i = 2; i < 2 * (2 * level->lanes + 2); i++) {
        const uint32_t channels = i / 2;
        const uint32_t pixels = 1 + channels % 7 + i % 2 * 32;
        const uint8_t *row[16];
        size_t outputs = (size_t)pixels * channels;
        struct nn_int8_dwconv dwconv = {.rows = row,
                                        .pixels = pixels,
                                        .channels = channels,
                                        .kernel_height = height,
                                        .kernel_width = width,
                                        .stride_x = stride};
        struct nn_packed_int8 packed;

        job.side = i / 4 % 2 ? GUARD_BEFORE : GUARD_AFTER;
        job.in = (struct int8_value){.height = height,
                                     .width = (pixels - 1) * stride + width,
                                     .channels = channels};
        job.in.bytes =
            place(&job.in_guard, int8_value_count(&job.in), job.side);
        job.weight =
            tensor_of(NN_I8, job.weights, 3, height, width, channels, 1);
        job.node = (struct nn_node){.op = NN_OP_DWCONV,
                                    .weight = &job.weight,
                                    .out = {0, channels},
                                    .inch = {0, channels},
                                    .stride = {1, (uint8_t)stride}};
        draw_numbers(&job, (size_t)height * width * channels, channels);
        packed = pack(&job);
        dwconv.weights = packed.weights;
        dwconv.constants = packed.constants;
        limits(&job.node, &dwconv.lo, &dwconv.hi);
        for (uint32_t ky = 0; ky < height; ky++)
            row[ky] = job.in.bytes + (size_t)ky * job.in.width * channels;
        if (stride > 1 && channels < level->lanes)
            split_rows(&job.in, &job.residual_guard, &dwconv, row);
        if (job.node.quant.scale > 0)
            dwconv.bytes = place(&job.out_guard, outputs, job.side);
        else
            dwconv.floats = guard_place(&job.out_guard, outputs, job.side);
        level->dwconv(&dwconv);
        guard_check(&job.out_guard);
        int8_node(&job.node, &job.in, NULL, &job.expected);
        ck_assert_uint_eq(int8_value_count(&job.expected), outputs);
        if (dwconv.floats)
            ck_assert_mem_eq(dwconv.floats, job.expected.floats, outputs * 4);
        else
            ck_assert_mem_eq(dwconv.bytes, job.expected.bytes, outputs);
        int8_value_close(&job.expected);
    }
    job_close(&job);
}
END_TEST

START_TEST(add_of_every_length)
{
    struct guard a, b, out;

    guard_open(&a, 64);
    guard_open(&b, 64);
    guard_open(&out, 64);
    for (uint32_t count = 1; count <= 100; count++) {
        const enum guard_side side = count % 2 ? GUARD_BEFORE : GUARD_AFTER;
        const struct nn_int8_sum sum = {
            random_float(0.01f, 2), random_float(0.01f, 2),
            random_float(-200, 200), count % 3 ? 0.0f : 17.0f,
            count % 5 ? 255.0f : 200.0f};
        uint8_t *x = place(&a, count, side), *y = place(&b, count, side);
        uint8_t *q = place(&out, count, side);

        random_bytes(x, count);
        random_bytes(y, count);
        level->add(x, y, q, count, &sum);
        guard_check(&out);
        for (uint32_t i = 0; i < count; i++) {
            volatile float f = (float)x[i] * sum.first;
            volatile float g = (float)y[i] * sum.second;
            volatile float both = f + g;
            float expected = both + sum.offset;

            expected = fminf(fmaxf(expected, sum.lo), sum.hi);
            ck_assert_int_eq(q[i], (int)nearbyintf(expected));
        }
    }
    guard_close(&out);
    guard_close(&b);
    guard_close(&a);
}
END_TEST

/* Ties, what is far outside, and what is no number. */
START_TEST(quantize_of_every_length)
{
    static const float odd[] = {0.5f,     1.5f,      2.5f,     -0.5f, 254.5f,
                                255.5f,   NAN,       INFINITY, 1e30f, -1e30f,
                                INFINITY, -INFINITY, 0.0f,     -0.0f, 1e-42f};
    struct guard in, out;

    guard_open(&in, 128);
    guard_open(&out, 64);
    for (uint32_t count = 1; count <= 100; count++) {
        const enum guard_side side = count % 2 ? GUARD_BEFORE : GUARD_AFTER;
        const float factor = count % 3 ? random_float(1, 90) : 1.0f;
        const float zero = (float)dice_below(&seed, 256);
        float *x = guard_place(&in, count, side);
        uint8_t *q = place(&out, count, side);

        for (uint32_t i = 0; i < count; i++)
            x[i] = dice_below(&seed, 3) ? random_float(-4, 4)
                                        : odd[dice_below(&seed, 15)];
        level->quantize(x, q, count, factor, zero);
        guard_check(&out);
        for (uint32_t i = 0; i < count; i++) {
            volatile float product = x[i] * factor;
            float expected = product + zero;

            expected = expected > 0.0f ? fminf(expected, 255.0f) : 0.0f;
            ck_assert_int_eq(q[i], (int)nearbyintf(expected));
        }
    }
    guard_close(&out);
    guard_close(&in);
}
END_TEST

static void choose_level(void)
{
#ifdef CLEAVE_TEST_AVXVNNI
    if (!nn_cpu_find("avx512vnni"))
        exit(77);
    level = &nn_int8_avxvnni;
#else
    level = reference_level()->int8;
#endif
}

Suite *make_suite(void)
{
    Suite *suite = suite_create("int8 kernels");
    TCase *cases = tcase_create("int8 kernels");

    choose_level();
    tcase_set_timeout(cases, 0);
    tcase_add_test(cases, tile_of_every_size);
    tcase_add_test(cases, tile_with_a_residual);
    tcase_add_loop_test(cases, dwconv_of_every_channel_count, 0, WINDOWS);
    tcase_add_test(cases, add_of_every_length);
    tcase_add_test(cases, quantize_of_every_length);
    suite_add_tcase(suite, cases);
    return suite;
}
