/* Tests of server/metrics.c: the text is well-formed and counts right. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/metrics.h"
#include "tests/run_suite.h"

static const char *const patterns[] = {"/", "/v1/classify"};

static struct srv_observation inference = {
    .route = 1,
    .http_code = 200,
    .total_us = 3000000,
    .queue_us = 500,
    .decode_us = 501,
    .infer_us = 20000000,
    .batch = 3,
    .body_bytes = 1024,
};

static struct srv_metrics *open_metrics(void)
{
    struct srv_metrics *metrics = NULL;
    ck_assert_int_eq(srv_metrics_open(patterns, 2, &metrics), API_OK);
    inference.series = srv_metrics_series(metrics, "m", "1", "a\"b\\c");
    ck_assert_ptr_nonnull(inference.series);
    return metrics;
}

static char *written(struct srv_metrics *metrics)
{
    size_t bytes = 0;
    const struct srv_gauges gauges = {.queue_depth = 3,
                                      .running = 2,
                                      .models = 4,
                                      .models_failed = 1,
                                      .isa = "scalar"};
    char *text = srv_metrics_write(metrics, &gauges, &bytes);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(bytes, strlen(text));
    return text;
}

/* Labels of `inference`, and of what was refused before it had a point. */
#define POINT "model=\"m\",version=\"1\",point=\"a\\\"b\\\\c\""
#define NO_POINT "model=\"m\",version=\"1\",point=\"\""

static void assert_line(const char *text, const char *line)
{
    char whole[300];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    ck_assert_msg(strstr(text, whole) != NULL, "no line %s in\n%s", line, text);
}

START_TEST(observations_are_counted)
{
    struct srv_metrics *metrics = open_metrics();
    srv_metrics_observe(metrics, &inference);
    inference.batch = -1; /* the other one counts it */
    srv_metrics_observe(metrics, &inference);
    struct srv_observation refused = {
        .route = 1,
        .http_code = 503,
        .series = srv_metrics_series(metrics, "m", "1", ""),
        .total_us = 10,
        .queue_us = -1,
        .decode_us = -1,
        .infer_us = -1,
        .batch = -1};
    srv_metrics_observe(metrics, &refused);
    struct srv_observation unknown = {.route = 2, .http_code = 404};
    srv_metrics_observe(metrics, &unknown);
    srv_metrics_reject(metrics, SRV_REJECT_QUEUE_FULL);
    srv_metrics_load(metrics, true);
    srv_metrics_load(metrics, false);
    srv_metrics_load(metrics, false);

    char *text = written(metrics);
    assert_line(text, "cleave_requests_total{model=\"m\",version=\"1\","
                      "point=\"a\\\"b\\\\c\",code=\"200\"} 2");
    assert_line(text, "cleave_requests_total{model=\"m\",version=\"1\","
                      "point=\"\",code=\"503\"} 1");
    assert_line(text, "cleave_http_requests_total{route=\"/v1/classify\","
                      "code=\"200\"} 2");
    assert_line(text, "cleave_http_requests_total{route=\"\",code=\"404\"} 1");
    assert_line(text, "cleave_rejected_total{reason=\"queue_full\"} 1");
    assert_line(text, "cleave_rejected_total{reason=\"draining\"} 0");
    assert_line(text, "cleave_request_duration_seconds_count{" POINT "} 2");
    assert_line(text, "cleave_request_duration_seconds_count{" NO_POINT "} 1");
    ck_assert_ptr_null(strstr(text, "queue_duration_seconds_count{" NO_POINT));
    assert_line(text, "cleave_queue_duration_seconds_count{" POINT "} 2");
    /* Bounds are inclusive. */
    assert_line(text, "cleave_queue_duration_seconds_bucket{" POINT
                      ",le=\"0.0005\"} 2");
    assert_line(text, "cleave_decode_duration_seconds_bucket{" POINT
                      ",le=\"0.0005\"} 0");
    assert_line(text, "cleave_decode_duration_seconds_bucket{" POINT
                      ",le=\"0.001\"} 2");
    /* Beyond the last bound. */
    assert_line(text, "cleave_inference_duration_seconds_bucket{" POINT
                      ",le=\"10\"} 0");
    assert_line(text, "cleave_inference_duration_seconds_bucket{" POINT
                      ",le=\"+Inf\"} 2");
    assert_line(text, "cleave_inference_duration_seconds_sum{" POINT "} 40");
    assert_line(text, "cleave_request_body_bytes_sum{" POINT "} 2048");
    assert_line(text,
                "cleave_request_body_bytes_bucket{" POINT ",le=\"512\"} 0");
    assert_line(text,
                "cleave_request_body_bytes_bucket{" POINT ",le=\"1024\"} 2");
    assert_line(text, "cleave_batch_frames_bucket{" POINT ",le=\"2\"} 0");
    assert_line(text, "cleave_batch_frames_bucket{" POINT ",le=\"3\"} 1");
    assert_line(text, "cleave_batch_frames_sum{" POINT "} 3");
    ck_assert_ptr_null(strstr(text, "batch_frames_count{" NO_POINT));
    assert_line(text, "cleave_queue_depth 3");
    assert_line(text, "cleave_inflight_requests 2");
    assert_line(text, "cleave_models 4");
    assert_line(text, "cleave_models_failed 1");
    assert_line(text, "cleave_model_loads_total{result=\"ok\"} 1");
    assert_line(text, "cleave_model_loads_total{result=\"failed\"} 2");
    assert_line(text, "cleave_build_info{version=\"" CLEAVE_VERSION
                      "\",isa=\"scalar\"} 1");
    free(text);
    srv_metrics_close(&metrics);
    ck_assert_ptr_null(metrics);
}
END_TEST

START_TEST(a_model_that_comes_back_goes_on_counting)
{
    struct srv_metrics *metrics = open_metrics();
    struct srv_series *first = srv_metrics_series(metrics, "m", "1", "p");
    ck_assert_ptr_eq(srv_metrics_series(metrics, "m", "1", "p"), first);
    ck_assert_ptr_ne(srv_metrics_series(metrics, "m", "2", "p"), first);
    ck_assert_ptr_ne(srv_metrics_series(metrics, "n", "1", "p"), first);
    ck_assert_ptr_ne(srv_metrics_series(metrics, "m", "1", "q"), first);
    srv_metrics_close(&metrics);
}
END_TEST

START_TEST(an_unknown_code_counts_as_500)
{
    struct srv_metrics *metrics = open_metrics();
    struct srv_observation odd = {.route = 0, .http_code = 299};
    srv_metrics_observe(metrics, &odd);
    char *text = written(metrics);
    assert_line(text, "cleave_http_requests_total{route=\"/\",code=\"500\"} 1");
    free(text);
    srv_metrics_close(&metrics);
}
END_TEST

/* Length of the metric's name at the start of a line. */
static size_t name_length(const char *line)
{
    return strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");
}

START_TEST(every_line_is_well_formed)
{
    struct srv_metrics *metrics = open_metrics();
    srv_metrics_observe(metrics, &inference);
    char *text = written(metrics), *rest = NULL;
    char family[100] = "", type[20] = "";
    size_t families = 0, samples = 0;
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        char name[100];
        if (strncmp(line, "# HELP ", 7) == 0) {
            size_t length = name_length(line + 7);
            snprintf(family, sizeof family, "%.*s", (int)length, line + 7);
            ck_assert_int_eq(line[7 + length], ' ');
            ck_assert_uint_gt(strlen(line + 8 + length), 5);
            type[0] = '\0';
            families++;
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) {
            /* Belongs to the HELP right before. */
            ck_assert_int_eq(sscanf(line + 7, "%99s %19s", name, type), 2);
            ck_assert_str_eq(name, family);
            ck_assert_int_eq(strcmp(type, "counter") == 0,
                             strlen(name) > 6 && strcmp(name + strlen(name) - 6,
                                                        "_total") == 0);
            continue;
        }
        ck_assert_uint_gt(strlen(type), 0);
        size_t length = name_length(line);
        ck_assert_int_eq(strncmp(line, family, strlen(family)), 0);
        const char *suffix = line + strlen(family);
        if (strcmp(type, "histogram") == 0)
            ck_assert(strncmp(suffix, "_bucket{model=\"", 15) == 0 ||
                      strncmp(suffix, "_sum{model=", 11) == 0 ||
                      strncmp(suffix, "_count{model=", 13) == 0);
        else
            ck_assert_uint_eq(length, strlen(family));
        char *end;
        const char *value = strrchr(line, ' ');
        ck_assert_ptr_nonnull(value);
        strtod(value + 1, &end);
        ck_assert(end != value + 1 && *end == '\0');
        samples++;
    }
    ck_assert_uint_ge(families, 15);
    ck_assert_uint_gt(samples, families);
    free(text);
    srv_metrics_close(&metrics);
}
END_TEST

static void *observe_many(void *metrics)
{
    for (int i = 0; i < 10000; i++)
        srv_metrics_observe(metrics, &inference);
    return NULL;
}

START_TEST(threads_lose_no_count)
{
    struct srv_metrics *metrics = open_metrics();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, observe_many, metrics), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *text = written(metrics);
    assert_line(text, "cleave_request_duration_seconds_count{" POINT "} 40000");
    assert_line(text, "cleave_request_duration_seconds_sum{" POINT "} 120000");
    free(text);
    srv_metrics_close(&metrics);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("metrics");
    tcase_add_test(cases, observations_are_counted);
    tcase_add_test(cases, a_model_that_comes_back_goes_on_counting);
    tcase_add_test(cases, an_unknown_code_counts_as_500);
    tcase_add_test(cases, every_line_is_well_formed);
    tcase_add_test(cases, threads_lose_no_count);
    Suite *suite = suite_create("server metrics");
    suite_add_tcase(suite, cases);
    return suite;
}
