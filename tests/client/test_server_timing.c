/* The Server-Timing header, well-formed and hostile. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/server_timing.h"
#include "tests/run_suite.h"

static const struct {
    const char *text;
    double total_ms; /* negative: nothing is found */
} headers[] = {
    {"queue;dur=1.5, decode;dur=2, infer;dur=10.25", 13.75},
    {"infer;dur=7", 7},
    {"infer;dur=0", 0},
    {" infer ; dur = 7.0 ", 7},
    {"INFER;DUR=7", 7},
    {"infer;dur=\"7.5\"", 7.5},
    {"infer;desc=\"a, queue;dur=99; b\";dur=3", 3},
    {"infer;desc=\"an escaped \\\" quote, queue;dur=9\";dur=3", 3},
    {"cache;dur=50, infer;dur=3, total;dur=60", 3},
    {"infer;dur=3, infer;dur=4", 3},
    {"infer;dur=3;dur=4", 3},
    {"queue;dur=.5,infer;dur=1.", 1.5},
    {"queue;dur=x, infer;dur=2", 2},
    {",,;;==, infer;dur=2", 2},
    {"infer;dur=2,", 2},
    {"infer;foo;dur=2;bar=", 2},
    {"", -1},
    {"infer", -1},
    {"infer;dur", -1},
    {"infer;dur=", -1},
    {"infer;dur=.", -1},
    {"infer;dur=-1", -1},
    {"infer;dur=1e3", -1},
    {"infer;dur=nan", -1},
    {"infer;dur=inf", -1},
    {"infer;dur=0x10", -1},
    {"infer;dur=1,5", 1},
    {"infer;dur=3600001", -1},
    {"infer;dur=99999999999999999999999999999999999999999999999999999999", -1},
    {"inferx;dur=1, xinfer;dur=1", -1},
    {"infer=dur;1", -1},
    {"\"infer;dur=1", -1},
    {"infer;dur=\"1", 1},
    {"infer;desc=\"\\", -1},
    {"dur=1", -1},
};

START_TEST(test_headers)
{
    /* A copy of just this size lets the sanitizer see any byte too far. */
    size_t bytes = strlen(headers[_i].text);
    char *copy = malloc(bytes ? bytes : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, headers[_i].text, bytes);
    struct cli_server_timing timing = {-5, 0};
    bool found = cli_server_timing_read(copy, bytes, &timing);
    double total_ms = timing.queue_ms + timing.compute_ms;
    free(copy);
    ck_assert_msg(found == (headers[_i].total_ms >= 0), "%s", headers[_i].text);
    if (found)
        ck_assert_double_eq_tol(total_ms, headers[_i].total_ms, 1e-9);
    else
        ck_assert_double_eq(total_ms, -5); /* untouched */
}
END_TEST

START_TEST(test_queue_is_told_from_computing)
{
    static const char text[] = "decode;dur=2, queue;dur=1.5, infer;dur=10.25";
    struct cli_server_timing timing = {0};
    ck_assert(cli_server_timing_read(text, sizeof text - 1, &timing));
    ck_assert_double_eq_tol(timing.queue_ms, 1.5, 1e-9);
    ck_assert_double_eq_tol(timing.compute_ms, 12.25, 1e-9);
}
END_TEST

START_TEST(test_random_bytes)
{
    static const char alphabet[] = "infer;queue,dcod=\"\\ .0123456789-\t\x80";
    srand(5);
    for (int round = 0; round < 100000; round++) {
        size_t bytes = (size_t)rand() % 40;
        char *text = malloc(bytes ? bytes : 1);
        ck_assert_ptr_nonnull(text);
        for (size_t i = 0; i < bytes; i++)
            text[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        struct cli_server_timing timing = {0};
        if (cli_server_timing_read(text, bytes, &timing)) {
            ck_assert_double_ge(timing.queue_ms, 0);
            ck_assert_double_le(timing.queue_ms, 3600000.0);
            ck_assert_double_ge(timing.compute_ms, 0);
            ck_assert_double_le(timing.compute_ms, 2 * 3600000.0);
        }
        free(text);
    }
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("server timing");
    TCase *group = tcase_create("parser");
    tcase_add_loop_test(group, test_headers, 0,
                        (int)(sizeof headers / sizeof headers[0]));
    tcase_add_test(group, test_queue_is_told_from_computing);
    tcase_add_test(group, test_random_bytes);
    suite_add_tcase(suite, group);
    return suite;
}
