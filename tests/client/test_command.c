/* What the program cleave does with file names and its JSON lines. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/files.h"
#include "client/json_line.h"
#include "tests/run_suite.h"
#include "scratch.h"

/* The text that `text` becomes inside a JSON string. */
static const struct {
    const char *text, *json;
} texts[] = {
    {"plain.jpg", "\"plain.jpg\""},
    {"", "\"\""},
    {"a\"b\\c", "\"a\\\"b\\\\c\""},
    {"tab\there\n\x01\x7f", "\"tab\\u0009here\\u000a\\u0001\\u007f\""},
    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb1",
     "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb1\""},
    {"latin \xe9", "\"latin \\ufffd\""},
    {"\xc3", "\"\\ufffd\""},
    {"\xf0\x9f\x90", "\"\\ufffd\\ufffd\\ufffd\""},
    {"\xc0\xaf", "\"\\ufffd\\ufffd\""},
    {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
    {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
    {"\xe0\x80\x80x", "\"\\ufffd\\ufffd\\ufffdx\""},
    {"\xff\xfe", "\"\\ufffd\\ufffd\""},
};

START_TEST(test_json_text)
{
    char *written = NULL;
    size_t bytes = 0;
    struct cli_json_line line = {.out = open_memstream(&written, &bytes)};
    cli_json_text(&line, NULL, texts[_i].text);
    fclose(line.out);
    ck_assert_str_eq(written, texts[_i].json);
    free(written);
}
END_TEST

START_TEST(test_json_structure)
{
    char *written = NULL;
    size_t bytes = 0;
    struct cli_json_line line = {.out = open_memstream(&written, &bytes)};
    cli_json_open(&line, NULL, '{');
    cli_json_whole(&line, "a", UINT64_MAX);
    cli_json_real(&line, "b", 1.25, 1);
    cli_json_real(&line, "c", -1, 1);
    cli_json_real(&line, "d", NAN, 1);
    cli_json_open(&line, "e", '[');
    cli_json_open(&line, NULL, '{');
    cli_json_close(&line, '}');
    cli_json_text(&line, NULL, "x");
    cli_json_close(&line, ']');
    cli_json_whole(&line, "f", 0);
    cli_json_close(&line, '}');
    fclose(line.out);
    ck_assert_str_eq(written,
                     "{\"a\": 18446744073709551615, \"b\": 1.2, \"c\": null, "
                     "\"d\": null, \"e\": [{}, \"x\"], \"f\": 0}");
    free(written);
}
END_TEST

static char directory[SCRATCH_PATH_BYTES];

static void touch(const char *name)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_join(path, directory, name);
    scratch_write(path, name, strlen(name));
}

START_TEST(test_directory_is_its_jpegs_in_order)
{
    static const char *const names[] = {"b.jpg", "a.JPEG", "c.Jpg",    "no.png",
                                        ".jpg",  "jpg",    "d.jpg.txt"};
    scratch_make(directory);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        touch(names[i]);
    struct cli_files files = {0};
    ck_assert(cli_files_add(&files, "first.png"));
    ck_assert(cli_files_add(&files, directory));
    ck_assert(cli_files_add(&files, "-"));
    static const char *const expected[] = {"a.JPEG", "b.jpg", "c.Jpg"};
    ck_assert_uint_eq(files.count, 5);
    ck_assert_str_eq(files.paths[0], "first.png");
    ck_assert_str_eq(files.paths[4], "-");
    for (size_t i = 0; i < 3; i++) {
        char path[SCRATCH_PATH_BYTES];
        scratch_join(path, directory, expected[i]);
        ck_assert_str_eq(files.paths[i + 1], path);
    }
    unsigned char *bytes = NULL;
    size_t count = 0;
    ck_assert_ptr_null(cli_files_read(files.paths[1], &bytes, &count));
    ck_assert_uint_eq(count, 6);
    ck_assert_int_eq(memcmp(bytes, "a.JPEG", 6), 0);
    free(bytes);
    cli_files_free(&files);
    scratch_remove(directory);
}
END_TEST

START_TEST(test_what_cannot_be_read_says_why)
{
    scratch_make(directory);
    struct cli_files files = {0};
    ck_assert(cli_files_add(&files, directory)); /* empty: stands for itself */
    ck_assert_uint_eq(files.count, 1);
    unsigned char *bytes = NULL;
    size_t count = 0;
    const char *why = cli_files_read(files.paths[0], &bytes, &count);
    ck_assert_ptr_nonnull(why);
    ck_assert_ptr_nonnull(strstr(why, "directory"));
    cli_files_free(&files);
    ck_assert_ptr_nonnull(cli_files_read("/nowhere/at/all", &bytes, &count));
    why = cli_files_read("/dev/zero", &bytes, &count); /* never ends */
    ck_assert_ptr_nonnull(why);
    ck_assert_ptr_nonnull(strstr(why, "larger"));
    ck_assert_ptr_null(bytes);
    scratch_remove(directory);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("command");
    TCase *group = tcase_create("command");
    tcase_add_loop_test(group, test_json_text, 0,
                        (int)(sizeof texts / sizeof texts[0]));
    tcase_add_test(group, test_json_structure);
    tcase_add_test(group, test_directory_is_its_jpegs_in_order);
    tcase_add_test(group, test_what_cannot_be_read_says_why);
    suite_add_tcase(suite, group);
    return suite;
}
