/* Requests and answers of inference in the Open Inference Protocol. */
#include "api/oip.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"

static const char *const datatype_names[] = {
    [API_UINT8] = "UINT8", [API_FP32] = "FP32", [API_BYTES] = "BYTES"};
#define DATATYPE_COUNT (sizeof datatype_names / sizeof datatype_names[0])

#define OUTPUT_NAME "probabilities"

/* ---- requests ---- */

static void read_datatype(struct api_reader *reader, const json_t *object,
                          struct api_tensor *tensor)
{
    char name[16] = "";
    api_read_string(reader, object, "datatype", true, true, name, sizeof name);
    for (size_t i = 0; i < DATATYPE_COUNT; i++) {
        if (strcmp(name, datatype_names[i]) == 0) {
            tensor->datatype = (enum api_datatype)i;
            return;
        }
    }
    api_refuse(reader, "datatype", "is not UINT8, FP32 or BYTES");
}

/* Fills the shape and returns how many elements it has; 0 if refused. */
static size_t read_shape(struct api_reader *reader, const json_t *object,
                         struct api_tensor *tensor)
{
    json_t *shape = api_member(reader, object, "shape", true);
    size_t rank = json_array_size(shape);
    uint64_t elements = 1;
    bool ok = rank >= 1 && rank <= API_TENSOR_RANK;
    for (size_t i = 0; ok && i < rank; i++) {
        json_t *side = json_array_get(shape, i);
        json_int_t number = json_integer_value(side);
        ok = json_is_integer(side) && number >= 1 &&
             number <= API_LIMIT_JPEG_BYTES;
        tensor->shape[i] = ok ? (uint32_t)number : 0;
        elements *= tensor->shape[i];
        ok = ok && elements <= API_LIMIT_JPEG_BYTES;
    }
    if (!ok) {
        api_refuse(reader, "shape", "is no shape this server takes");
        return 0;
    }
    if (tensor->datatype == API_BYTES && elements != 1)
        api_refuse(reader, "shape", "of BYTES has more than one element");
    tensor->rank = (unsigned)rank;
    return (size_t)elements;
}

/* One element from JSON, appended; false if it is not of the type. */
static bool take_element(const json_t *value, enum api_datatype datatype,
                         uint8_t *out)
{
    if (datatype == API_UINT8) {
        json_int_t number = json_integer_value(value);
        *out = (uint8_t)number;
        return json_is_integer(value) && number >= 0 && number <= 255;
    }
    double number = json_number_value(value);
    bool fits = json_is_number(value) && fabs(number) <= (double)FLT_MAX;
    float narrow = fits ? (float)number : 0;
    memcpy(out, &narrow, sizeof narrow);
    return fits;
}

/* Flattens nested arrays, row-major. *left counts the elements still to
 * come. False if there are more of them, or one is wrong. */
static bool take_elements(const json_t *array, enum api_datatype datatype,
                          unsigned depth, uint8_t **out, size_t *left)
{
    size_t element_bytes = datatype == API_FP32 ? sizeof(float) : 1;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        if (json_is_array(value)) {
            if (depth == API_TENSOR_RANK ||
                !take_elements(value, datatype, depth + 1, out, left))
                return false;
            continue;
        }
        if (*left == 0 || !take_element(value, datatype, *out))
            return false;
        *out += element_bytes;
        --*left;
    }
    return true;
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes padded base64 without blanks into `out`, which has room for
 * length / 4 * 3 bytes. False for anything else. */
static bool take_base64(const char *text, size_t length, uint8_t *out,
                        size_t *out_bytes)
{
    size_t used = 0;
    if (length % 4 != 0)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t bits = 0;
        int padding = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = base64_value(text[i + k]);
            bool last = i + 4 == length && k >= 2;
            if (text[i + k] == '=' && last)
                padding++;
            else if (value < 0 || padding > 0)
                return false;
            bits = bits << 6 | (uint32_t)(value < 0 ? 0 : value);
        }
        for (int k = 0; k < 3 - padding; k++)
            out[used++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    *out_bytes = used;
    return true;
}

static void read_json_data(struct api_reader *reader, const json_t *data,
                           size_t elements, struct api_infer_request *request)
{
    struct api_tensor *tensor = &request->input;
    const json_t *text = json_array_get(data, 0);
    size_t room = tensor->datatype == API_BYTES
                      ? json_string_length(text) / 4 * 3
                      : elements * sizeof(float);
    uint8_t *bytes = malloc(room + 1);
    request->owned = bytes;
    if (!bytes) {
        reader->status =
            api_fail(reader->error, API_NO_MEMORY, "no memory for the input");
        return;
    }
    tensor->bytes = bytes;
    bool ok;
    if (tensor->datatype == API_BYTES) {
        ok = json_array_size(data) == 1 && json_is_string(text) &&
             take_base64(json_string_value(text), json_string_length(text),
                         bytes, &tensor->byte_count);
    } else {
        size_t left = elements;
        ok = take_elements(data, tensor->datatype, 1, &bytes, &left) &&
             left == 0;
        tensor->byte_count = (size_t)(bytes - tensor->bytes);
    }
    if (!ok)
        api_refuse(reader, "data", "does not fit shape and datatype");
}

/* Takes `count` bytes behind the JSON. */
static void read_binary_data(struct api_reader *reader, uint8_t *bytes,
                             size_t count, size_t elements,
                             struct api_tensor *tensor)
{
    if (tensor->datatype == API_BYTES) {
        uint32_t length = 0;
        for (int i = 0; count >= 4 && i < 4; i++)
            length |= (uint32_t)bytes[i] << 8 * i;
        if (count < 4 || length != count - 4) {
            api_refuse(reader, "binary_data_size",
                       "does not fit the element's length");
            return;
        }
        bytes += 4;
        count -= 4;
    } else if (count !=
               elements * (tensor->datatype == API_FP32 ? sizeof(float) : 1)) {
        api_refuse(reader, "binary_data_size",
                   "does not fit shape and datatype");
        return;
    }
    tensor->bytes = bytes;
    tensor->byte_count = count;
}

static void read_input(struct api_reader *reader, const json_t *root,
                       uint8_t *binary, size_t binary_bytes,
                       struct api_infer_request *request)
{
    json_t *list = api_member(reader, root, "inputs", true);
    json_t *input = json_array_get(list, 0);
    if (!json_is_object(input) || json_array_size(list) != 1) {
        api_refuse(reader, "inputs", "is not an array of one tensor");
        return;
    }
    struct api_tensor *tensor = &request->input;
    api_read_string(reader, input, "name", true, false, tensor->name,
                    sizeof tensor->name);
    read_datatype(reader, input, tensor);
    size_t elements = read_shape(reader, input, tensor);
    const json_t *parameters = json_object_get(input, "parameters");
    bool is_binary = json_object_get(parameters, "binary_data_size") != NULL;
    uint64_t size = api_read_whole(reader, parameters, "binary_data_size",
                                   false, 0, API_LIMIT_JPEG_BYTES, 0);
    if (size != binary_bytes)
        api_refuse(reader, "binary_data_size",
                   "is not the number of bytes behind the JSON");
    json_t *data = api_member(reader, input, "data", !is_binary);
    if (reader->status != API_OK)
        return;
    if (is_binary == (data != NULL) || (data && !json_is_array(data)))
        api_refuse(reader, "data", "is not an array, or not alone");
    else if (is_binary)
        read_binary_data(reader, binary, binary_bytes, elements, tensor);
    else
        read_json_data(reader, data, elements, request);
}

static void read_output(struct api_reader *reader, const json_t *root,
                        struct api_infer_request *request)
{
    json_t *list = api_member(reader, root, "outputs", false);
    json_t *output = json_array_get(list, 0);
    if (!list)
        return;
    if (!json_is_array(list) || json_array_size(list) > 1 ||
        (output && !json_is_object(output))) {
        api_refuse(reader, "outputs", "is not an array of one tensor");
        return;
    }
    if (!output)
        return;
    char name[64] = "";
    api_read_string(reader, output, "name", true, true, name, sizeof name);
    if (strcmp(name, OUTPUT_NAME) != 0)
        api_refuse(reader, "outputs",
                   "names another tensor than "
                   "\"" OUTPUT_NAME "\"");
    const json_t *parameters = json_object_get(output, "parameters");
    request->top_count = (uint32_t)api_read_whole(
        reader, parameters, "classification", false, 0, API_LIMIT_TOP, 0);
    json_t *binary = json_object_get(parameters, "binary_data");
    if (binary)
        request->binary = json_is_true(binary);
}

enum api_status api_infer_read(uint8_t *body, size_t body_bytes,
                               size_t json_bytes,
                               struct api_infer_request *request,
                               struct api_error *error)
{
    if (json_bytes > body_bytes)
        return api_fail(error, API_BAD_REQUEST,
                        API_OIP_HEADER " is more than the whole body");
    if (json_bytes > API_LIMIT_INFER_JSON_BYTES)
        return api_fail(error, API_TOO_LARGE,
                        "the JSON may have at most %u bytes; send the tensor "
                        "as binary data",
                        API_LIMIT_INFER_JSON_BYTES);
    json_t *root;
    enum api_status status =
        api_parse_object((const char *)body, json_bytes, &root, error);
    if (status != API_OK)
        return status == API_NO_MEMORY ? status : API_BAD_REQUEST;
    struct api_reader reader = {API_OK, error};
    struct api_infer_request read = {.id = ""};
    api_read_string(&reader, root, "id", false, false, read.id, sizeof read.id);
    const json_t *parameters = json_object_get(root, "parameters");
    read.timeout_us = api_read_whole(&reader, parameters, "timeout", false, 0,
                                     UINT64_C(3600000000), 0);
    api_read_string(&reader, parameters, "quality", false, false, read.quality,
                    sizeof read.quality);
    read.binary =
        json_is_true(json_object_get(parameters, "binary_data_output"));
    read_output(&reader, root, &read);
    if (reader.status == API_OK)
        read_input(&reader, root, body + json_bytes, body_bytes - json_bytes,
                   &read);
    json_decref(root);
    if (reader.status == API_OK) {
        *request = read;
        return API_OK;
    }
    api_infer_free(&read);
    return reader.status == API_UNPROCESSABLE ? API_BAD_REQUEST : reader.status;
}

void api_infer_free(struct api_infer_request *request)
{
    free(request->owned);
    request->owned = NULL;
}

/* ---- answers ---- */

/* Triton's form of a class: value, index, label. */
#define CLASS_BYTES 160
static void write_class(const struct api_class *class, char text[CLASS_BYTES])
{
    snprintf(text, CLASS_BYTES, "%f:%u:%s", class->probability,
             (unsigned)class->index, class->label);
}

static json_t *json_data(const struct api_infer_answer *answer)
{
    json_t *data = json_array();
    bool ok = data != NULL;
    bool classes = answer->request->top_count > 0;
    uint32_t count = classes ? answer->top_count : answer->class_count;
    for (uint32_t i = 0; ok && i < count; i++) {
        char text[CLASS_BYTES];
        if (classes)
            write_class(&answer->top[i], text);
        ok = json_array_append_new(
                 data, classes
                           ? json_string(text)
                           : json_real((double)answer->probabilities[i])) == 0;
    }
    if (ok)
        return data;
    json_decref(data);
    return NULL;
}

/* The output as raw bytes; malloc'ed, or NULL. */
static uint8_t *binary_data(const struct api_infer_answer *answer,
                            size_t *byte_count)
{
    size_t used = 0;
    if (answer->request->top_count == 0) {
        used = answer->class_count * sizeof(float);
        uint8_t *floats = malloc(used);
        if (floats)
            memcpy(floats, answer->probabilities, used);
        *byte_count = used;
        return floats;
    }
    uint8_t *bytes = malloc((size_t)answer->top_count * (4 + CLASS_BYTES));
    for (uint32_t i = 0; bytes && i < answer->top_count; i++) {
        char text[CLASS_BYTES];
        write_class(&answer->top[i], text);
        uint32_t length = (uint32_t)strlen(text);
        for (int k = 0; k < 4; k++)
            bytes[used++] = (uint8_t)(length >> 8 * k);
        memcpy(bytes + used, text, length);
        used += length;
    }
    *byte_count = used;
    return bytes;
}

/* The JSON document, with the output's data in it or how many bytes follow. */
static char *write_json(const struct api_infer_answer *answer,
                        size_t binary_bytes)
{
    const struct api_infer_request *request = answer->request;
    bool classes = request->top_count > 0;
    uint32_t count = classes ? answer->top_count : answer->class_count;
    json_t *output =
        json_pack("{s:s,s:s,s:[i,I]}", "name", OUTPUT_NAME, "datatype",
                  datatype_names[classes ? API_BYTES : API_FP32], "shape", 1,
                  (json_int_t)count);
    int failed =
        request->binary
            ? json_object_set_new(output, "parameters",
                                  json_pack("{s:I}", "binary_data_size",
                                            (json_int_t)binary_bytes))
            : json_object_set_new(output, "data", json_data(answer));
    json_t *root = failed ? NULL
                          : json_pack("{s:s,s:s,s:{s:s},s:[O]}", "model_name",
                                      answer->model, "model_version",
                                      answer->version, "parameters", "point",
                                      answer->point, "outputs", output);
    json_decref(output);
    bool lighter = strcmp(answer->asked, answer->point) != 0;
    if (root &&
        ((request->id[0] &&
          json_object_set_new(root, "id", json_string(request->id)) != 0) ||
         (lighter &&
          json_object_set_new(json_object_get(root, "parameters"), "asked",
                              json_string(answer->asked)) != 0))) {
        json_decref(root);
        root = NULL;
    }
    /* Nine digits carry every float. */
    char *text =
        root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    return text;
}

uint8_t *api_infer_write(const struct api_infer_answer *answer,
                         size_t *body_bytes, size_t *json_bytes)
{
    size_t binary_bytes = 0;
    uint8_t *binary =
        answer->request->binary ? binary_data(answer, &binary_bytes) : NULL;
    if (answer->request->binary && !binary)
        return NULL;
    char *text = write_json(answer, binary_bytes);
    uint8_t *body = NULL;
    if (text) {
        *json_bytes = strlen(text);
        *body_bytes = *json_bytes + binary_bytes;
        body = realloc(text, *body_bytes);
        if (!body)
            free(text);
        else if (binary)
            memcpy(body + *json_bytes, binary, binary_bytes);
    }
    free(binary);
    return body;
}
