/* The operating points of a bundle, tied to the graphs and priors in it. */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"

/* Past any real network, well inside what a double counts exactly. */
#define MACS_MAX ((uint64_t)1 << 50)

static enum api_status refuse(const char *id, const char *reason,
                              struct api_error *error)
{
    return api_fail(error, API_BAD_BUNDLE, "point %s: %s", id, reason);
}

/* An optional count; 0 where absent. */
static bool read_count(const struct nn_json *json, uint64_t max, uint64_t *out)
{
    if (!json) {
        *out = 0;
        return true;
    }
    return nn_json_integer(json, 0, max, out);
}

/* An optional measured value; -1 where absent. */
static bool read_measure(const struct nn_json *json, double max, double *out)
{
    if (!json) {
        *out = -1;
        return true;
    }
    return nn_json_number(json, 0, max, out);
}

static enum api_status read_worth(const struct nn_json *json,
                                  struct api_point *info,
                                  struct api_error *error)
{
    uint64_t pictures;
    if (!read_count(nn_json_member(json, "head_macs"), MACS_MAX,
                    &info->head_macs) ||
        !read_count(nn_json_member(json, "tail_macs"), MACS_MAX,
                    &info->tail_macs))
        return refuse(info->id, "MACs are no count", error);
    if (!read_count(nn_json_member(json, "pictures"), UINT32_MAX, &pictures))
        return refuse(info->id, "pictures are no count", error);
    info->pictures = (uint32_t)pictures;
    if (!read_measure(nn_json_member(json, "bytes_mean"), 1e9,
                      &info->bytes_mean) ||
        !read_measure(nn_json_member(json, "bytes_p95"), 1e9, &info->bytes_p95))
        return refuse(info->id, "bytes are no number up to 1e9", error);
    if (!read_measure(nn_json_member(json, "top1"), 1, &info->top1) ||
        !read_measure(nn_json_member(json, "top5"), 1, &info->top5))
        return refuse(info->id, "accuracy outside 0 to 1", error);
    return API_OK;
}

static enum api_status read_latent(const struct nn_json *json,
                                   struct api_point *info,
                                   struct api_error *error)
{
    const struct nn_json *latent = nn_json_member(json, "latent");
    uint64_t sides[3], volume = 1;
    bool fits = nn_json_count(latent) == 3;
    for (size_t i = 0; fits && i < 3; i++) {
        fits = nn_json_integer(nn_json_at(latent, i), 1, UINT16_MAX, &sides[i]);
        /* 2^20 at most before, 2^36 after: cannot wrap. */
        volume *= fits ? sides[i] : 1;
        fits = fits && volume <= API_LIMIT_LATENT_VALUES;
    }
    if (!fits)
        return refuse(info->id, "latent is not [h, w, c] within its limit",
                      error);
    info->latent_height = (uint16_t)sides[0];
    info->latent_width = (uint16_t)sides[1];
    info->latent_channels = (uint16_t)sides[2];
    return API_OK;
}

/* Width, rate, ensemble and codec of a split point. */
static enum api_status read_tier(const struct nn_json *json,
                                 struct api_point *info,
                                 struct api_error *error)
{
    uint64_t ensemble = 1;
    const struct nn_json *members = nn_json_member(json, "ensemble");
    if (members && !nn_json_integer(members, 1, 255, &ensemble))
        return refuse(info->id, "ensemble outside 1 to 255", error);
    info->ensemble = (uint32_t)ensemble;
    if (!nn_json_number(nn_json_member(json, "width"), 1e-6, 1, &info->width))
        return refuse(info->id, "width outside 0 to 1", error);
    const char *rate = nn_json_text(nn_json_member(json, "rate"));
    if (!rate || !nn_bundle_name_ok(rate, sizeof info->rate - 1))
        return refuse(info->id, "rate is not 1 to 15 of A-Z a-z 0-9 . _ -",
                      error);
    memcpy(info->rate, rate, strlen(rate) + 1);
    const char *name = nn_json_text(nn_json_member(json, "codec"));
    int codec = name ? api_codec_parse(name) : -1;
    if (codec != API_CODEC_RANS && codec != API_CODEC_U8ZSTD)
        return refuse(info->id, "codec unknown to this version", error);
    info->codec = (enum api_codec)codec;
    return API_OK;
}

/* The graph that `member` names; *graph stays NULL where this bundle does not
 * carry it. */
static enum api_status
find_graph(const struct nn_bundle *bundle, const struct nn_json *json,
           const char *member, const char *id, const uint32_t input[3],
           const struct nn_graph **graph, struct api_error *error)
{
    const char *name = nn_json_text(nn_json_member(json, member));
    if (!name || !nn_bundle_key_ok(name))
        return api_fail(error, API_BAD_BUNDLE, "point %s: %s names no graph",
                        id, member);
    const struct nn_graph *found = nn_bundle_graph(bundle, name);
    if (found && memcmp(found->input, input, sizeof found->input) != 0)
        return api_fail(error, API_BAD_BUNDLE,
                        "point %s: %s takes an input of another shape", id,
                        member);
    *graph = found;
    return API_OK;
}

/* The classifier behind a split point's head, if it has one. */
static enum api_status read_exit(const struct nn_bundle *bundle,
                                 const struct nn_json *json,
                                 const uint32_t latent[3],
                                 struct nn_bundle_point *point,
                                 struct api_error *error)
{
    struct api_point *info = &point->info;
    const struct nn_json *exit = nn_json_member(json, "exit");
    if (!exit)
        return API_OK;
    if (!nn_json_number(nn_json_member(exit, "threshold"), 1e-6, 1,
                        &info->exit_threshold))
        return refuse(info->id, "exit's threshold outside 0 to 1", error);
    if (!read_measure(nn_json_member(exit, "share"), 1, &info->exit_share))
        return refuse(info->id, "exit's share outside 0 to 1", error);
    enum api_status status = find_graph(bundle, exit, "graph", info->id, latent,
                                        &point->exit, error);
    if (status == API_OK && point->head && !point->exit)
        return refuse(info->id, "its exit is missing", error);
    return status;
}

static enum api_status read_split(const struct nn_bundle *bundle,
                                  const struct nn_json *json,
                                  const uint32_t picture[3],
                                  struct nn_bundle_point *point,
                                  struct api_error *error)
{
    struct api_point *info = &point->info;
    enum api_status status = read_tier(json, info, error);
    if (status == API_OK)
        status = read_latent(json, info, error);
    const uint32_t latent[3] = {info->latent_height, info->latent_width,
                                info->latent_channels};
    if (status == API_OK)
        status = find_graph(bundle, json, "head", info->id, picture,
                            &point->head, error);
    if (status == API_OK)
        status = find_graph(bundle, json, "tail", info->id, latent,
                            &point->tail, error);
    if (status == API_OK)
        status = read_exit(bundle, json, latent, point, error);
    if (status != API_OK || info->codec != API_CODEC_RANS)
        return status;

    const char *prior = nn_json_text(nn_json_member(json, "prior"));
    if (!prior || !nn_bundle_key_ok(prior))
        return refuse(info->id, "rans without a prior", error);
    point->prior = nn_bundle_prior(bundle, prior);
    if (!point->prior && (point->head || point->tail))
        return refuse(info->id, "its prior is missing", error);
    if (point->prior && point->prior->channels != info->latent_channels)
        return refuse(info->id, "prior of another number of channels", error);
    return API_OK;
}

/* A point that sends the picture at another quality: the server answers it by
 * the bundle's first offload point, so its graph must be that one's. */
static enum api_status read_quality(const struct nn_bundle *bundle,
                                    const struct nn_json *json,
                                    struct api_point *info,
                                    struct api_error *error)
{
    const struct nn_json *quality = nn_json_member(json, "quality");
    const struct nn_json *points = nn_json_member(bundle->document, "points");
    uint64_t value;
    uint16_t first = 0;
    if (!quality)
        return API_OK;
    if (!nn_json_integer(quality, 1, 100, &value))
        return refuse(info->id, "quality outside 1 to 100", error);
    while (first < bundle->point_count &&
           bundle->points[first].info.kind != API_POINT_OFFLOAD)
        first++;
    if (first == bundle->point_count)
        return refuse(info->id, "quality without an offload point before it",
                      error);
    if (strcmp(nn_json_text(nn_json_member(json, "graph")),
               nn_json_text(
                   nn_json_member(nn_json_at(points, first), "graph"))) != 0)
        return refuse(info->id, "quality, but not the first offload's graph",
                      error);
    info->quality = (uint32_t)value;
    return API_OK;
}

static enum api_status read_point(struct nn_bundle *bundle,
                                  const struct nn_json *json,
                                  struct nn_bundle_point *point,
                                  struct api_error *error)
{
    struct api_point *info = &point->info;
    const char *id = nn_json_text(nn_json_member(json, "id"));
    if (!id || !nn_bundle_name_ok(id, sizeof info->id - 1))
        return api_fail(error, API_BAD_BUNDLE,
                        "point %u: id is not 1 to 47 of A-Z a-z 0-9 . _ -",
                        bundle->point_count);
    for (uint16_t i = 0; i < bundle->point_count; i++)
        if (strcmp(bundle->points[i].info.id, id) == 0)
            return refuse(id, "id used twice", error);
    memcpy(info->id, id, strlen(id) + 1);

    const char *name = nn_json_text(nn_json_member(json, "kind"));
    int kind = name ? api_point_kind_parse(name) : -1;
    if (kind < 0)
        return refuse(id, "kind unknown to this version", error);
    info->kind = (enum api_point_kind)kind;
    enum api_status status = read_worth(json, info, error);
    if (status != API_OK)
        return status;
    const uint32_t picture[3] = {bundle->input.height, bundle->input.width, 3};
    if (info->kind == API_POINT_SPLIT)
        return read_split(bundle, json, picture, point, error);
    status =
        find_graph(bundle, json, "graph", id, picture, &point->full, error);
    return status == API_OK && info->kind == API_POINT_OFFLOAD
               ? read_quality(bundle, json, info, error)
               : status;
}

enum api_status nn_bundle_read_points(struct nn_bundle *bundle,
                                      struct api_error *error)
{
    const struct nn_json *points = nn_json_member(bundle->document, "points");
    size_t count = nn_json_count(points);
    if (!nn_json_is_array(points) || count < 1 || count > API_LIMIT_POINTS)
        return api_fail(error, API_BAD_BUNDLE, "points are no list of 1 to %u",
                        API_LIMIT_POINTS);
    bundle->points = calloc(count, sizeof *bundle->points);
    if (!bundle->points)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        enum api_status status = read_point(bundle, nn_json_at(points, i),
                                            &bundle->points[i], error);
        if (status != API_OK)
            return status;
        bundle->point_count++;
    }
    return API_OK;
}
