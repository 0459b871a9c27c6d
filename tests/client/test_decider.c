/* Decisions one after the other: trials, probes, a data plan, failures. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/decider.h"
#include "tests/run_suite.h"

enum { OFFLOAD, SPLIT, LOCAL, POINTS };

static struct api_point points[POINTS];
static bool can_run[POINTS];
static struct cli_decider decider;
static struct cli_question question;
static double now_ms;

/* Device: head 20 ms, alone 300 ms. Server: 5 ms. A JPEG of 20 kB, a frame of
 * one. */
static void set_up(void)
{
    static const char *const ids[POINTS] = {"offload", "split", "local"};
    static const enum api_point_kind kinds[POINTS] = {
        API_POINT_OFFLOAD, API_POINT_SPLIT, API_POINT_LOCAL};
    cli_decider_reset(&decider, 1);
    memset(points, 0, sizeof points);
    for (uint16_t i = 0; i < POINTS; i++) {
        snprintf(points[i].id, sizeof points[i].id, "%s", ids[i]);
        points[i].kind = kinds[i];
        points[i].top1 = 0.8;
        can_run[i] = true;
        for (int k = 0; k < 20; k++) {
            cli_cost_observe(&decider.device, i, 0, i == SPLIT ? 20 : 300);
            cli_cost_observe(&decider.server, i, 0, 5);
        }
    }
    points[SPLIT].bytes_mean = 1000;
    question = (struct cli_question){.points = points,
                                     .point_count = POINTS,
                                     .can_run = can_run,
                                     .kind = -1,
                                     .decode_ms = 0,
                                     .jpeg_bytes = 20000};
    now_ms = 1000;
}

/* One picture at a link of these figures; returns what was chosen. */
static struct cli_choice picture(double rtt_ms, double ms_per_kb)
{
    static const double bytes[POINTS] = {20000, 1000, 0};
    question.now_ms = now_ms += 1000;
    struct cli_choice choice = cli_decider_choose(&decider, &question);
    if (choice.point != LOCAL)
        cli_decider_saw_reply(&decider, (size_t)bytes[choice.point],
                              rtt_ms + bytes[choice.point] / 1000 * ms_per_kb,
                              now_ms);
    return choice;
}

START_TEST(test_an_improved_link_is_found_out)
{
    set_up();
    for (int i = 0; i < 40; i++)
        picture(10, 8); /* offload 175 ms, split 43 */
    ck_assert_int_eq(decider.previous, SPLIT);
    int offloads = 0;
    for (int i = 0; i < 60; i++)
        offloads += picture(10, 0.1).point == OFFLOAD; /* 17 ms */
    ck_assert_int_eq(decider.previous, OFFLOAD);
    ck_assert_int_gt(offloads, 20);
}
END_TEST

START_TEST(test_trials_in_vain_become_rare)
{
    set_up();
    int trials = 0;
    for (int i = 0; i < 600; i++)
        trials += picture(10, 2).is_trial; /* offload 55 ms, split 37 */
    ck_assert_int_gt(trials, 2);
    ck_assert_int_lt(trials, 600 / 9);
    question.deadline_ms = 200;
    question.objective = CLI_ACCURACY;
    trials = 0;
    for (int i = 0; i < 600; i++)
        trials += picture(10, 2).is_trial;
    ck_assert_int_lt(trials, 600 / 60);
}
END_TEST

START_TEST(test_collapse_is_answered_within_two_pictures)
{
    set_up();
    for (int i = 0; i < 40; i++)
        picture(10, 0.1);
    ck_assert_int_eq(decider.previous, OFFLOAD);
    int slow = 0;
    for (int i = 0; i < 10; i++) {
        question.now_ms = now_ms += 1000;
        struct cli_choice choice = cli_decider_choose(&decider, &question);
        if (choice.point == OFFLOAD) { /* 20 kB now take 1.6 s */
            slow++;
            ck_assert_double_le(choice.wait_ms, 330);
            cli_decider_saw_silence(&decider, 20000, choice.wait_ms, now_ms);
        } else if (choice.point == SPLIT) {
            cli_decider_saw_reply(&decider, 1000, 90, now_ms);
        }
        /* The probe that follows a failure. */
        cli_decider_saw_reply(&decider, 0, 10, now_ms);
    }
    ck_assert_int_le(slow, 2);
}
END_TEST

START_TEST(test_silence_is_a_failure_only_if_it_surprises)
{
    set_up();
    for (int i = 0; i < 40; i++)
        picture(50, 1);
    ck_assert(!cli_decider_saw_silence(&decider, 1000, 30, now_ms));
    ck_assert(cli_decider_saw_silence(&decider, 1000, 500, now_ms));
    cli_decider_saw_failure(&decider, 0, now_ms);
    /* Then any silence goes on with the same failure. */
    ck_assert(cli_decider_saw_silence(&decider, 0, 30, now_ms));
}
END_TEST

/* Before a picture that has `left_ms` (0: no deadline), half for its probe. */
static bool wants_probe(double at_ms, double left_ms, double *wait_ms)
{
    struct cli_question asked = question;
    asked.now_ms = at_ms;
    asked.deadline_ms = left_ms;
    double spare_ms = cli_decider_patience_ms(&decider, &asked, LOCAL);
    return cli_decider_wants_probe(&decider, &asked, LOCAL, spare_ms, wait_ms);
}

START_TEST(test_probes)
{
    set_up();
    double wait_ms = 0;
    ck_assert(!wants_probe(0, 0, &wait_ms));
    for (int i = 0; i < 20; i++)
        picture(50, 1);
    ck_assert(!wants_probe(now_ms, 200, &wait_ms));
    cli_decider_saw_failure(&decider, 0, now_ms);
    ck_assert(!wants_probe(now_ms, 0, &wait_ms));
    ck_assert(!wants_probe(now_ms, 400, &wait_ms));
    /* A picture that only the server can answer in time does not wait. */
    ck_assert(wants_probe(now_ms, 200, &wait_ms));
    ck_assert_double_eq(wait_ms, 100);
    ck_assert(!wants_probe(now_ms, 1, &wait_ms));
    ck_assert(
        cli_decider_wants_probe(&decider, &question, -1, INFINITY, &wait_ms));
    ck_assert(wants_probe(now_ms + 300, 0, &wait_ms));
    ck_assert_double_ge(wait_ms, 4 * 50);
    ck_assert_double_le(wait_ms, 4 * 60);
}
END_TEST

START_TEST(test_patience)
{
    set_up();
    ck_assert(isinf(cli_decider_patience_ms(&decider, &question, LOCAL)));
    question.deadline_ms = 1000;
    double alone_ms =
        1000 - cli_decider_patience_ms(&decider, &question, LOCAL);
    ck_assert_double_gt(alone_ms, 200);
    ck_assert_double_lt(alone_ms, 400);
    ck_assert_double_eq(cli_decider_patience_ms(&decider, &question, -1), 1000);
    /* The device's answer barely fits, or not at all. */
    question.deadline_ms = alone_ms + 1;
    ck_assert_double_eq(cli_decider_patience_ms(&decider, &question, LOCAL),
                        question.deadline_ms / 2);
    question.deadline_ms = alone_ms - 1;
    ck_assert_double_eq(cli_decider_patience_ms(&decider, &question, LOCAL),
                        question.deadline_ms);
}
END_TEST

/* A link that has become slow answers its probes only after they were taken for
 * silent: the next comes soon, and the third is believed. */
START_TEST(test_late_probes_are_believed_in_the_end)
{
    set_up();
    for (int i = 0; i < 20; i++)
        picture(20, 1);
    for (int i = 0; i < 6; i++)
        cli_decider_saw_failure(&decider, 0, now_ms);
    ck_assert(!cli_breaker_allows(&decider.breaker, now_ms + 1000));
    for (int i = 0; i < 2; i++) {
        now_ms += 1000;
        ck_assert(!cli_decider_believes_late_probe(&decider, now_ms));
        ck_assert(!cli_breaker_allows(&decider.breaker, now_ms));
        ck_assert(cli_breaker_allows(&decider.breaker, now_ms + 251));
    }
    ck_assert(cli_decider_believes_late_probe(&decider, now_ms));
    cli_decider_saw_reply(&decider, 0, 300, now_ms);
    ck_assert(cli_breaker_allows(&decider.breaker, now_ms));
    ck_assert_double_gt(cli_link_predict(&decider.link, 0, now_ms).expected_ms,
                        50);
    cli_decider_saw_failure(&decider, 0, now_ms);
    ck_assert(!cli_decider_believes_late_probe(&decider, now_ms));
}
END_TEST

START_TEST(test_data_plan_is_kept)
{
    set_up();
    question.objective = CLI_ACCURACY;
    points[LOCAL].top1 = 0.5;
    points[SPLIT].top1 = 0.7;
    cli_decider_set_plan(&decider, 2000);
    int offloads = 0, splits = 0;
    for (int i = 0; i < 1000; i++) {
        int point = picture(10, 0.1).point;
        offloads += point == OFFLOAD;
        splits += point == SPLIT;
    }
    double sent_bytes = offloads * 20000.0 + splits * 1000.0;
    ck_assert_double_le(sent_bytes, 2000.0 * 1000);
    ck_assert_double_ge(sent_bytes, 2000.0 * 800);
    ck_assert_int_gt(offloads, 20);
    ck_assert_int_gt(splits, 500);
}
END_TEST

START_TEST(test_new_points_forget_the_old_ones)
{
    set_up();
    for (int i = 0; i < 20; i++)
        picture(10, 1);
    cli_decider_forget_points(&decider);
    ck_assert_int_eq(decider.previous, -1);
    ck_assert_uint_eq(decider.forecast_count, 0);
    ck_assert_uint_eq(decider.device.point_ms[SPLIT].samples, 0);
    ck_assert(decider.link.known); /* which the link is not */
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("decider");
    TCase *group = tcase_create("decider");
    tcase_add_test(group, test_an_improved_link_is_found_out);
    tcase_add_test(group, test_trials_in_vain_become_rare);
    tcase_add_test(group, test_collapse_is_answered_within_two_pictures);
    tcase_add_test(group, test_silence_is_a_failure_only_if_it_surprises);
    tcase_add_test(group, test_probes);
    tcase_add_test(group, test_patience);
    tcase_add_test(group, test_late_probes_are_believed_in_the_end);
    tcase_add_test(group, test_data_plan_is_kept);
    tcase_add_test(group, test_new_points_forget_the_old_ones);
    suite_add_tcase(suite, group);
    return suite;
}
