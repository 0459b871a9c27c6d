/* libcleave as a program uses it: threads, callbacks, several servers, each
 * against real cleaved. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answers.h"
#include "client/cleave.h"
#include "client/clock.h"
#include "process.h"
#include "scratch.h"
#include "tests/run_suite.h"

#define THREADS 4
#define ROUNDS 12

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static struct daemon first, second;
static struct cleave *handle;
static const char *jpeg;
static size_t jpeg_bytes;

/* What the log said, lines joined. */
static char logged[8000];

static void on_log(void *context, enum cleave_level level, const char *text)
{
    (void)level;
    size_t *lines = context;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s\n", text);
    ++*lines;
}

static size_t log_lines;

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(cache, directory, "cache");
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    logged[0] = '\0';
    log_lines = 0;
    jpeg = scratch_jpeg(&jpeg_bytes);
}

static void tear_down(void)
{
    cleave_close(&handle);
    process_end(&first.process, SIGKILL);
    process_end(&second.process, SIGKILL);
    scratch_remove(cache);
    scratch_remove(directory);
}

static void open_handle(const char *const *fallback_urls)
{
    struct cleave_options options = {.server_url = first.url,
                                     .cache_dir = cache,
                                     .fallback_urls = fallback_urls,
                                     .log = on_log,
                                     .log_context = &log_lines};
    struct cleave_error error;
    ck_assert_msg(cleave_open(&options, &handle, &error) == CLEAVE_OK, "%s",
                  error.text);
}

/* The answer by `point`, alone on the handle. */
static struct cleave_class expected(const char *point)
{
    static struct cleave_result result;
    struct cleave_error error;
    ck_assert_int_eq(
        cleave_classify(handle, jpeg, jpeg_bytes, point, 0, &result, &error),
        CLEAVE_OK);
    return result.top[0];
}

/* Checks in threads may not use ck_assert: they count. */
struct load {
    const char *point;
    struct cleave_class best;
    atomic_uint right, local, wrong, failed;
};

static void judge(struct load *load, enum cleave_status status,
                  const struct cleave_result *result)
{
    if (status != CLEAVE_OK) {
        load->failed++;
        return;
    }
    double difference = result->top[0].probability - load->best.probability;
    if (result->via == CLEAVE_VIA_LOCAL)
        load->local++;
    if (strcmp(load->point, "auto") == 0 ||
        (result->via == CLEAVE_VIA_LOCAL && strcmp(load->point, "local") != 0))
        load->right += result->top_count > 0;
    else if (result->top[0].index == load->best.index && difference < 1e-4 &&
             difference > -1e-4)
        load->right++;
    else
        load->wrong++;
}

static void *classify_often(void *context)
{
    struct load *load = context;
    struct cleave_result result;
    for (int i = 0; i < ROUNDS; i++) {
        enum cleave_status status = cleave_classify(
            handle, jpeg, jpeg_bytes, load->point, 0, &result, NULL);
        judge(load, status, &result);
    }
    return NULL;
}

static void run_threads(struct load *loads)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, classify_often, &loads[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static const char *const ways[THREADS] = {"offload", "w100-high", "local",
                                          "auto"};

/* One handle, four threads, a way each: nobody gets another's answer. */
START_TEST(test_threads_share_a_handle)
{
    struct load loads[THREADS];
    daemon_start(&first, scratch_bundle(), 0, directory);
    open_handle(NULL);
    memset(loads, 0, sizeof loads);
    for (size_t i = 0; i < THREADS; i++) {
        loads[i].point = ways[i];
        loads[i].best = expected(ways[i]);
    }
    run_threads(loads);
    for (size_t i = 0; i < THREADS; i++) {
        ck_assert_uint_eq(loads[i].right, ROUNDS);
        ck_assert_uint_eq(loads[i].local > 0 && i < 2, 0);
    }
}
END_TEST

static void on_answer(void *context, enum cleave_status status,
                      const struct cleave_result *result,
                      const struct cleave_error *error)
{
    judge(context, status, result);
    if ((status == CLEAVE_OK) == (error != NULL))
        ((struct load *)context)->wrong++;
}

/* Every submitted picture is answered once, also after the server's death. */
START_TEST(test_callbacks_through_a_death)
{
    enum { PICTURES = 60, SERVED = 20 };
    struct load load = {.point = ways[_i]};
    daemon_start(&first, scratch_bundle(), 0, directory);
    open_handle(NULL);
    load.best = expected(load.point);
    for (int i = 0; i < PICTURES; i++) {
        if (i == SERVED)
            process_end(&first.process, SIGKILL);
        ck_assert_int_eq(cleave_submit(handle, jpeg, jpeg_bytes, load.point, 0,
                                       on_answer, &load, NULL),
                         CLEAVE_OK);
    }
    cleave_wait(handle);
    ck_assert_uint_eq(load.right, PICTURES);
    ck_assert_uint_eq(load.wrong + load.failed, 0);
    if (_i < 2) {
        ck_assert_uint_ge(load.local, PICTURES - SERVED);
        ck_assert_ptr_nonnull(strstr(logged, "server unreachable"));
    }
    /* Closing waits, too. */
    ck_assert_int_eq(cleave_submit(handle, jpeg, jpeg_bytes, "local", 0,
                                   on_answer, &load, NULL),
                     CLEAVE_OK);
    cleave_close(&handle);
    ck_assert_uint_eq(load.right + load.wrong, PICTURES + 1);
}
END_TEST

START_TEST(test_submitting_what_is_no_picture)
{
    struct load load = {.point = "auto"};
    struct cleave_error error;
    daemon_start(&first, scratch_bundle(), 0, directory);
    open_handle(NULL);
    ck_assert_int_eq(
        cleave_submit(handle, "no JPEG", 7, NULL, 0, on_answer, &load, &error),
        CLEAVE_OK);
    ck_assert_int_eq(
        cleave_submit(handle, "", 0, NULL, 0, on_answer, &load, &error),
        CLEAVE_OK);
    cleave_wait(handle);
    ck_assert_uint_eq(load.failed, 2);
    ck_assert_uint_eq(load.wrong, 0);
    ck_assert_int_eq(
        cleave_submit(handle, jpeg, jpeg_bytes,
                      "a-point-with-a-name-of-more-than-forty-seven-bytes", 0,
                      on_answer, &load, &error),
        CLEAVE_ERROR_USAGE);
}
END_TEST

/* All threads meet the other version at once: one fetches its head, and all go
 * on with it. */
START_TEST(test_threads_meet_another_version)
{
    struct load loads[THREADS];
    char other[SCRATCH_PATH_BYTES];
    daemon_start(&first, scratch_bundle(), 0, directory);
    open_handle(NULL);
    memset(loads, 0, sizeof loads);
    for (size_t i = 0; i < THREADS; i++) {
        loads[i].point = "w100-high";
        loads[i].best = expected("w100-high");
    }
    process_end(&first.process, SIGTERM);
    bundle_write_other(other, directory);
    daemon_start(&first, other, first.port, directory);
    log_lines = 0;
    run_threads(loads);
    for (size_t i = 0; i < THREADS; i++) {
        ck_assert_uint_eq(loads[i].right, ROUNDS);
        ck_assert_uint_eq(loads[i].local, 0);
    }
    ck_assert_msg(log_lines == 1, "%s", logged);
}
END_TEST

static struct cleave_result classify(const char *point)
{
    static struct cleave_result result;
    struct cleave_error error = {.text = ""};
    enum cleave_status status =
        cleave_classify(handle, jpeg, jpeg_bytes, point, 0, &result, &error);
    ck_assert_msg(status == CLEAVE_OK, "%s", error.text);
    return result;
}

/* The first server dies and returns: its pictures go to the second and come
 * back, none is answered locally. */
START_TEST(test_fail_over_and_back)
{
    static const char *const points[] = {"offload", "w100-high", "split"};
    daemon_start(&first, scratch_bundle(), 0, directory);
    daemon_start(&second, scratch_bundle(), 0, directory);
    const char *const others[] = {second.url, NULL};
    open_handle(others);
    ck_assert_uint_eq(classify(points[_i]).server, 0);
    process_end(&first.process, SIGKILL);
    for (int i = 0; i < 5; i++) {
        struct cleave_result result = classify(points[_i]);
        ck_assert_msg(result.via != CLEAVE_VIA_LOCAL, "%s", result.reason);
        ck_assert_uint_eq(result.server, 1);
    }
    ck_assert_ptr_nonnull(strstr(logged, "going on with"));
    daemon_start(&first, scratch_bundle(), first.port, directory);
    double start_ms = cli_now_ms();
    bool back = false;
    while (!back && cli_now_ms() - start_ms < 60000) {
        (void)classify(points[_i]);
        back = strstr(logged, "back to") != NULL;
        cli_sleep_ms(20);
    }
    ck_assert(back);
    ck_assert_uint_eq(classify(points[_i]).server, 0);
}
END_TEST

/* The first server is away from the start; the second runs another version. */
START_TEST(test_open_by_the_second)
{
    char other[SCRATCH_PATH_BYTES];
    bundle_write_other(other, directory);
    daemon_start(&second, other, 0, directory);
    snprintf(first.url, sizeof first.url, "http://127.0.0.1:1");
    const char *const others[] = {"http://127.0.0.1:2", second.url, NULL};
    open_handle(others);
    struct cleave_result result = classify("w100-high");
    ck_assert_int_eq(result.via, CLEAVE_VIA_SPLIT);
    ck_assert_uint_eq(result.server, 2);
    process_end(&second.process, SIGKILL);
    result = classify("w100-high");
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
}
END_TEST

START_TEST(test_options_that_cannot_be)
{
    const char *const bad[] = {"http://127.0.0.1:1", "gopher://x", NULL};
    const char *const many[] = {"http://a", "http://a", "http://a",
                                "http://a", "http://a", "http://a",
                                "http://a", "http://a", NULL};
    const struct cleave_options options[] = {
        {.server_url = "http://127.0.0.1:1", .fallback_urls = bad},
        {.server_url = "http://127.0.0.1:1", .fallback_urls = many},
        {.server_url = "http://127.0.0.1:1", .threads = 65}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct cleave_error error;
        ck_assert_int_eq(cleave_open(&options[i], &handle, &error),
                         CLEAVE_ERROR_USAGE);
        ck_assert_ptr_null(handle);
    }
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("library");
    TCase *group = tcase_create("library");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 300);
    tcase_add_test(group, test_threads_share_a_handle);
    tcase_add_loop_test(group, test_callbacks_through_a_death, 0, THREADS);
    tcase_add_test(group, test_submitting_what_is_no_picture);
    tcase_add_test(group, test_threads_meet_another_version);
    tcase_add_loop_test(group, test_fail_over_and_back, 0, 3);
    tcase_add_test(group, test_open_by_the_second);
    tcase_add_test(group, test_options_that_cannot_be);
    suite_add_tcase(suite, group);
    return suite;
}
