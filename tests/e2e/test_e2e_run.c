/* cleave run: streams, watched directories, order, what is dropped, what is
 * told on the way; with real cleaved. */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answers.h"
#include "client/clock.h"
#include "fake_server.h"
#include "process.h"
#include "scratch.h"
#include "tests/run_suite.h"

#define SAMPLES CLEAVE_SOURCE_DIR "/models/samples/"

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static char photos[SCRATCH_PATH_BYTES];
static struct daemon server, other_server;
static struct process process;
static int feed = -1; /* the write end of the program's standard input */

static void set_up(void)
{
    scratch_make(directory);
    scratch_make(photos);
    scratch_join(cache, directory, "cache");
    memset(&server, 0, sizeof server);
    memset(&other_server, 0, sizeof other_server);
    memset(&process, 0, sizeof process);
    unsetenv("CLEAVE_SERVER");
    signal(SIGPIPE, SIG_IGN);
    daemon_start(&server, scratch_bundle(), 0, directory);
}

static void tear_down(void)
{
    process_end(&process, SIGKILL);
    process_end(&server.process, SIGKILL);
    process_end(&other_server.process, SIGKILL);
    scratch_remove(cache);
    scratch_remove(photos);
    scratch_remove(directory);
}

/* Starts "cleave run" on the server with these arguments, NULL behind. */
static void start(const char *const *more)
{
    const char *arguments[32] = {CLEAVE_PROGRAM, "run",     "--server",
                                 server.url,     "--cache", cache};
    size_t used = 6;
    while (*more)
        arguments[used++] = *more++;
    process_start(&process, arguments, directory);
}

/* The same with a standard input that this test writes. */
static void start_fed(const char *const *more)
{
    int ends[2], kept = dup(STDIN_FILENO);
    ck_assert_int_eq(pipe(ends), 0);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    start(more);
    dup2(kept, STDIN_FILENO);
    close(kept);
    feed = ends[1];
}

static void feed_bytes(const void *bytes, size_t count)
{
    for (size_t at = 0; at < count;) {
        ssize_t written = write(feed, (const char *)bytes + at, count - at);
        ck_assert_int_gt(written, 0);
        at += (size_t)written;
    }
}

static void feed_photo(void)
{
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    feed_bytes(jpeg, bytes);
}

/* The next line, which must be an answer of frame `number` of the stream. */
static json_t *next_frame(unsigned number)
{
    json_t *answer = answer_parse(process_line(&process));
    ck_assert_str_eq(answer_text(answer, "file"), "-");
    ck_assert_uint_eq((unsigned)answer_real(answer, "frame"), number);
    return answer;
}

/* Frames with rubbish between them, one cut short: a line for each, in their
 * order, whatever is in flight. */
START_TEST(test_stream_in_order)
{
    static const char *const in_flight[] = {"1", "3", "8"};
    enum { FRAMES = 20, CUT = 7 };
    const char *const arguments[] = {"--in-flight", in_flight[_i], "-", NULL};
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    start_fed(arguments);
    for (unsigned i = 1; i <= FRAMES; i++) {
        feed_bytes(jpeg, i == CUT ? bytes / 2 : bytes);
        if (i != CUT && i % 5 == 0)
            feed_bytes("\r\n--boundary\r\n\r\n", 16);
    }
    close(feed);
    for (unsigned i = 1; i <= FRAMES; i++) {
        json_t *answer = next_frame(i);
        if (i == CUT)
            ck_assert_uint_gt(strlen(answer_text(answer, "error")), 3);
        else
            ck_assert_uint_gt(strlen(answer_text(answer, "via")), 3);
        ck_assert_ptr_null(json_object_get(answer, "dropped"));
        json_decref(answer);
    }
    ck_assert_ptr_null(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 1);
}
END_TEST

START_TEST(test_stream_without_a_picture)
{
    const char *const arguments[] = {"-", "-", NULL};
    start_fed(arguments);
    feed_bytes("there is no picture in this", 27);
    close(feed);
    json_t *answer = answer_parse(process_line(&process));
    ck_assert_str_eq(answer_text(answer, "file"), "-");
    ck_assert_ptr_nonnull(strstr(answer_text(answer, "error"), "no JPEG"));
    json_decref(answer);
    ck_assert_int_eq(process_finish(&process), 1);
}
END_TEST

/* A stream faster than the answers: what was dropped is told, nothing else is
 * missing, and the last frame is answered. */
START_TEST(test_latest)
{
    enum { FRAMES = 60 };
    const char *const arguments[] = {"--latest", "--in-flight", "2", "--point",
                                     "local",    "-",           NULL};
    start_fed(arguments);
    for (unsigned i = 1; i <= FRAMES; i++)
        feed_photo();
    close(feed);
    unsigned answered = 0, dropped = 0, last = 0;
    for (const char *line; (line = process_line(&process)) != NULL;) {
        json_t *answer = answer_parse(line);
        unsigned frame = (unsigned)answer_real(answer, "frame");
        ck_assert_uint_gt(frame, last);
        const json_t *skipped = json_object_get(answer, "dropped");
        ck_assert_int_eq(json_integer_value(skipped), frame - last - 1);
        dropped += frame - last - 1;
        last = frame;
        answered++;
        json_decref(answer);
    }
    ck_assert_int_eq(process_finish(&process), 0);
    ck_assert_uint_eq(last, FRAMES);
    ck_assert_uint_eq(answered + dropped, FRAMES);
}
END_TEST

/* A stream slower than the answers loses nothing, and each frame is answered
 * before the next one comes. */
START_TEST(test_latest_of_a_slow_stream)
{
    const char *const arguments[] = {"--latest", "-", NULL};
    start_fed(arguments);
    for (unsigned i = 1; i <= 5; i++) {
        feed_photo();
        json_t *answer = next_frame(i);
        ck_assert_ptr_null(json_object_get(answer, "dropped"));
        json_decref(answer);
    }
    close(feed);
    ck_assert_int_eq(process_finish(&process), 0);
}
END_TEST

static void add_photo(const char *name)
{
    char temporary[SCRATCH_PATH_BYTES], path[SCRATCH_PATH_BYTES];
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    scratch_join(temporary, photos, ".part");
    scratch_join(path, photos, name);
    scratch_write(temporary, jpeg, bytes);
    ck_assert_int_eq(rename(temporary, path), 0);
}

static void assert_file(const char *name)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, photos, name);
    json_t *answer = answer_parse(process_line(&process));
    ck_assert_str_eq(answer_text(answer, "file"), path);
    ck_assert_uint_gt(strlen(answer_text(answer, "via")), 3);
    json_decref(answer);
}

/* Those named first, then those that come, until it is told to stop. */
START_TEST(test_watch)
{
    const char *const arguments[] = {"--watch", photos, photos, NULL};
    add_photo("a.jpg");
    start(arguments);
    assert_file("a.jpg");
    add_photo("c.jpg");
    assert_file("c.jpg");
    add_photo("b.jpg");
    assert_file("b.jpg");
    kill(process.pid, _i == 0 ? SIGTERM : SIGINT);
    ck_assert_ptr_null(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 0);
}
END_TEST

START_TEST(test_watched_directory_vanishes)
{
    const char *const arguments[] = {"--watch", photos, photos, NULL};
    add_photo("a.jpg");
    start(arguments);
    assert_file("a.jpg");
    scratch_remove(photos);
    json_t *answer = answer_parse(process_line(&process));
    ck_assert_str_eq(answer_text(answer, "file"), photos);
    ck_assert_ptr_nonnull(strstr(answer_text(answer, "error"), "gone"));
    json_decref(answer);
    ck_assert_int_eq(process_finish(&process), 1);
}
END_TEST

/* Stopped among files that it was told to answer: it says so by its status. */
START_TEST(test_stopped_among_files)
{
    const char *arguments[24];
    for (size_t i = 0; i < 23; i++)
        arguments[i] = SAMPLES;
    arguments[23] = NULL;
    start(arguments);
    json_decref(answer_parse(process_line(&process)));
    kill(process.pid, SIGTERM);
    ck_assert_int_eq(process_finish(&process), 1);
}
END_TEST

/* The reader of stdout goes away. */
START_TEST(test_nobody_reads)
{
    const char *const arguments[] = {"-", NULL};
    start_fed(arguments);
    feed_photo();
    json_decref(next_frame(1));
    fclose(process.out);
    process.out = fopen("/dev/null", "r");
    /* The stream does not end, but the program does. */
    for (int i = 0; i < 3; i++)
        feed_photo();
    int status = 0;
    ck_assert_int_eq(waitpid(process.pid, &status, 0), process.pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    process.pid = 0;
    close(feed);
}
END_TEST

static char *read_metrics(const char *path)
{
    size_t bytes;
    return scratch_read(path, &bytes);
}

static void assert_metric(const char *text, const char *line)
{
    ck_assert_msg(strstr(text, line) != NULL, "no %s in:\n%s", line, text);
}

/* The counts are there before the first picture and agree with the answers. */
START_TEST(test_metrics)
{
    char path[SCRATCH_PATH_BYTES], bad[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, "cleave.prom");
    scratch_join(bad, photos, "bad.jpg");
    scratch_write(bad, "no JPEG", 7);
    const char *const arguments[] = {
        "--metrics-file", path, "--point", "offload", bad, "-", NULL};
    start_fed(arguments);
    json_decref(answer_parse(process_line(&process)));
    char *text = read_metrics(path);
    assert_metric(text, "\n# TYPE cleave_client_pictures_total counter\n");
    free(text);
    feed_photo();
    feed_photo();
    close(feed);
    ck_assert_int_eq(process_finish(&process), 1);
    text = read_metrics(path);
    assert_metric(text, "\ncleave_client_pictures_total{point=\"offload\","
                        "via=\"offload\"} 2\n");
    assert_metric(text, "\ncleave_client_failed_total 1\n");
    assert_metric(text, "_seconds_count 2\n");
    free(text);

    const char *const nowhere[] = {"--metrics-file", "/nowhere/at/all",
                                   SAMPLES "cat.jpg", NULL};
    start(nowhere);
    ck_assert_ptr_null(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 1);
}
END_TEST

/* Two servers, one of which dies: the answers say which one made them. */
START_TEST(test_fail_over)
{
    daemon_start(&other_server, scratch_bundle(), 0, directory);
    const char *const arguments[] = {
        "--server", other_server.url, "--point", "offload", "-", NULL};
    start_fed(arguments);
    for (unsigned i = 1; i <= 6; i++) {
        feed_photo();
        json_t *answer = next_frame(i);
        ck_assert_str_eq(answer_text(answer, "via"), "offload");
        ck_assert_str_eq(answer_text(answer, "server"),
                         i <= 3 ? server.url : other_server.url);
        json_decref(answer);
        if (i == 3)
            process_end(&server.process, SIGKILL);
    }
    close(feed);
    ck_assert_int_eq(process_finish(&process), 0);
    char said[500];
    process_errors(&process, said, sizeof said);
    ck_assert_ptr_nonnull(strstr(said, "going on with"));
}
END_TEST

/* Reads what the program writes to a terminal until it ends. */
static size_t read_terminal(int master, char *text, size_t capacity)
{
    size_t used = 0;
    ssize_t bytes;
    while (used + 1 < capacity &&
           (bytes = read(master, text + used, capacity - 1 - used)) > 0)
        used += (size_t)bytes; /* EIO when the last writer is gone */
    text[used] = '\0';
    return used;
}

/* On a terminal: a table, and a bar that is taken away at the end. */
START_TEST(test_terminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(grantpt(master), 0);
    ck_assert_int_eq(unlockpt(master), 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(terminal, 0);
    const char *const arguments[] = {CLEAVE_PROGRAM, "run",     "--server",
                                     server.url,     "--cache", cache,
                                     SAMPLES,        NULL};
    pid_t pid = fork();
    if (pid == 0) {
        dup2(terminal, STDOUT_FILENO);
        dup2(terminal, STDERR_FILENO);
        execv(arguments[0], (char *const *)(size_t)arguments);
        _exit(127);
    }
    close(terminal);
    static char text[65536];
    read_terminal(master, text, sizeof text);
    close(master);
    int status;
    waitpid(pid, &status, 0);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_metric(text, "device ms");
    assert_metric(text, SAMPLES "cat.jpg  ");
    assert_metric(text, "] 0/6, ");
    assert_metric(text, "\r\033[K");
    /* At the end the bar is away. */
    ck_assert_str_eq(text + strlen(text) - 4, "\r\033[K");
}
END_TEST

static const char answer_body[] =
    "{\"model\":\"tiny\",\"version\":\"1\",\"point\":\"offload\",\"top\":["
    "{\"index\":1,\"label\":\"one\",\"probability\":0.75}]}";

/* While one answer is waited for, the next picture is sent: eight pictures that
 * the server takes half a second for take far less than eight times that. */
START_TEST(test_pictures_overlap)
{
    enum { PICTURES = 8 };
    size_t head_bytes;
    char *head = scratch_head(1, &head_bytes), *models = scratch_models(0);
    const struct fake_route routes[] = {{.path = "/v1/models/tiny/head",
                                         .code = 200,
                                         .headers = "ETag: \"a\"\r\n",
                                         .body = head,
                                         .body_bytes = head_bytes},
                                        {.path = "/v1/models/tiny/classify",
                                         .conduct = FAKE_LATE,
                                         .code = 200,
                                         .body = answer_body,
                                         .body_bytes = sizeof answer_body - 1},
                                        {.path = "/v1/models",
                                         .code = 200,
                                         .body = models,
                                         .body_bytes = strlen(models)}};
    struct fake_server fake;
    fake_start(&fake, routes, 3);
    const char *arguments[32] = {CLEAVE_PROGRAM, "run", "--server", fake.url,
                                 "--cache",      cache, "--point",  "offload",
                                 "--in-flight",  "8"};
    for (int i = 0; i < PICTURES; i++)
        arguments[10 + i] = SAMPLES "cat.jpg";
    process_start(&process, arguments, directory);
    double first_ms = 0;
    for (int i = 0; i < PICTURES; i++) {
        json_t *answer = answer_parse(process_line(&process));
        ck_assert_str_eq(answer_text(answer, "via"), "offload");
        ck_assert_double_gt(answer_real(answer, "total_ms"), 500);
        json_decref(answer);
        first_ms = i == 0 ? cli_now_ms() : first_ms;
    }
    ck_assert_double_lt(cli_now_ms() - first_ms, 500.0 * (PICTURES - 1) / 2);
    ck_assert_int_eq(process_finish(&process), 0);
    fake_stop(&fake);
    free(head);
    free(models);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("cleave run");
    TCase *group = tcase_create("cleave run");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 300);
    tcase_add_loop_test(group, test_stream_in_order, 0, 3);
    tcase_add_test(group, test_stream_without_a_picture);
    tcase_add_test(group, test_latest);
    tcase_add_test(group, test_latest_of_a_slow_stream);
    tcase_add_loop_test(group, test_watch, 0, 2);
    tcase_add_test(group, test_watched_directory_vanishes);
    tcase_add_test(group, test_stopped_among_files);
    tcase_add_test(group, test_nobody_reads);
    tcase_add_test(group, test_metrics);
    tcase_add_test(group, test_fail_over);
    tcase_add_test(group, test_terminal);
    tcase_add_test(group, test_pictures_overlap);
    suite_add_tcase(suite, group);
    return suite;
}
