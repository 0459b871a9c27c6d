/* cleave-eval: one operating point of a bundle over many JPEG files. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "api/limits.h"
#include "nn/nn.h"

enum { TOP = 5 };

/* All that a picture needs, so that the loop allocates only for its JPEG. */
struct evaluation {
    struct nn_model *model;
    struct nn_context *context;
    uint16_t index; /* of the point */
    const struct api_point *point;
    uint8_t *pixels, *frame;
    size_t frame_capacity;
    float *latent, *restored, *probabilities;
};

static enum api_status read_file(const char *path, uint8_t **bytes,
                                 size_t *count, struct api_error *error)
{
    enum api_status status = API_OK;
    uint8_t *made = NULL;
    size_t got;
    FILE *file = fopen(path, "rb");

    if (!file)
        return api_fail(error, API_NOT_FOUND, "%s", strerror(errno));
    made = malloc(API_LIMIT_JPEG_BYTES + 1);
    if (!made) {
        status = api_fail(error, API_NO_MEMORY, "out of memory");
        goto out;
    }
    got = fread(made, 1, API_LIMIT_JPEG_BYTES + 1, file);
    if (ferror(file)) {
        status = api_fail(error, API_NOT_FOUND, "%s", strerror(errno));
        goto out;
    }
    if (got > API_LIMIT_JPEG_BYTES) {
        status = api_fail(error, API_TOO_LARGE, "file of more than %u MiB",
                          API_LIMIT_JPEG_BYTES >> 20);
        goto out;
    }
    *bytes = made;
    *count = got;
    made = NULL;
out:
    free(made);
    fclose(file);
    return status;
}

/* Head, frame, and everything that a server does with it. */
static enum api_status run_split(struct evaluation *run, size_t *frame_bytes,
                                 struct api_error *error)
{
    struct api_frame frame = {
        .fingerprint = nn_model_fingerprint(run->model),
        .point = run->index,
        .codec = (uint8_t)run->point->codec,
        .channels = run->point->latent_channels,
        .height = run->point->latent_height,
        .width = run->point->latent_width,
        .payload = run->frame + API_FRAME_HEADER_BYTES,
    };
    struct api_frame seen;
    size_t payload_bytes, bytes;
    enum api_status status =
        nn_run_head(run->context, run->index, run->pixels, run->latent);

    if (status != API_OK)
        return api_fail(error, status, "cannot run the head");
    status = nn_latent_encode(run->context, run->index, run->latent,
                              run->frame + API_FRAME_HEADER_BYTES,
                              run->frame_capacity - API_FRAME_HEADER_BYTES,
                              &payload_bytes);
    if (status != API_OK)
        return api_fail(error, status, "cannot encode the latent");
    frame.payload_bytes = (uint32_t)payload_bytes;
    status = api_frame_write(&frame, run->frame, run->frame_capacity, &bytes);
    if (status != API_OK)
        return api_fail(error, status, "cannot write the frame");
    status = api_frame_read(run->frame, bytes, &seen, error);
    if (status != API_OK)
        return status;
    status = nn_latent_decode(run->context, run->index, seen.payload,
                              seen.payload_bytes, run->restored, error);
    if (status != API_OK)
        return status;
    status = nn_run_tail(run->context, run->index, run->restored,
                         run->probabilities);
    if (status != API_OK)
        return api_fail(error, status, "cannot run the tail");
    *frame_bytes = bytes;
    return API_OK;
}

static enum api_status run_file(struct evaluation *run, const char *path,
                                size_t *frame_bytes, struct api_error *error)
{
    uint8_t *jpeg = NULL;
    size_t jpeg_bytes = 0, bytes = 0;
    enum api_status status = read_file(path, &jpeg, &jpeg_bytes, error);

    if (status != API_OK)
        return status;
    status = nn_picture_from_jpeg(nn_model_input(run->model), jpeg, jpeg_bytes,
                                  run->pixels, error);
    if (status != API_OK)
        goto out;
    if (run->point->kind == API_POINT_SPLIT) {
        status = run_split(run, &bytes, error);
    } else {
        status = nn_run_full(run->context, run->pixels, run->probabilities);
        if (status != API_OK)
            api_fail(error, status, "cannot run the whole network");
        bytes = run->point->kind == API_POINT_OFFLOAD ? jpeg_bytes : 0;
    }
    if (status == API_OK)
        *frame_bytes = bytes;
out:
    free(jpeg);
    return status;
}

static json_t *answer(const struct evaluation *run, size_t frame_bytes)
{
    struct nn_class top[TOP];
    uint32_t count =
        nn_top(run->probabilities, nn_model_class_count(run->model), top, TOP);
    json_t *indices = json_array(), *probabilities = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(indices, json_integer(top[i].index));
        json_array_append_new(probabilities,
                              json_real((double)top[i].probability));
    }
    return json_pack("{s:s, s:I, s:o, s:o}", "point", run->point->id,
                     "frame_bytes", (json_int_t)frame_bytes, "top", indices,
                     "probability", probabilities);
}

/* A name that is no UTF-8 cannot stand in JSON: its odd bytes become '?'. */
static json_t *file_name(const char *path)
{
    json_t *name = json_string(path);
    char *plain;

    if (name)
        return name;
    plain = strdup(path);
    for (char *at = plain; at && *at; at++)
        if (*at & 0x80)
            *at = '?';
    name = plain ? json_string(plain) : NULL;
    free(plain);
    return name;
}

/* Takes `answer`, which may be NULL after a failed allocation. */
static int print_line(const char *path, json_t *answer)
{
    json_t *line = json_pack("{s:o}", "file", file_name(path));
    int failed =
        !line || !answer || json_object_update(line, answer) != 0 ||
        json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0 ||
        putchar('\n') == EOF || fflush(stdout) != 0;

    json_decref(answer);
    json_decref(line);
    return failed;
}

static int run_all(struct evaluation *run)
{
    char *path = NULL;
    size_t capacity = 0;
    ssize_t length;
    int failed = 0;

    while (!failed && (length = getline(&path, &capacity, stdin)) >= 0) {
        struct api_error error = {0};
        size_t frame_bytes = 0;
        json_t *line;

        if (length && path[length - 1] == '\n')
            path[--length] = '\0';
        if (!length)
            continue;
        if (run_file(run, path, &frame_bytes, &error) == API_OK)
            line = answer(run, frame_bytes);
        else
            line = json_pack("{s:s}", "error", error.text);
        failed = print_line(path, line);
    }
    free(path);
    if (failed)
        fprintf(stderr, "cleave-eval: cannot write the answers\n");
    return failed;
}

static enum api_status prepare(struct evaluation *run, const char *path,
                               const char *point, struct api_error *error)
{
    const struct nn_input *input;
    size_t latent_floats;
    int index;
    enum api_status status = nn_model_open(path, &run->model, error);

    if (status != API_OK)
        return status;
    index = nn_model_point_find(run->model, point);
    if (index < 0)
        return api_fail(error, API_NOT_FOUND, "no operating point %s", point);
    run->index = (uint16_t)index;
    run->point = nn_model_point(run->model, run->index);
    status = nn_context_open(run->model, &run->context, error);
    if (status != API_OK)
        return status;
    input = nn_model_input(run->model);
    latent_floats = nn_latent_values(run->model, run->index) + 1;
    run->frame_capacity =
        API_FRAME_HEADER_BYTES + nn_latent_bound(run->model, run->index);
    run->pixels = malloc((size_t)input->height * input->width * 3);
    run->frame = malloc(run->frame_capacity);
    run->latent = malloc(latent_floats * sizeof(float));
    run->restored = malloc(latent_floats * sizeof(float));
    run->probabilities =
        malloc(nn_model_class_count(run->model) * sizeof(float));
    if (!run->pixels || !run->frame || !run->latent || !run->restored ||
        !run->probabilities)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    return API_OK;
}

int main(int argc, char **argv)
{
    struct evaluation run = {0};
    struct api_error error = {0};
    int code;

    if (argc != 3) {
        fprintf(stderr, "usage: cleave-eval BUNDLE POINT < list-of-jpegs\n");
        return api_status_exit(API_USAGE);
    }
    if (prepare(&run, argv[1], argv[2], &error) != API_OK) {
        fprintf(stderr, "cleave-eval: %s\n", error.text);
        code = api_status_exit(error.status);
    } else {
        code = run_all(&run);
    }
    free(run.probabilities);
    free(run.restored);
    free(run.latent);
    free(run.frame);
    free(run.pixels);
    nn_context_close(&run.context);
    nn_model_close(&run.model);
    return code;
}
