/* The file of what was learnt, and meters found in a copy of sysfs. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/energy.h"
#include "client/learnt.h"
#include "scratch.h"
#include "tests/run_suite.h"

static char directory[SCRATCH_PATH_BYTES], path[SCRATCH_PATH_BYTES];

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(path, directory, "x.learnt");
}

static void tear_down(void)
{
    scratch_remove(directory);
}

static struct cli_learnt example(void)
{
    struct cli_learnt learnt = {
        .fingerprint = 0x0123456789abcdefu, .decode_ms = 4.25, .part_count = 1};
    learnt.parts[0] = (struct cli_learnt_part){"w50-base", 12.125, 40, 10.5};
    struct cleave_decision *decision = &learnt.decision;
    decision->unix_ms = 1700000000123;
    snprintf(decision->objective, sizeof decision->objective, "latency");
    snprintf(decision->reason, sizeof decision->reason, "a reason: two words");
    decision->deadline_ms = 250.5;
    decision->jpeg_bytes = 43210;
    decision->rtt_ms = 17.5;
    decision->ms_per_kb = 0.75;
    decision->forecast_count = 1;
    decision->forecasts[0] = (struct cleave_forecast){
        "w50-base", "no better", 40, 55.5, 0.875, 1130, 0.0125, -1, 0.25};
    return learnt;
}

START_TEST(test_comes_back_as_it_went)
{
    struct cli_learnt written = example(), read = {0};
    ck_assert(cli_learnt_write(path, &written));
    ck_assert(cli_learnt_read(path, &read));
    ck_assert_uint_eq(read.fingerprint, written.fingerprint);
    ck_assert_double_eq(read.decode_ms, 4.25);
    ck_assert_uint_eq(read.part_count, 1);
    ck_assert_str_eq(read.parts[0].point, "w50-base");
    ck_assert_double_eq(read.parts[0].ms, 12.125);
    ck_assert_double_eq(read.parts[0].runs, 40);
    ck_assert_double_eq(read.parts[0].stays, 10.5);
    ck_assert_int_eq(read.decision.unix_ms, 1700000000123);
    ck_assert_str_eq(read.decision.reason, "a reason: two words");
    ck_assert_double_eq(read.decision.deadline_ms, 250.5);
    ck_assert_double_eq(read.decision.ms_per_kb, 0.75);
    const struct cleave_forecast *row = &read.decision.forecasts[0];
    ck_assert_str_eq(row->verdict, "no better");
    ck_assert_double_eq(row->p95_ms, 55.5);
    ck_assert_double_eq_tol(row->joules, 0.0125, 1e-9);
    ck_assert_double_eq(row->top1, -1);
    ck_assert_double_eq(row->stays, 0.25);
    ck_assert_uint_eq(scratch_count(directory, ""), 1); /* no trace else */
}
END_TEST

/* What others may have written there. */
static const char *const nonsense[] = {
    "",
    "cleave learnt 2",
    "cleave learnt 1\nmodel 0 0\n",
    "cleave learnt 2\nmodel 0 0",
    "cleave learnt 2\nmodel zz 0\n",
    "cleave learnt 2\nmodel 1 99999999999999999\n",
    "cleave learnt 2\ndevice a -5 0 0\n",
    "cleave learnt 2\ndevice a 5 2000 3000\n",
    "cleave learnt 2\ndevice a 5 2000 -1\n",
    "cleave learnt 2\ndevice a\n",
    "cleave learnt 2\ndecision 5 latency 0 1 1\n",
    "cleave learnt 2\ndecision -5 latency 0 1 1 1\n",
    "cleave learnt 2\nforecast a 1 1 1 1 1 1\n",
    "cleave learnt 2\nforecast a 1 1 5000 1 1 1 0 taken\n",
    "cleave learnt 2\nforecast a 1 1 1 1 1 1 5000 taken\n",
};

START_TEST(test_nonsense_is_refused)
{
    struct cli_learnt learnt = example();
    scratch_write(path, nonsense[_i], strlen(nonsense[_i]));
    ck_assert(!cli_learnt_read(path, &learnt));
    ck_assert_double_eq(learnt.decode_ms, 4.25); /* untouched */
}
END_TEST

START_TEST(test_flipped_bytes_never_hurt)
{
    struct cli_learnt written = example();
    ck_assert(cli_learnt_write(path, &written));
    size_t bytes;
    char *text = scratch_read(path, &bytes);
    srand(5);
    for (int round = 0; round < 150; round++) {
        char *copy = malloc(bytes);
        memcpy(copy, text, bytes);
        for (int i = rand() % 4; i >= 0; i--)
            copy[(size_t)rand() % bytes] = (char)rand();
        scratch_write(path, copy, (size_t)rand() % bytes);
        free(copy);
        struct cli_learnt read;
        if (!cli_learnt_read(path, &read))
            continue;
        ck_assert_uint_le(read.part_count, API_LIMIT_POINTS);
        ck_assert_uint_le(read.decision.forecast_count, CLEAVE_FORECASTS_MAX);
        for (unsigned i = 0; i < read.part_count; i++)
            ck_assert_double_gt(read.parts[i].ms, 0);
    }
    free(text);
}
END_TEST

/* Writes one line to a file below the scratch directory's sysfs. */
static void sysfs(const char *name, const char *text)
{
    char at[2 * SCRATCH_PATH_BYTES];
    size_t root = (size_t)snprintf(at, sizeof at, "%s/", directory);
    snprintf(at + root, sizeof at - root, "%s", name);
    for (char *slash = at + root; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(at, 0700);
        *slash = '/';
    }
    FILE *file = fopen(at, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "%s\n", text);
    fclose(file);
}

START_TEST(test_no_meter)
{
    ck_assert_ptr_null(cli_meter_open(directory));
}
END_TEST

START_TEST(test_powercap_counts_and_wraps)
{
    sysfs("class/powercap/intel-rapl:0/name", "package-0");
    sysfs("class/powercap/intel-rapl:0/energy_uj", "9000000");
    sysfs("class/powercap/intel-rapl:0/max_energy_range_uj", "10000000");
    struct cli_meter *meter = cli_meter_open(directory);
    ck_assert_ptr_nonnull(meter);
    ck_assert_str_eq(cli_meter_kind(meter), "powercap");
    sysfs("class/powercap/intel-rapl:0/energy_uj", "9500000");
    ck_assert_double_eq_tol(cli_meter_joules(meter), 0.5, 1e-9);
    sysfs("class/powercap/intel-rapl:0/energy_uj", "500000");
    ck_assert_double_eq_tol(cli_meter_joules(meter), 1.5, 1e-9);
    sysfs("class/powercap/intel-rapl:0/energy_uj", "none");
    ck_assert_double_lt(cli_meter_joules(meter), 0);
    cli_meter_close(&meter);
    ck_assert_ptr_null(meter);
}
END_TEST

START_TEST(test_ina3221_is_power_times_time)
{
    sysfs("class/hwmon/hwmon1/name", "ina3221");
    sysfs("class/hwmon/hwmon1/in1_input", "5000");
    sysfs("class/hwmon/hwmon1/curr1_input", "2000");
    sysfs("class/hwmon/hwmon0/name", "cpu_thermal");
    sysfs("class/hwmon/hwmon0/power1_input", "1");
    struct cli_meter *meter = cli_meter_open(directory);
    ck_assert_ptr_nonnull(meter);
    ck_assert_str_eq(cli_meter_kind(meter), "hwmon");
    double joules = 0;
    while (joules < 0.02) /* 10 W: within a few milliseconds */
        joules = cli_meter_joules(meter);
    ck_assert_double_lt(joules, 5);
    cli_meter_close(&meter);
}
END_TEST

START_TEST(test_battery_only_while_discharging)
{
    sysfs("class/power_supply/BAT0/status", "Charging");
    sysfs("class/power_supply/BAT0/power_now", "8000000");
    ck_assert_ptr_null(cli_meter_open(directory));
    sysfs("class/power_supply/BAT0/status", "Discharging");
    struct cli_meter *meter = cli_meter_open(directory);
    ck_assert_ptr_nonnull(meter);
    ck_assert_str_eq(cli_meter_kind(meter), "battery");
    cli_meter_close(&meter);
}
END_TEST

START_TEST(test_model)
{
    struct cli_power power = {.joules_per_cpu_second = 2,
                              .joules_per_byte = 1e-5};
    ck_assert_double_eq_tol(cli_power_joules(&power, 500, 1000), 1.01, 1e-12);
}
END_TEST

/* scratch_remove goes one level deep; these go deeper. */
static void tear_down_sysfs(void)
{
    static const char *const files[] = {
        "class/powercap/intel-rapl:0/name",
        "class/powercap/intel-rapl:0/energy_uj",
        "class/powercap/intel-rapl:0/max_energy_range_uj",
        "class/powercap/intel-rapl:0",
        "class/powercap",
        "class/hwmon/hwmon0/name",
        "class/hwmon/hwmon0/power1_input",
        "class/hwmon/hwmon0",
        "class/hwmon/hwmon1/name",
        "class/hwmon/hwmon1/in1_input",
        "class/hwmon/hwmon1/curr1_input",
        "class/hwmon/hwmon1",
        "class/hwmon",
        "class/power_supply/BAT0/status",
        "class/power_supply/BAT0/power_now",
        "class/power_supply/BAT0",
        "class/power_supply",
        "class",
    };
    char at[2 * SCRATCH_PATH_BYTES];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(at, sizeof at, "%s/%s", directory, files[i]);
        remove(at);
    }
    tear_down();
}

Suite *make_suite(void)
{
    Suite *suite = suite_create("learnt");
    TCase *group = tcase_create("file");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_add_test(group, test_comes_back_as_it_went);
    tcase_add_loop_test(group, test_nonsense_is_refused, 0,
                        (int)(sizeof nonsense / sizeof nonsense[0]));
    tcase_add_test(group, test_flipped_bytes_never_hurt);
    suite_add_tcase(suite, group);
    group = tcase_create("energy");
    tcase_add_checked_fixture(group, set_up, tear_down_sysfs);
    tcase_add_test(group, test_no_meter);
    tcase_add_test(group, test_powercap_counts_and_wraps);
    tcase_add_test(group, test_ina3221_is_power_times_time);
    tcase_add_test(group, test_battery_only_while_discharging);
    tcase_add_test(group, test_model);
    suite_add_tcase(suite, group);
    return suite;
}
