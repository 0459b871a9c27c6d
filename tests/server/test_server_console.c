/* The pages for people, and what they alone ask: frames and their pictures. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "api/limits.h"
#include "exchange.h"
#include "model_rig.h"
#include "running_server.h"
#include "tests/run_suite.h"

#define HTML "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"

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

static void get(const char *path, const char *header,
                struct exchange *exchange)
{
    exchange_send(NULL, &server, "GET", path, header, NULL, 0, exchange);
}

static void assert_header(const struct exchange *exchange, const char *name,
                          const char *want)
{
    char value[300];
    exchange_header(exchange, name, value, sizeof value);
    ck_assert_str_eq(value, want);
}

START_TEST(root_is_a_page_for_browsers_only)
{
    static const char *const others[] = {
        NULL, "Accept: */*", "Accept: text/html;q=0", "Accept: text/htmlx",
        "Accept: application/json, text/plain"};
    struct exchange exchange;
    get("/", HTML, &exchange);
    ck_assert_int_eq(exchange.code, 200);
    assert_header(&exchange, "Content-Type", "text/html; charset=utf-8");
    assert_header(&exchange, "Vary", "Accept, Accept-Encoding");
    ck_assert_ptr_nonnull(strstr(exchange.body, "<!doctype html>"));
    exchange_free(&exchange);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        get("/", others[i], &exchange);
        ck_assert_int_eq(exchange.code, 200);
        assert_header(&exchange, "Content-Type", "text/plain; charset=utf-8");
        assert_header(&exchange, "Vary", "Accept");
        exchange_free(&exchange);
    }
}
END_TEST

static const struct {
    const char *path, *type;
} files[] = {
    {"/docs", "text/html; charset=utf-8"},
    {"/console/base.css", "text/css; charset=utf-8"},
    {"/console/console.js", "text/javascript; charset=utf-8"},
    {"/console/mark.svg", "image/svg+xml"},
    {"/console/vendor/swagger-ui-bundle.js", "text/javascript; charset=utf-8"},
    {"/console/samples/cat.jpg", "image/jpeg"},
};

START_TEST(files_have_type_and_policy)
{
    struct exchange exchange;
    char policy[300];
    exchange_get(&server, files[_i].path, &exchange);
    ck_assert_int_eq(exchange.code, 200);
    ck_assert_uint_gt(exchange.body_bytes, 0);
    assert_header(&exchange, "Content-Type", files[_i].type);
    assert_header(&exchange, "X-Content-Type-Options", "nosniff");
    exchange_header(&exchange, "Content-Security-Policy", policy,
                    sizeof policy);
    ck_assert_ptr_nonnull(strstr(policy, "default-src 'none'"));
    ck_assert_ptr_nonnull(strstr(policy, "frame-ancestors 'none'"));
    ck_assert_ptr_null(strstr(policy, "unsafe"));
    exchange_free(&exchange);
}
END_TEST

START_TEST(a_file_that_is_held_is_not_sent_again)
{
    char etag[100], header[140];
    struct exchange exchange;
    exchange_get(&server, files[_i].path, &exchange);
    exchange_header(&exchange, "ETag", etag, sizeof etag);
    exchange_free(&exchange);
    snprintf(header, sizeof header, "If-None-Match: %s", etag);
    get(files[_i].path, header, &exchange);
    ck_assert_int_eq(exchange.code, 304);
    ck_assert_uint_eq(exchange.body_bytes, 0);
    assert_header(&exchange, "ETag", etag);
    exchange_free(&exchange);
    get(files[_i].path, "If-None-Match: W/\"0123456789abcdef\"", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
}
END_TEST

START_TEST(gzip_goes_to_who_takes_it)
{
    static const struct {
        const char *header;
        int gzip;
    } cases[] = {{NULL, 0},
                 {"Accept-Encoding: gzip, deflate, br", 1},
                 {"Accept-Encoding: br;q=0.1, GZIP;q=0.5", 1},
                 {"Accept-Encoding: br, gzip;q=0", 0},
                 {"Accept-Encoding: gzip; q=0.0, br;q=1", 0},
                 {"Accept-Encoding: xgzip", 0}};
    size_t plain_bytes = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct exchange exchange;
        get("/openapi.yaml", cases[i].header, &exchange);
        ck_assert_int_eq(exchange.code, 200);
        int gzip = exchange_header(&exchange, "Content-Encoding", NULL, 0);
        ck_assert_int_eq(gzip, cases[i].gzip);
        assert_header(&exchange, "Vary", "Accept-Encoding");
        if (cases[i].gzip) {
            ck_assert_uint_lt(exchange.body_bytes, plain_bytes / 2);
            ck_assert_mem_eq(exchange.body, "\x1f\x8b\x08", 3);
        } else {
            plain_bytes = exchange.body_bytes;
            ck_assert_mem_eq(exchange.body, "openapi: 3.1", 12);
        }
        exchange_free(&exchange);
    }
}
END_TEST

START_TEST(no_other_file_is_served)
{
    static const char *const paths[] = {
        "/console",          "/console/",          "/console/index",
        "/console/../infer", "/console/vendor",    "/console//base.css",
        "/console/base.cs",  "/console/base.css2", "/docs/"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct exchange exchange;
        exchange_get(&server, paths[i], &exchange);
        exchange_assert_problem(&exchange, API_NOT_FOUND);
        exchange_free(&exchange);
    }
}
END_TEST

START_TEST(it_can_be_turned_off)
{
    struct running_server bare;
    server_start(&bare, (const char *const[]){"--console", "0", NULL});
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct exchange exchange;
        exchange_get(&bare, files[i].path, &exchange);
        exchange_assert_problem(&exchange, API_NOT_FOUND);
        exchange_free(&exchange);
    }
    struct exchange exchange;
    exchange_send(NULL, &bare, "GET", "/", HTML, NULL, 0, &exchange);
    assert_header(&exchange, "Content-Type", "text/plain; charset=utf-8");
    exchange_free(&exchange);
    exchange_get(&bare, "/openapi.yaml", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&bare, SIGTERM), 0);
}
END_TEST

static void post(const char *path, const char *type, const void *body,
                 size_t bytes, struct exchange *exchange)
{
    exchange_send(NULL, &server, "POST", path, type, body, bytes, exchange);
}

/* The server's frame is the device's, byte for byte. */
START_TEST(encode_does_the_devices_part)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    struct model_rig rig;
    model_rig_open(&rig);
    unsigned points = 0;
    for (uint16_t i = 0; i < nn_model_point_count(rig.model); i++) {
        const struct api_point *point = nn_model_point(rig.model, i);
        char path[120], timing[200];
        struct exchange exchange;
        snprintf(path, sizeof path, "/v1/models/tiny/encode?point=%s",
                 point->id);
        post(path, JPEG_TYPE, rig.photo, rig.photo_bytes, &exchange);
        if (point->kind != API_POINT_SPLIT) {
            exchange_assert_problem(&exchange, API_NOT_FOUND);
            exchange_free(&exchange);
            continue;
        }
        size_t bytes;
        model_rig_frame(&rig, i, frame, &bytes);
        ck_assert_int_eq(exchange.code, 200);
        assert_header(&exchange, "Content-Type", API_FRAME_MEDIA_TYPE);
        ck_assert_uint_eq(exchange.body_bytes, bytes);
        ck_assert_mem_eq(exchange.body, frame, bytes);
        exchange_header(&exchange, "Server-Timing", timing, sizeof timing);
        ck_assert_ptr_nonnull(strstr(timing, "queue;dur="));
        ck_assert_ptr_nonnull(strstr(timing, ", decode;dur="));
        ck_assert_ptr_nonnull(strstr(timing, ", infer;dur="));
        ck_assert_ptr_nonnull(strstr(timing, ", encode;dur="));
        exchange_free(&exchange);
        points++;
    }
    ck_assert_uint_ge(points, 3);
    model_rig_close(&rig);
}
END_TEST

START_TEST(latent_shows_every_channel)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    static float latent[8192];
    struct model_rig rig;
    model_rig_open(&rig);
    uint16_t split = model_rig_split(&rig);
    const struct api_point *point = nn_model_point(rig.model, split);
    size_t bytes, count = nn_latent_values(rig.model, split);
    ck_assert_uint_le(count, 8192);
    model_rig_frame(&rig, split, frame, &bytes);
    ck_assert_int_eq(nn_latent_decode(rig.context, split, frame + 28,
                                      bytes - 28, latent, NULL),
                     API_OK);
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(latent[i]));

    struct exchange exchange;
    post("/v1/models/tiny/latent", FRAME_TYPE, frame, bytes, &exchange);
    ck_assert_int_eq(exchange.code, 200);
    assert_header(&exchange, "Content-Type", "image/x-portable-graymap");
    size_t columns = 1, height = point->latent_height,
           width = point->latent_width, channels = point->latent_channels;
    while (columns * columns < channels)
        columns++;
    size_t rows = (channels + columns - 1) / columns;
    char header[40];
    int header_bytes =
        snprintf(header, sizeof header, "P5\n%zu %zu\n255\n", width * columns,
                 height * rows);
    ck_assert_uint_eq(exchange.body_bytes, (size_t)header_bytes +
                                               width * columns * height * rows);
    ck_assert_mem_eq(exchange.body, header, (size_t)header_bytes);
    const uint8_t *grey = (uint8_t *)exchange.body + header_bytes;
    for (size_t y = 0; y < height * rows; y++)
        for (size_t x = 0; x < width * columns; x++) {
            size_t c = y / height * columns + x / width;
            size_t at = (y % height * width + x % width) * channels + c;
            int got = grey[y * width * columns + x];
            if (c < channels)
                ck_assert_int_le(
                    abs(got - (int)lroundf(128 + 127 * latent[at] / largest)),
                    1);
            else
                ck_assert_int_eq(got, 0);
        }
    exchange_free(&exchange);
    model_rig_close(&rig);
}
END_TEST

static const struct {
    const char *path, *header;
    enum api_status status;
} refused[] = {
    {"/v1/models/tiny/encode", JPEG_TYPE, API_BAD_REQUEST},
    {"/v1/models/tiny/encode?points=x", JPEG_TYPE, API_BAD_REQUEST},
    {"/v1/models/tiny/encode?point=", JPEG_TYPE, API_NOT_FOUND},
    {"/v1/models/tiny/encode?point=nowhere", JPEG_TYPE, API_NOT_FOUND},
    {"/v1/models/tiny/encode?point=%00", JPEG_TYPE, API_NOT_FOUND},
    {"/v1/models/huge/encode?point=x", JPEG_TYPE, API_NOT_FOUND},
    {"/v1/models/tiny/encode?point=x", FRAME_TYPE, API_UNSUPPORTED_MEDIA},
    {"/v1/models/tiny/encode?point=x&deadline_ms=0", JPEG_TYPE,
     API_BAD_REQUEST},
    {"/v1/models/tiny/latent", JPEG_TYPE, API_UNSUPPORTED_MEDIA},
    {"/v1/models/tiny/latent", FRAME_TYPE, API_UNPROCESSABLE},
    {"/v1/models/huge/latent", FRAME_TYPE, API_NOT_FOUND},
};

START_TEST(wrong_requests_are_refused)
{
    struct exchange exchange;
    post(refused[_i].path, refused[_i].header, "nonsense", 8, &exchange);
    exchange_assert_problem(&exchange, refused[_i].status);
    exchange_free(&exchange);
}
END_TEST

START_TEST(a_refusal_names_the_points_that_there_are)
{
    struct exchange exchange;
    post("/v1/models/tiny/encode?point=local", JPEG_TYPE, "x", 1, &exchange);
    exchange_assert_problem(&exchange, API_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(
        exchange.body, ": w50-low w50-high w100-low w100-high w100-u8\""));
    exchange_free(&exchange);
}
END_TEST

START_TEST(a_damaged_photo_is_refused)
{
    struct model_rig rig;
    model_rig_open(&rig);
    char path[120];
    snprintf(path, sizeof path, "/v1/models/tiny/encode?point=%s",
             nn_model_point(rig.model, model_rig_split(&rig))->id);
    struct exchange exchange;
    post(path, JPEG_TYPE, rig.photo, rig.photo_bytes / 2, &exchange);
    exchange_assert_problem(&exchange, API_UNPROCESSABLE);
    exchange_free(&exchange);
    model_rig_close(&rig);
}
END_TEST

/* A picture counts for its point when it is answered, not on the way. */
START_TEST(only_answers_count_for_a_point)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    struct model_rig rig;
    model_rig_open(&rig);
    uint16_t split = model_rig_split(&rig);
    const char *id = nn_model_point(rig.model, split)->id;
    char path[120], metric[200];
    size_t bytes;
    snprintf(path, sizeof path, "/v1/models/tiny/encode?point=%s", id);
    snprintf(metric, sizeof metric, "point=\"%s\",code=\"200\"} 1\n", id);
    model_rig_frame(&rig, split, frame, &bytes);
    struct running_server fresh;
    server_start(&fresh, NULL);
    struct exchange exchange;
    const struct {
        const char *path, *type;
        const void *body;
        size_t bytes;
    } steps[] = {{path, JPEG_TYPE, rig.photo, rig.photo_bytes},
                 {"/v1/models/tiny/latent", FRAME_TYPE, frame, bytes},
                 {"/v1/models/tiny/tail", FRAME_TYPE, frame, bytes}};
    for (size_t i = 0; i < 3; i++) {
        exchange_send(NULL, &fresh, "POST", steps[i].path, steps[i].type,
                      steps[i].body, steps[i].bytes, &exchange);
        ck_assert_int_eq(exchange.code, 200);
        exchange_free(&exchange);
        exchange_get(&fresh, "/metrics", &exchange);
        ck_assert_int_eq(strstr(exchange.body, metric) != NULL, i == 2);
        exchange_free(&exchange);
    }
    ck_assert_int_eq(server_end(&fresh, SIGTERM), 0);
    model_rig_close(&rig);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("console");
    TCase *pages = tcase_create("pages");
    tcase_add_unchecked_fixture(pages, start, end);
    tcase_add_test(pages, root_is_a_page_for_browsers_only);
    tcase_add_loop_test(pages, files_have_type_and_policy, 0,
                        sizeof files / sizeof files[0]);
    tcase_add_loop_test(pages, a_file_that_is_held_is_not_sent_again, 0,
                        sizeof files / sizeof files[0]);
    tcase_add_test(pages, gzip_goes_to_who_takes_it);
    tcase_add_test(pages, no_other_file_is_served);
    tcase_add_test(pages, it_can_be_turned_off);
    suite_add_tcase(suite, pages);
    TCase *frames = tcase_create("frames");
    tcase_add_unchecked_fixture(frames, start, end);
    tcase_add_test(frames, encode_does_the_devices_part);
    tcase_add_test(frames, latent_shows_every_channel);
    tcase_add_loop_test(frames, wrong_requests_are_refused, 0,
                        sizeof refused / sizeof refused[0]);
    tcase_add_test(frames, a_refusal_names_the_points_that_there_are);
    tcase_add_test(frames, a_damaged_photo_is_refused);
    tcase_add_test(frames, only_answers_count_for_a_point);
    suite_add_tcase(suite, frames);
    return suite;
}
