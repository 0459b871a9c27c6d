/* Names of point kinds and codecs. */
#include "api/point.h"

#include <stddef.h>
#include <string.h>

static const char *const kinds[] = {
    [API_POINT_OFFLOAD] = "offload",
    [API_POINT_SPLIT] = "split",
    [API_POINT_LOCAL] = "local",
};

static const char *const codecs[] = {
    [API_CODEC_NONE] = "none",
    [API_CODEC_RANS] = "rans",
    [API_CODEC_U8ZSTD] = "u8zstd",
};

static int find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

const char *api_point_kind_name(enum api_point_kind kind)
{
    size_t i = (size_t)kind;
    return i < sizeof kinds / sizeof *kinds ? kinds[i] : "unknown";
}

const char *api_codec_name(enum api_codec codec)
{
    size_t i = (size_t)codec;
    return i < sizeof codecs / sizeof *codecs ? codecs[i] : "unknown";
}

int api_point_kind_parse(const char *name)
{
    return find(kinds, sizeof kinds / sizeof *kinds, name);
}

int api_codec_parse(const char *name)
{
    return find(codecs, sizeof codecs / sizeof *codecs, name);
}
