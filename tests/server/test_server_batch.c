/* Frames that are computed together: answers, faults, deadlines, counts. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "api/limits.h"
#include "exchange.h"
#include "model_rig.h"
#include "running_server.h"
#include "tests/run_suite.h"

#define PATH "/v1/models/tiny/tail?top=5"

enum { GOOD = 4, DAMAGED, HASTY, COUNT };

static struct running_server server;
static struct model_rig rig;
static uint8_t *slow;
static size_t slow_bytes;

/* A request, in a thread of its own. */
struct errand {
    pthread_t thread;
    const char *path, *type;
    const uint8_t *body;
    size_t bytes;
    char *alone; /* the body of the answer that it got alone */
    struct exchange exchange;
};

static uint8_t frames[COUNT][API_LIMIT_FRAME_BYTES];
static struct errand errands[COUNT], blocker;

static void *run_errand(void *argument)
{
    struct errand *errand = argument;
    exchange_send(NULL, &server, "POST", errand->path, errand->type,
                  errand->body, errand->bytes, &errand->exchange);
    return NULL;
}

static void begin(struct errand *errand)
{
    ck_assert_int_eq(pthread_create(&errand->thread, NULL, run_errand, errand),
                     0);
}

/* One point's frames of different pictures: good ones, one whose payload lacks
 * its end, and one that cannot wait. */
static void make_errands(void)
{
    const struct nn_input *input;
    struct api_frame frame;
    uint16_t point;
    slow = slow_jpeg(&slow_bytes);
    blocker = (struct errand){.path = "/v1/classify",
                              .type = JPEG_TYPE,
                              .body = slow,
                              .bytes = slow_bytes};
    model_rig_open(&rig);
    input = nn_model_input(rig.model);
    point = model_rig_split(&rig);
    for (int i = 0; i < COUNT; i++) {
        errands[i] =
            (struct errand){.path = i == HASTY ? PATH "&deadline_ms=1" : PATH,
                            .type = FRAME_TYPE,
                            .body = frames[i]};
        for (int k = 0; k < input->width * input->height; k++)
            rig.pixels[3 * k + i % 3] ^= (uint8_t)(37 * i);
        model_rig_frame(&rig, point, frames[i], &errands[i].bytes);
    }
    ck_assert_int_eq(
        api_frame_read(frames[DAMAGED], errands[DAMAGED].bytes, &frame, NULL),
        API_OK);
    frame.payload_bytes--;
    ck_assert_int_eq(api_frame_write(&frame, frames[DAMAGED],
                                     API_LIMIT_FRAME_BYTES,
                                     &errands[DAMAGED].bytes),
                     API_OK);
}

static void prepare(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    make_errands();
}

static void clean(void)
{
    for (int i = 0; i < COUNT; i++)
        free(errands[i].alone);
    free(slow);
    model_rig_close(&rig);
    curl_global_cleanup();
}

static void check_answer(struct errand *errand, int index)
{
    const struct exchange *exchange = &errand->exchange;
    char timing[200];
    if (index == DAMAGED) {
        exchange_assert_problem(exchange, API_UNPROCESSABLE);
    } else if (exchange->code != 200) {
        ck_assert_int_eq(index, HASTY);
        exchange_assert_problem(exchange, API_DEADLINE);
    } else {
        exchange_header(exchange, "Server-Timing", timing, sizeof timing);
        ck_assert_ptr_nonnull(strstr(timing, "queue;dur="));
        ck_assert_ptr_nonnull(strstr(timing, "decode;dur="));
        ck_assert_ptr_nonnull(strstr(timing, "infer;dur="));
        if (!errand->alone)
            errand->alone = strdup(exchange->body);
        ck_assert_str_eq(exchange->body, errand->alone);
    }
}

/* All frames at once, while the only worker is busy. */
static void send_together(void)
{
    begin(&blocker);
    while (exchange_metric(&server, "cleave_inflight_requests") == 0)
        ;
    for (int i = 0; i < COUNT; i++)
        begin(&errands[i]);
    for (int i = 0; i < COUNT; i++) {
        pthread_join(errands[i].thread, NULL);
        check_answer(&errands[i], i);
        exchange_free(&errands[i].exchange);
    }
    pthread_join(blocker.thread, NULL);
    ck_assert_int_eq(blocker.exchange.code, 200);
    exchange_free(&blocker.exchange);
}

static double frames_counted(const char *what)
{
    const struct api_point *point =
        nn_model_point(rig.model, model_rig_split(&rig));
    char name[200];
    snprintf(name, sizeof name,
             "cleave_batch_frames_%s{model=\"tiny\",version=\"0.1.0\","
             "point=\"%s\"}",
             what, point->id);
    return exchange_metric(&server, name);
}

/* How fast a worker is against this test is anyone's guess on a busy machine,
 * so it is tried until frames waited; the test's timeout ends what never
 * comes. */
START_TEST(each_gets_its_own_answer)
{
    server_start(&server, (const char *const[]){"--workers", "1", NULL});
    for (int i = 0; i < GOOD; i++) {
        run_errand(&errands[i]);
        check_answer(&errands[i], i);
        ck_assert_ptr_nonnull(errands[i].alone);
        exchange_free(&errands[i].exchange);
    }
    /* What comes to an idle server is computed at once. */
    ck_assert_double_eq(frames_counted("count"), GOOD);
    ck_assert_double_eq(frames_counted("sum"), GOOD);
    do
        send_together();
    while (frames_counted("sum") < frames_counted("count") + 2);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

START_TEST(batch_1_computes_each_alone)
{
    server_start(&server,
                 (const char *const[]){"--workers", "1", "--batch", "1", NULL});
    for (int i = 0; i < 2; i++)
        send_together();
    ck_assert_double_ge(frames_counted("count"), 2 * GOOD);
    ck_assert_double_eq(frames_counted("sum"), frames_counted("count"));
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("batch");
    tcase_add_checked_fixture(cases, prepare, clean);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, each_gets_its_own_answer);
    tcase_add_test(cases, batch_1_computes_each_alone);
    Suite *suite = suite_create("server batch");
    suite_add_tcase(suite, cases);
    return suite;
}
