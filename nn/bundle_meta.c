/* What a bundle says of itself: name, version, fingerprint, input, labels. */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"

static enum api_status read_name(const struct nn_bundle *bundle,
                                 const char *member, char out[64],
                                 struct api_error *error)
{
    const char *text = nn_json_text(nn_json_member(bundle->document, member));
    if (!text || !nn_bundle_name_ok(text, 63))
        return api_fail(error, API_BAD_BUNDLE,
                        "%s is not 1 to 63 of A-Z a-z 0-9 . _ -", member);
    memcpy(out, text, strlen(text) + 1);
    return API_OK;
}

static enum api_status read_fingerprint(struct nn_bundle *bundle,
                                        struct api_error *error)
{
    const char *text =
        nn_json_text(nn_json_member(bundle->document, "fingerprint"));
    if (!text || strlen(text) != 16 ||
        strspn(text, "0123456789abcdefABCDEF") != 16)
        return api_fail(error, API_BAD_BUNDLE,
                        "fingerprint is not 16 hexadecimal digits");
    bundle->fingerprint = strtoull(text, NULL, 16);
    return API_OK;
}

static bool read_triple(const struct nn_json *json, double min, double max,
                        float out[3])
{
    if (nn_json_count(json) != 3)
        return false;
    for (size_t i = 0; i < 3; i++) {
        double value;
        if (!nn_json_number(nn_json_at(json, i), min, max, &value))
            return false;
        out[i] = (float)value;
    }
    return true;
}

static enum api_status read_input(struct nn_bundle *bundle,
                                  struct api_error *error)
{
    const struct nn_json *json = nn_json_member(bundle->document, "input");
    struct nn_input *input = &bundle->input;
    uint64_t width, height, shorter;
    if (!nn_json_integer(nn_json_member(json, "width"), 1, API_LIMIT_INPUT_SIDE,
                         &width) ||
        !nn_json_integer(nn_json_member(json, "height"), 1,
                         API_LIMIT_INPUT_SIDE, &height))
        return api_fail(error, API_BAD_BUNDLE,
                        "input: width or height outside 1 to %u",
                        API_LIMIT_INPUT_SIDE);
    /* Else the centre crop would reach outside the resized picture. */
    if (!nn_json_integer(nn_json_member(json, "resize_shorter"),
                         width > height ? width : height, API_LIMIT_INPUT_SIDE,
                         &shorter))
        return api_fail(error, API_BAD_BUNDLE,
                        "input: resize_shorter below width or height, or "
                        "above %u",
                        API_LIMIT_INPUT_SIDE);
    const char *filter = nn_json_text(nn_json_member(json, "filter"));
    if (!filter ||
        (strcmp(filter, "bicubic") != 0 && strcmp(filter, "bilinear") != 0))
        return api_fail(error, API_BAD_BUNDLE,
                        "input: filter is neither bicubic nor bilinear");
    if (!read_triple(nn_json_member(json, "mean"), -1e6, 1e6, input->mean) ||
        !read_triple(nn_json_member(json, "scale"), 1e-6, 1e6, input->scale))
        return api_fail(error, API_BAD_BUNDLE,
                        "input: mean or scale is not three usable numbers");
    input->width = (uint16_t)width;
    input->height = (uint16_t)height;
    input->resize_shorter = (uint16_t)shorter;
    input->bicubic = strcmp(filter, "bicubic") == 0;
    return API_OK;
}

/* 1 to 255 bytes without control characters. */
static bool label_ok(const char *text)
{
    size_t i = 0;
    while ((unsigned char)text[i] >= ' ' && text[i] != 0x7f)
        i++;
    return i >= 1 && i <= 255 && text[i] == '\0';
}

static enum api_status read_labels(struct nn_bundle *bundle,
                                   struct api_error *error)
{
    const struct nn_json *labels = nn_json_member(bundle->document, "labels");
    size_t count = nn_json_count(labels);
    if (!nn_json_is_array(labels) || count < 1 || count > API_LIMIT_LABELS)
        return api_fail(error, API_BAD_BUNDLE, "labels are no list of 1 to %u",
                        API_LIMIT_LABELS);
    bundle->labels = calloc(count, sizeof *bundle->labels);
    if (!bundle->labels)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *text = nn_json_text(nn_json_at(labels, i));
        if (!text || !label_ok(text))
            return api_fail(error, API_BAD_BUNDLE,
                            "label %zu is not 1 to 255 bytes of text", i);
        bundle->labels[i] = text;
    }
    bundle->label_count = (uint32_t)count;
    return API_OK;
}

enum api_status nn_bundle_read_meta(struct nn_bundle *bundle,
                                    struct api_error *error)
{
    enum api_status status = read_name(bundle, "name", bundle->name, error);
    if (status == API_OK)
        status = read_name(bundle, "version", bundle->version, error);
    if (status == API_OK)
        status = read_fingerprint(bundle, error);
    if (status == API_OK)
        status = read_input(bundle, error);
    if (status == API_OK)
        status = read_labels(bundle, error);
    return status;
}
