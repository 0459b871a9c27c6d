/* The choice of a kernel set: a name that this machine lacks is an error. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "nn/cpu.h"
#include "nn/nn.h"

/* The choice is made once a process, and Check forks for every test. */
START_TEST(unknown_name_is_refused)
{
    static const char *const names[] = {
        "bogus", "AVX2",
        "a-name-that-is-far-longer-than-any-kernel-set-has-one"};
    const struct nn_kernels *kernels = NULL;
    struct nn_model *model = NULL;
    struct api_error error = {0};

    ck_assert_int_eq(setenv("CLEAVE_CPU", names[_i], 1), 0);
    ck_assert_int_eq(nn_cpu_select(&kernels, &error), API_USAGE);
    ck_assert_ptr_null(kernels);
    ck_assert_ptr_nonnull(strstr(error.text, "CLEAVE_CPU"));
    ck_assert_int_eq(nn_model_open("anything", &model, NULL), API_USAGE);
    ck_assert_ptr_null(model);
    ck_assert_str_eq(nn_cpu_name(), "none");
}
END_TEST

START_TEST(empty_or_absent_name_means_the_best)
{
    static const char *const levels[] = {"avx512vnni", "avx512", "avxvnni",
                                         "avx2",       "neondot", "neon",
                                         "scalar"};
    enum { LEVELS = sizeof levels / sizeof levels[0] };
    const struct nn_kernels *kernels = NULL;

    if (_i)
        ck_assert_int_eq(setenv("CLEAVE_CPU", "", 1), 0);
    else
        ck_assert_int_eq(unsetenv("CLEAVE_CPU"), 0);
    ck_assert_int_eq(nn_cpu_select(&kernels, NULL), API_OK);
    ck_assert_str_eq(nn_cpu_name(), kernels->name);
    for (int i = 0; i < LEVELS; i++)
        if (nn_cpu_find(levels[i])) {
            ck_assert_str_eq(nn_cpu_name(), levels[i]);
            break;
        }
}
END_TEST

START_TEST(scalar_can_always_be_forced)
{
    ck_assert_int_eq(setenv("CLEAVE_CPU", "scalar", 1), 0);
    ck_assert_str_eq(nn_cpu_name(), "scalar");
    ck_assert_int_eq(setenv("CLEAVE_CPU", "bogus", 1), 0); /* too late */
    ck_assert_str_eq(nn_cpu_name(), "scalar");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu");
    TCase *cases = tcase_create("cpu");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(cases, unknown_name_is_refused, 0, 3);
    tcase_add_loop_test(cases, empty_or_absent_name_means_the_best, 0, 2);
    tcase_add_test(cases, scalar_can_always_be_forced);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_FORK);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
