/* Inference requests from untrusted bytes: JSON, then binary tensors. The
 * first two bytes say where the JSON ends. */
#include <string.h>

#include "api/oip.h"
#include "tests/fuzz/target.h"

/* What the server relies on when it takes a tensor's bytes. */
static void check_input(const struct api_tensor *tensor)
{
    size_t elements = 1;
    must_hold(tensor->rank >= 1 && tensor->rank <= API_TENSOR_RANK, "a rank");
    for (unsigned i = 0; i < tensor->rank; i++)
        elements *= tensor->shape[i];
    if (tensor->datatype == API_BYTES)
        must_hold(elements == 1, "one element of BYTES");
    else
        must_hold(tensor->byte_count ==
                      elements * (tensor->datatype == API_FP32 ? 4 : 1),
                  "as many bytes as the shape says");
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < tensor->byte_count; i++)
        sum = (uint8_t)(sum + tensor->bytes[i]);
}

static void check_answer(const struct api_infer_request *request)
{
    static const float probabilities[3] = {0.25F, 0.5F, 0.25F};
    static const struct api_class top[] = {{1, "one", 0.5}, {0, "", 0.25}};
    const struct api_infer_answer answer = {
        .model = "m",
        .version = "1",
        .point = "p",
        .asked = "p",
        .request = request,
        .probabilities = probabilities,
        .class_count = 3,
        .top = top,
        .top_count = request->top_count < 2 ? request->top_count : 2,
    };
    size_t body_bytes, json_bytes;
    uint8_t *body = api_infer_write(&answer, &body_bytes, &json_bytes);
    must_hold(body && json_bytes <= body_bytes, "an answer");
    must_hold(request->binary || json_bytes == body_bytes, "JSON only");
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct api_infer_request request;
    struct api_repository_request asked;
    struct api_error error = {0};
    if (size < 2)
        return 0;
    size_t json_bytes = (size_t)(data[0] | data[1] << 8);
    size -= 2;
    uint8_t *body = malloc(size + 1); /* its own, so that overruns show */
    memcpy(body, data + 2, size);
    if (api_infer_read(body, size, json_bytes, &request, &error) == API_OK) {
        check_input(&request.input);
        check_answer(&request);
        api_infer_free(&request);
    } else {
        must_hold(error.text[0] != '\0', "a reason");
    }
    if (api_repository_read((const char *)body, size, &asked, &error) != API_OK)
        must_hold(error.text[0] != '\0', "a reason");
    free(body);
    return 0;
}
