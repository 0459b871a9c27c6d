/* Members of untrusted JSON, checked one by one; internal to api/. */
#ifndef CLEAVE_API_JSON_READ_H
#define CLEAVE_API_JSON_READ_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/status.h"

/* The first failure sticks; later reads do nothing then. */
struct api_reader {
    enum api_status status;
    struct api_error *error;
};

/* Fails with API_UNPROCESSABLE: member `name` is wrong, and `why`. */
void api_refuse(struct api_reader *reader, const char *name, const char *why);

/* Member `name` of `object`, borrowed; NULL if absent, which is refused when
 * it is `required`. */
json_t *api_member(struct api_reader *reader, const json_t *object,
                   const char *name, bool required);

/* A string without control characters. Longer ones are cut if `cut`, else
 * refused. */
void api_read_string(struct api_reader *reader, const json_t *object,
                     const char *name, bool required, bool cut, char *out,
                     size_t capacity);

/* A name that may become part of a URL or a file's name: [A-Za-z0-9._-]+, not
 * beginning with a dot. */
void api_read_name(struct api_reader *reader, const json_t *object,
                   const char *name, char *out, size_t capacity);

/* A whole number in [least, most]; `absent` stands for a missing one unless it
 * is `required`. */
uint64_t api_read_whole(struct api_reader *reader, const json_t *object,
                        const char *name, bool required, uint64_t least,
                        uint64_t most, uint64_t absent);
double api_read_real(struct api_reader *reader, const json_t *object,
                     const char *name, bool required, double least, double most,
                     double absent);

/* Parses untrusted text into an object, which becomes the caller's.
 * API_UNPROCESSABLE for anything else, or API_NO_MEMORY. */
enum api_status api_parse_object(const char *text, size_t bytes, json_t **root,
                                 struct api_error *error);

/* Copies what fits, cut at a character's boundary. */
void api_copy_cut(char *out, size_t capacity, const char *text);

#endif
