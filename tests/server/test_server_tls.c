/* A real cleaved that speaks TLS, asked by libcurl. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certificate.h"
#include "exchange.h"
#include "raw_socket.h"
#include "running_server.h"
#include "tests/run_suite.h"

static struct running_server server;
static char folder[] = "/tmp/tls-XXXXXX";
static char certificate[64], key[64], other[64];

static void start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(certificate, sizeof certificate, "%s/certificate", folder);
    snprintf(key, sizeof key, "%s/key", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    certificate_make(1, certificate, key);
    certificate_make(2, NULL, other);
    server_start(&server, (const char *const[]){
                              "--tls-cert", certificate, "--tls-key", key,
                              "--request-timeout-ms", "2000", NULL});
    snprintf(server.url, sizeof server.url, "https://localhost:%u",
             server.port);
    server.ca_file = certificate;
}

static void end(void)
{
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    unlink(certificate);
    unlink(key);
    unlink(other);
    rmdir(folder);
    curl_global_cleanup();
}

static long get(const char *path)
{
    struct exchange exchange;
    exchange_get(&server, path, &exchange);
    exchange_free(&exchange);
    return exchange.code;
}

START_TEST(healthcheck_speaks_tls)
{
    char address[40], output[400];
    snprintf(address, sizeof address, "127.0.0.1:%u", server.port);
    const char *const arguments[] = {
        "--healthcheck", "--listen",  address, "--tls-cert",
        certificate,     "--tls-key", key,     NULL};
    ck_assert_msg(server_run(arguments, NULL, output, sizeof output) == 0, "%s",
                  output);
    /* Plain HTTP gets none from a server that speaks TLS. */
    ck_assert_int_eq(
        server_run(
            (const char *const[]){"--healthcheck", "--listen", address, NULL},
            NULL, output, sizeof output),
        1);
}
END_TEST

START_TEST(requests_are_answered_over_tls)
{
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    CURL *curl = curl_easy_init();
    struct exchange exchange;
    for (int i = 0; i < 5; i++) {
        exchange_send(curl, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                      bytes, &exchange);
        ck_assert_int_eq(exchange.code, 200);
        ck_assert_int_eq(exchange.new_connections, i == 0);
        exchange_free(&exchange);
    }
    free(photo);
    /* Many records in one reply, and a refusal before the body. */
    exchange_send(curl, &server, "GET", "/v1/probe?bytes=1000000", NULL, NULL,
                  0, &exchange);
    ck_assert_uint_eq(exchange.body_bytes, 1000000);
    exchange_free(&exchange);
    char *much = calloc(1, 2000000);
    exchange_send(curl, &server, "POST", "/v1/probe", NULL, much, 2000000,
                  &exchange);
    exchange_assert_problem(&exchange, API_TOO_LARGE);
    exchange_free(&exchange);
    free(much);
    curl_easy_cleanup(curl);
}
END_TEST

/* What libcurl makes of a handshake with these limits. */
static CURLcode shake_hands(long versions, const char *ciphers)
{
    CURL *curl = curl_easy_init();
    char url[100];
    snprintf(url, sizeof url, "%s/healthz", server.url);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, server.ca_file);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, versions);
    curl_easy_setopt(curl, CURLOPT_SSL_CIPHER_LIST, ciphers);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    return code;
}

START_TEST(old_versions_are_refused)
{
    /* Level 0 lets this side offer what it would not by itself. */
    static const char any[] = "ALL:@SECLEVEL=0";
    ck_assert_int_eq(shake_hands(CURL_SSLVERSION_TLSv1_3, any), CURLE_OK);
    ck_assert_int_eq(
        shake_hands(CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2, any),
        CURLE_OK);
    ck_assert_int_eq(
        shake_hands(CURL_SSLVERSION_TLSv1_0 | CURL_SSLVERSION_MAX_TLSv1_1, any),
        CURLE_SSL_CONNECT_ERROR);
}
END_TEST

START_TEST(plain_requests_and_silence_are_cut_off)
{
    char reply[2000];
    int raw = raw_connect(&server);
    raw_send_text(raw, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), 0);
    close(raw);
    /* A handshake that never ends; the test's timeout is the alternative. */
    raw = raw_connect(&server);
    raw_send(raw, "\x16\x03\x01", 3);
    raw_wait_closed(raw);
    close(raw);
    ck_assert_int_eq(get("/healthz"), 200);
}
END_TEST

START_TEST(a_renewed_certificate_is_taken_up)
{
    /* An open connection outlives the change. */
    CURL *curl = curl_easy_init();
    struct exchange exchange;
    exchange_send(curl, &server, "GET", "/healthz", NULL, NULL, 0, &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);

    /* Only half of the pair has come: the old pair stays. */
    ck_assert_int_eq(rename(other, key), 0);
    free(server_log_wait(&server, "\"reload_failed\"", 1));
    ck_assert_int_eq(get("/healthz"), 200);

    certificate_make(3, certificate, key);
    free(server_log_wait(&server, "\"reloaded\"", 1));
    ck_assert_int_eq(get("/healthz"), 200); /* libcurl trusts only the new */
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    free(server_log_wait(&server, "\"reloaded\"", 2));
    ck_assert_int_eq(get("/healthz"), 200);

    exchange_send(curl, &server, "GET", "/healthz", NULL, NULL, 0, &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_int_eq(exchange.new_connections, 0);
    exchange_free(&exchange);
    curl_easy_cleanup(curl);
}
END_TEST

START_TEST(bad_files_end_the_start)
{
    const char *const cases[][2] = {
        {"/no/such/file", key}, {certificate, "/no/such/file"},
        {certificate, other},   {PHOTO, key},
        {certificate, PHOTO},   {key, certificate}};
    char output[1000];
    const char *const arguments[] = {"--model",     TINY_MODEL,   "--listen",
                                     "127.0.0.1:0", "--tls-cert", cases[_i][0],
                                     "--tls-key",   cases[_i][1], NULL};
    ck_assert_int_eq(server_run(arguments, NULL, output, sizeof output), 2);
    const char *const half[] = {"--check-config", "--model",   TINY_MODEL,
                                "--tls-cert",     certificate, NULL};
    ck_assert_int_eq(server_run(half, NULL, output, sizeof output), 2);
    ck_assert_ptr_nonnull(strstr(output, "together"));
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("tls");
    tcase_add_unchecked_fixture(tests, start, end);
    tcase_add_test(tests, healthcheck_speaks_tls);
    tcase_add_test(tests, requests_are_answered_over_tls);
    tcase_add_test(tests, old_versions_are_refused);
    tcase_add_test(tests, plain_requests_and_silence_are_cut_off);
    tcase_add_loop_test(tests, bad_files_end_the_start, 0, 6);
    tcase_add_test(tests, a_renewed_certificate_is_taken_up);
    Suite *suite = suite_create("server tls");
    suite_add_tcase(suite, tests);
    return suite;
}
