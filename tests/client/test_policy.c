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
static struct cli_estimate queue_ms;
static struct cli_power power;
static struct cli_policy_input input;
static struct cli_forecast forecasts[POINTS];

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

/* A link whose requests all took just what was predicted. */
static struct cli_link sure_link(double rtt_ms, double ms_per_kb)
{
    struct cli_link link = {
        .known = true, .rtt_ms = rtt_ms, .ms_per_kb = ms_per_kb};
    for (unsigned i = 0; i < CLI_SCORES_KEPT; i++)
        cli_scores_add(&link.scores, 0);
    return link;
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
    link_seen = sure_link(10, 0.5);
    queue_ms = sure(0);
    power =
        (struct cli_power){.joules_per_cpu_second = 1, .joules_per_byte = 1e-6};
    input = (struct cli_policy_input){
        .points = points,
        .point_count = POINTS,
        .can_run = can_run,
        .link = &link_seen,
        .device = &device,
        .server = &server,
        .queue_ms = &queue_ms,
        .power = &power,
        .allowance_bytes = INFINITY,
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
    cli_policy_choose(&input, forecasts, &choice);
    return choice;
}

START_TEST(test_prediction_adds_the_parts)
{
    set_up();
    static const double expected[POINTS] = {10 + 10 + 50, 4 + 20 + 8 + 11,
                                            4 + 5 + 8 + 10.5, 204};
    for (uint16_t i = 0; i < POINTS; i++) {
        struct cli_forecast forecast = cli_policy_predict(&input, i);
        ck_assert_double_eq_tol(forecast.expected_ms, expected[i], 1e-9);
        ck_assert_double_eq_tol(forecast.p95_ms, expected[i], 1e-9);
    }
}
END_TEST

START_TEST(test_margins_of_parts_add_as_squares)
{
    set_up();
    queue_ms.deviation = 3;
    server.point_ms[OFFLOAD].deviation = 4;
    struct cli_forecast forecast = cli_policy_predict(&input, OFFLOAD);
    ck_assert_double_eq_tol(forecast.p95_ms - forecast.expected_ms,
                            5 * 1.645 * 1.253, 1e-9);
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
    {"deadline 20 ms: none is in time, so the quickest", 10, 0.5, 20, 0.08, 200,
     -1, -1, NARROW},
    {"the device alone is sooner, but sure to be late", 10, 0.5, 20, 0.08, 22,
     -1, -1, NARROW},
    {"deadline 20 ms and the device alone is in time", 10, 0.5, 20, 0.08, 9, -1,
     -1, LOCAL},
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
    {"a point may use most of the deadline", 10, 0.5, 110, 0.08, 200, -1, -1,
     OFFLOAD},
    {"a previous one that misses it goes", 10, 0.5, 69, 0.08, 200, -1, OFFLOAD,
     WIDE},
};

START_TEST(test_cases)
{
    set_up();
    link_seen = sure_link(cases[_i].rtt_ms, cases[_i].ms_per_kb);
    device.point_ms[LOCAL] = sure(cases[_i].local_ms);
    input.deadline_ms = cases[_i].deadline_ms;
    input.objective = input.deadline_ms > 0 ? CLI_ACCURACY : CLI_LATENCY;
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
    /* Offload is expected at 40 ms, but one request in eight took far longer
     * than expected. */
    link_seen = sure_link(10, 0.2);
    input.max_loss = 0;
    device.point_ms[LOCAL] = sure(50);
    ck_assert_int_eq(choose().point, OFFLOAD);
    for (unsigned i = 0; i < CLI_SCORES_KEPT; i++)
        cli_scores_add(&link_seen.scores, i % 8 == 0 ? 4 : 0);
    ck_assert_int_eq(choose().point, LOCAL);
}
END_TEST

START_TEST(test_chance_to_be_in_time_weighs_accuracy)
{
    set_up();
    /* Offload is late in one of 4 pictures, in one of 8, never; wide, six
     * points worse, is always in time. */
    points[WIDE].top1 = 0.74;
    input.objective = CLI_ACCURACY;
    input.deadline_ms = 90;
    for (unsigned i = 0; i < CLI_SCORES_KEPT; i++)
        cli_scores_add(&link_seen.scores, i % 4 == 0 ? 2 : 0);
    ck_assert_int_eq(choose().point, WIDE);
    ck_assert_int_eq(forecasts[OFFLOAD].verdict, CLI_BEYOND_TIME);
    for (unsigned i = 0; i < CLI_SCORES_KEPT; i++)
        cli_scores_add(&link_seen.scores, i % 8 == 0 ? 2 : 0);
    points[WIDE].top1 = 0.6; /* it would even be right more rarely */
    points[NARROW].top1 = 0.5;
    ck_assert_int_eq(choose().point, WIDE);
    ck_assert_int_eq(forecasts[OFFLOAD].verdict, CLI_NO_BETTER);
    points[WIDE].top1 = 0.74;
    ck_assert_double_lt(forecasts[OFFLOAD].meets, 0.9);
    ck_assert_double_gt(forecasts[WIDE].meets, 0.95);
    for (unsigned i = 0; i < CLI_SCORES_KEPT; i++)
        cli_scores_add(&link_seen.scores, 0);
    ck_assert_int_eq(choose().point, OFFLOAD);
}
END_TEST

START_TEST(test_no_point_is_sure_the_likeliest_is_taken)
{
    set_up();
    input.objective = CLI_ACCURACY;
    input.deadline_ms = 45; /* wide is expected at 43 ms */
    for (unsigned i = 0; i < CLI_SCORES_KEPT; i++)
        cli_scores_add(&link_seen.scores, i % 4 == 0 ? 9 : 0);
    struct cli_choice choice = choose();
    ck_assert_int_eq(forecasts[WIDE].verdict, CLI_BEYOND_TIME);
    ck_assert_int_eq(choice.point, NARROW); /* p95 38 ms: sure */
    points[NARROW].top1 = 0.2;
    can_run[NARROW] = false;
    ck_assert_int_eq(choose().point, WIDE); /* likelier than any other */
}
END_TEST

START_TEST(test_allowance)
{
    set_up();
    input.objective = CLI_ACCURACY;
    ck_assert_int_eq(choose().point, OFFLOAD); /* as accurate, and quicker */
    input.allowance_bytes = 5000;
    ck_assert_int_eq(choose().point, LOCAL);
    ck_assert_int_eq(forecasts[OFFLOAD].verdict, CLI_BEYOND_BYTES);
    can_run[LOCAL] = false;
    ck_assert_int_eq(choose().point, WIDE);
    input.allowance_bytes = 1500;
    ck_assert_int_eq(choose().point, NARROW);
    input.allowance_bytes = -3; /* overdrawn: what sends least */
    ck_assert_int_eq(choose().point, NARROW);
    ck_assert_str_eq(choose().reason, "beyond the allowance: sends least");
    can_run[LOCAL] = true;
    input.allowance_bytes = 0;
    ck_assert_int_eq(choose().point, LOCAL); /* sends nothing */
}
END_TEST

START_TEST(test_energy)
{
    set_up();
    input.objective = CLI_ENERGY;
    /* Joules: offload 0.1, wide 0.026, local 0.204. */
    ck_assert_int_eq(choose().point, WIDE);
    ck_assert_double_eq_tol(forecasts[WIDE].joules, 0.024 + 0.002, 1e-9);
    power.joules_per_byte = 1e-7; /* now offload's 0.01 is the least */
    ck_assert_int_eq(choose().point, OFFLOAD);
    power.joules_per_byte = 1e-4; /* and now local's */
    ck_assert_int_eq(choose().point, LOCAL);
    input.deadline_ms = 60; /* within which only wide and narrow are */
    ck_assert_int_eq(choose().point, WIDE);
    power.joules_per_byte = 1e-7;
    input.deadline_ms = 0;
    input.previous = WIDE; /* 0.0242 to offload's 0.01: clearly cheaper */
    ck_assert_int_eq(choose().point, OFFLOAD);
    device.point_ms[WIDE] = sure(6.1); /* 0.0103: not clearly */
    ck_assert_int_eq(choose().point, WIDE);
}
END_TEST

/* A link that was not seen for long: offload may have become the best. */
static void set_up_doubt(void)
{
    set_up();
    input.max_loss = 0;
    can_run[LOCAL] = false;
    points[WIDE].top1 = 0.80;
    link_seen.ms_per_kb = 0.6; /* offload 80 ms, wide 43 */
    link_seen.per_kb_variance = 0.5 * 0.5;
    link_seen.rtt_variance = 1e-9;
}

START_TEST(test_trial_of_what_may_have_become_better)
{
    set_up_doubt();
    ck_assert_int_eq(choose().point, WIDE);
    ck_assert(!choose().is_trial);
    /* To find out is expected to cost 37 ms. */
    input.trial_budget_ms = 30;
    ck_assert_int_eq(choose().point, WIDE);
    input.trial_budget_ms = 40;
    ck_assert_int_eq(choose().point, OFFLOAD);
    ck_assert(choose().is_trial);
    link_seen.per_kb_variance = 1e-9; /* no doubt, no trial */
    ck_assert_int_eq(choose().point, WIDE);
}
END_TEST

START_TEST(test_doubt_alone_does_not_rule_a_point_out)
{
    set_up();
    /* Alone 100 ms; wide 43 ms expected, but after a stall nobody knows. */
    device.point_ms[LOCAL] = sure(100);
    can_run[OFFLOAD] = can_run[NARROW] = false;
    link_seen.rtt_variance = 80 * 80;
    for (unsigned i = 0; i < CLI_SCORES_KEPT; i++)
        cli_scores_add(&link_seen.scores, 1.5);
    struct cli_choice choice = choose();
    ck_assert_int_eq(choice.point, WIDE);
    ck_assert(choice.is_trial);
    ck_assert_double_gt(choice.p95_ms, 104);
}
END_TEST

START_TEST(test_waiting_ends_where_the_device_would_be_done)
{
    set_up();
    struct cli_choice choice = choose();
    ck_assert_int_eq(choice.point, WIDE);
    ck_assert_double_eq_tol(choice.wait_ms, 204, 1e-9);
    input.objective = CLI_ACCURACY;
    input.deadline_ms = 300;
    ck_assert_double_eq_tol(choose().wait_ms, 300 - 204, 1e-9);
    input.deadline_ms = 150; /* which the device cannot meet alone */
    ck_assert(isinf(choose().wait_ms));
    can_run[LOCAL] = false;
    input.deadline_ms = 0;
    ck_assert(isinf(choose().wait_ms));
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
    ck_assert_double_eq_tol(cli_policy_predict(&input, NARROW).expected_ms,
                            4 + 5 + 8 + 10 + 0.5 * 2.352, 1e-9);
}
END_TEST

/* Sent again encoded, a picture costs decoding, encoding and fewer bytes; one
 * that is small already is sent as it is. */
START_TEST(test_quality_of_an_offload_point)
{
    set_up();
    points[WIDE].kind = API_POINT_OFFLOAD;
    points[WIDE].quality = 50;
    points[WIDE].bytes_mean = 8000;
    device.point_ms[WIDE] = sure(2);
    ck_assert_double_eq_tol(cli_policy_predict(&input, WIDE).expected_ms,
                            4 + 2 + 8 + 10 + 0.5 * 8, 1e-9);
    ck_assert_double_eq(cli_policy_predict(&input, WIDE).bytes, 8000);
    input.objective = CLI_ACCURACY;
    input.deadline_ms = 60; /* the whole picture needs 70 ms */
    ck_assert_int_eq(choose().point, WIDE);
    input.jpeg_bytes = 5000;
    ck_assert_double_eq(cli_policy_predict(&input, WIDE).bytes, 5000);
    ck_assert_int_eq(choose().point, OFFLOAD);
    points[WIDE].bytes_mean = -1; /* not measured: no more than the picture */
    ck_assert_double_eq(cli_policy_predict(&input, WIDE).bytes, 5000);
}
END_TEST

/* What is sure at the exit costs the device alone; the others go on. */
START_TEST(test_exit_of_a_split_point)
{
    static struct cli_exits exits; /* nothing seen */
    set_up();
    input.exits = &exits;
    points[WIDE].exit_threshold = 0.8;
    points[WIDE].exit_share = 0.5; /* so the frames have 4000 bytes */
    const double alone_ms = 4 + 20, whole_ms = alone_ms + 8 + 10 + 0.5 * 4;
    input.deadline_ms = 30;
    struct cli_forecast half = cli_policy_predict(&input, WIDE);
    ck_assert_double_eq(half.stays, 0.5);
    ck_assert_double_eq_tol(half.expected_ms, (alone_ms + whole_ms) / 2, 1e-9);
    ck_assert_double_eq_tol(half.p95_ms, whole_ms, 1e-9);
    ck_assert_double_eq_tol(half.meets, 0.5, 1e-9);
    ck_assert_double_eq_tol(half.bytes, 2000, 1e-9);
    ck_assert_double_eq_tol(half.joules, alone_ms * 1e-3 + 2000 * 1e-6, 1e-9);

    /* Where fewer than 5 of 100 are sent, the p95 is the device's. */
    points[WIDE].exit_share = 0.96;
    struct cli_forecast most = cli_policy_predict(&input, WIDE);
    ck_assert_double_eq_tol(most.p95_ms, alone_ms, 1e-9);
    ck_assert_double_eq_tol(most.likely_ms, alone_ms, 1e-9);

    /* All of them: no link is needed, as for a local point. */
    points[WIDE].exit_share = 1;
    link_seen = sure_link(1000, 10);
    struct cli_forecast all = cli_policy_predict(&input, WIDE);
    ck_assert_double_eq_tol(all.expected_ms, alone_ms, 1e-9);
    ck_assert_double_eq(all.meets, 1);
    ck_assert_double_eq(all.bytes, 0);
}
END_TEST

/* On a slow link the exit decides, as it was measured and then as it is seen.
 */
START_TEST(test_exit_makes_a_point_worth_while)
{
    static struct cli_exits exits; /* nothing seen */
    set_up();
    input.exits = &exits;
    link_seen = sure_link(300, 5);
    ck_assert_int_eq(choose().point, LOCAL);
    points[WIDE].exit_threshold = 0.8;
    points[WIDE].exit_share = 0.5;
    ck_assert_int_eq(choose().point, LOCAL); /* half would wait for the link */
    points[WIDE].exit_share = 0.97;
    ck_assert_int_eq(choose().point, WIDE);
    for (int i = 0; i < 50; i++)
        cli_exits_observe(&exits, WIDE, i % 2 == 0);
    ck_assert_int_eq(choose().point, LOCAL);
    points[WIDE].exit_share = -1; /* not measured */
    exits = (struct cli_exits){.runs = {0}};
    ck_assert_double_eq(cli_policy_predict(&input, WIDE).stays, 0);
    /* The data plan counts the mean of all. */
    points[WIDE].exit_share = 0.5;
    link_seen = sure_link(10, 0.5);
    input.allowance_bytes = 2100;
    input.max_loss = 1;
    points[NARROW].bytes_mean = 2200;
    ck_assert_int_eq(choose().point, WIDE);
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
    static const struct cli_exits exits; /* nothing seen */
    set_up();
    input.exits = &exits;
    if (rand() % 4 == 0) {
        points[WIDE].exit_threshold = 0.5;
        /* Where hardly any is sent, a p95 may lie below the mean. */
        points[WIDE].exit_share = random_up_to(0.94);
    }
    for (int i = 0; i < POINTS; i++) {
        can_run[i] = rand() % 4 != 0;
        points[i].top1 = rand() % 5 == 0 ? -1 : random_up_to(1);
        device.point_ms[i] = sure(random_up_to(300));
        device.point_ms[i].deviation = random_up_to(50);
        server.point_ms[i] = sure(random_up_to(100));
        if (rand() % 8 == 0)
            points[i].id[0] = '\0';
    }
    link_seen = sure_link(random_up_to(300), random_up_to(10));
    for (int i = 0; i < 40; i++)
        cli_scores_add(&link_seen.scores, random_up_to(4) - 2);
    input.objective = (enum cli_objective)(rand() % 3);
    input.allowance_bytes = rand() % 4 ? INFINITY : random_up_to(200000);
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
    tcase_set_timeout(group, 60);
    tcase_add_test(group, test_prediction_adds_the_parts);
    tcase_add_test(group, test_margins_of_parts_add_as_squares);
    tcase_add_loop_test(group, test_cases, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(group, test_spread_counts_not_only_the_mean);
    tcase_add_test(group, test_chance_to_be_in_time_weighs_accuracy);
    tcase_add_test(group, test_no_point_is_sure_the_likeliest_is_taken);
    tcase_add_test(group, test_allowance);
    tcase_add_test(group, test_energy);
    tcase_add_test(group, test_trial_of_what_may_have_become_better);
    tcase_add_test(group, test_doubt_alone_does_not_rule_a_point_out);
    tcase_add_test(group, test_waiting_ends_where_the_device_would_be_done);
    tcase_add_test(group, test_quality_of_an_offload_point);
    tcase_add_test(group, test_exit_of_a_split_point);
    tcase_add_test(group, test_exit_makes_a_point_worth_while);
    tcase_add_test(group, test_unmeasured_accuracy);
    tcase_add_test(group, test_unmeasured_size);
    tcase_add_test(group, test_nothing_can_run);
    tcase_add_test(group, test_properties);
    suite_add_tcase(suite, group);
    return suite;
}
