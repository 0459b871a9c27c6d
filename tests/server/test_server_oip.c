/* The Open Inference Protocol of a running cleaved; tests/oip has Triton's own
 * client do the same. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "exchange.h"
#include "model_rig.h"
#include "repository.h"
#include "running_server.h"
#include "tests/run_suite.h"

#define INFER "/v2/models/tiny/infer"

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

static void start(const char *model_control)
{
    server_start(&server,
                 (const char *const[]){"--models", repository.folder,
                                       "--model-control", model_control, NULL});
}

/* Sends JSON with `binary` behind it; sets the header unless that is NULL. */
static void infer(const char *path, const char *json, const void *binary,
                  size_t binary_bytes, struct exchange *exchange)
{
    char header[80];
    size_t json_bytes = strlen(json);
    char *body = malloc(json_bytes + binary_bytes);
    memcpy(body, json, json_bytes);
    if (binary)
        memcpy(body + json_bytes, binary, binary_bytes);
    snprintf(header, sizeof header, "Inference-Header-Content-Length: %zu",
             json_bytes);
    exchange_send(NULL, &server, "POST", path, binary ? header : NULL, body,
                  json_bytes + binary_bytes, exchange);
    free(body);
}

/* The request for a binary input of one dimension. */
static void describe(char *json, size_t capacity, const char *name,
                     const char *datatype, size_t elements, size_t bytes)
{
    snprintf(json, capacity,
             "{\"id\":\"42\",\"inputs\":[{\"name\":\"%s\",\"shape\":[%zu],"
             "\"datatype\":\"%s\",\"parameters\":{\"binary_data_size\":%zu}}]}",
             name, elements, datatype, bytes);
}

/* Fails unless the answer holds these probabilities. */
static void assert_probabilities(const struct exchange *exchange,
                                 const char *point, const float *expected)
{
    ck_assert_msg(exchange->code == 200, "%s", exchange->body);
    ck_assert(exchange_header(exchange, "Server-Timing", NULL, 0));
    json_t *root = json_loadb(exchange->body, exchange->body_bytes, 0, NULL);
    json_t *output = json_array_get(json_object_get(root, "outputs"), 0);
    json_t *data = json_object_get(output, "data");
    const json_t *parameters = json_object_get(root, "parameters");
    ck_assert_str_eq(json_string_value(json_object_get(root, "id")), "42");
    ck_assert_str_eq(json_string_value(json_object_get(parameters, "point")),
                     point);
    ck_assert_uint_eq(json_array_size(data), 10);
    for (size_t i = 0; i < 10; i++)
        ck_assert_double_eq_tol(json_number_value(json_array_get(data, i)),
                                (double)expected[i], 1e-6);
    json_decref(root);
}

START_TEST(inference_answers_like_the_engine)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    struct model_rig rig;
    struct exchange exchange;
    char json[300];
    float expected[10];
    start("0");
    model_rig_open(&rig);
    ck_assert_int_eq(nn_run_full(rig.context, 0, rig.pixels, expected), API_OK);

    uint8_t *bytes = malloc(rig.photo_bytes + 4);
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(rig.photo_bytes >> 8 * i);
    memcpy(bytes + 4, rig.photo, rig.photo_bytes);
    describe(json, sizeof json, "jpeg", "BYTES", 1, rig.photo_bytes + 4);
    infer(INFER, json, bytes, rig.photo_bytes + 4, &exchange);
    assert_probabilities(&exchange, "offload", expected);
    exchange_free(&exchange);
    free(bytes);

    snprintf(json, sizeof json,
             "{\"id\":\"42\",\"inputs\":[{\"name\":\"image\",\"shape\":"
             "[32,32,3],\"datatype\":\"UINT8\",\"parameters\":"
             "{\"binary_data_size\":3072}}]}");
    infer("/v2/models/tiny/versions/0.1.0/infer", json, rig.pixels, 3072,
          &exchange);
    assert_probabilities(&exchange, "offload", expected);
    exchange_free(&exchange);

    uint16_t split = model_rig_split(&rig);
    float latent[8 * 8 * 4];
    size_t frame_bytes;
    model_rig_frame(&rig, split, frame, &frame_bytes);
    ck_assert_int_eq(nn_latent_decode(rig.context, split, frame + 28,
                                      frame_bytes - 28, latent, NULL),
                     API_OK);
    ck_assert_int_eq(nn_run_tail(rig.context, split, latent, expected), API_OK);
    describe(json, sizeof json, "frame", "UINT8", frame_bytes, frame_bytes);
    infer(INFER, json, frame, frame_bytes, &exchange);
    assert_probabilities(&exchange, "w50-low", expected);
    exchange_free(&exchange);

    /* The newest version takes the frames of an older one, unless it is asked
     * for by its number. */
    repository_put(&repository, "tiny", "0.2.0", '2');
    ck_assert_int_eq(kill(server.pid, SIGHUP), 0);
    while (exchange_metric(&server, "cleave_models") != 2)
        continue;
    infer(INFER, json, frame, frame_bytes, &exchange);
    assert_probabilities(&exchange, "w50-low", expected);
    ck_assert_ptr_nonnull(strstr(exchange.body, "\"0.1.0\""));
    exchange_free(&exchange);
    infer("/v2/models/tiny/versions/0.2.0/infer", json, frame, frame_bytes,
          &exchange);
    exchange_assert_problem(&exchange, API_MODEL_MISMATCH);
    exchange_free(&exchange);
    model_rig_close(&rig);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(wrong_requests_are_refused)
{
    struct exchange exchange;
    start("0");
    static const struct {
        const char *header, *body;
        enum api_status status;
    } cases[] = {
        {"Inference-Header-Content-Length: x", "{}", API_BAD_REQUEST},
        {"Inference-Header-Content-Length: 3", "{}", API_BAD_REQUEST},
        {"Inference-Header-Content-Length: 99999999999", "{}", API_BAD_REQUEST},
        {"Content-Type: application/json", "{}", API_BAD_REQUEST},
        {"Content-Type: application/json", "", API_BAD_REQUEST},
        {"Content-Type: application/json",
         "{\"inputs\":[{\"name\":\"jpeg\",\"shape\":[1],\"datatype\":"
         "\"BYTES\",\"data\":[\"/9j/\"]}]}",
         API_UNPROCESSABLE},
        {"Content-Type: application/json",
         "{\"inputs\":[{\"name\":\"frame\",\"shape\":[1],\"datatype\":"
         "\"UINT8\",\"data\":[7]}]}",
         API_UNPROCESSABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        exchange_send(NULL, &server, "POST", INFER, cases[i].header,
                      cases[i].body, strlen(cases[i].body), &exchange);
        exchange_assert_problem(&exchange, cases[i].status);
        exchange_free(&exchange);
    }
    static float pixels[32 * 32 * 3];
    pixels[7] = 255.5F;
    infer(
        INFER,
        "{\"inputs\":[{\"name\":\"image\",\"shape\":[1,32,32,3],"
        "\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":12288}}]}",
        pixels, sizeof pixels, &exchange);
    exchange_assert_problem(&exchange, API_UNPROCESSABLE);
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

static long post(const char *path)
{
    struct exchange exchange;
    exchange_send(NULL, &server, "POST", path, NULL, "", 0, &exchange);
    long code = exchange.code;
    exchange_free(&exchange);
    return code;
}

static long get(const char *path)
{
    struct exchange exchange;
    exchange_get(&server, path, &exchange);
    long code = exchange.code;
    exchange_free(&exchange);
    return code;
}

START_TEST(models_are_loaded_on_request)
{
    start("1");
    ck_assert_int_eq(post("/v2/repository/models/tiny/unload"), 200);
    ck_assert_int_eq(get("/v2/models/tiny/ready"), 404);
    ck_assert_int_eq(get("/v2/health/ready"), 503);
    ck_assert_int_eq(get("/v2/health/live"), 200);
    repository_put_broken(&repository, "tiny", "0.1.0");
    ck_assert_int_eq(post("/v2/repository/models/tiny/load"), 422);
    repository_put(&repository, "tiny", "0.1.0", '2');
    ck_assert_int_eq(post("/v2/repository/models/tiny/load"), 200);
    ck_assert_int_eq(get("/v2/models/tiny/versions/0.1.0/ready"), 200);
    ck_assert_int_eq(get("/v2/health/ready"), 200);
    ck_assert_int_eq(post("/v2/repository/models/none/load"), 404);
    ck_assert_int_eq(post("/v2/repository/models/..%2f..%2fetc/load"), 404);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(nobody_unloads_models_unasked)
{
    start("0");
    ck_assert_int_eq(post("/v2/repository/models/tiny/unload"), 501);
    ck_assert_int_eq(post("/v2/repository/models/tiny/load"), 501);
    ck_assert_int_eq(get("/v2/models/tiny/ready"), 200);
    ck_assert_int_eq(post("/v2/repository/index"), 200);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("oip");
    tcase_add_checked_fixture(cases, prepare, clean);
    tcase_add_test(cases, inference_answers_like_the_engine);
    tcase_add_test(cases, wrong_requests_are_refused);
    tcase_add_test(cases, models_are_loaded_on_request);
    tcase_add_test(cases, nobody_unloads_models_unasked);
    Suite *suite = suite_create("server oip");
    suite_add_tcase(suite, cases);
    return suite;
}
