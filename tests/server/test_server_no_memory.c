/* Each allocation fails once, while the server starts and while it answers: it
 * says so, leaks nothing (which the address sanitizer sees), and goes on. Those
 * of shared libraries do not: jansson misreads documents, or aborts. */
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/limits.h"
#include "model_rig.h"
#include "raw_socket.h"
#include "server/app.h"
#include "server/handlers.h"
#include "server/http.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/routes.h"
#include "server/slow.h"
#include "tests/nn/allocator.h"
#include "tests/run_suite.h"

/* All of cleaved but the signals. */
struct served {
    struct srv_config config;
    struct srv_app app;
    struct srv_http *http;
    unsigned port;
};

static void configure(struct served *served)
{
    static const char *const arguments[] = {
        "cleaved",  "--listen",        "127.0.0.1:0", "--model",
        TINY_MODEL, "--workers",       "1",           "--slow-ms",
        "0",        "--log-level",     "error",       "--batch",
        "2",        "--model-control", "1",           NULL};
    char *environment[] = {NULL};
    enum srv_action action;
    memset(served, 0, sizeof *served);
    ck_assert_int_eq(srv_config_read(sizeof arguments / sizeof *arguments - 1,
                                     (char **)(uintptr_t)arguments, environment,
                                     &served->config, &action, NULL),
                     API_OK);
    served->app.config = &served->config;
    srv_log_set_level(SRV_ERROR);
}

static enum api_status start(struct served *served)
{
    struct srv_app *app = &served->app;
    const struct srv_config *config = &served->config;
    size_t pattern_count;
    const char *const *patterns = srv_route_patterns(&pattern_count);
    int listening = -1;
    enum api_status status =
        srv_metrics_open(patterns, pattern_count, &app->metrics);
    if (status == API_OK)
        status = srv_slow_open(&app->slow);
    if (status == API_OK)
        status = srv_registry_open(
            &(struct srv_registry_options){
                .model = config->model,
                .folder = "",
                .default_model = "",
                .each = {.workspaces = config->workers,
                         .threads_per_request = 1,
                         .batch = config->batch,
                         .metrics = app->metrics}},
            &app->registry, NULL);
    if (status == API_OK)
        status = srv_listener_open(config->host, config->port, &listening,
                                   &served->port, NULL);
    if (status == API_OK)
        status = srv_queue_open(
            &(struct srv_queue_options){.workers = config->workers,
                                        .capacity = config->queue,
                                        .batch = config->batch},
            &app->queue, NULL);
    if (status == API_OK)
        status = srv_loader_open(app->registry, &app->loader, NULL);
    if (status == API_OK)
        status = srv_http_open(app, listening, &served->http, NULL);
    if (status != API_OK && listening >= 0)
        close(listening);
    return status;
}

static void end(struct served *served)
{
    struct srv_app *app = &served->app;
    srv_http_close(&served->http);
    srv_loader_close(&app->loader);
    srv_queue_close(&app->queue);
    srv_registry_close(&app->registry);
    srv_metrics_close(&app->metrics);
    srv_slow_close(&app->slow);
}

START_TEST(each_allocation_of_the_start_may_fail)
{
    static struct served served;
    unsigned failed = 0;
    bool reached = true;
    for (size_t n = 1; reached; n++) {
        configure(&served);
        allocator_countdown = n;
        enum api_status status = start(&served);
        reached = allocator_countdown == 0;
        allocator_countdown = 0;
        end(&served);
        failed += status != API_OK;
    }
    ck_assert_uint_gt(failed, 30);
}
END_TEST

/* What is asked, with the bytes of its body behind it. */
struct question {
    const char *line, *header;
    const void *body;
    size_t body_bytes;
};

/* The answer's code; 0 if the server closed instead, -1 if this side failed.
 * Check's assertions allocate, so there are none in here. */
static int ask(unsigned port, const struct question *question)
{
    struct sockaddr_in address;
    char head[400], reply[4096], rest[4096];
    size_t used = 0;
    ssize_t got = 0;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((unsigned short)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int raw = socket(AF_INET, SOCK_STREAM, 0);
    if (raw < 0 ||
        connect(raw, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    snprintf(head, sizeof head,
             "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
             "Content-Length: %zu\r\n\r\n",
             question->line, question->header, question->body_bytes);
    if (raw_send_text(raw, head))
        raw_send(raw, question->body, question->body_bytes);
    while (used < sizeof reply - 1 &&
           (got = recv(raw, reply + used, sizeof reply - 1 - used, 0)) > 0)
        used += (size_t)got;
    while (got > 0) /* so that all is over when this returns */
        got = recv(raw, rest, sizeof rest, 0);
    close(raw);
    reply[used] = '\0';
    return used > 9 ? (int)strtol(reply + 9, NULL, 10) : 0;
}

#define TYPE(type) "Content-Type: " type "\r\n"

/* One failure after another in what answers `question`, which is answered again
 * between them. Returns how many changed the answer. */
static unsigned torment(unsigned port, const struct question *question)
{
    unsigned failed = 0;
    bool reached = true;
    for (size_t n = 1; reached; n++) {
        allocator_countdown = n;
        int code = ask(port, question);
        reached = allocator_countdown == 0;
        allocator_countdown = 0;
        ck_assert_msg(code == 200 || code == 0 || code == 500 || code == 503,
                      "HTTP %d to %s without allocation %zu", code,
                      question->line, n);
        ck_assert_int_eq(ask(port, question), 200);
        failed += code != 200;
    }
    return failed;
}

START_TEST(each_allocation_of_an_answer_may_fail)
{
    static uint8_t frame[API_LIMIT_FRAME_BYTES];
    static struct served served;
    struct model_rig rig;
    size_t frame_bytes;
    model_rig_open(&rig);
    model_rig_frame(&rig, model_rig_split(&rig), frame, &frame_bytes);
    static const char oip[] =
        "{\"id\":\"7\",\"inputs\":[{\"name\":\"image\",\"shape\":[1,32,32,3],"
        "\"datatype\":\"UINT8\",\"parameters\":{\"binary_data_size\":3072}}]}";
    static char tensors[sizeof oip - 1 + 3072];
    memcpy(tensors, oip, sizeof oip - 1);
    char oip_header[100];
    snprintf(oip_header, sizeof oip_header,
             "Inference-Header-Content-Length: %zu\r\n", sizeof oip - 1);
    const struct question questions[] = {
        {"GET /healthz", "", "", 0},
        {"GET /v1/models", "", "", 0},
        {"GET /v1/models/tiny/head", "", "", 0},
        {"GET /metrics", "", "", 0},
        {"GET /v2/models/tiny", "", "", 0},
        {"POST /v2/repository/index", TYPE("application/json"), "{}", 2},
        {"POST /v1/classify", TYPE("image/jpeg"), rig.photo, rig.photo_bytes},
        {"POST /v1/models/tiny/tail", TYPE("application/octet-stream"), frame,
         frame_bytes},
        {"POST /v1/models/tiny/encode?point=w50-low", TYPE("image/jpeg"),
         rig.photo, rig.photo_bytes},
        {"POST /v1/models/tiny/latent", TYPE("application/octet-stream"), frame,
         frame_bytes},
        {"POST /v2/models/tiny/infer", oip_header, tensors, sizeof tensors},
    };
    configure(&served);
    ck_assert_int_eq(start(&served), API_OK);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        ck_assert_uint_gt(torment(served.port, &questions[i]), 2);
    end(&served);
    model_rig_close(&rig);
}
END_TEST

Suite *make_suite(void)
{
    srv_probe_prepare();
    TCase *tests = tcase_create("no memory");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, each_allocation_of_the_start_may_fail);
    tcase_add_test(tests, each_allocation_of_an_answer_may_fail);
    Suite *suite = suite_create("server no memory");
    suite_add_tcase(suite, tests);
    return suite;
}
