/* The JSON documents that server and client exchange. */
#ifndef CLEAVE_API_JSON_H
#define CLEAVE_API_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "api/limits.h"
#include "api/point.h"
#include "api/status.h"

/* One class of an answer. */
struct api_class {
    uint32_t index;
    char label[96]; /* UTF-8, cut at a character boundary to fit */
    double probability;
};

/* The answer to one picture: POST …/classify and …/tail. */
struct api_answer {
    char model[64], version[64];
    char point[48];
    char asked[48]; /* the point that was asked for, or "" for the same */
    uint32_t top_count;
    struct api_class top[API_LIMIT_TOP];
};

/* A model's metadata: GET /v1/models/{m}. */
struct api_model {
    char name[64], version[64];
    uint64_t fingerprint;
    uint16_t input_width, input_height;
    uint32_t class_count;
    uint16_t point_count;
    struct api_point points[API_LIMIT_POINTS];
};

/* Each *_write returns a malloc'ed, NUL-terminated text that becomes the
 * caller's to free(), or NULL when memory ran out. Each *_read parses
 * untrusted text, refuses wrong types, ranges, duplicate members and more
 * than API_LIMIT_REPLY_BYTES with API_UNPROCESSABLE, ignores members it does
 * not know, and leaves *out untouched on failure. Unknown kinds of point in
 * a model's list are kept out of `points` but hold their number, see
 * api_point.id == "". Thread-safe. */
char *api_answer_write(const struct api_answer *answer);
enum api_status api_answer_read(const char *text, size_t bytes,
                                struct api_answer *out,
                                struct api_error *error);
char *api_model_write(const struct api_model *model);
enum api_status api_model_read(const char *text, size_t bytes,
                               struct api_model *out, struct api_error *error);

/* GET /v1/models: {"models":[…]}, the server's default model first. Reading
 * takes that first one; API_NOT_FOUND if there is none. */
char *api_model_list_write(const struct api_model *const *models, size_t count);
enum api_status api_model_list_read(const char *text, size_t bytes,
                                    struct api_model *first,
                                    struct api_error *error);

/* GET /v1/models/{m}/labels: a JSON array of strings. */
char *api_labels_write(const char *const *labels, size_t count);

/* Copies a label, cut at a character boundary to fit. */
void api_label_copy(char out[96], const char *label);

/* RFC 9457 problem with the Open Inference Protocol's `error` member:
 * {"type","title","status","detail","error"[,"request_id"][,"model":{…}]}.
 * `model` (the current metadata, for 409) and `request_id` may be NULL. */
char *api_problem_write(enum api_status status, const char *detail,
                        const char *request_id, const struct api_model *model);

/* Fills *problem from a problem document: status from its `type`, text from
 * `detail`. API_UNPROCESSABLE if it is none. */
enum api_status api_problem_read(const char *text, size_t bytes,
                                 struct api_error *problem);

/* Reads a flat JSON object of settings (at most API_LIMIT_JSON_BYTES) and
 * calls `each` for every member, in no particular order; strings, whole
 * numbers and booleans arrive as text, valid only during the call. Stops at
 * the first status that is not API_OK. API_USAGE with a reason for a document
 * of another kind. */
typedef enum api_status api_setting_fn(void *context, const char *name,
                                       const char *value,
                                       struct api_error *error);
enum api_status api_settings_read(const char *text, size_t bytes,
                                  api_setting_fn *each, void *context,
                                  struct api_error *error);

#endif
