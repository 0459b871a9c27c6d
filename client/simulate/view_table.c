/* What a simulation predicts, as a table with bars, for people. */
#include <math.h>
#include <stdio.h>

#include "client/simulate/view.h"

#define BAR_COLUMNS 40
#define LINE_COLUMNS 72
#define STEPS 10

void view_timeline(const struct view *view, unsigned columns,
                   double *mbit_per_s, double *latency_ms)
{
    const struct fleet_result *first = &view->ways[0].result;
    double part_ms = first->span_ms / columns;
    uint64_t pictures = first->pictures / (uint64_t)view->options->devices;
    double period_ms = first->span_ms / (double)pictures;
    uint64_t at = 0;
    for (unsigned i = 0; i < columns; i++) {
        mbit_per_s[i] =
            trace_part_mbit_per_s(view->trace, i * part_ms, part_ms);
        double sum_ms = 0, count = 0;
        for (; at < pictures && (double)at * period_ms < (i + 1) * part_ms;
             at++) {
            if (first->point[at] == FLEET_DROPPED)
                continue;
            sum_ms += (double)first->latency_ms[at];
            count++;
        }
        latency_ms[i] = count > 0 ? sum_ms / count : -1;
    }
}

static void print_subject(const struct view *view)
{
    const struct simulate_options *options = view->options;
    const struct subject *subject = view->subject;
    printf("%s %s; device: %s", subject->name, subject->version,
           subject->device_source);
    if (options->device_factor < 1 || options->device_factor > 1)
        printf(" x %g", options->device_factor);
    printf("; a core: %s", subject->server_source);
    if (options->server_factor < 1 || options->server_factor > 1)
        printf(" x %g", options->server_factor);
    printf("\n%g device%s, %g picture%s a second each, %g s\n",
           options->devices, options->devices > 1 ? "s" : "", options->rate,
           options->rate > 1 || options->rate < 1 ? "s" : "", options->seconds);
    printf("link %s: %.2f Mbit/s on average, round trip %g ms",
           view->trace->name, trace_mean_mbit_per_s(view->trace),
           view->trace->rtt_ms);
    if (options->deadline_ms > 0)
        printf("; deadline %g ms", options->deadline_ms);
    putchar('\n');
}

/* Right-aligned, or a dash where there is none. */
static void print_cell(int width, int digits, double value)
{
    if (value < 0)
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, digits, value);
}

static double price_of(const struct plan_figures *figures)
{
    if (figures->compute_price < 0 && figures->traffic_price < 0)
        return -1;
    return fmax(figures->compute_price, 0) + fmax(figures->traffic_price, 0);
}

static void print_way(const struct view *view, const struct view_way *way)
{
    const struct plan_figures *figures = &way->figures;
    printf("%-14s", way->name);
    print_cell(8, 1, figures->p50_ms);
    print_cell(8, 1, figures->p95_ms);
    print_cell(8, 1, figures->p99_ms);
    print_cell(8, 2,
               view->options->deadline_ms > 0 ? 100 * figures->missed : -1);
    print_cell(8, 2, 100 * figures->dropped);
    print_cell(7, 1, 100 * figures->top1_in_time);
    print_cell(8, 0, figures->bytes_per_picture);
    print_cell(8, 1, figures->bytes_per_day / 1e6);
    print_cell(7, 2, figures->load);
    if (!figures->cores_suffice && !(view->options->cores > 0) &&
        figures->cores > 0)
        printf(" %3s%u", ">", figures->cores);
    else
        printf(" %6u", figures->cores);
    print_cell(8, 1, figures->wait_p95_ms);
    print_cell(8, 2, 100 * (figures->refused + figures->given_up));
    print_cell(9, 2, price_of(figures));
    putchar('\n');
}

static void print_bar(double share)
{
    int filled = (int)lround(share * BAR_COLUMNS);
    for (int i = 0; i < filled; i++)
        putchar('#');
    putchar('\n');
}

static void print_shares(const struct view *view)
{
    const struct view_way *way = &view->ways[0];
    printf("\nanswered by, %s\n", way->name);
    for (uint16_t i = 0; i < view->subject->point_count; i++) {
        if (way->figures.shares[i] > 0) {
            printf("  %-20s %6.2f %%  ", view->subject->points[i].id,
                   100 * way->figures.shares[i]);
            print_bar(way->figures.shares[i]);
        }
    }
}

/* Answers in ten steps up to the 99 % quantile, and those beyond. */
static void print_distribution(const struct view *view)
{
    const struct view_way *way = &view->ways[0];
    const struct fleet_result *result = &way->result;
    double step_ms = way->figures.p99_ms / STEPS;
    double counts[STEPS + 1] = {0};
    if (!(step_ms > 0))
        return;
    for (uint64_t i = 0; i < result->pictures; i++) {
        if (result->point[i] != FLEET_DROPPED)
            counts[(size_t)fmin((double)result->latency_ms[i] / step_ms,
                                STEPS)]++;
    }
    printf("\nlatency in ms, %s\n", way->name);
    for (int i = 0; i <= STEPS; i++) {
        double share = counts[i] / (double)result->answered;
        printf("  %s %12.1f      %6.2f %%  ", i < STEPS ? "below " : "beyond",
               (i < STEPS ? i + 1 : i) * step_ms, 100 * share);
        print_bar(share);
    }
}

/* One character of eight heights for each value; a blank below 0. */
static void print_line(const char *title, const double *values, double most)
{
    printf("  %-14s ", title);
    for (int i = 0; i < LINE_COLUMNS; i++) {
        static const char *const blocks[] = {"▁", "▂", "▃", "▄",
                                             "▅", "▆", "▇", "█"};
        double height = most > 0 ? values[i] / most * 8 : 0;
        fputs(values[i] < 0 ? " " : blocks[(size_t)fmin(height, 7)], stdout);
    }
    putchar('\n');
}

static void print_timeline(const struct view *view)
{
    double mbit_per_s[LINE_COLUMNS], latency_ms[LINE_COLUMNS];
    double most_mbit = 0, most_ms = 0;
    view_timeline(view, LINE_COLUMNS, mbit_per_s, latency_ms);
    for (int i = 0; i < LINE_COLUMNS; i++) {
        most_mbit = fmax(most_mbit, mbit_per_s[i]);
        most_ms = fmax(most_ms, latency_ms[i]);
    }
    printf("\nthe first device over time, %s; up to %.2f Mbit/s, %.0f ms\n",
           view->ways[0].name, most_mbit, most_ms);
    print_line("link", mbit_per_s, most_mbit);
    print_line("latency", latency_ms, most_ms);
}

void view_print_table(const struct view *view)
{
    print_subject(view);
    printf("\n%-14s %8s %8s %8s %8s %8s %7s %8s %8s %7s %6s %8s %8s %9s\n",
           "way", "p50 ms", "p95 ms", "p99 ms", "missed %", "dropped%",
           "top-1 %", "bytes", "MB/day", "busy", "cores", "wait p95",
           "failed %", "a month");
    for (unsigned i = 0; i < view->way_count; i++)
        print_way(view, &view->ways[i]);
    print_shares(view);
    print_distribution(view);
    print_timeline(view);
}
