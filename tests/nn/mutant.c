/* Takes the tiny bundle apart, edits it, and puts it together again. */
#include "tests/nn/mutant.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mutant {
    json_t *header, *document;
    uint8_t *data;
    size_t data_bytes;
};

static json_t *parse(const char *text, size_t count)
{
    json_error_t detail;
    json_t *json = json_loadb(text, count, JSON_DECODE_ANY, &detail);
    ck_assert_msg(json != NULL, "%s", detail.text);
    return json;
}

struct mutant *mutant_open(void)
{
    static const char path[] = CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors";
    struct mutant *mutant = calloc(1, sizeof *mutant);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(mutant && file, "cannot open %s", path);
    uint8_t length[8];
    ck_assert_uint_eq(fread(length, 1, 8, file), 8);
    size_t header_bytes =
        length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16;
    char *header = malloc(header_bytes);
    ck_assert_uint_eq(fread(header, 1, header_bytes, file), header_bytes);
    mutant->header = parse(header, header_bytes);
    free(header);
    json_t *metadata = json_object_get(mutant->header, "__metadata__");
    const char *text = json_string_value(json_object_get(metadata, "cleave"));
    mutant->document = parse(text, strlen(text));
    mutant->data = malloc(1 << 20);
    mutant->data_bytes = fread(mutant->data, 1, 1 << 20, file);
    fclose(file);
    return mutant;
}

void mutant_close(struct mutant *mutant)
{
    json_decref(mutant->header);
    json_decref(mutant->document);
    free(mutant->data);
    free(mutant);
}

static json_t *step(json_t *at, const char *name)
{
    json_t *next = json_is_array(at)
                       ? json_array_get(at, strtoul(name, NULL, 10))
                       : json_object_get(at, name);
    ck_assert_msg(next != NULL, "no %s on the way", name);
    return next;
}

static void change(json_t *at, const char *name, json_t *value)
{
    size_t index = strtoul(name, NULL, 10);
    int failed;
    if (json_is_array(at) && strcmp(name, "+") == 0)
        failed = json_array_append(at, value);
    else if (json_is_array(at))
        failed = value ? json_array_set(at, index, value)
                       : json_array_remove(at, index);
    else
        failed = value ? json_object_set(at, name, value)
                       : json_object_del(at, name);
    ck_assert_msg(failed == 0, "cannot change %s", name);
    json_decref(value);
}

void mutant_edit(struct mutant *mutant, const char *path, const char *text)
{
    char steps[200];
    ck_assert_uint_lt(strlen(path), sizeof steps);
    memcpy(steps, path, strlen(path) + 1);
    char *name = steps, *bar = strchr(steps, '|');
    json_t *at =
        strncmp(path, "header|", 7) == 0 ? mutant->header : mutant->document;
    for (name = bar + 1; (bar = strchr(name, '|')) != NULL; name = bar + 1) {
        *bar = '\0';
        at = step(at, name);
    }
    change(at, name, text ? parse(text, strlen(text)) : NULL);
}

void mutant_poke(struct mutant *mutant, const char *tensor, size_t index,
                 uint32_t bits)
{
    json_t *entry = json_object_get(mutant->header, tensor);
    json_t *offsets = json_object_get(entry, "data_offsets");
    json_int_t from = json_integer_value(json_array_get(offsets, 0));
    ck_assert_msg(entry != NULL, "no tensor %s", tensor);
    memcpy(mutant->data + from + index * 4, &bits, sizeof bits);
}

void mutant_add(struct mutant *mutant, const char *name, const char *dtype,
                const char *shape, size_t bytes)
{
    json_int_t from = (json_int_t)mutant->data_bytes;
    mutant_grow(mutant, bytes);
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape",
                              parse(shape, strlen(shape)), "data_offsets", from,
                              from + (json_int_t)bytes);
    change(mutant->header, name, entry);
}

void mutant_grow(struct mutant *mutant, size_t bytes)
{
    memset(mutant->data + mutant->data_bytes, 0, bytes);
    mutant->data_bytes += bytes;
}

uint8_t *mutant_write(const struct mutant *mutant, size_t *bytes)
{
    json_t *metadata = json_object_get(mutant->header, "__metadata__");
    const char *old = json_string_value(json_object_get(metadata, "cleave"));
    /* Unless an edit broke the document's text itself. */
    if (old && strncmp(old, "{\"", 2) == 0) {
        char *text = json_dumps(mutant->document, JSON_COMPACT);
        json_object_set_new(metadata, "cleave", json_string(text));
        free(text);
    }
    char *header = json_dumps(mutant->header, JSON_COMPACT);
    size_t length = strlen(header);
    uint8_t *file = malloc(8 + length + mutant->data_bytes);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> 8 * i);
    memcpy(file + 8, header, length);
    memcpy(file + 8 + length, mutant->data, mutant->data_bytes);
    free(header);
    *bytes = 8 + length + mutant->data_bytes;
    return file;
}

/* Its weights are zeros but for the last layer's. */
void mutant_int8(struct mutant *mutant)
{
    mutant_add(mutant, "int8.conv", "I8", "[8,3,3,4]", 288);
    mutant_add(mutant, "int8.dw", "I8", "[3,3,8]", 72);
    mutant_edit(
        mutant, "document|graphs|tail/w50|nodes",
        "[{\"op\":\"quantize\",\"in\":[0],\"quant\":[0.05,128]},"
        "{\"op\":\"conv\",\"in\":[1],\"weight\":\"int8.conv\","
        "\"scale\":\"w100.reduce.scale\",\"bias\":\"w100.reduce.bias\","
        "\"stride\":[2,2],\"pad\":[0,1,0,1],\"act\":\"relu\","
        "\"quant\":[0.1,3]},"
        "{\"op\":\"dwconv\",\"in\":[2],\"weight\":\"int8.dw\","
        "\"scale\":\"w100.reduce.scale\",\"bias\":\"w100.reduce.bias\","
        "\"pad\":[1,1,1,1],\"quant\":[0.1,100]},"
        "{\"op\":\"add\",\"in\":[2,3],\"quant\":[0.2,7],\"act\":\"relu6\"},"
        "{\"op\":\"maxpool\",\"in\":[4],\"kernel\":[2,2]},"
        "{\"op\":\"avgpool\",\"in\":[4],\"kernel\":[2,2],"
        "\"quant\":[0.3,9]},"
        "{\"op\":\"concat\",\"in\":[5,6],\"quant\":[0.25,1]},"
        "{\"op\":\"global_avgpool\",\"in\":[7],\"quant\":[0.2,0]},"
        "{\"op\":\"linear\",\"in\":[8],\"weight\":\"fc\","
        "\"scale\":\"fc.scale\",\"bias\":\"fc.bias\",\"quant\":[0.1,128]},"
        "{\"op\":\"dequantize\",\"in\":[9]},"
        "{\"op\":\"softmax\",\"in\":[10]}]");
}
