/* What a real cleaved lets be seen: traces, sampled logs, slow requests. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "running_server.h"
#include "tests/run_suite.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SAMPLED "traceparent: 00-" TRACE "-00f067aa0ba902b7-01"
#define ADMIN "Authorization: Bearer admin-0123456789"

static struct running_server server;

/* Asks for something that is logged as inference, and gives the traceparent
 * of the answer. */
static void classify(const char *header, char *traceparent, size_t capacity)
{
    struct exchange exchange;
    exchange_send(NULL, &server, "POST", "/v1/classify", header, "not a JPEG",
                  10, &exchange);
    exchange_header(&exchange, "traceparent", traceparent, capacity);
    exchange_free(&exchange);
}

/* How often `text` stands in the log. */
static unsigned count_in_log(const char *text)
{
    size_t bytes;
    unsigned count = 0;
    char *log = file_read(server.log, &bytes);
    for (char *at = strstr(log, text); at; at = strstr(at + 1, text))
        count++;
    free(log);
    return count;
}

START_TEST(a_trace_goes_through)
{
    char answer[100], want[200];
    server_start(&server, NULL);
    classify(SAMPLED, answer, sizeof answer);
    ck_assert_int_eq(strncmp(answer, "00-" TRACE "-", 36), 0);
    ck_assert_str_eq(answer + 52, "-01");
    snprintf(want, sizeof want,
             "\"trace_id\":\"" TRACE "\",\"span_id\":\"%.16s\","
             "\"parent_span_id\":\"00f067aa0ba902b7\"",
             answer + 36);
    free(server_log_wait(&server, want, 1));
    classify("traceparent: 00-" TRACE "-0000000000000000-01", answer,
             sizeof answer);
    ck_assert_ptr_null(strstr(answer, TRACE));
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(a_sample_is_logged_and_what_is_asked_for)
{
    enum { COUNT = 40 };
    static const char line[] = "\"event\":\"request\"";
    char answer[100];
    server_start(&server, (const char *const[]){"--log-sample", "1000000",
                                                "--log-level", "info", NULL});
    for (int i = 0; i < COUNT; i++)
        classify(NULL, answer, sizeof answer);
    classify(SAMPLED, answer, sizeof answer);
    free(server_log_wait(&server, TRACE, 1));
    /* One in a million of forty, and the one that was asked for. */
    ck_assert_uint_le(count_in_log(line), 3);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

static void write_tokens(const char *path)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("root admin admin-0123456789\nothers infer infer-0123456789\n", file);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(slow_requests_are_listed_for_admins)
{
    char tokens[] = "/tmp/tokens-XXXXXX";
    int file = mkstemp(tokens);
    ck_assert_int_ge(file, 0);
    close(file);
    write_tokens(tokens);
    /* Everything is slow, and nothing else is printed. */
    server_start(&server,
                 (const char *const[]){"--slow-ms", "0", "--tokens", tokens,
                                       "--log-level", "error", NULL});
    enum { COUNT = 70 };
    size_t bytes;
    struct exchange exchange;
    char *photo = file_read(PHOTO, &bytes), path[64];
    for (int i = 0; i < COUNT; i++) {
        snprintf(path, sizeof path, "/v1/models/tiny/classify?top=%d", i + 1);
        exchange_send(NULL, &server, "POST", path,
                      i % 2 ? ADMIN : "Authorization: Bearer infer-0123456789",
                      photo, bytes, &exchange);
        exchange_free(&exchange);
    }
    free(photo);
    exchange_send(NULL, &server, "GET", "/debug/slow", ADMIN, NULL, 0,
                  &exchange);
    ck_assert_int_eq(exchange.code, 200);
    json_t *root = json_loadb(exchange.body, exchange.body_bytes,
                              JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(root);
    const json_t *requests = json_object_get(root, "requests");
    ck_assert_uint_eq(json_array_size(requests), 64); /* SRV_SLOW_KEPT */
    ck_assert_int_eq(json_integer_value(json_object_get(root, "slow_ms")), 0);
    /* The newest first: an admin who may not classify, then somebody who may,
     * but sent no type. */
    const json_t *newest = json_array_get(requests, 0);
    ck_assert_int_eq(json_integer_value(json_object_get(newest, "status")),
                     403);
    newest = json_array_get(requests, 1);
    ck_assert_int_eq(json_integer_value(json_object_get(newest, "status")),
                     415);
    ck_assert_str_eq(json_string_value(json_object_get(newest, "client")),
                     "others");
    ck_assert_ptr_nonnull(json_object_get(newest, "duration_ms"));
    ck_assert_ptr_nonnull(json_object_get(newest, "trace_id"));
    json_decref(root);
    exchange_free(&exchange);
    ck_assert_uint_eq(count_in_log("\"event\":\"request\""), 0);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    unlink(tokens);
}
END_TEST

static size_t discard(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    (void)context;
    return size * count;
}

START_TEST(stages_are_listed)
{
    char tokens[] = "/tmp/tokens-XXXXXX";
    int file = mkstemp(tokens);
    ck_assert_int_ge(file, 0);
    ck_assert_int_gt(write(file, "all admin,infer admin-0123456789\n", 33), 0);
    close(file);
    server_start(&server, (const char *const[]){"--slow-ms", "0", "--tokens",
                                                tokens, NULL});
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes), url[128];
    CURL *curl = curl_easy_init();
    struct curl_slist *list = curl_slist_append(NULL, ADMIN);
    list = curl_slist_append(list, JPEG_TYPE);
    list = curl_slist_append(list, "Expect:");
    snprintf(url, sizeof url, "%s/v1/classify", server.url);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, photo);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    ck_assert_int_eq(curl_easy_perform(curl), CURLE_OK);
    curl_easy_cleanup(curl);
    curl_slist_free_all(list);
    free(photo);
    struct exchange exchange;
    exchange_send(NULL, &server, "GET", "/debug/slow", ADMIN, NULL, 0,
                  &exchange);
    static const char *const members[] = {
        "\"model\":\"tiny\"", "\"point\":\"offload\"", "\"receive_ms\":",
        "\"queue_ms\":",      "\"decode_ms\":",        "\"infer_ms\":"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        ck_assert_msg(strstr(exchange.body, members[i]) != NULL, "no %s in %s",
                      members[i], exchange.body);
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    unlink(tokens);
}
END_TEST

START_TEST(without_tokens_nobody_is_an_admin)
{
    struct exchange exchange;
    server_start(&server, NULL);
    exchange_get(&server, "/debug/slow", &exchange);
    exchange_assert_problem(&exchange, API_FORBIDDEN);
    exchange_free(&exchange);
    exchange_send(NULL, &server, "GET", "/debug/slow", ADMIN, NULL, 0,
                  &exchange);
    exchange_assert_problem(&exchange, API_FORBIDDEN);
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

Suite *make_suite(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    atexit(curl_global_cleanup);
    TCase *tests = tcase_create("sight");
    tcase_add_test(tests, a_trace_goes_through);
    tcase_add_test(tests, a_sample_is_logged_and_what_is_asked_for);
    tcase_add_test(tests, slow_requests_are_listed_for_admins);
    tcase_add_test(tests, stages_are_listed);
    tcase_add_test(tests, without_tokens_nobody_is_an_admin);
    Suite *suite = suite_create("server sight");
    suite_add_tcase(suite, tests);
    return suite;
}
