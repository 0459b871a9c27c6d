/* Resampling at each CPU level: what the weights say, to the bit, from buffers
 * between unreadable pages. That the weights are Pillow's says test_picture. */
#include <check.h>
#include <stdlib.h>

#include "nn/resize.h"
#include "tests/nn/dice.h"
#include "tests/nn/guard.h"
#include "tests/nn/reference.h"
#include "tests/run_suite.h"

enum { ROUNDS = 600, MOST_BYTES = 1 << 17 };

static uint64_t seed;
static struct guard in, out;

/* The last of `bytes` bytes lies before an unreadable page. */
static uint8_t *place(struct guard *guard, size_t bytes)
{
    size_t floats = (bytes + sizeof(float) - 1) / sizeof(float);
    uint8_t *from = (void *)guard_place(guard, floats, GUARD_AFTER);
    return from + floats * sizeof(float) - bytes;
}

/* Noise, or only what overshoots most: black and white. */
static void paint(uint8_t *bytes, size_t count)
{
    bool hard = dice_below(&seed, 2);
    for (size_t i = 0; i < count; i++)
        bytes[i] = hard ? (uint8_t)-dice_below(&seed, 2) : (uint8_t)dice(&seed);
}

static void make_axis(struct nn_resize_axis *axis)
{
    uint32_t in_count = 1 + dice_below(&seed, dice_below(&seed, 2) ? 40 : 700);
    uint32_t out_count =
        dice_below(&seed, 8) ? 1 + dice_below(&seed, 120) : in_count;
    uint32_t count = 1 + dice_below(&seed, out_count);
    uint32_t crop = dice_below(&seed, out_count - count + 1);
    ck_assert_int_eq(nn_resize_axis_fill(in_count, out_count, crop, count,
                                         dice_below(&seed, 2), axis),
                     API_OK);
    ck_assert_uint_eq(axis->count, count);
    ck_assert_uint_le(axis->to, in_count);
}

/* One byte out of every `step`th one from `from` on. */
static uint8_t expected(const struct nn_resize_axis *axis, uint32_t at,
                        const uint8_t *from, size_t step)
{
    int64_t sum = NN_RESIZE_ROUNDING;
    from += axis->first[at] * step;
    for (uint32_t k = 0; k < axis->used[at]; k++, from += step)
        sum += (int64_t)*from *
               nn_resize_weight(axis, (size_t)at * axis->taps + k);
    sum >>= NN_RESIZE_FRACTION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

START_TEST(weights_sum_to_one)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct nn_resize_axis axis;
        make_axis(&axis);
        ck_assert_uint_eq(axis.taps % 4, 0);
        for (uint32_t i = 0; i < axis.count; i++) {
            int64_t sum = 0;
            ck_assert_uint_ge(axis.used[i], 1);
            ck_assert_uint_le(axis.used[i], axis.taps);
            ck_assert_uint_le(axis.from + axis.first[i] + axis.used[i],
                              axis.to);
            for (uint32_t k = 0; k < axis.taps; k++) {
                size_t at = (size_t)i * axis.taps + k;
                int32_t weight = nn_resize_weight(&axis, at);
                if (axis.low[at] < 0 ||
                    axis.low[at] >= 1 << NN_RESIZE_LOW_BITS ||
                    (k >= axis.used[i] && weight != 0))
                    ck_abort_msg("weight %u of pixel %u", k, i);
                sum += weight;
            }
            ck_assert_int_le(llabs(sum - NN_RESIZE_ONE), axis.used[i]);
        }
        nn_resize_axis_clear(&axis);
    }
}
END_TEST

START_TEST(across_is_what_the_weights_say)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct nn_resize_axis axis;
        make_axis(&axis);
        size_t rows = 1 + dice_below(&seed, 11);
        size_t line = (size_t)(axis.to - axis.from) * 3;
        size_t bytes = rows * line + NN_RESIZE_SLACK;
        uint8_t *source = place(&in, bytes);
        paint(source, bytes);
        uint8_t *got = place(&out, rows * axis.count * 3);
        nn_resize_across(&axis, source, rows, got);
        guard_check(&out);
        for (size_t row = 0; row < rows; row++, source += line)
            for (uint32_t x = 0; x < axis.count; x++)
                for (size_t i = 0; i < 3; i++, got++)
                    if (*got != expected(&axis, x, source + i, 3))
                        ck_abort_msg("round %d, row %zu, pixel %u", round, row,
                                     x);
        nn_resize_axis_clear(&axis);
    }
}
END_TEST

START_TEST(down_is_what_the_weights_say)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct nn_resize_axis axis;
        make_axis(&axis);
        size_t row_bytes = 1 + dice_below(&seed, 150);
        size_t bytes = (axis.to - axis.from) * row_bytes;
        uint8_t *source = place(&in, bytes);
        paint(source, bytes);
        uint8_t *got = place(&out, axis.count * row_bytes);
        nn_resize_down(&axis, source, row_bytes, got);
        guard_check(&out);
        for (uint32_t y = 0; y < axis.count; y++)
            for (size_t i = 0; i < row_bytes; i++, got++)
                if (*got != expected(&axis, y, source + i, row_bytes))
                    ck_abort_msg("round %d, line %u, byte %zu", round, y, i);
        nn_resize_axis_clear(&axis);
    }
}
END_TEST

static void open_guards(void)
{
    seed = 11;
    guard_open(&in, MOST_BYTES / sizeof(float));
    guard_open(&out, MOST_BYTES / sizeof(float));
}

static void close_guards(void)
{
    guard_close(&in);
    guard_close(&out);
}

Suite *make_suite(void)
{
    TCase *tests = tcase_create("resize");
    reference_level();
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, open_guards, close_guards);
    tcase_add_test(tests, weights_sum_to_one);
    tcase_add_test(tests, across_is_what_the_weights_say);
    tcase_add_test(tests, down_is_what_the_weights_say);
    Suite *suite = suite_create("resize");
    suite_add_tcase(suite, tests);
    return suite;
}
