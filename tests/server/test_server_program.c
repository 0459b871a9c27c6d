/* cleaved as a program: options, exit statuses, messages, sources. */
#include <check.h>
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "running_server.h"
#include "tests/run_suite.h"

static char output[8000];

static int run(const char *const *arguments, const char *environment)
{
    return server_run(arguments, environment, output, sizeof output);
}

START_TEST(version_and_help_end_well)
{
    ck_assert_int_eq(run((const char *const[]){"--version", NULL}, NULL), 0);
    ck_assert_int_eq(strncmp(output, "cleaved ", 8), 0);
    ck_assert_int_eq(run((const char *const[]){"--help", NULL}, NULL), 0);
    static const char *const named[] = {
        "--listen",   "--model",       "--workers",      "--queue",
        "--drain-ms", "--deadline-ms", "--http-threads", "--check-config",
        "CLEAVE_CPU", "SIGTERM",       "--healthcheck"};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        ck_assert_msg(strstr(output, named[i]) != NULL, "no %s", named[i]);
}
END_TEST

START_TEST(misuse_ends_with_2)
{
    static const char *const wrong[][3] = {
        {"--nonsense", NULL},
        {"--listen", "nowhere"},
        {"--queue", "0"},
        {"--check-config", "--workers"},
        {"--config", "/no/such/file"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(run(wrong[i], NULL), 2);
        ck_assert_ptr_nonnull(strstr(output, "cleaved: "));
        ck_assert_ptr_nonnull(strstr(output, "--help"));
    }
    ck_assert_int_eq(
        run((const char *const[]){"--check-config", NULL}, "CLEAVE_QUEUE=x"),
        2);
    ck_assert_ptr_nonnull(strstr(output, "environment: queue"));
}
END_TEST

START_TEST(check_config_opens_the_bundle)
{
    ck_assert_int_eq(
        run((const char *const[]){"--check-config", "--model", TINY_MODEL,
                                  "--queue", "9", NULL},
            "CLEAVE_WORKERS=3"),
        0);
    ck_assert_ptr_nonnull(strstr(output, "\"queue\": 9"));
    ck_assert_ptr_nonnull(strstr(output, "\"workers\": 3"));
    ck_assert_ptr_nonnull(strstr(output, TINY_MODEL));
    ck_assert_int_eq(
        run((const char *const[]){"--check-config", "--model", PHOTO, NULL},
            NULL),
        1);
    ck_assert_ptr_nonnull(strstr(output, "cleaved: "));
}
END_TEST

START_TEST(a_broken_start_ends_with_1)
{
    ck_assert_int_eq(run((const char *const[]){"--model", "/no/such/bundle",
                                               "--listen", "127.0.0.1:0", NULL},
                         NULL),
                     1);
    ck_assert_ptr_nonnull(strstr(output, "/no/such/bundle"));
    ck_assert_int_eq(
        run((const char *const[]){"--model", TINY_MODEL, "--listen",
                                  "127.0.0.1:0", "--port-file",
                                  "/no/such/folder/port", NULL},
            NULL),
        1);
    ck_assert_ptr_nonnull(strstr(output, "/no/such/folder/port"));
    ck_assert_int_eq(
        run((const char *const[]){"--model", TINY_MODEL, "--listen",
                                  "no-such-host.invalid:0", NULL},
            NULL),
        1);
    ck_assert_ptr_nonnull(strstr(output, "no-such-host.invalid"));
}
END_TEST

START_TEST(a_taken_port_is_named)
{
    struct running_server server;
    char address[40];
    server_start(&server, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%u", server.port);
    ck_assert_int_eq(run((const char *const[]){"--model", TINY_MODEL,
                                               "--listen", address, NULL},
                         NULL),
                     1);
    ck_assert_ptr_nonnull(strstr(output, address));
    ck_assert_ptr_nonnull(strstr(output, "in use"));
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(healthcheck_asks_the_running_server)
{
    struct running_server server;
    char address[40];
    server_start(&server, NULL);
    const char *const check[] = {"--healthcheck", "--listen", address, NULL};
    snprintf(address, sizeof address, "127.0.0.1:%u", server.port);
    ck_assert_msg(run(check, NULL) == 0, "%s", output);
    /* The address that it was told to listen on, as containers have it. */
    snprintf(address, sizeof address, "0.0.0.0:%u", server.port);
    ck_assert_msg(run(check, NULL) == 0, "%s", output);
    /* One that speaks TLS would not take this for an answer. */
    ck_assert_int_eq(
        run((const char *const[]){"--healthcheck", "--listen", address,
                                  "--tls-cert", "x", "--tls-key", "x", NULL},
            NULL),
        1);
    ck_assert_ptr_nonnull(strstr(output, "no answer"));
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    ck_assert_int_eq(run(check, NULL), 1);
    ck_assert_ptr_nonnull(strstr(output, address));
    ck_assert_int_eq(run((const char *const[]){"--healthcheck", "--listen",
                                               "127.0.0.1:0", NULL},
                         NULL),
                     2);
}
END_TEST

START_TEST(other_thread_counts_work)
{
    static const char *const counts[] = {"1", "2", "5"};
    struct running_server server;
    server_start(&server, (const char *const[]){
                              "--http-threads", counts[_i], "--workers",
                              counts[_i], "--threads-per-request", counts[_i],
                              "--connections", "16", NULL});
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    for (int i = 0; i < 5; i++) {
        struct exchange exchange;
        exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                      bytes, &exchange);
        ck_assert_int_eq(exchange.code, 200);
        exchange_free(&exchange);
    }
    free(photo);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(ipv6_and_every_address_work)
{
    static const char *const places[] = {"[::1]:0", ":0", "localhost:0"};
    struct running_server server;
    server_start(&server, (const char *const[]){"--listen", places[_i], NULL});
    if (_i == 0)
        snprintf(server.url, sizeof server.url, "http://[::1]:%u", server.port);
    else
        snprintf(server.url, sizeof server.url, "http://localhost:%u",
                 server.port);
    struct exchange exchange;
    exchange_get(&server, "/healthz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

Suite *make_suite(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    atexit(curl_global_cleanup);
    TCase *tests = tcase_create("program");
    tcase_add_test(tests, version_and_help_end_well);
    tcase_add_test(tests, misuse_ends_with_2);
    tcase_add_test(tests, check_config_opens_the_bundle);
    tcase_add_test(tests, a_broken_start_ends_with_1);
    tcase_add_test(tests, a_taken_port_is_named);
    tcase_add_test(tests, healthcheck_asks_the_running_server);
    tcase_add_loop_test(tests, other_thread_counts_work, 0, 3);
    tcase_add_loop_test(tests, ipv6_and_every_address_work, 0, 3);
    Suite *suite = suite_create("server program");
    suite_add_tcase(suite, tests);
    return suite;
}
