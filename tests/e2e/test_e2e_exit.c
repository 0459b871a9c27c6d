/* An early exit between a real cleaved and a real cleave: a sure picture never
 * leaves the device, an unsure one does. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "client/transport.h"
#include "direct.h"
#include "process.h"
#include "scratch.h"
#include "tests/nn/mutant.h"
#include "tests/run_suite.h"

#define SAMPLES CLEAVE_SOURCE_DIR "/models/samples/"
#define POINT "w50-low" /* number 1 of the tiny bundle */
enum { PHOTOS = 4 };

static const char *const photos[PHOTOS] = {
    SAMPLES "cat.jpg", SAMPLES "coffee.jpg", SAMPLES "rocket.jpg",
    SAMPLES "flower.jpg"};

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static char bundle[SCRATCH_PATH_BYTES];
static struct daemon daemon_now;
static struct nn_model *model;
static struct nn_context *context;

/* The tiny bundle, whose point has its own tail for an exit, as a model. */
static void open_model(double threshold)
{
    char exit[120];
    size_t bytes;
    snprintf(exit, sizeof exit,
             "{\"graph\": \"tail/w50\", \"threshold\": %.9g, \"share\": 0.5}",
             threshold);
    struct mutant *mutant = mutant_open();
    mutant_edit(mutant, "document|points|1|exit", exit);
    uint8_t *file = mutant_write(mutant, &bytes);
    mutant_close(mutant);
    scratch_join(bundle, directory, "exit.safetensors");
    scratch_write(bundle, file, bytes);
    free(file);
    nn_context_close(&context);
    nn_model_close(&model);
    ck_assert_int_eq(nn_model_open(bundle, &model, NULL), API_OK);
    ck_assert_int_eq(nn_context_open(model, &context, NULL), API_OK);
}

/* What the engine itself answers; sent_bytes 0: by the exit. */
static struct nn_class ask_engine(const char *photo, size_t *sent_bytes)
{
    size_t jpeg_bytes;
    char *jpeg = scratch_read(photo, &jpeg_bytes);
    struct nn_class best;
    direct_answer(model, context, (uint16_t)nn_model_point_find(model, POINT),
                  (const uint8_t *)jpeg, jpeg_bytes, &best, sent_bytes);
    free(jpeg);
    return best;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A threshold that half of the photos reach. */
static double middle_threshold(void)
{
    double sure[PHOTOS];
    size_t sent_bytes;
    open_model(1e-6);
    for (size_t i = 0; i < PHOTOS; i++)
        sure[i] = (double)ask_engine(photos[i], &sent_bytes).probability;
    qsort(sure, PHOTOS, sizeof *sure, by_size);
    ck_assert_double_lt(sure[PHOTOS / 2 - 1], sure[PHOTOS / 2]);
    return (sure[PHOTOS / 2 - 1] + sure[PHOTOS / 2]) / 2;
}

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(cache, directory, "cache");
    memset(&daemon_now, 0, sizeof daemon_now);
    open_model(middle_threshold());
    daemon_start(&daemon_now, bundle, 0, directory);
}

static void tear_down(void)
{
    process_end(&daemon_now.process, SIGKILL);
    nn_context_close(&context);
    nn_model_close(&model);
    scratch_remove(cache);
    scratch_remove(directory);
}

/* Pictures that the server has computed for, so far. */
static unsigned served(void)
{
    static const char name[] = "\ncleave_requests_total{model=\"tiny\"";
    struct cli_transport *transport = NULL;
    struct cli_request request = {.path = "/metrics",
                                  .timeout_ms = 5000,
                                  .most_reply_bytes = 1 << 20,
                                  .sink_fd = -1};
    struct cli_reply reply = {.body = NULL};
    unsigned total = 0;
    ck_assert_int_eq(cli_transport_open(daemon_now.url, 1000, &transport, NULL),
                     API_OK);
    ck_assert_int_eq(cli_transport_request(transport, &request, &reply, NULL),
                     API_OK);
    char *text = strndup((const char *)reply.body, reply.body_bytes);
    for (char *at = text; (at = strstr(at, name)); at++) {
        const char *value = strstr(at, "} ");
        total += (unsigned)strtoul(value + 2, NULL, 10);
    }
    free(text);
    cli_reply_free(&reply);
    cli_transport_close(&transport);
    return total;
}

/* Runs cleave over the photos, and expects of each what the engine says. */
static unsigned classify(const char *point, const char *metrics)
{
    const char *const arguments[] = {CLEAVE_PROGRAM,   "run",     "--json",
                                     "--point",        point,     "--server",
                                     daemon_now.url,   "--cache", cache,
                                     "--top",          "1",       photos[0],
                                     photos[1],        photos[2], photos[3],
                                     "--metrics-file", metrics,   NULL};
    struct process process;
    unsigned stayed = 0;
    process_start(&process, arguments, directory);
    for (size_t i = 0; i < PHOTOS; i++) {
        size_t sent_bytes;
        struct nn_class best = ask_engine(photos[i], &sent_bytes);
        json_t *answer = answer_parse(process_line(&process));
        ck_assert_str_eq(answer_text(answer, "file"), photos[i]);
        ck_assert_str_eq(answer_text(answer, "point"), POINT);
        ck_assert_str_eq(answer_text(answer, "via"),
                         sent_bytes == 0 ? "exit" : "split");
        ck_assert_uint_eq((size_t)answer_real(answer, "bytes_sent"),
                          sent_bytes);
        ck_assert(sent_bytes > 0 || answer_real(answer, "link_ms") == 0);
        const json_t *first = json_array_get(json_object_get(answer, "top"), 0);
        ck_assert_uint_eq((uint32_t)answer_real(first, "index"), best.index);
        ck_assert_double_eq_tol(answer_real(first, "probability"),
                                (double)best.probability, 1e-4);
        stayed += sent_bytes == 0;
        json_decref(answer);
    }
    ck_assert_int_eq(process_finish(&process), 0);
    return stayed;
}

START_TEST(only_unsure_pictures_reach_the_server)
{
    char metrics[SCRATCH_PATH_BYTES];
    scratch_join(metrics, directory, "cleave.prom");
    unsigned before = served();
    ck_assert_uint_eq(classify(POINT, metrics), PHOTOS / 2);
    ck_assert_uint_eq(served() - before, PHOTOS / 2);
    size_t bytes;
    char *text = scratch_read(metrics, &bytes);
    ck_assert_ptr_nonnull(
        strstr(text, "{point=\"" POINT "\",via=\"exit\"} 2\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "{point=\"" POINT "\",via=\"split\"} 2\n"));
    free(text);
}
END_TEST

START_TEST(points_are_listed_with_their_exits)
{
    const char *const list[] = {CLEAVE_PROGRAM, "points",       "--json",
                                "--server",     daemon_now.url, NULL};
    struct process process;
    process_start(&process, list, directory);
    json_t *points = answer_parse(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 0);
    const json_t *exit = json_object_get(json_array_get(points, 1), "exit");
    ck_assert_double_eq_tol(answer_real(exit, "threshold"),
                            nn_model_point(model, 1)->exit_threshold, 1e-4);
    ck_assert_double_eq(answer_real(exit, "share"), 0.5);
    ck_assert(json_is_null(json_object_get(json_array_get(points, 2), "exit")));
    json_decref(points);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("exit");
    TCase *group = tcase_create("exit");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 120);
    tcase_add_test(group, only_unsure_pictures_reach_the_server);
    tcase_add_test(group, points_are_listed_with_their_exits);
    suite_add_tcase(suite, group);
    return suite;
}
