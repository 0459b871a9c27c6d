/* JSON access for bundles; the only file of nn/ that knows jansson. */
#include "nn/bundle_json.h"

#include <jansson.h>

/* jansson takes non-const values even where it only reads. */
static json_t *native(const struct nn_json *value)
{
    return (json_t *)(uintptr_t)value;
}

static const struct nn_json *wrap(const json_t *value)
{
    return (const struct nn_json *)value;
}

enum api_status nn_json_parse(const char *text, size_t count,
                              struct nn_json **value, struct api_error *error)
{
    json_error_t detail;
    json_t *root = json_loadb(text, count, JSON_REJECT_DUPLICATES, &detail);
    if (!root) {
        if (detail.text[0] == '\0') /* jansson had no memory */
            return api_fail(error, API_NO_MEMORY, "out of memory");
        /* jansson's own text may quote the hostile bytes: only say where. */
        return api_fail(error, API_BAD_BUNDLE,
                        "invalid JSON at line %d, column %d", detail.line,
                        detail.column);
    }
    *value = (struct nn_json *)root;
    return API_OK;
}

void nn_json_free(struct nn_json **value)
{
    if (*value)
        json_decref(native(*value));
    *value = NULL;
}

bool nn_json_is_object(const struct nn_json *value)
{
    return json_is_object(native(value));
}

bool nn_json_is_array(const struct nn_json *value)
{
    return json_is_array(native(value));
}

size_t nn_json_count(const struct nn_json *value)
{
    if (nn_json_is_array(value))
        return json_array_size(native(value));
    return json_object_size(native(value));
}

const struct nn_json *nn_json_member(const struct nn_json *object,
                                     const char *name)
{
    return wrap(json_object_get(native(object), name));
}

const struct nn_json *nn_json_at(const struct nn_json *array, size_t index)
{
    return wrap(json_array_get(native(array), index));
}

bool nn_json_next(const struct nn_json *object, void **iterator,
                  const char **name, const struct nn_json **value)
{
    json_t *root = native(object);
    *iterator = *iterator ? json_object_iter_next(root, *iterator)
                          : json_object_iter(root);
    if (!*iterator)
        return false;
    *name = json_object_iter_key(*iterator);
    *value = wrap(json_object_iter_value(*iterator));
    return true;
}

const char *nn_json_text(const struct nn_json *value)
{
    return json_string_value(native(value));
}

bool nn_json_integer(const struct nn_json *value, uint64_t min, uint64_t max,
                     uint64_t *out)
{
    if (!json_is_integer(native(value)))
        return false;
    json_int_t number = json_integer_value(native(value));
    if (number < 0 || (uint64_t)number < min || (uint64_t)number > max)
        return false;
    *out = (uint64_t)number;
    return true;
}

bool nn_json_number(const struct nn_json *value, double min, double max,
                    double *out)
{
    if (!json_is_number(native(value)))
        return false;
    double number = json_number_value(native(value));
    if (!(number >= min && number <= max))
        return false;
    *out = number;
    return true;
}

struct nn_json *nn_json_object(void)
{
    return (struct nn_json *)json_object();
}

bool nn_json_set(struct nn_json *object, const char *name,
                 const struct nn_json *value)
{
    return json_object_set(native(object), name, native(value)) == 0;
}

bool nn_json_set_text(struct nn_json *object, const char *name,
                      const char *text)
{
    return json_object_set_new(native(object), name, json_string(text)) == 0;
}

bool nn_json_set_integers(struct nn_json *object, const char *name,
                          const uint64_t *values, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *number = json_integer((json_int_t)values[i]);
        if (json_array_append_new(array, number) != 0) {
            json_decref(array);
            return false;
        }
    }
    return json_object_set_new(native(object), name, array) == 0;
}

char *nn_json_write(const struct nn_json *value)
{
    return json_dumps(native(value), JSON_COMPACT);
}
