/* What a simulation predicts, as an SVG of three panels. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/simulate/view.h"

#define WIDTH 900.0
#define LEFT 70.0
#define RIGHT 870.0
#define LINK_COLUMNS 200
#define CURVE_STEPS 200
#define DOTS_MOST 2000u
#define BAR_HEIGHT 22.0

/* A scale from values to pixels; below `from` and above `to` it is cut. */
struct axis {
    double from, to;         /* values; from > 0 if is_log */
    double begin_px, end_px; /* where they lie */
    bool is_log;
};

static const char *const curve_colours[SIMULATE_WAYS_MOST] = {
    "#1b6ca8", "#d95f02", "#777777", "#1b9e77",
    "#7570b3", "#e7298a", "#a6761d", "#333333"};

static double place(const struct axis *axis, double value)
{
    value = fmin(fmax(value, axis->from), axis->to);
    double share = axis->is_log
                       ? log(value / axis->from) / log(axis->to / axis->from)
                       : (value - axis->from) / (axis->to - axis->from);
    return axis->begin_px + share * (axis->end_px - axis->begin_px);
}

/* File names and ids are somebody else's text. */
static void write_plain(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&' ||
            (unsigned char)*text < ' ' || *text == 0x7F)
            fputc('?', out);
        else
            fputc(*text, out);
    }
}

__attribute__((format(printf, 5, 6))) static void
write_text(FILE *out, double x, double y, const char *anchor,
           const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y,
            anchor);
    write_plain(out, text);
    fputs("</text>\n", out);
}

static void write_rule(FILE *out, double x1, double y1, double x2, double y2,
                       const char *colour)
{
    fprintf(out,
            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
            "stroke=\"%s\"/>\n",
            x1, y1, x2, y2, colour);
}

/* 1, 2 or 5 times a power of ten: about a quarter of `range`. */
static double round_step(double range)
{
    double power = pow(10, floor(log10(range / 4)));
    double share = range / 4 / power;
    return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
}

static void write_tick(FILE *out, const struct axis *axis, double value,
                       bool is_across, double beside_px, double until_px,
                       const char *unit)
{
    double at = place(axis, value);
    if (is_across) {
        write_rule(out, at, beside_px, at, until_px, "#eee");
        write_text(out, at, beside_px + 14, "middle", "%g%s", value, unit);
    } else {
        write_rule(out, beside_px, at, until_px, at, "#eee");
        write_text(out, beside_px - 6, at + 4, "end", "%g%s", value, unit);
    }
}

/* Round steps on a linear axis; 1, 2, 5, 10, … on a logarithmic one. */
static void write_ticks(FILE *out, const struct axis *axis, bool is_across,
                        double beside_px, double until_px, const char *unit)
{
    double power = axis->is_log ? pow(10, floor(log10(axis->from))) : 0;
    double step = round_step(axis->to - axis->from);
    for (double value = axis->from; !axis->is_log && value <= axis->to;
         value += step)
        write_tick(out, axis, value, is_across, beside_px, until_px, unit);
    for (; axis->is_log && power <= axis->to; power *= 10) {
        static const double parts[] = {1, 2, 5};
        for (int i = 0; i < 3; i++) {
            double value = parts[i] * power;
            if (value >= axis->from && value <= axis->to)
                write_tick(out, axis, value, is_across, beside_px, until_px,
                           unit);
        }
    }
}

static const char *colour_of(enum api_point_kind kind)
{
    return kind == API_POINT_OFFLOAD ? "#d95f02"
           : kind == API_POINT_LOCAL ? "#777777"
                                     : "#1b9e77";
}

/* The first device: its link as an area, its pictures as dots. */
static void write_timeline(FILE *out, const struct view *view)
{
    double mbit_per_s[LINK_COLUMNS], latency_ms[LINK_COLUMNS], most_mbit = 0;
    const struct view_way *way = &view->ways[0];
    const struct fleet_result *result = &way->result;
    uint64_t pictures = result->pictures / (uint64_t)view->options->devices;
    double span_s = result->span_ms / 1000;
    double top_ms = fmax(1.25 * way->figures.p99_ms, 1);
    const struct axis across = {0, span_s, LEFT, RIGHT, false};
    const struct axis up = {0, top_ms, 220, 40, false};
    view_timeline(view, LINK_COLUMNS, mbit_per_s, latency_ms);
    for (int i = 0; i < LINK_COLUMNS; i++)
        most_mbit = fmax(most_mbit, mbit_per_s[i]);
    const struct axis link = {0, fmax(most_mbit, 1e-3), 220, 40, false};
    write_text(out, LEFT, 26, "start",
               "The first device over time, %s: latency in ms; grey: link %s, "
               "up to %.2f Mbit/s",
               way->name, view->trace->name, most_mbit);
    fprintf(out, "<path fill=\"#dde3ea\" d=\"M%.1f 220", LEFT);
    for (int i = 0; i < LINK_COLUMNS; i++)
        fprintf(out, "L%.1f %.1fL%.1f %.1f",
                place(&across, span_s * i / LINK_COLUMNS),
                place(&link, mbit_per_s[i]),
                place(&across, span_s * (i + 1) / LINK_COLUMNS),
                place(&link, mbit_per_s[i]));
    fprintf(out, "L%.1f 220Z\"/>\n", RIGHT);
    write_ticks(out, &up, false, LEFT, RIGHT, "");
    write_ticks(out, &across, true, 220, 220, " s");
    uint64_t step = pictures / DOTS_MOST + 1;
    for (uint64_t i = 0; i < pictures; i += step) {
        if (result->point[i] == FLEET_DROPPED)
            continue;
        double at_s = span_s * (double)i / (double)pictures;
        fprintf(out,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.8\" fill=\"%s\"/>\n",
                place(&across, at_s), place(&up, (double)result->latency_ms[i]),
                colour_of(view->subject->points[result->point[i]].kind));
    }
}

/* Which share of answers takes how long, by every way. */
static void write_curves(FILE *out, const struct view *view)
{
    double least = INFINITY, most = 1;
    for (unsigned i = 0; i < view->way_count; i++) {
        least = fmin(least, view->ways[i].figures.p50_ms / 4);
        most = fmax(most, view->ways[i].figures.p99_ms * 1.5);
    }
    least = fmax(fmin(least, most / 10), 0.1);
    const struct axis across = {least, most, LEFT, RIGHT, true};
    const struct axis up = {0, 100, 470, 290, false}; /* per cent */
    write_text(out, LEFT, 276, "start",
               "Share of the fleet's pictures that are answered within …");
    write_ticks(out, &across, true, 470, 290, " ms");
    write_ticks(out, &up, false, LEFT, RIGHT, " %");
    if (view->options->deadline_ms > 0) {
        double at = place(&across, view->options->deadline_ms);
        write_rule(out, at, 290, at, 470, "#c00");
        write_text(out, at + 4, 300, "start", "deadline");
    }
    for (unsigned i = 0; i < view->way_count; i++) {
        const struct view_way *way = &view->ways[i];
        float *sorted = fleet_sorted_latencies(&way->result);
        if (!sorted)
            continue;
        fprintf(out,
                "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" "
                "points=\"",
                curve_colours[i]);
        double last = (double)way->result.answered - 1;
        for (int step = 0; step <= CURVE_STEPS; step++) {
            double share = (double)step / CURVE_STEPS;
            fprintf(out, "%.1f,%.1f ",
                    place(&across, (double)sorted[(uint64_t)(share * last)]),
                    place(&up, 100 * share));
        }
        fputs("\"/>\n", out);
        fprintf(out, "<g fill=\"%s\">", curve_colours[i]);
        write_text(out, LEFT + 8, 306 + 16 * i, "start", "%s", way->name);
        fputs("</g>\n", out);
        free(sorted);
    }
}

/* A bar for each way, one part for each point that made answers. */
static void write_shares(FILE *out, const struct view *view, double top)
{
    const struct axis across = {0, 1, LEFT + 60, RIGHT, false};
    write_text(out, LEFT, top, "start",
               "Answered by (orange: JPEG, green: split, grey: the device)");
    for (unsigned i = 0; i < view->way_count; i++) {
        const struct view_way *way = &view->ways[i];
        double y = top + 12 + (BAR_HEIGHT + 6) * i, from = 0;
        write_text(out, LEFT + 54, y + 15, "end", "%s", way->name);
        for (uint16_t point = 0; point < view->subject->point_count; point++) {
            const struct api_point *info = &view->subject->points[point];
            double share = way->figures.shares[point];
            if (!(share > 0))
                continue;
            double x = place(&across, from), width = place(&across, share);
            width -= across.begin_px;
            fprintf(out,
                    "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                    "height=\"%.0f\" fill=\"%s\" stroke=\"#fff\"/>\n",
                    x, y, width, BAR_HEIGHT, colour_of(info->kind));
            if (share > 0.1) {
                fputs("<g fill=\"#fff\">", out);
                write_text(out, x + width / 2, y + 15, "middle", "%s %.0f %%",
                           info->id, 100 * share);
                fputs("</g>\n", out);
            }
            from += share;
        }
    }
}

bool view_write_chart(const struct view *view, const char *path)
{
    FILE *out = fopen(path, "we");
    if (!out)
        return false;
    double height = 530 + (BAR_HEIGHT + 6) * view->way_count;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n"
            "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height);
    write_timeline(out, view);
    write_curves(out, view);
    write_shares(out, view, 510);
    fputs("</svg>\n", out);
    bool written = !ferror(out);
    return fclose(out) == 0 && written;
}
