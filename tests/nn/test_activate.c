/* Activation curves against libm in double, over all that can come. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "nn/activate.h"
#include "tests/run_suite.h"

static float activated(enum nn_act act, float x)
{
    float values[9]; /* longer than a vector, and a rest */

    for (size_t i = 0; i < 9; i++)
        values[i] = x;
    nn_activate(act, 0.125f, values, 9);
    for (size_t i = 1; i < 9; i++)
        ck_assert(values[i] == values[0] || isnan(values[0]));
    return values[0];
}

static double expected(enum nn_act act, double x)
{
    switch (act) {
    case NN_ACT_LEAKY_RELU:
        return x < 0 ? 0.125 * x : x;
    case NN_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case NN_ACT_HARD_SWISH:
        return x * fmin(fmax(x / 6 + 0.5, 0), 1);
    case NN_ACT_SILU:
        return x / (1 + exp(-x));
    case NN_ACT_GELU:
        return x / 2 * erfc(-x / sqrt(2));
    default:
        return x;
    }
}

START_TEST(curves_are_as_near_as_they_say)
{
    const enum nn_act act = (enum nn_act)_i;

    for (double at = -130; at < 130; at += 0.0131) {
        float x = (float)(fabs(at) < 1 ? at * at * at : at), y;
        double wanted = expected(act, (double)x);
        /* These err by a part of x, the others of what they are; what is no
         * normal float may come out as 0. */
        bool of_x = act == NN_ACT_GELU || act == NN_ACT_HARD_SWISH;
        double size = of_x ? fabs((double)x) : fabs(wanted);
        double bound = 5e-7 * size + 200 * (double)FLT_MIN;

        y = activated(act, x);
        if (!(fabs((double)y - wanted) <= bound))
            ck_abort_msg("act %d of %.9g: %.9g instead of %.9g", _i, (double)x,
                         (double)y, wanted);
    }
}
END_TEST

START_TEST(what_is_no_number_stays_none)
{
    ck_assert(isnan(activated((enum nn_act)_i, NAN)));
    ck_assert(activated((enum nn_act)_i, FLT_MAX) >= 1.0f);
    ck_assert(fabsf(activated((enum nn_act)_i, -0.0f)) <= 0.5f);
}
END_TEST

START_TEST(those_that_clamp_are_left_alone)
{
    for (int act = NN_ACT_NONE; act <= NN_ACT_CLIP; act++)
        ck_assert_float_eq(activated((enum nn_act)act, -3.5f), -3.5f);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("activate");
    TCase *cases = tcase_create("activate");

    tcase_add_loop_test(cases, curves_are_as_near_as_they_say,
                        NN_ACT_LEAKY_RELU, NN_ACT_GELU + 1);
    tcase_add_loop_test(cases, what_is_no_number_stays_none, NN_ACT_LEAKY_RELU,
                        NN_ACT_GELU + 1);
    tcase_add_test(cases, those_that_clamp_are_left_alone);
    suite_add_tcase(suite, cases);
    return suite;
}
