/* Metadata and repository documents of the Open Inference Protocol. */
#include "api/oip.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"

/* Dumps and releases `root`, which may be NULL. */
static char *dump(json_t *root)
{
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

char *api_oip_server_write(const char *name, const char *version)
{
    return dump(json_pack("{s:s,s:s,s:[s,s,s]}", "name", name, "version",
                          version, "extensions", "binary_tensor_data",
                          "classification", "model_repository"));
}

/* Appends what may be NULL because memory ran out; false then. */
static bool append(json_t *array, json_t *item)
{
    return json_array_append_new(array, item) == 0;
}

static json_t *inputs(const struct api_model *model, bool whole)
{
    json_t *array = json_array();
    bool ok = array != NULL;
    if (ok && whole)
        ok = append(array, json_pack("{s:s,s:s,s:[i]}", "name", "jpeg",
                                     "datatype", "BYTES", "shape", 1)) &&
             append(array, json_pack("{s:s,s:s,s:[i,i,i,i]}", "name", "image",
                                     "datatype", "UINT8", "shape", 1,
                                     (int)model->input_height,
                                     (int)model->input_width, 3));
    bool splits = false;
    for (uint16_t i = 0; i < model->point_count; i++)
        splits = splits || model->points[i].kind == API_POINT_SPLIT;
    if (ok && splits)
        ok = append(array, json_pack("{s:s,s:s,s:[i]}", "name", "frame",
                                     "datatype", "UINT8", "shape", -1));
    if (ok)
        return array;
    json_decref(array);
    return NULL;
}

char *api_oip_model_write(const struct api_model *model, bool whole,
                          const char *const *versions, size_t version_count)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < version_count; i++)
        ok = append(list, json_string(versions[i]));
    json_t *taken = ok ? inputs(model, whole) : NULL;
    if (!taken) {
        json_decref(list);
        return NULL;
    }
    return dump(json_pack("{s:s,s:o,s:s,s:o,s:[{s:s,s:s,s:[i,I]}]}", "name",
                          model->name, "versions", list, "platform", "cleave",
                          "inputs", taken, "outputs", "name", "probabilities",
                          "datatype", "FP32", "shape", 1,
                          (json_int_t)model->class_count));
}

char *api_oip_index_write(const struct api_bundle_state *bundles, size_t count,
                          bool only_served)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        const struct api_bundle_state *bundle = &bundles[i];
        if (only_served && !bundle->is_served)
            continue;
        json_t *item = json_pack("{s:s,s:s,s:s}", "name", bundle->name,
                                 "version", bundle->version, "state",
                                 bundle->is_served ? "READY" : "UNAVAILABLE");
        ok = append(list, item) &&
             (bundle->reason[0] == '\0' ||
              json_object_set_new(item, "reason",
                                  json_string(bundle->reason)) == 0);
    }
    if (ok)
        return dump(list);
    json_decref(list);
    return NULL;
}

enum api_status api_repository_read(const char *text, size_t bytes,
                                    struct api_repository_request *request,
                                    struct api_error *error)
{
    struct api_repository_request read = {.only_served = false};
    if (bytes > 0) {
        json_t *root;
        enum api_status status = api_parse_object(text, bytes, &root, error);
        if (status != API_OK)
            return status == API_NO_MEMORY ? status : API_BAD_REQUEST;
        const json_t *ready = json_object_get(root, "ready");
        if (ready && !json_is_boolean(ready)) {
            json_decref(root);
            return api_fail(error, API_BAD_REQUEST,
                            "member \"ready\" is neither true nor false");
        }
        read.only_served = json_is_true(ready);
        /* "config" and "file:…": a model in the request itself. */
        const char *name;
        json_t *value;
        bool has_model = false;
        json_object_foreach(json_object_get(root, "parameters"), name, value)
        {
            has_model = has_model || strcmp(name, "config") == 0 ||
                        strncmp(name, "file:", 5) == 0;
        }
        json_decref(root);
        if (has_model)
            return api_fail(error, API_UNAVAILABLE,
                            "models come from the server's folder only");
    }
    *request = read;
    return API_OK;
}
