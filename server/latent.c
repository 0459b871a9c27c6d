/* What is in a frame, as a picture: the latent's channels side by side. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/compute.h"
#include "server/handlers.h"
#include "server/infer.h"
#include "server/workspace.h"

/* Netpbm's greyscale. */
#define MEDIA_TYPE "image/x-portable-graymap"

void srv_latent_begin(struct srv_request *request)
{
    srv_infer_begin_frame(request);
}

static float largest_magnitude(const float *values, size_t count)
{
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(values[i]));
    return largest;
}

/* Draws `latent` (NHWC) as a mosaic of its channels, row by row of
 * ceil(sqrt(channels)): 128 is zero, 1 and 255 are the largest magnitude, 0 is
 * no channel. NULL when memory ran out. */
static uint8_t *draw(const struct api_frame *frame, const float *latent,
                     size_t *bytes)
{
    size_t channels = frame->channels, height = frame->height,
           width = frame->width;
    size_t columns = (size_t)ceil(sqrt((double)channels));
    size_t rows = (channels + columns - 1) / columns;
    size_t stride = width * columns, pixels = stride * height * rows;
    char header[64];
    int header_bytes = snprintf(header, sizeof header, "P5\n%zu %zu\n255\n",
                                stride, height * rows);
    uint8_t *picture = calloc(1, (size_t)header_bytes + pixels);
    if (!picture)
        return NULL;
    memcpy(picture, header, (size_t)header_bytes);
    float largest = largest_magnitude(latent, channels * height * width);
    if (largest == 0)
        largest = 1;
    uint8_t *grey = picture + header_bytes;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < channels; c++)
                grey[(c / columns * height + y) * stride +
                     c % columns * width + x] =
                    (uint8_t)(128.5f + *latent++ / largest * 127);
    *bytes = (size_t)header_bytes + pixels;
    return picture;
}

/* Leaves infer.point alone: no point has answered a picture here. */
static void show(struct srv_request *request)
{
    struct api_frame frame;
    struct api_error error = {API_OK, ""};
    enum api_status status = srv_compute_latent(
        request, request->body, request->body_bytes, &frame, &error);
    if (status != API_OK) {
        srv_reply_problem(request, status, error.text);
        return;
    }
    size_t bytes = 0;
    uint8_t *picture = draw(&frame, request->infer.workspace->latent, &bytes);
    srv_reply_owned(request, 200, MEDIA_TYPE, picture, bytes);
}

void srv_latent(struct srv_request *request)
{
    srv_infer_submit(request, show);
}
