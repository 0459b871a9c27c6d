/* Pictures from untrusted bytes: one byte chooses the input, then the JPEG. */
#include "nn/nn.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct nn_input inputs[] = {
        {.width = 32, .height = 32, .resize_shorter = 32, .bicubic = true},
        {.width = 224, .height = 224, .resize_shorter = 256, .bicubic = true},
        {.width = 7, .height = 40, .resize_shorter = 64},
        {.width = 1, .height = 1, .resize_shorter = 1},
    };
    if (size < 1)
        return 0;
    const struct nn_input *input = &inputs[data[0] % 4];
    uint8_t *pixels = malloc((size_t)input->width * input->height * 3);
    struct api_error error = {0};
    enum api_status status =
        nn_picture_from_jpeg(input, data + 1, size - 1, pixels, &error);
    must_hold(status == API_OK || status == API_UNPROCESSABLE ||
                  status == API_TOO_LARGE || status == API_UNSUPPORTED_MEDIA,
              "one of the documented answers");
    must_hold(status == API_OK || error.text[0], "a reason");
    free(pixels);
    return 0;
}
