/* A thread's memory for a model, and the self-test that proves and warms it. */
#include "server/workspace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/model.h"

/* Softmax in binary32 over thousands of classes stays well within this. */
#define SUM_TOLERANCE 1e-2

static enum api_status check(const float *probabilities, uint32_t count,
                             const char *point, struct api_error *error)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!(probabilities[i] >= 0))
            return api_fail(error, API_INTERNAL,
                            "self-test of point %s gives no probabilities",
                            point);
        sum += (double)probabilities[i];
    }
    if (!(fabs(sum - 1) < SUM_TOLERANCE))
        return api_fail(error, API_INTERNAL,
                        "self-test of point %s: probabilities add up to %g",
                        point, sum);
    return API_OK;
}

enum api_status srv_workspace_test(struct srv_workspace *workspace,
                                   const struct srv_model *model,
                                   bool every_point, struct api_error *error)
{
    for (uint16_t i = 0; i < model->info.point_count; i++) {
        const struct api_point *point = &model->info.points[i];
        if (!nn_model_has_tail(model->nn, i))
            continue;
        enum api_status status =
            point->kind == API_POINT_SPLIT
                ? nn_run_tail(workspace->context, i, workspace->latent,
                              workspace->probabilities)
                : nn_run_full(workspace->context, i, workspace->pixels,
                              workspace->probabilities);
        if (status != API_OK)
            return api_fail(error, status, "self-test of point %s: %s",
                            point->id, api_status_title(status));
        status = check(workspace->probabilities, model->info.class_count,
                       point->id, error);
        if (status != API_OK || !every_point)
            return status;
    }
    return API_OK;
}

enum api_status srv_workspace_open(const struct srv_model *model,
                                   struct srv_workspace **workspace,
                                   struct api_error *error)
{
    struct srv_workspace *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for a workspace");
    /* Sides are at most 65535 pixels: no overflow in 64 bits. */
    size_t pixel_bytes =
        (size_t)model->info.input_width * model->info.input_height * 3;
    made->pixels = malloc(pixel_bytes);
    made->latent =
        calloc(model->latent_most ? model->latent_most : 1, sizeof(float));
    made->probabilities = calloc(model->info.class_count, sizeof(float));
    enum api_status status = API_OK;
    if (!made->pixels || !made->latent || !made->probabilities)
        status = api_fail(error, API_NO_MEMORY, "no memory for a workspace");
    else
        memset(made->pixels, 127, pixel_bytes);
    if (status == API_OK)
        status = nn_context_open(model->nn, &made->context, error);
    if (status == API_OK)
        *workspace = made;
    else
        srv_workspace_close(&made);
    return status;
}

void srv_workspace_close(struct srv_workspace **workspace)
{
    struct srv_workspace *old = *workspace;
    if (!old)
        return;
    nn_context_close(&old->context);
    free(old->pixels);
    free(old->latent);
    free(old->probabilities);
    free(old);
    *workspace = NULL;
}
