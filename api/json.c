/* JSON documents to structures and back. */
#include "api/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"

/* Nine digits carry every float; measured values need fewer. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))
#define PROBLEM_TYPE "/problems/"

/* Dumps and releases `root`, which may be NULL. */
static char *dump(json_t *root)
{
    char *text = root ? json_dumps(root, DUMP_FLAGS) : NULL;
    json_decref(root);
    return text;
}

/* Takes `value` in any case; false if it is NULL or memory ran out. */
static bool put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

static bool put_measured(json_t *object, const char *name, double value)
{
    return value < 0 || put(object, name, json_real(value));
}

static json_t *exit_json(const struct api_point *point)
{
    json_t *object = json_object();
    if (put(object, "threshold", json_real(point->exit_threshold)) &&
        put_measured(object, "share", point->exit_share))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *point_json(const struct api_point *point)
{
    json_t *object = json_object();
    if (!object)
        return NULL;
    bool ok =
        put(object, "id", json_string(point->id)) &&
        put(object, "kind", json_string(api_point_kind_name(point->kind)));
    if (ok && point->kind == API_POINT_SPLIT) {
        ok = put(object, "width", json_real(point->width)) &&
             (point->rate[0] == '\0' ||
              put(object, "rate", json_string(point->rate))) &&
             put(object, "ensemble", json_integer(point->ensemble)) &&
             put(object, "codec", json_string(api_codec_name(point->codec))) &&
             put(object, "latent",
                 json_pack("[i,i,i]", (int)point->latent_height,
                           (int)point->latent_width,
                           (int)point->latent_channels)) &&
             (!(point->exit_threshold > 0) ||
              put(object, "exit", exit_json(point)));
    }
    ok = ok &&
         (point->quality == 0 ||
          put(object, "quality", json_integer(point->quality))) &&
         put(object, "head_macs", json_integer((json_int_t)point->head_macs)) &&
         put(object, "tail_macs", json_integer((json_int_t)point->tail_macs)) &&
         put_measured(object, "bytes_mean", point->bytes_mean) &&
         put_measured(object, "bytes_p95", point->bytes_p95) &&
         put_measured(object, "top1", point->top1) &&
         put_measured(object, "top5", point->top5) &&
         (point->pictures == 0 ||
          put(object, "pictures", json_integer(point->pictures)));
    if (!ok) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *model_json(const struct api_model *model)
{
    json_t *points = json_array();
    for (uint16_t i = 0; points && i < model->point_count; i++) {
        if (json_array_append_new(points, point_json(&model->points[i])) != 0) {
            json_decref(points);
            points = NULL;
        }
    }
    if (!points)
        return NULL;
    char fingerprint[17];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64,
             model->fingerprint);
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:{s:i,s:i,s:i,s:s},s:I,s:o}", "name", model->name,
        "version", model->version, "fingerprint", fingerprint, "platform",
        "cleave", "input", "width", (int)model->input_width, "height",
        (int)model->input_height, "channels", 3, "media_type", "image/jpeg",
        "classes", (json_int_t)model->class_count, "points", points);
}

char *api_model_write(const struct api_model *model)
{
    return dump(model_json(model));
}

char *api_model_list_write(const struct api_model *const *models, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        if (json_array_append_new(list, model_json(models[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list ? dump(json_pack("{s:o}", "models", list)) : NULL;
}

char *api_labels_write(const char *const *labels, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        if (json_array_append_new(list, json_string(labels[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return dump(list);
}

char *api_answer_write(const struct api_answer *answer)
{
    json_t *top = json_array();
    for (uint32_t i = 0; top && i < answer->top_count; i++) {
        const struct api_class *class = &answer->top[i];
        json_t *item =
            json_pack("{s:I,s:s,s:f}", "index", (json_int_t) class->index,
                      "label", class->label, "probability", class->probability);
        if (json_array_append_new(top, item) != 0) {
            json_decref(top);
            return NULL;
        }
    }
    if (!top)
        return NULL;
    json_t *root =
        json_pack("{s:s,s:s,s:s,s:o}", "model", answer->model, "version",
                  answer->version, "point", answer->point, "top", top);
    if (root && answer->asked[0] &&
        !put(root, "asked", json_string(answer->asked))) {
        json_decref(root);
        return NULL;
    }
    return dump(root);
}

char *api_problem_write(enum api_status status, const char *detail,
                        const char *request_id, const struct api_model *model)
{
    char type[64];
    snprintf(type, sizeof type, PROBLEM_TYPE "%s", api_status_name(status));
    json_t *root =
        json_pack("{s:s,s:s,s:i,s:s,s:s}", "type", type, "title",
                  api_status_title(status), "status", api_status_http(status),
                  "detail", detail, "error", detail);
    if (!root)
        return NULL;
    if ((request_id && !put(root, "request_id", json_string(request_id))) ||
        (model && !put(root, "model", model_json(model)))) {
        json_decref(root);
        return NULL;
    }
    return dump(root);
}

void api_label_copy(char out[96], const char *label)
{
    api_copy_cut(out, 96, label);
}

static void read_latent(struct api_reader *reader, const json_t *object,
                        struct api_point *point)
{
    json_t *latent = api_member(reader, object, "latent", true);
    if (!latent)
        return;
    uint64_t sides[3], values = 1;
    bool ok = json_array_size(latent) == 3;
    for (size_t i = 0; ok && i < 3; i++) {
        json_t *side = json_array_get(latent, i);
        json_int_t number = json_integer_value(side);
        ok = json_is_integer(side) && number >= 1 && number <= UINT16_MAX;
        sides[i] = ok ? (uint64_t)number : 0;
        values *= sides[i];
    }
    if (!ok || values > API_LIMIT_LATENT_VALUES) {
        api_refuse(reader, "latent", "is no shape [height, width, channels]");
        return;
    }
    point->latent_height = (uint16_t)sides[0];
    point->latent_width = (uint16_t)sides[1];
    point->latent_channels = (uint16_t)sides[2];
}

static void read_exit(struct api_reader *reader, const json_t *object,
                      struct api_point *point)
{
    json_t *exit = api_member(reader, object, "exit", false);
    if (!exit)
        return;
    if (!json_is_object(exit)) {
        api_refuse(reader, "exit", "is no object");
        return;
    }
    point->exit_threshold =
        api_read_real(reader, exit, "threshold", true, 1e-6, 1, 0);
    point->exit_share = api_read_real(reader, exit, "share", false, 0, 1, -1);
}

/* Fills *point, or leaves it all zero if this version does not know the kind
 * or the codec. */
static void read_point(struct api_reader *reader, const json_t *object,
                       struct api_point *point)
{
    if (!json_is_object(object)) {
        api_refuse(reader, "points", "has an item that is no object");
        return;
    }
    struct api_point read = {.codec = API_CODEC_NONE};
    char kind_name[48] = "", codec_name[48] = "";
    api_read_string(reader, object, "kind", true, true, kind_name,
                    sizeof kind_name);
    int kind = api_point_kind_parse(kind_name);
    if (reader->status != API_OK || kind < 0)
        return;
    read.kind = (enum api_point_kind)kind;
    api_read_string(reader, object, "id", true, false, read.id, sizeof read.id);
    if (reader->status == API_OK && read.id[0] == '\0')
        api_refuse(reader, "id", "is empty");
    if (read.kind == API_POINT_SPLIT) {
        api_read_string(reader, object, "codec", true, true, codec_name,
                        sizeof codec_name);
        int codec = api_codec_parse(codec_name);
        if (codec <= API_CODEC_NONE)
            return;
        read.codec = (enum api_codec)codec;
        read.width = api_read_real(reader, object, "width", true, 1e-6, 1, 0);
        api_read_string(reader, object, "rate", false, false, read.rate,
                        sizeof read.rate);
        read.ensemble = (uint32_t)api_read_whole(reader, object, "ensemble",
                                                 false, 1, UINT16_MAX, 1);
        read_latent(reader, object, &read);
        read_exit(reader, object, &read);
    }
    if (read.kind == API_POINT_OFFLOAD)
        read.quality = (uint32_t)api_read_whole(reader, object, "quality",
                                                false, 1, 100, 0);
    const uint64_t macs_most = INT64_MAX;
    read.head_macs =
        api_read_whole(reader, object, "head_macs", false, 0, macs_most, 0);
    read.tail_macs =
        api_read_whole(reader, object, "tail_macs", false, 0, macs_most, 0);
    const double bytes_most = 1e12;
    read.bytes_mean =
        api_read_real(reader, object, "bytes_mean", false, 0, bytes_most, -1);
    read.bytes_p95 =
        api_read_real(reader, object, "bytes_p95", false, 0, bytes_most, -1);
    read.top1 = api_read_real(reader, object, "top1", false, 0, 1, -1);
    read.top5 = api_read_real(reader, object, "top5", false, 0, 1, -1);
    read.pictures = (uint32_t)api_read_whole(reader, object, "pictures", false,
                                             0, UINT32_MAX, 0);
    if (reader->status == API_OK)
        *point = read;
}

static void read_model(struct api_reader *reader, const json_t *root,
                       struct api_model *model)
{
    api_read_name(reader, root, "name", model->name, sizeof model->name);
    api_read_name(reader, root, "version", model->version,
                  sizeof model->version);
    char fingerprint[17] = "";
    api_read_string(reader, root, "fingerprint", true, false, fingerprint,
                    sizeof fingerprint);
    if (reader->status == API_OK) {
        if (strspn(fingerprint, "0123456789abcdef") == 16)
            model->fingerprint = strtoull(fingerprint, NULL, 16);
        else
            api_refuse(reader, "fingerprint", "is not 16 hexadecimal digits");
    }
    json_t *input = api_member(reader, root, "input", true);
    if (input && !json_is_object(input))
        api_refuse(reader, "input", "is not an object");
    model->input_width = (uint16_t)api_read_whole(reader, input, "width", true,
                                                  1, API_LIMIT_PICTURE_SIDE, 0);
    model->input_height = (uint16_t)api_read_whole(
        reader, input, "height", true, 1, API_LIMIT_PICTURE_SIDE, 0);
    model->class_count = (uint32_t)api_read_whole(reader, root, "classes", true,
                                                  1, API_LIMIT_LABELS, 0);
    json_t *points = api_member(reader, root, "points", true);
    if (!points)
        return;
    size_t count = json_array_size(points);
    if (!json_is_array(points))
        api_refuse(reader, "points", "is not an array");
    else if (count > API_LIMIT_POINTS)
        api_refuse(reader, "points", "has too many items");
    for (size_t i = 0; reader->status == API_OK && i < count; i++)
        read_point(reader, json_array_get(points, i), &model->points[i]);
    model->point_count = (uint16_t)(reader->status == API_OK ? count : 0);
}

enum api_status api_model_read(const char *text, size_t bytes,
                               struct api_model *out, struct api_error *error)
{
    json_t *root = NULL;
    enum api_status status = api_parse_object(text, bytes, &root, error);
    if (status != API_OK)
        return status;
    struct api_reader reader = {API_OK, error};
    struct api_model model = {.point_count = 0};
    read_model(&reader, root, &model);
    json_decref(root);
    if (reader.status == API_OK)
        *out = model;
    return reader.status;
}

enum api_status api_model_list_read(const char *text, size_t bytes,
                                    struct api_model *first,
                                    struct api_error *error)
{
    json_t *root = NULL;
    enum api_status status = api_parse_object(text, bytes, &root, error);
    if (status != API_OK)
        return status;
    struct api_reader reader = {API_OK, error};
    json_t *models = api_member(&reader, root, "models", true);
    json_t *item = json_array_get(models, 0);
    struct api_model model = {.point_count = 0};
    if (models && !json_is_array(models))
        api_refuse(&reader, "models", "is not an array");
    else if (models && !item)
        reader.status =
            api_fail(error, API_NOT_FOUND, "the server lists no model");
    else if (models && !json_is_object(item))
        api_refuse(&reader, "models", "has an item that is no object");
    else if (models)
        read_model(&reader, item, &model);
    json_decref(root);
    if (reader.status == API_OK)
        *first = model;
    return reader.status;
}

static void read_class(struct api_reader *reader, const json_t *object,
                       struct api_class *class)
{
    if (!json_is_object(object)) {
        api_refuse(reader, "top", "has an item that is no object");
        return;
    }
    class->index = (uint32_t)api_read_whole(reader, object, "index", true, 0,
                                            API_LIMIT_LABELS - 1, 0);
    api_read_string(reader, object, "label", true, true, class->label,
                    sizeof class->label);
    class->probability =
        api_read_real(reader, object, "probability", true, 0, 1.0001, 0);
}

enum api_status api_answer_read(const char *text, size_t bytes,
                                struct api_answer *out, struct api_error *error)
{
    json_t *root = NULL;
    enum api_status status = api_parse_object(text, bytes, &root, error);
    if (status != API_OK)
        return status;
    struct api_reader reader = {API_OK, error};
    struct api_answer answer = {.top_count = 0};
    api_read_name(&reader, root, "model", answer.model, sizeof answer.model);
    api_read_name(&reader, root, "version", answer.version,
                  sizeof answer.version);
    api_read_string(&reader, root, "point", true, false, answer.point,
                    sizeof answer.point);
    api_read_string(&reader, root, "asked", false, false, answer.asked,
                    sizeof answer.asked);
    json_t *top = api_member(&reader, root, "top", true);
    size_t count = json_array_size(top);
    if (top && !json_is_array(top))
        api_refuse(&reader, "top", "is not an array");
    else if (count > API_LIMIT_TOP)
        api_refuse(&reader, "top", "has too many items");
    for (size_t i = 0; reader.status == API_OK && i < count; i++)
        read_class(&reader, json_array_get(top, i), &answer.top[i]);
    answer.top_count = (uint32_t)count;
    json_decref(root);
    if (reader.status == API_OK)
        *out = answer;
    return reader.status;
}

enum api_status api_problem_read(const char *text, size_t bytes,
                                 struct api_error *problem)
{
    json_t *root = NULL;
    if (api_parse_object(text, bytes, &root, NULL) != API_OK)
        return API_UNPROCESSABLE;
    struct api_reader reader = {API_OK, NULL};
    struct api_error read = {API_OK, ""};
    char type[200] = "";
    api_read_string(&reader, root, "type", true, true, type, sizeof type);
    api_read_string(&reader, root, "detail", false, true, read.text,
                    sizeof read.text);
    uint64_t http =
        api_read_whole(&reader, root, "status", false, 100, 599, 500);
    json_decref(root);
    if (reader.status != API_OK)
        return reader.status;
    /* A type that this version does not know still has an HTTP code. */
    read.status = api_status_from_http((int)http);
    const char *slash = strrchr(type, '/');
    for (int i = 1; slash && i < API_STATUS_COUNT; i++) {
        if (strcmp(slash + 1, api_status_name((enum api_status)i)) == 0)
            read.status = (enum api_status)i;
    }
    if (read.status == API_OK)
        return API_UNPROCESSABLE;
    *problem = read;
    return API_OK;
}

enum api_status api_settings_read(const char *text, size_t bytes,
                                  api_setting_fn *each, void *context,
                                  struct api_error *error)
{
    if (bytes > API_LIMIT_JSON_BYTES)
        return api_fail(error, API_USAGE, "settings exceed %u bytes",
                        API_LIMIT_JSON_BYTES);
    json_t *root = NULL;
    struct api_error why = {API_OK, ""};
    if (api_parse_object(text, bytes, &root, &why) != API_OK)
        return api_fail(error, API_USAGE, "%s", why.text);
    enum api_status status = API_OK;
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        char number[24];
        const char *as_text = json_string_value(value);
        if (json_is_integer(value)) {
            snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT,
                     json_integer_value(value));
            as_text = number;
        } else if (json_is_boolean(value)) {
            as_text = json_is_true(value) ? "true" : "false";
        }
        if (as_text)
            status = each(context, name, as_text, error);
        else
            status = api_fail(error, API_USAGE,
                              "setting \"%.60s\" is neither text, a whole "
                              "number, true nor false",
                              name);
        if (status != API_OK)
            break;
    }
    json_decref(root);
    return status;
}
