/* Tests of api/json.c: round trips, exact members, hostile documents. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "tests/run_suite.h"

static const struct api_model sample = {
    .name = "lite0",
    .version = "1.2",
    .fingerprint = 0x00FEDCBA98765432u,
    .input_width = 224,
    .input_height = 192,
    .class_count = 1000,
    .point_count = 4,
    .points =
        {
            {.id = "offload",
             .kind = API_POINT_OFFLOAD,
             .tail_macs = 390123456,
             .bytes_mean = 20480.5,
             .bytes_p95 = -1,
             .top1 = 0.696,
             .top5 = -1,
             .pictures = 750},
            {.id = "split-w25-low",
             .kind = API_POINT_SPLIT,
             .codec = API_CODEC_RANS,
             .width = 0.25,
             .rate = "low",
             .ensemble = 2,
             .latent_height = 14,
             .latent_width = 15,
             .latent_channels = 48,
             .exit_threshold = 0.8,
             .exit_share = 0.25,
             .head_macs = 5000000000,
             .tail_macs = 1,
             .bytes_mean = 1240,
             .bytes_p95 = 2000,
             .top1 = 0.5,
             .top5 = 0.75,
             .pictures = 750},
            {.id = "local",
             .kind = API_POINT_LOCAL,
             .head_macs = 390123456,
             .bytes_mean = -1,
             .bytes_p95 = -1,
             .top1 = -1,
             .top5 = -1},
            {.id = "offload-q50",
             .kind = API_POINT_OFFLOAD,
             .quality = 50,
             .tail_macs = 390123456,
             .bytes_mean = 7000,
             .bytes_p95 = 9000,
             .top1 = 0.68,
             .top5 = 0.87,
             .pictures = 750},
        },
};

static void assert_same_point(const struct api_point *a,
                              const struct api_point *b)
{
    ck_assert_str_eq(a->id, b->id);
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_int_eq(a->codec, b->codec);
    ck_assert_double_eq_tol(a->width, b->width, 1e-8);
    ck_assert_str_eq(a->rate, b->rate);
    ck_assert_uint_eq(a->ensemble, b->ensemble);
    ck_assert_uint_eq(a->quality, b->quality);
    ck_assert_uint_eq(a->latent_height, b->latent_height);
    ck_assert_uint_eq(a->latent_width, b->latent_width);
    ck_assert_uint_eq(a->latent_channels, b->latent_channels);
    ck_assert_double_eq_tol(a->exit_threshold, b->exit_threshold, 1e-8);
    ck_assert_double_eq_tol(a->exit_share, b->exit_share, 1e-8);
    ck_assert(a->head_macs == b->head_macs && a->tail_macs == b->tail_macs);
    ck_assert_double_eq_tol(a->bytes_mean, b->bytes_mean, 1e-3);
    ck_assert_double_eq_tol(a->bytes_p95, b->bytes_p95, 1e-3);
    ck_assert_double_eq_tol(a->top1, b->top1, 1e-8);
    ck_assert_double_eq_tol(a->top5, b->top5, 1e-8);
    ck_assert_uint_eq(a->pictures, b->pictures);
}

static void assert_same_model(const struct api_model *a,
                              const struct api_model *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_str_eq(a->version, b->version);
    ck_assert(a->fingerprint == b->fingerprint);
    ck_assert_uint_eq(a->input_width, b->input_width);
    ck_assert_uint_eq(a->input_height, b->input_height);
    ck_assert_uint_eq(a->class_count, b->class_count);
    ck_assert_uint_eq(a->point_count, b->point_count);
    for (uint16_t i = 0; i < a->point_count; i++)
        assert_same_point(&a->points[i], &b->points[i]);
}

START_TEST(model_text_is_the_documented_one)
{
    static const char want[] =
        "{\"name\":\"lite0\",\"version\":\"1.2\","
        "\"fingerprint\":\"00fedcba98765432\",\"platform\":\"cleave\","
        "\"input\":{\"width\":224,\"height\":192,\"channels\":3,"
        "\"media_type\":\"image/jpeg\"},\"classes\":1000,\"points\":["
        "{\"id\":\"offload\",\"kind\":\"offload\",\"head_macs\":0,"
        "\"tail_macs\":390123456,\"bytes_mean\":20480.5,"
        "\"top1\":0.696,\"pictures\":750},"
        "{\"id\":\"split-w25-low\",\"kind\":\"split\",\"width\":0.25,"
        "\"rate\":\"low\",\"ensemble\":2,\"codec\":\"rans\","
        "\"latent\":[14,15,48],"
        "\"exit\":{\"threshold\":0.8,\"share\":0.25},"
        "\"head_macs\":5000000000,\"tail_macs\":1,"
        "\"bytes_mean\":1240.0,\"bytes_p95\":2000.0,\"top1\":0.5,"
        "\"top5\":0.75,\"pictures\":750},"
        "{\"id\":\"local\",\"kind\":\"local\",\"head_macs\":390123456,"
        "\"tail_macs\":0},"
        "{\"id\":\"offload-q50\",\"kind\":\"offload\",\"quality\":50,"
        "\"head_macs\":0,\"tail_macs\":390123456,\"bytes_mean\":7000.0,"
        "\"bytes_p95\":9000.0,\"top1\":0.68,\"top5\":0.87,"
        "\"pictures\":750}]}";
    char *text = api_model_write(&sample);
    ck_assert_ptr_nonnull(text);
    /* 0.696 has no exact binary form; nine digits show it as written. */
    ck_assert_str_eq(text, want);
    free(text);
}
END_TEST

START_TEST(model_round_trips)
{
    char *text = api_model_write(&sample);
    struct api_model read;
    ck_assert_int_eq(api_model_read(text, strlen(text), &read, NULL), API_OK);
    assert_same_model(&read, &sample);
    free(text);
}
END_TEST

START_TEST(list_reads_its_first_model)
{
    static struct api_model second;
    second = sample;
    snprintf(second.name, sizeof second.name, "second");
    const struct api_model *const models[] = {&sample, &second};
    char *text = api_model_list_write(models, 2);
    struct api_model read;
    ck_assert_int_eq(api_model_list_read(text, strlen(text), &read, NULL),
                     API_OK);
    assert_same_model(&read, &sample);
    free(text);

    text = api_model_list_write(models, 0);
    ck_assert_str_eq(text, "{\"models\":[]}");
    ck_assert_int_eq(api_model_list_read(text, strlen(text), &read, NULL),
                     API_NOT_FOUND);
    free(text);
    static const char *const bad[] = {"{}", "{\"models\":{}}",
                                      "{\"models\":[1]}", "[]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(
            api_model_list_read(bad[i], strlen(bad[i]), &read, NULL),
            API_UNPROCESSABLE);
}
END_TEST

START_TEST(unknown_points_hold_their_number)
{
    static const char text[] =
        "{\"name\":\"m\",\"version\":\"1\",\"news\":[1,{}],"
        "\"fingerprint\":\"0000000000000001\","
        "\"input\":{\"width\":8,\"height\":8},\"classes\":10,\"points\":["
        "{\"id\":\"x\",\"kind\":\"teleport\",\"fuel\":3},"
        "{\"id\":\"y\",\"kind\":\"split\",\"codec\":\"neural\"},"
        "{\"id\":\"z\",\"kind\":\"local\"}]}";
    struct api_model read;
    ck_assert_int_eq(api_model_read(text, strlen(text), &read, NULL), API_OK);
    ck_assert_uint_eq(read.point_count, 3);
    ck_assert_str_eq(read.points[0].id, "");
    ck_assert_str_eq(read.points[1].id, "");
    ck_assert_str_eq(read.points[2].id, "z");
    ck_assert_double_lt(read.points[2].top1, 0);
}
END_TEST

/* The sample as text with the first `from` replaced by `to`. */
static char *edited(const char *from, const char *to)
{
    char *text = api_model_write(&sample);
    char *at = strstr(text, from);
    ck_assert_msg(at != NULL, "%s not found", from);
    size_t before = (size_t)(at - text);
    size_t size = strlen(text) + strlen(to) + 1;
    char *out = malloc(size);
    ck_assert_ptr_nonnull(out);
    snprintf(out, size, "%.*s%s%s", (int)before, text, to, at + strlen(from));
    free(text);
    return out;
}

START_TEST(broken_models_are_refused)
{
    static const char *const edits[][2] = {
        {"\"lite0\"", "7"},
        {"\"lite0\"", "\"\""},
        {"\"lite0\"", "\"../etc\""},
        {"\"lite0\"", "\"a/b\""},
        {"\"lite0\"", "\"a\\u0000b\""},
        {"\"lite0\"", "\"0123456789012345678901234567890123456789"
                      "012345678901234567890123\""},
        {"\"name\":\"lite0\",", ""},
        {"\"name\":", "\"name\":\"x\",\"name\":"},
        {"00fedcba98765432", "00fedcba9876543"},
        {"00fedcba98765432", "00fedcba987654321"},
        {"00fedcba98765432", "00fedcba9876543G"},
        {":224", ":0"},
        {":224", ":70000"},
        {":224", ":-1"},
        {":224", ":224.5"},
        {":224", ":99999999999999999999"},
        {"{\"width\"", "[{\"width\""},
        {":1000,", ":0,"},
        {":1000,", ":70000,"},
        {":1000,", ":\"1000\","},
        {"\"points\":[", "\"points\":[1,"},
        {"\"points\":[", "\"points\":[[],"},
        {"\"id\":\"offload\"", "\"id\":\"\""},
        {"\"id\":\"offload\"", "\"id\":\"\\u001b[2J\""},
        {"\"id\":\"offload\",", ""},
        {"\"kind\":\"offload\",", ""},
        {"\"width\":0.25", "\"width\":0"},
        {"\"width\":0.25", "\"width\":1.5"},
        {"\"width\":0.25", "\"width\":1e999"},
        {"\"ensemble\":2", "\"ensemble\":0"},
        {"\"quality\":50", "\"quality\":0"},
        {"\"quality\":50", "\"quality\":101"},
        {"\"quality\":50", "\"quality\":\"50\""},
        {"\"low\"", "\"a name that is too long\""},
        {"[14,15,48]", "[14,15]"},
        {"[14,15,48]", "[14,15,48,1]"},
        {"[14,15,48]", "[14,15,0]"},
        {"[14,15,48]", "[14,15,48.0]"},
        {"[14,15,48]", "[65535,65535,65535]"},
        {"[14,15,48]", "\"14\""},
        {"{\"threshold\":0.8,\"share\":0.25}", "0.8"},
        {"\"threshold\":0.8,", ""},
        {"\"threshold\":0.8", "\"threshold\":0"},
        {"\"threshold\":0.8", "\"threshold\":1.5"},
        {"\"share\":0.25", "\"share\":1.5"},
        {"\"share\":0.25", "\"share\":\"0.25\""},
        {"5000000000", "-5"},
        {"5000000000", "99999999999999999999"},
        {"\"top1\":0.5", "\"top1\":1.5"},
        {"\"top1\":0.5", "\"top1\":-0.5"},
        {"\"top1\":0.5", "\"top1\":null"},
        {"\"bytes_mean\":1240.0", "\"bytes_mean\":true"},
        {"]}", "]}x"},
        {"]}", "]"},
        {"lite0", "lite\xFF"},
        {"lite0", "lite\n0"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char *text = edited(edits[i][0], edits[i][1]);
        struct api_model read = {.class_count = 4242};
        struct api_error error = {API_OK, ""};
        enum api_status status =
            api_model_read(text, strlen(text), &read, &error);
        ck_assert_msg(status == API_UNPROCESSABLE, "accepted: %s -> %s",
                      edits[i][0], edits[i][1]);
        ck_assert_int_eq(error.status, status);
        ck_assert_uint_gt(strlen(error.text), 0);
        ck_assert_uint_eq(read.class_count, 4242);
        free(text);
    }
}
END_TEST

START_TEST(every_cut_of_a_model_is_refused)
{
    char *text = api_model_write(&sample);
    struct api_model read;
    for (size_t length = 0; length < strlen(text); length++)
        ck_assert_int_eq(api_model_read(text, length, &read, NULL),
                         API_UNPROCESSABLE);
    free(text);
}
END_TEST

START_TEST(lists_and_sizes_are_capped)
{
    /* 64 points pass, 65 do not. */
    for (int count = 64; count <= 65; count++) {
        char text[4096];
        int length = snprintf(text, sizeof text,
                              "{\"name\":\"m\",\"version\":\"1\","
                              "\"fingerprint\":\"0000000000000001\","
                              "\"input\":{\"width\":8,\"height\":8},"
                              "\"classes\":10,\"points\":[");
        for (int i = 0; i < count; i++)
            length += snprintf(text + length, sizeof text - (size_t)length,
                               "%s{\"id\":\"p%d\",\"kind\":\"local\"}",
                               i ? "," : "", i);
        length += snprintf(text + length, sizeof text - (size_t)length, "]}");
        struct api_model read;
        ck_assert_int_eq(api_model_read(text, (size_t)length, &read, NULL),
                         count == 64 ? API_OK : API_UNPROCESSABLE);
    }
    size_t bytes = API_LIMIT_REPLY_BYTES + 1;
    char *blank = malloc(bytes);
    ck_assert_ptr_nonnull(blank);
    memset(blank, ' ', bytes);
    memcpy(blank + bytes - 2, "{}", 2);
    struct api_error error;
    struct api_model read;
    ck_assert_int_eq(api_model_read(blank, bytes, &read, &error),
                     API_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(error.text, "exceeds"));
    /* Nesting without end must not exhaust the stack. */
    memset(blank, '[', bytes);
    ck_assert_int_eq(api_model_read(blank, bytes - 1, &read, &error),
                     API_UNPROCESSABLE);
    free(blank);
}
END_TEST

START_TEST(answer_round_trips)
{
    struct api_answer answer = {.model = "lite0",
                                .version = "1.2",
                                .point = "offload",
                                .top_count = API_LIMIT_TOP};
    for (uint32_t i = 0; i < API_LIMIT_TOP; i++) {
        answer.top[i].index = i * 7;
        answer.top[i].probability = (double)(float)(0.9f / (float)(i + 1));
        snprintf(answer.top[i].label, sizeof answer.top[i].label,
                 "caf\xC3\xA9 \"%u\" \\", (unsigned)i);
    }
    char *text = api_answer_write(&answer);
    struct api_answer read;
    ck_assert_int_eq(api_answer_read(text, strlen(text), &read, NULL), API_OK);
    ck_assert_str_eq(read.model, "lite0");
    ck_assert_str_eq(read.version, "1.2");
    ck_assert_str_eq(read.point, "offload");
    ck_assert_uint_eq(read.top_count, API_LIMIT_TOP);
    for (uint32_t i = 0; i < API_LIMIT_TOP; i++) {
        ck_assert_uint_eq(read.top[i].index, i * 7);
        ck_assert_str_eq(read.top[i].label, answer.top[i].label);
        ck_assert((float)read.top[i].probability ==
                  (float)answer.top[i].probability);
    }
    for (size_t length = 0; length < strlen(text); length += 97)
        ck_assert_int_eq(api_answer_read(text, length, &read, NULL),
                         API_UNPROCESSABLE);
    free(text);
}
END_TEST

START_TEST(answer_text_is_the_documented_one)
{
    struct api_answer answer = {.model = "m",
                                .version = "1",
                                .point = "p",
                                .top_count = 1,
                                .top = {{3, "x", 0.25}}};
    char *text = api_answer_write(&answer);
    ck_assert_str_eq(text, "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\","
                           "\"top\":[{\"index\":3,\"label\":\"x\","
                           "\"probability\":0.25}]}");
    free(text);
}
END_TEST

START_TEST(broken_answers_are_refused)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\"}",
        "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\",\"top\":{}}",
        "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\",\"top\":[0]}",
        "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\","
        "\"top\":[{\"index\":-1,\"label\":\"x\",\"probability\":0.5}]}",
        "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\","
        "\"top\":[{\"index\":1,\"label\":2,\"probability\":0.5}]}",
        "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\","
        "\"top\":[{\"index\":1,\"label\":\"x\",\"probability\":2}]}",
        "{\"model\":\"m\",\"version\":\"1\",\"point\":\"p\","
        "\"top\":[{\"index\":1,\"label\":\"x\"}]}",
    };
    struct api_answer read = {.top_count = 77};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(api_answer_read(bad[i], strlen(bad[i]), &read, NULL) ==
                          API_UNPROCESSABLE,
                      "accepted: %s", bad[i]);
    ck_assert_uint_eq(read.top_count, 77);
}
END_TEST

START_TEST(long_labels_are_cut_between_characters)
{
    for (size_t shift = 0; shift < 3; shift++) {
        char label[200] = "";
        memset(label, '.', shift);
        while (strlen(label) < 150)
            memcpy(label + strlen(label), "\xE2\x82\xAC", 3);
        char out[96];
        api_label_copy(out, label);
        ck_assert_uint_le(strlen(out), 95);
        ck_assert_uint_ge(strlen(out), 93);
        ck_assert_uint_eq((strlen(out) - shift) % 3, 0);
        ck_assert_int_eq(memcmp(out, label, strlen(out)), 0);
    }
    char out[96];
    api_label_copy(out, "tench");
    ck_assert_str_eq(out, "tench");
}
END_TEST

START_TEST(labels_are_an_array)
{
    const char *const labels[] = {"a \"b\"", "caf\xC3\xA9"};
    char *text = api_labels_write(labels, 2);
    ck_assert_str_eq(text, "[\"a \\\"b\\\"\",\"caf\xC3\xA9\"]");
    free(text);
}
END_TEST

START_TEST(every_problem_round_trips)
{
    enum api_status status = (enum api_status)_i;
    char *text = api_problem_write(status, "it \"broke\"", "req-1", NULL);
    struct api_error read = {API_OK, ""};
    ck_assert_int_eq(api_problem_read(text, strlen(text), &read), API_OK);
    ck_assert_int_eq(read.status, status);
    ck_assert_str_eq(read.text, "it \"broke\"");
    ck_assert_ptr_nonnull(strstr(text, "\"request_id\":\"req-1\""));
    ck_assert_ptr_nonnull(strstr(text, "\"error\":\"it \\\"broke\\\"\""));
    free(text);
}
END_TEST

START_TEST(problem_text_is_the_documented_one)
{
    char *text = api_problem_write(API_OVERLOADED, "queue full", NULL, NULL);
    ck_assert_str_eq(text, "{\"type\":\"/problems/overloaded\","
                           "\"title\":\"Server busy or draining\","
                           "\"status\":503,\"detail\":\"queue full\","
                           "\"error\":\"queue full\"}");
    free(text);
    text = api_problem_write(API_MODEL_MISMATCH, "other", NULL, &sample);
    char *model = strstr(text, "\"model\":{");
    ck_assert_ptr_nonnull(model);
    struct api_model read;
    ck_assert_int_eq(
        api_model_read(model + 8, strlen(model + 8) - 1, &read, NULL), API_OK);
    assert_same_model(&read, &sample);
    free(text);
}
END_TEST

START_TEST(foreign_problems_fall_back_to_their_code)
{
    struct api_error read = {API_OK, "x"};
    const char *text = "{\"type\":\"https://proxy.example/full\","
                       "\"status\":503,\"detail\":\"later\"}";
    ck_assert_int_eq(api_problem_read(text, strlen(text), &read), API_OK);
    ck_assert_int_eq(read.status, API_OVERLOADED);
    ck_assert_str_eq(read.text, "later");
    static const char *const bad[] = {
        "",
        "<html>",
        "[]",
        "{}",
        "{\"type\":7}",
        "{\"detail\":\"x\"}",
        "{\"type\":\"about:blank\",\"status\":\"503\"}",
        "{\"type\":\"about:blank\",\"status\":200}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(api_problem_read(bad[i], strlen(bad[i]), &read),
                         API_UNPROCESSABLE);
}
END_TEST

/* Collects "name=value;" in a buffer; refuses the name "stop". */
static enum api_status collect(void *context, const char *name,
                               const char *value, struct api_error *error)
{
    char *out = context;
    size_t length = strlen(out);
    if (strcmp(name, "stop") == 0)
        return api_fail(error, API_USAGE, "stopped");
    snprintf(out + length, 200 - length, "%s=%s;", name, value);
    return API_OK;
}

START_TEST(settings_arrive_as_text)
{
    char out[200] = "";
    const char *text =
        "{\"listen\":\"[::1]:80\",\"workers\":-3,\"quiet\":true}";
    ck_assert_int_eq(api_settings_read(text, strlen(text), collect, out, NULL),
                     API_OK);
    ck_assert_ptr_nonnull(strstr(out, "listen=[::1]:80;"));
    ck_assert_ptr_nonnull(strstr(out, "workers=-3;"));
    ck_assert_ptr_nonnull(strstr(out, "quiet=true;"));

    static const char *const bad[] = {"",
                                      "[]",
                                      "{\"a\":1.5}",
                                      "{\"a\":null}",
                                      "{\"a\":[]}",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"stop\":1}",
                                      "{\"a\":1} x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct api_error error = {API_OK, ""};
        ck_assert_int_eq(
            api_settings_read(bad[i], strlen(bad[i]), collect, out, &error),
            API_USAGE);
        ck_assert_int_eq(error.status, API_USAGE);
        ck_assert_uint_gt(strlen(error.text), 0);
    }
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("json");
    tcase_add_test(cases, model_text_is_the_documented_one);
    tcase_add_test(cases, model_round_trips);
    tcase_add_test(cases, list_reads_its_first_model);
    tcase_add_test(cases, unknown_points_hold_their_number);
    tcase_add_test(cases, broken_models_are_refused);
    tcase_add_test(cases, every_cut_of_a_model_is_refused);
    tcase_add_test(cases, lists_and_sizes_are_capped);
    tcase_add_test(cases, answer_round_trips);
    tcase_add_test(cases, answer_text_is_the_documented_one);
    tcase_add_test(cases, broken_answers_are_refused);
    tcase_add_test(cases, long_labels_are_cut_between_characters);
    tcase_add_test(cases, labels_are_an_array);
    tcase_add_loop_test(cases, every_problem_round_trips, 1, API_STATUS_COUNT);
    tcase_add_test(cases, problem_text_is_the_documented_one);
    tcase_add_test(cases, foreign_problems_fall_back_to_their_code);
    tcase_add_test(cases, settings_arrive_as_text);
    Suite *suite = suite_create("json");
    suite_add_tcase(suite, cases);
    return suite;
}
