/* Every documented error of a real cleaved is provoked. */
#include <check.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/frame.h"
#include "api/json.h"
#include "api/limits.h"
#include "exchange.h"
#include "model_rig.h"
#include "raw_socket.h"
#include "running_server.h"
#include "tests/run_suite.h"

static struct running_server server;

static void start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    server_start(&server,
                 (const char *const[]){"--max-body-bytes", "1500000", NULL});
}

static void end(void)
{
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    curl_global_cleanup();
}

static const struct {
    const char *method, *path, *header;
    long body_bytes; /* of noise; -1: none */
    enum api_status status;
} cases[] = {
    {"POST", "/v1/classify?top=0", JPEG_TYPE, 9, API_BAD_REQUEST},
    {"POST", "/v1/classify?top=101", JPEG_TYPE, 9, API_BAD_REQUEST},
    {"POST", "/v1/classify?top=", JPEG_TYPE, 9, API_BAD_REQUEST},
    {"POST", "/v1/classify?top", JPEG_TYPE, 9, API_BAD_REQUEST},
    {"POST", "/v1/classify?top=%00", JPEG_TYPE, 9, API_BAD_REQUEST},
    {"POST", "/v1/classify?top=1e1", JPEG_TYPE, 9, API_BAD_REQUEST},
    {"POST", "/v1/classify?deadline_ms=0", JPEG_TYPE, 9, API_BAD_REQUEST},
    {"POST", "/v1/models/tiny/tail?top=-1", FRAME_TYPE, 9, API_BAD_REQUEST},
    {"GET", "/v1/models/tiny/head?include=all", NULL, -1, API_BAD_REQUEST},
    {"GET", "/v1/models/tiny/head?include=", NULL, -1, API_BAD_REQUEST},
    {"GET", "/v1/probe?bytes=x", NULL, -1, API_BAD_REQUEST},
    {"GET", "/v1/probe?bytes=1048577", NULL, -1, API_BAD_REQUEST},

    {"GET", "/nowhere", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/models/", NULL, -1, API_NOT_FOUND},
    {"GET", "/healthz/", NULL, -1, API_NOT_FOUND},
    {"GET", "//healthz", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/../healthz", NULL, -1, API_NOT_FOUND},
    {"GET", "/healthz%00", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1%2Fmodels", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/models/huge", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/models/tin", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/models/tiny2", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/models/tiny%2Flabels", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/models/tiny/tails", NULL, -1, API_NOT_FOUND},
    {"GET", "/v1/models/huge/head", NULL, -1, API_NOT_FOUND},
    {"POST", "/v1/models/huge/tail", FRAME_TYPE, 9, API_NOT_FOUND},
    {"POST", "/v1/models/huge/classify", JPEG_TYPE, 9, API_NOT_FOUND},
    {"BREW", "/coffee", NULL, -1, API_NOT_FOUND},

    {"POST", "/v1/classify", NULL, 9, API_UNSUPPORTED_MEDIA},
    {"POST", "/v1/classify", "Content-Type: image/jpg", 9,
     API_UNSUPPORTED_MEDIA},
    {"POST", "/v1/classify", "Content-Type: image/jpegs", 9,
     API_UNSUPPORTED_MEDIA},
    {"POST", "/v1/classify", "Content-Type: multipart/form-data", 9,
     API_UNSUPPORTED_MEDIA},
    {"POST", "/v1/models/tiny/tail", JPEG_TYPE, 9, API_UNSUPPORTED_MEDIA},

    {"POST", "/v1/models/tiny/tail", FRAME_TYPE, API_LIMIT_FRAME_BYTES + 1,
     API_TOO_LARGE},
    {"POST", "/v1/classify", JPEG_TYPE, 1500001, API_TOO_LARGE},
    {"POST", "/v1/probe", NULL, API_LIMIT_PROBE_BYTES + 1, API_TOO_LARGE},
    {"POST", "/v2/repository/index", "Content-Type: application/json",
     API_LIMIT_JSON_BYTES + 1, API_TOO_LARGE},
    {"POST", "/nowhere", NULL, 1500001, API_NOT_FOUND},
    {"GET", "/healthz", NULL, 1500001, API_TOO_LARGE},

    {"POST", "/v1/classify", JPEG_TYPE, 0, API_UNPROCESSABLE},
    {"POST", "/v1/classify", JPEG_TYPE, 1000, API_UNPROCESSABLE},
    {"POST", "/v1/models/tiny/tail", FRAME_TYPE, 0, API_UNPROCESSABLE},
    {"POST", "/v1/models/tiny/tail", FRAME_TYPE, 1000, API_UNPROCESSABLE},
};

START_TEST(a_wrong_request_gets_its_problem)
{
    static char noise[1500002];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 2654435761u >> 13);
    long count = cases[_i].body_bytes;
    struct exchange exchange;
    exchange_send(NULL, &server, cases[_i].method, cases[_i].path,
                  cases[_i].header, count < 0 ? NULL : noise,
                  count < 0 ? 0 : (size_t)count, &exchange);
    exchange_assert_problem(&exchange, cases[_i].status);
    exchange_free(&exchange);
    exchange_get(&server, "/healthz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
}
END_TEST

/* Refusals that are sent before the body has come. */
static const struct {
    const char *text;
    int code;
} early[] = {
    {"POST /v1/probe HTTP/1.1\r\nHost: x\r\n"
     "Content-Length: 4194304\r\n\r\n",
     413},
    {"POST /nowhere HTTP/1.1\r\nHost: x\r\n"
     "Content-Length: 4194304\r\n\r\n",
     404},
    {"POST /v1/probe HTTP/1.1\r\nHost: x\r\n"
     "Transfer-Encoding: chunked\r\n\r\n400000\r\n",
     411},
    {"POST /v1/probe HTTP/1.1\r\nHost: x\r\n"
     "Content-Length: 9\r\nContent-Length: 4194304\r\n\r\n",
     400},
    {"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
     "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
     415},
};

START_TEST(a_refusal_reaches_who_is_still_sending)
{
    /* More than the buffers of an ended connection hold: without a reader, or
     * after a reset, it cannot be sent. */
    enum { BYTES = 4 << 20 };
    char *rest = calloc(1, BYTES), reply[4000];
    int raw = raw_connect(&server);
    struct pollfd refusal = {.fd = raw, .events = POLLIN};
    raw_send_text(raw, early[_i].text);
    raw_send(raw, rest, 100);
    ck_assert_int_eq(poll(&refusal, 1, -1), 1);
    ck_assert(raw_send(raw, rest, BYTES));
    ck_assert_int_eq(raw_reply(raw, reply, sizeof reply), early[_i].code);
    ck_assert_ptr_nonnull(strstr(reply, "application/problem+json"));
    ck_assert_ptr_nonnull(strstr(reply, "Connection: close"));
    ck_assert_int_eq(recv(raw, reply, sizeof reply, 0), 0); /* no reset */
    close(raw);
    free(rest);
}
END_TEST

START_TEST(other_methods_get_the_allowed_ones)
{
    static const struct {
        const char *path, *allow;
    } paths[] = {
        {"/healthz", "GET, HEAD"},
        {"/v1/models/tiny/head", "GET, HEAD"},
        {"/v1/models/no-such/head", "GET, HEAD"},
        {"/v1/classify", "POST"},
        {"/v1/models/tiny/tail", "POST"},
        {"/v1/probe", "GET, HEAD, POST"},
    };
    static const char *const methods[] = {
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "BREW",
        "get",
        "A-METHOD-WHOSE-NAME-IS-LONGER-THAN-ANY-BUFFER"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        for (size_t k = 0; k < sizeof methods / sizeof *methods; k++) {
            /* Listed methods are not refused. */
            char listed[60], allowed[60];
            snprintf(listed, sizeof listed, ", %s,", methods[k]);
            snprintf(allowed, sizeof allowed, ", %s,", paths[i].allow);
            if (strstr(allowed, listed))
                continue;
            struct exchange exchange;
            exchange_send(NULL, &server, methods[k], paths[i].path, NULL, NULL,
                          0, &exchange);
            char allow[60];
            ck_assert_msg(exchange.code == 405, "%s %s: %ld", methods[k],
                          paths[i].path, exchange.code);
            exchange_header(&exchange, "Allow", allow, sizeof allow);
            ck_assert_str_eq(allow, paths[i].allow);
            if (strcmp(methods[k], "HEAD") != 0)
                exchange_assert_problem(&exchange, API_METHOD_NOT_ALLOWED);
            exchange_free(&exchange);
        }
    }
}
END_TEST

/* Recomputes the checksum of a frame that was tampered with. */
static void seal(uint8_t *frame, size_t bytes)
{
    uint32_t crc = api_crc32c(api_crc32c(0, frame, 24), frame + 28, bytes - 28);
    for (int i = 0; i < 4; i++)
        frame[24 + i] = (uint8_t)(crc >> (8 * i));
}

static void send_frame(const uint8_t *frame, size_t bytes,
                       enum api_status status, const char *word)
{
    struct exchange exchange;
    exchange_send(NULL, &server, "POST", "/v1/models/tiny/tail", FRAME_TYPE,
                  frame, bytes, &exchange);
    exchange_assert_problem(&exchange, status);
    ck_assert_msg(strstr(exchange.body, word) != NULL, "no \"%s\" in %s", word,
                  exchange.body);
    if (status == API_MODEL_MISMATCH) {
        /* With the metadata that the client needs now. */
        json_t *root = json_loadb(exchange.body, exchange.body_bytes, 0, NULL);
        char *text = json_dumps(json_object_get(root, "model"), 0);
        struct api_model model;
        ck_assert_int_eq(api_model_read(text, strlen(text), &model, NULL),
                         API_OK);
        ck_assert_str_eq(model.name, "tiny");
        free(text);
        json_decref(root);
    }
    exchange_free(&exchange);
}

START_TEST(frames_that_do_not_fit_are_refused)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES], bad[API_LIMIT_FRAME_BYTES];
    struct model_rig rig;
    size_t bytes;
    model_rig_open(&rig);
    model_rig_frame(&rig, model_rig_split(&rig), frame, &bytes);
    static const struct {
        size_t offset;
        uint8_t value;
        bool sealed;
        enum api_status status;
        const char *word;
    } edits[] = {
        {30, 0x55, false, API_UNPROCESSABLE, "checksum"},
        {0, 0, true, API_UNPROCESSABLE, "magic"},
        {12, 0, true, API_MODEL_MISMATCH, "another version"},
        {4, 200, true, API_UNPROCESSABLE, "no split point"},
        {4, 0, true, API_UNPROCESSABLE, "no split point"}, /* offload */
        {3, 2, true, API_UNPROCESSABLE, "codec"},
        {6, 5, true, API_UNPROCESSABLE, "shape"},
        {8, 7, true, API_UNPROCESSABLE, "shape"},
        {10, 7, true, API_UNPROCESSABLE, "shape"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        memcpy(bad, frame, bytes);
        ck_assert_uint_ne(bad[edits[i].offset], edits[i].value);
        bad[edits[i].offset] = edits[i].value;
        if (edits[i].sealed)
            seal(bad, bytes);
        send_frame(bad, bytes, edits[i].status, edits[i].word);
    }
    /* A payload that is no latent: cut, and announced as such. */
    memcpy(bad, frame, bytes);
    uint32_t payload = (uint32_t)(bytes - 28 - 3);
    for (int i = 0; i < 4; i++)
        bad[20 + i] = (uint8_t)(payload >> (8 * i));
    seal(bad, bytes - 3);
    send_frame(bad, bytes - 3, API_UNPROCESSABLE, "detail");
    send_frame(frame, bytes - 1, API_UNPROCESSABLE, "payload");
    model_rig_close(&rig);
}
END_TEST

START_TEST(pictures_that_cannot_be_read_are_refused)
{
    size_t bytes;
    char *photo = file_read(PHOTO, &bytes);
    struct exchange exchange;
    exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                  bytes / 2, &exchange);
    exchange_assert_problem(&exchange, API_UNPROCESSABLE);
    exchange_free(&exchange);
    /* A header that announces a picture of 65500 x 65500 pixels. */
    for (size_t i = 0; i + 9 < bytes; i++) {
        if ((uint8_t)photo[i] == 0xFF && (uint8_t)photo[i + 1] == 0xC0) {
            memcpy(photo + i + 5, "\xFF\xDC\xFF\xDC", 4);
            break;
        }
    }
    exchange_send(NULL, &server, "POST", "/v1/classify", JPEG_TYPE, photo,
                  bytes, &exchange);
    exchange_assert_problem(&exchange, API_TOO_LARGE);
    exchange_free(&exchange);
    free(photo);
}
END_TEST

START_TEST(a_head_bundle_serves_what_it_has)
{
    struct model_rig rig;
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    size_t frame_bytes, head_bytes;
    uint8_t *head = NULL;
    model_rig_open(&rig);
    model_rig_frame(&rig, model_rig_split(&rig), frame, &frame_bytes);
    ck_assert_int_eq(
        nn_model_export_head(rig.model, false, &head, &head_bytes, NULL),
        API_OK);
    char path[] = "/tmp/cleaved-head-XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_eq(write(file, head, head_bytes), (ssize_t)head_bytes);
    close(file);
    free(head);

    struct running_server lesser;
    struct exchange exchange;
    server_start(&lesser, (const char *const[]){"--model", path, NULL});
    exchange_send(NULL, &lesser, "POST", "/v1/classify", JPEG_TYPE, rig.photo,
                  rig.photo_bytes, &exchange);
    exchange_assert_problem(&exchange, API_UNAVAILABLE);
    exchange_free(&exchange);
    exchange_send(NULL, &lesser, "POST", "/v1/models/tiny/tail", FRAME_TYPE,
                  frame, frame_bytes, &exchange);
    exchange_assert_problem(&exchange, API_UNAVAILABLE);
    exchange_free(&exchange);
    exchange_get(&lesser, "/v1/models/tiny/head", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
    ck_assert_int_eq(server_end(&lesser, SIGTERM), 0);
    unlink(path);
    model_rig_close(&rig);
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("refusals");
    tcase_add_unchecked_fixture(tests, start, end);
    tcase_add_loop_test(tests, a_wrong_request_gets_its_problem, 0,
                        (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(tests, a_refusal_reaches_who_is_still_sending, 0,
                        (int)(sizeof early / sizeof *early));
    tcase_add_test(tests, other_methods_get_the_allowed_ones);
    tcase_add_test(tests, frames_that_do_not_fit_are_refused);
    tcase_add_test(tests, pictures_that_cannot_be_read_are_refused);
    tcase_add_test(tests, a_head_bundle_serves_what_it_has);
    Suite *suite = suite_create("server refusals");
    suite_add_tcase(suite, tests);
    return suite;
}
