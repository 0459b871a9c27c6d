/* What is learnt of link, machines and failures: link, cost, breaker. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

START_TEST(test_scores_quantile)
{
    struct cli_scores scores = {0};
    ck_assert_double_eq(cli_scores_quantile(&scores, 0.95), 3); /* a guess */
    cli_scores_add(&scores, NAN);
    ck_assert_uint_eq(scores.count, 0);
    for (int i = 0; i < 200; i++)
        cli_scores_add(&scores, i % 64);
    /* Of 0 … 63: rank 62 of 65 ⋅ 0.95 = 61.75. */
    ck_assert_double_eq(cli_scores_quantile(&scores, 0.95), 61);
    ck_assert_double_gt(cli_scores_share_below(&scores, 31.5), 0.45);
    ck_assert_double_lt(cli_scores_share_below(&scores, 31.5), 0.56);
    ck_assert_double_lt(cli_scores_share_below(&scores, 1e9), 1.0 + 1e-12);
}
END_TEST

START_TEST(test_link_guesses_before_it_knows)
{
    struct cli_link link = {0};
    struct cli_link_forecast small = cli_link_predict(&link, 0, 0);
    struct cli_link_forecast large = cli_link_predict(&link, 100000, 0);
    ck_assert_double_gt(small.expected_ms, 0);
    ck_assert_double_gt(large.expected_ms, small.expected_ms);
    ck_assert_double_gt(cli_link_margin(&link, &large, 0.95), 0);
    ck_assert_double_gt(large.unsure_ms, small.unsure_ms);
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
    for (int round = 0; round < 80; round++) {
        size_t bytes = bodies[round % 8];
        cli_link_observe(&link, bytes,
                         links[_i].rtt_ms +
                             (double)bytes / 1000 * links[_i].ms_per_kb,
                         round * 1000);
    }
    static const size_t asked[] = {0, 1000, 8000, 100000};
    for (int i = 0; i < 4; i++) {
        struct cli_link_forecast forecast =
            cli_link_predict(&link, (double)asked[i], 80000);
        double truth =
            links[_i].rtt_ms + (double)asked[i] / 1000 * links[_i].ms_per_kb;
        ck_assert_double_eq_tol(forecast.expected_ms, truth,
                                truth * 0.15 + 1.0);
    }
}
END_TEST

/* Twenty requests of `bytes` at this link, a second apart, up to `now_ms`. */
static void settle(struct cli_link *link, double rtt_ms, double ms_per_kb,
                   size_t bytes, double *now_ms)
{
    for (int i = 0; i < 20; i++) {
        *now_ms += 1000;
        cli_link_observe(link, bytes, rtt_ms + (double)bytes / 1000 * ms_per_kb,
                         *now_ms);
    }
}

START_TEST(test_one_stall_is_doubted_two_are_a_collapse)
{
    struct cli_link link = {0};
    double now_ms = 0;
    settle(&link, 20, 2, 5000, &now_ms);
    cli_link_observe(&link, 5000, 300, now_ms += 1000);
    double once = cli_link_predict(&link, 5000, now_ms).expected_ms;
    ck_assert_double_lt(once, 120); /* 30 before */
    cli_link_observe(&link, 5000, 300, now_ms += 1000);
    double twice = cli_link_predict(&link, 5000, now_ms).expected_ms;
    ck_assert_double_gt(twice, 240);
    /* And back as quickly. */
    cli_link_observe(&link, 5000, 30, now_ms += 1000);
    cli_link_observe(&link, 5000, 30, now_ms += 1000);
    ck_assert_double_lt(cli_link_predict(&link, 5000, now_ms).expected_ms, 60);
}
END_TEST

START_TEST(test_small_body_after_silence_blames_the_throughput)
{
    struct cli_link link = {0};
    double now_ms = 0;
    settle(&link, 20, 0.2, 40000, &now_ms);
    /* A large body did not come through; a probe does at once. */
    cli_link_observe_silence(&link, 40000, 400, now_ms += 1000);
    cli_link_observe(&link, 0, 20, now_ms += 100);
    struct cli_link_forecast large = cli_link_predict(&link, 40000, now_ms);
    struct cli_link_forecast small = cli_link_predict(&link, 500, now_ms);
    ck_assert_double_gt(large.expected_ms, 60); /* 28 before */
    ck_assert_double_gt(large.unsure_ms, 100);
    ck_assert_double_lt(small.expected_ms, 60);
}
END_TEST

START_TEST(test_short_silence_teaches_nothing)
{
    struct cli_link link = {0};
    double now_ms = 0;
    settle(&link, 50, 4, 10000, &now_ms);
    struct cli_link before = link;
    cli_link_observe_silence(&link, 10000, 40, now_ms);
    ck_assert_int_eq(memcmp(&before, &link, sizeof link), 0);
}
END_TEST

START_TEST(test_link_grows_unsure_with_age)
{
    struct cli_link link = {0};
    double now_ms = 0;
    settle(&link, 30, 2, 20000, &now_ms);
    double fresh = cli_link_predict(&link, 20000, now_ms).unsure_ms;
    double old = cli_link_predict(&link, 20000, now_ms + 60000).unsure_ms;
    double older = cli_link_predict(&link, 20000, now_ms + 1e9).unsure_ms;
    ck_assert_double_gt(old, 1.5 * fresh);
    ck_assert_double_ge(older, old);
    ck_assert(isfinite(older));
}
END_TEST

START_TEST(test_link_margin_covers_95_of_100)
{
    srand(19);
    struct cli_link link = {0};
    int below = 0;
    for (int i = 0; i < 4000; i++) {
        double noise = -log((rand() + 1.0) / (RAND_MAX + 2.0));
        double truth = 40 + 20 * noise; /* an exponential tail */
        struct cli_link_forecast forecast =
            cli_link_predict(&link, 2000, i * 1000.0);
        below += truth <=
                 forecast.expected_ms + cli_link_margin(&link, &forecast, 0.95);
        cli_link_observe(&link, 2000, truth, i * 1000.0);
    }
    ck_assert_int_gt(below, 3680);
    ck_assert_int_lt(below, 3960);
}
END_TEST

START_TEST(test_link_stays_sane)
{
    srand(3);
    struct cli_link link = {0};
    for (int i = 0; i < 10000; i++) {
        double elapsed = rand() % 50 == 0 ? NAN : (double)rand() / 1e6 - 100;
        size_t bytes = (size_t)rand() % 200000;
        if (rand() % 10 == 0)
            cli_link_observe_silence(&link, bytes, fabs(elapsed), i * 100.0);
        else
            cli_link_observe(&link, bytes, elapsed, i * 100.0);
        struct cli_link_forecast forecast =
            cli_link_predict(&link, 1e5, i * 100.0);
        double margin_ms = cli_link_margin(&link, &forecast, 0.95);
        ck_assert(isfinite(forecast.expected_ms) && forecast.expected_ms >= 0);
        ck_assert(isfinite(forecast.unsure_ms) && forecast.unsure_ms >= 0);
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
        ck_assert_double_le(breaker.open_until_ms, 8000);
        last_ms = breaker.open_until_ms;
    }
    ck_assert_double_eq_tol(last_ms, 8000, 1e-9);
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
    tcase_add_test(group, test_scores_quantile);
    tcase_add_test(group, test_link_guesses_before_it_knows);
    tcase_add_loop_test(group, test_link_learns, 0,
                        (int)(sizeof links / sizeof links[0]));
    tcase_add_test(group, test_one_stall_is_doubted_two_are_a_collapse);
    tcase_add_test(group, test_small_body_after_silence_blames_the_throughput);
    tcase_add_test(group, test_short_silence_teaches_nothing);
    tcase_add_test(group, test_link_grows_unsure_with_age);
    tcase_add_test(group, test_link_margin_covers_95_of_100);
    tcase_add_test(group, test_link_stays_sane);
    tcase_add_test(group, test_cost_is_guessed_by_macs_then_measured);
    tcase_add_test(group, test_cost_ignores_nonsense);
    tcase_add_test(group, test_breaker_opens_tries_and_closes);
    tcase_add_test(group, test_breaker_pause_grows_to_a_bound);
    tcase_add_test(group, test_breaker_jitter_and_retry_after);
    suite_add_tcase(suite, group);
    return suite;
}
