/* Everything that breaks: link, server, names, clock, disk. Each picture is
 * answered or refused with a reason, and in time; with real cleaved. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "answers.h"
#include "client/cleave.h"
#include "client/clock.h"
#include "process.h"
#include "relay.h"
#include "scratch.h"
#include "tests/run_suite.h"

#define DEADLINE_MS 400u
#define TIMEOUT_MS 700u

/* Beyond the deadline: 50 ms are promised, the rest is for sanitizers on a busy
 * machine. A hang takes the 15 s of the resolver below, or for ever. */
#define LATE_MOST_MS (50 + 3000)

static char directory[SCRATCH_PATH_BYTES], cache[SCRATCH_PATH_BYTES];
static struct daemon server;
static struct relay link_;
static struct cleave *handle;
static struct cleave_result result;
static struct cleave_error error;
static const char *jpeg;
static size_t jpeg_bytes;

/* The functions below take the place of the C library's for libcurl, too. */
#define INTERPOSED __attribute__((visibility("default")))

static atomic_long clock_jump_s;

INTERPOSED int clock_gettime(clockid_t id, struct timespec *now)
{
    int status = (int)syscall(SYS_clock_gettime, id, now);
    if (id == CLOCK_REALTIME)
        now->tv_sec += atomic_load(&clock_jump_s);
    return status;
}

INTERPOSED int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

INTERPOSED time_t time(time_t *now)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}

static atomic_uint names_asked;

INTERPOSED int getaddrinfo(const char *node, const char *service,
                           const struct addrinfo *hints,
                           struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *,
                struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof real);
    names_asked++;
    if (node && strcmp(node, "unknown.invalid") == 0)
        return EAI_NONAME;
    if (node && strcmp(node, "hanging.invalid") == 0) {
        sleep(15);
        return EAI_AGAIN;
    }
    return real(node, service, hints, found);
}

/* Bytes that the disk has left for the cache. */
static atomic_long disk_room = LONG_MAX;

INTERPOSED ssize_t write(int fd, const void *bytes, size_t count)
{
    char link_path[40], path[SCRATCH_PATH_BYTES];
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link_path, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    if (*cache && strncmp(path, cache, strlen(cache)) == 0 &&
        atomic_fetch_sub(&disk_room, (long)count) < (long)count) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, count);
}

static void set_up(void)
{
    scratch_make(directory);
    scratch_join(cache, directory, "cache");
    memset(&server, 0, sizeof server);
    memset(&link_, 0, sizeof link_);
    unsetenv("CLEAVE_SERVER");
    jpeg = scratch_jpeg(&jpeg_bytes);
    daemon_start(&server, scratch_bundle(), 0, directory);
}

static void tear_down(void)
{
    cleave_close(&handle);
    relay_stop(&link_);
    process_end(&server.process, SIGKILL);
    scratch_remove(cache);
    scratch_remove(directory);
}

static enum cleave_status open_at(const char *url, int heads_only)
{
    struct cleave_options options = {.server_url = url,
                                     .cache_dir = cache,
                                     .heads_only = heads_only,
                                     .request_timeout_ms = TIMEOUT_MS};
    error.text[0] = '\0';
    return cleave_open(&options, &handle, &error);
}

/* Classifies and checks that it took no longer than it may. */
static enum cleave_status classify(const char *point, unsigned deadline_ms)
{
    double start_ms = cli_now_ms();
    error.text[0] = '\0';
    enum cleave_status status = cleave_classify(handle, jpeg, jpeg_bytes, point,
                                                deadline_ms, &result, &error);
    double took_ms = cli_now_ms() - start_ms;
    ck_assert_double_lt(took_ms, (deadline_ms ? deadline_ms : TIMEOUT_MS) +
                                     LATE_MOST_MS);
    ck_assert_int_eq(status != CLEAVE_OK, strlen(error.text) > 5);
    return status;
}

static const struct {
    enum relay_conduct conduct;
    long budget;
} breaks[] = {
    {RELAY_CUT_UP, 0},        {RELAY_CUT_UP, 260},  {RELAY_CUT_DOWN, 0},
    {RELAY_CUT_DOWN, 300},    {RELAY_FREEZE_UP, 0}, {RELAY_FREEZE_UP, 260},
    {RELAY_FREEZE_DOWN, 300},
};

#define BREAKS (int)(sizeof breaks / sizeof breaks[0])

/* Waits until the server answers again by this point. */
static void assert_recovers(const char *point)
{
    double start_ms = cli_now_ms();
    do {
        cli_sleep_ms(20);
        ck_assert_int_eq(classify(point, 0), CLEAVE_OK);
        ck_assert_double_lt(cli_now_ms() - start_ms, 60000);
    } while (result.via == CLEAVE_VIA_LOCAL);
}

/* The link breaks in the middle of a body, on its way up or down. */
START_TEST(test_link_breaks)
{
    static const char *const points[] = {"offload", "w100-high"};
    relay_start(&link_, server.port);
    ck_assert_int_eq(open_at(link_.url, 0), CLEAVE_OK);
    for (size_t i = 0; i < 2; i++) {
        for (unsigned deadline_ms = 0; deadline_ms <= DEADLINE_MS;
             deadline_ms += DEADLINE_MS) {
            assert_recovers(points[i]);
            relay_set(&link_, breaks[_i].conduct, breaks[_i].budget);
            for (int picture = 0; picture < 2; picture++) {
                ck_assert_int_eq(classify(points[i], deadline_ms), CLEAVE_OK);
                ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
                ck_assert_ptr_nonnull(strstr(result.reason, "server"));
            }
            ck_assert_int_eq(classify("auto", deadline_ms), CLEAVE_OK);
            relay_set(&link_, RELAY_PASS, 0);
        }
    }
    assert_recovers("offload");
}
END_TEST

/* The same where the device cannot answer alone: refused, with the reason. */
START_TEST(test_link_breaks_without_a_way_out)
{
    relay_start(&link_, server.port);
    ck_assert_int_eq(open_at(link_.url, 1), CLEAVE_OK);
    ck_assert_int_eq(classify("w100-high", 0), CLEAVE_OK);
    relay_set(&link_, breaks[_i].conduct, breaks[_i].budget);
    enum cleave_status status = classify("w100-high", DEADLINE_MS);
    ck_assert(status == CLEAVE_ERROR_UNREACHABLE ||
              status == CLEAVE_ERROR_DEADLINE);
    ck_assert_ptr_nonnull(strstr(error.text, "server"));
    relay_set(&link_, RELAY_PASS, 0);
    ck_assert_int_eq(classify("w100-high", 0), CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_SPLIT);
}
END_TEST

/* What came back of many pictures. */
struct tally {
    atomic_uint answered, refused, late;
};

struct wait {
    struct tally *tally;
    double start_ms;
};

static void count(void *context, enum cleave_status status,
                  const struct cleave_result *answer,
                  const struct cleave_error *why)
{
    struct wait *wait = context;
    (void)why;
    if (status == CLEAVE_OK && answer->top_count > 0)
        wait->tally->answered++;
    else
        wait->tally->refused++;
    if (cli_now_ms() - wait->start_ms > DEADLINE_MS + LATE_MOST_MS)
        wait->tally->late++;
}

/* The server dies and returns, as the same and as another version, under
 * pictures with a deadline, several at a time. */
START_TEST(test_server_comes_and_goes)
{
    static const char *const points[] = {"offload", "w100-high", "split",
                                         "auto"};
    enum { PICTURES = 80 };
    static struct wait waits[PICTURES];
    struct tally tally = {0};
    char other[SCRATCH_PATH_BYTES];
    bundle_write_other(other, directory);
    ck_assert_int_eq(open_at(server.url, 0), CLEAVE_OK);
    for (int i = 0; i < PICTURES; i++) {
        if (i % 40 == 10)
            process_end(&server.process, SIGKILL);
        if (i % 40 == 30)
            daemon_start(&server, i < 40 ? other : scratch_bundle(),
                         server.port, directory);
        waits[i] = (struct wait){&tally, cli_now_ms()};
        ck_assert_int_eq(cleave_submit(handle, jpeg, jpeg_bytes, points[_i],
                                       DEADLINE_MS, count, &waits[i], NULL),
                         CLEAVE_OK);
    }
    cleave_wait(handle);
    ck_assert_uint_eq(tally.answered, PICTURES);
    ck_assert_uint_eq(tally.refused + tally.late, 0);
    assert_recovers("w100-high");
}
END_TEST

/* A name that does not exist, or a resolver that does not answer: at once or
 * within the time to connect, from the cache or with a clear error. */
START_TEST(test_name_cannot_be_resolved)
{
    static const char *const urls[] = {"http://unknown.invalid:8080",
                                       "http://hanging.invalid:8080"};
    double start_ms = cli_now_ms();
    ck_assert_int_eq(open_at(urls[_i], 0), CLEAVE_ERROR_UNREACHABLE);
    ck_assert_double_lt(cli_now_ms() - start_ms, 1000 + LATE_MOST_MS);
    ck_assert_uint_gt(names_asked, 0);
    struct cleave_options options = {.server_url = urls[_i],
                                     .bundle_path = scratch_bundle()};
    start_ms = cli_now_ms();
    ck_assert_int_eq(cleave_open(&options, &handle, &error), CLEAVE_OK);
    ck_assert_ptr_nonnull(strstr(cleave_notice(handle), "server"));
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(classify("offload", DEADLINE_MS), CLEAVE_OK);
        ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
        cli_sleep_ms(300);
    }
    cleave_close(&handle);
    ck_assert_double_lt(cli_now_ms() - start_ms, 14000);
}
END_TEST

/* Somebody sets the clock, by a day or to 1970: nothing ends early or late. */
START_TEST(test_clock_jumps)
{
    static const long jumps_s[] = {86400, -86400, 3600, -1700000000};
    ck_assert_int_eq(open_at(server.url, 0), CLEAVE_OK);
    for (size_t i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++) {
            ck_assert_int_eq(classify("w100-high", 5000), CLEAVE_OK);
            ck_assert_msg(result.via == CLEAVE_VIA_SPLIT, "%s", result.reason);
            ck_assert_double_lt(result.link_ms, 5000);
        }
        atomic_store(&clock_jump_s, jumps_s[i]);
    }
    process_end(&server.process, SIGKILL);
    ck_assert_int_eq(classify("w100-high", DEADLINE_MS), CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    atomic_store(&clock_jump_s, 0);
    daemon_start(&server, scratch_bundle(), server.port, directory);
    assert_recovers("w100-high");
}
END_TEST

/* Runs "cleave run" over one photo by this point; its status and what it said
 * on stderr. */
static int run_once(const char *point, char *said, size_t capacity,
                    json_t **answer)
{
    const char *const arguments[] = {CLEAVE_PROGRAM,
                                     "run",
                                     "--server",
                                     server.url,
                                     "--cache",
                                     cache,
                                     "--point",
                                     point,
                                     CLEAVE_SOURCE_DIR
                                     "/models/samples/cat.jpg",
                                     NULL};
    struct process process;
    process_start(&process, arguments, directory);
    const char *line = process_line(&process);
    *answer = line ? answer_parse(line) : NULL;
    int status = process_finish(&process);
    process_errors(&process, said, capacity);
    return status;
}

/* Opens a handle and classifies once by a split point. */
static void split_once(void)
{
    ck_assert_msg(open_at(server.url, 0) == CLEAVE_OK, "%s", error.text);
    ck_assert_int_eq(classify("w100-high", 0), CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_SPLIT);
}

/* The disk has no room for the model, or only for a part of it: it is held in
 * memory. What the cache held stays whole. */
START_TEST(test_disk_is_full)
{
    char other[SCRATCH_PATH_BYTES];
    atomic_store(&disk_room, _i == 0 ? 0 : 5000);
    split_once();
    ck_assert_ptr_nonnull(strstr(cleave_notice(handle), "No space left"));
    ck_assert_uint_eq(scratch_count(cache, ".safetensors"), 0);
    cleave_close(&handle);

    atomic_store(&disk_room, LONG_MAX);
    split_once();
    ck_assert_str_eq(cleave_notice(handle), "");
    cleave_close(&handle);

    process_end(&server.process, SIGTERM);
    bundle_write_other(other, directory);
    daemon_start(&server, other, server.port, directory);
    atomic_store(&disk_room, _i == 0 ? 0 : 5000);
    split_once();
    process_end(&server.process, SIGKILL);
    ck_assert_int_eq(classify("w100-high", DEADLINE_MS), CLEAVE_OK);
    ck_assert_int_eq(result.via, CLEAVE_VIA_LOCAL);
    cleave_close(&handle);

    ck_assert_uint_eq(scratch_count(cache, ".tmp"), 0);
    ck_assert_int_eq(open_at(server.url, 0), CLEAVE_OK);
    ck_assert_ptr_nonnull(strstr(cleave_notice(handle), "cached bundle"));
    ck_assert_int_eq(classify("auto", 0), CLEAVE_OK);
}
END_TEST

/* A byte of the cached model changes on disk: it is fetched anew, or without a
 * server nothing is answered by it. */
START_TEST(test_cache_is_corrupt)
{
    char said[1000], bundle[SCRATCH_PATH_BYTES];
    json_t *answer;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(run_once("local", said, sizeof said, &answer), 0);
        ck_assert_str_eq(answer_text(answer, "via"), "local");
        json_decref(answer);
        scratch_find(bundle, cache, ".safetensors");
        scratch_flip(bundle, 10000);
    }
    process_end(&server.process, SIGKILL);
    ck_assert_int_eq(run_once("local", said, sizeof said, &answer), 1);
    ck_assert_ptr_null(answer);
    ck_assert_ptr_nonnull(strstr(said, "server unreachable"));
    ck_assert_ptr_nonnull(strstr(said, "no cached bundle"));
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("faults");
    TCase *group = tcase_create("faults");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_set_timeout(group, 300);
    tcase_add_loop_test(group, test_link_breaks, 0, BREAKS);
    tcase_add_loop_test(group, test_link_breaks_without_a_way_out, 0, BREAKS);
    tcase_add_loop_test(group, test_server_comes_and_goes, 0, 4);
    tcase_add_loop_test(group, test_name_cannot_be_resolved, 0, 2);
    tcase_add_test(group, test_clock_jumps);
    tcase_add_loop_test(group, test_disk_is_full, 0, 2);
    tcase_add_test(group, test_cache_is_corrupt);
    suite_add_tcase(suite, group);
    return suite;
}
