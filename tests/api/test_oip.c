/* Tests of api/oip*.c: what a request may be, and what answers look like. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/oip.h"
#include "tests/run_suite.h"

#define INPUT(rest) "{\"inputs\":[{\"name\":\"image\"," rest "}]}"
#define BYTE_DATA(data)                                                        \
    INPUT("\"shape\":[2,2],\"datatype\":\"UINT8\",\"data\":" data)

static struct api_infer_request request;
static struct api_error error;

/* `binary` comes behind the JSON. */
static enum api_status read_with(const char *json, const void *binary,
                                 size_t binary_bytes)
{
    static uint8_t body[4 << 20];
    size_t json_bytes = strlen(json);
    memcpy(body, json, json_bytes);
    memcpy(body + json_bytes, binary, binary_bytes);
    error.text[0] = '\0';
    return api_infer_read(body, json_bytes + binary_bytes, json_bytes, &request,
                          &error);
}

static enum api_status read_json(const char *json)
{
    return read_with(json, "", 0);
}

START_TEST(data_is_flat_or_nested)
{
    static const char *const same[] = {
        BYTE_DATA("[1,2,3,255]"), BYTE_DATA("[[1,2],[3,255]]"),
        INPUT("\"shape\":[4],\"datatype\":\"UINT8\",\"data\":[[[1],2],3,255]")};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_msg(read_json(same[i]) == API_OK, "%s", error.text);
        ck_assert_uint_eq(request.input.byte_count, 4);
        ck_assert_mem_eq(request.input.bytes, "\1\2\3\377", 4);
        ck_assert_str_eq(request.input.name, "image");
        api_infer_free(&request);
    }
    float floats[2];
    ck_assert_int_eq(read_json(INPUT("\"shape\":[1,2],\"datatype\":\"FP32\","
                                     "\"data\":[7,-0.5]")),
                     API_OK);
    ck_assert_uint_eq(request.input.byte_count, sizeof floats);
    memcpy(floats, request.input.bytes, sizeof floats);
    ck_assert_float_eq(floats[0], 7);
    ck_assert_float_eq(floats[1], -0.5F);
    ck_assert_uint_eq(request.input.rank, 2);
    ck_assert_uint_eq(request.input.shape[1], 2);
    api_infer_free(&request);
}
END_TEST

START_TEST(bytes_in_json_are_base64)
{
    /* RFC 4648 section 10. */
    static const char *const cases[][2] = {{"", ""},
                                           {"Zg==", "f"},
                                           {"Zm8=", "fo"},
                                           {"Zm9v", "foo"},
                                           {"Zm9vYg==", "foob"},
                                           {"Zm9vYmE=", "fooba"},
                                           {"+/+/", "\373\377\277"}};
    char json[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(
            json, sizeof json,
            INPUT("\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"%s\"]"),
            cases[i][0]);
        ck_assert_msg(read_json(json) == API_OK, "%s", error.text);
        ck_assert_uint_eq(request.input.byte_count, strlen(cases[i][1]));
        ck_assert_mem_eq(request.input.bytes, cases[i][1], strlen(cases[i][1]));
        api_infer_free(&request);
    }
    static const char *const wrong[] = {
        "Z", "Zg=", "Zg", "Z===", "Zg=v", "Zm9 ", "Zg==Zg==", "Zm9v="};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(
            json, sizeof json,
            INPUT("\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"%s\"]"),
            wrong[i]);
        ck_assert_int_eq(read_json(json), API_BAD_REQUEST);
        ck_assert_ptr_nonnull(strstr(error.text, "\"data\""));
    }
}
END_TEST

#define BINARY(shape, type, size)                                              \
    INPUT("\"shape\":" shape ",\"datatype\":\"" type                           \
          "\",\"parameters\":{\"binary_data_size\":" size "}")

START_TEST(binary_tensors_follow)
{
    ck_assert_int_eq(read_with(BINARY("[3]", "UINT8", "3"), "abc", 3), API_OK);
    ck_assert_mem_eq(request.input.bytes, "abc", 3);
    ck_assert_ptr_null(request.owned);
    ck_assert_int_eq(read_with(BINARY("[1]", "BYTES", "7"), "\3\0\0\0abc", 7),
                     API_OK);
    ck_assert_uint_eq(request.input.byte_count, 3);
    ck_assert_mem_eq(request.input.bytes, "abc", 3);
    ck_assert_int_eq(read_with(BINARY("[1]", "FP32", "4"), "abcd", 4), API_OK);

    static const struct {
        const char *json, *binary;
        size_t bytes;
    } wrong[] = {
        {BINARY("[3]", "UINT8", "3"), "ab", 2},
        {BINARY("[3]", "UINT8", "3"), "abcd", 4},
        {BINARY("[4]", "UINT8", "3"), "abc", 3},
        {BINARY("[3]", "FP32", "3"), "abc", 3},
        {BINARY("[1]", "BYTES", "3"), "abc", 3},
        {BINARY("[1]", "BYTES", "7"), "\4\0\0\0abc", 7},
        {BINARY("[1]", "BYTES", "7"), "\377\377\377\377abc", 7},
        {BINARY("[2]", "BYTES", "14"), "\3\0\0\0abc\3\0\0\0abc", 14},
        {BYTE_DATA("[1,2,3,4]"), "x", 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(read_with(wrong[i].json, wrong[i].binary,
                                wrong[i].bytes) == API_BAD_REQUEST,
                      "case %zu", i);
        ck_assert_uint_gt(strlen(error.text), 0);
    }
}
END_TEST

START_TEST(wrong_requests_are_refused_with_a_reason)
{
    static const char *const wrong[][2] = {
        {"", "JSON"},
        {"[]", "object"},
        {"{}", "inputs"},
        {"{\"inputs\":[]}", "one tensor"},
        {"{\"inputs\":[1]}", "one tensor"},
        {"{\"inputs\":{}}", "one tensor"},
        {"{\"id\":7,\"inputs\":[{}]}", "\"id\""},
        {"{\"id\":\"a\\u0001\",\"inputs\":[{}]}", "\"id\""},
        {"{\"parameters\":{\"timeout\":-1},\"inputs\":[{}]}", "timeout"},
        {"{\"inputs\":[{\"name\":\"x\"}]}", "datatype"},
        {INPUT("\"datatype\":\"INT64\""), "datatype"},
        {INPUT("\"datatype\":\"UINT8\""), "shape"},
        {INPUT("\"datatype\":\"UINT8\",\"shape\":[]"), "shape"},
        {INPUT("\"datatype\":\"UINT8\",\"shape\":[0]"), "shape"},
        {INPUT("\"datatype\":\"UINT8\",\"shape\":[-1]"), "shape"},
        {INPUT("\"datatype\":\"UINT8\",\"shape\":[1.5]"), "shape"},
        {INPUT("\"datatype\":\"UINT8\",\"shape\":[65536,65536,65536,65536]"),
         "shape"},
        {INPUT("\"datatype\":\"UINT8\",\"shape\":[1,1,1,1,1,1,1,1,1]"),
         "shape"},
        {INPUT("\"datatype\":\"UINT8\",\"shape\":[1]"), "data"},
        {BYTE_DATA("[1,2,3]"), "data"},
        {BYTE_DATA("[1,2,3,4,5]"), "data"},
        {BYTE_DATA("[1,2,3,256]"), "data"},
        {BYTE_DATA("[1,2,3,-1]"), "data"},
        {BYTE_DATA("[1,2,3,4.0]"), "data"},
        {BYTE_DATA("[1,2,3,\"4\"]"), "data"},
        {BYTE_DATA("[[[[[[[[[1,2,3,4]]]]]]]]]"), "data"},
        {BYTE_DATA("7"), "data"},
        {INPUT("\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1e300]"), "data"},
        {INPUT("\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[7]"), "data"},
        {"{\"outputs\":[{\"name\":\"logits\"}],\"inputs\":[{}]}", "outputs"},
        {"{\"outputs\":[1],\"inputs\":[{}]}", "outputs"},
        {"{\"outputs\":[{},{}],\"inputs\":[{}]}", "outputs"},
        {"{\"outputs\":[{\"name\":\"probabilities\",\"parameters\":{"
         "\"classification\":101}}],\"inputs\":[{}]}",
         "classification"},
        {"{\"inputs\":[],\"inputs\":[]}", "duplicate"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(read_json(wrong[i][0]) == API_BAD_REQUEST, "%s",
                      wrong[i][0]);
        ck_assert_msg(strstr(error.text, wrong[i][1]) != NULL, "%s: %s",
                      wrong[i][0], error.text);
    }
    uint8_t body[2] = {0x7B, 0x7D};
    ck_assert_int_eq(api_infer_read(body, 2, 3, &request, &error),
                     API_BAD_REQUEST);
    uint8_t *large = calloc(1, API_LIMIT_INFER_JSON_BYTES + 1);
    ck_assert_int_eq(api_infer_read(large, API_LIMIT_INFER_JSON_BYTES + 1,
                                    API_LIMIT_INFER_JSON_BYTES + 1, &request,
                                    &error),
                     API_TOO_LARGE);
    free(large);
}
END_TEST

static const char *asked_point = "offload";

/* What the answer to this request looks like. */
static void assert_answer(const char *json, const char *expected,
                          const void *binary, size_t binary_bytes)
{
    static const float probabilities[2] = {0.25F, 0.75F};
    static const struct api_class top[] = {{1, "dog", 0.75}};
    ck_assert_msg(read_json(json) == API_OK, "%s", error.text);
    const struct api_infer_answer answer = {
        .model = "m",
        .version = "1",
        .point = "offload",
        .asked = asked_point,
        .request = &request,
        .probabilities = probabilities,
        .class_count = 2,
        .top = top,
        .top_count = request.top_count,
    };
    size_t body_bytes, json_bytes;
    uint8_t *body = api_infer_write(&answer, &body_bytes, &json_bytes);
    ck_assert_ptr_nonnull(body);
    ck_assert_msg(json_bytes == strlen(expected) &&
                      memcmp(body, expected, json_bytes) == 0,
                  "%.*s", (int)json_bytes, (char *)body);
    ck_assert_uint_eq(body_bytes - json_bytes, binary_bytes);
    ck_assert_mem_eq(body + json_bytes, binary, binary_bytes);
    free(body);
    api_infer_free(&request);
}

#define ASKING(rest)                                                           \
    "{" rest ",\"inputs\":[{\"name\":\"i\",\"shape\":[1],"                     \
    "\"datatype\":\"UINT8\",\"data\":[1]}]}"
#define ANSWER(output, rest)                                                   \
    "{\"model_name\":\"m\",\"model_version\":\"1\",\"parameters\":{"           \
    "\"point\":\"offload\"},\"outputs\":[{\"name\":\"probabilities\"," output  \
    "}]" rest "}"

static void *no_memory(size_t bytes)
{
    (void)bytes;
    return NULL;
}

START_TEST(lack_of_memory_is_not_the_requests_fault)
{
    struct api_infer_request unread;
    struct api_repository_request repository;
    uint8_t body[] = "{}";
    json_set_alloc_funcs(no_memory, free);
    enum api_status infer = api_infer_read(body, 2, 2, &unread, NULL);
    enum api_status index = api_repository_read("{}", 2, &repository, NULL);
    json_set_alloc_funcs(malloc, free);
    ck_assert_int_eq(infer, API_NO_MEMORY);
    ck_assert_int_eq(index, API_NO_MEMORY);
}
END_TEST

START_TEST(answers_have_the_asked_form)
{
    static const float probabilities[2] = {0.25F, 0.75F};
    assert_answer(ASKING("\"id\":\"a\\\"b\""),
                  ANSWER("\"datatype\":\"FP32\",\"shape\":[1,2],"
                         "\"data\":[0.25,0.75]",
                         ",\"id\":\"a\\\"b\""),
                  "", 0);
    assert_answer(ASKING("\"parameters\":{\"binary_data_output\":true}"),
                  ANSWER("\"datatype\":\"FP32\",\"shape\":[1,2],"
                         "\"parameters\":{\"binary_data_size\":8}",
                         ""),
                  probabilities, sizeof probabilities);
    assert_answer(
        ASKING("\"parameters\":{\"binary_data_output\":true},\"outputs\":[{"
               "\"name\":\"probabilities\",\"parameters\":{"
               "\"classification\":1,\"binary_data\":false}}]"),
        ANSWER("\"datatype\":\"BYTES\",\"shape\":[1,1],"
               "\"data\":[\"0.750000:1:dog\"]",
               ""),
        "", 0);
    assert_answer(
        ASKING("\"outputs\":[{\"name\":\"probabilities\",\"parameters\":{"
               "\"classification\":1,\"binary_data\":true}}]"),
        ANSWER("\"datatype\":\"BYTES\",\"shape\":[1,1],"
               "\"parameters\":{\"binary_data_size\":18}",
               ""),
        "\16\0\0\0000.750000:1:dog", 18);
    asked_point = "offload-large";
    assert_answer(ASKING("\"outputs\":[]"),
                  "{\"model_name\":\"m\",\"model_version\":\"1\","
                  "\"parameters\":{\"point\":\"offload\","
                  "\"asked\":\"offload-large\"},\"outputs\":[{\"name\":"
                  "\"probabilities\",\"datatype\":\"FP32\",\"shape\":[1,2],"
                  "\"data\":[0.25,0.75]}]}",
                  "", 0);
}
END_TEST

START_TEST(the_index_tells_states)
{
    static const struct api_bundle_state bundles[] = {
        {"a", "1", true, ""}, {"a", "2", false, "damaged"}};
    char *text = api_oip_index_write(bundles, 2, false);
    ck_assert_str_eq(text,
                     "[{\"name\":\"a\",\"version\":\"1\",\"state\":\"READY\"},"
                     "{\"name\":\"a\",\"version\":\"2\",\"state\":"
                     "\"UNAVAILABLE\",\"reason\":\"damaged\"}]");
    free(text);
    text = api_oip_index_write(bundles, 2, true);
    ck_assert_str_eq(
        text, "[{\"name\":\"a\",\"version\":\"1\",\"state\":\"READY\"}]");
    free(text);
}
END_TEST

START_TEST(repository_requests_bring_no_models)
{
    struct api_repository_request asked;
    ck_assert_int_eq(api_repository_read(NULL, 0, &asked, &error), API_OK);
    ck_assert(!asked.only_served);
    static const struct {
        const char *json;
        enum api_status status;
    } cases[] = {
        {"{\"ready\":true}", API_OK},
        {"{\"parameters\":{\"unload_dependents\":false}}", API_OK},
        {"{\"ready\":1}", API_BAD_REQUEST},
        {"nothing", API_BAD_REQUEST},
        {"{\"parameters\":{\"config\":\"{}\"}}", API_UNAVAILABLE},
        {"{\"parameters\":{\"file:1/a\":\"\"}}", API_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(api_repository_read(cases[i].json, strlen(cases[i].json),
                                          &asked, &error) == cases[i].status,
                      "%s", cases[i].json);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("oip");
    tcase_add_test(cases, data_is_flat_or_nested);
    tcase_add_test(cases, bytes_in_json_are_base64);
    tcase_add_test(cases, binary_tensors_follow);
    tcase_add_test(cases, wrong_requests_are_refused_with_a_reason);
    tcase_add_test(cases, lack_of_memory_is_not_the_requests_fault);
    tcase_add_test(cases, answers_have_the_asked_form);
    tcase_add_test(cases, the_index_tells_states);
    tcase_add_test(cases, repository_requests_bring_no_models);
    Suite *suite = suite_create("api oip");
    suite_add_tcase(suite, cases);
    return suite;
}
