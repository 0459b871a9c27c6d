/* Reads a binary PPM that has exactly the size the network takes. */
#include "ppm.h"

#include <string.h>

enum { NUMBER_LIMIT = 65535 }; /* of every number that a header may hold */

/* What is left of the file. */
struct cursor {
    const uint8_t *at, *end;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* White space, then decimal digits; false if either is missing. */
static bool read_number(struct cursor *c, uint32_t *value)
{
    const uint8_t *start = c->at, *digits;
    uint32_t number = 0;

    while (c->at < c->end && is_space(*c->at))
        c->at++;
    if (c->at == start)
        return false;
    digits = c->at;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        number = number * 10 + (uint32_t)(*c->at - '0');
        if (number > NUMBER_LIMIT)
            return false;
    }
    *value = number;
    return c->at > digits;
}

bool ppm_recognise(const uint8_t *bytes, size_t count)
{
    return count >= 2 && bytes[0] == 'P' && bytes[1] == '6';
}

enum api_status ppm_read(const struct nn_input *input, const uint8_t *bytes,
                         size_t count, uint8_t *pixels, struct api_error *error)
{
    struct cursor c = {bytes, bytes + count};
    size_t wanted = (size_t)input->width * input->height * 3;
    uint32_t width, height, most;

    if (!ppm_recognise(bytes, count))
        return api_fail(error, API_UNPROCESSABLE, "not a binary PPM");
    c.at += 2;
    if (!read_number(&c, &width) || !read_number(&c, &height) ||
        !read_number(&c, &most) || c.at == c.end || !is_space(*c.at))
        return api_fail(error, API_UNPROCESSABLE, "malformed PPM header");
    c.at++; /* a single byte of white space parts header and samples */
    if (width != input->width || height != input->height || most != 255)
        return api_fail(error, API_UNPROCESSABLE,
                        "PPM of %u x %u up to %u, but the network takes "
                        "%u x %u up to 255",
                        width, height, most, input->width, input->height);
    if ((size_t)(c.end - c.at) != wanted)
        return api_fail(error, API_UNPROCESSABLE,
                        "PPM with %zu bytes of samples instead of %zu",
                        (size_t)(c.end - c.at), wanted);
    memcpy(pixels, c.at, wanted);
    return API_OK;
}
