/* What a handle keeps in its file, and takes up from there. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "client/clock.h"
#include "client/learnt.h"

/* Whoever asks why may wait so long; flash memory wears out. */
#define KEEP_PAUSE_MS 10000.0

static int find_point(const struct cleave *handle, const char *id)
{
    for (uint16_t i = 0; i < handle->model.point_count; i++) {
        if (strcmp(handle->model.points[i].id, id) == 0)
            return i;
    }
    return -1;
}

bool cli_learnt_recall(struct cleave *handle)
{
    struct cli_learnt learnt = {.fingerprint = 0};
    if (!handle->cache ||
        !cli_learnt_read(cli_head_cache_learnt_path(handle->cache), &learnt) ||
        learnt.fingerprint != handle->model.fingerprint)
        return false;
    unsigned taken = 0;
    for (unsigned i = 0; i < learnt.part_count; i++) {
        int point = find_point(handle, learnt.parts[i].point);
        if (point < 0)
            continue;
        cli_cost_observe(&handle->decider.device, (uint16_t)point,
                         handle->model.points[point].head_macs,
                         learnt.parts[i].ms);
        handle->decider.exits.runs[point] = learnt.parts[i].runs;
        handle->decider.exits.stays[point] = learnt.parts[i].stays;
        taken++;
    }
    if (learnt.decode_ms > 0)
        cli_estimate_add(&handle->decider.decode_ms, learnt.decode_ms);
    return taken > 0;
}

static int64_t unix_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *objective_name(enum cli_objective objective)
{
    switch (objective) {
    case CLI_LATENCY:
        return "latency";
    case CLI_ACCURACY:
        return "accuracy";
    case CLI_ENERGY:
        return "energy";
    }
    return "unknown";
}

static void describe(const struct cleave *handle,
                     struct cleave_decision *decision)
{
    const struct cli_decider *decider = &handle->decider;
    decision->unix_ms = unix_now_ms();
    snprintf(decision->objective, sizeof decision->objective, "%s",
             objective_name(decider->objective));
    snprintf(decision->reason, sizeof decision->reason, "%s",
             decider->choice.reason);
    decision->deadline_ms = decider->deadline_ms;
    decision->jpeg_bytes = decider->jpeg_bytes;
    struct cli_link_forecast link =
        cli_link_predict(&decider->link, 0, cli_now_ms());
    decision->rtt_ms = link.expected_ms;
    link = cli_link_predict(&decider->link, 1000, cli_now_ms());
    decision->ms_per_kb = link.expected_ms - decision->rtt_ms;
    for (uint16_t i = 0; i < decider->forecast_count; i++) {
        const struct cli_forecast *from = &decider->forecasts[i];
        struct cleave_forecast *to = &decision->forecasts[i];
        snprintf(to->point, sizeof to->point, "%s", handle->model.points[i].id);
        snprintf(to->verdict, sizeof to->verdict, "%s",
                 cli_verdict_name(from->verdict));
        to->expected_ms = from->expected_ms;
        to->p95_ms = from->p95_ms;
        to->in_time = from->meets;
        to->bytes = from->bytes;
        to->joules = from->joules;
        to->top1 = handle->model.points[i].top1;
        to->stays = from->stays;
    }
    decision->forecast_count = decider->forecast_count;
}

void cli_learnt_keep(struct cleave *handle, bool at_once)
{
    double now_ms = cli_now_ms();
    if (!handle->cache || handle->decider.forecast_count == 0 ||
        (!at_once && now_ms < handle->remember_after_ms))
        return;
    handle->remember_after_ms = now_ms + KEEP_PAUSE_MS;
    struct cli_learnt learnt = {
        .fingerprint = handle->model.fingerprint,
        .decode_ms = handle->decider.decode_ms.mean,
    };
    for (uint16_t i = 0; i < handle->model.point_count; i++) {
        const struct cli_estimate *seen = &handle->decider.device.point_ms[i];
        if (seen->samples == 0)
            continue;
        struct cli_learnt_part *part = &learnt.parts[learnt.part_count++];
        snprintf(part->point, sizeof part->point, "%s",
                 handle->model.points[i].id);
        part->ms = seen->mean;
        part->runs = handle->decider.exits.runs[i];
        part->stays = handle->decider.exits.stays[i];
    }
    describe(handle, &learnt.decision);
    (void)cli_learnt_write(cli_head_cache_learnt_path(handle->cache), &learnt);
}

enum cleave_status cleave_explain(const struct cleave_options *options,
                                  struct cleave_decision *decision,
                                  struct cleave_error *error)
{
    struct api_error why = {.text = ""};
    struct cli_transport *transport = NULL;
    struct cli_head_cache *cache = NULL;
    struct cli_learnt learnt = {.fingerprint = 0};
    if (!options->server_url)
        return cli_client_fail(error, CLEAVE_ERROR_USAGE,
                               "decisions are kept by server, and none was "
                               "named");
    /* Nothing is sent: the URL is only brought into its usual form. */
    enum api_status status =
        cli_transport_open(options->server_url, 1000, &transport, &why);
    if (status == API_OK)
        status = cli_head_cache_open(options->cache_dir,
                                     cli_transport_url(transport),
                                     options->model ? options->model : "",
                                     !options->heads_only, &cache, &why);
    bool kept = status == API_OK &&
                cli_learnt_read(cli_head_cache_learnt_path(cache), &learnt) &&
                learnt.decision.unix_ms > 0;
    cli_head_cache_close(&cache);
    cli_transport_close(&transport);
    if (status != API_OK)
        return cli_client_fail(error, cli_client_status(status), why.text);
    if (!kept)
        return cli_client_fail(error, CLEAVE_ERROR_USAGE,
                               "no decision is kept for this server and model");
    *decision = learnt.decision;
    return CLEAVE_OK;
}
