/* "cleave simulate" predicts what "cleave run" then takes on a real link. */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "process.h"
#include "relay.h"
#include "scratch.h"
#include "tests/run_suite.h"

#define PHOTO CLEAVE_SOURCE_DIR "/models/samples/cat.jpg"
#define PHOTO_BYTES "30985"
#define RUNS 3u

/* What the prediction may be off by. The link takes most of the time, so that
 * sanitizers and a busy machine do not decide. */
#define TOLERANCE 0.2

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static struct daemon server;
static struct relay link_;

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(cache, directory, "cache");
    memset(&server, 0, sizeof server);
    memset(&link_, 0, sizeof link_);
    unsetenv("CLEAVE_SERVER");
    daemon_start(&server, scratch_bundle(), 0, directory);
    relay_start(&link_, server.port);
}

static void tear_down(void)
{
    relay_stop(&link_);
    process_end(&server.process, SIGTERM);
    scratch_remove(directory);
}

/* The least time of a few photos over the link: a busy machine only adds. */
static double run_photos(void)
{
    const char *const arguments[] = {
        CLEAVE_PROGRAM, "run",     "--server", link_.url,     "--cache",
        cache,          "--point", "offload",  "--in-flight", "1",
        "--json",       PHOTO,     PHOTO,      PHOTO,         NULL};
    struct process process;
    const char *line;
    unsigned count = 0;
    double least_ms = INFINITY;
    process_start(&process, arguments, directory);
    while ((line = process_line(&process))) {
        json_t *answer = answer_parse(line);
        ck_assert_str_eq(answer_text(answer, "via"), "offload");
        least_ms = fmin(least_ms, answer_real(answer, "total_ms"));
        count++;
        json_decref(answer);
    }
    ck_assert_int_eq(process_finish(&process), 0);
    ck_assert_uint_eq(count, RUNS);
    return least_ms;
}

/* What is predicted, with a core measured by the server's own answers. */
static json_t *simulate(const char *mbit_per_s)
{
    const char *const arguments[] = {CLEAVE_PROGRAM,
                                     "simulate",
                                     "--server",
                                     server.url,
                                     "--link",
                                     mbit_per_s,
                                     "--rtt-ms",
                                     "0",
                                     "--jitter-ms",
                                     "0",
                                     "--jpeg-bytes",
                                     PHOTO_BYTES,
                                     "--point",
                                     "offload",
                                     "--rate",
                                     "0.2",
                                     "--seconds",
                                     "2000",
                                     "--device-ms-per-gmac",
                                     "100",
                                     "--json",
                                     NULL};
    struct process process;
    setenv("XDG_CACHE_HOME", cache, 1);
    process_start(&process, arguments, directory);
    const char *line = process_line(&process);
    ck_assert_ptr_nonnull(line);
    json_t *plan = answer_parse(line);
    ck_assert_int_eq(process_finish(&process), 0);
    return plan;
}

static const struct {
    long bytes_per_s;
    const char *mbit_per_s;
} links[] = {{30000, "0.24"}, {15000, "0.12"}};

START_TEST(test_a_real_link_takes_what_was_predicted)
{
    json_t *plan = simulate(links[_i].mbit_per_s);
    json_t *way = json_array_get(json_object_get(plan, "ways"), 0);
    double predicted_ms =
        answer_real(json_object_get(way, "latency_ms"), "mean");
    relay_set(&link_, RELAY_PACE_UP, links[_i].bytes_per_s);
    double real_ms = run_photos();
    ck_assert_msg(fabs(predicted_ms / real_ms - 1) <= TOLERANCE,
                  "predicted %.0f ms, took %.0f", predicted_ms, real_ms);
    json_decref(plan);
}
END_TEST

START_TEST(test_a_chart_is_written)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, "chart.svg");
    const char *const arguments[] = {CLEAVE_PROGRAM,
                                     "simulate",
                                     "--bundle",
                                     scratch_bundle(),
                                     "--link",
                                     "walk-away",
                                     "--device-ms-per-gmac",
                                     "100",
                                     "--server-ms-per-gmac",
                                     "20",
                                     "--devices",
                                     "3",
                                     "--seconds",
                                     "120",
                                     "--deadline-ms",
                                     "100",
                                     "--chart",
                                     path,
                                     NULL};
    struct process process;
    process_start(&process, arguments, directory);
    bool names_ways = false;
    const char *line;
    while ((line = process_line(&process)))
        names_ways = names_ways || strncmp(line, "offload ", 8) == 0;
    ck_assert_int_eq(process_finish(&process), 0);
    ck_assert(names_ways);
    size_t bytes;
    char *chart = scratch_read(path, &bytes);
    ck_assert_int_eq(strncmp(chart, "<svg ", 5), 0);
    ck_assert_ptr_nonnull(strstr(chart, "walk-away"));
    ck_assert_ptr_nonnull(strstr(chart, "<polyline"));
    ck_assert_str_eq(chart + bytes - 7, "</svg>\n");
    ck_assert_ptr_null(strstr(chart, "nan"));
    free(chart);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("e2e_simulate");
    TCase *cases = tcase_create("simulate");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, test_a_real_link_takes_what_was_predicted, 0,
                        sizeof links / sizeof links[0]);
    tcase_add_test(cases, test_a_chart_is_written);
    suite_add_tcase(suite, cases);
    return suite;
}
