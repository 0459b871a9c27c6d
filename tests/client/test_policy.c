/* The choice of a point: cases by table, and properties over random inputs. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/policy.h"
#include "tests/run_suite.h"

enum { OFFLOAD, WIDE, NARROW, LOCAL, POINTS };

static struct api_point points[POINTS];
static bool can_run[POINTS];
static struct cli_link link_seen;
static struct cli_cost device, server;
static struct cli_policy_input input;

static void add_point(int i, const char *id, enum api_point_kind kind,
                      double bytes, double top1)
{
    memset(&points[i], 0, sizeof points[i]);
    snprintf(points[i].id, sizeof points[i].id, "%s", id);
    points[i].kind = kind;
    points[i].bytes_mean = bytes;
    points[i].top1 = top1;
    can_run[i] = true;
}

/* A measured quantity without spread. */
static struct cli_estimate sure(double mean)
{
    return (struct cli_estimate){.mean = mean, .samples = 100};
}

/* Wi-Fi and a slow device: round trip 10 ms, 0.5 ms/kB, JPEG of 100 kB. */
static void set_up(void)
{
    add_point(OFFLOAD, "offload", API_POINT_OFFLOAD, 100000, 0.80);
    add_point(WIDE, "wide", API_POINT_SPLIT, 2000, 0.78);
    add_point(NARROW, "narrow", API_POINT_SPLIT, 1000, 0.69);
    add_point(LOCAL, "local", API_POINT_LOCAL, 0, 0.80);
    memset(&device, 0, sizeof device);
    memset(&server, 0, sizeof server);
    device.point_ms[WIDE] = sure(20);
    device.point_ms[NARROW] = sure(5);
    device.point_ms[LOCAL] = sure(200);
    server.point_ms[OFFLOAD] = sure(10);
    server.point_ms[WIDE] = server.point_ms[NARROW] = sure(8);
    link_seen.rtt_ms = sure(10);
    link_seen.ms_per_kb = sure(0.5);
    input = (struct cli_policy_input){
        .points = points,
        .point_count = POINTS,
        .can_run = can_run,
        .link = &link_seen,
        .device = &device,
        .server = &server,
        .decode_ms = 4,
        .jpeg_bytes = 100000,
        .max_loss = CLI_POLICY_MAX_LOSS,
        .kind = -1,
        .previous = -1,
    };
}

static struct cli_choice choose(void)
{
    struct cli_choice choice;
    cli_policy_choose(&input, &choice);
    return choice;
}

START_TEST(test_prediction_adds_the_parts)
{
    set_up();
    static const double expected[POINTS] = {10 + 10 + 50, 4 + 20 + 8 + 11,
                                            4 + 5 + 8 + 10.5, 204};
    for (uint16_t i = 0; i < POINTS; i++) {
        double mean_ms, p95_ms;
        cli_policy_predict(&input, i, &mean_ms, &p95_ms);
        ck_assert_double_eq_tol(mean_ms, expected[i], 1e-9);
        ck_assert_double_eq_tol(p95_ms, expected[i], 1e-9);
    }
}
END_TEST

START_TEST(test_margins_of_parts_add_as_squares)
{
    set_up();
    link_seen.rtt_ms.deviation = 3;
    server.point_ms[OFFLOAD].deviation = 4;
    double mean_ms, p95_ms;
    cli_policy_predict(&input, OFFLOAD, &mean_ms, &p95_ms);
    ck_assert_double_eq_tol(p95_ms - mean_ms, 5 * 1.645 * 1.253, 1e-9);
}
END_TEST

/* What is chosen as the world changes. */
static const struct {
    const char *what;
    double rtt_ms, ms_per_kb, deadline_ms, max_loss;
    double local_ms;
    int kind, previous, expected;
} cases[] = {
    {"wide is the quickest that loses less than 8 points", 10, 0.5, 0, 0.08,
     200, -1, -1, WIDE},
    {"with more loss allowed, narrow", 10, 0.5, 0, 0.12, 200, -1, -1, NARROW},
    {"no loss at all: offload beats local", 10, 0.5, 0, 0, 200, -1, -1,
     OFFLOAD},
    {"a fast link makes offload quickest", 1, 0.001, 0, 0.08, 200, -1, -1,
     OFFLOAD},
    {"a dead slow link leaves local", 300, 20, 0, 0.08, 200, -1, -1, LOCAL},
    {"a fast device answers alone", 10, 0.5, 0, 0.08, 10, -1, -1, LOCAL},
    {"deadline 1 s: the most accurate, the quicker of equals", 10, 0.5, 1000,
     0.08, 200, -1, -1, OFFLOAD},
    {"deadline 60 ms: wide", 10, 0.5, 60, 0.08, 200, -1, -1, WIDE},
    {"deadline 35 ms: narrow, whatever it loses", 10, 0.5, 35, 0.08, 200, -1,
     -1, NARROW},
    {"deadline 20 ms: none is sure, so alone", 10, 0.5, 20, 0.08, 200, -1, -1,
     LOCAL},
    {"time to answer alone is kept: local of equal accuracy", 10, 0.5, 100,
     0.08, 80, -1, -1, LOCAL},
    {"only split points", 1, 0.001, 0, 0.12, 200, API_POINT_SPLIT, -1, NARROW},
    {"only offload", 300, 20, 0, 0.08, 200, API_POINT_OFFLOAD, -1, OFFLOAD},
    {"only local", 1, 0.001, 0, 0.08, 200, API_POINT_LOCAL, -1, LOCAL},
    {"a little quicker is not worth a change", 10, 0.24, 0, 0.08, 200, -1,
     OFFLOAD, OFFLOAD},
    {"the same without a previous point", 10, 0.24, 0, 0.08, 200, -1, -1, WIDE},
    {"clearly quicker is", 10, 0.4, 0, 0.08, 200, -1, OFFLOAD, WIDE},
    {"a previous point that loses too much goes", 10, 0.5, 0, 0.08, 200, -1,
     NARROW, WIDE},
    {"a previous point may use the whole deadline", 10, 0.5, 72, 0.08, 200, -1,
     OFFLOAD, OFFLOAD},
    {"a new one must leave a tenth of it", 10, 0.5, 72, 0.08, 200, -1, -1,
     WIDE},
    {"a previous one that misses it goes", 10, 0.5, 69, 0.08, 200, -1, OFFLOAD,
     WIDE},
};

START_TEST(test_cases)
{
    set_up();
    link_seen.rtt_ms = sure(cases[_i].rtt_ms);
    link_seen.ms_per_kb = sure(cases[_i].ms_per_kb);
    device.point_ms[LOCAL] = sure(cases[_i].local_ms);
    input.deadline_ms = cases[_i].deadline_ms;
    input.max_loss = cases[_i].max_loss;
    input.kind = cases[_i].kind;
    input.previous = cases[_i].previous;
    struct cli_choice choice = choose();
    ck_assert_msg(choice.point == cases[_i].expected, "%s: %d (%s), not %d",
                  cases[_i].what, choice.point, choice.reason,
                  cases[_i].expected);
    ck_assert_ptr_nonnull(choice.reason);
}
END_TEST

START_TEST(test_spread_counts_not_only_the_mean)
{
    set_up();
    /* Equal means, but offload's link share jitters far more. */
    link_seen.ms_per_kb = sure(0.2);
    link_seen.ms_per_kb.deviation = 0.2;
    input.max_loss = 0;
    device.point_ms[LOCAL] = sure(50);
    ck_assert_int_eq(choose().point, LOCAL);
    link_seen.ms_per_kb.deviation = 0;
    ck_assert_int_eq(choose().point, OFFLOAD);
}
END_TEST

START_TEST(test_unmeasured_accuracy)
{
    set_up();
    points[OFFLOAD].top1 = points[LOCAL].top1 = -1;
    ck_assert_int_eq(choose().point, WIDE); /* only the measured take part */
    points[WIDE].top1 = points[NARROW].top1 = -1;
    ck_assert_int_eq(choose().point, NARROW); /* then only time counts */
}
END_TEST

START_TEST(test_unmeasured_size)
{
    set_up();
    points[NARROW].bytes_mean = -1;
    points[NARROW].latent_height = points[NARROW].latent_width = 14;
    points[NARROW].latent_channels = 48;
    double mean_ms, p95_ms;
    cli_policy_predict(&input, NARROW, &mean_ms, &p95_ms);
    ck_assert_double_eq_tol(mean_ms, 4 + 5 + 8 + 10 + 0.5 * 2.352, 1e-9);
}
END_TEST

START_TEST(test_nothing_can_run)
{
    set_up();
    memset(can_run, 0, sizeof can_run);
    for (int deadline = 0; deadline <= 100; deadline += 100) {
        input.deadline_ms = deadline;
        ck_assert_int_eq(choose().point, -1);
        ck_assert_str_eq(choose().reason, "no point can run");
    }
    input.point_count = 0;
    ck_assert_int_eq(choose().point, -1);
}
END_TEST

static double random_up_to(double most)
{
    return most * (double)rand() / (double)RAND_MAX;
}

static void set_up_at_random(void)
{
    set_up();
    for (int i = 0; i < POINTS; i++) {
        can_run[i] = rand() % 4 != 0;
        points[i].top1 = rand() % 5 == 0 ? -1 : random_up_to(1);
        device.point_ms[i] = sure(random_up_to(300));
        device.point_ms[i].deviation = random_up_to(50);
        server.point_ms[i] = sure(random_up_to(100));
        if (rand() % 8 == 0)
            points[i].id[0] = '\0';
    }
    link_seen.rtt_ms = sure(random_up_to(300));
    link_seen.rtt_ms.deviation = random_up_to(60);
    link_seen.ms_per_kb = sure(random_up_to(10));
    input.deadline_ms = rand() % 2 ? random_up_to(500) + 0.001 : 0;
    input.kind = rand() % 4 == 0 ? rand() % 3 : -1;
    input.previous = rand() % (POINTS + 2) - 1; /* may lie outside */
}

START_TEST(test_properties)
{
    srand(7);
    for (int round = 0; round < 20000; round++) {
        set_up_at_random();
        struct cli_choice choice = choose();
        bool any = false;
        for (int i = 0; i < POINTS; i++)
            any =
                any || (can_run[i] && points[i].id[0] &&
                        (input.kind < 0 || (int)points[i].kind == input.kind));
        ck_assert_int_eq(choice.point >= 0, any);
        if (!any)
            continue;
        ck_assert_int_lt(choice.point, POINTS);
        ck_assert(can_run[choice.point]);
        ck_assert_int_ne(points[choice.point].id[0], '\0');
        ck_assert(input.kind < 0 ||
                  (int)points[choice.point].kind == input.kind);
        ck_assert_double_ge(choice.p95_ms, choice.expected_ms);
        /* The same question again, with this answer as the previous one, must
         * not be answered otherwise: no flapping in a still world. */
        int first = choice.point;
        input.previous = first;
        ck_assert_int_eq(choose().point, first);
    }
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("policy");
    TCase *group = tcase_create("choice");
    tcase_add_test(group, test_prediction_adds_the_parts);
    tcase_add_test(group, test_margins_of_parts_add_as_squares);
    tcase_add_loop_test(group, test_cases, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(group, test_spread_counts_not_only_the_mean);
    tcase_add_test(group, test_unmeasured_accuracy);
    tcase_add_test(group, test_unmeasured_size);
    tcase_add_test(group, test_nothing_can_run);
    tcase_add_test(group, test_properties);
    suite_add_tcase(suite, group);
    return suite;
}
