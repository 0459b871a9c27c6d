/* cleave run: what is on pictures. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/pipeline.h"
#include "client/stop.h"

#define FILE_COLUMN_MOST 40
#define IN_FLIGHT 3u

static void print_help(FILE *out)
{
    fputs(
        "Usage: cleave run [OPTION]... FILE...\n"
        "  or:  cleave run [OPTION]... --watch DIR\n"
        "  or:  COMMAND | cleave run [OPTION]... -\n"
        "\n"
        "Say what is on JPEG pictures, by what servers and this device can do "
        "together.\n"
        "A directory stands for its *.jpg and *.jpeg files; \"-\" is a stream "
        "of JPEGs on\n"
        "standard input, one behind the other, as \"ffmpeg -f mjpeg\" and "
        "cameras write\n"
        "them. While one picture is sent, the next is on the device. Answers "
        "come in the\n"
        "order of the pictures, each as soon as it is known: lines of a table "
        "on a\n"
        "terminal, JSON elsewhere.\n"
        "\n"
        "  --server URL      of cleaved; again for servers to ask, in this "
        "order, when\n"
        "                    it does not answer ($CLEAVE_SERVER or "
        "http://127.0.0.1:8080)\n"
        "  --model NAME      ask for this model (the server's default)\n"
        "  --point POINT     how to get the answer:\n"
        "                      auto     what is predicted to be best "
        "(default)\n"
        "                      offload  send the JPEG\n"
        "                      split    run the best head here, send its "
        "features\n"
        "                      local    run everything here\n"
        "                      ID       this point of \"cleave points\"\n"
        "  --watch DIR       then wait for new files in this directory; one "
        "counts when\n"
        "                    its writer closes it or moves it there\n"
        "  --latest          of a stream's or watched pictures that wait, keep "
        "the\n"
        "                    newest only\n"
        "  --in-flight N     pictures in progress at once, 1 to 64 (3)\n"
        "  --deadline-ms N   answer each picture within N milliseconds of its "
        "turn; auto\n"
        "                    then takes the most accurate point that meets it\n"
        "  --hedge           begin the device's own answer while the server's "
        "may still\n"
        "                    come, and take the first; it costs the device's "
        "time\n"
        "  --objective WHAT  of auto: latency (default; with a deadline: "
        "accuracy),\n"
        "                    accuracy, or energy, the fewest joules\n"
        "  --bytes-per-picture N\n"
        "                    a data plan: auto sends at most N bytes a picture "
        "on average\n"
        "  --power CPU,BYTE  the energy model: joules per CPU-second and per "
        "byte sent\n"
        "                    (1.2,5e-6: a Raspberry Pi 4 on Wi-Fi, a guess)\n"
        "  --timeout-ms N    give a request up after N milliseconds (10000)\n"
        "  --top K           classes to show, 1 to 100 (5 in JSON, else 1)\n"
        "  --bundle FILE     run this bundle here instead of the server's\n"
        "  --cache DIR       keep fetched bundles there "
        "(~/.cache/cleave)\n"
        "  --metrics-file F  keep counts in this file, every second, for the "
        "textfile\n"
        "                    collector of node_exporter\n"
        "  --json            JSON on a terminal, too; one object a line: file, "
        "frame of a\n"
        "                    stream, dropped (pictures before this one, by "
        "--latest),\n"
        "                    point, via (offload, split, exit: a split "
        "point's, not\n"
        "                    sent, local), reason, server (if several), "
        "bytes_sent,\n"
        "                    device_ms, link_ms, server_ms, joules (of the "
        "device, by\n"
        "                    the energy model), machine_joules (of all that "
        "ran, by the\n"
        "                    machine's meter, or null), total_ms and top:\n"
        "                    [{index, label, probability}]; or file, frame, "
        "dropped and\n"
        "                    error\n"
        "  --help            show this help\n"
        "\n"
        "When no server answers, the device answers by itself and the reason "
        "says so.\n"
        "SIGINT and SIGTERM end the reading; what was read is answered.\n"
        "\n"
        "Exit status: 0 every picture was answered, 1 some could not be or "
        "nothing could\n"
        "begin, 2 wrong usage.\n",
        out);
}

/* Shows the handle's log as it comes, unless a bar stands there. */
static void on_log(void *context, enum cleave_level level, const char *text)
{
    const struct cli_report *report = context;
    if (level == CLEAVE_WARNING && !report->progress)
        cmd_complain("%s", text);
}

static int run_source(const struct cmd_options *options,
                      struct cli_source *source, struct cleave *handle,
                      struct cli_report *report)
{
    struct cli_metrics metrics = {.points = 0};
    const struct cli_pipeline_plan plan = {.source = source,
                                           .handle = handle,
                                           .point = options->point,
                                           .deadline_ms = options->deadline_ms,
                                           .in_flight = options->open.threads,
                                           .latest = options->latest,
                                           .report = report,
                                           .metrics = &metrics,
                                           .metrics_path =
                                               options->metrics_path};
    if (plan.metrics_path && !cli_metrics_write(&metrics, plan.metrics_path)) {
        cmd_complain("cannot write %s: %s", plan.metrics_path, strerror(errno));
        return CMD_FAILED;
    }
    return cli_pipeline_run(&plan) ? CMD_OK : CMD_FAILED;
}

int cmd_run(int argc, char **argv)
{
    struct cmd_options options;
    int status = CMD_OK;
    if (!cmd_parse(argc, argv, "smbcpdtkjiwlfoyeg", print_help, &options,
                   &status))
        return status;
    if (optind == argc && !options.watch) {
        cmd_complain("run needs a file");
        fputs("Try \"cleave run --help\".\n", stderr);
        return CMD_USAGE;
    }
    bool terminal = isatty(STDOUT_FILENO);
    struct cli_report report = {
        .json = options.json || !terminal,
        .progress = isatty(STDERR_FILENO),
        .servers = options.server_count > 1 ? options.servers : NULL};
    if (!report.json && !options.top_given)
        options.open.top = 1;
    if (options.open.threads == 0)
        options.open.threads = IN_FLIGHT;
    options.open.log = on_log;
    options.open.log_context = &report;
    char why[160];
    struct cleave *handle = NULL;
    struct cli_source *source = NULL;
    if (!cli_stop_install()) {
        cmd_complain("signals cannot be set up: %s", strerror(errno));
        return CMD_FAILED;
    }
    source = cli_source_open(argv + optind, (size_t)(argc - optind),
                             options.watch, why);
    if (!source) {
        cmd_complain("%s", why);
        return CMD_FAILED;
    }
    report.name_width = cli_source_name_width(source, FILE_COLUMN_MOST);
    report.total = cli_source_total(source);
    status = cmd_open(&options, &handle);
    if (status == CMD_OK)
        status = run_source(&options, source, handle, &report);
    cleave_close(&handle);
    cli_source_close(&source);
    return status;
}
