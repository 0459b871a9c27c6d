/* Tests of server/log.c: whatever goes in, one line of JSON comes out. */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"
#include "tests/run_suite.h"

static int ends[2], saved;

/* Standard error goes into a pipe during a test. */
static void redirect(void)
{
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
}

static void restore(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

/* The one line that was written, parsed; NULL if none was. */
static json_t *line_written(void)
{
    char text[8192];
    ssize_t got = read(ends[0], text, sizeof text - 1);
    if (got <= 0)
        return NULL;
    text[got] = '\0';
    ck_assert_ptr_eq(strchr(text, '\n'), text + got - 1);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(root != NULL, "not JSON: %s", text);
    return root;
}

static const char *text_of(const json_t *root, const char *name)
{
    return json_string_value(json_object_get(root, name));
}

START_TEST(a_line_has_what_was_put_in)
{
    struct srv_log_line line;
    srv_log_begin(&line, SRV_WARN, "request");
    srv_log_text(&line, "path", "/a \"b\" \\ \n\x01\x7F\xC3\xA9");
    srv_log_number(&line, "status", -7);
    srv_log_ms(&line, "duration_ms", 1234567);
    srv_log_end(&line);
    json_t *root = line_written();
    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(text_of(root, "level"), "warn");
    ck_assert_str_eq(text_of(root, "event"), "request");
    ck_assert_str_eq(text_of(root, "path"), "/a \"b\" \\ \n\x01???");
    ck_assert_int_eq((int)json_integer_value(json_object_get(root, "status")),
                     -7);
    ck_assert_double_eq_tol(
        json_real_value(json_object_get(root, "duration_ms")), 1234.567, 1e-9);
    /* 2026-11-21T11:29:08.977Z */
    const char *stamp = text_of(root, "ts");
    ck_assert_uint_eq(strlen(stamp), 24);
    ck_assert(stamp[10] == 'T' && stamp[19] == '.' && stamp[23] == 'Z');
    json_decref(root);
}
END_TEST

START_TEST(levels_filter)
{
    srv_log_set_level((enum srv_log_level)_i);
    for (int level = SRV_ERROR; level <= SRV_DEBUG; level++) {
        srv_log_message((enum srv_log_level)level, "e", "m");
        json_t *root = line_written();
        ck_assert_int_eq(root != NULL, level <= _i);
        if (root)
            ck_assert_str_eq(text_of(root, "level"),
                             srv_log_level_name((enum srv_log_level)level));
        json_decref(root);
        ck_assert_int_eq(
            srv_log_level_parse(srv_log_level_name((enum srv_log_level)level)),
            level);
    }
    ck_assert_int_eq(srv_log_level_parse("loud"), -1);
}
END_TEST

START_TEST(what_does_not_fit_is_left_out)
{
    char text[4000];
    for (size_t length = 1500; length < sizeof text; length += 1) {
        memset(text, '"', length);
        text[length] = '\0';
        struct srv_log_line line;
        srv_log_begin(&line, SRV_INFO, "e");
        srv_log_text(&line, "filler", text + length / 2);
        srv_log_text(&line, "long", text);
        srv_log_number(&line, "number", 12345);
        srv_log_end(&line);
        json_t *root = line_written();
        ck_assert_ptr_nonnull(root);
        ck_assert_str_eq(text_of(root, "event"), "e");
        const char *kept = text_of(root, "long");
        ck_assert(!kept || strlen(kept) == length);
        json_decref(root);
    }
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("log");
    tcase_add_checked_fixture(cases, redirect, restore);
    tcase_add_test(cases, a_line_has_what_was_put_in);
    tcase_add_loop_test(cases, levels_filter, SRV_ERROR, SRV_DEBUG + 1);
    tcase_add_test(cases, what_does_not_fit_is_left_out);
    Suite *suite = suite_create("server log");
    suite_add_tcase(suite, cases);
    return suite;
}
