/* The whole product on loopback: real cleaved, real cleave, real photographs.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "answers.h"
#include "client/cleave.h"
#include "direct.h"
#include "process.h"
#include "scratch.h"
#include "tests/run_suite.h"

#define SAMPLES CLEAVE_SOURCE_DIR "/models/samples/"
#define DEFAULT_BUNDLE CLEAVE_SOURCE_DIR "/models/default.safetensors"
#define PHOTOS 3

static const char *const photos[PHOTOS] = {
    SAMPLES "cat.jpg", SAMPLES "coffee.jpg", SAMPLES "rocket.jpg"};

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static struct daemon daemon_now;

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(cache, directory, "cache");
    memset(&daemon_now, 0, sizeof daemon_now);
    unsetenv("CLEAVE_SERVER");
}

static void tear_down(void)
{
    process_end(&daemon_now.process, SIGKILL);
    scratch_remove(cache);
    scratch_remove(directory);
}

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* Starts "cleave run --json" at `point` for `count` files. */
static void start_classify(struct process *process, const char *point,
                           const char *const *files, size_t count)
{
    const char *arguments[PROCESS_ARGUMENTS_MOST] = {
        CLEAVE_PROGRAM, "run",          "--json",  "--point", point,
        "--server",     daemon_now.url, "--cache", cache};
    size_t used = 9;
    ck_assert_uint_lt(used + count, PROCESS_ARGUMENTS_MOST);
    memcpy(arguments + used, files, count * sizeof *files);
    process_start(process, arguments, directory);
}

/* Every member that an answer must have; returns its `via`. */
static const char *check_answer(const json_t *answer, const char *file)
{
    ck_assert_str_eq(answer_text(answer, "file"), file);
    ck_assert_uint_gt(strlen(answer_text(answer, "point")), 0);
    ck_assert_uint_gt(strlen(answer_text(answer, "reason")), 0);
    const char *via = answer_text(answer, "via");
    bool local = strcmp(via, "local") == 0;
    ck_assert(answer_real(answer, "bytes_sent") > 0 || local);
    ck_assert_double_ge(answer_real(answer, "device_ms"), 0);
    ck_assert_double_ge(answer_real(answer, "link_ms"), 0);
    ck_assert_double_ge(answer_real(answer, "server_ms"), 0);
    const json_t *top = json_object_get(answer, "top");
    ck_assert_uint_eq(json_array_size(top), 5);
    double last = 1;
    for (size_t i = 0; i < 5; i++) {
        const json_t *class = json_array_get(top, i);
        ck_assert(json_is_integer(json_object_get(class, "index")));
        ck_assert_uint_gt(strlen(answer_text(class, "label")), 0);
        double probability = answer_real(class, "probability");
        ck_assert_double_le(probability, last + 1e-9);
        last = probability;
    }
    return via;
}

static void assert_agrees(const json_t *answer, const struct nn_class *best,
                          size_t sent_bytes)
{
    const json_t *first = json_array_get(json_object_get(answer, "top"), 0);
    ck_assert_uint_eq((uint32_t)answer_real(first, "index"), best->index);
    ck_assert_double_eq_tol(answer_real(first, "probability"),
                            (double)best->probability, 1e-4);
    ck_assert_uint_eq((size_t)answer_real(answer, "bytes_sent"), sent_bytes);
}

static const char *const bundles[] = {
    CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors", DEFAULT_BUNDLE};

/* The thread sanitizer takes a minute over the second, the default one, whose
 * threads are those of the first. */
#ifdef __SANITIZE_THREAD__
enum { BUNDLES_RUN = 1 };
#else
enum { BUNDLES_RUN = 2 };
#endif

/* Offload, every split point and local say over HTTP what the engine says when
 * it is asked directly, and send just the bytes that it takes. */
START_TEST(test_every_point_agrees_with_the_engine)
{
    struct nn_model *model = NULL;
    struct nn_context *context = NULL;
    ck_assert_int_eq(nn_model_open(bundles[_i], &model, NULL), API_OK);
    ck_assert_int_eq(nn_context_open(model, &context, NULL), API_OK);
    daemon_start(&daemon_now, bundles[_i], 0, directory);
    for (uint16_t point = 0; point < nn_model_point_count(model); point++) {
        const struct api_point *info = nn_model_point(model, point);
        struct process process;
        start_classify(&process, info->id, photos, PHOTOS);
        for (size_t i = 0; i < PHOTOS; i++) {
            size_t jpeg_bytes, sent_bytes = 0;
            char *jpeg = scratch_read(photos[i], &jpeg_bytes);
            struct nn_class best;
            direct_answer(model, context, point, (const uint8_t *)jpeg,
                          jpeg_bytes, &best, &sent_bytes);
            free(jpeg);
            json_t *answer = answer_parse(process_line(&process));
            ck_assert_str_eq(check_answer(answer, photos[i]),
                             api_point_kind_name(info->kind));
            ck_assert_str_eq(answer_text(answer, "point"), info->id);
            ck_assert_str_eq(answer_text(answer, "reason"), "asked for");
            assert_agrees(answer, &best, sent_bytes);
            json_decref(answer);
        }
        ck_assert_ptr_null(process_line(&process));
        ck_assert_int_eq(process_finish(&process), 0);
    }
    nn_context_close(&context);
    nn_model_close(&model);
    ck_assert_int_eq(process_end(&daemon_now.process, SIGTERM), 0);
}
END_TEST

/* The pulled plug: one line for every file, each saying how it was made. */
START_TEST(test_server_killed_in_the_middle)
{
    static const char *const points[] = {"offload", "w100-high", "auto"};
    enum { FILES = 60, SERVED = 6 };
    const char *files[FILES];
    for (size_t i = 0; i < FILES; i++)
        files[i] = photos[i % PHOTOS];
    daemon_start(&daemon_now, scratch_bundle(), 0, directory);
    struct process process;
    start_classify(&process, points[_i], files, FILES);
    size_t by_server = 0, by_device = 0;
    for (size_t i = 0; i < FILES; i++) {
        if (i == SERVED)
            process_end(&daemon_now.process, SIGKILL);
        json_t *answer = answer_parse(process_line(&process));
        bool local = strcmp(check_answer(answer, files[i]), "local") == 0;
        by_device += local;
        by_server += !local;
        if (strcmp(points[_i], "auto") != 0) {
            ck_assert(i >= SERVED || !local);
            if (local)
                ck_assert_ptr_nonnull(
                    strstr(answer_text(answer, "reason"), "server"));
        }
        json_decref(answer);
    }
    ck_assert_ptr_null(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 0);
    ck_assert_uint_eq(by_server + by_device, FILES);
    /* The pipe holds some lines made before the kill, but never all. */
    ck_assert_uint_gt(by_device, 0);
}
END_TEST

/* One handle through a server's death and return. */
START_TEST(test_server_returns)
{
    daemon_start(&daemon_now, scratch_bundle(), 0, directory);
    struct cleave_options options = {.server_url = daemon_now.url,
                                     .cache_dir = cache};
    struct cleave *handle = NULL;
    static struct cleave_result result;
    struct cleave_error error;
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    ck_assert_int_eq(cleave_open(&options, &handle, &error), CLEAVE_OK);
    ck_assert_int_eq(
        cleave_classify(handle, jpeg, bytes, "split", 0, &result, &error),
        CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_SPLIT);
    process_end(&daemon_now.process, SIGKILL);
    ck_assert_int_eq(
        cleave_classify(handle, jpeg, bytes, "split", 0, &result, &error),
        CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    daemon_start(&daemon_now, scratch_bundle(), daemon_now.port, directory);
    for (int i = 0; i < 1000 && result.via == CLEAVE_VIA_LOCAL; i++) {
        pause_ms(20);
        ck_assert_int_eq(
            cleave_classify(handle, jpeg, bytes, "split", 0, &result, &error),
            CLEAVE_OK);
    }
    ck_assert_int_eq(result.via, CLEAVE_VIA_SPLIT);
    cleave_close(&handle);
}
END_TEST

/* The server comes back with another version, then with another model: the
 * client's next frame is refused, and it fetches the new head. */
START_TEST(test_server_changes_its_model)
{
    char other[SCRATCH_PATH_BYTES], third[SCRATCH_PATH_BYTES];
    char renamed[SCRATCH_PATH_BYTES];
    bundle_write_other(other, directory);
    bundle_write_changed(third, directory, "third.safetensors", other,
                         "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb");
    bundle_write_changed(renamed, directory, "renamed.safetensors", third,
                         "tiny", "tidy");
    const char *const succession[] = {scratch_bundle(), other, renamed,
                                      scratch_bundle()};
    struct cleave_options options = {.cache_dir = cache};
    struct cleave *handle = NULL;
    struct cleave_class first = {.index = 0};
    static struct cleave_result result;
    struct cleave_error error;
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    for (size_t i = 0; i < 4; i++) {
        daemon_start(&daemon_now, succession[i], daemon_now.port, directory);
        options.server_url = daemon_now.url;
        if (!handle)
            ck_assert_int_eq(cleave_open(&options, &handle, &error), CLEAVE_OK);
        for (int repeat = 0; repeat < 2; repeat++) {
            ck_assert_int_eq(cleave_classify(handle, jpeg, bytes, "w100-high",
                                             0, &result, &error),
                             CLEAVE_OK);
            ck_assert_msg(result.via == CLEAVE_VIA_SPLIT, "%zu: %s", i,
                          result.reason);
            ck_assert_str_eq(result.point, "w100-high");
            /* The frame that was retried held this picture, too. */
            if (repeat == 0)
                first = result.top[0];
            ck_assert_uint_eq(result.top[0].index, first.index);
            ck_assert_double_eq_tol(result.top[0].probability,
                                    first.probability, 1e-6);
        }
        process_end(&daemon_now.process, SIGTERM);
    }
    cleave_close(&handle);
    /* The cache holds what was fetched last. */
    ck_assert_int_eq(cleave_open(&options, &handle, &error), CLEAVE_OK);
    ck_assert_ptr_nonnull(strstr(cleave_notice(handle), "model tiny"));
    cleave_close(&handle);
}
END_TEST

/* The model that comes has another name for the point: whoever asks for the
 * old one learns, at once, which there are. */
START_TEST(test_the_point_is_no_more)
{
    static const char *const points =
        "no point \"w100-high\": offload, w50-low, w50-high, w100-low, "
        "w100-best, w100-u8, local";
    char other[SCRATCH_PATH_BYTES], renamed[SCRATCH_PATH_BYTES];
    bundle_write_other(other, directory);
    bundle_write_changed(renamed, directory, "renamed.safetensors", other,
                         "\\\"id\\\": \\\"w100-high",
                         "\\\"id\\\": \\\"w100-best");
    struct cleave_options options = {.cache_dir = cache};
    struct cleave *handle = NULL;
    static struct cleave_result result;
    struct cleave_error error = {.text = ""};
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    daemon_start(&daemon_now, scratch_bundle(), 0, directory);
    options.server_url = daemon_now.url;
    ck_assert_int_eq(cleave_open(&options, &handle, &error), CLEAVE_OK);
    process_end(&daemon_now.process, SIGTERM);
    daemon_start(&daemon_now, renamed, daemon_now.port, directory);
    for (int repeat = 0; repeat < 2; repeat++) {
        ck_assert_int_eq(cleave_classify(handle, jpeg, bytes, "w100-high", 0,
                                         &result, &error),
                         CLEAVE_ERROR_USAGE);
        ck_assert_msg(strstr(error.text, points) != NULL, "%s", error.text);
    }
    ck_assert_int_eq(cleave_classify(handle, jpeg, bytes, "w100-best", 0,
                                     &result, &error),
                     CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_SPLIT);
    cleave_close(&handle);
}
END_TEST

/* A device with a bundle of its own never fetches; a frame that the server
 * refuses is answered locally. */
START_TEST(test_given_bundle_of_another_version)
{
    char other[SCRATCH_PATH_BYTES];
    bundle_write_other(other, directory);
    daemon_start(&daemon_now, scratch_bundle(), 0, directory);
    struct cleave_options options = {.server_url = daemon_now.url,
                                     .bundle_path = other};
    struct cleave *handle = NULL;
    static struct cleave_result result;
    struct cleave_error error;
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    ck_assert_int_eq(cleave_open(&options, &handle, &error), CLEAVE_OK);
    ck_assert_ptr_nonnull(strstr(cleave_notice(handle), "another version"));
    ck_assert_int_eq(
        cleave_classify(handle, jpeg, bytes, "w100-high", 0, &result, &error),
        CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    ck_assert_ptr_nonnull(strstr(result.reason, "another model version"));
    ck_assert_int_eq(
        cleave_classify(handle, jpeg, bytes, "offload", 0, &result, &error),
        CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_OFFLOAD);
    cleave_close(&handle);
}
END_TEST

/* Bad files among good ones: a line for each, errors only for the bad. */
START_TEST(test_bad_files_among_good_ones)
{
    static const char *const points[] = {"offload", "w100-high", "local",
                                         "auto"};
    char text[SCRATCH_PATH_BYTES], empty[SCRATCH_PATH_BYTES];
    char cut[SCRATCH_PATH_BYTES];
    scratch_join(text, directory, "text.jpg");
    scratch_join(empty, directory, "empty.jpg");
    scratch_join(cut, directory, "cut.jpg");
    size_t bytes;
    const char *jpeg = scratch_jpeg(&bytes);
    scratch_write(text, "these are not the bytes of a JPEG", 33);
    scratch_write(empty, "", 0);
    scratch_write(cut, jpeg, bytes / 2);
    const char *const files[] = {photos[0], text,      empty, "/nowhere/x.jpg",
                                 photos[1], directory, cut,   photos[2]};
    static const bool good[] = {true, false, false, false,
                                true, false, false, true};
    daemon_start(&daemon_now, scratch_bundle(), 0, directory);
    struct process process;
    /* The directory stands for its three files, cut, empty and text. */
    start_classify(&process, points[_i], files, 8);
    for (size_t i = 0; i < 8; i++) {
        for (int copy = 0; copy < (files[i] == directory ? 3 : 1); copy++) {
            json_t *answer = answer_parse(process_line(&process));
            if (good[i]) {
                check_answer(answer, files[i]);
            } else {
                ck_assert_uint_gt(strlen(answer_text(answer, "error")), 3);
                ck_assert_uint_eq(json_object_size(answer), 2);
            }
            json_decref(answer);
        }
    }
    ck_assert_ptr_null(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 1);
}
END_TEST

/* Command lines and the exit statuses that --help promises. NULL ends a row;
 * URL stands for the server's. */
#define URL "@url"
static const struct {
    const char *arguments[8];
    int status;
    bool speaks; /* on stdout */
} commands[] = {
    {{"--help"}, 0, true},
    {{"--version"}, 0, true},
    {{"run", "--help"}, 0, true},
    {{"points", "--help"}, 0, true},
    {{"probe", "--help"}, 0, true},
    {{"doctor", "--help"}, 0, true},
    {{NULL}, 2, false},
    {{"paint"}, 2, false},
    {{"run"}, 2, false},
    {{"run", "--nonsense", SAMPLES "cat.jpg"}, 2, false},
    {{"run", "--top", "0", SAMPLES "cat.jpg"}, 2, false},
    {{"run", "--top", "101", SAMPLES "cat.jpg"}, 2, false},
    {{"run", "--deadline-ms", "1e3", SAMPLES "cat.jpg"}, 2, false},
    {{"run", "--samples", "3", SAMPLES "cat.jpg"}, 2, false},
    {{"run", "--server", "gopher://x", SAMPLES "cat.jpg"}, 2, false},
    {{"run", "--server"}, 2, false},
    {{"points", "--server", URL, "file"}, 2, false},
    {{"probe", "--samples", "-1", "--server", URL}, 2, false},
    {{"doctor", "file"}, 2, false},
    {{"run", "--in-flight", "0", SAMPLES "cat.jpg"}, 2, false},
    {{"run", "--in-flight", "65", SAMPLES "cat.jpg"}, 2, false},
    {{"points", "--latest"}, 2, false},
    {{"run", "--watch", "/nowhere/at/all"}, 1, false},
    {{"points", "--server", "http://127.0.0.1:1"}, 1, false},
    {{"probe", "--server", "http://127.0.0.1:1"}, 1, false},
    {{"run", "--server", URL, "--model", "other", SAMPLES "cat.jpg"}, 1, false},
    {{"run", "--server", URL, "--point", "nosuch", SAMPLES "cat.jpg"}, 1, true},
    {{"run", "--server", URL, "--top", "2", SAMPLES}, 0, true},
    {{"run", "--server", URL, "/dev/null"}, 1, true},
    {{"points", "--server", URL}, 0, true},
    {{"probe", "--server", URL, "--samples", "2"}, 0, true},
};

START_TEST(test_exit_statuses)
{
    daemon_start(&daemon_now, scratch_bundle(), 0, directory);
    setenv("XDG_CACHE_HOME", directory, 1);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *arguments[10] = {CLEAVE_PROGRAM};
        for (size_t k = 0; k < 8 && commands[i].arguments[k]; k++)
            arguments[k + 1] = strcmp(commands[i].arguments[k], URL) == 0
                                   ? daemon_now.url
                                   : commands[i].arguments[k];
        struct process process;
        process_start(&process, arguments, directory);
        bool spoke = process_line(&process) != NULL;
        int status = process_finish(&process);
        char errors[1000];
        process_errors(&process, errors, sizeof errors);
        ck_assert_msg(status == commands[i].status, "row %zu: exit %d: %s", i,
                      status, errors);
        ck_assert_msg(spoke == commands[i].speaks, "row %zu: stdout", i);
        ck_assert_msg((status == 0 || commands[i].speaks) ==
                          (strlen(errors) == 0),
                      "row %zu: stderr: %s", i, errors);
    }
    char below[SCRATCH_PATH_BYTES];
    scratch_join(below, directory, "cleave");
    scratch_remove(below);
}
END_TEST

START_TEST(test_points_and_probe_documents)
{
    daemon_start(&daemon_now, DEFAULT_BUNDLE, 0, directory);
    const char *const list[] = {CLEAVE_PROGRAM, "points",       "--json",
                                "--server",     daemon_now.url, NULL};
    struct process process;
    process_start(&process, list, directory);
    json_t *points = answer_parse(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 0);
    struct nn_model *model = NULL;
    ck_assert_int_eq(nn_model_open(DEFAULT_BUNDLE, &model, NULL), API_OK);
    ck_assert_uint_eq(json_array_size(points), nn_model_point_count(model));
    for (uint16_t i = 0; i < nn_model_point_count(model); i++) {
        const struct api_point *info = nn_model_point(model, i);
        const json_t *point = json_array_get(points, i);
        ck_assert_str_eq(answer_text(point, "id"), info->id);
        ck_assert_str_eq(answer_text(point, "kind"),
                         api_point_kind_name(info->kind));
        ck_assert_uint_eq((uint64_t)answer_real(point, "head_macs"),
                          info->head_macs);
        static const char *const measured[] = {"bytes_mean", "bytes_p95",
                                               "top1", "top5"};
        const double values[] = {info->bytes_mean, info->bytes_p95, info->top1,
                                 info->top5};
        for (size_t k = 0; k < 4; k++) {
            const json_t *value = json_object_get(point, measured[k]);
            if (values[k] < 0)
                ck_assert(json_is_null(value));
            else
                ck_assert_double_eq_tol(json_number_value(value), values[k],
                                        0.06);
        }
    }
    json_decref(points);
    nn_model_close(&model);

    const char *const probe[] = {CLEAVE_PROGRAM, "probe", "--json",
                                 "--samples",    "5",     "--server",
                                 daemon_now.url, NULL};
    process_start(&process, probe, directory);
    json_t *link = answer_parse(process_line(&process));
    ck_assert_int_eq(process_finish(&process), 0);
    ck_assert_uint_eq((unsigned)answer_real(link, "samples"), 5);
    ck_assert_double_ge(answer_real(json_object_get(link, "rtt_ms"), "median"),
                        0);
    static const char *const ways[] = {"up_bps", "down_bps"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *way = json_object_get(link, ways[i]);
        ck_assert_double_gt(answer_real(way, "p05"), 0);
        ck_assert_double_ge(answer_real(way, "median"),
                            answer_real(way, "p05"));
    }
    json_decref(link);
}
END_TEST

/* A photo of more bytes than are sent whole goes out at the size that the
 * network looks at, with the same answer. */
START_TEST(test_large_picture_is_made_small)
{
    static const char *const large[] = {CLEAVE_SOURCE_DIR
                                        "/tests/data/pictures/quarter.jpg"};
    struct nn_model *model = NULL;
    struct nn_context *context = NULL;
    struct nn_class best;
    size_t jpeg_bytes, sent_bytes = 0;
    char *jpeg = scratch_read(large[0], &jpeg_bytes);
    ck_assert_int_eq(nn_model_open(DEFAULT_BUNDLE, &model, NULL), API_OK);
    ck_assert_int_eq(nn_context_open(model, &context, NULL), API_OK);
    int offload = nn_model_point_find(model, "offload");
    direct_answer(model, context, (uint16_t)offload, (const uint8_t *)jpeg,
                  jpeg_bytes, &best, &sent_bytes);
    daemon_start(&daemon_now, DEFAULT_BUNDLE, 0, directory);
    struct process process;
    start_classify(&process, "offload", large, 1);
    json_t *answer = answer_parse(process_line(&process));
    ck_assert_str_eq(check_answer(answer, large[0]), "offload");
    ck_assert_double_lt(answer_real(answer, "bytes_sent"),
                        (double)jpeg_bytes / 2);
    ck_assert_double_gt(answer_real(answer, "device_ms"), 0);
    const json_t *first = json_array_get(json_object_get(answer, "top"), 0);
    ck_assert_uint_eq((uint32_t)answer_real(first, "index"), best.index);
    ck_assert_double_eq_tol(answer_real(first, "probability"),
                            (double)best.probability, 0.05);
    json_decref(answer);
    ck_assert_int_eq(process_finish(&process), 0);
    nn_context_close(&context);
    nn_model_close(&model);
    free(jpeg);
}
END_TEST

START_TEST(test_standard_input)
{
    daemon_start(&daemon_now, scratch_bundle(), 0, directory);
    ck_assert_ptr_nonnull(freopen(photos[0], "rb", stdin));
    const char *const files[] = {"-"};
    struct process process;
    start_classify(&process, "offload", files, 1);
    json_t *answer = answer_parse(process_line(&process));
    ck_assert_str_eq(check_answer(answer, "-"), "offload");
    json_decref(answer);
    ck_assert_int_eq(process_finish(&process), 0);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("end to end");
    TCase *group = tcase_create("end to end");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 300);
    tcase_add_loop_test(group, test_every_point_agrees_with_the_engine, 0,
                        BUNDLES_RUN);
    tcase_add_loop_test(group, test_server_killed_in_the_middle, 0, 3);
    tcase_add_test(group, test_server_returns);
    tcase_add_test(group, test_server_changes_its_model);
    tcase_add_test(group, test_the_point_is_no_more);
    tcase_add_test(group, test_given_bundle_of_another_version);
    tcase_add_loop_test(group, test_bad_files_among_good_ones, 0, 4);
    tcase_add_test(group, test_exit_statuses);
    tcase_add_test(group, test_points_and_probe_documents);
    tcase_add_test(group, test_large_picture_is_made_small);
    tcase_add_test(group, test_standard_input);
    suite_add_tcase(suite, group);
    return suite;
}
