/* The cached head bundle: real files, a fake server, and damage of all kinds.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/head_cache.h"
#include "client/head_note.h"
#include "fake_server.h"
#include "tests/run_suite.h"
#include "scratch.h"

#define TIMEOUT_MS 5000

static char directory[SCRATCH_PATH_BYTES];
static struct fake_server server;
static struct cli_transport *transport;
static struct cli_head_cache *cache;
static struct nn_model *model;
static struct api_error error;
static char *head;
static size_t head_bytes;

static void set_up(void)
{
    scratch_make(directory);
    head = scratch_head(1, &head_bytes);
    model = NULL;
}

static void tear_down(void)
{
    nn_model_close(&model);
    cli_head_cache_close(&cache);
    cli_transport_close(&transport);
    free(head);
    scratch_remove(directory);
}

static void open_for(const struct fake_route *routes, size_t count)
{
    fake_start(&server, routes, count);
    ck_assert_int_eq(cli_transport_open(server.url, 1000, &transport, &error),
                     API_OK);
    ck_assert_int_eq(
        cli_head_cache_open(directory, server.url, "", true, &cache, &error),
        API_OK);
}

static enum api_status fetch(void)
{
    nn_model_close(&model);
    return cli_head_cache_fetch(cache, transport, "tiny", TIMEOUT_MS,
                                TIMEOUT_MS, &model, &error);
}

static enum api_status load(void)
{
    nn_model_close(&model);
    return cli_head_cache_load(cache, &model, &error);
}

#define HEAD_PATH "/v1/models/tiny/head?include=local"

START_TEST(test_fetches_once_then_revalidates)
{
    struct fake_route routes[] = {
        {.path = HEAD_PATH,
         .code = 200,
         .headers = "ETag: \"v1\"\r\n",
         .body = head,
         .body_bytes = head_bytes,
         .most = 1},
        {.path = HEAD_PATH,
         .code = 304,
         .needs = "\r\nIf-None-Match: \"v1\"\r\n"},
    };
    open_for(routes, 2);
    ck_assert_int_eq(load(), API_NOT_FOUND);
    ck_assert_msg(fetch() == API_OK, "%s", error.text);
    ck_assert_ptr_nonnull(model);
    ck_assert_int_eq(fetch(), API_OK);
    ck_assert_ptr_nonnull(model);
    ck_assert_uint_eq(server.hits[0], 1);
    ck_assert_uint_eq(server.hits[1], 1);
    fake_stop(&server);
    ck_assert_int_eq(fetch(), API_UNREACHABLE);
    ck_assert_int_eq(load(), API_OK); /* and still there without it */
    ck_assert_uint_eq(scratch_count(directory, ".tmp"), 0);
    struct stat info;
    ck_assert_int_eq(stat(directory, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0700);
}
END_TEST

START_TEST(test_heads_and_local_are_kept_apart)
{
    struct fake_route routes[] = {
        {.path = HEAD_PATH,
         .code = 200,
         .body = head,
         .body_bytes = head_bytes},
    };
    open_for(routes, 1);
    ck_assert_int_eq(fetch(), API_OK);
    struct cli_head_cache *other = NULL;
    static const struct {
        const char *url, *model;
        bool include_local;
    } keys[] = {{"http://elsewhere:1", "", true},
                {NULL, "tiny", true},
                {NULL, "", false}};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(cli_head_cache_open(
                             directory, keys[i].url ? keys[i].url : server.url,
                             keys[i].model, keys[i].include_local, &other,
                             &error),
                         API_OK);
        struct nn_model *none = NULL;
        ck_assert_int_eq(cli_head_cache_load(other, &none, &error),
                         API_NOT_FOUND);
        cli_head_cache_close(&other);
    }
    fake_stop(&server);
}
END_TEST

/* Changes a byte such that the bundle stays valid but another one. */
static void flip_a_weight(const char *bundle)
{
    for (size_t at = head_bytes; at-- > 0;) {
        struct nn_model *other = NULL;
        scratch_flip(bundle, at);
        if (nn_model_open(bundle, &other, NULL) == API_OK) {
            nn_model_close(&other);
            return;
        }
        scratch_flip(bundle, at);
    }
    ck_abort_msg("no byte can be changed");
}

/* Ways to spoil what lies on disk, each of which must be noticed. */
static void spoil(int way)
{
    char bundle[SCRATCH_PATH_BYTES], note[SCRATCH_PATH_BYTES];
    scratch_find(bundle, directory, ".safetensors");
    scratch_find(note, directory, ".note");
    size_t bytes;
    char *text = scratch_read(note, &bytes);
    switch (way) {
    case 0:
        flip_a_weight(bundle);
        break;
    case 1:
        scratch_flip(bundle, 3);
        break;
    case 2:
        ck_assert_int_eq(truncate(bundle, (off_t)head_bytes / 2), 0);
        break;
    case 3:
        ck_assert_int_eq(truncate(bundle, 0), 0);
        break;
    case 4:
        unlink(note);
        break;
    case 5:
        scratch_write(note, "", 0);
        break;
    case 6:
        scratch_flip(note, 16);
        break;
    case 7: /* another size */
        text[bytes / 2] = '\0';
        scratch_write(note, text, bytes);
        break;
    case 8:
        scratch_write(note, text, bytes - 1); /* its last newline is gone */
        break;
    default:
        ck_abort();
    }
    free(text);
}
#define SPOIL_WAYS 9

START_TEST(test_damage_is_noticed_and_mended)
{
    struct fake_route routes[] = {
        {.path = HEAD_PATH,
         .code = 200,
         .headers = "ETag: \"v1\"\r\n",
         .body = head,
         .body_bytes = head_bytes},
    };
    open_for(routes, 1);
    ck_assert_int_eq(fetch(), API_OK);
    nn_model_close(&model);
    spoil(_i);
    ck_assert_int_eq(load(), API_BAD_BUNDLE);
    ck_assert_ptr_null(model);
    ck_assert_int_eq(fetch(), API_OK);
    ck_assert_uint_eq(server.hits[0], 2);
    ck_assert_int_eq(load(), API_OK);
    fake_stop(&server);
}
END_TEST

/* A cached file with a truthful note that this engine cannot open, and a
 * server that says nothing changed: it has to be asked for the whole. */
START_TEST(test_valid_note_of_an_invalid_bundle)
{
    struct fake_route routes[] = {
        {.path = HEAD_PATH,
         .code = 200,
         .headers = "ETag: \"v1\"\r\n",
         .body = head,
         .body_bytes = head_bytes,
         .most = 1},
        {.path = HEAD_PATH, .code = 304, .most = 1},
        {.path = HEAD_PATH,
         .code = 200,
         .headers = "ETag: \"v1\"\r\n",
         .body = head,
         .body_bytes = head_bytes,
         .most = 1},
    };
    open_for(routes, 3);
    ck_assert_int_eq(fetch(), API_OK);
    char bundle[SCRATCH_PATH_BYTES], note[SCRATCH_PATH_BYTES];
    char temporary[SCRATCH_PATH_BYTES];
    scratch_find(bundle, directory, ".safetensors");
    scratch_find(note, directory, ".note");
    scratch_join(temporary, directory, "x.tmp");
    nn_model_close(&model);
    scratch_write(bundle, "no bundle", 9);
    struct cli_head_note lie = {.etag = "\"v1\""};
    ck_assert(cli_head_note_measure(bundle, &lie));
    ck_assert_int_eq(cli_head_note_write(note, temporary, &lie, &error),
                     API_OK);
    ck_assert_msg(fetch() == API_OK, "%s", error.text);
    ck_assert_ptr_nonnull(model);
    ck_assert_uint_eq(server.hits[2], 1);
    fake_stop(&server);
}
END_TEST

/* What a server may send for a head, none of which may replace a good one. */
static const struct {
    enum fake_conduct conduct;
    int code;
    const char *body; /* NULL: half of a good one */
    enum api_status expected;
} bad_heads[] = {
    {FAKE_REPLY, 200, "", API_BAD_BUNDLE},
    {FAKE_REPLY, 200, "<html>captive portal</html>", API_BAD_BUNDLE},
    {FAKE_REPLY, 200, NULL, API_BAD_BUNDLE},
    {FAKE_RESET, 200, NULL, API_UNREACHABLE},
    {FAKE_CUT, 200, NULL, API_UNREACHABLE},
    {FAKE_CLOSE, 200, "", API_UNREACHABLE},
    {FAKE_GARBAGE, 200, "", API_UNREACHABLE},
    {FAKE_REPLY, 404, "{}", API_NOT_FOUND},
    {FAKE_REPLY, 500, "{}", API_INTERNAL},
    {FAKE_REPLY, 503, "{}", API_OVERLOADED},
    {FAKE_REPLY, 302, "", API_INTERNAL},
    {FAKE_REPLY, 206, "x", API_INTERNAL},
};

START_TEST(test_bad_head_never_replaces_a_good_one)
{
    const char *body = bad_heads[_i].body ? bad_heads[_i].body : head;
    struct fake_route routes[] = {
        {.path = HEAD_PATH,
         .code = 200,
         .headers = "ETag: \"v1\"\r\n",
         .body = head,
         .body_bytes = head_bytes,
         .most = 1},
        {.path = HEAD_PATH,
         .conduct = bad_heads[_i].conduct,
         .code = bad_heads[_i].code,
         .headers = "ETag: \"v2\"\r\nLocation: /elsewhere\r\n",
         .body = body,
         .body_bytes = bad_heads[_i].body ? strlen(body) : head_bytes / 2},
    };
    open_for(routes, 2);
    ck_assert_int_eq(fetch(), API_OK);
    char bundle[SCRATCH_PATH_BYTES];
    scratch_find(bundle, directory, ".safetensors");
    enum api_status status = fetch();
    ck_assert_msg(status == bad_heads[_i].expected, "%d: %s", (int)status,
                  error.text);
    ck_assert_ptr_null(model);
    ck_assert_uint_gt(strlen(error.text), 0);
    ck_assert_int_eq(load(), API_OK);
    size_t bytes;
    char *stored = scratch_read(bundle, &bytes);
    ck_assert_uint_eq(bytes, head_bytes);
    ck_assert_int_eq(memcmp(stored, head, bytes), 0);
    free(stored);
    ck_assert_uint_eq(scratch_count(directory, ".tmp"), 0);
    fake_stop(&server);
}
END_TEST

START_TEST(test_304_without_being_asked_is_refused)
{
    struct fake_route routes[] = {{.path = HEAD_PATH, .code = 304}};
    open_for(routes, 1);
    ck_assert_int_ne(fetch(), API_OK);
    ck_assert_ptr_null(model);
    fake_stop(&server);
}
END_TEST

START_TEST(test_hostile_etag_is_not_kept)
{
    struct fake_route routes[] = {
        {.path = HEAD_PATH,
         .code = 200,
         .headers = "ETag: \"a b\x7f\"\r\n",
         .body = head,
         .body_bytes = head_bytes},
    };
    open_for(routes, 1);
    ck_assert_int_eq(fetch(), API_OK);
    ck_assert_int_eq(load(), API_OK);
    ck_assert_int_eq(fetch(), API_OK);
    ck_assert_uint_eq(server.hits[0], 2);
    fake_stop(&server);
}
END_TEST

START_TEST(test_two_processes_at_once)
{
    struct fake_route routes[] = {
        {.path = HEAD_PATH,
         .code = 200,
         .headers = "ETag: \"v1\"\r\n",
         .body = head,
         .body_bytes = head_bytes},
    };
    open_for(routes, 1);
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            _exit(fetch() == API_OK ? 0 : 1);
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(load(), API_OK);
    fake_stop(&server);
}
END_TEST

static enum api_status open_in(const char *where)
{
    error.text[0] = '\0';
    enum api_status status =
        cli_head_cache_open(where, "http://x", "", true, &cache, &error);
    if (status != API_OK)
        ck_assert_uint_gt(strlen(error.text), 10);
    return status;
}

START_TEST(test_places_that_cannot_be_used)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, "file");
    scratch_write(path, "x", 1);
    ck_assert_int_eq(open_in(path), API_INTERNAL);
    scratch_join(path, directory, "file/below");
    ck_assert_int_eq(open_in(path), API_INTERNAL);
    scratch_join(path, directory, "open");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(chmod(path, 0777), 0);
    ck_assert_int_eq(open_in(path), API_INTERNAL);
    ck_assert_int_eq(chmod(path, 0500), 0);
    if (geteuid() != 0) /* root may write anywhere */
        ck_assert_int_eq(open_in(path), API_INTERNAL);
    ck_assert_ptr_null(cache);
}
END_TEST

START_TEST(test_place_from_the_environment)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, "deep");
    setenv("XDG_CACHE_HOME", path, 1);
    setenv("HOME", "/nowhere", 1);
    ck_assert_msg(open_in(NULL) == API_OK, "%s", error.text);
    cli_head_cache_close(&cache);
    struct stat info;
    char below[SCRATCH_PATH_BYTES];
    scratch_join(below, path, "cleave");
    ck_assert_int_eq(stat(below, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0700);
    rmdir(below);

    setenv("XDG_CACHE_HOME", "not/absolute", 1);
    setenv("HOME", path, 1);
    ck_assert_int_eq(open_in(NULL), API_OK);
    cli_head_cache_close(&cache);
    scratch_join(below, path, ".cache/cleave");
    ck_assert_int_eq(stat(below, &info), 0);
    rmdir(below);
    scratch_join(below, path, ".cache");
    rmdir(below);

    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    ck_assert_int_eq(open_in(NULL), API_USAGE);
    ck_assert_ptr_nonnull(strstr(error.text, "HOME"));
    setenv("HOME", "", 1);
    ck_assert_int_eq(open_in(NULL), API_USAGE);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("head cache");
    TCase *group = tcase_create("cache");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 120);
    tcase_add_test(group, test_fetches_once_then_revalidates);
    tcase_add_test(group, test_heads_and_local_are_kept_apart);
    tcase_add_loop_test(group, test_damage_is_noticed_and_mended, 0,
                        SPOIL_WAYS);
    tcase_add_test(group, test_valid_note_of_an_invalid_bundle);
    tcase_add_loop_test(group, test_bad_head_never_replaces_a_good_one, 0,
                        (int)(sizeof bad_heads / sizeof bad_heads[0]));
    tcase_add_test(group, test_304_without_being_asked_is_refused);
    tcase_add_test(group, test_hostile_etag_is_not_kept);
    tcase_add_test(group, test_two_processes_at_once);
    tcase_add_test(group, test_places_that_cannot_be_used);
    tcase_add_test(group, test_place_from_the_environment);
    suite_add_tcase(suite, group);
    return suite;
}
