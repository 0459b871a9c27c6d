/* Frames from untrusted bytes, once as they are, once with a right checksum. */
#include <string.h>

#include "api/frame.h"
#include "tests/fuzz/target.h"

enum { CHECKSUM = 24 };

static void check(const uint8_t *bytes, size_t size)
{
    struct api_frame frame;
    struct api_error error = {0};
    if (api_frame_read(bytes, size, &frame, &error) != API_OK) {
        must_hold(error.status == API_UNPROCESSABLE && error.text[0],
                  "a reason");
        return;
    }
    must_hold(frame.payload >= bytes &&
                  frame.payload + frame.payload_bytes == bytes + size,
              "the payload lies in the frame");
    uint8_t *again = malloc(size);
    size_t written = 0;
    must_hold(api_frame_write(&frame, again, size, &written) == API_OK,
              "what was read can be written");
    must_hold(written == size && memcmp(again, bytes, size) == 0,
              "and is the same");
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    if (size < API_FRAME_HEADER_BYTES)
        return 0;
    /* Else the checksum would keep the fuzzer out. */
    uint8_t *fixed = malloc(size);
    memcpy(fixed, data, size);
    uint32_t sum = api_crc32c(0, fixed, CHECKSUM);
    sum = api_crc32c(sum, fixed + API_FRAME_HEADER_BYTES,
                     size - API_FRAME_HEADER_BYTES);
    for (int i = 0; i < 4; i++)
        fixed[CHECKSUM + i] = (uint8_t)(sum >> 8 * i);
    check(fixed, size);
    free(fixed);
    return 0;
}
