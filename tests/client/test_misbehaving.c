/* libcleave against servers that misbehave: an answer or a clear error, in
 * bounded time, whatever comes back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/json.h"
#include "client/client.h"
#include "client/clock.h"
#include "fake_server.h"
#include "scratch.h"
#include "tests/run_suite.h"

#define HEAD "/v1/models/tiny/head"
#define LIST "/v1/models"
#define CLASSIFY "/v1/models/tiny/classify"
#define TAIL "/v1/models/tiny/tail"
#define PROBE "/v1/probe"

/* Generous for sanitizers on a busy machine: a hang takes far longer. */
#define BOUND_MS 20000
#define REQUEST_TIMEOUT_MS 700

static char directory[SCRATCH_PATH_BYTES];
static struct fake_server server;
static struct cleave *handle;
static struct cleave_error error;
static struct cleave_result result;
static char *head, *models;
static size_t head_bytes;
static double start_ms;

static const char answer[] =
    "{\"model\":\"tiny\",\"version\":\"1\",\"point\":\"offload\",\"top\":["
    "{\"index\":1,\"label\":\"one\",\"probability\":0.75},"
    "{\"index\":0,\"label\":\"zero\",\"probability\":0.25}]}";

static void set_up(void)
{
    scratch_make(directory);
    head = scratch_head(1, &head_bytes);
    models = scratch_models(0);
    start_ms = cli_now_ms();
}

static void tear_down(void)
{
    ck_assert_double_lt(cli_now_ms() - start_ms, BOUND_MS);
    cleave_close(&handle);
    free(head);
    free(models);
    scratch_remove(directory);
}

static struct cleave_options options(void)
{
    struct cleave_options made = {.server_url = server.url,
                                  .cache_dir = directory,
                                  .request_timeout_ms = REQUEST_TIMEOUT_MS};
    return made;
}

/* Starts a server with these routes before the usual, well-behaved ones. */
static void start(const struct fake_route *routes, size_t count)
{
    struct fake_route all[FAKE_ROUTES_MOST];
    const struct fake_route usual[] = {
        {.path = HEAD,
         .code = 200,
         .headers = "ETag: \"a\"\r\n",
         .body = head,
         .body_bytes = head_bytes},
        {.path = CLASSIFY,
         .code = 200,
         .headers = "Server-Timing: infer;dur=0.05\r\n",
         .body = answer,
         .body_bytes = strlen(answer)},
        {.path = TAIL,
         .code = 200,
         .body = answer,
         .body_bytes = strlen(answer)},
        {.path = PROBE, .code = 200, .body = "", .body_bytes = 0},
        {.path = LIST,
         .code = 200,
         .body = models,
         .body_bytes = strlen(models)},
    };
    if (count > 0)
        memcpy(all, routes, count * sizeof *all);
    memcpy(all + count, usual, sizeof usual);
    fake_start(&server, all, count + sizeof usual / sizeof usual[0]);
}

static void open_handle(void)
{
    struct cleave_options made = options();
    ck_assert_msg(cleave_open(&made, &handle, &error) == CLEAVE_OK, "%s",
                  error.text);
    ck_assert_str_eq(cleave_notice(handle), "");
}

static enum cleave_status classify(const char *point, unsigned deadline_ms)
{
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    memset(&error, 0, sizeof error);
    enum cleave_status status = cleave_classify(handle, jpeg, bytes, point,
                                                deadline_ms, &result, &error);
    if (status != CLEAVE_OK)
        ck_assert_uint_gt(strlen(error.text), 5);
    return status;
}

static void assert_local(const char *reason)
{
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    ck_assert_str_eq(result.point, "local");
    ck_assert_uint_eq(result.bytes_sent, 0);
    ck_assert_double_gt(result.device_ms, 0);
    ck_assert_uint_gt(result.top_count, 0);
    ck_assert_msg(strstr(result.reason, reason) != NULL,
                  "the reason is \"%s\", not \"%s\"", result.reason, reason);
}

static void assert_served(enum cleave_via via)
{
    ck_assert_msg(result.via == via, "%s: %s", result.point, result.reason);
    ck_assert_uint_gt(result.bytes_sent, 0);
    ck_assert_uint_eq(result.top_count, 2);
    ck_assert_uint_eq(result.top[0].index, 1);
    ck_assert_str_eq(result.top[0].label, "one");
}

START_TEST(test_well_behaved)
{
    start(NULL, 0);
    open_handle();
    ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
    assert_served(CLEAVE_VIA_OFFLOAD);
    ck_assert_str_eq(result.reason, "asked for");
    ck_assert_double_eq_tol(result.server_ms, 0.05, 1e-9);
    ck_assert_double_eq(result.device_ms, 0);
    ck_assert_int_eq(classify("split", 0), CLEAVE_OK);
    assert_served(CLEAVE_VIA_SPLIT);
    ck_assert_double_gt(result.device_ms, 0);
    ck_assert_int_eq(classify("local", 0), CLEAVE_OK);
    assert_local("asked for");
    ck_assert_int_eq(classify(NULL, 0), CLEAVE_OK);
    ck_assert_int_eq(classify("auto", 5000), CLEAVE_OK);
    ck_assert_int_eq(classify("no-such-point", 0), CLEAVE_ERROR_USAGE);
    fake_stop(&server);
}
END_TEST

/* What may come instead of an answer. `reason` NULL: an error about the
 * picture instead of a local answer. */
static const struct {
    const char *what;
    enum fake_conduct conduct;
    int code;
    const char *headers, *body, *reason;
} answers[] = {
    {"closes", FAKE_CLOSE, 200, NULL, "", "server unreachable"},
    {"resets", FAKE_RESET, 200, NULL, answer, "server unreachable"},
    {"cuts the body", FAKE_CUT, 200, NULL, answer, "server unreachable"},
    {"hangs", FAKE_HANG, 200, NULL, "", "server too slow"},
    {"drips", FAKE_DRIP, 200, "X-Long: 0123456789012345678901234567\r\n",
     answer, "server too slow"},
    {"never ends", FAKE_ENDLESS, 200, NULL, "", "larger than"},
    {"speaks no HTTP", FAKE_GARBAGE, 200, NULL, "", "server unreachable"},
    {"sends nothing", FAKE_REPLY, 200, NULL, "", "makes no sense"},
    {"sends HTML", FAKE_REPLY, 200, NULL, "<html></html>", "makes no sense"},
    {"sends half a document", FAKE_REPLY, 200, NULL, "{\"model\":\"tiny\"",
     "makes no sense"},
    {"sends another document", FAKE_REPLY, 200, NULL, "{\"a\":1}",
     "makes no sense"},
    {"sends wrong types", FAKE_REPLY, 200, NULL,
     "{\"model\":1,\"version\":[],\"point\":{},\"top\":3}", "makes no sense"},
    {"sends 200 as 204", FAKE_REPLY, 204, NULL, "", "HTTP 204"},
    {"redirects", FAKE_REPLY, 302, "Location: http://127.0.0.1:1/\r\n", "",
     "HTTP 302"},
    {"fails", FAKE_REPLY, 500, NULL, "oops", "HTTP 500"},
    {"is a proxy without a server", FAKE_REPLY, 502, NULL, "bad gateway",
     "server unreachable"},
    {"is busy", FAKE_REPLY, 503, NULL, "", "server overloaded"},
    {"is busy for long", FAKE_REPLY, 503, "Retry-After: 99999999999\r\n", "",
     "server overloaded"},
    {"is busy until a date", FAKE_REPLY, 503,
     "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n", "", "server overloaded"},
    {"misses its deadline", FAKE_REPLY, 504, NULL, "", "server too slow"},
    {"forbids", FAKE_REPLY, 403, NULL, "", "HTTP 403"},
    {"finds nothing", FAKE_REPLY, 404, NULL, "", "HTTP 404"},
    {"loops 409", FAKE_REPLY, 409, NULL, "", "another model version"},
    {"loops 409 with a lie", FAKE_REPLY, 409, NULL,
     "{\"type\":\"x\",\"model\":{\"name\":3}}", "another model version"},
    {"claims too large", FAKE_REPLY, 413, NULL, "", "HTTP 413"},
};

/* Each as the answer to offload, split and auto; each still answered. */
START_TEST(test_every_picture_is_answered)
{
    static const char *const points[] = {"offload", "split", "auto"};
    const char *point = points[_i % 3];
    size_t row = (size_t)_i / 3;
    const struct fake_route bad[] = {
        {.path = CLASSIFY,
         .conduct = answers[row].conduct,
         .code = answers[row].code,
         .headers = answers[row].headers,
         .body = answers[row].body,
         .body_bytes = strlen(answers[row].body)},
        {.path = TAIL,
         .conduct = answers[row].conduct,
         .code = answers[row].code,
         .headers = answers[row].headers,
         .body = answers[row].body,
         .body_bytes = strlen(answers[row].body)},
    };
    start(bad, 2);
    open_handle();
    for (int picture = 0; picture < 3; picture++) {
        ck_assert_msg(classify(point, 0) == CLEAVE_OK, "%s: %s",
                      answers[row].what, error.text);
        /* auto may prefer the device anyway */
        if (strcmp(point, "auto") != 0 || result.via != CLEAVE_VIA_LOCAL)
            assert_local(answers[row].reason);
    }
    /* The breaker: three pictures do not mean three futile requests each. */
    ck_assert_uint_le(server.hits[0] + server.hits[1], 6);
    fake_stop(&server);
}
END_TEST

START_TEST(test_refused_pictures_are_errors)
{
    static const int codes[] = {422, 415};
    const struct fake_route bad[] = {
        {.path = CLASSIFY, .code = codes[_i], .body = "no", .body_bytes = 2}};
    start(bad, 1);
    open_handle();
    ck_assert_int_eq(classify("offload", 0), CLEAVE_ERROR_PICTURE);
    ck_assert_int_eq(classify("offload", 0), CLEAVE_ERROR_PICTURE);
    /* It did answer, so it is not left alone. */
    ck_assert_uint_eq(server.hits[0], 2);
    fake_stop(&server);
}
END_TEST

START_TEST(test_problem_text_reaches_the_user)
{
    char *problem =
        api_problem_write(API_UNPROCESSABLE, "a truncated JPEG", "id", NULL);
    ck_assert_ptr_nonnull(problem);
    const struct fake_route bad[] = {{.path = CLASSIFY,
                                      .code = 422,
                                      .body = problem,
                                      .body_bytes = strlen(problem)}};
    start(bad, 1);
    open_handle();
    ck_assert_int_eq(classify("offload", 0), CLEAVE_ERROR_PICTURE);
    ck_assert_ptr_nonnull(strstr(error.text, "a truncated JPEG"));
    fake_stop(&server);
    free(problem);
}
END_TEST

START_TEST(test_broken_pictures)
{
    static const char *const points[] = {"split", "local", "auto"};
    start(NULL, 0);
    open_handle();
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(
            cleave_classify(handle, "junk", 4, points[i], 0, &result, &error),
            CLEAVE_ERROR_PICTURE);
        ck_assert_int_eq(
            cleave_classify(handle, jpeg, 0, points[i], 0, &result, &error),
            CLEAVE_ERROR_PICTURE);
        ck_assert_int_eq(cleave_classify(handle, jpeg, 17u << 20, points[i], 0,
                                         &result, &error),
                         CLEAVE_ERROR_PICTURE);
    }
    fake_stop(&server);
}
END_TEST

START_TEST(test_busy_for_a_moment)
{
    const struct fake_route bad[] = {
        {.path = CLASSIFY, .code = 503, .body = "", .most = 1}};
    start(bad, 1);
    open_handle();
    ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
    assert_served(CLEAVE_VIA_OFFLOAD);
    fake_stop(&server);
}
END_TEST

START_TEST(test_deadline_is_for_the_server)
{
    const struct fake_route bad[] = {{.path = CLASSIFY, .conduct = FAKE_HANG}};
    start(bad, 1);
    open_handle();
    ck_assert_int_eq(classify("offload", 200), CLEAVE_OK);
    assert_local("server too slow");
    cleave_close(&handle);

    struct cleave_options made = options();
    made.no_bundle = 1;
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_OK);
    ck_assert_int_eq(classify("offload", 200), CLEAVE_ERROR_DEADLINE);
    ck_assert_int_eq(classify("offload", 0), CLEAVE_ERROR_UNREACHABLE);
    ck_assert_int_eq(classify("split", 0), CLEAVE_ERROR_BUNDLE);
    ck_assert_int_eq(classify("local", 0), CLEAVE_ERROR_BUNDLE);
    fake_stop(&server);
}
END_TEST

/* A device that alone would be late waits for the server to the deadline: the
 * answer here comes after half a second. */
START_TEST(test_the_server_has_the_time_that_the_device_cannot_use)
{
    const struct fake_route bad[] = {{.path = CLASSIFY,
                                      .conduct = FAKE_LATE,
                                      .code = 200,
                                      .body = answer,
                                      .body_bytes = strlen(answer)}};
    start(bad, 1);
    struct cleave_options made = options();
    made.request_timeout_ms = 5000;
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_OK);
    handle->decider.device.point_ms[cli_client_local_point(handle)] =
        (struct cli_estimate){.mean = 5000, .samples = 100};
    ck_assert_int_eq(classify("offload", 950), CLEAVE_OK);
    assert_served(CLEAVE_VIA_OFFLOAD);
    fake_stop(&server);
}
END_TEST

/* The link has become so slow that a probe takes far longer than the round
 * trips of before: the server is found again all the same. */
START_TEST(test_a_server_that_has_become_slow_is_found_again)
{
    const struct fake_route bad[] = {
        {.path = CLASSIFY, .conduct = FAKE_CLOSE, .most = 1},
        {.path = PROBE, .conduct = FAKE_LATE, .code = 200, .body = ""}};
    start(bad, 2);
    open_handle();
    ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
    assert_local("server unreachable");
    int pictures = 0;
    do {
        cli_sleep_ms(700);
        double before_ms = cli_now_ms();
        ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
        /* No picture waits for such a probe. */
        if (result.via == CLEAVE_VIA_LOCAL)
            ck_assert_double_lt(cli_now_ms() - before_ms, 450);
    } while (result.via == CLEAVE_VIA_LOCAL && ++pictures < 12);
    assert_served(CLEAVE_VIA_OFFLOAD);
    fake_stop(&server);
}
END_TEST

/* Closing does not wait for what is under way beside the pictures. */
START_TEST(test_closing_calls_a_probe_off)
{
    const struct fake_route bad[] = {
        {.path = CLASSIFY, .conduct = FAKE_CLOSE, .most = 1},
        {.path = PROBE, .conduct = FAKE_HANG}};
    start(bad, 2);
    open_handle();
    ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
    assert_local("server unreachable");
    cli_sleep_ms(300);
    ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
    assert_local("server too slow");
    ck_assert_uint_eq(server.hits[1], 1);
    double before_ms = cli_now_ms();
    cleave_close(&handle);
    ck_assert_double_lt(cli_now_ms() - before_ms, 300);
    fake_stop(&server);
}
END_TEST

START_TEST(test_server_dies_between_pictures)
{
    start(NULL, 0);
    open_handle();
    ck_assert_int_eq(classify("split", 0), CLEAVE_OK);
    assert_served(CLEAVE_VIA_SPLIT);
    fake_stop(&server);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
        assert_local("server unreachable: connection refused");
        ck_assert_int_eq(classify("auto", 0), CLEAVE_OK);
        ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    }
    cleave_close(&handle);
    struct cleave_options made = options();
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_OK);
    ck_assert_ptr_nonnull(strstr(cleave_notice(handle), "cached bundle"));
    ck_assert_int_eq(classify("split", 0), CLEAVE_OK);
    assert_local("server unreachable");
}
END_TEST

/* What may come instead of the list of models when a handle is opened. */
static const struct {
    enum fake_conduct conduct;
    int code;
    const char *body;
    enum cleave_status expected;
} lists[] = {
    {FAKE_CLOSE, 200, "", CLEAVE_ERROR_UNREACHABLE},
    {FAKE_HANG, 200, "", CLEAVE_ERROR_UNREACHABLE},
    {FAKE_DRIP, 200, "{}", CLEAVE_ERROR_UNREACHABLE},
    {FAKE_ENDLESS, 200, "", CLEAVE_ERROR_SERVER},
    {FAKE_GARBAGE, 200, "", CLEAVE_ERROR_UNREACHABLE},
    {FAKE_REPLY, 200, "{\"models\":[]}", CLEAVE_ERROR_SERVER},
    {FAKE_REPLY, 200, "{\"models\":[{\"name\":\"../../etc\"}]}",
     CLEAVE_ERROR_SERVER},
    {FAKE_REPLY, 200, "[", CLEAVE_ERROR_SERVER},
    {FAKE_REPLY, 404, "", CLEAVE_ERROR_SERVER},
    {FAKE_REPLY, 500, "", CLEAVE_ERROR_SERVER},
};

START_TEST(test_opening)
{
    const struct fake_route bad[] = {{.path = LIST,
                                      .conduct = lists[_i].conduct,
                                      .code = lists[_i].code,
                                      .body = lists[_i].body,
                                      .body_bytes = strlen(lists[_i].body)}};
    start(bad, 1);
    struct cleave_options made = options();
    ck_assert_int_eq(cleave_open(&made, &handle, &error), lists[_i].expected);
    ck_assert_ptr_null(handle);
    ck_assert_uint_gt(strlen(error.text), 10);
    /* With a bundle in hand the same server does not matter. */
    made.bundle_path = scratch_bundle();
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_OK);
    ck_assert_uint_gt(strlen(cleave_notice(handle)), 10);
    ck_assert_int_eq(classify("auto", 0), CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    fake_stop(&server);
}
END_TEST

START_TEST(test_wrong_options)
{
    struct cleave_options made = {0};
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_ERROR_USAGE);
    static const char *const urls[] = {"",
                                       "127.0.0.1:8080",
                                       "ftp://x",
                                       "file:///etc/passwd",
                                       "http://",
                                       "http://h/?a",
                                       "http://h/#a",
                                       "http://h /",
                                       "http://h\r\nX: y"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        made = (struct cleave_options){.server_url = urls[i],
                                       .cache_dir = directory};
        ck_assert_int_eq(cleave_open(&made, &handle, &error),
                         CLEAVE_ERROR_USAGE);
    }
    static const char *const names[] = {"",    ".",   "..",    "a/b",
                                        "a b", "a?b", "%2e%2e"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        made = (struct cleave_options){.server_url = "http://127.0.0.1:1",
                                       .model = names[i],
                                       .cache_dir = directory};
        ck_assert_int_eq(cleave_open(&made, &handle, &error),
                         CLEAVE_ERROR_USAGE);
    }
    made = (struct cleave_options){.bundle_path = scratch_bundle(), .top = 101};
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_ERROR_USAGE);
    made = (struct cleave_options){.bundle_path = "/nowhere/x"};
    ck_assert_int_eq(cleave_open(&made, &handle, NULL), CLEAVE_ERROR_BUNDLE);
    ck_assert_ptr_null(handle);
}
END_TEST

START_TEST(test_without_a_server)
{
    struct cleave_options made = {.bundle_path = scratch_bundle(), .top = 3};
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_OK);
    ck_assert_int_eq(classify("auto", 0), CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    ck_assert_uint_eq(result.top_count, 3);
    ck_assert_int_eq(classify("offload", 0), CLEAVE_OK);
    assert_local("no server was named");
    struct cleave_link link;
    ck_assert_int_eq(cleave_probe(handle, 3, &link, &error),
                     CLEAVE_ERROR_USAGE);
}
END_TEST

/* The server tells of another model version than the head it hands out. */
START_TEST(test_mismatch_that_cannot_be_mended)
{
    free(models);
    models = scratch_models(0x1234);
    const struct fake_route bad[] = {
        {.path = TAIL, .code = 409, .body = "{}", .body_bytes = 2}};
    start(bad, 1);
    open_handle();
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(classify("split", 0), CLEAVE_OK);
        assert_local("another model version");
        cli_sleep_ms(300 << i); /* until the breaker lets another one out */
    }
    ck_assert_uint_gt(server.hits[0], 1);
    /* The head was fetched at the start and once more, not for each frame. */
    ck_assert_uint_eq(server.hits[1], 2);
    fake_stop(&server);
}
END_TEST

/* A device without room for the whole network: it never asks for it, splits
 * all the same, and without the server it cannot answer. */
START_TEST(test_heads_only)
{
    free(head);
    head = scratch_head(0, &head_bytes);
    const struct fake_route bad[] = {
        {.path = HEAD "?include=local", .code = 500}};
    start(bad, 1);
    struct cleave_options made = options();
    made.heads_only = 1;
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_OK);
    ck_assert_int_eq(classify("split", 0), CLEAVE_OK);
    assert_served(CLEAVE_VIA_SPLIT);
    ck_assert_int_eq(classify("local", 0), CLEAVE_ERROR_BUNDLE);
    fake_stop(&server);
    ck_assert_int_eq(classify("split", 0), CLEAVE_ERROR_UNREACHABLE);
    ck_assert_int_eq(classify("auto", 0), CLEAVE_ERROR_UNREACHABLE);
    cleave_close(&handle);
    ck_assert_int_eq(cleave_open(&made, &handle, &error),
                     CLEAVE_ERROR_UNREACHABLE);
}
END_TEST

START_TEST(test_points)
{
    start(NULL, 0);
    struct cleave_options made = options();
    made.no_bundle = 1;
    ck_assert_int_eq(cleave_open(&made, &handle, &error), CLEAVE_OK);
    struct cleave_point points[3];
    size_t count = 0;
    ck_assert_int_eq(cleave_points(handle, points, 3, &count, &error),
                     CLEAVE_OK);
    ck_assert_uint_gt(count, 3);
    ck_assert_str_eq(points[0].kind, "offload");
    ck_assert_double_lt(points[0].expected_ms, 0);
    ck_assert_uint_eq(scratch_count(directory, ""), 0); /* fetched nothing */
    cleave_close(&handle);

    open_handle();
    ck_assert_int_eq(classify("auto", 0), CLEAVE_OK);
    ck_assert_int_eq(cleave_points(handle, points, 3, &count, &error),
                     CLEAVE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_gt(points[i].expected_ms, 0);
    fake_stop(&server);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("misbehaving server");
    TCase *group = tcase_create("client");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 120);
    tcase_add_test(group, test_well_behaved);
    tcase_add_loop_test(group, test_every_picture_is_answered, 0,
                        3 * (int)(sizeof answers / sizeof answers[0]));
    tcase_add_loop_test(group, test_refused_pictures_are_errors, 0, 2);
    tcase_add_test(group, test_problem_text_reaches_the_user);
    tcase_add_test(group, test_broken_pictures);
    tcase_add_test(group, test_busy_for_a_moment);
    tcase_add_test(group, test_deadline_is_for_the_server);
    tcase_add_test(group,
                   test_the_server_has_the_time_that_the_device_cannot_use);
    tcase_add_test(group, test_a_server_that_has_become_slow_is_found_again);
    tcase_add_test(group, test_closing_calls_a_probe_off);
    tcase_add_test(group, test_server_dies_between_pictures);
    tcase_add_loop_test(group, test_opening, 0,
                        (int)(sizeof lists / sizeof lists[0]));
    tcase_add_test(group, test_wrong_options);
    tcase_add_test(group, test_without_a_server);
    tcase_add_test(group, test_mismatch_that_cannot_be_mended);
    tcase_add_test(group, test_heads_only);
    tcase_add_test(group, test_points);
    suite_add_tcase(suite, group);
    return suite;
}
