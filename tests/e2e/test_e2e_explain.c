/* cleave explain: the table of the last decision, kept from run to run. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "process.h"
#include "scratch.h"
#include "tests/run_suite.h"

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static char photo[SCRATCH_PATH_BYTES];
static struct daemon server;

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(cache, directory, "cache");
    scratch_join(photo, directory, "a.jpg");
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    scratch_write(photo, jpeg, bytes);
    memset(&server, 0, sizeof server);
    daemon_start(&server, scratch_bundle(), 0, directory);
}

static void tear_down(void)
{
    process_end(&server.process, SIGKILL);
    scratch_remove(cache);
    scratch_remove(directory);
}

/* The one line of `cleave COMMAND --json …`; the caller's. */
static json_t *run(const char *command, const char *option, const char *value,
                   const char *file)
{
    const char *arguments[16] = {
        CLEAVE_PROGRAM, command,    "--json", "--cache", cache,
        "--server",     server.url, option,   value,     file};
    struct process process;
    process_start(&process, arguments, directory);
    json_t *line = answer_parse(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 0);
    return line;
}

START_TEST(test_table_of_the_last_decision)
{
    json_t *answer = run("run", "--deadline-ms", "60000", photo);
    ck_assert_double_ge(answer_real(answer, "joules"), 0);
    process_end(&server.process, SIGKILL); /* it is not asked */
    json_t *decision = run("explain", NULL, NULL, NULL);
    ck_assert_str_eq(answer_text(decision, "objective"), "accuracy");
    ck_assert_double_le(answer_real(decision, "deadline_ms"), 60000);
    ck_assert_double_gt(answer_real(decision, "deadline_ms"), 0);
    const json_t *points = json_object_get(decision, "points");
    ck_assert_uint_gt(json_array_size(points), 2);
    unsigned taken = 0;
    size_t i;
    json_t *point;
    json_array_foreach(points, i, point)
    {
        ck_assert_double_ge(answer_real(point, "p95_ms"),
                            answer_real(point, "expected_ms"));
        if (strcmp(answer_text(point, "verdict"), "taken") != 0)
            continue;
        taken++;
        ck_assert_str_eq(answer_text(point, "id"),
                         answer_text(answer, "point"));
    }
    ck_assert_uint_eq(taken, 1);
    json_decref(answer);
    json_decref(decision);
}
END_TEST

START_TEST(test_none_is_kept)
{
    const char *arguments[] = {CLEAVE_PROGRAM, "explain",  "--cache", cache,
                               "--server",     server.url, NULL};
    struct process process;
    process_start(&process, arguments, directory);
    ck_assert_int_eq(process_finish(&process), 2);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("explain");
    TCase *group = tcase_create("explain");
    tcase_set_timeout(group, 60);
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_add_test(group, test_table_of_the_last_decision);
    tcase_add_test(group, test_none_is_kept);
    suite_add_tcase(suite, group);
    return suite;
}
