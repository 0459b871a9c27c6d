/* A real cleaved with a token file: who gets in, and how far. */
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "running_server.h"
#include "tests/run_suite.h"

#define CAMERA "Authorization: Bearer camera-0123456789"
#define SCRAPER "Authorization: Bearer scraper-0123456789"
#define STRANGER "Authorization: Bearer stranger-0123456789"

static struct running_server server;
static char tokens[] = "/tmp/tokens-XXXXXX";

static void write_tokens(const char *text)
{
    FILE *file = fopen(tokens, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int file = mkstemp(tokens);
    ck_assert_int_ge(file, 0);
    close(file);
    write_tokens("camera infer camera-0123456789\n"
                 "prometheus metrics scraper-0123456789\n");
    server_start(&server, (const char *const[]){"--tokens", tokens, NULL});
}

static void end(void)
{
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    unlink(tokens);
    curl_global_cleanup();
}

/* HTTP code; the challenge goes into `challenge`, "" if there is none. */
static long ask(const char *method, const char *path, const char *header,
                char *challenge, size_t capacity)
{
    struct exchange exchange;
    exchange_send(NULL, &server, method, path, header,
                  strcmp(method, "POST") == 0 ? "x" : NULL, 1, &exchange);
    challenge[0] = '\0';
    if (exchange_header(&exchange, "WWW-Authenticate", NULL, 0))
        exchange_header(&exchange, "WWW-Authenticate", challenge, capacity);
    bool has_body = strcmp(method, "HEAD") != 0;
    if (has_body && exchange.code == 401)
        exchange_assert_problem(&exchange, API_UNAUTHENTICATED);
    if (has_body && exchange.code == 403)
        exchange_assert_problem(&exchange, API_FORBIDDEN);
    exchange_free(&exchange);
    return exchange.code;
}

START_TEST(every_route_has_its_scope)
{
    static const struct {
        const char *method, *path;
        int nobody, camera, scraper; /* HTTP codes */
    } cases[] = {
        {"GET", "/", 200, 200, 200},
        {"GET", "/healthz", 200, 200, 200},
        {"HEAD", "/readyz", 200, 200, 200},
        {"GET", "/openapi.yaml", 200, 200, 200},
        {"GET", "/nowhere", 404, 404, 404},
        {"GET", "/metrics", 401, 403, 200},
        {"HEAD", "/metrics", 401, 403, 200},
        {"GET", "/debug/slow", 401, 403, 403},
        {"GET", "/v2", 200, 200, 200},
        {"GET", "/v2/health/ready", 200, 200, 200},
        {"GET", "/v2/models/tiny", 401, 200, 403},
        {"POST", "/v2/models/tiny/infer", 401, 400, 403},
        {"POST", "/v2/repository/index", 401, 400, 403},
        {"POST", "/v2/repository/models/tiny/load", 401, 403, 403},
        {"POST", "/v2/repository/models/tiny/unload", 401, 403, 403},
        {"GET", "/v1/models", 401, 200, 403},
        {"GET", "/v1/models/none", 401, 404, 403},
        {"GET", "/v1/models/tiny", 401, 200, 403},
        {"GET", "/v1/models/tiny/labels", 401, 200, 403},
        {"GET", "/v1/models/tiny/head", 401, 200, 403},
        {"POST", "/v1/models/tiny/classify", 401, 415, 403},
        {"POST", "/v1/models/tiny/tail", 401, 415, 403},
        {"POST", "/v1/classify", 401, 415, 403},
        {"POST", "/v1/probe", 401, 200, 403},
        {"GET", "/v1/probe", 401, 200, 403},
    };
    char challenge[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *method = cases[i].method, *path = cases[i].path;
        const long codes[] = {
            ask(method, path, NULL, challenge, sizeof challenge),
            ask(method, path, CAMERA, challenge, sizeof challenge),
            ask(method, path, SCRAPER, challenge, sizeof challenge)};
        ck_assert_msg(
            codes[0] == cases[i].nobody && codes[1] == cases[i].camera &&
                codes[2] == cases[i].scraper,
            "%s %s: %ld %ld %ld", method, path, codes[0], codes[1], codes[2]);
    }
}
END_TEST

START_TEST(refusals_carry_a_challenge)
{
    char challenge[200];
    ck_assert_int_eq(ask("GET", "/metrics", NULL, challenge, sizeof challenge),
                     401);
    ck_assert_str_eq(challenge, "Bearer realm=\"cleave\"");
    ck_assert_int_eq(
        ask("GET", "/metrics", STRANGER, challenge, sizeof challenge), 401);
    ck_assert_str_eq(challenge,
                     "Bearer realm=\"cleave\", error=\"invalid_token\"");
    ck_assert_int_eq(
        ask("GET", "/metrics", CAMERA, challenge, sizeof challenge), 403);
    ck_assert_str_eq(challenge, "Bearer realm=\"cleave\", "
                                "error=\"insufficient_scope\", "
                                "scope=\"metrics\"");
}
END_TEST

START_TEST(tokens_are_replaced_while_serving)
{
    char challenge[200];
    write_tokens("nobody infer\n");
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    free(server_log_wait(&server, "\"reload_failed\"", 1));
    ck_assert_int_eq(
        ask("GET", "/v1/models", CAMERA, challenge, sizeof challenge), 200);
    write_tokens("stranger infer stranger-0123456789\n");
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    free(server_log_wait(&server, "\"reloaded\"", 1));
    ck_assert_int_eq(
        ask("GET", "/v1/models", CAMERA, challenge, sizeof challenge), 401);
    ck_assert_int_eq(
        ask("GET", "/v1/models", STRANGER, challenge, sizeof challenge), 200);
    char *log = server_log_wait(&server, "\"client\":\"stranger\"", 1);
    ck_assert_ptr_null(strstr(log, "0123456789"));
    free(log);
}
END_TEST

START_TEST(a_bad_token_file_ends_the_start)
{
    char output[1000];
    const char *const arguments[] = {"--model",
                                     TINY_MODEL,
                                     "--listen",
                                     "127.0.0.1:0",
                                     "--tokens",
                                     PHOTO,
                                     _i ? "--check-config" : NULL,
                                     NULL};
    ck_assert_int_eq(server_run(arguments, NULL, output, sizeof output), 2);
    ck_assert_ptr_nonnull(strstr(output, "line 1"));
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("access");
    tcase_add_unchecked_fixture(tests, start, end);
    tcase_add_test(tests, every_route_has_its_scope);
    tcase_add_test(tests, refusals_carry_a_challenge);
    tcase_add_test(tests, tokens_are_replaced_while_serving);
    tcase_add_loop_test(tests, a_bad_token_file_ends_the_start, 0, 2);
    Suite *suite = suite_create("server access");
    suite_add_tcase(suite, tests);
    return suite;
}
