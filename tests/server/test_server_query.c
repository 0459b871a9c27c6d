/* Tests of server/request.c: query parameters as clients may write them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/app.h"
#include "server/request.h"
#include "tests/run_suite.h"

static const struct srv_config config = {.max_body_bytes = 100};
static struct srv_app app = {.config = &config};

START_TEST(targets_are_split)
{
    static const char *const cases[][3] = {
        {"/a", "/a", ""},         {"/a?", "/a", ""}, {"/a?b=c", "/a", "b=c"},
        {"/a?b?c", "/a", "b?c"},  {"", "", ""},      {"?", "", ""},
        {"/a%3Fb", "/a%3Fb", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct srv_request *request = srv_request_open(&app, cases[i][0]);
        ck_assert_str_eq(request->path, cases[i][1]);
        ck_assert_str_eq(request->query, cases[i][2]);
        srv_request_close(&request);
        ck_assert_ptr_null(request);
    }
}
END_TEST

START_TEST(parameters_are_decoded)
{
    static const struct {
        const char *target;
        int found;
        const char *value;
    } cases[] = {
        {"/?top=5", 1, "5"},
        {"/?a=1&top=5&b=2", 1, "5"},
        {"/?top=5&top=6", 1, "5"},
        {"/?top", 1, ""},
        {"/?top=", 1, ""},
        {"/?top=a=b", 1, "a=b"},
        {"/?top=%35", 1, "5"},
        {"/?top=%c3%A9", 1, "\xC3\xA9"},
        {"/?top=a+b", 1, "a b"},
        {"/?&&top=1", 1, "1"},
        {"/", 0, NULL},
        {"/?atop=1", 0, NULL},
        {"/?topa=1", 0, NULL},
        {"/?a=top", 0, NULL},
        {"/?top=%", -1, NULL},
        {"/?top=%3", -1, NULL},
        {"/?top=%3&x=1", -1, NULL},
        {"/?top=%zz", -1, NULL},
        {"/?top=%00", -1, NULL},
        {"/?top=1234567", 1, "1234567"},
        {"/?top=12345678", -1, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct srv_request *request = srv_request_open(&app, cases[i].target);
        char value[8] = "none";
        int found = srv_request_query(request, "top", value, sizeof value);
        ck_assert_msg(found == cases[i].found, "%s gave %d", cases[i].target,
                      found);
        if (found == 1)
            ck_assert_str_eq(value, cases[i].value);
        srv_request_close(&request);
    }
}
END_TEST

START_TEST(numbers_are_whole_and_in_range)
{
    static const struct {
        const char *target;
        enum api_status status;
        uint32_t number;
    } cases[] = {
        {"/", API_OK, 5},
        {"/?top=1", API_OK, 1},
        {"/?top=100", API_OK, 100},
        {"/?top=007", API_OK, 7},
        {"/?top=0", API_BAD_REQUEST, 0},
        {"/?top=101", API_BAD_REQUEST, 0},
        {"/?top=-1", API_BAD_REQUEST, 0},
        {"/?top=+1", API_BAD_REQUEST, 0},
        {"/?top=1.0", API_BAD_REQUEST, 0},
        {"/?top=0x10", API_BAD_REQUEST, 0},
        {"/?top=", API_BAD_REQUEST, 0},
        {"/?top=4294967297", API_BAD_REQUEST, 0},
        {"/?top=99999999999999999999999999", API_BAD_REQUEST, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct srv_request *request = srv_request_open(&app, cases[i].target);
        uint32_t number = 77;
        struct api_error error = {API_OK, ""};
        enum api_status status =
            srv_request_number(request, "top", 1, 100, 5, &number, &error);
        ck_assert_msg(status == cases[i].status, "%s gave %s", cases[i].target,
                      api_status_name(status));
        ck_assert_uint_eq(number, status == API_OK ? cases[i].number : 77);
        ck_assert_int_eq(status != API_OK, strstr(error.text, "top") != NULL);
        srv_request_close(&request);
    }
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("query");
    tcase_add_test(cases, targets_are_split);
    tcase_add_test(cases, parameters_are_decoded);
    tcase_add_test(cases, numbers_are_whole_and_in_range);
    Suite *suite = suite_create("server query");
    suite_add_tcase(suite, cases);
    return suite;
}
