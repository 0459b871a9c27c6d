/* A cleaved that demands TLS and a token, and clients with and without. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cleave.h"
#include "process.h"
#include "tests/run_suite.h"
#include "tests/server/certificate.h"
#include "tests/server/running_server.h"

#define TOKEN "camera-0123456789"

static struct running_server server;
static char folder[] = "/tmp/secure-XXXXXX";
static char certificate[64], key[64], other[64], tokens[64];

static void start(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(certificate, sizeof certificate, "%s/certificate", folder);
    snprintf(key, sizeof key, "%s/key", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    snprintf(tokens, sizeof tokens, "%s/tokens", folder);
    certificate_make(1, certificate, key);
    certificate_make(2, other, NULL);
    FILE *file = fopen(tokens, "w");
    ck_assert_ptr_nonnull(file);
    fputs("camera infer " TOKEN "\nscraper metrics scraper-0123456789\n", file);
    ck_assert_int_eq(fclose(file), 0);
    server_start(&server,
                 (const char *const[]){"--tls-cert", certificate, "--tls-key",
                                       key, "--tokens", tokens, NULL});
    snprintf(server.url, sizeof server.url, "https://localhost:%u",
             server.port);
}

static void end(void)
{
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    const char *const paths[] = {certificate, key, other, tokens};
    for (size_t i = 0; i < 4; i++)
        unlink(paths[i]);
    rmdir(folder);
}

START_TEST(both_are_needed)
{
    const struct {
        const char *token, *ca_file;
        int works;
    } cases[] = {
        {TOKEN, certificate, 1},
        {NULL, certificate, 0},
        {"stranger-0123456789", certificate, 0},
        {"scraper-0123456789", certificate, 0},
        {TOKEN, NULL, 0},
        {TOKEN, other, 0},
    };
    struct cleave_options options = {.server_url = server.url,
                                     .token = cases[_i].token,
                                     .ca_file = cases[_i].ca_file,
                                     .no_bundle = 1};
    struct cleave *handle = NULL;
    struct cleave_error error;
    struct cleave_result result;
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    enum cleave_status status = cleave_open(&options, &handle, &error);
    if (status == CLEAVE_OK)
        status = cleave_classify(handle, photo, bytes, "offload", 0, &result,
                                 &error);
    ck_assert_msg((status == CLEAVE_OK) == cases[_i].works, "%s",
                  status == CLEAVE_OK ? "it works" : error.text);
    cleave_close(&handle);
    free(photo);
}
END_TEST

START_TEST(a_token_cannot_smuggle_a_header)
{
    struct cleave_options options = {.server_url = server.url,
                                     .token = TOKEN "\r\nX-Evil: 1",
                                     .no_bundle = 1};
    struct cleave *handle = NULL;
    struct cleave_error error;
    ck_assert_int_eq(cleave_open(&options, &handle, &error),
                     CLEAVE_ERROR_USAGE);
    ck_assert_ptr_null(strstr(error.text, "camera"));
}
END_TEST

START_TEST(the_command_takes_both_from_the_environment)
{
    struct process process;
    const char *const arguments[] = {CLEAVE_PROGRAM, "points", "--server",
                                     server.url, NULL};
    setenv("CLEAVE_TOKEN", TOKEN, 1);
    setenv("CLEAVE_CA_FILE", certificate, 1);
    process_start(&process, arguments, folder);
    ck_assert_int_eq(process_finish(&process), 0);
    unlink(process.error_path);
    unsetenv("CLEAVE_TOKEN");
    process_start(&process, arguments, folder);
    ck_assert_int_eq(process_finish(&process), 1);
    char text[500];
    process_errors(&process, text, sizeof text);
    ck_assert_msg(strstr(text, "Authorization") != NULL, "%s", text);
    unlink(process.error_path);
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("secure");
    tcase_add_unchecked_fixture(tests, start, end);
    tcase_add_loop_test(tests, both_are_needed, 0, 6);
    tcase_add_test(tests, a_token_cannot_smuggle_a_header);
    tcase_add_test(tests, the_command_takes_both_from_the_environment);
    Suite *suite = suite_create("end-to-end, secure");
    suite_add_tcase(suite, tests);
    return suite;
}
