/* The JSON of a bundle, behind a narrow view: jansson stays in one file. */
#ifndef CLEAVE_NN_BUNDLE_JSON_H
#define CLEAVE_NN_BUNDLE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

/* A JSON value. Only what nn_json_parse and nn_json_object return is owned;
 * every other pointer is borrowed from it. All readers take NULL and answer
 * as for a value of the wrong type, so that look-ups can be nested. */
struct nn_json;

/* Parses `count` bytes of UTF-8 (no terminator needed). Duplicate members,
 * NUL characters, too deep nesting and trailing bytes are API_BAD_BUNDLE. */
enum api_status nn_json_parse(const char *text, size_t count,
                              struct nn_json **value, struct api_error *error);
void nn_json_free(struct nn_json **value);

bool nn_json_is_object(const struct nn_json *value);
bool nn_json_is_array(const struct nn_json *value);

/* Elements of an array, members of an object, 0 for others. */
size_t nn_json_count(const struct nn_json *value);

/* NULL if `object` is none or has no such member. */
const struct nn_json *nn_json_member(const struct nn_json *object,
                                     const char *name);

/* NULL if `array` is none or shorter. */
const struct nn_json *nn_json_at(const struct nn_json *array, size_t index);

/* Walks an object in the order of the text: begin with *iterator = NULL, ends
 * with false. */
bool nn_json_next(const struct nn_json *object, void **iterator,
                  const char **name, const struct nn_json **value);

/* The text, or NULL if `value` is no string. */
const char *nn_json_text(const struct nn_json *value);

/* False, with *out untouched, unless `value` is a number in min..max. An
 * integer must be written as one: 3, not 3.0. */
bool nn_json_integer(const struct nn_json *value, uint64_t min, uint64_t max,
                     uint64_t *out);
bool nn_json_number(const struct nn_json *value, double min, double max,
                    double *out);

/* Building, for export. Setters keep the order of the calls, hold a reference
 * to `value` rather than take it, and return false when memory ran out. */
struct nn_json *nn_json_object(void);
bool nn_json_set(struct nn_json *object, const char *name,
                 const struct nn_json *value);
bool nn_json_set_text(struct nn_json *object, const char *name,
                      const char *text);
bool nn_json_set_integers(struct nn_json *object, const char *name,
                          const uint64_t *values, size_t count);

/* Compact text, malloc'ed, the caller's to free(); NULL: out of memory. */
char *nn_json_write(const struct nn_json *value);

#endif
