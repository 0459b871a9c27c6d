/* Tests of api/status.c and api/point.c: every row of every table. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "api/point.h"
#include "api/status.h"
#include "tests/run_suite.h"

START_TEST(every_status_is_described)
{
    enum api_status status = (enum api_status)_i;
    const char *name = api_status_name(status);
    ck_assert_uint_ge(strlen(name), 2);
    ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"),
                      strlen(name));
    ck_assert_uint_ge(strlen(api_status_title(status)), 5);
    for (int other = 0; other < _i; other++) {
        ck_assert_str_ne(name, api_status_name((enum api_status)other));
        ck_assert_str_ne(api_status_title(status),
                         api_status_title((enum api_status)other));
    }

    int http = api_status_http(status);
    int code = api_status_exit(status);
    if (status == API_OK) {
        ck_assert_int_eq(http, 200);
        ck_assert_int_eq(code, 0);
    } else {
        ck_assert_int_ge(http, 400);
        ck_assert_int_le(http, 599);
        ck_assert_int_eq(code, status == API_USAGE ? 2 : 1);
    }
    /* The reverse lookup lands on a status with the same code. */
    ck_assert_int_eq(api_status_http(api_status_from_http(http)), http);
}
END_TEST

START_TEST(http_codes_are_the_documented_ones)
{
    static const struct {
        enum api_status status;
        int http;
    } cases[] = {
        {API_BAD_REQUEST, 400},        {API_UNAUTHENTICATED, 401},
        {API_FORBIDDEN, 403},          {API_NOT_FOUND, 404},
        {API_METHOD_NOT_ALLOWED, 405}, {API_MODEL_MISMATCH, 409},
        {API_LENGTH_REQUIRED, 411},    {API_TOO_LARGE, 413},
        {API_UNSUPPORTED_MEDIA, 415},  {API_EXPECTATION_FAILED, 417},
        {API_UNPROCESSABLE, 422},      {API_INTERNAL, 500},
        {API_UNAVAILABLE, 501},        {API_OVERLOADED, 503},
        {API_DEADLINE, 504},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(api_status_http(cases[i].status), cases[i].http);
        ck_assert_int_eq(api_status_from_http(cases[i].http), cases[i].status);
    }
    ck_assert_int_eq(api_status_from_http(200), API_OK);
    ck_assert_int_eq(api_status_from_http(418), API_INTERNAL);
    ck_assert_int_eq(api_status_from_http(0), API_INTERNAL);
}
END_TEST

START_TEST(a_stray_value_reads_as_internal)
{
    ck_assert_str_eq(api_status_name(API_STATUS_COUNT), "internal");
    ck_assert_int_eq(api_status_http((enum api_status)9999), 500);
}
END_TEST

START_TEST(fail_fills_and_returns)
{
    struct api_error error = {API_OK, ""};
    ck_assert_int_eq(api_fail(&error, API_TOO_LARGE, "%d pixels", 7),
                     API_TOO_LARGE);
    ck_assert_int_eq(error.status, API_TOO_LARGE);
    ck_assert_str_eq(error.text, "7 pixels");
    ck_assert_int_eq(api_fail(NULL, API_INTERNAL, "unseen"), API_INTERNAL);
}
END_TEST

START_TEST(fail_cuts_between_characters)
{
    /* Two-, three- and four-byte characters, shifted so that the cut falls on
     * each of their bytes in turn. */
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC",
                                             "\xF0\x9F\x93\xB7"};
    size_t size = strlen(characters[_i]);
    for (size_t shift = 0; shift < 5; shift++) {
        char text[400] = "";
        memset(text, '.', shift);
        while (strlen(text) + size < sizeof text - 1)
            memcpy(text + strlen(text), characters[_i], size);
        struct api_error error;
        api_fail(&error, API_INTERNAL, "%s", text);
        size_t length = strlen(error.text);
        ck_assert_uint_eq((length - shift) % size, 0);
        ck_assert_uint_gt(length + size, sizeof error.text - 1);
        ck_assert_int_eq(memcmp(error.text, text, length), 0);
    }
}
END_TEST

START_TEST(point_names_go_both_ways)
{
    for (int kind = API_POINT_OFFLOAD; kind <= API_POINT_LOCAL; kind++)
        ck_assert_int_eq(api_point_kind_parse(
                             api_point_kind_name((enum api_point_kind)kind)),
                         kind);
    for (int codec = API_CODEC_NONE; codec <= API_CODEC_U8ZSTD; codec++)
        ck_assert_int_eq(api_codec_parse(api_codec_name((enum api_codec)codec)),
                         codec);
    ck_assert_str_eq(api_point_kind_name(API_POINT_SPLIT), "split");
    ck_assert_str_eq(api_codec_name(API_CODEC_RANS), "rans");
    ck_assert_int_eq(api_point_kind_parse("Split"), -1);
    ck_assert_int_eq(api_codec_parse(""), -1);
    ck_assert_str_eq(api_codec_name((enum api_codec)77), "unknown");
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("status");
    tcase_add_loop_test(cases, every_status_is_described, 0, API_STATUS_COUNT);
    tcase_add_test(cases, http_codes_are_the_documented_ones);
    tcase_add_test(cases, a_stray_value_reads_as_internal);
    tcase_add_test(cases, fail_fills_and_returns);
    tcase_add_loop_test(cases, fail_cuts_between_characters, 0, 4);
    tcase_add_test(cases, point_names_go_both_ways);
    Suite *suite = suite_create("status");
    suite_add_tcase(suite, cases);
    return suite;
}
