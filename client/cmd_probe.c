/* cleave probe: how the link to the server is. */
#include <getopt.h>

#include "client/cmd.h"
#include "client/json_line.h"

static void print_help(FILE *out)
{
    fputs("Usage: cleave probe [OPTION]...\n"
          "\n"
          "Measure the round trip to the server and the throughput in both "
          "directions,\n"
          "with their spread. The server's own time is subtracted.\n"
          "\n"
          "  --server URL      of cleaved ($CLEAVE_SERVER or "
          "http://127.0.0.1:8080)\n"
          "  --samples N       of each kind, 1 to 100 (10)\n"
          "  --timeout-ms N    give a request up after N milliseconds (10000)\n"
          "  --json            one JSON object: samples, rtt_ms {min, median, "
          "p95},\n"
          "                    up_bps {median, p05}, down_bps {median, p05}\n"
          "  --help            show this help\n"
          "\n"
          "Exit status: 0 measured, 1 no answer, 2 wrong usage.\n",
          out);
}

static void print_json(const struct cleave_link *link)
{
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '{');
    cli_json_whole(&line, "samples", link->samples);
    cli_json_open(&line, "rtt_ms", '{');
    cli_json_real(&line, "min", link->rtt_ms_min, 3);
    cli_json_real(&line, "median", link->rtt_ms_median, 3);
    cli_json_real(&line, "p95", link->rtt_ms_p95, 3);
    cli_json_close(&line, '}');
    cli_json_open(&line, "up_bps", '{');
    cli_json_real(&line, "median", link->up_bps_median, 0);
    cli_json_real(&line, "p05", link->up_bps_p05, 0);
    cli_json_close(&line, '}');
    cli_json_open(&line, "down_bps", '{');
    cli_json_real(&line, "median", link->down_bps_median, 0);
    cli_json_real(&line, "p05", link->down_bps_p05, 0);
    cli_json_close(&line, '}');
    cli_json_close(&line, '}');
    putchar('\n');
}

static void print_table(const struct cleave_link *link)
{
    printf("round trip  %9.2f ms median   %9.2f ms p95   %9.2f ms least\n",
           link->rtt_ms_median, link->rtt_ms_p95, link->rtt_ms_min);
    printf("up          %9.2f Mbit/s      %9.2f Mbit/s p05\n",
           link->up_bps_median * 1e-6, link->up_bps_p05 * 1e-6);
    printf("down        %9.2f Mbit/s      %9.2f Mbit/s p05\n",
           link->down_bps_median * 1e-6, link->down_bps_p05 * 1e-6);
    printf("(%u samples of each)\n", link->samples);
}

int cmd_probe(int argc, char **argv)
{
    struct cmd_options options;
    int status = CMD_OK;
    if (!cmd_parse(argc, argv, "sntj", print_help, &options, &status))
        return status;
    if (optind != argc) {
        cmd_complain("probe takes no file");
        return CMD_USAGE;
    }
    options.open.no_bundle = 1;
    struct cleave *handle = NULL;
    status = cmd_open(&options, &handle);
    if (status != CMD_OK)
        return status;
    struct cleave_link link;
    struct cleave_error error;
    enum cleave_status probed =
        cleave_probe(handle, options.samples, &link, &error);
    cleave_close(&handle);
    if (probed != CLEAVE_OK) {
        cmd_complain("%s", error.text);
        return cmd_exit_status(probed);
    }
    if (options.json)
        print_json(&link);
    else
        print_table(&link);
    return cmd_finish(CMD_OK);
}
