/* The self-test: each graph once, by whichever thread is free, on the input
 * whose answer the bundle knows, or grey. */
#include "server/selftest.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "server/model.h"
#include "server/workspace.h"

/* Softmax in binary32 over thousands of classes stays well within this. */
#define SUM_TOLERANCE 1e-2

/* One thread's part. */
struct part {
    const struct srv_model *model;
    struct srv_workspace *workspace;
    atomic_uint *next; /* point that nobody has taken on */
    enum api_status status;
    struct api_error error;
};

static enum api_status check(const struct srv_model *model, uint16_t index,
                             const float *probabilities,
                             struct api_error *error)
{
    const char *point = model->info.points[index].id;
    const uint32_t count = model->info.class_count;
    struct api_error reason = {0};
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
    enum api_status status =
        nn_known_check(model->nn, index, probabilities, &reason);
    return status == API_OK
               ? API_OK
               : api_fail(error, status, "self-test of point %s: %s", point,
                          reason.text);
}

/* Is the point the first of those that run its graph? */
static bool is_first_of_its_graph(const struct srv_model *model, uint16_t point)
{
    if (!nn_model_has_tail(model->nn, point))
        return false;
    for (uint16_t i = 0; i < point; i++)
        if (nn_model_same_tail(model->nn, i, point))
            return false;
    return true;
}

static void prove(struct part *part, uint16_t index)
{
    const struct srv_model *model = part->model;
    const struct srv_workspace *workspace = part->workspace;
    const struct api_point *point = &model->info.points[index];
    nn_known_input(model->nn, index, workspace->pixels, workspace->latent);
    enum api_status status =
        point->kind == API_POINT_SPLIT
            ? nn_run_tail(workspace->context, index, workspace->latent,
                          workspace->probabilities)
            : nn_run_full(workspace->context, index, workspace->pixels,
                          workspace->probabilities);
    part->status = status == API_OK
                       ? check(model, index, workspace->probabilities,
                               &part->error)
                       : api_fail(&part->error, status,
                                  "self-test of point %s: %s", point->id,
                                  api_status_title(status));
}

/* Graphs that nobody else has taken on; any one if there was none left. */
static void *run_part(void *context)
{
    struct part *part = context;
    const unsigned count = part->model->info.point_count;
    unsigned runs = 0, point;
    while (part->status == API_OK &&
           (point = atomic_fetch_add(part->next, 1)) < count) {
        if (is_first_of_its_graph(part->model, (uint16_t)point)) {
            prove(part, (uint16_t)point);
            runs++;
        }
    }
    for (point = 0; runs == 0 && point < count; point++) {
        if (nn_model_has_tail(part->model->nn, (uint16_t)point)) {
            prove(part, (uint16_t)point);
            runs++;
        }
    }
    return NULL;
}

enum api_status srv_selftest(const struct srv_model *model,
                             struct srv_workspace *const *workspaces,
                             unsigned count, struct api_error *error)
{
    struct part *parts = calloc(count, sizeof *parts);
    pthread_t *threads = calloc(count, sizeof *threads);
    enum api_status status = API_OK;
    atomic_uint next = 0;
    unsigned started = 1; /* the first part is this thread's */
    if (!parts || !threads) {
        status = api_fail(error, API_NO_MEMORY, "no memory for the self-test");
        goto out;
    }
    for (unsigned i = 0; i < count; i++)
        parts[i] = (struct part){
            .model = model, .workspace = workspaces[i], .next = &next};
    while (started < count && pthread_create(&threads[started], NULL, run_part,
                                             &parts[started]) == 0)
        started++;
    run_part(&parts[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(threads[i], NULL);
    /* What had no thread is warmed here. */
    for (unsigned i = started; i < count; i++)
        run_part(&parts[i]);
    for (unsigned i = 0; i < count && status == API_OK; i++)
        if (parts[i].status != API_OK)
            status =
                api_fail(error, parts[i].status, "%s", parts[i].error.text);
out:
    free(parts);
    free(threads);
    return status;
}
