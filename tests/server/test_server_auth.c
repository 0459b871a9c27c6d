/* Tests of server/auth.c: token files, and who may do what. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/auth.h"
#include "tests/run_suite.h"

static char path[] = "/tmp/tokens-XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void make_file(void)
{
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
}

static void remove_file(void)
{
    unlink(path);
}

/* echo -n all-my-cameras-0123456789 | sha256sum */
#define HASHED                                                                 \
    "sha256:"                                                                  \
    "51138aef12134f7ab548b94d0526b55a3f0b1d2fd6c9ee6253a1aa578250e515"

static const char good[] = "# who  may  with\n"
                           "\n"
                           "ops metrics,admin ABCDEFGHabcdefgh\r\n"
                           "  cam.7_x-1\tinfer\t0123456789-._~+/==\n"
                           "hidden infer,metrics " HASHED;

static struct srv_auth *open_auth(const char *text)
{
    struct srv_auth *auth = NULL;
    struct api_error error = {API_OK, ""};
    write_file(text);
    enum api_status status = srv_auth_open(path, &auth, &error);
    ck_assert_msg(status == API_OK, "%s", error.text);
    return auth;
}

START_TEST(a_token_has_its_scopes_and_no_more)
{
    static const struct {
        const char *header;
        enum srv_scope scope;
        enum api_status status;
        const char *client;
    } cases[] = {
        {"Bearer ABCDEFGHabcdefgh", SRV_SCOPE_ADMIN, API_OK, "ops"},
        {"bearer   ABCDEFGHabcdefgh", SRV_SCOPE_METRICS, API_OK, "ops"},
        {"Bearer ABCDEFGHabcdefgh", SRV_SCOPE_INFER, API_FORBIDDEN, "ops"},
        {"Bearer 0123456789-._~+/==", SRV_SCOPE_INFER, API_OK, "cam.7_x-1"},
        {"Bearer 0123456789-._~+/==", SRV_SCOPE_ADMIN, API_FORBIDDEN,
         "cam.7_x-1"},
        {"Bearer all-my-cameras-0123456789", SRV_SCOPE_INFER, API_OK, "hidden"},
        {NULL, SRV_SCOPE_INFER, API_UNAUTHENTICATED, ""},
        {NULL, SRV_SCOPE_OPEN, API_OK, ""},
        {"", SRV_SCOPE_INFER, API_UNAUTHENTICATED, ""},
        {"Bearer", SRV_SCOPE_INFER, API_UNAUTHENTICATED, ""},
        {"Bearer ", SRV_SCOPE_INFER, API_UNAUTHENTICATED, ""},
        {"BearerABCDEFGHabcdefgh", SRV_SCOPE_ADMIN, API_UNAUTHENTICATED, ""},
        {"Basic ABCDEFGHabcdefgh", SRV_SCOPE_ADMIN, API_UNAUTHENTICATED, ""},
        {"Bearer ABCDEFGHabcdefg", SRV_SCOPE_ADMIN, API_UNAUTHENTICATED, ""},
        {"Bearer ABCDEFGHabcdefghi", SRV_SCOPE_ADMIN, API_UNAUTHENTICATED, ""},
        {"Bearer ABCDEFGHabcdefgh x", SRV_SCOPE_ADMIN, API_UNAUTHENTICATED, ""},
        {"Bearer " HASHED, SRV_SCOPE_INFER, API_UNAUTHENTICATED, ""},
    };
    struct srv_auth *auth = open_auth(good);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char client[SRV_CLIENT_BYTES];
        enum api_status status =
            srv_auth_check(auth, cases[i].header, cases[i].scope, client);
        ck_assert_msg(status == cases[i].status, "%s for case %zu",
                      api_status_name(status), i);
        ck_assert_str_eq(client, cases[i].client);
    }
    srv_auth_close(&auth);
    ck_assert_ptr_null(auth);
}
END_TEST

START_TEST(without_a_file_all_but_admin_is_allowed)
{
    char client[SRV_CLIENT_BYTES];
    ck_assert_int_eq(srv_auth_check(NULL, NULL, SRV_SCOPE_INFER, client),
                     API_OK);
    ck_assert_int_eq(srv_auth_check(NULL, NULL, SRV_SCOPE_METRICS, client),
                     API_OK);
    ck_assert_int_eq(srv_auth_check(NULL, "Bearer ABCDEFGHabcdefgh",
                                    SRV_SCOPE_ADMIN, client),
                     API_FORBIDDEN);
}
END_TEST

START_TEST(a_malformed_line_is_named)
{
    static const char *const lines[] = {
        "ops",
        "ops infer",
        "ops infer ABCDEFGHabcdefgh more",
        "ops root ABCDEFGHabcdefgh",
        "ops infer;admin ABCDEFGHabcdefgh",
        "ops , ABCDEFGHabcdefgh",
        "op$ infer ABCDEFGHabcdefgh",
        "a-name-of-more-than-thirty-two-chars infer ABCDEFGHabcdefgh",
        "ops infer too-short",
        "ops infer ABCDEFGH\xC3\xA9"
        "abcdefgh",
        "ops infer =ABCDEFGHabcdefgh",
        "ops infer sha256:0123",
        "ops infer sha256:zz6926eee5acdc02e8d9b5a5ede79fe6aad03ec9d86c81bcc23cd"
        "ba60bb83c27",
    };
    char text[400];
    struct srv_auth *auth = NULL;
    struct api_error error = {API_OK, ""};
    snprintf(text, sizeof text, "# first\n%s\n", lines[_i]);
    write_file(text);
    ck_assert_int_eq(srv_auth_open(path, &auth, &error), API_USAGE);
    ck_assert_ptr_null(auth);
    ck_assert_msg(strstr(error.text, "line 2: ") != NULL, "%s", error.text);
    /* A secret must not end in a log. */
    ck_assert_ptr_null(strstr(error.text, "ABCD"));
}
END_TEST

START_TEST(a_token_means_one_client)
{
    struct srv_auth *auth = NULL;
    struct api_error error;
    write_file("one infer all-my-cameras-0123456789\ntwo admin " HASHED "\n");
    ck_assert_int_eq(srv_auth_open(path, &auth, &error), API_USAGE);
    ck_assert_ptr_nonnull(strstr(error.text, "line 2"));
    char line[500];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\0';
    write_file(line);
    ck_assert_int_eq(srv_auth_open(path, &auth, &error), API_USAGE);
    ck_assert_int_eq(srv_auth_open("/no/such/file", &auth, &error), API_USAGE);
}
END_TEST

START_TEST(reloading_replaces_all_or_nothing)
{
    char client[SRV_CLIENT_BYTES];
    struct api_error error;
    struct srv_auth *auth = open_auth("old infer ABCDEFGHabcdefgh\n");
    write_file("new infer 0123456789abcdef\nbroken\n");
    ck_assert_int_eq(srv_auth_reload(auth, &error), API_USAGE);
    ck_assert_int_eq(srv_auth_check(auth, "Bearer ABCDEFGHabcdefgh",
                                    SRV_SCOPE_INFER, client),
                     API_OK);
    write_file("new infer 0123456789abcdef\n");
    ck_assert_int_eq(srv_auth_reload(auth, &error), API_OK);
    ck_assert_int_eq(srv_auth_check(auth, "Bearer ABCDEFGHabcdefgh",
                                    SRV_SCOPE_INFER, client),
                     API_UNAUTHENTICATED);
    ck_assert_int_eq(srv_auth_check(auth, "Bearer 0123456789abcdef",
                                    SRV_SCOPE_INFER, client),
                     API_OK);
    ck_assert_str_eq(client, "new");
    srv_auth_close(&auth);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("auth");
    tcase_add_unchecked_fixture(cases, make_file, remove_file);
    tcase_add_test(cases, a_token_has_its_scopes_and_no_more);
    tcase_add_test(cases, without_a_file_all_but_admin_is_allowed);
    tcase_add_loop_test(cases, a_malformed_line_is_named, 0, 13);
    tcase_add_test(cases, a_token_means_one_client);
    tcase_add_test(cases, reloading_replaces_all_or_nothing);
    Suite *suite = suite_create("server auth");
    suite_add_tcase(suite, cases);
    return suite;
}
