/* Simulated links, devices and fleets, and what "cleave simulate" takes. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/simulate/events.h"
#include "client/simulate/options.h"
#include "client/simulate/pilot.h"
#include "client/simulate/plan.h"
#include "client/simulate/subject.h"
#include "scratch.h"
#include "tests/run_suite.h"

enum { OFFLOAD, SPLIT, LOCAL, POINTS };

static struct api_point points[POINTS];
static struct world_costs costs;
static struct trace trace;
static struct world world;
static struct plan plan;
static char directory[SCRATCH_PATH_BYTES];

static void set_up(void)
{
    static const char *const ids[POINTS] = {"offload", "split", "local"};
    static const double bytes[POINTS] = {20000, 1000, 0};
    static const double top1[POINTS] = {0.8, 0.75, 0.8};
    memset(points, 0, sizeof points);
    for (int i = 0; i < POINTS; i++) {
        snprintf(points[i].id, sizeof points[i].id, "%s", ids[i]);
        points[i].kind = (enum api_point_kind)i;
        points[i].bytes_mean = points[i].bytes_p95 = bytes[i];
        points[i].top1 = top1[i];
    }
    costs = (struct world_costs){.decode_ms = 5};
    costs.device_ms[SPLIT] = 20;
    costs.device_ms[LOCAL] = 300;
    costs.compute_ms[OFFLOAD] = 10;
    costs.compute_ms[SPLIT] = 6;
    ck_assert(trace_make_even(8, 60000, &trace));
    world = (struct world){.points = points,
                           .point_count = POINTS,
                           .costs = &costs,
                           .trace = &trace,
                           .period_ms = 1000,
                           .picture_count = 60};
    plan = (struct plan){.fleet = {.world = &world,
                                   .order = {.power = CLI_POWER_DEFAULT,
                                             .kind = -1,
                                             .point = -1},
                                   .devices = 1,
                                   .cores = 1,
                                   .queue = 64,
                                   .seed = 1},
                         .wait_ms = 10,
                         .core_hour_price = -1,
                         .gigabyte_price = -1};
    scratch_make(directory);
}

static void tear_down(void)
{
    trace_free(&trace);
    scratch_remove(directory);
}

static void always(int point)
{
    plan.fleet.order.point = point;
    plan.fleet.order.kind = (int)points[point].kind;
}

static struct plan_figures run_plan(void)
{
    struct plan_figures figures;
    struct fleet_result result;
    ck_assert(plan_run(&plan, &figures, &result));
    fleet_result_free(&result);
    return figures;
}

/* A file that is read as a trace; says what is wrong with it, or "". */
static const char *read_text(const char *name, const char *text,
                             struct trace *read)
{
    static struct api_error error;
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, name);
    scratch_write(path, text, strlen(text));
    error.text[0] = '\0';
    read->sent_bytes = NULL;
    enum api_status status = trace_read(path, read, &error);
    ck_assert_int_eq(status == API_OK, error.text[0] == '\0');
    ck_assert_int_eq(status == API_OK, read->sent_bytes != NULL);
    return error.text;
}

static const struct {
    const char *name, *text, *why;
} bad_traces[] = {
    {"a.csv", "", "no row"},
    {"a.csv", "at_ms,mbit_per_s\n", "no row"},
    {"a.csv", "0,1\n1000;2\n", "line 2: not \"milliseconds"},
    {"a.csv", "0,1\n1000,2 3\n", "line 2: not \"milliseconds"},
    {"a.csv", "5,1\n", "line 1: milliseconds begin with 0"},
    {"a.csv", "0,1\n2000,1\n1000,1\n", "line 3: milliseconds begin"},
    {"a.csv", "0,1\nnan,1\n", "line 2: milliseconds begin"},
    {"a.csv", "0,nan\n", "line 1: not 0 to 100000"},
    {"a.csv", "0,-1\n", "line 1: not 0 to 100000"},
    {"a.csv", "0,1e9\n", "line 1: not 0 to 100000"},
    {"a.csv", "0,1\n1e300,1\n", "line 2: longer than two hours"},
    {"a.up", "", "shorter than a second"},
    {"a.up", "1\n900\n", "shorter than a second"},
    {"a.up", "1\n2000\nx\n", "line 3: not a number"},
    {"a.up", "1\n2000\n5\n", "line 3: milliseconds rise"},
    {"a.up", "-5\n2000\n", "line 1: milliseconds rise"},
    {"a.up", "1\n1e300\n", "line 2: milliseconds rise"},
    {"a.jsonl", "", "not a second"},
    {"a.jsonl", "{\n[]\n1\n", "not a second"},
};

START_TEST(test_a_bad_trace_is_refused)
{
    struct trace read;
    const char *why =
        read_text(bad_traces[_i].name, bad_traces[_i].text, &read);
    ck_assert_msg(strstr(why, bad_traces[_i].why), "%s: %s",
                  bad_traces[_i].text, why);
}
END_TEST

START_TEST(test_a_table_is_a_link)
{
    struct trace read;
    ck_assert_str_eq(read_text("my.link.csv",
                               "at_ms,mbit_per_s\n0,8\n1000,0\n3000, 0.8\r\n",
                               &read),
                     "");
    ck_assert_str_eq(read.name, "my");
    ck_assert_uint_eq(read.length_ms, 5000);
    ck_assert_double_eq_tol(trace_finish_ms(&read, 0, 1000), 1, 1e-6);
    ck_assert_double_eq_tol(trace_finish_ms(&read, 999, 1100), 3001, 1e-6);
    ck_assert_double_eq_tol(trace_mean_mbit_per_s(&read), 9.6 / 5, 1e-6);
    /* It begins again when it ends: at 0.8 Mbit/s, then at 8. */
    ck_assert_double_eq_tol(trace_finish_ms(&read, 4999, 1100), 5001, 1e-6);
    ck_assert_double_eq_tol(trace_part_mbit_per_s(&read, 4000, 2000), 4.4,
                            1e-6);
    trace_free(&read);
}
END_TEST

START_TEST(test_other_traces_are_read)
{
    struct trace read;
    ck_assert_str_eq(read_text("a.up", "0\n0\n10\n1999\n", &read), "");
    ck_assert_uint_eq(read.length_ms, 2000);
    ck_assert_double_eq(read.sent_bytes[2000], 6000);
    ck_assert_double_eq_tol(trace_finish_ms(&read, 0, 1500), 0.5, 1e-6);
    trace_free(&read);
    char text[1024] = "";
    for (int i = 0; i < 10; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used,
                 "{\"time\": %d, \"kbs\": 1000, \"transfer_time\": 10}\n",
                 i + 1);
    }
    ck_assert_str_eq(read_text("a.jsonl", text, &read), "");
    ck_assert_double_eq_tol(trace_mean_mbit_per_s(&read), 0.8, 1e-6);
    trace_free(&read);
}
END_TEST

START_TEST(test_events_come_in_order)
{
    struct events events = {.count = 0};
    struct event event, before = {.at_ms = -1};
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert(events_add(
            &events, (struct event){.at_ms = i * 7919 % 100, .device = i}));
    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert(events_next(&events, &event));
        ck_assert(event.at_ms > before.at_ms || (event.at_ms >= before.at_ms &&
                                                 event.device > before.device));
        before = event;
    }
    ck_assert(!events_next(&events, &event));
    events_free(&events);
}
END_TEST

START_TEST(test_one_device_takes_what_its_parts_take)
{
    always(OFFLOAD);
    struct plan_figures figures = run_plan();
    /* 20,250 bytes at 1,000 bytes a millisecond, 20 ms, then 10. */
    ck_assert_double_eq_tol(figures.p50_ms, 50.25, 1);
    ck_assert_double_eq_tol(figures.bytes_per_picture, 20250, 1);
    ck_assert_double_eq_tol(figures.bytes_per_day, 20250 * 86400.0, 1e5);
    ck_assert_double_eq_tol(figures.load, 0.01, 0.001);
    ck_assert_double_eq_tol(figures.shares[OFFLOAD], 1, 1e-9);
    ck_assert_double_eq_tol(figures.top1, 0.8, 1e-9);
    always(LOCAL);
    figures = run_plan();
    ck_assert_double_eq_tol(figures.p50_ms, 305, 10);
    ck_assert_double_eq(figures.bytes_per_picture, 0);
    ck_assert_double_eq(figures.joules_per_picture > 0.3, true);
}
END_TEST

/* Half of the pictures stay: the others' frames have twice the mean. */
START_TEST(test_an_exit_keeps_its_share)
{
    points[SPLIT].exit_threshold = 0.8;
    points[SPLIT].exit_share = 0.5;
    always(SPLIT);
    unsigned kept = 0, pictures = 2000;
    for (uint64_t i = 0; i < pictures; i++) {
        struct passage passage = world_pass(&world, i, SPLIT, 0);
        ck_assert_double_gt(passage.device_ms, 0);
        ck_assert(passage.stays == (passage.body_bytes <= 0));
        ck_assert(passage.stays == (passage.link_ms <= 0));
        ck_assert(passage.stays || fabs(passage.body_bytes - 2000) < 1e-6);
        kept += passage.stays;
    }
    ck_assert_double_eq_tol((double)kept / pictures, 0.5, 0.05);
    struct plan_figures figures = run_plan();
    ck_assert_double_eq_tol(figures.shares[SPLIT], 1, 1e-9);
    ck_assert_double_eq_tol(figures.bytes_per_picture, 2250 / 2.0, 400);
}
END_TEST

START_TEST(test_auto_follows_the_link)
{
    struct plan_figures fast = run_plan();
    trace_free(&trace);
    ck_assert(trace_make_even(0.5, 60000, &trace));
    struct plan_figures slow = run_plan();
    ck_assert_double_gt(fast.shares[OFFLOAD] + fast.shares[SPLIT], 0.9);
    ck_assert_double_gt(slow.shares[SPLIT], 0.9);
    ck_assert_double_lt(slow.mean_ms, 120);
    trace_free(&trace);
    ck_assert(trace_make_even(0, 60000, &trace));
    struct plan_figures dead = run_plan();
    ck_assert_double_eq_tol(dead.shares[LOCAL], 1, 1e-9);
    ck_assert_double_gt(dead.given_up, 0.99);
}
END_TEST

/* Arrivals that jitter makes independent: waits are those of M/D/1, mean load ×
 * service / (2 (1 - load)). */
START_TEST(test_waits_are_those_of_queueing_theory)
{
    struct fleet_result result;
    always(OFFLOAD);
    world.jitter_ms = 2000;
    world.period_ms = 20000;
    world.picture_count = 50;
    plan.fleet.devices = 1400;
    plan.fleet.queue = 10000;
    ck_assert(fleet_run(&plan.fleet, &result));
    double load = result.busy_ms / result.span_ms, sum_ms = 0;
    for (uint64_t i = 0; i < result.served; i++)
        sum_ms += (double)result.wait_ms[i];
    double expected_ms = load * 10 / (2 * (1 - load));
    ck_assert_double_eq_tol(load, 0.7, 0.05);
    ck_assert_double_eq_tol(sum_ms / (double)result.served, expected_ms,
                            0.15 * expected_ms);
    ck_assert_uint_eq(result.refused, 0);
    fleet_result_free(&result);
}
END_TEST

START_TEST(test_a_full_queue_refuses)
{
    always(OFFLOAD);
    plan.fleet.devices = 200; /* two cores' work */
    plan.fleet.queue = 8;
    struct plan_figures figures = run_plan();
    ck_assert_double_gt(figures.refused, 0.05);
    ck_assert_double_gt(figures.shares[LOCAL], 0.05);
    ck_assert_double_lt(figures.load, 1.01);
    ck_assert_double_lt(figures.wait_p99_ms, 9 * 12);
}
END_TEST

START_TEST(test_cores_are_found)
{
    always(OFFLOAD);
    plan.fleet.devices = 200;
    plan.fleet.cores = 0;
    plan.core_hour_price = 0.5;
    plan.gigabyte_price = 0.1;
    struct plan_figures figures = run_plan();
    ck_assert_uint_ge(figures.cores, 2);
    ck_assert_uint_le(figures.cores, 4);
    ck_assert(figures.cores_suffice);
    ck_assert_double_le(figures.wait_p95_ms, plan.wait_ms);
    ck_assert_double_eq_tol(figures.compute_price, 0.5 * 730.5 * figures.cores,
                            1e-6);
    ck_assert_double_eq_tol(figures.traffic_price,
                            0.1 * 200 * 20250 * 86400e-9 * 30.4375, 1);
    plan.fleet.cores = figures.cores - 1;
    figures = run_plan();
    ck_assert(!figures.cores_suffice);
}
END_TEST

START_TEST(test_the_newest_picture_is_kept)
{
    always(LOCAL);
    world.period_ms = 100;
    world.picture_count = 600;
    struct plan_figures all = run_plan();
    plan.fleet.latest = true;
    struct plan_figures newest = run_plan();
    ck_assert_double_eq(all.dropped, 0);
    ck_assert_double_gt(all.p99_ms, 60000);
    ck_assert_double_eq_tol(newest.dropped, 1 - 100 / 305.0, 0.02);
    ck_assert_double_lt(newest.p99_ms, 450);
}
END_TEST

START_TEST(test_late_answers_are_misses)
{
    always(LOCAL);
    plan.fleet.order.deadline_ms = 200;
    struct plan_figures figures = run_plan();
    ck_assert_double_eq(figures.missed, 1);
    ck_assert_double_eq(figures.top1_in_time, 0);
    ck_assert_double_eq_tol(figures.top1, 0.8, 1e-9);
}
END_TEST

START_TEST(test_the_same_seed_gives_the_same_fleet)
{
    struct fleet_result a, b, c;
    plan.fleet.devices = 20;
    ck_assert(fleet_run(&plan.fleet, &a));
    ck_assert(fleet_run(&plan.fleet, &b));
    plan.fleet.seed = 2;
    ck_assert(fleet_run(&plan.fleet, &c));
    ck_assert_mem_eq(a.latency_ms, b.latency_ms,
                     a.pictures * sizeof *a.latency_ms);
    ck_assert_mem_eq(a.point, b.point, a.pictures);
    ck_assert_mem_ne(a.latency_ms, c.latency_ms,
                     a.pictures * sizeof *a.latency_ms);
    fleet_result_free(&a);
    fleet_result_free(&b);
    fleet_result_free(&c);
}
END_TEST

START_TEST(test_a_bundle_is_measured)
{
    struct api_error error;
    struct subject subject;
    struct subject_order order = {.bundle = CLEAVE_SOURCE_DIR
                                  "/tests/data/tiny.safetensors",
                                  .decode_ms = -1,
                                  .device_factor = 1000,
                                  .server_factor = 1};
    ck_assert_msg(subject_get(&order, &subject, &error) == API_OK, "%s",
                  error.text);
    for (uint16_t i = 0; i < subject.point_count; i++) {
        enum api_point_kind kind = subject.points[i].kind;
        ck_assert_int_eq(subject.costs.device_ms[i] > 0,
                         kind != API_POINT_OFFLOAD);
        ck_assert_int_eq(subject.costs.compute_ms[i] > 0,
                         kind != API_POINT_LOCAL);
    }
    ck_assert_double_gt(subject.costs.decode_ms, 100); /* not micro-seconds */
    order.learnt = "/dev/null";
    ck_assert_int_eq(subject_get(&order, &subject, &error), API_UNPROCESSABLE);
}
END_TEST

START_TEST(test_a_devices_file_is_taken)
{
    char path[SCRATCH_PATH_BYTES];
    struct api_error error;
    struct subject subject;
    scratch_join(path, directory, "device.learnt");
    static const char text[] = "cleave learnt 2\nmodel 0000000000000001 7000\n"
                               "device local 250000 0 0\n";
    scratch_write(path, text, sizeof text - 1);
    const struct subject_order order = {.bundle = CLEAVE_SOURCE_DIR
                                        "/tests/data/tiny.safetensors",
                                        .learnt = path,
                                        .server_ms_per_gmac = 20,
                                        .decode_ms = -1,
                                        .device_factor = 2,
                                        .server_factor = 1};
    ck_assert_msg(subject_get(&order, &subject, &error) == API_OK, "%s",
                  error.text);
    ck_assert_double_eq_tol(subject.costs.decode_ms, 14, 1e-6);
    for (uint16_t i = 0; i < subject.point_count; i++) {
        if (subject.points[i].kind == API_POINT_LOCAL)
            ck_assert_double_eq_tol(subject.costs.device_ms[i], 500, 1e-6);
        else if (subject.points[i].kind == API_POINT_SPLIT)
            ck_assert_double_gt(subject.costs.device_ms[i], 0);
    }
}
END_TEST

static const struct {
    const char *arguments[5];
    int status;
} commands[] = {
    {{"--devices", "0"}, CMD_USAGE},
    {{"--devices", "1.5"}, CMD_USAGE},
    {{"--devices", "1e99"}, CMD_USAGE},
    {{"--rate", "nan"}, CMD_USAGE},
    {{"--rate", ""}, CMD_USAGE},
    {{"--seconds", "604800", "--rate", "10"}, CMD_USAGE},
    {{"--seconds", "1", "--rate", "0.5"}, CMD_USAGE},
    {{"--device-learnt", "x", "--device-ms-per-gmac", "1"}, CMD_USAGE},
    {{"--objective", "fame"}, CMD_USAGE},
    {{"--nothing"}, CMD_USAGE},
    {{"picture.jpg"}, CMD_USAGE},
    {{"--help"}, CMD_OK},
};

START_TEST(test_wrong_options_are_refused)
{
    struct simulate_options options;
    char *arguments[6] = {(char *)"simulate"};
    int count = 1, status = -1;
    for (; commands[_i].arguments[count - 1]; count++)
        arguments[count] = (char *)commands[_i].arguments[count - 1];
    ck_assert(!simulate_options_parse(count, arguments, &options, &status));
    ck_assert_int_eq(status, commands[_i].status);
}
END_TEST

/* What is left of the deadline counts, as on a device. */
START_TEST(test_a_picture_that_has_waited_tries_the_server)
{
    static struct pilot pilot;
    const struct pilot_order order = {.deadline_ms = 400,
                                      .power = CLI_POWER_DEFAULT,
                                      .kind = -1,
                                      .point = -1};
    pilot_reset(&pilot, &world, &order, 1);
    cli_decider_saw_failure(&pilot.decider, 5000, 0);
    ck_assert(!pilot_begin(&pilot, 0, 1000, 1000));
    ck_assert_double_eq(pilot.probe_bytes, 0);
    ck_assert(pilot_begin(&pilot, 1, 2000, 2200));
    ck_assert_double_gt(pilot.probe_bytes, 0);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("simulate");
    TCase *cases = tcase_create("simulate");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, test_a_bad_trace_is_refused, 0,
                        sizeof bad_traces / sizeof bad_traces[0]);
    tcase_add_test(cases, test_a_table_is_a_link);
    tcase_add_test(cases, test_other_traces_are_read);
    tcase_add_test(cases, test_events_come_in_order);
    tcase_add_test(cases, test_one_device_takes_what_its_parts_take);
    tcase_add_test(cases, test_an_exit_keeps_its_share);
    tcase_add_test(cases, test_auto_follows_the_link);
    tcase_add_test(cases, test_waits_are_those_of_queueing_theory);
    tcase_add_test(cases, test_a_full_queue_refuses);
    tcase_add_test(cases, test_cores_are_found);
    tcase_add_test(cases, test_the_newest_picture_is_kept);
    tcase_add_test(cases, test_late_answers_are_misses);
    tcase_add_test(cases, test_a_picture_that_has_waited_tries_the_server);
    tcase_add_test(cases, test_the_same_seed_gives_the_same_fleet);
    tcase_add_test(cases, test_a_bundle_is_measured);
    tcase_add_test(cases, test_a_devices_file_is_taken);
    tcase_add_loop_test(cases, test_wrong_options_are_refused, 0,
                        sizeof commands / sizeof commands[0]);
    suite_add_tcase(suite, cases);
    return suite;
}
