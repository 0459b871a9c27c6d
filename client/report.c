/* What a run tells its user: a line a picture, and how far it is. */
#include "client/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/clock.h"
#include "client/json_line.h"

#define BAR_WIDTH 30
#define REDRAW_MS 100.0

static void print_json(const struct cli_report *report,
                       const struct cli_outcome *outcome)
{
    const struct cleave_result *result = outcome->result;
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '{');
    cli_json_text(&line, "file", outcome->picture->name);
    if (outcome->picture->frame > 0)
        cli_json_whole(&line, "frame", outcome->picture->frame);
    if (outcome->dropped > 0)
        cli_json_whole(&line, "dropped", outcome->dropped);
    if (!result) {
        cli_json_text(&line, "error", outcome->why);
        cli_json_close(&line, '}');
        putchar('\n');
        return;
    }
    cli_json_text(&line, "point", result->point);
    cli_json_text(&line, "via", cleave_via_name(result->via));
    cli_json_text(&line, "reason", result->reason);
    if (report->servers &&
        (result->via == CLEAVE_VIA_OFFLOAD || result->via == CLEAVE_VIA_SPLIT))
        cli_json_text(&line, "server", report->servers[result->server]);
    cli_json_whole(&line, "bytes_sent", result->bytes_sent);
    cli_json_real(&line, "device_ms", result->device_ms, 3);
    cli_json_real(&line, "link_ms", result->link_ms, 3);
    cli_json_real(&line, "server_ms", result->server_ms, 3);
    cli_json_real(&line, "joules", result->joules, 6);
    cli_json_real(&line, "machine_joules", result->machine_joules, 6);
    cli_json_real(&line, "total_ms", outcome->total_ms, 3);
    cli_json_open(&line, "top", '[');
    for (unsigned i = 0; i < result->top_count; i++) {
        cli_json_open(&line, NULL, '{');
        cli_json_whole(&line, "index", result->top[i].index);
        cli_json_text(&line, "label", result->top[i].label);
        cli_json_real(&line, "probability", result->top[i].probability, 6);
        cli_json_close(&line, '}');
    }
    cli_json_close(&line, ']');
    cli_json_close(&line, '}');
    putchar('\n');
}

/* Control characters in a file's name must not reach the terminal. */
static int print_plain(const char *text)
{
    int printed = 0;
    for (; *text; text++, printed++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text);
    return printed;
}

static void print_row(const struct cli_report *report,
                      const struct cli_outcome *outcome)
{
    const struct cleave_result *result = outcome->result;
    int printed = print_plain(outcome->picture->name);
    if (outcome->picture->frame > 0)
        printed += printf(" %" PRIu64, outcome->picture->frame);
    for (; printed < report->name_width; printed++)
        putchar(' ');
    if (!result) {
        fputs("  error: ", stdout);
        print_plain(outcome->why);
        putchar('\n');
        return;
    }
    printf("  %-18s %9zu %9.1f %8.1f %9.1f  ", result->point,
           result->bytes_sent, result->device_ms, result->link_ms,
           result->server_ms);
    for (unsigned i = 0; i < result->top_count; i++) {
        if (i > 0)
            fputs(", ", stdout);
        print_plain(result->top[i].label);
        printf(" %.1f %%", 100 * result->top[i].probability);
    }
    fputs("  (", stdout);
    print_plain(result->reason);
    fputs(")\n", stdout);
}

static void take_bar_away(struct cli_report *report)
{
    if (report->bar_stands)
        fputs("\r\033[K", stderr);
    report->bar_stands = false;
}

static void draw_bar(struct cli_report *report)
{
    double now_ms = cli_now_ms();
    if (!report->progress ||
        (now_ms - report->drawn_ms < REDRAW_MS && report->drawn_ms > 0))
        return;
    uint64_t done = report->answered + report->failed;
    double rate = (double)done * 1e3 / (now_ms - report->start_ms + 1e-3);
    fputs("\r\033[K", stderr);
    if (report->total > 0) {
        uint64_t filled = BAR_WIDTH * done / report->total;
        fputc('[', stderr);
        for (uint64_t i = 0; i < BAR_WIDTH; i++)
            fputc(i < filled ? '#' : ' ', stderr);
        fprintf(stderr, "] %" PRIu64 "/%zu", done, report->total);
    } else {
        fprintf(stderr, "%" PRIu64 " pictures", done);
    }
    fprintf(stderr, ", %.1f/s", rate);
    if (report->local > 0)
        fprintf(stderr, ", %" PRIu64 " on the device alone", report->local);
    if (report->exited > 0)
        fprintf(stderr, ", %" PRIu64 " by an early exit", report->exited);
    if (report->failed > 0)
        fprintf(stderr, ", %" PRIu64 " failed", report->failed);
    if (report->dropped > 0)
        fprintf(stderr, ", %" PRIu64 " dropped", report->dropped);
    fflush(stderr);
    report->drawn_ms = now_ms;
    report->bar_stands = true;
}

void cli_report_begin(struct cli_report *report)
{
    report->start_ms = cli_now_ms();
    if (!report->json)
        printf("%-*s  %-18s %9s %9s %8s %9s  %s\n", report->name_width, "file",
               "point", "bytes", "device ms", "link ms", "server ms",
               "answer (and why by this point)");
    draw_bar(report);
}

bool cli_report_add(struct cli_report *report,
                    const struct cli_outcome *outcome)
{
    report->dropped += outcome->dropped;
    if (outcome->result)
        report->answered++;
    else
        report->failed++;
    if (outcome->result && outcome->result->via == CLEAVE_VIA_LOCAL)
        report->local++;
    if (outcome->result && outcome->result->via == CLEAVE_VIA_EXIT)
        report->exited++;
    bool stood = report->bar_stands;
    take_bar_away(report);
    if (report->json)
        print_json(report, outcome);
    else
        print_row(report, outcome);
    /* Whoever reads along wants each line at once. */
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (stood)
        report->drawn_ms = 0;
    draw_bar(report);
    return written;
}

void cli_report_end(struct cli_report *report)
{
    take_bar_away(report);
}
