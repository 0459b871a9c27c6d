/* cleave simulate: what a fleet of devices and a server will do. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/simulate/view.h"

static int fail(enum api_status status, const struct api_error *why)
{
    cmd_complain("%s", why->text);
    return api_status_exit(status);
}

/* A rate, a made-up link's name or a file. Made-up ones are as long as what is
 * simulated, within a trace's bounds. */
static enum api_status open_link(const struct simulate_options *options,
                                 struct trace *trace, struct api_error *error)
{
    char *end = NULL;
    double mbit_per_s = strtod(options->link, &end);
    double wanted_ms = 1000 * options->seconds;
    size_t length_ms = (size_t)fmin(wanted_ms, TRACE_LONGEST_MS);
    bool is_rate = end != options->link && *end == '\0', made = false;
    int shape = 0;
    while (shape < TRACE_SHAPES &&
           strcmp(options->link, trace_shape_name((enum trace_shape)shape)) !=
               0)
        shape++;
    if (is_rate &&
        !(mbit_per_s >= 0 && mbit_per_s <= TRACE_QUICKEST_MBIT_PER_S))
        return api_fail(error, API_USAGE,
                        "a link has 0 to %.0f Mbit/s, not %.40s",
                        TRACE_QUICKEST_MBIT_PER_S, options->link);
    if (!is_rate && shape == TRACE_SHAPES)
        return trace_read(options->link, trace, error);
    if (is_rate)
        made = trace_make_even(mbit_per_s, length_ms, trace);
    else
        made = trace_make((enum trace_shape)shape, (uint64_t)options->seed,
                          length_ms, trace);
    return made ? API_OK : api_fail(error, API_NO_MEMORY, "out of memory");
}

static enum cli_objective objective_of(enum cleave_objective objective)
{
    switch (objective) {
    case CLEAVE_ACCURATE:
        return CLI_ACCURACY;
    case CLEAVE_FRUGAL:
        return CLI_ENERGY;
    case CLEAVE_QUICK:
        break;
    }
    return CLI_LATENCY;
}

/* What "--point NAME" orders. False, with a complaint, if the model has no such
 * point. */
static bool order_way(const struct simulate_options *options,
                      const struct subject *subject, const char *name,
                      struct pilot_order *order)
{
    *order =
        (struct pilot_order){.objective = objective_of(options->open.objective),
                             .deadline_ms = options->deadline_ms,
                             .bytes_per_picture = options->bytes_per_picture,
                             .power = CLI_POWER_DEFAULT,
                             .kind = -1,
                             .point = -1};
    if (options->open.joules_per_cpu_second > 0)
        order->power = (struct cli_power){options->open.joules_per_cpu_second,
                                          options->open.joules_per_byte};
    if (strcmp(name, "auto") == 0)
        return true;
    for (uint16_t i = 0; i < subject->point_count; i++) {
        if (strcmp(name, subject->points[i].id) == 0)
            order->point = i;
    }
    order->kind = order->point < 0 ? api_point_kind_parse(name)
                                   : (int)subject->points[order->point].kind;
    if (order->kind < 0)
        cmd_complain("model %s has no point \"%s\"", subject->name, name);
    return order->kind >= 0;
}

static void set_up(const struct simulate_options *options,
                   const struct subject *subject, const struct trace *trace,
                   struct world *world, struct plan *plan)
{
    *world = (struct world){
        .points = subject->points,
        .point_count = subject->point_count,
        .costs = &subject->costs,
        .trace = trace,
        .jitter_ms = options->jitter_ms,
        .period_ms = 1000 / options->rate,
        .picture_count = (uint64_t)(options->rate * options->seconds),
    };
    *plan = (struct plan){
        .fleet = {.world = world,
                  .devices = (uint32_t)options->devices,
                  .cores = (uint32_t)options->cores,
                  .queue = (uint32_t)options->queue,
                  .latest = options->latest,
                  .seed = (uint64_t)options->seed},
        .wait_ms = options->wait_ms,
        .core_hour_price = options->core_hour_price,
        .gigabyte_price = options->gigabyte_price,
    };
}

static int show(const struct view *view)
{
    const char *chart = view->options->chart;
    if (view->options->json)
        view_print_json(view);
    else
        view_print_table(view);
    if (chart && !view_write_chart(view, chart)) {
        cmd_complain("cannot write %s: %s", chart, strerror(errno));
        return CMD_FAILED;
    }
    return cmd_finish(CMD_OK);
}

static int simulate(const struct simulate_options *options,
                    const struct subject *subject, const struct trace *trace)
{
    struct view_way ways[SIMULATE_WAYS_MOST] = {{.name = NULL}};
    struct view view = {options, subject, trace, ways, 0};
    struct world world;
    struct plan plan;
    int status = CMD_OK;
    set_up(options, subject, trace, &world, &plan);
    while (status == CMD_OK && view.way_count < options->way_count) {
        struct view_way *way = &ways[view.way_count];
        way->name = options->ways[view.way_count];
        if (!order_way(options, subject, way->name, &plan.fleet.order)) {
            status = CMD_USAGE;
        } else if (!plan_run(&plan, &way->figures, &way->result)) {
            cmd_complain("out of memory");
            status = CMD_FAILED;
        } else {
            view.way_count++;
        }
    }
    if (status == CMD_OK)
        status = show(&view);
    for (unsigned i = 0; i < view.way_count; i++)
        fleet_result_free(&ways[i].result);
    return status;
}

int cmd_simulate(int argc, char **argv)
{
    struct simulate_options options;
    struct subject subject;
    struct trace trace = {.length_ms = 0};
    struct api_error why = {.text = ""};
    int status = CMD_OK;
    if (!simulate_options_parse(argc, argv, &options, &status))
        return status;
    enum api_status opened = open_link(&options, &trace, &why);
    if (opened != API_OK)
        return fail(opened, &why);
    if (options.rtt_ms >= 0)
        trace.rtt_ms = options.rtt_ms;
    const struct subject_order order = {
        .bundle = options.bundle,
        .open = &options.open,
        .learnt = options.learnt,
        .device_ms_per_gmac = options.device_ms_per_gmac,
        .decode_ms = options.decode_ms,
        .server_ms_per_gmac = options.server_ms_per_gmac,
        .server_jpeg_ms = options.server_jpeg_ms,
        .device_factor = options.device_factor,
        .server_factor = options.server_factor,
        .jpeg_bytes = options.jpeg_bytes,
    };
    enum api_status got = subject_get(&order, &subject, &why);
    status =
        got == API_OK ? simulate(&options, &subject, &trace) : fail(got, &why);
    trace_free(&trace);
    return status;
}
