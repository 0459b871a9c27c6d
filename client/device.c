/* The device's own side: decoding a picture and running parts of the model. */
#include "client/device.h"

#include <stdlib.h>

#include "api/frame.h"
#include "client/clock.h"

struct cli_device {
    struct nn_model *model;
    struct nn_context *context;
    uint8_t *pixels;
    float *latent;
    float *probabilities;
    uint8_t *frame;
    size_t frame_capacity;
};

/* Sizes of the largest split point whose head is here. */
static void measure_points(const struct nn_model *model, size_t *latent_values,
                           size_t *frame_bytes)
{
    *latent_values = 1;
    *frame_bytes = API_FRAME_HEADER_BYTES;
    for (uint16_t i = 0; i < nn_model_point_count(model); i++) {
        if (nn_model_point(model, i)->kind != API_POINT_SPLIT ||
            !nn_model_has_head(model, i))
            continue;
        size_t values = nn_latent_values(model, i);
        size_t bytes = API_FRAME_HEADER_BYTES + nn_latent_bound(model, i);
        if (values > *latent_values)
            *latent_values = values;
        if (bytes > *frame_bytes)
            *frame_bytes = bytes;
    }
}

enum api_status cli_device_open(struct nn_model *model,
                                struct cli_device **device,
                                struct api_error *error)
{
    enum api_status status = API_OK;
    struct cli_device *made = calloc(1, sizeof *made);
    if (!made) {
        nn_model_close(&model);
        return api_fail(error, API_NO_MEMORY, "out of memory");
    }
    made->model = model;
    const struct nn_input *input = nn_model_input(model);
    size_t latent_values;
    measure_points(model, &latent_values, &made->frame_capacity);
    made->pixels = calloc((size_t)input->width * input->height, 3);
    made->latent = calloc(latent_values, sizeof *made->latent);
    made->probabilities =
        calloc(nn_model_class_count(model), sizeof *made->probabilities);
    made->frame = malloc(made->frame_capacity);
    if (!made->pixels || !made->latent || !made->probabilities ||
        !made->frame) {
        status = api_fail(error, API_NO_MEMORY, "out of memory");
        goto out;
    }
    status = nn_context_open(model, &made->context, error);
    if (status != API_OK)
        goto out;
    *device = made;
    made = NULL;
out:
    cli_device_close(&made);
    return status;
}

void cli_device_close(struct cli_device **device)
{
    struct cli_device *old = *device;
    if (!old)
        return;
    nn_context_close(&old->context);
    nn_model_close(&old->model);
    free(old->pixels);
    free(old->latent);
    free(old->probabilities);
    free(old->frame);
    free(old);
    *device = NULL;
}

const struct nn_model *cli_device_model(const struct cli_device *device)
{
    return device->model;
}

int cli_device_local_point(const struct cli_device *device)
{
    for (uint16_t i = 0; i < nn_model_point_count(device->model); i++) {
        if (nn_model_point(device->model, i)->kind == API_POINT_LOCAL &&
            nn_model_has_head(device->model, i))
            return i;
    }
    return -1;
}

enum api_status cli_device_decode(struct cli_device *device, const void *jpeg,
                                  size_t jpeg_bytes, double *ms,
                                  struct api_error *error)
{
    double start_ms = cli_now_ms();
    enum api_status status = nn_picture_from_jpeg(
        nn_model_input(device->model), jpeg, jpeg_bytes, device->pixels, error);
    if (status == API_OK)
        *ms = cli_now_ms() - start_ms;
    return status;
}

enum api_status cli_device_shrink(const struct cli_device *device,
                                  const void *jpeg, size_t jpeg_bytes,
                                  int quality, uint8_t **shrunk,
                                  size_t *shrunk_bytes, double *decode_ms,
                                  double *encode_ms, struct api_error *error)
{
    double start_ms = cli_now_ms();
    struct nn_input small = nn_picture_small(nn_model_input(device->model));
    uint8_t *pixels = calloc((size_t)small.width * small.height, 3);
    if (!pixels)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    enum api_status status =
        nn_picture_from_jpeg(&small, jpeg, jpeg_bytes, pixels, error);
    double decoded_ms = cli_now_ms();
    if (status == API_OK)
        status = nn_picture_to_jpeg(pixels, small.width, small.height, quality,
                                    shrunk, shrunk_bytes, error);
    free(pixels);
    if (status == API_OK) {
        *decode_ms = decoded_ms - start_ms;
        *encode_ms = cli_now_ms() - decoded_ms;
    }
    return status;
}

enum api_status cli_device_run_head(struct cli_device *device, uint16_t point,
                                    bool *sure, double *ms,
                                    struct api_error *error)
{
    double start_ms = cli_now_ms();
    const struct api_point *info = nn_model_point(device->model, point);
    enum api_status status =
        nn_run_head(device->context, point, device->pixels, device->latent);
    if (status != API_OK)
        return api_fail(error, status, "the head of %s cannot run: %s",
                        info->id, api_status_title(status));
    *sure = false;
    if (info->exit_threshold > 0)
        status = nn_run_exit(device->context, point, device->latent,
                             device->probabilities, sure);
    if (status != API_OK)
        return api_fail(error, status, "the exit of %s cannot run: %s",
                        info->id, api_status_title(status));
    *ms = cli_now_ms() - start_ms;
    return API_OK;
}

enum api_status cli_device_make_frame(struct cli_device *device, uint16_t point,
                                      const uint8_t **frame,
                                      size_t *frame_bytes, double *ms,
                                      struct api_error *error)
{
    double start_ms = cli_now_ms();
    const struct api_point *info = nn_model_point(device->model, point);
    uint8_t *payload = device->frame + API_FRAME_HEADER_BYTES;
    size_t payload_bytes;
    enum api_status status = nn_latent_encode(
        device->context, point, device->latent, payload,
        device->frame_capacity - API_FRAME_HEADER_BYTES, &payload_bytes);
    if (status != API_OK)
        return api_fail(error, status, "the latent of %s cannot be encoded: %s",
                        info->id, api_status_title(status));
    struct api_frame made = {
        .fingerprint = nn_model_fingerprint(device->model),
        .point = point,
        .codec = (uint8_t)info->codec,
        .channels = info->latent_channels,
        .height = info->latent_height,
        .width = info->latent_width,
        .payload = payload,
        .payload_bytes = (uint32_t)payload_bytes,
    };
    size_t made_bytes;
    status = api_frame_write(&made, device->frame, device->frame_capacity,
                             &made_bytes);
    if (status != API_OK)
        return api_fail(error, status, "the latent of %s makes no frame: %s",
                        info->id, api_status_title(status));
    *frame = device->frame;
    *frame_bytes = made_bytes;
    *ms += cli_now_ms() - start_ms;
    return API_OK;
}

enum api_status cli_device_run_local(struct cli_device *device, uint16_t point,
                                     double *ms, struct api_error *error)
{
    double start_ms = cli_now_ms();
    enum api_status status = nn_run_full(device->context, point, device->pixels,
                                         device->probabilities);
    if (status != API_OK)
        return api_fail(error, status, "the network cannot run here: %s",
                        api_status_title(status));
    *ms = cli_now_ms() - start_ms;
    return API_OK;
}

uint32_t cli_device_answer(const struct cli_device *device,
                           struct nn_class *top, uint32_t capacity)
{
    return nn_top(device->probabilities, nn_model_class_count(device->model),
                  top, capacity);
}
