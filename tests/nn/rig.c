/* A model with all that running it takes. */
#include "tests/nn/rig.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void *rig_memory(size_t bytes)
{
    void *memory = malloc(bytes);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

void rig_open(struct rig *rig, const char *path)
{
    struct api_error error = {0};
    const struct nn_input *input;
    size_t pixel_bytes, values = 0, bound = 0;

    memset(rig, 0, sizeof *rig);
    ck_assert_msg(nn_model_open(path, &rig->model, &error) == API_OK, "%s",
                  error.text);
    ck_assert_int_eq(nn_context_open(rig->model, &rig->context, &error),
                     API_OK);
    input = nn_model_input(rig->model);
    pixel_bytes = (size_t)input->width * input->height * 3;
    for (uint16_t i = 0; i < nn_model_point_count(rig->model); i++) {
        if (nn_latent_values(rig->model, i) > values)
            values = nn_latent_values(rig->model, i);
        if (nn_latent_bound(rig->model, i) > bound)
            bound = nn_latent_bound(rig->model, i);
    }
    rig->pixels = rig_memory(pixel_bytes);
    for (size_t i = 0; i < pixel_bytes; i++) /* a smooth picture */
        rig->pixels[i] =
            (uint8_t)(127.5 + 120 * sin((double)i * 0.001 + (double)(i % 3)));
    rig->latent = rig_memory((values + 1) * sizeof(float));
    rig->restored = rig_memory((values + 1) * sizeof(float));
    rig->probabilities =
        rig_memory(nn_model_class_count(rig->model) * sizeof(float));
    rig->payload = rig_memory(bound + 1);
}

void rig_close(struct rig *rig)
{
    free(rig->payload);
    free(rig->probabilities);
    free(rig->restored);
    free(rig->latent);
    free(rig->pixels);
    nn_context_close(&rig->context);
    nn_model_close(&rig->model);
    ck_assert_ptr_null(rig->context);
    ck_assert_ptr_null(rig->model);
}
