/* Reading the lines that cleave prints, and bundles of other versions. */
#include "answers.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn.h"

json_t *answer_parse(const char *line)
{
    json_error_t why;
    ck_assert_ptr_nonnull(line);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &why);
    ck_assert_msg(object != NULL, "%s in: %s", why.text, line);
    return object;
}

const char *answer_text(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    ck_assert_msg(text != NULL, "no text %s", member);
    return text;
}

double answer_real(const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    ck_assert_msg(json_is_number(value), "no number %s", member);
    return json_number_value(value);
}

void bundle_write_changed(char path[SCRATCH_PATH_BYTES], const char *directory,
                          const char *file, const char *original,
                          const char *from, const char *to)
{
    size_t bytes, length = strlen(from);
    char *bundle = scratch_read(original, &bytes);
    bool found = false;
    for (size_t i = 0; !found && i + length <= bytes; i++) {
        found = memcmp(bundle + i, from, length) == 0;
        if (found)
            memcpy(bundle + i, to, length);
    }
    ck_assert(found);
    scratch_join(path, directory, file);
    scratch_write(path, bundle, bytes);
    free(bundle);
}

void bundle_write_other(char path[SCRATCH_PATH_BYTES], const char *directory)
{
    struct nn_model *model = NULL;
    ck_assert_int_eq(nn_model_open(scratch_bundle(), &model, NULL), API_OK);
    char digits[17];
    snprintf(digits, sizeof digits, "%016llx",
             (unsigned long long)nn_model_fingerprint(model));
    nn_model_close(&model);
    bundle_write_changed(path, directory, "other.safetensors", scratch_bundle(),
                         digits, "aaaaaaaaaaaaaaaa");
}
