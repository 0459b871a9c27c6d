/* Tests of server/identity.c: ids, and traceparent headers as W3C wants them.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "server/identity.h"
#include "tests/run_suite.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define GOOD "00-" TRACE "-" PARENT "-"

static const struct {
    const char *header;
    bool good, sampled;
} headers[] = {
    {GOOD "01", true, true},
    {GOOD "00", true, false},
    {GOOD "fe", true, false},
    {GOOD "ff", true, true},
    /* A later version, with and without more behind it. */
    {"cc-" TRACE "-" PARENT "-01", true, true},
    {"cc-" TRACE "-" PARENT "-01-what-the-future-brings", true, true},
    {"cc-" TRACE "-" PARENT "-01what-the-future-brings", false, false},
    {"", false, false},
    {"00", false, false},
    {"00-", false, false},
    {"00-" TRACE, false, false},
    {"00-" TRACE "-", false, false},
    {"00-" TRACE "-" PARENT, false, false},
    {GOOD, false, false},
    {GOOD "0", false, false},
    {GOOD "011", false, false},
    {GOOD "01-", false, false},
    {GOOD "01 ", false, false},
    {" " GOOD "01", false, false},
    {GOOD "0g", false, false},
    {GOOD "0A", false, false},
    {"ff-" TRACE "-" PARENT "-01", false, false},
    {"FF-" TRACE "-" PARENT "-01", false, false},
    {"0-" TRACE "-" PARENT "-01", false, false},
    {"000-" TRACE "-" PARENT "-01", false, false},
    {"00_" TRACE "-" PARENT "-01", false, false},
    {"00-00000000000000000000000000000000-" PARENT "-01", false, false},
    {"00-" TRACE "-0000000000000000-01", false, false},
    {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false, false},
    {"00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01", false, false},
    {"00-4bf92f3577b34da6a3ce929d0e0e47361-" PARENT "-01", false, false},
    {"00-" TRACE "-00f067aa0ba902b-01", false, false},
    {"00-" TRACE "-00f067aa0ba902b77-01", false, false},
};

static void assert_id(const char *id, size_t length)
{
    ck_assert_uint_eq(strlen(id), length);
    ck_assert_uint_eq(strspn(id, "0123456789abcdef"), length);
    ck_assert_uint_lt(strspn(id, "0"), length);
}

START_TEST(only_exact_headers_are_followed)
{
    struct srv_trace trace;
    char text[SRV_TRACEPARENT_BYTES], want[SRV_TRACEPARENT_BYTES];
    srv_trace_continue(headers[_i].header, &trace);
    assert_id(trace.trace_id, 32);
    assert_id(trace.span_id, 16);
    ck_assert_msg((strcmp(trace.trace_id, TRACE) == 0) == headers[_i].good,
                  "%s", headers[_i].header);
    ck_assert_str_eq(trace.parent_id, headers[_i].good ? PARENT : "");
    ck_assert_int_eq(trace.sampled, headers[_i].sampled);
    ck_assert_str_ne(trace.span_id, PARENT);
    srv_trace_write(&trace, text);
    snprintf(want, sizeof want, "00-%s-%s-%s", trace.trace_id, trace.span_id,
             headers[_i].sampled ? "01" : "00");
    ck_assert_str_eq(text, want);
}
END_TEST

START_TEST(without_a_header_a_trace_begins)
{
    struct srv_trace one, other;
    srv_trace_continue(NULL, &one);
    srv_trace_continue(NULL, &other);
    assert_id(one.trace_id, 32);
    ck_assert_str_ne(one.trace_id, other.trace_id);
    ck_assert_str_ne(one.span_id, other.span_id);
    ck_assert_str_eq(one.parent_id, "");
    ck_assert(!one.sampled);
}
END_TEST

START_TEST(fit_ids_are_kept_and_others_replaced)
{
    char id[SRV_ID_BYTES], longest[SRV_ID_BYTES], longer[SRV_ID_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    srv_identity_choose(longest, id);
    ck_assert_str_eq(id, longest);
    const char *const unfit[] = {NULL,  "",     longer,    "a b",
                                 "a\t", "\x7F", "\xC3\xA9"};
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        srv_identity_choose(unfit[i], id);
        assert_id(id, 16);
    }
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("identity");
    tcase_add_loop_test(cases, only_exact_headers_are_followed, 0,
                        (int)(sizeof headers / sizeof *headers));
    tcase_add_test(cases, without_a_header_a_trace_begins);
    tcase_add_test(cases, fit_ids_are_kept_and_others_replaced);
    Suite *suite = suite_create("server identity");
    suite_add_tcase(suite, cases);
    return suite;
}
