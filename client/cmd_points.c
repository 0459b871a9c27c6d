/* cleave points: what the server's model offers. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/json_line.h"

#define POINTS_MOST 64u

static void print_help(FILE *out)
{
    fputs("Usage: cleave points [OPTION]...\n"
          "\n"
          "List the operating points of the server's model: what each costs "
          "this device\n"
          "and the link, and how accurate it is on the model's validation "
          "pictures.\n"
          "\n"
          "  --server URL      of cleaved ($CLEAVE_SERVER or "
          "http://127.0.0.1:8080)\n"
          "  --model NAME      of this model (the server's default)\n"
          "  --timeout-ms N    give up after N milliseconds (10000)\n"
          "  --json            a JSON array of objects: id, kind, codec, "
          "width, rate,\n"
          "                    ensemble, latent, head_macs, tail_macs, "
          "bytes_mean,\n"
          "                    bytes_p95, top1, top5, pictures, quality, exit: "
          "{threshold,\n"
          "                    share} or null; null where unmeasured\n"
          "  --help            show this help\n"
          "\n"
          "Exit status: 0 listed, 1 no answer, 2 wrong usage.\n",
          out);
}

static void print_exit(struct cli_json_line *line,
                       const struct cleave_point *point)
{
    if (!(point->exit_threshold > 0)) {
        cli_json_real(line, "exit", -1, 0); /* null */
        return;
    }
    cli_json_open(line, "exit", '{');
    cli_json_real(line, "threshold", point->exit_threshold, 4);
    cli_json_real(line, "share", point->exit_share, 4);
    cli_json_close(line, '}');
}

static void print_json(const struct cleave_point *points, size_t count)
{
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        const struct cleave_point *point = &points[i];
        bool split = strcmp(point->kind, "split") == 0;
        cli_json_open(&line, NULL, '{');
        cli_json_text(&line, "id", point->id);
        cli_json_text(&line, "kind", point->kind);
        cli_json_text(&line, "codec", point->codec);
        cli_json_real(&line, "width", split ? point->width : -1, 4);
        cli_json_text(&line, "rate", point->rate);
        cli_json_whole(&line, "ensemble", point->ensemble);
        cli_json_open(&line, "latent", '[');
        if (split) {
            cli_json_whole(&line, NULL, point->latent_height);
            cli_json_whole(&line, NULL, point->latent_width);
            cli_json_whole(&line, NULL, point->latent_channels);
        }
        cli_json_close(&line, ']');
        cli_json_whole(&line, "head_macs", point->head_macs);
        cli_json_whole(&line, "tail_macs", point->tail_macs);
        cli_json_real(&line, "bytes_mean", point->bytes_mean, 1);
        cli_json_real(&line, "bytes_p95", point->bytes_p95, 1);
        cli_json_real(&line, "top1", point->top1, 4);
        cli_json_real(&line, "top5", point->top5, 4);
        cli_json_whole(&line, "pictures", point->pictures);
        cli_json_whole(&line, "quality", point->quality);
        print_exit(&line, point);
        cli_json_close(&line, '}');
    }
    cli_json_close(&line, ']');
    putchar('\n');
}

/* Right-aligned, or a dash where nothing was measured. */
static void print_measured(int width, int digits, double value)
{
    if (value < 0)
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, digits, value);
}

static void print_table(const struct cleave_point *points, size_t count)
{
    printf("%-20s %-8s %6s %-8s %10s %10s %9s %9s %7s %7s %6s\n", "id", "kind",
           "width", "codec", "head MMAC", "tail MMAC", "bytes", "p95",
           "top-1 %", "top-5 %", "exit %");
    for (size_t i = 0; i < count; i++) {
        const struct cleave_point *point = &points[i];
        bool split = strcmp(point->kind, "split") == 0;
        printf("%-20s %-8s", point->id, point->kind);
        print_measured(6, 2, split ? point->width : -1);
        char codec[24] = "-";
        if (split)
            snprintf(codec, sizeof codec, "%s", point->codec);
        else if (point->quality > 0)
            snprintf(codec, sizeof codec, "jpeg %u", point->quality);
        printf(" %-8s %10.1f %10.1f", codec, (double)point->head_macs * 1e-6,
               (double)point->tail_macs * 1e-6);
        print_measured(9, 0, point->bytes_mean);
        print_measured(9, 0, point->bytes_p95);
        print_measured(7, 1, point->top1 * 100);
        print_measured(7, 1, point->top5 * 100);
        print_measured(
            6, 1, point->exit_threshold > 0 ? point->exit_share * 100 : -1);
        putchar('\n');
    }
}

int cmd_points(int argc, char **argv)
{
    struct cmd_options options;
    int status = CMD_OK;
    if (!cmd_parse(argc, argv, "smtj", print_help, &options, &status))
        return status;
    if (optind != argc) {
        cmd_complain("points takes no file");
        return CMD_USAGE;
    }
    options.open.no_bundle = 1;
    struct cleave *handle = NULL;
    struct cleave_point *points = calloc(POINTS_MOST, sizeof *points);
    size_t count = 0;
    struct cleave_error error;
    status = points ? cmd_open(&options, &handle) : CMD_FAILED;
    if (status != CMD_OK)
        goto out;
    enum cleave_status listed =
        cleave_points(handle, points, POINTS_MOST, &count, &error);
    if (listed != CLEAVE_OK) {
        cmd_complain("%s", error.text);
        status = cmd_exit_status(listed);
        goto out;
    }
    if (count > POINTS_MOST)
        count = POINTS_MOST;
    if (options.json)
        print_json(points, count);
    else
        print_table(points, count);
    status = cmd_finish(CMD_OK);
out:
    cleave_close(&handle);
    free(points);
    return status;
}
