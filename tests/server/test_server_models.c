/* Models that come, change, break and go under a running cleaved. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "api/json.h"
#include "exchange.h"
#include "model_rig.h"
#include "repository.h"
#include "running_server.h"
#include "tests/run_suite.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define DEFAULT_MODEL CLEAVE_SOURCE_DIR "/models/default.safetensors"

static struct repository repository;
static struct running_server server;

static void prepare(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    repository_make(&repository);
    repository_put(&repository, "tiny", "0.1.0", 'f');
}

static void clean(void)
{
    repository_remove(&repository);
    curl_global_cleanup();
}

static void start(const char *poll_ms)
{
    server_start(&server,
                 (const char *const[]){"--models", repository.folder,
                                       "--models-poll-ms", poll_ms, NULL});
}

/* Waits until a metric has this value; the test's timeout ends it else. */
static void wait_metric(const char *name, double value)
{
    while (exchange_metric(&server, name) != value)
        continue;
}

static void assert_version(const char *path, const char *version)
{
    struct exchange exchange;
    struct api_model model;
    exchange_get(&server, path, &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_int_eq(
        api_model_read(exchange.body, exchange.body_bytes, &model, NULL),
        API_OK);
    ck_assert_str_eq(model.version, version);
    exchange_free(&exchange);
}

static void assert_ready(const char *text)
{
    struct exchange exchange;
    exchange_get(&server, "/readyz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_ptr_nonnull(strstr(exchange.body, text));
    exchange_free(&exchange);
}

START_TEST(devices_keep_their_version_while_it_is_served)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    size_t bytes;
    struct model_rig rig;
    model_rig_open(&rig);
    model_rig_frame(&rig, model_rig_split(&rig), frame, &bytes);
    model_rig_close(&rig);
    start("0");
    repository_put(&repository, "tiny", "0.2.0", '2');
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    wait_metric("cleave_models", 2);
    assert_version("/v1/models/tiny", "0.2.0");

    struct exchange exchange;
    struct api_answer answer;
    exchange_send(NULL, &server, "POST", "/v1/models/tiny/tail", FRAME_TYPE,
                  frame, bytes, &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_int_eq(
        api_answer_read(exchange.body, exchange.body_bytes, &answer, NULL),
        API_OK);
    ck_assert_str_eq(answer.version, "0.1.0");
    exchange_free(&exchange);
    ck_assert_double_eq(exchange_metric(&server,
                                        "cleave_requests_total{model=\"tiny\","
                                        "version=\"0.1.0\",point=\"w50-low\","
                                        "code=\"200\"}"),
                        1);

    repository_delete(&repository, "tiny", "0.1.0");
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    wait_metric("cleave_models", 1);
    exchange_send(NULL, &server, "POST", "/v1/models/tiny/tail", FRAME_TYPE,
                  frame, bytes, &exchange);
    exchange_assert_problem(&exchange, API_MODEL_MISMATCH);
    ck_assert_ptr_nonnull(strstr(exchange.body, "0.2.0"));
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(a_watched_folder_heals)
{
    start("20");
    assert_ready("\"loaded\"");
    repository_put_broken(&repository, "tiny", "0.1.0");
    wait_metric("cleave_models_failed", 1);
    assert_ready("\"refused\"");
    assert_version("/v1/models/tiny", "0.1.0");
    ck_assert_double_ge(
        exchange_metric(&server, "cleave_model_loads_total{result=\"failed\"}"),
        1);
    free(server_log_wait(&server, "model_refused_old_one_stays", 1));

    repository_put(&repository, "tiny", "0.1.0", '2');
    wait_metric("cleave_models_failed", 0);
    assert_ready("\"loaded\"");

    repository_delete(&repository, "tiny", "0.1.0");
    wait_metric("cleave_models", 0);
    struct exchange exchange;
    exchange_get(&server, "/readyz", &exchange);
    exchange_assert_problem(&exchange, API_OVERLOADED);
    exchange_free(&exchange);
    exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, "x", 1,
                  &exchange);
    exchange_assert_problem(&exchange, API_NOT_FOUND);
    exchange_free(&exchange);
    exchange_get(&server, "/v1/models", &exchange);
    ck_assert_str_eq(exchange.body, "{\"models\":[]}");
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(a_single_bundle_is_read_again)
{
    char path[200];
    snprintf(path, sizeof path, "%s/tiny/0.1.0/model.safetensors",
             repository.folder);
    server_start(&server, (const char *const[]){"--model", path, NULL});
    repository_misplace(&repository, "abcd", "0.2.0", "tiny", "0.1.0");
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    wait_metric("cleave_model_loads_total{result=\"ok\"}", 2);
    assert_version("/v1/models/abcd", "0.2.0");
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

/* An inference request with a frame in JSON; malloc'ed. */
static char *describe(const uint8_t *frame, size_t bytes)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    fprintf(out,
            "{\"parameters\":{\"quality\":\"auto\"},\"inputs\":[{\"name\":"
            "\"frame\",\"datatype\":\"UINT8\",\"shape\":[%zu],\"data\":[",
            bytes);
    for (size_t i = 0; i < bytes; i++)
        fprintf(out, i ? ",%u" : "%u", (unsigned)frame[i]);
    fputs("]}]}", out);
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

/* Sends a frame of w50-low and tells which point answered, and whether the
 * answer says that another was asked for. */
static void assert_answered_by(const char *query, const void *frame,
                               size_t bytes, const char *point,
                               const char *asked)
{
    char path[80];
    struct exchange exchange;
    struct api_answer answer;
    snprintf(path, sizeof path, "/v1/models/tiny/tail%s", query);
    exchange_send(NULL, &server, "POST", path, FRAME_TYPE, frame, bytes,
                  &exchange);
    ck_assert_msg(exchange.code == 200, "%s", exchange.body);
    ck_assert_int_eq(
        api_answer_read(exchange.body, exchange.body_bytes, &answer, NULL),
        API_OK);
    ck_assert_str_eq(answer.point, point);
    ck_assert_str_eq(answer.asked, asked);
    exchange_free(&exchange);
}

START_TEST(load_moves_who_allows_it_to_the_lighter_tail)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    size_t bytes;
    struct model_rig rig;
    model_rig_open(&rig);
    model_rig_frame(&rig, model_rig_split(&rig), frame, &bytes);
    model_rig_close(&rig);
    repository_put_two_tails(&repository);
    bool loaded = _i == 1;
    server_start(&server, (const char *const[]){"--models", repository.folder,
                                                "--light-queue",
                                                loaded ? "0" : "1", NULL});
    assert_answered_by("", frame, bytes, "w50-low", "");
    assert_answered_by("?quality=full", frame, bytes, "w50-low", "");
    assert_answered_by("?quality=auto", frame, bytes,
                       loaded ? "w50-high" : "w50-low",
                       loaded ? "w50-low" : "");

    char *body = describe(frame, bytes);
    struct exchange exchange;
    exchange_send(NULL, &server, "POST", "/v2/models/tiny/infer", NULL, body,
                  strlen(body), &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_ptr_nonnull(strstr(
        exchange.body, loaded ? "{\"point\":\"w50-high\",\"asked\":\"w50-low\"}"
                              : "{\"point\":\"w50-low\"}"));
    exchange_free(&exchange);
    free(body);
    exchange_send(NULL, &server, "POST", "/v1/classify?quality=best", JPEG_TYPE,
                  "x", 1, &exchange);
    exchange_assert_problem(&exchange, API_BAD_REQUEST);
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

static void write_file(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

/* Sends a frame whose latent is garbage: the tables that decode it are read
 * until that shows. */
static void assert_decodes(void)
{
    struct exchange exchange;
    struct api_model model;
    static uint8_t frame[API_FRAME_HEADER_BYTES + 200];
    size_t bytes;
    char path[100];
    exchange_get(&server, "/v1/models", &exchange);
    ck_assert_int_eq(
        api_model_list_read(exchange.body, exchange.body_bytes, &model, NULL),
        API_OK);
    exchange_free(&exchange);
    uint16_t i = 0;
    while (model.points[i].codec != API_CODEC_RANS)
        ck_assert_uint_lt(++i, model.point_count);
    const struct api_frame head = {
        .fingerprint = model.fingerprint,
        .point = i,
        .codec = API_CODEC_RANS,
        .channels = model.points[i].latent_channels,
        .height = model.points[i].latent_height,
        .width = model.points[i].latent_width,
        .payload = frame + API_FRAME_HEADER_BYTES,
        .payload_bytes = 200,
    };
    memset(frame + API_FRAME_HEADER_BYTES, 0x55, 200);
    ck_assert_int_eq(api_frame_write(&head, frame, sizeof frame, &bytes),
                     API_OK);
    snprintf(path, sizeof path, "/v1/models/%s/tail", model.name);
    exchange_send(NULL, &server, "POST", path, FRAME_TYPE, frame, bytes,
                  &exchange);
    exchange_assert_problem(&exchange, API_UNPROCESSABLE);
    exchange_free(&exchange);
}

/* Puts a copy of the default bundle, which is large, at `path`, by rename. */
static void copy_default(const char *path)
{
    char aside[110];
    size_t bytes;
    char *bundle = file_read(DEFAULT_MODEL, &bytes);
    snprintf(aside, sizeof aside, "%s.part", path);
    write_file(aside, bundle, bytes);
    free(bundle);
    ck_assert_int_eq(rename(aside, path), 0);
}

START_TEST(memory_of_old_models_is_given_back)
{
    char path[100];
    static const char resident[] = "process_resident_memory_bytes";
    snprintf(path, sizeof path, "%s/bundle", repository.folder);
    copy_default(path);
    server_start(&server, (const char *const[]){"--model", path, NULL});
    double before = exchange_metric(&server, resident);
    for (int i = 0; i < 4; i++) {
        copy_default(path);
        ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
        wait_metric("cleave_model_loads_total{result=\"ok\"}", i + 2);
    }
    /* The old one goes a moment after the new one counts. A second model is
     * nearly all that the process has. */
    while (exchange_metric(&server, resident) > before * 1.3)
        continue;
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(a_bundle_may_be_overwritten_in_place)
{
    char path[100];
    snprintf(path, sizeof path, "%s/bundle", repository.folder);
    copy_default(path);
    server_start(&server, (const char *const[]){"--model", path, NULL});
    assert_decodes();
    write_file(path, "garbage", 7);
    assert_decodes();
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    wait_metric("cleave_models_failed", 1);
    assert_decodes();
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

static atomic_bool enough;

static void *classify_on(void *argument)
{
    unsigned *answers = argument;
    CURL *curl = curl_easy_init();
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    while (!atomic_load(&enough)) {
        struct exchange exchange;
        exchange_send(curl, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                      bytes, &exchange);
        ck_assert_msg(exchange.code == 200, "HTTP %ld: %s", exchange.code,
                      exchange.body);
        ++*answers;
        exchange_free(&exchange);
    }
    free(photo);
    curl_easy_cleanup(curl);
    return NULL;
}

START_TEST(no_request_fails_while_models_change)
{
    enum { THREADS = 4, SWAPS = 40 };
    pthread_t threads[THREADS];
    unsigned answers[THREADS] = {0}, sum = 0;
    start("5");
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, classify_on, &answers[i]), 0);
    for (int i = 0; i < SWAPS; i++) {
        repository_put(&repository, "tiny", "0.1.0", (char)('0' + i % 10));
        double loads = i + 2; /* with the first one */
        wait_metric("cleave_model_loads_total{result=\"ok\"}", loads);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += answers[i];
    }
    ck_assert_uint_ge(sum, THREADS);
    ck_assert_double_eq(exchange_metric(&server,
                                        "cleave_requests_total{model=\"tiny\","
                                        "version=\"0.1.0\",point=\"offload\","
                                        "code=\"200\"}"),
                        sum);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("models");
    tcase_add_checked_fixture(cases, prepare, clean);
    tcase_add_test(cases, devices_keep_their_version_while_it_is_served);
    tcase_add_test(cases, a_watched_folder_heals);
    tcase_add_test(cases, a_single_bundle_is_read_again);
    tcase_add_loop_test(cases, load_moves_who_allows_it_to_the_lighter_tail, 0,
                        2);
    if (!SANITIZED) /* sanitizers keep freed memory, to see it used */
        tcase_add_test(cases, memory_of_old_models_is_given_back);
    tcase_add_test(cases, a_bundle_may_be_overwritten_in_place);
    tcase_add_test(cases, no_request_fails_while_models_change);
    Suite *suite = suite_create("server models");
    suite_add_tcase(suite, cases);
    return suite;
}
