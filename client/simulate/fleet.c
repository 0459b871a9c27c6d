/* A fleet of devices that share one server: a discrete-event simulation. */
#include "client/simulate/fleet.h"

#include <math.h>
#include <stdlib.h>

#include "client/simulate/events.h"
#include "client/simulate/noise.h"
#include "client/sort.h"

/* What cleaved asks for with a 503. */
#define RETRY_AFTER_MS 1000.0

/* Kinds of randomness, beside those of a world. */
enum { PICTURES_FROM = 201, TRACE_FROM, WORLD_SEED, DECIDER_SEED };

struct device {
    struct world world;
    struct pilot pilot;
    double from_ms;   /* when its first picture is due */
    uint64_t picture; /* in hand, or the next one */
    bool waits;       /* at the server, for a worker */
};

/* A request that waits for a worker. */
struct place {
    uint32_t device;
    uint64_t picture;
};

struct simulation {
    const struct fleet *fleet;
    struct fleet_result *result;
    struct device *devices;
    struct events events;
    struct place *queue; /* [fleet->queue], a ring */
    uint32_t first, waiting, running;
    bool failed; /* no memory */
};

static double due_ms(const struct device *device)
{
    return device->from_ms + (double)device->picture * device->world.period_ms;
}

static void add(struct simulation *now, enum event_kind kind, double at_ms,
                uint32_t device)
{
    struct event event = {.at_ms = at_ms,
                          .picture = now->devices[device].picture,
                          .device = device,
                          .kind = kind};
    now->failed = !events_add(&now->events, event) || now->failed;
}

/* The picture in hand was answered; the next one begins when it is due. */
static void finish(struct simulation *now, uint32_t number)
{
    struct device *device = &now->devices[number];
    struct fleet_result *result = now->result;
    double latency_ms = device->pilot.now_ms - due_ms(device);
    double deadline_ms = now->fleet->order.deadline_ms;
    bool late = deadline_ms > 0 && latency_ms > deadline_ms;
    double top1 = fmax(device->world.points[device->pilot.point].top1, 0);
    uint64_t at = number * device->world.picture_count + device->picture;
    result->latency_ms[at] = (float)latency_ms;
    result->point[at] = (uint8_t)device->pilot.point;
    result->answered++;
    result->misses += late;
    result->top1_sum += top1;
    result->top1_in_time_sum += late ? 0 : top1;
    device->picture++;
    while (now->fleet->latest &&
           device->picture + 1 < device->world.picture_count &&
           due_ms(device) + device->world.period_ms <= device->pilot.now_ms)
        device->picture++;
    if (device->picture < device->world.picture_count)
        add(now, EVENT_BEGIN, fmax(due_ms(device), device->pilot.now_ms),
            number);
}

static void begin(struct simulation *now, const struct event *event)
{
    struct device *device = &now->devices[event->device];
    if (!pilot_begin(&device->pilot, device->picture, due_ms(device),
                     event->at_ms)) {
        finish(now, event->device);
        return;
    }
    now->result->bytes += WORLD_HEADER_BYTES;
    now->result->sent++;
    bool arrives = device->pilot.arrives_ms < device->pilot.give_up_ms;
    device->waits = true;
    if (arrives)
        add(now, EVENT_ARRIVE, device->pilot.arrives_ms, event->device);
    else
        add(now, EVENT_GIVE_UP, device->pilot.give_up_ms, event->device);
}

/* A worker takes the request; whether the answer comes in time is then
 * known. */
static void serve(struct simulation *now, uint32_t number, double at_ms)
{
    struct device *device = &now->devices[number];
    double wait_ms = fmax(at_ms - device->pilot.arrives_ms, 0);
    double compute_ms = device->pilot.passage.compute_ms;
    now->result->wait_ms[now->result->served++] = (float)wait_ms;
    now->result->busy_ms += compute_ms;
    now->running++;
    add(now, EVENT_FREE, at_ms + compute_ms, number);
    device->waits = false;
    if (pilot_waits_for(&device->pilot, wait_ms)) {
        pilot_answered(&device->pilot, wait_ms);
    } else {
        now->result->given_up++;
        pilot_gave_up(&device->pilot);
    }
    finish(now, number);
}

static void arrive(struct simulation *now, const struct event *event)
{
    const struct fleet *fleet = now->fleet;
    struct device *device = &now->devices[event->device];
    now->result->requests++;
    if (now->running < fleet->cores) {
        serve(now, event->device, event->at_ms);
    } else if (now->waiting == fleet->queue) {
        now->result->refused++;
        device->waits = false;
        pilot_refused(&device->pilot, RETRY_AFTER_MS);
        finish(now, event->device);
    } else {
        uint32_t last = (now->first + now->waiting++) % fleet->queue;
        now->queue[last] = (struct place){event->device, device->picture};
        add(now, EVENT_GIVE_UP, device->pilot.give_up_ms, event->device);
    }
}

/* Does the device still wait for the answer to this picture? */
static bool waits_for(const struct simulation *now, uint32_t device,
                      uint64_t picture)
{
    return now->devices[device].waits &&
           now->devices[device].picture == picture;
}

static void give_up(struct simulation *now, const struct event *event)
{
    struct device *device = &now->devices[event->device];
    if (!waits_for(now, event->device, event->picture))
        return;
    device->waits = false;
    now->result->given_up++;
    pilot_gave_up(&device->pilot);
    finish(now, event->device);
}

static void take_next(struct simulation *now, double at_ms)
{
    now->running--;
    while (now->waiting > 0 && now->running < now->fleet->cores) {
        struct place place = now->queue[now->first];
        now->first = (now->first + 1) % now->fleet->queue;
        now->waiting--;
        if (waits_for(now, place.device, place.picture))
            serve(now, place.device, at_ms);
    }
}

/* Sets up the fleet, and the first picture of each device. */
static void populate(struct simulation *now)
{
    const struct fleet *fleet = now->fleet;
    const struct world *first = fleet->world;
    for (uint32_t i = 0; i < fleet->devices; i++) {
        struct device *device = &now->devices[i];
        uint64_t seed = noise_mix(fleet->seed ^ noise_mix(i));
        device->world = *first;
        device->world.seed = noise_mix(seed ^ WORLD_SEED);
        if (i > 0) {
            device->from_ms =
                first->period_ms * noise_uniform(seed, 0, PICTURES_FROM);
            device->world.trace_from_ms = (double)first->trace->length_ms *
                                          noise_uniform(seed, 0, TRACE_FROM);
        }
        pilot_reset(&device->pilot, &device->world, &fleet->order,
                    (uint32_t)noise_mix(seed ^ DECIDER_SEED));
        add(now, EVENT_BEGIN, device->from_ms, i);
    }
}

static void run(struct simulation *now)
{
    struct event event;
    while (!now->failed && events_next(&now->events, &event)) {
        switch (event.kind) {
        case EVENT_BEGIN:
            begin(now, &event);
            break;
        case EVENT_ARRIVE:
            arrive(now, &event);
            break;
        case EVENT_GIVE_UP:
            give_up(now, &event);
            break;
        case EVENT_FREE:
            take_next(now, event.at_ms);
            break;
        }
    }
    for (uint32_t i = 0; i < now->fleet->devices; i++) {
        const struct pilot *pilot = &now->devices[i].pilot;
        now->result->bytes += pilot->bytes;
        now->result->probe_bytes += pilot->probe_bytes;
        now->result->joules += cli_power_joules(&now->fleet->order.power,
                                                pilot->device_ms, pilot->bytes);
    }
}

bool fleet_run(const struct fleet *fleet, struct fleet_result *result)
{
    const struct world *world = fleet->world;
    uint64_t pictures = fleet->devices * world->picture_count;
    *result = (struct fleet_result){
        .pictures = pictures,
        .span_ms = (double)world->picture_count * world->period_ms,
    };
    struct simulation now = {.fleet = fleet, .result = result};
    result->latency_ms = calloc(pictures, sizeof *result->latency_ms);
    result->point = malloc(pictures * sizeof *result->point);
    result->wait_ms = calloc(pictures, sizeof *result->wait_ms);
    now.devices = calloc(fleet->devices, sizeof *now.devices);
    now.queue = calloc(fleet->queue, sizeof *now.queue);
    now.failed = !result->latency_ms || !result->point || !result->wait_ms ||
                 !now.devices || !now.queue;
    if (!now.failed) {
        for (uint64_t i = 0; i < pictures; i++)
            result->point[i] = FLEET_DROPPED;
        populate(&now);
        run(&now);
    }
    events_free(&now.events);
    free(now.queue);
    free(now.devices);
    if (now.failed)
        fleet_result_free(result);
    return !now.failed;
}

float *fleet_sorted_latencies(const struct fleet_result *result)
{
    float *sorted = calloc(result->answered + 1, sizeof *sorted);
    uint64_t count = 0;
    for (uint64_t i = 0; sorted && i < result->pictures; i++) {
        if (result->point[i] != FLEET_DROPPED)
            sorted[count++] = result->latency_ms[i];
    }
    if (sorted)
        cli_sort_floats(sorted, count);
    return sorted;
}

void fleet_result_free(struct fleet_result *result)
{
    free(result->latency_ms);
    free(result->point);
    free(result->wait_ms);
    *result = (struct fleet_result){.pictures = 0};
}
