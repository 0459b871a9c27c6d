/* Cleave's own decider in a replay, driven as client/classify.c drives it. */
#include <math.h>

#include "bench/policy/ledger.h"
#include "client/decider.h"

#define REQUEST_TIMEOUT_MS 10000.0

/* Below this a picture is not worth a request. */
#define REQUEST_LEAST_MS 1.0

struct device {
    struct ledger *ledger;
    struct cli_decider *decider;
    double now_ms;
    double until_ms;     /* INFINITY: no deadline */
    double probe_end_ms; /* of the one under way; INFINITY: none */
    double probe_ms;     /* that it will have taken */
};

/* The end of the probe under way, if it has come: it goes on beside pictures
 * that did not wait for it. */
static void end_probe(struct device *device)
{
    double end_ms = device->probe_end_ms;
    if (end_ms > device->now_ms)
        return;
    device->probe_end_ms = INFINITY;
    if (device->probe_ms <= CLI_PROBE_MOST_MS &&
        cli_decider_believes_late_probe(device->decider, end_ms))
        cli_decider_saw_reply(device->decider, 0, true, device->probe_ms,
                              end_ms);
}

static double probe(struct device *device, double wait_ms)
{
    const struct ledger *ledger = device->ledger;
    double spare_ms = (device->until_ms - device->now_ms) / 2;
    device->probe_ms = world_link_ms(ledger->world, ledger->outcome->pictures,
                                     0, device->now_ms);
    wait_ms = fmin(wait_ms, spare_ms);
    double start_ms = device->now_ms;
    device->now_ms += fmin(device->probe_ms, wait_ms);
    device->probe_end_ms = INFINITY;
    if (device->probe_ms <= wait_ms) {
        cli_decider_saw_reply(device->decider, 0, true, device->probe_ms,
                              device->now_ms);
        return WORLD_HEADER_BYTES;
    }
    if (cli_decider_saw_silence(device->decider, 0, true, wait_ms,
                                device->now_ms))
        cli_decider_saw_failure(device->decider, 0, device->now_ms);
    device->probe_end_ms = start_ms + fmin(device->probe_ms, CLI_PROBE_MOST_MS);
    return WORLD_HEADER_BYTES;
}

/* The device's own part of a passage. */
static void compute(struct device *device, uint16_t point,
                    const struct passage *passage, double decode_ms)
{
    const struct api_point *info = &device->ledger->world->points[point];
    device->now_ms += passage->device_ms;
    if (info->kind == API_POINT_OFFLOAD && info->quality == 0)
        return;
    cli_estimate_add(&device->decider->decode_ms, decode_ms);
    cli_cost_observe(&device->decider->device, point, info->head_macs,
                     passage->device_ms - decode_ms);
}

/* False: no answer came while it was waited for. */
static bool ask_server(struct device *device, uint16_t point,
                       const struct passage *passage, double wait_until_ms)
{
    struct cli_decider *decider = device->decider;
    double server_ms = passage->queue_ms + passage->compute_ms;
    double timeout_ms =
        fmin(fmin(wait_until_ms, device->until_ms) - device->now_ms,
             REQUEST_TIMEOUT_MS);
    if (timeout_ms < REQUEST_LEAST_MS)
        return false;
    size_t bytes = (size_t)passage->body_bytes;
    device->ledger->outcome->bytes += passage->body_bytes;
    if (passage->link_ms + server_ms > timeout_ms) {
        device->now_ms += timeout_ms;
        if (cli_decider_saw_silence(decider, bytes, false, timeout_ms,
                                    device->now_ms))
            cli_decider_saw_failure(decider, 0, device->now_ms);
        return false;
    }
    device->now_ms += passage->link_ms + server_ms;
    cli_decider_saw_reply(decider, bytes, false, passage->link_ms,
                          device->now_ms);
    cli_decider_saw_server(decider, point,
                           device->ledger->world->points[point].tail_macs,
                           passage->queue_ms, passage->compute_ms);
    return true;
}

static void answer(struct device *device)
{
    struct ledger *ledger = device->ledger;
    const struct world *world = ledger->world;
    uint64_t picture = ledger->outcome->pictures;
    double wait_ms;
    end_probe(device);
    bool is_needed = cli_decider_needs_server(
        device->decider, world_local_point(world), ledger->rules->deadline_ms);
    if (cli_decider_wants_probe(device->decider, is_needed, device->now_ms,
                                &wait_ms)) {
        double bytes = probe(device, wait_ms);
        ledger->outcome->probe_bytes += bytes;
        ledger->outcome->bytes += bytes;
    }
    bool can_run[API_LIMIT_POINTS];
    bool ask = cli_breaker_allows(&device->decider->breaker, device->now_ms);
    for (uint16_t i = 0; i < world->point_count; i++)
        can_run[i] = ask || world->points[i].kind == API_POINT_LOCAL;
    bool bounded = isfinite(device->until_ms);
    struct cli_question question = {
        .points = world->points,
        .point_count = world->point_count,
        .can_run = can_run,
        .objective = bounded ? CLI_ACCURACY : CLI_LATENCY,
        .kind = -1,
        .now_ms = device->now_ms,
        .decode_ms = -1,
        .jpeg_bytes = (size_t)world_jpeg_bytes(world, picture),
        .deadline_ms =
            bounded ? fmax(device->until_ms - device->now_ms, 1e-3) : 0,
    };
    struct cli_choice choice = cli_decider_choose(device->decider, &question);
    double decode_ms = world_decode_ms(world, picture);
    double wait_until_ms = device->now_ms + choice.wait_ms;
    uint16_t point = (uint16_t)choice.point;
    struct passage passage = world_pass(world, picture, point, device->now_ms);
    compute(device, point, &passage, decode_ms);
    if (world->points[point].kind != API_POINT_LOCAL &&
        !ask_server(device, point, &passage, wait_until_ms)) {
        bool decoded = world->points[point].kind == API_POINT_SPLIT;
        point = world_local_point(world);
        passage = world_pass(world, picture, point, device->now_ms);
        compute(device, point, &passage, decode_ms);
        if (decoded)
            device->now_ms -= decode_ms;
    }
    ledger_enter(ledger, point, device->now_ms);
}

/* Each head and the whole network once, as at a device's first start. */
static void calibrate(const struct world *world, struct cli_decider *decider)
{
    for (uint16_t i = 0; i < world->point_count; i++) {
        struct passage passage = world_pass(world, 0, i, 0);
        if (passage.device_ms > 0)
            cli_cost_observe(&decider->device, i, world->points[i].head_macs,
                             passage.device_ms - world_decode_ms(world, 0));
    }
    cli_estimate_add(&decider->decode_ms, world_decode_ms(world, 0));
}

bool rival_auto(const struct world *world, const struct rules *rules,
                struct outcome *outcome)
{
    static struct cli_decider decider;
    struct ledger ledger;
    if (!ledger_open(&ledger, world, rules, outcome))
        return false;
    cli_decider_reset(&decider, 1);
    calibrate(world, &decider);
    struct device device = {
        .ledger = &ledger, .decider = &decider, .probe_end_ms = INFINITY};
    while (outcome->pictures < world->picture_count) {
        device.now_ms = ledger_start_ms(&ledger);
        device.until_ms = rules->deadline_ms > 0
                              ? ledger_due_ms(&ledger) + rules->deadline_ms
                              : INFINITY;
        answer(&device);
    }
    return true;
}
