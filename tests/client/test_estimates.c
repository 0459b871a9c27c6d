/* What is learnt of link, machines and failures: link, cost, breaker. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "client/breaker.h"
#include "client/cost.h"
#include "client/link.h"
#include "tests/run_suite.h"

START_TEST(test_estimate_converges)
{
    struct cli_estimate estimate = {0};
    for (int i = 0; i < 100; i++)
        cli_estimate_add(&estimate, 50);
    ck_assert_double_eq_tol(estimate.mean, 50, 1e-9);
    ck_assert_double_lt(cli_estimate_margin(&estimate), 1e-6);
    for (int i = 0; i < 20; i++)
        cli_estimate_add(&estimate, 100);
    ck_assert_double_gt(estimate.mean, 99);
}
END_TEST

START_TEST(test_estimate_margin_covers_95_of_100)
{
    /* Noise of known shape: the sum of twelve uniforms is nearly normal. */
    srand(11);
    struct cli_estimate estimate = {0};
    int below = 0, counted = 0;
    for (int i = 0; i < 20000; i++) {
        double noise = -6;
        for (int k = 0; k < 12; k++)
            noise += (double)rand() / (double)RAND_MAX;
        double sample = 100 + 10 * noise;
        if (i > 100) {
            counted++;
            below += sample <= estimate.mean + cli_estimate_margin(&estimate);
        }
        cli_estimate_add(&estimate, sample);
    }
    double share = (double)below / counted;
    ck_assert_double_gt(share, 0.88);
    ck_assert_double_lt(share, 0.99);
}
END_TEST

START_TEST(test_estimate_ignores_nonsense)
{
    struct cli_estimate estimate = {0};
    cli_estimate_add(&estimate, NAN);
    cli_estimate_add(&estimate, INFINITY);
    ck_assert_uint_eq(estimate.samples, 0);
    cli_estimate_add(&estimate, 5);
    cli_estimate_add(&estimate, -INFINITY);
    ck_assert_double_eq_tol(estimate.mean, 5, 1e-12);
}
END_TEST

START_TEST(test_link_guesses_before_it_knows)
{
    struct cli_link link = {0};
    double mean_ms, margin_ms;
    cli_link_predict(&link, 0, &mean_ms, &margin_ms);
    ck_assert_double_gt(mean_ms, 0);
    ck_assert_double_gt(margin_ms, 0);
    double small_ms = mean_ms;
    cli_link_predict(&link, 100000, &mean_ms, &margin_ms);
    ck_assert_double_gt(mean_ms, small_ms);
    ck_assert(!cli_link_knows_throughput(&link));
}
END_TEST

/* Links of round trip and time per kilobyte; bodies of mixed sizes. */
static const struct {
    double rtt_ms, ms_per_kb;
} links[] = {{1, 0.001}, {10, 0.1}, {60, 4}, {300, 80}, {0.1, 0}};

START_TEST(test_link_learns)
{
    static const size_t bodies[] = {0, 0, 0, 8192, 1240, 100000, 800, 30000};
    struct cli_link link = {0};
    for (int round = 0; round < 40; round++) {
        size_t bytes = bodies[round % 8];
        cli_link_observe(&link, bytes,
                         links[_i].rtt_ms +
                             (double)bytes / 1000 * links[_i].ms_per_kb);
    }
    ck_assert(cli_link_knows_throughput(&link));
    static const size_t asked[] = {0, 1000, 8000, 100000};
    for (int i = 0; i < 4; i++) {
        double mean_ms, margin_ms;
        cli_link_predict(&link, (double)asked[i], &mean_ms, &margin_ms);
        double truth =
            links[_i].rtt_ms + (double)asked[i] / 1000 * links[_i].ms_per_kb;
        ck_assert_double_eq_tol(mean_ms, truth, truth * 0.1 + 0.05);
    }
}
END_TEST

START_TEST(test_link_follows_a_change)
{
    struct cli_link link = {0};
    for (int i = 0; i < 20; i++) {
        cli_link_observe(&link, 0, 10);
        cli_link_observe(&link, 50000, 15);
    }
    for (int i = 0; i < 20; i++) {
        cli_link_observe(&link, 0, 100);
        cli_link_observe(&link, 50000, 600);
    }
    double mean_ms, margin_ms;
    cli_link_predict(&link, 50000, &mean_ms, &margin_ms);
    ck_assert_double_eq_tol(mean_ms, 600, 60);
}
END_TEST

START_TEST(test_link_stays_sane)
{
    srand(3);
    struct cli_link link = {0};
    for (int i = 0; i < 10000; i++) {
        double elapsed = rand() % 50 == 0 ? NAN : (double)rand() / 1e6 - 100;
        cli_link_observe(&link, (size_t)rand() % 200000, elapsed);
        double mean_ms, margin_ms;
        cli_link_predict(&link, 1e5, &mean_ms, &margin_ms);
        ck_assert(isfinite(mean_ms) && mean_ms >= 0);
        ck_assert(isfinite(margin_ms) && margin_ms >= 0);
    }
}
END_TEST

START_TEST(test_cost_is_guessed_by_macs_then_measured)
{
    struct cli_cost cost;
    double mean_ms, margin_ms;
    cli_cost_reset(&cost, 0.5);
    cli_cost_predict(&cost, 3, 100000000, &mean_ms, &margin_ms);
    ck_assert_double_eq_tol(mean_ms, 50, 1e-9);
    ck_assert_double_gt(margin_ms, 0);
    /* Another point of this machine runs at 0.1 ms/MMAC. */
    cli_cost_observe(&cost, 1, 50000000, 5);
    cli_cost_predict(&cost, 3, 100000000, &mean_ms, &margin_ms);
    ck_assert_double_eq_tol(mean_ms, 10, 1e-9);
    cli_cost_observe(&cost, 3, 100000000, 30);
    cli_cost_predict(&cost, 3, 100000000, &mean_ms, &margin_ms);
    ck_assert_double_eq_tol(mean_ms, 30, 1e-9);
    cli_cost_predict(&cost, 1, 50000000, &mean_ms, &margin_ms);
    ck_assert_double_eq_tol(mean_ms, 5, 1e-9);
}
END_TEST

START_TEST(test_cost_ignores_nonsense)
{
    struct cli_cost cost;
    double mean_ms, margin_ms;
    cli_cost_reset(&cost, 0.5);
    cli_cost_observe(&cost, API_LIMIT_POINTS, 1000, 5);
    cli_cost_observe(&cost, UINT16_MAX, 1000, 5);
    cli_cost_observe(&cost, 0, 1000, -1);
    cli_cost_observe(&cost, 0, 1000, NAN);
    cli_cost_observe(&cost, 0, 0, 7); /* no MACs: tells of this point only */
    ck_assert_uint_eq(cost.ms_per_mmac.samples, 0);
    cli_cost_predict(&cost, 0, 0, &mean_ms, &margin_ms);
    ck_assert_double_eq_tol(mean_ms, 7, 1e-9);
    cli_cost_predict(&cost, UINT16_MAX, 2000000, &mean_ms, &margin_ms);
    ck_assert_double_eq_tol(mean_ms, 1, 1e-9);
}
END_TEST

START_TEST(test_breaker_opens_tries_and_closes)
{
    struct cli_breaker breaker = {0};
    ck_assert(cli_breaker_allows(&breaker, 0));
    cli_breaker_failure(&breaker, 1000, 0, 0);
    ck_assert(!cli_breaker_allows(&breaker, 1000));
    ck_assert(!cli_breaker_allows(&breaker, 1249));
    ck_assert(cli_breaker_allows(&breaker, 1250));
    cli_breaker_failure(&breaker, 1250, 0, 0); /* the trial failed */
    ck_assert(!cli_breaker_allows(&breaker, 1749));
    ck_assert(cli_breaker_allows(&breaker, 1750));
    cli_breaker_success(&breaker);
    ck_assert(cli_breaker_allows(&breaker, 1751));
    cli_breaker_failure(&breaker, 2000, 0, 0); /* and begins anew */
    ck_assert(cli_breaker_allows(&breaker, 2250));
}
END_TEST

START_TEST(test_breaker_pause_grows_to_a_bound)
{
    struct cli_breaker breaker = {0};
    double last_ms = 0;
    for (int i = 0; i < 100; i++) {
        cli_breaker_failure(&breaker, 0, 0, 0);
        ck_assert_double_ge(breaker.open_until_ms, last_ms);
        ck_assert_double_le(breaker.open_until_ms, 30000);
        last_ms = breaker.open_until_ms;
    }
    ck_assert_double_eq_tol(last_ms, 30000, 1e-9);
}
END_TEST

START_TEST(test_breaker_jitter_and_retry_after)
{
    static const struct {
        double jitter, at_least_ms, pause_ms;
    } rows[] = {{0, 0, 250},      {1, 0, 125},         {0.5, 0, 187.5},
                {9, 0, 125},      {-4, 0, 250},        {0, 3000, 3000},
                {0, 1e12, 30000}, {0, -50, 250},       {NAN, 0, 250},
                {0, 100, 250},    {0, INFINITY, 30000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cli_breaker breaker = {0};
        cli_breaker_failure(&breaker, 500, rows[i].jitter, rows[i].at_least_ms);
        ck_assert_double_eq_tol(breaker.open_until_ms, 500 + rows[i].pause_ms,
                                1e-9);
    }
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("estimates");
    TCase *group = tcase_create("estimates");
    tcase_add_test(group, test_estimate_converges);
    tcase_add_test(group, test_estimate_margin_covers_95_of_100);
    tcase_add_test(group, test_estimate_ignores_nonsense);
    tcase_add_test(group, test_link_guesses_before_it_knows);
    tcase_add_loop_test(group, test_link_learns, 0,
                        (int)(sizeof links / sizeof links[0]));
    tcase_add_test(group, test_link_follows_a_change);
    tcase_add_test(group, test_link_stays_sane);
    tcase_add_test(group, test_cost_is_guessed_by_macs_then_measured);
    tcase_add_test(group, test_cost_ignores_nonsense);
    tcase_add_test(group, test_breaker_opens_tries_and_closes);
    tcase_add_test(group, test_breaker_pause_grows_to_a_bound);
    tcase_add_test(group, test_breaker_jitter_and_retry_after);
    suite_add_tcase(suite, group);
    return suite;
}
