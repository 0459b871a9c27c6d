/* Inference by the Open Inference Protocol: one tensor in, one out. */
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/oip.h"
#include "server/app.h"
#include "server/compute.h"
#include "server/handlers.h"
#include "server/infer.h"
#include "server/model.h"

void srv_oip_infer_begin(struct srv_request *request)
{
    const char *text = srv_request_header(request, API_OIP_HEADER);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    request->infer.json_bytes = (size_t)request->length;
    if (text && (digits == 0 || digits > 9 || text[digits] != '\0')) {
        srv_reply_problem(request, API_BAD_REQUEST,
                          API_OIP_HEADER " is no whole number");
        return;
    }
    if (text)
        request->infer.json_bytes = strtoul(text, NULL, 10);
    srv_infer_begin(request);
}

/* The picture as the network takes it, with or without a batch of one. */
static bool is_image(const struct api_model *info,
                     const struct api_tensor *tensor)
{
    unsigned first = tensor->rank == 4;
    return (tensor->rank == 3 || (first && tensor->shape[0] == 1)) &&
           tensor->shape[first] == info->input_height &&
           tensor->shape[first + 1] == info->input_width &&
           tensor->shape[first + 2] == 3;
}

/* The engine takes bytes: makes them, in place, of as many floats. */
static bool narrow(struct api_tensor *tensor)
{
    size_t count = tensor->byte_count / sizeof(float);
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, tensor->bytes + i * sizeof value, sizeof value);
        if (!(value >= 0 && value <= 255))
            return false;
        tensor->bytes[i] = (uint8_t)(value + 0.5F);
    }
    tensor->byte_count = count;
    return true;
}

static enum api_status run_image(struct srv_request *request,
                                 struct api_tensor *tensor,
                                 struct api_error *error)
{
    const struct api_model *info = &request->model->info;
    if (tensor->datatype == API_BYTES || !is_image(info, tensor))
        return api_fail(error, API_BAD_REQUEST,
                        "input image is UINT8 or FP32 [1, %u, %u, 3]",
                        (unsigned)info->input_height,
                        (unsigned)info->input_width);
    if (tensor->datatype == API_FP32 && !narrow(tensor))
        return api_fail(error, API_UNPROCESSABLE,
                        "input image has values outside 0 to 255");
    return srv_compute_pixels(request, tensor->bytes, error);
}

static enum api_status run_input(struct srv_request *request,
                                 struct api_tensor *tensor,
                                 struct api_error *error)
{
    bool is_jpeg = strcmp(tensor->name, "jpeg") == 0;
    bool is_picture = is_jpeg || strcmp(tensor->name, "image") == 0;
    if (is_picture && request->model->offload_point < 0)
        return api_fail(error, API_UNAVAILABLE,
                        "this model's bundle lacks the whole network");
    if (is_jpeg && tensor->datatype == API_BYTES)
        return srv_compute_jpeg(request, tensor->bytes, tensor->byte_count,
                                error);
    if (is_jpeg)
        return api_fail(error, API_BAD_REQUEST, "input jpeg is BYTES [1]");
    if (is_picture)
        return run_image(request, tensor, error);
    if (strcmp(tensor->name, "frame") != 0)
        return api_fail(error, API_BAD_REQUEST,
                        "the input is called jpeg, image or frame");
    if (tensor->datatype != API_UINT8)
        return api_fail(error, API_BAD_REQUEST, "input frame is UINT8 [-1]");
    return srv_compute_frame(request, tensor->bytes, tensor->byte_count, error);
}

static void reply(struct srv_request *request,
                  const struct api_infer_request *asked)
{
    const struct srv_model *model = request->model;
    const float *probabilities = srv_compute_answer(request);
    struct nn_class best[API_LIMIT_TOP];
    struct api_class top[API_LIMIT_TOP];
    struct api_infer_answer answer = {
        .model = model->info.name,
        .version = model->info.version,
        .point = model->info.points[request->infer.point].id,
        .asked = model->info.points[request->infer.asked].id,
        .request = asked,
        .probabilities = probabilities,
        .class_count = model->info.class_count,
        .top = top,
    };
    answer.top_count =
        nn_top(probabilities, model->info.class_count, best, asked->top_count);
    for (uint32_t i = 0; i < answer.top_count; i++) {
        top[i].index = best[i].index;
        top[i].probability = (double)best[i].probability;
        api_label_copy(top[i].label, nn_model_label(model->nn, best[i].index));
    }
    size_t body_bytes = 0, json_bytes = 0;
    uint8_t *body = api_infer_write(&answer, &body_bytes, &json_bytes);
    srv_reply_owned(request, 200,
                    asked->binary ? "application/octet-stream"
                                  : "application/json",
                    body, body_bytes);
    if (body && asked->binary)
        srv_reply_header(request, API_OIP_HEADER, "%zu", json_bytes);
}

static void answer(struct srv_request *request)
{
    struct api_infer_request asked;
    struct api_error error = {API_OK, ""};
    enum api_status status =
        api_infer_read(request->body, request->body_bytes,
                       request->infer.json_bytes, &asked, &error);
    if (status != API_OK) {
        srv_reply_problem(request, status, error.text);
        return;
    }
    if (asked.timeout_us == 0 ||
        !srv_infer_expired(request,
                           request->received_us + (int64_t)asked.timeout_us)) {
        if (asked.quality[0])
            status = srv_compute_quality(request, asked.quality, &error);
        if (status == API_OK)
            status = run_input(request, &asked.input, &error);
        if (status == API_OK)
            reply(request, &asked);
        else
            srv_reply_problem(request, status, error.text);
    }
    api_infer_free(&asked);
}

void srv_oip_infer(struct srv_request *request)
{
    srv_infer_submit(request, answer);
}
