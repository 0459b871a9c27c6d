/* A real cleaved does what openapi.yaml says, through real libcurl. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/json.h"
#include "api/limits.h"
#include "exchange.h"
#include "model_rig.h"
#include "running_server.h"
#include "tests/run_suite.h"

static struct running_server server;

static void start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    server_start(&server, NULL);
}

static void end(void)
{
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    curl_global_cleanup();
}

static void post(const char *path, const char *type, const void *body,
                 size_t bytes, struct exchange *exchange)
{
    exchange_send(NULL, &server, "POST", path, type, body, bytes, exchange);
}

/* Milliseconds of one metric of Server-Timing; fails if it is not there. */
static double timing(const struct exchange *exchange, const char *metric)
{
    char header[200], want[40];
    exchange_header(exchange, "Server-Timing", header, sizeof header);
    snprintf(want, sizeof want, "%s;dur=", metric);
    const char *at = strstr(header, want);
    ck_assert_msg(at != NULL, "no %s in %s", metric, header);
    return strtod(at + strlen(want), NULL);
}

static void read_answer(const struct exchange *exchange,
                        struct api_answer *answer)
{
    ck_assert_msg(exchange->code == 200, "HTTP %ld: %s", exchange->code,
                  exchange->body);
    char type[100];
    exchange_header(exchange, "Content-Type", type, sizeof type);
    ck_assert_str_eq(type, "application/json");
    ck_assert_int_eq(
        api_answer_read(exchange->body, exchange->body_bytes, answer, NULL),
        API_OK);
    ck_assert_str_eq(answer->model, "tiny");
    for (uint32_t i = 1; i < answer->top_count; i++)
        ck_assert(answer->top[i].probability <= answer->top[i - 1].probability);
    ck_assert_double_ge(timing(exchange, "queue"), 0);
    ck_assert_double_ge(timing(exchange, "decode"), 0);
    ck_assert_double_gt(timing(exchange, "infer"), 0);
}

/* The answer must be what the engine says in this process. */
static void assert_same_answer(const struct api_answer *answer,
                               const struct model_rig *rig,
                               const float *probabilities)
{
    struct nn_class top[API_LIMIT_TOP];
    uint32_t count = nn_top(probabilities, nn_model_class_count(rig->model),
                            top, answer->top_count);
    ck_assert_uint_eq(count, answer->top_count);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert_uint_eq(answer->top[i].index, top[i].index);
        ck_assert_double_eq_tol(answer->top[i].probability,
                                (double)top[i].probability, 1e-6);
        ck_assert_str_eq(answer->top[i].label,
                         nn_model_label(rig->model, top[i].index));
    }
}

START_TEST(classify_answers)
{
    static const char *const paths[] = {"/v1/classify",
                                        "/v1/models/tiny/classify"};
    struct model_rig rig;
    model_rig_open(&rig);
    float probabilities[100];
    ck_assert_int_eq(nn_run_full(rig.context, 0, rig.pixels, probabilities),
                     API_OK);
    for (size_t i = 0; i < 2; i++) {
        struct exchange exchange;
        struct api_answer answer;
        post(paths[i], JPEG_TYPE, rig.photo, rig.photo_bytes, &exchange);
        read_answer(&exchange, &answer);
        ck_assert_uint_eq(answer.top_count, 5);
        ck_assert_str_eq(answer.point, "offload");
        assert_same_answer(&answer, &rig, probabilities);
        exchange_free(&exchange);
    }
    model_rig_close(&rig);
}
END_TEST

START_TEST(top_is_obeyed)
{
    static const struct {
        const char *path;
        unsigned count;
    } cases[] = {{"/v1/classify?top=1", 1},
                 {"/v1/classify?x=y&top=3", 3},
                 {"/v1/classify?top=100", 10}}; /* tiny has ten classes */
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    for (size_t i = 0; i < 3; i++) {
        struct exchange exchange;
        struct api_answer answer;
        post(cases[i].path, "Content-Type: IMAGE/JPEG; q=1", photo, bytes,
             &exchange);
        read_answer(&exchange, &answer);
        ck_assert_uint_eq(answer.top_count, cases[i].count);
        exchange_free(&exchange);
    }
    free(photo);
}
END_TEST

START_TEST(tail_answers_at_every_split_point)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    struct model_rig rig;
    model_rig_open(&rig);
    unsigned points = 0;
    for (uint16_t i = 0; i < nn_model_point_count(rig.model); i++) {
        const struct api_point *point = nn_model_point(rig.model, i);
        if (point->kind != API_POINT_SPLIT)
            continue;
        size_t bytes;
        model_rig_frame(&rig, i, frame, &bytes);
        struct exchange exchange;
        struct api_answer answer;
        post("/v1/models/tiny/tail?top=10",
             points % 2 ? FRAME_TYPE : "Content-Type: application/octet-stream",
             frame, bytes, &exchange);
        read_answer(&exchange, &answer);
        ck_assert_str_eq(answer.point, point->id);

        float latent[8192], probabilities[100];
        ck_assert_uint_le(nn_latent_values(rig.model, i), 8192);
        ck_assert_int_eq(nn_latent_decode(rig.context, i, frame + 28,
                                          bytes - 28, latent, NULL),
                         API_OK);
        ck_assert_int_eq(nn_run_tail(rig.context, i, latent, probabilities),
                         API_OK);
        assert_same_answer(&answer, &rig, probabilities);
        exchange_free(&exchange);
        points++;
    }
    ck_assert_uint_ge(points, 3);
    model_rig_close(&rig);
}
END_TEST

START_TEST(models_describe_themselves)
{
    struct exchange exchange;
    struct api_model listed, model;
    exchange_get(&server, "/v1/models", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_int_eq(
        api_model_list_read(exchange.body, exchange.body_bytes, &listed, NULL),
        API_OK);
    exchange_free(&exchange);
    exchange_get(&server, "/v1/models/tiny", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_int_eq(
        api_model_read(exchange.body, exchange.body_bytes, &model, NULL),
        API_OK);
    exchange_free(&exchange);
    ck_assert_str_eq(listed.name, "tiny");
    ck_assert_str_eq(model.name, "tiny");
    ck_assert_uint_eq(model.class_count, 10);
    ck_assert_uint_eq(model.input_width, 32);
    ck_assert_uint_eq(model.point_count, listed.point_count);
    ck_assert_str_eq(model.points[0].id, "offload");

    exchange_get(&server, "/v1/models/tiny/labels", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    json_t *labels = json_loadb(exchange.body, exchange.body_bytes, 0, NULL);
    ck_assert_uint_eq(json_array_size(labels), 10);
    struct model_rig rig;
    model_rig_open(&rig);
    for (uint32_t i = 0; i < 10; i++)
        ck_assert_str_eq(json_string_value(json_array_get(labels, i)),
                         nn_model_label(rig.model, i));
    ck_assert(model.fingerprint == nn_model_fingerprint(rig.model));
    model_rig_close(&rig);
    json_decref(labels);
    exchange_free(&exchange);
}
END_TEST

/* Opens a bundle that was downloaded. */
static struct nn_model *open_downloaded(const struct exchange *exchange)
{
    char path[] = "/tmp/cleaved-head-XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, exchange->body, exchange->body_bytes),
                     (ssize_t)exchange->body_bytes);
    close(file);
    struct nn_model *model = NULL;
    struct api_error error = {API_OK, ""};
    ck_assert_msg(nn_model_open(path, &model, &error) == API_OK, "%s",
                  error.text);
    unlink(path);
    return model;
}

START_TEST(head_bundles_open_and_are_cached)
{
    struct exchange head, whole, again;
    exchange_get(&server, "/v1/models/tiny/head", &head);
    exchange_get(&server, "/v1/models/tiny/head?include=local", &whole);
    ck_assert_int_eq(head.code, 200);
    ck_assert_int_eq(whole.code, 200);
    ck_assert_uint_gt(whole.body_bytes, head.body_bytes);
    struct nn_model *model = open_downloaded(&head);
    int split = nn_model_point_find(model, "w50-low");
    int local = nn_model_point_find(model, "local");
    ck_assert(nn_model_has_head(model, (uint16_t)split));
    ck_assert(!nn_model_has_tail(model, (uint16_t)split));
    ck_assert(!nn_model_has_head(model, (uint16_t)local));
    nn_model_close(&model);
    model = open_downloaded(&whole);
    ck_assert(nn_model_has_head(model, (uint16_t)local));
    nn_model_close(&model);

    char tag[100], other[100], header[400];
    exchange_header(&head, "ETag", tag, sizeof tag);
    exchange_header(&whole, "ETag", other, sizeof other);
    ck_assert_str_ne(tag, other);
    const struct {
        const char *format;
        long code;
    } cases[] = {
        {"If-None-Match: %s", 304},
        {"If-None-Match: W/%s", 304},
        {"If-None-Match: \"x,y\", W/\"z\" ,%s", 304},
        {"If-None-Match: *", 304},
        {"If-None-Match: \"x\"", 200},
        {"If-None-Match: x%s", 200},
        {"If-None-Match: \"", 200},
        {"If-None-Match: ,,,", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char value[100];
        snprintf(header, sizeof header, cases[i].format, tag);
        exchange_send(NULL, &server, "GET", "/v1/models/tiny/head", header,
                      NULL, 0, &again);
        ck_assert_msg(again.code == cases[i].code, "%s gave %ld", header,
                      again.code);
        ck_assert_uint_eq(again.body_bytes,
                          cases[i].code == 304 ? 0 : head.body_bytes);
        exchange_header(&again, "ETag", value, sizeof value);
        ck_assert_str_eq(value, tag);
        exchange_header(&again, "Cache-Control", value, sizeof value);
        ck_assert_str_eq(value, "no-cache");
        exchange_free(&again);
    }
    exchange_free(&head);
    exchange_free(&whole);
}
END_TEST

START_TEST(probe_counts_both_ways)
{
    static const size_t sizes[] = {0, 1, 1000, API_LIMIT_PROBE_BYTES};
    char *bytes = calloc(1, API_LIMIT_PROBE_BYTES);
    for (size_t i = 0; i < 4; i++) {
        char path[60], want[60];
        struct exchange exchange;
        snprintf(path, sizeof path, "/v1/probe?bytes=%zu", sizes[i]);
        exchange_get(&server, path, &exchange);
        ck_assert_int_eq(exchange.code, 200);
        ck_assert_uint_eq(exchange.body_bytes, sizes[i]);
        ck_assert_double_ge(timing(&exchange, "queue"), 0);
        exchange_free(&exchange);
        post("/v1/probe", NULL, bytes, sizes[i], &exchange);
        ck_assert_int_eq(exchange.code, 200);
        snprintf(want, sizeof want, "{\"received\":%zu}", sizes[i]);
        ck_assert_str_eq(exchange.body, want);
        ck_assert_double_ge(timing(&exchange, "queue"), 0);
        exchange_free(&exchange);
    }
    free(bytes);
}
END_TEST

static const char *const get_paths[] = {"/",
                                        "/healthz",
                                        "/readyz",
                                        "/openapi.yaml",
                                        "/v1/models",
                                        "/v1/models/tiny",
                                        "/v1/models/tiny/labels",
                                        "/v1/models/tiny/head",
                                        "/v1/probe?bytes=77"};

START_TEST(head_requests_get_headers_only)
{
    char got[100], head[100];
    struct exchange with_body, without;
    exchange_get(&server, get_paths[_i], &with_body);
    exchange_send(NULL, &server, "HEAD", get_paths[_i], NULL, NULL, 0,
                  &without);
    ck_assert_int_eq(with_body.code, 200);
    ck_assert_int_eq(without.code, 200);
    ck_assert_uint_gt(with_body.body_bytes, 0);
    ck_assert_uint_eq(without.body_bytes, 0);
    exchange_header(&with_body, "Content-Length", got, sizeof got);
    exchange_header(&without, "Content-Length", head, sizeof head);
    ck_assert_str_eq(got, head);
    exchange_header(&with_body, "Content-Type", got, sizeof got);
    exchange_header(&without, "Content-Type", head, sizeof head);
    ck_assert_str_eq(got, head);
    exchange_free(&with_body);
    exchange_free(&without);
}
END_TEST

START_TEST(connections_are_kept)
{
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    CURL *curl = curl_easy_init();
    /* Refused requests included: their bodies are read to the end. */
    static const struct {
        const char *path, *type;
        long code;
    } cases[] = {
        {"/v1/classify", JPEG_TYPE, 200},
        {"/v1/classify", "Content-Type: text/plain", 415},
        {"/nowhere", JPEG_TYPE, 404},
        {"/healthz", JPEG_TYPE, 405},
        {"/v1/classify?top=0", JPEG_TYPE, 400},
        {"/v1/models/tiny/tail", FRAME_TYPE, 422},
        {"/v1/probe", NULL, 200},
        {"/v1/classify", JPEG_TYPE, 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange exchange;
        exchange_send(curl, &server, "POST", cases[i].path, cases[i].type,
                      photo, bytes, &exchange);
        ck_assert_int_eq(exchange.code, cases[i].code);
        ck_assert_int_eq(exchange.new_connections, i == 0);
        exchange_free(&exchange);
    }
    curl_easy_cleanup(curl);
    free(photo);
}
END_TEST

START_TEST(request_ids_are_taken_or_made)
{
    /* As long as an id may be, and one character longer. */
    char longest[65], longer[66];
    memset(longest, '6', 64);
    memset(longer, '7', 65);
    longest[64] = longer[65] = '\0';
    const char *const own[] = {"a", "AZaz09-_.:/", longest};
    const char *const refused[] = {"a b", "caf\xC3\xA9", longer, ""};
    char header[200], id[100], before[100] = "";
    struct exchange exchange;
    for (size_t i = 0; i < 3; i++) {
        snprintf(header, sizeof header, "X-Request-Id: %s", own[i]);
        exchange_send(NULL, &server, "GET", "/healthz", header, NULL, 0,
                      &exchange);
        exchange_header(&exchange, "X-Request-Id", id, sizeof id);
        ck_assert_str_eq(id, own[i]);
        exchange_free(&exchange);
    }
    for (size_t i = 0; i < 4; i++) {
        /* A semicolon makes libcurl send a header without a value. */
        snprintf(header, sizeof header,
                 refused[i][0] ? "X-Request-Id: %s" : "X-Request-Id;%s",
                 refused[i]);
        exchange_send(NULL, &server, "GET", "/healthz", header, NULL, 0,
                      &exchange);
        exchange_header(&exchange, "X-Request-Id", id, sizeof id);
        ck_assert_uint_eq(strlen(id), 16);
        ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 16);
        ck_assert_str_ne(id, before);
        snprintf(before, sizeof before, "%s", id);
        exchange_free(&exchange);
    }
}
END_TEST

START_TEST(requests_are_logged)
{
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    struct exchange exchange;
    exchange_send(NULL, &server, "GET", "/nowhere/%22\"?x",
                  "X-Request-Id: find-me", NULL, 0, &exchange);
    exchange_free(&exchange);
    post("/v1/classify", JPEG_TYPE, photo, bytes, &exchange);
    char id[100];
    exchange_header(&exchange, "X-Request-Id", id, sizeof id);
    exchange_free(&exchange);
    free(server_log_wait(&server, "find-me", 1));
    char *log = server_log_wait(&server, id, 1);
    int found = 0;
    char *rest = NULL;
    for (char *line = strtok_r(log, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(root != NULL, "not JSON: %s", line);
        const char *line_id =
            json_string_value(json_object_get(root, "request_id"));
        if (line_id && strcmp(line_id, "find-me") == 0) {
            ck_assert_str_eq(json_string_value(json_object_get(root, "path")),
                             "/nowhere/%22\"");
            ck_assert_int_eq(
                (int)json_integer_value(json_object_get(root, "status")), 404);
            found++;
        } else if (line_id && strcmp(line_id, id) == 0) {
            ck_assert_str_eq(json_string_value(json_object_get(root, "point")),
                             "offload");
            ck_assert_uint_eq(
                (size_t)json_integer_value(json_object_get(root, "bytes_in")),
                bytes);
            ck_assert_double_gt(
                json_real_value(json_object_get(root, "infer_ms")), 0);
            found++;
        }
        json_decref(root);
    }
    ck_assert_int_eq(found, 2);
    free(log);
    free(photo);
}
END_TEST

START_TEST(metrics_count_what_happened)
{
    static const char answered[] =
        "cleave_requests_total{model=\"tiny\",version=\"0.1.0\","
        "point=\"offload\",code=\"200\"}";
    static const char refused[] =
        "cleave_http_requests_total{route=\"/v1/classify\",code=\"415\"}";
    static const char bodies[] =
        "cleave_request_body_bytes_sum{model=\"tiny\",version=\"0.1.0\","
        "point=\"offload\"}";
    static const char times[] =
        "cleave_inference_duration_seconds_count{model=\"tiny\","
        "version=\"0.1.0\",point=\"offload\"}";
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    double before[] = {
        exchange_metric(&server, answered), exchange_metric(&server, refused),
        exchange_metric(&server, bodies), exchange_metric(&server, times)};
    struct exchange exchange;
    for (int i = 0; i < 3; i++) {
        post("/v1/classify", JPEG_TYPE, photo, bytes, &exchange);
        ck_assert_int_eq(exchange.code, 200);
        exchange_free(&exchange);
    }
    post("/v1/classify", "Content-Type: image/png", photo, bytes, &exchange);
    exchange_free(&exchange);
    ck_assert_double_eq(exchange_metric(&server, answered) - before[0], 3);
    ck_assert_double_eq(exchange_metric(&server, refused) - before[1], 1);
    ck_assert_double_eq(exchange_metric(&server, bodies) - before[2],
                        3.0 * (double)bytes);
    ck_assert_double_eq(exchange_metric(&server, times) - before[3], 3);
    ck_assert_double_gt(exchange_metric(&server, "process_open_fds"), 3);
    ck_assert_double_gt(
        exchange_metric(&server, "process_resident_memory_bytes"), 1e5);
    ck_assert_double_gt(exchange_metric(&server, "process_start_time_seconds"),
                        1.6e9);
    free(photo);
}
END_TEST

START_TEST(the_description_is_the_committed_one)
{
    size_t bytes;
    char *file = file_read(CLEAVE_SOURCE_DIR "/openapi.yaml", &bytes);
    struct exchange exchange;
    exchange_get(&server, "/openapi.yaml", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_uint_eq(exchange.body_bytes, bytes);
    ck_assert_int_eq(memcmp(exchange.body, file, bytes), 0);
    exchange_free(&exchange);
    free(file);
}
END_TEST

START_TEST(health_is_reported)
{
    struct exchange exchange;
    exchange_get(&server, "/healthz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_str_eq(exchange.body, "{\"status\":\"ok\"}");
    exchange_free(&exchange);
    exchange_get(&server, "/readyz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_str_eq(exchange.body,
                     "{\"status\":\"ready\",\"bundles\":\"loaded\"}");
    exchange_free(&exchange);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("service");
    tcase_add_unchecked_fixture(cases, start, end);
    tcase_add_test(cases, classify_answers);
    tcase_add_test(cases, top_is_obeyed);
    tcase_add_test(cases, tail_answers_at_every_split_point);
    tcase_add_test(cases, models_describe_themselves);
    tcase_add_test(cases, head_bundles_open_and_are_cached);
    tcase_add_test(cases, probe_counts_both_ways);
    tcase_add_loop_test(cases, head_requests_get_headers_only, 0,
                        (int)(sizeof get_paths / sizeof *get_paths));
    tcase_add_test(cases, connections_are_kept);
    tcase_add_test(cases, request_ids_are_taken_or_made);
    tcase_add_test(cases, requests_are_logged);
    tcase_add_test(cases, metrics_count_what_happened);
    tcase_add_test(cases, the_description_is_the_committed_one);
    tcase_add_test(cases, health_is_reported);
    Suite *suite = suite_create("server service");
    suite_add_tcase(suite, cases);
    return suite;
}
