/* One device of a replay or simulation, driven by Cleave's own decider. */
#include "client/simulate/pilot.h"

#include <math.h>

static const struct api_point *info_of(const struct pilot *pilot,
                                       uint16_t point)
{
    return &pilot->world->points[point];
}

/* Each head and the whole network once, as at a device's first start. */
static void calibrate(struct pilot *pilot)
{
    const struct world *world = pilot->world;
    for (uint16_t i = 0; i < world->point_count; i++) {
        struct passage passage = world_pass(world, 0, i, 0);
        if (passage.device_ms > 0)
            cli_cost_observe(&pilot->decider.device, i,
                             world->points[i].head_macs,
                             passage.device_ms - world_decode_ms(world, 0));
    }
    cli_estimate_add(&pilot->decider.decode_ms, world_decode_ms(world, 0));
}

void pilot_reset(struct pilot *pilot, const struct world *world,
                 const struct pilot_order *order, uint32_t seed)
{
    *pilot = (struct pilot){
        .world = world, .order = *order, .probe_end_ms = INFINITY};
    cli_decider_reset(&pilot->decider, seed);
    pilot->decider.power = order->power;
    cli_decider_set_plan(&pilot->decider, order->bytes_per_picture);
    calibrate(pilot);
}

/* The end of the probe under way, if it has come: it goes on beside pictures
 * that did not wait for it. */
static void end_probe(struct pilot *pilot)
{
    double end_ms = pilot->probe_end_ms;
    if (end_ms > pilot->now_ms)
        return;
    pilot->probe_end_ms = INFINITY;
    if (pilot->probe_ms <= CLI_PROBE_MOST_MS &&
        cli_decider_believes_late_probe(&pilot->decider, end_ms))
        cli_decider_saw_reply(&pilot->decider, 0, pilot->probe_ms, end_ms);
}

static void probe(struct pilot *pilot, double wait_ms)
{
    double start_ms = pilot->now_ms;
    pilot->probe_ms = world_link_ms(pilot->world, pilot->picture, 0, start_ms);
    pilot->now_ms += fmin(pilot->probe_ms, wait_ms);
    pilot->probe_end_ms = INFINITY;
    pilot->probe_bytes += WORLD_HEADER_BYTES;
    pilot->bytes += WORLD_HEADER_BYTES;
    if (pilot->probe_ms <= wait_ms) {
        cli_decider_saw_reply(&pilot->decider, 0, pilot->probe_ms,
                              pilot->now_ms);
        return;
    }
    if (cli_decider_saw_silence(&pilot->decider, 0, wait_ms, pilot->now_ms))
        cli_decider_saw_failure(&pilot->decider, 0, pilot->now_ms);
    pilot->probe_end_ms = start_ms + fmin(pilot->probe_ms, CLI_PROBE_MOST_MS);
}

/* The device's own part of the passage. */
static void compute(struct pilot *pilot)
{
    const struct api_point *info = info_of(pilot, pilot->point);
    double decode_ms = world_decode_ms(pilot->world, pilot->picture);
    pilot->now_ms += pilot->passage.device_ms;
    pilot->device_ms += pilot->passage.device_ms;
    if (info->kind == API_POINT_OFFLOAD && info->quality == 0)
        return;
    cli_estimate_add(&pilot->decider.decode_ms, decode_ms);
    cli_cost_observe(&pilot->decider.device, pilot->point, info->head_macs,
                     pilot->passage.device_ms - decode_ms);
    cli_exits_observe(&pilot->decider.exits, pilot->point,
                      pilot->passage.stays);
}

/* The device answers alone; a picture whose head has run is decoded. */
static void answer_alone(struct pilot *pilot, bool is_decoded)
{
    pilot->point = world_local_point(pilot->world);
    pilot->passage =
        world_pass(pilot->world, pilot->picture, pilot->point, pilot->now_ms);
    compute(pilot);
    if (is_decoded) {
        double decode_ms = world_decode_ms(pilot->world, pilot->picture);
        pilot->now_ms -= decode_ms;
        pilot->device_ms -= decode_ms;
    }
}

static void fall_back(struct pilot *pilot)
{
    answer_alone(pilot, info_of(pilot, pilot->point)->kind == API_POINT_SPLIT);
}

static struct cli_question question_of(const struct pilot *pilot,
                                       const bool *can_run)
{
    bool bounded = isfinite(pilot->until_ms);
    return (struct cli_question){
        .points = pilot->world->points,
        .point_count = pilot->world->point_count,
        .can_run = can_run,
        .objective = pilot->order.objective == CLI_LATENCY && bounded
                         ? CLI_ACCURACY
                         : pilot->order.objective,
        .kind = pilot->order.kind,
        .now_ms = pilot->now_ms,
        .decode_ms = -1,
        .jpeg_bytes = (size_t)world_jpeg_bytes(pilot->world, pilot->picture),
        .deadline_ms =
            bounded ? fmax(pilot->until_ms - pilot->now_ms, 1e-3) : 0,
    };
}

/* The point to take, -1 if none can run. *wait_ms: how long to wait. */
static int choose(struct pilot *pilot, double *wait_ms)
{
    const struct world *world = pilot->world;
    bool can_run[API_LIMIT_POINTS];
    bool ask = cli_breaker_allows(&pilot->decider.breaker, pilot->now_ms);
    for (uint16_t i = 0; i < world->point_count; i++)
        can_run[i] = ask || world->points[i].kind == API_POINT_LOCAL;
    *wait_ms = INFINITY;
    if (pilot->order.point >= 0)
        return can_run[pilot->order.point] ? pilot->order.point : -1;
    struct cli_question question = question_of(pilot, can_run);
    struct cli_choice choice = cli_decider_choose(&pilot->decider, &question);
    if (pilot->order.kind < 0)
        *wait_ms = choice.wait_ms;
    return choice.point;
}

/* How long the server may take. */
static double patience_ms(const struct pilot *pilot, double give_up_ms)
{
    struct cli_question question = question_of(pilot, NULL);
    double most_ms = cli_decider_patience_ms(&pilot->decider, &question,
                                             world_local_point(pilot->world));
    most_ms = fmin(most_ms, give_up_ms - pilot->now_ms);
    return fmin(most_ms, CLI_REQUEST_MOST_MS);
}

static void probe_if_due(struct pilot *pilot)
{
    struct cli_question question = question_of(pilot, NULL);
    double wait_ms;
    if (pilot->order.kind != API_POINT_LOCAL &&
        cli_decider_wants_probe(&pilot->decider, &question,
                                world_local_point(pilot->world),
                                patience_ms(pilot, INFINITY), &wait_ms))
        probe(pilot, wait_ms);
}

bool pilot_begin(struct pilot *pilot, uint64_t picture, double due_ms,
                 double start_ms)
{
    double deadline_ms = pilot->order.deadline_ms;
    pilot->picture = picture;
    pilot->now_ms = start_ms;
    pilot->until_ms = deadline_ms > 0 ? due_ms + deadline_ms : INFINITY;
    end_probe(pilot);
    probe_if_due(pilot);
    double wait_ms;
    int point = choose(pilot, &wait_ms);
    if (point < 0) {
        answer_alone(pilot, false);
        return false;
    }
    double wait_until_ms = pilot->now_ms + wait_ms;
    pilot->point = (uint16_t)point;
    pilot->passage =
        world_pass(pilot->world, picture, pilot->point, pilot->now_ms);
    compute(pilot);
    if (pilot->passage.stays)
        return false;
    double timeout_ms = patience_ms(pilot, wait_until_ms);
    if (timeout_ms < CLI_REQUEST_LEAST_MS) {
        fall_back(pilot);
        return false;
    }
    pilot->bytes += pilot->passage.body_bytes;
    pilot->timeout_ms = timeout_ms;
    pilot->give_up_ms = pilot->now_ms + timeout_ms;
    pilot->returns_ms = pilot->world->trace->rtt_ms / 2;
    pilot->arrives_ms =
        pilot->now_ms + pilot->passage.link_ms - pilot->returns_ms;
    return true;
}

bool pilot_waits_for(const struct pilot *pilot, double queue_ms)
{
    double server_ms = queue_ms + pilot->passage.compute_ms;
    return pilot->passage.link_ms + server_ms <= pilot->timeout_ms;
}

void pilot_answered(struct pilot *pilot, double queue_ms)
{
    const struct passage *passage = &pilot->passage;
    double server_ms = queue_ms + passage->compute_ms;
    pilot->now_ms += passage->link_ms + server_ms;
    cli_decider_saw_reply(&pilot->decider, (size_t)passage->body_bytes,
                          passage->link_ms, pilot->now_ms);
    cli_decider_saw_server(&pilot->decider, pilot->point,
                           info_of(pilot, pilot->point)->tail_macs, queue_ms,
                           passage->compute_ms);
}

void pilot_gave_up(struct pilot *pilot)
{
    pilot->now_ms = pilot->give_up_ms;
    if (cli_decider_saw_silence(&pilot->decider,
                                (size_t)pilot->passage.body_bytes,
                                pilot->timeout_ms, pilot->now_ms))
        cli_decider_saw_failure(&pilot->decider, 0, pilot->now_ms);
    fall_back(pilot);
}

void pilot_refused(struct pilot *pilot, double retry_after_ms)
{
    pilot->now_ms = pilot->arrives_ms + pilot->returns_ms;
    cli_decider_saw_failure(&pilot->decider, retry_after_ms, pilot->now_ms);
    fall_back(pilot);
}
