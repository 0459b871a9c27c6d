/* cleave explain: what the last decision was made from. */
#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include "client/cmd.h"
#include "client/json_line.h"

static void print_help(FILE *out)
{
    fputs(
        "Usage: cleave explain [OPTION]...\n"
        "\n"
        "Show the table that the last \"auto\" decision was made from: what "
        "each\n"
        "operating point was predicted to do for that picture, and why it was "
        "taken or\n"
        "not. The table is kept in the cache; no server is asked. A running "
        "process\n"
        "keeps one every ten seconds, and its last one when it ends.\n"
        "\n"
        "  --server URL      of cleaved ($CLEAVE_SERVER or "
        "http://127.0.0.1:8080)\n"
        "  --model NAME      of this model (the server's default)\n"
        "  --cache DIR       bundles and decisions are kept there "
        "(~/.cache/cleave)\n"
        "  --json            one JSON object: unix_ms, objective, reason, "
        "deadline_ms,\n"
        "                    jpeg_bytes, rtt_ms, ms_per_kb and points: "
        "[{id, verdict,\n"
        "                    expected_ms, p95_ms, in_time, bytes, joules, "
        "top1, stays}]\n"
        "  --help            show this help\n"
        "\n"
        "Exit status: 0 shown, 1 cannot be written, 2 wrong usage or none "
        "kept.\n",
        out);
}

static void print_json(const struct cleave_decision *decision)
{
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '{');
    cli_json_whole(&line, "unix_ms", (uint64_t)decision->unix_ms);
    cli_json_text(&line, "objective", decision->objective);
    cli_json_text(&line, "reason", decision->reason);
    cli_json_real(&line, "deadline_ms",
                  decision->deadline_ms > 0 ? decision->deadline_ms : -1, 3);
    cli_json_whole(&line, "jpeg_bytes", decision->jpeg_bytes);
    cli_json_real(&line, "rtt_ms", decision->rtt_ms, 3);
    cli_json_real(&line, "ms_per_kb", decision->ms_per_kb, 3);
    cli_json_open(&line, "points", '[');
    for (unsigned i = 0; i < decision->forecast_count; i++) {
        const struct cleave_forecast *row = &decision->forecasts[i];
        cli_json_open(&line, NULL, '{');
        cli_json_text(&line, "id", row->point);
        cli_json_text(&line, "verdict", row->verdict);
        cli_json_real(&line, "expected_ms", row->expected_ms, 3);
        cli_json_real(&line, "p95_ms", row->p95_ms, 3);
        cli_json_real(&line, "in_time", row->in_time, 3);
        cli_json_real(&line, "bytes", row->bytes, 0);
        cli_json_real(&line, "joules", row->joules, 6);
        cli_json_real(&line, "top1", row->top1, 4);
        cli_json_real(&line, "stays", row->stays, 4);
        cli_json_close(&line, '}');
    }
    cli_json_close(&line, ']');
    cli_json_close(&line, '}');
    putchar('\n');
}

static void print_table(const struct cleave_decision *decision)
{
    char when[32] = "";
    time_t seconds = (time_t)(decision->unix_ms / 1000);
    struct tm local;
    if (localtime_r(&seconds, &local))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    printf("%s, objective %s", when, decision->objective);
    if (decision->deadline_ms > 0)
        printf(" within %.0f ms", decision->deadline_ms);
    printf(": %s\n", decision->reason);
    printf("JPEG %zu bytes; link: round trip %.1f ms", decision->jpeg_bytes,
           decision->rtt_ms);
    if (decision->ms_per_kb > 0)
        printf(", up %.2f Mbit/s", 8 / decision->ms_per_kb);
    printf("\n\n%-20s %9s %9s %8s %8s %9s %8s %7s  %s\n", "point", "mean ms",
           "p95 ms", "in time", "bytes", "joules", "top-1 %", "exit %",
           "verdict");
    for (unsigned i = 0; i < decision->forecast_count; i++) {
        const struct cleave_forecast *row = &decision->forecasts[i];
        printf("%-20s %9.1f %9.1f %8.2f %8.0f %9.4f", row->point,
               row->expected_ms, row->p95_ms, row->in_time, row->bytes,
               row->joules);
        if (row->top1 < 0)
            printf(" %8s", "-");
        else
            printf(" %8.1f", 100 * row->top1);
        if (row->stays > 0)
            printf(" %7.1f", 100 * row->stays);
        else
            printf(" %7s", "-");
        printf("  %s\n", row->verdict);
    }
}

int cmd_explain(int argc, char **argv)
{
    struct cmd_options options;
    int status = CMD_OK;
    if (!cmd_parse(argc, argv, "smcj", print_help, &options, &status))
        return status;
    if (optind != argc) {
        cmd_complain("explain takes no file");
        return CMD_USAGE;
    }
    struct cleave_decision *decision = malloc(sizeof *decision);
    struct cleave_error error;
    if (!decision) {
        cmd_complain("out of memory");
        return CMD_FAILED;
    }
    enum cleave_status explained =
        cleave_explain(&options.open, decision, &error);
    if (explained != CLEAVE_OK)
        cmd_complain("%s", error.text);
    else if (options.json)
        print_json(decision);
    else
        print_table(decision);
    free(decision);
    return explained == CLEAVE_OK ? cmd_finish(CMD_OK)
                                  : cmd_exit_status(explained);
}
