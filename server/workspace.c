/* A thread's memory for a model. */
#include "server/workspace.h"

#include <stdlib.h>
#include <string.h>

#include "server/model.h"

enum api_status srv_workspace_open(const struct srv_model *model,
                                   unsigned threads, unsigned batch,
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
    made->latent = calloc(batch * model->latent_most + 1, sizeof(float));
    made->probabilities =
        calloc((size_t)batch * model->info.class_count, sizeof(float));
    enum api_status status = API_OK;
    if (!made->pixels || !made->latent || !made->probabilities)
        status = api_fail(error, API_NO_MEMORY, "no memory for a workspace");
    else
        memset(made->pixels, 127, pixel_bytes);
    if (status == API_OK)
        status = nn_context_open(model->nn, &made->context, error);
    if (status == API_OK)
        status = nn_context_use_threads(made->context, threads, error);
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
