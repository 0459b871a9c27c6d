/* cleave doctor: what it finds where all is well, and where it is not. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answers.h"
#include "fake_server.h"
#include "process.h"
#include "scratch.h"
#include "tests/run_suite.h"

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static struct daemon server;

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(cache, directory, "cache");
    memset(&server, 0, sizeof server);
    unsetenv("CLEAVE_SERVER");
}

static void tear_down(void)
{
    process_end(&server.process, SIGKILL);
    scratch_remove(cache);
    scratch_remove(directory);
}

/* What it says about `urls`, NULL behind; the caller's. */
static json_t *ask(const char *const *urls, int expected_status)
{
    const char *arguments[16] = {CLEAVE_PROGRAM, "doctor", "--json", "--cache",
                                 cache};
    for (size_t used = 5; *urls; urls++) {
        arguments[used++] = "--server";
        arguments[used++] = *urls;
    }
    struct process process;
    process_start(&process, arguments, directory);
    json_t *findings = answer_parse(process_line(&process));
    ck_assert_int_eq(process_finish(&process), expected_status);
    return findings;
}

/* The first finding of a check; every one that is not fine says what to do. */
static const json_t *find(const json_t *findings, const char *check)
{
    size_t i;
    json_t *finding;
    const json_t *found = NULL;
    json_array_foreach(findings, i, finding)
    {
        bool fine = strcmp(answer_text(finding, "state"), "ok") == 0;
        ck_assert_uint_gt(strlen(answer_text(finding, "found")), 3);
        ck_assert_int_eq(strlen(answer_text(finding, "advice")) == 0, fine);
        if (!found && strcmp(answer_text(finding, "check"), check) == 0)
            found = finding;
    }
    ck_assert_msg(found != NULL, "no finding of %s", check);
    return found;
}

static void assert_state(const json_t *findings, const char *check,
                         const char *state)
{
    const json_t *finding = find(findings, check);
    ck_assert_msg(strcmp(answer_text(finding, "state"), state) == 0,
                  "%s: %s, %s", check, answer_text(finding, "state"),
                  answer_text(finding, "found"));
}

START_TEST(test_all_is_well)
{
    static const char *const checks[] = {"server", "clock",   "model", "link",
                                         "split",  "offload", "local", "cpu"};
    daemon_start(&server, scratch_bundle(), 0, directory);
    const char *const urls[] = {server.url, NULL};
    json_t *findings = ask(urls, 0);
    ck_assert_uint_eq(json_array_size(findings), 8);
    /* The plain kernels of other machines are worth a warning. */
    for (size_t i = 0; i < 7; i++)
        assert_state(findings, checks[i], "ok");
    json_decref(findings);
}
END_TEST

/* The server is away: without a cache, then with one. */
START_TEST(test_server_is_away)
{
    daemon_start(&server, scratch_bundle(), 0, directory);
    const char *const urls[] = {server.url, NULL};
    const char *const nowhere[] = {"http://127.0.0.1:1", NULL};
    json_t *findings = ask(nowhere, 1);
    assert_state(findings, "server", "error");
    assert_state(findings, "model", "error");
    json_decref(findings);
    json_decref(ask(urls, 0));
    process_end(&server.process, SIGKILL);
    findings = ask(urls, 1);
    assert_state(findings, "server", "error");
    assert_state(findings, "model", "warning");
    assert_state(findings, "offload", "error");
    assert_state(findings, "local", "ok");
    json_decref(findings);
}
END_TEST

/* One of two servers is enough for pictures, but the doctor names the other. */
START_TEST(test_one_of_two)
{
    daemon_start(&server, scratch_bundle(), 0, directory);
    const char *const urls[] = {"http://127.0.0.1:1", server.url, NULL};
    json_t *findings = ask(urls, 1);
    assert_state(findings, "server", "error");
    assert_state(findings, "split", "ok");
    json_decref(findings);
}
END_TEST

/* Another program has the port, and its clock is years away. */
START_TEST(test_something_else_answers)
{
    const struct fake_route routes[] = {
        {.path = "/",
         .code = 200,
         .headers = "Date: Mon, 01 Jan 2001 00:00:00 GMT\r\n",
         .body = "hello",
         .body_bytes = 5}};
    struct fake_server fake;
    fake_start(&fake, routes, 1);
    const char *const urls[] = {fake.url, NULL};
    json_t *findings = ask(urls, 1);
    assert_state(findings, "clock", "warning");
    assert_state(findings, "model", "error");
    json_decref(findings);
    fake_stop(&fake);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("doctor");
    TCase *group = tcase_create("doctor");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 120);
    tcase_add_test(group, test_all_is_well);
    tcase_add_test(group, test_server_is_away);
    tcase_add_test(group, test_one_of_two);
    tcase_add_test(group, test_something_else_answers);
    suite_add_tcase(suite, group);
    return suite;
}
