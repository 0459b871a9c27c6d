/* What a simulation predicts, as JSON, for programs. */
#include <stdio.h>

#include "client/json_line.h"
#include "client/simulate/view.h"

static void write_quantiles(struct cli_json_line *line, const char *name,
                            double mean, double p50, double p95, double p99)
{
    cli_json_open(line, name, '{');
    if (mean >= 0)
        cli_json_real(line, "mean", mean, 3);
    cli_json_real(line, "p50", p50, 3);
    cli_json_real(line, "p95", p95, 3);
    cli_json_real(line, "p99", p99, 3);
    cli_json_close(line, '}');
}

static void write_points(struct cli_json_line *line,
                         const struct subject *subject)
{
    cli_json_open(line, "points", '[');
    for (uint16_t i = 0; i < subject->point_count; i++) {
        const struct api_point *point = &subject->points[i];
        cli_json_open(line, NULL, '{');
        cli_json_text(line, "id", point->id);
        cli_json_real(line, "device_ms", subject->costs.device_ms[i], 3);
        cli_json_real(line, "server_ms", subject->costs.compute_ms[i], 3);
        cli_json_real(line, "bytes_mean", point->bytes_mean, 1);
        cli_json_real(line, "top1", point->top1, 4);
        cli_json_close(line, '}');
    }
    cli_json_close(line, ']');
}

static void write_server(struct cli_json_line *line, const struct view *view,
                         const struct plan_figures *figures)
{
    bool found = figures->cores_suffice || view->options->cores > 0 ||
                 figures->cores == 0;
    cli_json_open(line, "server", '{');
    cli_json_real(line, "requests_per_s", figures->requests_per_s, 3);
    cli_json_real(line, "busy_cores", figures->load, 4);
    cli_json_real(line, "cores", found ? (double)figures->cores : -1, 0);
    write_quantiles(line, "wait_ms", -1, figures->wait_p50_ms,
                    figures->wait_p95_ms, figures->wait_p99_ms);
    cli_json_real(line, "refused", figures->refused, 6);
    cli_json_real(line, "given_up", figures->given_up, 6);
    cli_json_close(line, '}');
}

static void write_way(struct cli_json_line *line, const struct view *view,
                      const struct view_way *way)
{
    const struct plan_figures *figures = &way->figures;
    cli_json_open(line, NULL, '{');
    cli_json_text(line, "way", way->name);
    cli_json_whole(line, "pictures", way->result.pictures);
    write_quantiles(line, "latency_ms", figures->mean_ms, figures->p50_ms,
                    figures->p95_ms, figures->p99_ms);
    cli_json_real(line, "missed",
                  view->options->deadline_ms > 0 ? figures->missed : -1, 6);
    cli_json_real(line, "dropped", figures->dropped, 6);
    cli_json_real(line, "top1", figures->top1, 6);
    cli_json_real(line, "top1_in_time", figures->top1_in_time, 6);
    cli_json_real(line, "bytes_per_picture", figures->bytes_per_picture, 1);
    cli_json_real(line, "bytes_per_device_day", figures->bytes_per_day, 0);
    cli_json_real(line, "probe_share", figures->probe_share, 6);
    cli_json_real(line, "joules_per_picture", figures->joules_per_picture, 6);
    cli_json_open(line, "shares", '[');
    for (uint16_t i = 0; i < view->subject->point_count; i++) {
        if (!(figures->shares[i] > 0))
            continue;
        cli_json_open(line, NULL, '{');
        cli_json_text(line, "point", view->subject->points[i].id);
        cli_json_real(line, "share", figures->shares[i], 6);
        cli_json_close(line, '}');
    }
    cli_json_close(line, ']');
    write_server(line, view, figures);
    cli_json_open(line, "month", '{');
    cli_json_real(line, "compute", figures->compute_price, 2);
    cli_json_real(line, "traffic", figures->traffic_price, 2);
    cli_json_close(line, '}');
    cli_json_close(line, '}');
}

void view_print_json(const struct view *view)
{
    const struct simulate_options *options = view->options;
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '{');
    cli_json_text(&line, "model", view->subject->name);
    cli_json_text(&line, "version", view->subject->version);
    cli_json_text(&line, "device", view->subject->device_source);
    cli_json_text(&line, "core", view->subject->server_source);
    cli_json_real(&line, "decode_ms", view->subject->costs.decode_ms, 3);
    write_points(&line, view->subject);
    cli_json_text(&line, "link", view->trace->name);
    cli_json_real(&line, "mbit_per_s", trace_mean_mbit_per_s(view->trace), 3);
    cli_json_real(&line, "rtt_ms", view->trace->rtt_ms, 3);
    cli_json_real(&line, "devices", options->devices, 0);
    cli_json_real(&line, "rate", options->rate, 4);
    cli_json_real(&line, "seconds", options->seconds, 1);
    cli_json_real(&line, "deadline_ms",
                  options->deadline_ms > 0 ? options->deadline_ms : -1, 0);
    cli_json_real(&line, "seed", options->seed, 0);
    cli_json_open(&line, "ways", '[');
    for (unsigned i = 0; i < view->way_count; i++)
        write_way(&line, view, &view->ways[i]);
    cli_json_close(&line, ']');
    cli_json_close(&line, '}');
    putchar('\n');
}
