/* Pictures that come by themselves: cut out of a stream, met in a directory. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/limits.h"
#include "client/clock.h"
#include "client/frames.h"
#include "client/metrics_file.h"
#include "client/mjpeg.h"
#include "client/stop.h"
#include "client/watch.h"
#include "scratch.h"
#include "tests/run_suite.h"

static char directory[SCRATCH_PATH_BYTES];

static void set_up(void)
{
    scratch_make(directory);
    ck_assert(cli_stop_install());
}

static void tear_down(void)
{
    scratch_remove(directory);
}

/* A stream and the pictures that are in it, separated by '|' in `pictures`.
 * Letters stand for bytes: S = FF D8, E = FF D9, A = an APP1 segment that holds
 * a whole thumbnail, H = SOS and its segment, R = FF D0, Z = FF 00, F = FF, Q =
 * a segment of length 0, x = 'x'. */
static const struct {
    const char *stream, *pictures;
} streams[] = {
    {"", ""},
    {"xxFxE", ""},
    {"SE", "SE"},
    {"SAHxxE", "SAHxxE"},
    {"SAHxxESAHxxxE", "SAHxxE|SAHxxxE"},
    {"xxSHxExxFxSHxxExx", "SHxE|SHxxE"},
    {"SHxZxRxZE", "SHxZxRxZE"},
    {"SHxFFESHxFE", "SHxFFE|SHxFE"}, /* fill bytes before a marker */
    {"FSHxE", "SHxE"},
    {"SAAHxAHxxE", "SAAHxAHxxE"}, /* progressive: tables between scans */
    {"SHxxSHxE", "SHxx|SHxE"},    /* cut short by the next one */
    {"SHxxFSHxE", "SHxxF|SHxE"},
    {"SASHxE", "SA|SHxE"},
    {"SHxx", "SHxx"}, /* cut short by the end */
    {"SHxF", "SHxF"},
    {"S", "S"},
    {"SxxAxHxE", "SxxAxHxE"}, /* stray bytes between segments */
    {"SQHxE", "SQHxE"},
    {"SRZHxE", "SRZHxE"},
    {"ESHxEE", "SHxE"},
};

#define STREAMS (int)(sizeof streams / sizeof streams[0])

static size_t spell(const char *letters, unsigned char *bytes)
{
    static const unsigned char thumbnail[] = {0xFF, 0xE1, 0,    14,   'E', 'x',
                                              0xFF, 0xD8, 0xFF, 0xDA, 0,   2,
                                              'y',  0xFF, 0xD9, 0};
    size_t used = 0;
    for (; *letters; letters++) {
        unsigned char *to = bytes + used;
        switch (*letters) {
        case 'A':
            memcpy(to, thumbnail, sizeof thumbnail);
            used += sizeof thumbnail;
            continue;
        case 'H':
            memcpy(to, "\xFF\xDA\0\4\1\2", 6);
            used += 6;
            continue;
        case 'Q':
            memcpy(to, "\xFF\xE0\0\0", 4);
            used += 4;
            continue;
        case 'x':
            *to = 'x';
            used++;
            continue;
        case 'F':
            *to = 0xFF;
            used++;
            continue;
        default:
            to[0] = 0xFF;
            to[1] = *letters == 'S'   ? 0xD8
                    : *letters == 'E' ? 0xD9
                    : *letters == 'R' ? 0xD0
                                      : 0;
            used += 2;
        }
    }
    return used;
}

/* Writes to a pipe in pieces of `step` bytes. */
struct feed {
    const unsigned char *bytes;
    size_t count, step;
    int fd;
};

static void *write_feed(void *context)
{
    struct feed *feed = context;
    for (size_t at = 0; at < feed->count; at += feed->step) {
        size_t left = feed->count - at;
        size_t piece = left < feed->step ? left : feed->step;
        if (write(feed->fd, feed->bytes + at, piece) != (ssize_t)piece)
            break;
    }
    close(feed->fd);
    return NULL;
}

/* Begins to feed a reader. */
static struct cli_frames *begin(struct feed *feed, pthread_t *thread,
                                int *read_fd)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    feed->fd = ends[1];
    *read_fd = ends[0];
    struct cli_frames *frames = cli_frames_open(ends[0]);
    ck_assert_ptr_nonnull(frames);
    ck_assert_int_eq(pthread_create(thread, NULL, write_feed, feed), 0);
    return frames;
}

static void finish(struct cli_frames *frames, pthread_t thread, int read_fd)
{
    unsigned char *jpeg;
    size_t bytes;
    ck_assert_int_eq(cli_frames_next(frames, &jpeg, &bytes), CLI_FRAMES_END);
    ck_assert_int_eq(cli_frames_next(frames, &jpeg, &bytes), CLI_FRAMES_END);
    pthread_join(thread, NULL);
    cli_frames_close(&frames);
    close(read_fd);
}

START_TEST(test_pictures_of_a_stream)
{
    static const size_t steps[] = {1, 2, 3, 7, 65536};
    for (size_t i = 0; i < 5; i++) {
        unsigned char bytes[1000], expected[1000];
        struct feed feed = {bytes, spell(streams[_i].stream, bytes), steps[i],
                            -1};
        pthread_t thread;
        int fd;
        struct cli_frames *frames = begin(&feed, &thread, &fd);
        char pictures[100], *rest = NULL;
        snprintf(pictures, sizeof pictures, "%s", streams[_i].pictures);
        for (char *one = strtok_r(pictures, "|", &rest); one;
             one = strtok_r(NULL, "|", &rest)) {
            size_t count = spell(one, expected), got_count = 0;
            unsigned char *got = NULL;
            ck_assert_int_eq(cli_frames_next(frames, &got, &got_count),
                             CLI_FRAMES_PICTURE);
            ck_assert_msg(got_count == count &&
                              memcmp(got, expected, count) == 0,
                          "%s in pieces of %zu: %zu bytes, not %zu", one,
                          steps[i], got_count, count);
            free(got);
        }
        finish(frames, thread, fd);
    }
}
END_TEST

/* Real pictures, progressive and with thumbnails, come out as they went in. */
START_TEST(test_real_pictures)
{
    static const char *const names[] = {"progressive", "orientation6", "grey",
                                        "odd422", "progressive"};
    enum { COUNT = 5 };
    char *one[COUNT];
    size_t bytes[COUNT], total = 0;
    for (size_t i = 0; i < COUNT; i++) {
        char path[SCRATCH_PATH_BYTES];
        snprintf(path, sizeof path,
                 CLEAVE_SOURCE_DIR "/tests/data/pictures/%s.jpg", names[i]);
        one[i] = scratch_read(path, &bytes[i]);
        total += bytes[i];
    }
    unsigned char *all = malloc(total);
    size_t used = 0;
    for (size_t i = 0; i < COUNT; used += bytes[i++])
        memcpy(all + used, one[i], bytes[i]);
    struct feed feed = {all, total, 4096, -1};
    pthread_t thread;
    int fd;
    struct cli_frames *frames = begin(&feed, &thread, &fd);
    for (size_t i = 0; i < COUNT; i++) {
        unsigned char *got = NULL;
        size_t count = 0;
        ck_assert_int_eq(cli_frames_next(frames, &got, &count),
                         CLI_FRAMES_PICTURE);
        ck_assert_uint_eq(count, bytes[i]);
        ck_assert_int_eq(memcmp(got, one[i], count), 0);
        free(got);
        free(one[i]);
    }
    finish(frames, thread, fd);
    free(all);
}
END_TEST

/* A picture without end is passed over in bounded memory; the next is not. */
START_TEST(test_endless_picture)
{
    size_t total = API_LIMIT_JPEG_BYTES + 1000;
    unsigned char *bytes = malloc(total);
    memset(bytes, 'x', total);
    spell("SH", bytes);
    spell("ESHxE", bytes + total - 20);
    struct feed feed = {bytes, total, 1u << 20, -1};
    pthread_t thread;
    int fd;
    struct cli_frames *frames = begin(&feed, &thread, &fd);
    unsigned char *got = NULL;
    size_t count = 0;
    ck_assert_int_eq(cli_frames_next(frames, &got, &count),
                     CLI_FRAMES_TOO_LARGE);
    ck_assert_int_eq(cli_frames_next(frames, &got, &count), CLI_FRAMES_PICTURE);
    ck_assert_uint_eq(count, 11);
    free(got);
    finish(frames, thread, fd);
    free(bytes);
}
END_TEST

START_TEST(test_unreadable_stream)
{
    int fd = open(directory, O_RDONLY);
    struct cli_frames *frames = cli_frames_open(fd);
    unsigned char *got;
    size_t count;
    ck_assert_int_eq(cli_frames_next(frames, &got, &count), CLI_FRAMES_FAILED);
    ck_assert_int_eq(errno, EISDIR);
    cli_frames_close(&frames);
    close(fd);
}
END_TEST

static void touch(const char *name)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, name);
    scratch_write(path, name, strlen(name));
}

static void assert_next(struct cli_watch *watch, const char *name)
{
    char *path = NULL, expected[SCRATCH_PATH_BYTES];
    ck_assert_int_eq(cli_watch_next(watch, &path), CLI_WATCH_FILE);
    scratch_join(expected, directory, name);
    ck_assert_str_eq(path, expected);
    free(path);
}

/* Only what is finished, only JPEGs, nothing hidden. */
START_TEST(test_watched_directory)
{
    char from[SCRATCH_PATH_BYTES], to[SCRATCH_PATH_BYTES];
    touch("before.jpg");
    struct cli_watch *watch = cli_watch_open(directory);
    ck_assert_ptr_nonnull(watch);
    scratch_join(from, directory, "slow.jpg");
    int slow = open(from, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(slow, "half", 4), 4);
    touch("a.jpg");
    touch("b.txt");
    touch(".c.jpg");
    touch("d.JPEG");
    touch("e.jpg.part");
    scratch_join(from, directory, "e.jpg.part");
    scratch_join(to, directory, "e.jpg");
    ck_assert_int_eq(rename(from, to), 0);
    close(slow);
    assert_next(watch, "a.jpg");
    assert_next(watch, "d.JPEG");
    assert_next(watch, "e.jpg");
    assert_next(watch, "slow.jpg");
    scratch_remove(directory);
    char *path = NULL;
    ck_assert_int_eq(cli_watch_next(watch, &path), CLI_WATCH_GONE);
    cli_watch_close(&watch);
    ck_assert_ptr_null(cli_watch_open(directory));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static void *ask_soon(void *context)
{
    (void)context;
    cli_sleep_ms(50);
    kill(getpid(), SIGTERM);
    return NULL;
}

/* A signal wakes who waits for a stream or a directory. */
START_TEST(test_signal_ends_the_waiting)
{
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(pipe(ends), 0);
    struct cli_frames *frames = cli_frames_open(ends[0]);
    struct cli_watch *watch = cli_watch_open(directory);
    ck_assert_int_eq(write(ends[1], "\xFF\xD8half", 6), 6);
    ck_assert_int_eq(pthread_create(&thread, NULL, ask_soon, NULL), 0);
    unsigned char *jpeg;
    size_t bytes;
    char *path;
    ck_assert_int_eq(cli_frames_next(frames, &jpeg, &bytes), CLI_FRAMES_END);
    ck_assert_int_eq(cli_watch_next(watch, &path), CLI_WATCH_END);
    ck_assert(cli_stop_asked());
    pthread_join(thread, NULL);
    cli_frames_close(&frames);
    cli_watch_close(&watch);
}
END_TEST

/* The file is whole, ends in a newline, and says what happened. */
START_TEST(test_metrics_file)
{
    struct cli_metrics metrics = {.failed = 2, .dropped = 3};
    static struct cleave_result result = {.point = "odd\"\\\n",
                                          .via = CLEAVE_VIA_SPLIT,
                                          .bytes_sent = 100,
                                          .device_ms = 250};
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, "cleave.prom");
    for (int i = 0; i < 3; i++)
        cli_metrics_answered(&metrics, &result, i == 2 ? 99 : 0.02);
    ck_assert(cli_metrics_write(&metrics, path));
    ck_assert(cli_metrics_write(&metrics, path)); /* over the old one */
    static const char *const lines[] = {
        "{point=\"odd\\\"\\\\\\n\",via=\"split\"} 3\n",
        "\ncleave_client_failed_total 2\n",
        "\ncleave_client_dropped_total 3\n",
        "\ncleave_client_sent_bytes_total 300\n",
        "\ncleave_client_device_seconds_total 0.750000\n",
        "\n# TYPE cleave_client_picture_duration_seconds histogram\n",
        "_bucket{le=\"0.01\"} 0\n",
        "_bucket{le=\"0.025\"} 2\n",
        "_bucket{le=\"10\"} 2\n",
        "_bucket{le=\"+Inf\"} 3\n",
        "_sum 99.040000\n",
        "_count 3\n"};
    size_t bytes;
    char *text = scratch_read(path, &bytes);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ck_assert_msg(strstr(text, lines[i]) != NULL, "no%s", lines[i]);
    ck_assert_int_eq(text[bytes - 1], '\n');
    free(text);
    ck_assert_uint_eq(scratch_count(directory, ""), 1); /* no leftovers */
    ck_assert(!cli_metrics_write(&metrics, "/nowhere/at/all"));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(!cli_metrics_write(&metrics, directory));
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("streams");
    TCase *group = tcase_create("streams");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, test_pictures_of_a_stream, 0, STREAMS);
    tcase_add_test(group, test_real_pictures);
    tcase_add_test(group, test_endless_picture);
    tcase_add_test(group, test_unreadable_stream);
    tcase_add_test(group, test_watched_directory);
    tcase_add_test(group, test_signal_ends_the_waiting);
    tcase_add_test(group, test_metrics_file);
    suite_add_tcase(suite, group);
    return suite;
}
