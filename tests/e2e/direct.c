/* What the engine says about a picture when it is asked directly. */
#include "direct.h"

#include <check.h>
#include <stdlib.h>

#include "api/frame.h"

/* Head, bottleneck and tail in one process. */
static size_t run_split(const struct nn_model *model,
                        struct nn_context *context, uint16_t point,
                        const uint8_t *pixels, float *probabilities)
{
    size_t bound = nn_latent_bound(model, point), payload_bytes = 0;
    float *latent = calloc(nn_latent_values(model, point), sizeof *latent);
    uint8_t *payload = malloc(bound);
    ck_assert_ptr_nonnull(latent);
    ck_assert_ptr_nonnull(payload);
    ck_assert_int_eq(nn_run_head(context, point, pixels, latent), API_OK);
    bool sure = false;
    if (nn_model_point(model, point)->exit_threshold > 0)
        ck_assert_int_eq(
            nn_run_exit(context, point, latent, probabilities, &sure), API_OK);
    if (sure) {
        free(latent);
        free(payload);
        return 0;
    }
    ck_assert_int_eq(nn_latent_encode(context, point, latent, payload, bound,
                                      &payload_bytes),
                     API_OK);
    ck_assert_int_eq(
        nn_latent_decode(context, point, payload, payload_bytes, latent, NULL),
        API_OK);
    ck_assert_int_eq(nn_run_tail(context, point, latent, probabilities),
                     API_OK);
    free(latent);
    free(payload);
    return API_FRAME_HEADER_BYTES + payload_bytes;
}

/* The picture as `point` sends it and its bytes, to be freed; NULL if it is
 * sent as it is. */
static uint8_t *encode_again(const struct nn_model *model, uint16_t point,
                             const uint8_t *jpeg, size_t *jpeg_bytes)
{
    struct nn_input small = nn_picture_small(nn_model_input(model));
    uint8_t *pixels = calloc((size_t)small.width * small.height, 3);
    uint8_t *again = NULL;
    size_t again_bytes = 0;
    ck_assert_ptr_nonnull(pixels);
    ck_assert_int_eq(
        nn_picture_from_jpeg(&small, jpeg, *jpeg_bytes, pixels, NULL), API_OK);
    ck_assert_int_eq(
        nn_picture_to_jpeg(pixels, small.width, small.height,
                           (int)nn_model_point(model, point)->quality, &again,
                           &again_bytes, NULL),
        API_OK);
    free(pixels);
    if (again_bytes >= *jpeg_bytes) {
        free(again);
        return NULL;
    }
    *jpeg_bytes = again_bytes;
    return again;
}

void direct_answer(const struct nn_model *model, struct nn_context *context,
                   uint16_t point, const uint8_t *jpeg, size_t jpeg_bytes,
                   struct nn_class *best, size_t *sent_bytes)
{
    const struct nn_input *input = nn_model_input(model);
    uint8_t *pixels = calloc((size_t)input->width * input->height, 3);
    float *probabilities =
        calloc(nn_model_class_count(model), sizeof *probabilities);
    uint8_t *again = NULL;
    ck_assert_ptr_nonnull(pixels);
    ck_assert_ptr_nonnull(probabilities);
    if (nn_model_point(model, point)->quality > 0)
        again = encode_again(model, point, jpeg, &jpeg_bytes);
    ck_assert_int_eq(nn_picture_from_jpeg(input, again ? again : jpeg,
                                          jpeg_bytes, pixels, NULL),
                     API_OK);
    free(again);
    enum api_point_kind kind = nn_model_point(model, point)->kind;
    if (kind == API_POINT_SPLIT)
        *sent_bytes = run_split(model, context, point, pixels, probabilities);
    else
        ck_assert_int_eq(nn_run_full(context, point, pixels, probabilities),
                         API_OK);
    if (kind != API_POINT_SPLIT)
        *sent_bytes = kind == API_POINT_OFFLOAD ? jpeg_bytes : 0;
    ck_assert_uint_eq(
        nn_top(probabilities, nn_model_class_count(model), best, 1), 1);
    free(pixels);
    free(probabilities);
}
