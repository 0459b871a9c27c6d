/* A reader of safetensors that trusts its file. */
#include "tests/nn/golden.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct golden {
    json_t *header;
    unsigned char *data; /* the tensors */
};

struct golden *golden_open(const char *name)
{
    struct golden *golden = calloc(1, sizeof *golden);
    char path[512], *text;
    uint64_t header_bytes = 0;
    long end;
    FILE *file;

    ck_assert_ptr_nonnull(golden);
    snprintf(path, sizeof path, "%s/tests/data/%s", CLEAVE_SOURCE_DIR, name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    end = ftell(file);
    ck_assert_int_gt(end, 8);
    rewind(file);
    for (int i = 0; i < 8; i++)
        header_bytes |= (uint64_t)fgetc(file) << (8 * i);
    ck_assert_uint_le(header_bytes, (uint64_t)end - 8);
    text = malloc(header_bytes);
    golden->data = malloc((size_t)end - 8 - header_bytes + 1);
    ck_assert(text && golden->data);
    ck_assert_uint_eq(fread(text, 1, header_bytes, file), header_bytes);
    ck_assert_uint_eq(
        fread(golden->data, 1, (size_t)end - 8 - header_bytes, file),
        (size_t)end - 8 - header_bytes);
    golden->header = json_loadb(text, header_bytes, 0, NULL);
    ck_assert_ptr_nonnull(golden->header);
    free(text);
    fclose(file);
    return golden;
}

void golden_close(struct golden *golden)
{
    json_decref(golden->header);
    free(golden->data);
    free(golden);
}

int golden_has(const struct golden *golden, const char *name)
{
    return json_object_get(golden->header, name) != NULL;
}

const void *golden_data(const struct golden *golden, const char *name,
                        size_t bytes)
{
    json_t *entry = json_object_get(golden->header, name);
    json_t *offsets = json_object_get(entry, "data_offsets");
    json_int_t from = json_integer_value(json_array_get(offsets, 0));
    json_int_t to = json_integer_value(json_array_get(offsets, 1));

    ck_assert_msg(entry != NULL, "no golden tensor %s", name);
    ck_assert_msg(bytes == 0 || (size_t)(to - from) == bytes,
                  "golden tensor %s has %zu bytes instead of %zu", name,
                  (size_t)(to - from), bytes);
    return golden->data + from;
}

void golden_compare(const struct golden *golden, const char *name,
                    const float *got, size_t count)
{
    const float *expected = golden_data(golden, name, count * sizeof(float));
    float largest = 0.0f;

    for (size_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - expected[i]) <= 1e-4f * largest))
            ck_abort_msg("%s[%zu]: %.9g instead of %.9g", name, i,
                         (double)got[i], (double)expected[i]);
}
