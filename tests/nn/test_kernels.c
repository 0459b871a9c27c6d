/* Every kernel of one CPU level against double precision, over all tails. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kernels.h"
#include "nn/weights.h"
#include "tests/nn/guard.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

static const struct nn_kernels *level;

/* The clamps of no activation, ReLU and ReLU6. */
static const float clamps[3][2] = {
    {-INFINITY, INFINITY}, {0.0f, INFINITY}, {0.0f, 6.0f}};

/* Packs through the product's own code, then moves the result between guard
 * pages, so that reads behind the last panel are caught too. */
static void pack(const struct nn_node *node, float *to, size_t floats)
{
    struct nn_weights *weights = NULL;
    const float *packed = NULL;

    ck_assert_int_eq(nn_weights_open(level, &weights), API_OK);
    ck_assert_int_eq(nn_weights_pack(weights, node, &packed, NULL), API_OK);
    ck_assert_uint_eq(nn_weights_bytes(weights), floats * sizeof(float));
    memcpy(to, packed, floats * sizeof(float));
    nn_weights_close(&weights);
}

/* One shape of product, and room for it at its largest. */
struct product {
    uint32_t rows, depth, segments, columns; /* depth: of all segments */
    size_t stride;
    enum fill how;
    enum guard_side side;
    bool residual;
    const float *clamp;
    struct guard in, panels, residual_guard, out;
    float *weight, *bias, *scale;
};

static void product_open(struct product *p, uint32_t rows, uint32_t depth,
                         uint32_t columns)
{
    size_t outputs = (size_t)rows * columns;

    memset(p, 0, sizeof *p);
    p->segments = 1;
    guard_open(&p->in, (size_t)rows * (depth + 16));
    guard_open(&p->panels, (size_t)(columns + level->nr) * (depth + 1));
    guard_open(&p->residual_guard, outputs);
    guard_open(&p->out, outputs);
    p->weight = malloc((size_t)columns * depth * sizeof(float));
    p->bias = malloc(columns * sizeof(float));
    p->scale = malloc(columns * sizeof(float));
    ck_assert(p->weight && p->bias && p->scale);
}

static void product_close(struct product *p)
{
    free(p->scale);
    free(p->bias);
    free(p->weight);
    guard_close(&p->out);
    guard_close(&p->residual_guard);
    guard_close(&p->panels);
    guard_close(&p->in);
}

/* All rows of a segment, then those of the next. */
static size_t segment_floats(const struct product *p)
{
    return (p->rows - 1) * p->stride + p->depth / p->segments;
}

static void product_check(const struct product *p, const float *in,
                          const float *residual, const float *out)
{
    const uint32_t depth = p->depth / p->segments;

    for (uint32_t r = 0; r < p->rows; r++)
        for (uint32_t n = 0; n < p->columns; n++) {
            size_t at = (size_t)r * p->columns + n;
            struct sum sum = {0, 0, 0};

            sum_add(&sum, p->bias[n]);
            for (uint32_t k = 0; k < p->depth; k++) {
                float weight = p->weight[n * p->depth + k] * p->scale[n];
                float value = in[r * p->stride + k / depth * segment_floats(p) +
                                 k % depth];

                sum_add(&sum, (double)value * weight);
            }
            if (residual)
                sum_add(&sum, residual[at]);
            sum_check(&sum, p->clamp[0], p->clamp[1], out[at], "tile", at);
        }
}

static void product_run(struct product *p, uint32_t seed)
{
    const uint32_t half = level->nr / 2;
    size_t floats =
        (size_t)(p->columns + half - 1) / half * half * (p->depth + 1);
    size_t in_floats = p->segments * segment_floats(p);
    size_t outputs = (size_t)p->rows * p->columns;
    const struct nn_tensor weight =
        tensor_of(NN_F32, p->weight, 4, p->columns, 1, 1, p->depth);
    const struct nn_tensor bias =
        tensor_of(NN_F32, p->bias, 1, p->columns, 1, 1, 1);
    const struct nn_tensor scale =
        tensor_of(NN_F32, p->scale, 1, p->columns, 1, 1, 1);
    const struct nn_node node = {.op = NN_OP_CONV,
                                 .groups = 1,
                                 .weight = &weight,
                                 .bias = &bias,
                                 .scale = &scale,
                                 .out = {0, p->columns},
                                 .inch = {0, p->depth}};
    float *in = guard_place(&p->in, in_floats, p->side);
    float *panels = guard_place(&p->panels, floats, p->side);
    float *residual = guard_place(&p->residual_guard, outputs, p->side);
    float *out = guard_place(&p->out, outputs, p->side);
    const struct nn_tile tile = {.in = in,
                                 .in_stride = p->stride,
                                 .rows = p->rows,
                                 .depth = p->depth / p->segments,
                                 .segments = p->segments,
                                 .segment_stride = segment_floats(p),
                                 .columns = p->columns,
                                 .panels = panels,
                                 .residual = p->residual ? residual : NULL,
                                 .out = out,
                                 .lo = p->clamp[0],
                                 .hi = p->clamp[1]};

    fill(in, in_floats, p->how, seed);
    fill(residual, outputs, p->how, seed + 1);
    fill(p->weight, (size_t)p->columns * p->depth, p->how, seed + 2);
    fill(p->bias, p->columns, p->how, seed + 3);
    fill(p->scale, p->columns, FILL_NORMAL, seed + 4);
    pack(&node, panels, floats);
    level->tile(&tile);
    product_check(p, in, tile.residual, out);
    guard_check(&p->out);
}

START_TEST(tile_of_every_size)
{
    static const uint32_t depths[] = {1, 2, 3, 9, 27, 32};
    const uint32_t columns = 2 * level->nr + 1;
    uint32_t seed = 0;
    struct product p;

    product_open(&p, level->mr, 32, columns);
    for (p.rows = 1; p.rows <= level->mr; p.rows++)
        for (p.columns = 1; p.columns <= columns; p.columns++) {
            p.depth = depths[seed % 6];
            p.segments = p.depth % 3 || seed % 4 == 2 ? 1 : 3;
            p.stride = p.depth / p.segments + (seed % 4 == 3 ? 5 : 0);
            p.how = FILL_NORMAL;
            p.residual = seed % 2;
            p.clamp = clamps[seed % 3];
            p.side = GUARD_BEFORE;
            product_run(&p, seed);
            p.side = GUARD_AFTER;
            product_run(&p, seed++);
        }
    product_close(&p);
}
END_TEST

START_TEST(tile_of_extreme_values)
{
    struct product p;

    product_open(&p, level->mr, 70, level->nr + 3);
    p.columns = level->nr + 3;
    p.depth = 70;
    p.stride = 70;
    p.side = GUARD_AFTER;
    for (p.rows = 1; p.rows <= level->mr; p.rows++)
        for (p.how = FILL_NORMAL; p.how < FILL_COUNT; p.how++)
            for (int i = 0; i < 3; i++) {
                p.clamp = clamps[i];
                p.residual = !p.residual;
                product_run(&p, p.rows);
            }
    product_close(&p);
}
END_TEST

/* A depthwise convolution and room for it. */
struct depthwise {
    struct conv_shape shape;
    enum fill how;
    enum guard_side side;
    const float *clamp;
    struct guard in, blocks, out;
    float *weight, *bias;
};

enum { SIDE_MAX = 20, TAPS_MAX = 25 };

static void depthwise_open(struct depthwise *d, uint32_t channels)
{
    memset(d, 0, sizeof *d);
    guard_open(&d->in, (size_t)SIDE_MAX * SIDE_MAX * channels);
    guard_open(&d->out, (size_t)SIDE_MAX * SIDE_MAX * channels);
    guard_open(&d->blocks, (size_t)(channels + level->lanes) * (TAPS_MAX + 1));
    d->weight = malloc((size_t)TAPS_MAX * channels * sizeof(float));
    d->bias = malloc(channels * sizeof(float));
    ck_assert(d->weight && d->bias);
}

static void depthwise_close(struct depthwise *d)
{
    free(d->bias);
    free(d->weight);
    guard_close(&d->blocks);
    guard_close(&d->out);
    guard_close(&d->in);
}

struct visit {
    const struct depthwise *depthwise;
    const float *in;
    uint32_t channel;
    struct sum sum;
};

static void visit_tap(void *with, size_t pixel, uint32_t tap)
{
    struct visit *visit = with;
    uint32_t channels = visit->depthwise->shape.channels;

    sum_add(&visit->sum,
            (double)visit->in[pixel + visit->channel] *
                visit->depthwise->weight[tap * channels + visit->channel]);
}

static void depthwise_run(struct depthwise *d, uint32_t seed)
{
    const struct conv_shape *s = &d->shape;
    uint32_t out_height = conv_out(s->height, s->kernel_y, s->stride_y,
                                   s->pad_top + s->pad_bottom);
    uint32_t out_width = conv_out(s->width, s->kernel_x, s->stride_x,
                                  s->pad_left + s->pad_right);
    size_t in_floats = (size_t)s->height * s->width * s->channels;
    size_t outputs = (size_t)out_height * out_width * s->channels;
    size_t taps = (size_t)s->kernel_y * s->kernel_x;
    size_t block_floats = (s->channels + level->lanes - 1) / level->lanes *
                          level->lanes * (taps + 1);
    const struct nn_tensor weight = tensor_of(NN_F32, d->weight, 3, s->kernel_y,
                                              s->kernel_x, s->channels, 1);
    const struct nn_tensor bias =
        tensor_of(NN_F32, d->bias, 1, s->channels, 1, 1, 1);
    const struct nn_node node = {.op = NN_OP_DWCONV,
                                 .weight = &weight,
                                 .bias = &bias,
                                 .out = {0, s->channels},
                                 .inch = {0, s->channels}};
    float *in = guard_place(&d->in, in_floats, d->side);
    float *blocks = guard_place(&d->blocks, block_floats, d->side);
    float *out = guard_place(&d->out, outputs, d->side);
    const struct nn_dwconv job = {.in = in,
                                  .out = out,
                                  .blocks = blocks,
                                  .in_height = s->height,
                                  .in_width = s->width,
                                  .out_height = out_height,
                                  .out_width = out_width,
                                  .channels = s->channels,
                                  .kernel_height = s->kernel_y,
                                  .kernel_width = s->kernel_x,
                                  .stride_y = s->stride_y,
                                  .stride_x = s->stride_x,
                                  .pad_top = s->pad_top,
                                  .pad_left = s->pad_left,
                                  .lo = d->clamp[0],
                                  .hi = d->clamp[1]};

    ck_assert(out_height && out_width);
    fill(in, in_floats, d->how, seed);
    fill(d->weight, taps * s->channels, d->how, seed + 1);
    fill(d->bias, s->channels, d->how, seed + 2);
    pack(&node, blocks, block_floats);
    level->dwconv(&job);
    for (uint32_t oy = 0; oy < out_height; oy++)
        for (uint32_t ox = 0; ox < out_width; ox++)
            for (uint32_t c = 0; c < s->channels; c++) {
                size_t at = ((size_t)oy * out_width + ox) * s->channels + c;
                struct visit visit = {d, in, c, {0, 0, 0}};

                sum_add(&visit.sum, d->bias[c]);
                each_tap(s, oy, ox, visit_tap, &visit);
                sum_check(&visit.sum, d->clamp[0], d->clamp[1], out[at],
                          "dwconv", at);
            }
    guard_check(&d->out);
}

/* Kernels, strides and paddings as networks have them, and odd ones. */
static const struct conv_shape windows[] = {
    {0, 0, 0, 3, 3, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 3, 3, 2, 2, 0, 1, 0, 1},
    {0, 0, 0, 3, 3, 2, 2, 1, 1, 1, 1}, {0, 0, 0, 5, 5, 1, 1, 2, 2, 2, 2},
    {0, 0, 0, 5, 5, 2, 2, 1, 2, 1, 2}, {0, 0, 0, 5, 5, 2, 2, 2, 2, 2, 2},
    {0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}, {0, 0, 0, 2, 4, 3, 1, 1, 1, 2, 3},
    {0, 0, 0, 3, 3, 1, 2, 4, 3, 5, 4}, {0, 0, 0, 7, 3, 1, 3, 3, 3, 1, 1},
    {0, 0, 0, 3, 5, 1, 1, 2, 2, 4, 4}, {0, 0, 0, 1, 1, 3, 3, 2, 0, 2, 0},
};

enum { WINDOWS = sizeof windows / sizeof windows[0] };

START_TEST(dwconv_of_every_channel_count)
{
    struct depthwise d;
    uint32_t channels = 2 * level->lanes + 1;

    depthwise_open(&d, channels);
    for (uint32_t c = 1; c <= channels; c++) {
        d.shape = windows[_i];
        d.shape.channels = c;
        d.shape.height = 5 + c % 2;
        d.shape.width = 7 + c % 3;
        d.how = FILL_NORMAL;
        d.clamp = clamps[c % 3];
        d.side = GUARD_BEFORE;
        depthwise_run(&d, c);
        d.side = GUARD_AFTER;
        depthwise_run(&d, c);
    }
    depthwise_close(&d);
}
END_TEST

START_TEST(dwconv_of_every_width)
{
    struct depthwise d;
    uint32_t channels = level->lanes + 3;

    depthwise_open(&d, channels);
    for (uint32_t width = 1; width <= 13; width++)
        for (uint32_t height = 1; height <= 7; height += 2) {
            d.shape = windows[_i];
            d.shape.channels = channels;
            d.shape.height = height;
            d.shape.width = width;
            if (!conv_out(height, d.shape.kernel_y, d.shape.stride_y,
                          d.shape.pad_top + d.shape.pad_bottom) ||
                !conv_out(width, d.shape.kernel_x, d.shape.stride_x,
                          d.shape.pad_left + d.shape.pad_right))
                continue;
            d.how = (enum fill)((width + height) % FILL_COUNT);
            d.clamp = clamps[width % 3];
            d.side = width % 2 ? GUARD_BEFORE : GUARD_AFTER;
            depthwise_run(&d, width);
        }
    depthwise_close(&d);
}
END_TEST

START_TEST(add_of_every_length)
{
    struct guard a, b, sum;
    size_t longest = 4 * (size_t)level->lanes + 1;

    guard_open(&a, longest);
    guard_open(&b, longest);
    guard_open(&sum, longest);
    for (size_t count = 1; count <= longest; count++)
        for (int variant = 0; variant < 2 * FILL_COUNT; variant++) {
            enum guard_side side = variant % 2 ? GUARD_AFTER : GUARD_BEFORE;
            const float *clamp = clamps[(count + (size_t)variant) % 3];
            float *x = guard_place(&a, count, side);
            float *y = guard_place(&b, count, side);
            float *out = guard_place(&sum, count, side);

            fill(x, count, (enum fill)(variant / 2), 1);
            fill(y, count, (enum fill)(variant / 2), 2);
            level->add(x, y, out, count, clamp[0], clamp[1]);
            guard_check(&sum);
            for (size_t i = 0; i < count; i++) {
                float expected = x[i] + y[i];

                expected = fminf(fmaxf(expected, clamp[0]), clamp[1]);
                ck_assert_float_eq(out[i], expected);
            }
        }
    guard_close(&sum);
    guard_close(&b);
    guard_close(&a);
}
END_TEST

/* The plain kernels have no levels, so they are tested once. */
START_TEST(pools_count_only_the_inside)
{
    struct guard in_guard, out_guard;
    const struct conv_shape *s = &windows[_i];
    struct nn_pool job = {.in_height = 6,
                          .in_width = 9,
                          .channels = 5,
                          .kernel_height = s->kernel_y,
                          .kernel_width = s->kernel_x,
                          .stride_y = s->stride_y,
                          .stride_x = s->stride_x,
                          .pad_top = s->pad_top % s->kernel_y,
                          .pad_left = s->pad_left % s->kernel_x};
    float *in, *out;
    size_t outputs;

    job.out_height = conv_out(6, job.kernel_height, job.stride_y,
                              job.pad_top + s->pad_bottom % job.kernel_height);
    job.out_width = conv_out(9, job.kernel_width, job.stride_x,
                             job.pad_left + s->pad_right % job.kernel_width);
    outputs = (size_t)job.out_height * job.out_width * 5;
    guard_open(&in_guard, 6 * 9 * 5);
    guard_open(&out_guard, outputs);
    in = guard_place(&in_guard, 6 * 9 * 5, GUARD_AFTER);
    fill(in, 6 * 9 * 5, FILL_NORMAL, 7);
    for (int maximum = 0; maximum < 2; maximum++) {
        out = guard_place(&out_guard, outputs, GUARD_AFTER);
        job.in = in;
        job.out = out;
        if (maximum)
            nn_max_pool(&job);
        else
            nn_average_pool(&job);
        guard_check(&out_guard);
        for (size_t at = 0; at < outputs; at++) {
            long oy = (long)(at / 5 / job.out_width);
            long ox = (long)(at / 5 % job.out_width);
            double total = 0, largest = -INFINITY;
            int count = 0;

            for (long y = 0; y < 6; y++)
                for (long x = 0; x < 9; x++) {
                    long ky = y - oy * (long)job.stride_y + (long)job.pad_top;
                    long kx = x - ox * (long)job.stride_x + (long)job.pad_left;
                    double value = in[(y * 9 + x) * 5 + (long)(at % 5)];

                    if (ky < 0 || ky >= (long)job.kernel_height || kx < 0 ||
                        kx >= (long)job.kernel_width)
                        continue;
                    total += value;
                    largest = fmax(largest, value);
                    count++;
                }
            ck_assert_int_gt(count, 0);
            ck_assert_double_eq_tol(out[at], maximum ? largest : total / count,
                                    1e-5);
        }
    }
    guard_close(&out_guard);
    guard_close(&in_guard);
}
END_TEST

START_TEST(softmax_sums_to_one)
{
    const float in[8] = {1000.0f, 999.0f, -1000.0f, 0.0f,
                         0.5f,    0.5f,   0.5f,     0.5f};
    float out[8];

    nn_softmax(in, out, 2, 4);
    ck_assert_double_eq_tol(out[0], 1 / (1 + exp(-1)), 1e-6);
    ck_assert_double_eq_tol(out[1], exp(-1) / (1 + exp(-1)), 1e-6);
    ck_assert_float_eq(out[2], 0.0f);
    ck_assert_float_eq(out[3], 0.0f);
    for (int i = 4; i < 8; i++)
        ck_assert_float_eq(out[i], 0.25f);
}
END_TEST

START_TEST(clamp_keeps_what_is_inside)
{
    const float in[5] = {-1.0f, 0.0f, 3.5f, 6.0f, 7.0f};
    const float expected[5] = {0.0f, 0.0f, 3.5f, 6.0f, 6.0f};
    float out[5];

    nn_clamp(in, out, 5, 0.0f, 6.0f);
    ck_assert_mem_eq(out, expected, sizeof out);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tiles = tcase_create("products"), *rest = tcase_create("others");

    level = reference_level();
    tcase_set_timeout(tiles, 0);
    tcase_set_timeout(rest, 0);
    tcase_add_test(tiles, tile_of_every_size);
    tcase_add_test(tiles, tile_of_extreme_values);
    tcase_add_loop_test(rest, dwconv_of_every_channel_count, 0, WINDOWS);
    tcase_add_loop_test(rest, dwconv_of_every_width, 0, WINDOWS);
    tcase_add_test(rest, add_of_every_length);
    tcase_add_loop_test(rest, pools_count_only_the_inside, 0, WINDOWS);
    tcase_add_test(rest, softmax_sums_to_one);
    tcase_add_test(rest, clamp_keeps_what_is_inside);
    suite_add_tcase(suite, tiles);
    suite_add_tcase(suite, rest);
    return suite;
}
