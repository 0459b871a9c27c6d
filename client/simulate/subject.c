/* Whose operating points are planned with, and what each costs to compute. */
#include "client/simulate/subject.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/learnt.h"
#include "client/simulate/measure.h"

/* Sizes scatter with the picture by about so much where nobody measured. */
#define P95_GUESS 1.6

/* An estimate follows the last few runs, and forgets the first, cold one. */
#define RUNS 10

static bool needs_device(const struct subject_order *order)
{
    return !order->learnt && !(order->device_ms_per_gmac > 0);
}

static bool needs_server(const struct subject_order *order)
{
    return !(order->server_ms_per_gmac > 0);
}

/* Each point a few times, through the server. */
static enum api_status run_points(const struct subject_order *order,
                                  struct cleave *handle,
                                  struct api_error *error)
{
    uint8_t *jpeg = NULL;
    size_t jpeg_bytes = 0;
    enum api_status status = measure_picture(&jpeg, &jpeg_bytes, error);
    for (uint16_t i = 0; status == API_OK && i < handle->model.point_count;
         i++) {
        const struct api_point *point = &handle->model.points[i];
        bool is_local = point->kind == API_POINT_LOCAL;
        if (point->id[0] == '\0' || (is_local && !needs_device(order)))
            continue;
        for (int run = 0; status == API_OK && run < RUNS; run++) {
            struct cleave_result result;
            struct cleave_error why;
            if (cleave_classify(handle, jpeg, jpeg_bytes, point->id, 0, &result,
                                &why) != CLEAVE_OK)
                status = api_fail(error, API_UNAVAILABLE, "%.150s", why.text);
            else if (strcmp(result.point, point->id) != 0)
                status = api_fail(error, API_UNAVAILABLE,
                                  "%.40s cannot be measured: %.120s", point->id,
                                  result.reason);
        }
    }
    free(jpeg);
    return status;
}

static void take_learnt_by_handle(struct cleave *handle,
                                  struct subject *subject)
{
    const struct cli_decider *decider = &handle->decider;
    subject->costs.decode_ms = decider->decode_ms.mean;
    for (uint16_t i = 0; i < subject->point_count; i++) {
        subject->costs.device_ms[i] = decider->device.point_ms[i].mean;
        subject->costs.compute_ms[i] = decider->server.point_ms[i].mean;
    }
}

static enum api_status ask_server(const struct subject_order *order,
                                  struct subject *subject,
                                  struct api_error *error)
{
    struct cleave_options open = *order->open;
    struct cleave_error why;
    struct cleave *handle = NULL;
    bool measures = needs_device(order) || needs_server(order);
    open.no_bundle = !measures;
    if (cleave_open(&open, &handle, &why) != CLEAVE_OK)
        return api_fail(error, API_UNREACHABLE, "%s", why.text);
    enum api_status status =
        measures ? run_points(order, handle, error) : API_OK;
    cli_client_lock(handle);
    const struct api_model *model = &handle->model;
    memcpy(subject->name, model->name, sizeof subject->name);
    memcpy(subject->version, model->version, sizeof subject->version);
    memcpy(subject->points, model->points, sizeof subject->points);
    subject->point_count = model->point_count;
    take_learnt_by_handle(handle, subject);
    cli_client_unlock(handle);
    cleave_close(&handle);
    subject->device_source = "measured here";
    subject->server_source = "by Server-Timing";
    return status;
}

static enum api_status read_bundle(const struct subject_order *order,
                                   struct subject *subject,
                                   struct api_error *error)
{
    struct nn_model *model = NULL;
    enum api_status status = nn_model_open(order->bundle, &model, error);
    if (status != API_OK)
        return status;
    snprintf(subject->name, sizeof subject->name, "%s", nn_model_name(model));
    snprintf(subject->version, sizeof subject->version, "%s",
             nn_model_version(model));
    subject->point_count = nn_model_point_count(model);
    for (uint16_t i = 0; i < subject->point_count; i++)
        subject->points[i] = *nn_model_point(model, i);
    subject->device_source = subject->server_source = "measured here";
    if (!needs_device(order) && !needs_server(order)) {
        nn_model_close(&model);
        return API_OK;
    }
    return measure_bundle(model, needs_device(order), needs_server(order),
                          &subject->costs, error);
}

/* From a device's file; what it has not run is guessed by MACs. */
static enum api_status read_learnt(const char *path, struct subject *subject,
                                   struct api_error *error)
{
    struct cli_learnt learnt;
    struct cli_cost cost;
    unsigned taken = 0;
    if (!cli_learnt_read(path, &learnt))
        return api_fail(error, API_UNPROCESSABLE,
                        "%.100s is not what a device keeps in its cache", path);
    cli_cost_reset(&cost, 0);
    for (unsigned k = 0; k < learnt.part_count; k++) {
        for (uint16_t i = 0; i < subject->point_count; i++) {
            if (strcmp(learnt.parts[k].point, subject->points[i].id) != 0)
                continue;
            cli_cost_observe(&cost, i, subject->points[i].head_macs,
                             learnt.parts[k].ms);
            taken++;
        }
    }
    if (taken == 0)
        return api_fail(error, API_UNPROCESSABLE,
                        "%.100s knows no point of this model", path);
    for (uint16_t i = 0; i < subject->point_count; i++) {
        double margin_ms;
        cli_cost_predict(&cost, i, subject->points[i].head_macs,
                         &subject->costs.device_ms[i], &margin_ms);
    }
    subject->costs.decode_ms =
        learnt.decode_ms > 0 ? learnt.decode_ms : WORLD_DECODE_MS;
    subject->device_source = "learnt by a device";
    return API_OK;
}

static void scale(double *ms, uint16_t count, double factor)
{
    for (uint16_t i = 0; i < count; i++)
        ms[i] *= factor;
}

static enum api_status set_costs(const struct subject_order *order,
                                 struct subject *subject,
                                 struct api_error *error)
{
    struct world_costs *costs = &subject->costs;
    enum api_status status = API_OK;
    if (order->device_ms_per_gmac > 0) {
        world_cost_device(costs, subject->points, subject->point_count,
                          order->device_ms_per_gmac / 1000);
        costs->decode_ms = WORLD_DECODE_MS;
        subject->device_source = "by multiplications";
    } else if (order->learnt) {
        status = read_learnt(order->learnt, subject, error);
    }
    if (order->server_ms_per_gmac > 0) {
        world_cost_server(costs, subject->points, subject->point_count,
                          order->server_ms_per_gmac / 1000,
                          order->server_jpeg_ms);
        subject->server_source = "by multiplications";
    }
    scale(costs->device_ms, subject->point_count, order->device_factor);
    scale(&costs->decode_ms, 1, order->device_factor);
    scale(costs->compute_ms, subject->point_count, order->server_factor);
    if (order->decode_ms >= 0)
        costs->decode_ms = order->decode_ms;
    return status;
}

/* Sizes of bodies where the metadata have none or the user knows better. */
static void set_sizes(const struct subject_order *order,
                      struct api_point *point)
{
    double p95_share = point->bytes_mean > 0 && point->bytes_p95 > 0
                           ? point->bytes_p95 / point->bytes_mean
                           : P95_GUESS;
    bool is_as_it_is = point->kind == API_POINT_OFFLOAD && point->quality == 0;
    if (is_as_it_is && order->jpeg_bytes > 0)
        point->bytes_mean = order->jpeg_bytes;
    else if (point->kind == API_POINT_OFFLOAD && !(point->bytes_mean > 0))
        point->bytes_mean = CLI_POLICY_JPEG_BYTES;
    else if (point->kind == API_POINT_SPLIT && !(point->bytes_mean >= 0))
        point->bytes_mean = (double)point->latent_height * point->latent_width *
                            point->latent_channels / 4;
    point->bytes_p95 = p95_share * point->bytes_mean;
}

/* Leaves the points that can be chosen. False: no local one is among them. */
static bool keep_choosable(const struct subject_order *order,
                           struct subject *subject)
{
    bool has_offload = false, has_local = false;
    uint16_t kept = 0;
    for (uint16_t i = 0; i < subject->point_count; i++) {
        struct api_point *point = &subject->points[i];
        bool *has = NULL;
        if (point->kind == API_POINT_OFFLOAD && point->quality == 0)
            has = &has_offload;
        else if (point->kind == API_POINT_LOCAL)
            has = &has_local;
        if (point->id[0] == '\0' || (has && *has))
            continue;
        if (has)
            *has = true;
        set_sizes(order, point);
        subject->points[kept] = *point;
        subject->costs.device_ms[kept] = subject->costs.device_ms[i];
        subject->costs.compute_ms[kept] = subject->costs.compute_ms[i];
        kept++;
    }
    subject->point_count = kept;
    return has_local;
}

enum api_status subject_get(const struct subject_order *order,
                            struct subject *subject, struct api_error *error)
{
    struct subject got = {.point_count = 0};
    enum api_status status = order->bundle ? read_bundle(order, &got, error)
                                           : ask_server(order, &got, error);
    if (status == API_OK)
        status = set_costs(order, &got, error);
    if (status != API_OK)
        return status;
    if (!keep_choosable(order, &got))
        return api_fail(error, API_UNAVAILABLE,
                        "the model has no point by which a device can answer "
                        "alone");
    *subject = got;
    return API_OK;
}
