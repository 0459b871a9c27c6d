/* cleave-eval: operating points of a bundle over many picture files. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/frame.h"
#include "api/limits.h"
#include "nn/nn.h"
#include "nn/onednn.h"
#include "ppm.h"

enum { TOP = 5 };

/* All that a picture needs, so that the loop allocates only for its file. */
struct evaluation {
    struct nn_model *model;
    struct nn_context *context;
    uint16_t points[API_LIMIT_POINTS]; /* indices */
    uint16_t point_count;
    /* Buffers serve the largest of the points. */
    uint8_t *pixels, *small_pixels, *again, *frame;
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

/* Head, frame, and everything that a server does with it; or head and exit,
 * where that is sure, and no frame. */
static enum api_status run_split(struct evaluation *run, uint16_t index,
                                 size_t *frame_bytes, struct api_error *error)
{
    const struct api_point *point = nn_model_point(run->model, index);
    struct api_frame frame = {
        .fingerprint = nn_model_fingerprint(run->model),
        .point = index,
        .codec = (uint8_t)point->codec,
        .channels = point->latent_channels,
        .height = point->latent_height,
        .width = point->latent_width,
        .payload = run->frame + API_FRAME_HEADER_BYTES,
    };
    struct api_frame seen;
    size_t payload_bytes, bytes;
    bool sure = false;
    enum api_status status =
        nn_run_head(run->context, index, run->pixels, run->latent);

    if (status != API_OK)
        return api_fail(error, status, "cannot run the head");
    if (point->exit_threshold > 0)
        status = nn_run_exit(run->context, index, run->latent,
                             run->probabilities, &sure);
    if (status != API_OK)
        return api_fail(error, status, "cannot run the exit");
    if (sure) {
        *frame_bytes = 0;
        return API_OK;
    }
    status = nn_latent_encode(
        run->context, index, run->latent, run->frame + API_FRAME_HEADER_BYTES,
        run->frame_capacity - API_FRAME_HEADER_BYTES, &payload_bytes);
    if (status != API_OK)
        return api_fail(error, status, "cannot encode the latent");
    frame.payload_bytes = (uint32_t)payload_bytes;
    status = api_frame_write(&frame, run->frame, run->frame_capacity, &bytes);
    if (status != API_OK)
        return api_fail(error, status, "cannot write the frame");
    status = api_frame_read(run->frame, bytes, &seen, error);
    if (status != API_OK)
        return status;
    status = nn_latent_decode(run->context, index, seen.payload,
                              seen.payload_bytes, run->restored, error);
    if (status != API_OK)
        return status;
    status =
        nn_run_tail(run->context, index, run->restored, run->probabilities);
    if (status != API_OK)
        return api_fail(error, status, "cannot run the tail");
    *frame_bytes = bytes;
    return API_OK;
}

/* What the server sees of a picture that is encoded again before it is sent,
 * into run->again, and the bytes sent: the smaller of both files. */
static enum api_status encode_again(struct evaluation *run, int quality,
                                    const uint8_t *file, size_t file_bytes,
                                    size_t *sent_bytes, struct api_error *error)
{
    const struct nn_input *input = nn_model_input(run->model);
    struct nn_input small = nn_picture_small(input);
    uint8_t *jpeg = NULL;
    size_t jpeg_bytes = 0;
    enum api_status status = nn_picture_from_jpeg(&small, file, file_bytes,
                                                  run->small_pixels, error);

    if (status == API_OK)
        status =
            nn_picture_to_jpeg(run->small_pixels, small.width, small.height,
                               quality, &jpeg, &jpeg_bytes, error);
    if (status == API_OK && jpeg_bytes < file_bytes)
        status =
            nn_picture_from_jpeg(input, jpeg, jpeg_bytes, run->again, error);
    else if (status == API_OK)
        status =
            nn_picture_from_jpeg(input, file, file_bytes, run->again, error);
    *sent_bytes = jpeg_bytes < file_bytes ? jpeg_bytes : file_bytes;
    free(jpeg);
    return status;
}

/* One point on run->pixels, which came from this file. */
static enum api_status run_point(struct evaluation *run, uint16_t index,
                                 const uint8_t *file, size_t file_bytes,
                                 size_t *frame_bytes, struct api_error *error)
{
    const struct api_point *point = nn_model_point(run->model, index);
    const uint8_t *pixels = run->pixels;
    size_t sent_bytes = file_bytes;
    enum api_status status = API_OK;

    if (point->kind == API_POINT_SPLIT)
        return run_split(run, index, frame_bytes, error);
    if (point->quality > 0) {
        status = encode_again(run, (int)point->quality, file, file_bytes,
                              &sent_bytes, error);
        pixels = run->again;
    }
    if (status != API_OK)
        return status;
    status = nn_run_full(run->context, index, pixels, run->probabilities);
    if (status != API_OK)
        return api_fail(error, status, "cannot run the whole network");
    *frame_bytes = point->kind == API_POINT_OFFLOAD ? sent_bytes : 0;
    return API_OK;
}

/* A JPEG as the product reads it, or a PPM whose pixels are taken as they
 * are: what another codec made of a picture, for comparison. */
static enum api_status read_picture(struct evaluation *run, const uint8_t *file,
                                    size_t file_bytes, struct api_error *error)
{
    const struct nn_input *input = nn_model_input(run->model);

    return ppm_recognise(file, file_bytes)
               ? ppm_read(input, file, file_bytes, run->pixels, error)
               : nn_picture_from_jpeg(input, file, file_bytes, run->pixels,
                                      error);
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
    return json_pack("{s:I, s:o, s:o}", "frame_bytes", (json_int_t)frame_bytes,
                     "top", indices, "probability", probabilities);
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

/* Takes `answer`, which may be NULL after a failed allocation; without a
 * point the line speaks of the whole file. */
static int print_line(const char *path, const char *point, json_t *answer)
{
    json_t *line =
        json_pack("{s:o, s:s*}", "file", file_name(path), "point", point);
    int failed =
        !line || !answer || json_object_update(line, answer) != 0 ||
        json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0 ||
        putchar('\n') == EOF || fflush(stdout) != 0;

    json_decref(answer);
    json_decref(line);
    return failed;
}

/* One line for each point; a single one if the picture cannot be read. */
static int run_file(struct evaluation *run, const char *path)
{
    struct api_error error = {0};
    uint8_t *file = NULL;
    size_t file_bytes = 0;
    int failed = 0;

    if (read_file(path, &file, &file_bytes, &error) != API_OK ||
        read_picture(run, file, file_bytes, &error) != API_OK) {
        free(file);
        return print_line(path, NULL, json_pack("{s:s}", "error", error.text));
    }
    for (uint16_t i = 0; !failed && i < run->point_count; i++) {
        const char *point = nn_model_point(run->model, run->points[i])->id;
        size_t frame_bytes = 0;
        json_t *line;

        if (run_point(run, run->points[i], file, file_bytes, &frame_bytes,
                      &error) == API_OK)
            line = answer(run, frame_bytes);
        else
            line = json_pack("{s:s}", "error", error.text);
        failed = print_line(path, point, line);
    }
    free(file);
    return failed;
}

static int run_all(struct evaluation *run)
{
    char *path = NULL;
    size_t capacity = 0;
    ssize_t length;
    int failed = 0;

    while (!failed && (length = getline(&path, &capacity, stdin)) >= 0) {
        if (length && path[length - 1] == '\n')
            path[--length] = '\0';
        if (length)
            failed = run_file(run, path);
    }
    free(path);
    if (failed)
        fprintf(stderr, "cleave-eval: cannot write the answers\n");
    return failed;
}

/* Opens the bundle and finds the points by name. */
static enum api_status prepare(struct evaluation *run, const char *path,
                               char **names, int count, struct api_error *error)
{
    const struct nn_input *input;
    struct nn_input small;
    size_t latent_floats = 0, bound = 0;
    enum api_status status = nn_onednn_use(error); /* as cleaved does */

    if (status == API_OK)
        status = nn_model_open(path, &run->model, error);
    if (status != API_OK)
        return status;
    if (count > (int)API_LIMIT_POINTS)
        return api_fail(error, API_USAGE, "more than %u points",
                        API_LIMIT_POINTS);
    for (int i = 0; i < count; i++) {
        int index = nn_model_point_find(run->model, names[i]);
        uint16_t point = (uint16_t)index;

        if (index < 0)
            return api_fail(error, API_NOT_FOUND, "no operating point %s",
                            names[i]);
        run->points[run->point_count++] = point;
        if (nn_latent_values(run->model, point) > latent_floats)
            latent_floats = nn_latent_values(run->model, point);
        if (nn_latent_bound(run->model, point) > bound)
            bound = nn_latent_bound(run->model, point);
    }
    status = nn_context_open(run->model, &run->context, error);
    if (status != API_OK)
        return status;
    input = nn_model_input(run->model);
    run->frame_capacity = API_FRAME_HEADER_BYTES + bound;
    small = nn_picture_small(input);
    run->pixels = malloc((size_t)input->height * input->width * 3);
    run->again = malloc((size_t)input->height * input->width * 3);
    run->small_pixels = malloc((size_t)small.height * small.width * 3);
    run->frame = malloc(run->frame_capacity);
    run->latent = malloc((latent_floats + 1) * sizeof(float));
    run->restored = malloc((latent_floats + 1) * sizeof(float));
    run->probabilities =
        malloc(nn_model_class_count(run->model) * sizeof(float));
    if (!run->pixels || !run->again || !run->small_pixels || !run->frame ||
        !run->latent || !run->restored || !run->probabilities)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    return API_OK;
}

int main(int argc, char **argv)
{
    struct evaluation run = {0};
    struct api_error error = {0};
    int code;

    if (argc < 3) {
        fprintf(stderr,
                "usage: cleave-eval BUNDLE POINT... < list-of-pictures\n");
        return api_status_exit(API_USAGE);
    }
    if (prepare(&run, argv[1], argv + 2, argc - 2, &error) != API_OK) {
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
    free(run.again);
    free(run.small_pixels);
    nn_context_close(&run.context);
    nn_model_close(&run.model);
    return code;
}
