/* The known answer of a graph: a seed, and the classes that must come of it. */
#include "nn/bundle_parts.h"

static enum api_status refuse(const char *graph, const char *reason,
                              struct api_error *error)
{
    return api_fail(error, API_BAD_BUNDLE, "graph %s: known answer: %s", graph,
                    reason);
}

/* [class, probability] */
static bool read_class(const struct nn_bundle *bundle,
                       const struct nn_json *json, struct nn_class *class)
{
    uint64_t index;
    double probability;
    if (nn_json_count(json) != 2 ||
        !nn_json_integer(nn_json_at(json, 0), 0, bundle->label_count - 1,
                         &index) ||
        !nn_json_number(nn_json_at(json, 1), 1e-30, 1, &probability))
        return false;
    *class = (struct nn_class){(uint32_t)index, (float)probability};
    return true;
}

enum api_status nn_bundle_read_known(const struct nn_bundle *bundle,
                                     const char *graph,
                                     const struct nn_json *json,
                                     struct nn_known_answer *known,
                                     struct api_error *error)
{
    if (!json)
        return API_OK;
    uint64_t seed, shift;
    double tolerance;
    if (!nn_json_integer(nn_json_member(json, "seed"), 0, UINT32_MAX, &seed))
        return refuse(graph, "seed is not 0 to 2^32 - 1", error);
    if (!nn_json_integer(nn_json_member(json, "shift"), 0, 30, &shift))
        return refuse(graph, "shift outside 0 to 30", error);
    if (!nn_json_number(nn_json_member(json, "tolerance"), 1e-6, 0.5,
                        &tolerance))
        return refuse(graph, "tolerance outside 1e-6 to 0.5", error);
    const struct nn_json *top = nn_json_member(json, "top");
    size_t count = nn_json_count(top);
    if (!nn_json_is_array(top) || count < 1 || count > API_LIMIT_KNOWN_CLASSES)
        return refuse(graph, "top is no list of 1 to 8", error);
    for (size_t i = 0; i < count; i++)
        if (!read_class(bundle, nn_json_at(top, i), &known->top[i]))
            return refuse(graph, "top holds what is no class and probability",
                          error);
    known->seed = (uint32_t)seed;
    known->shift = (uint8_t)shift;
    known->tolerance = (float)tolerance;
    known->count = (uint8_t)count;
    return API_OK;
}
