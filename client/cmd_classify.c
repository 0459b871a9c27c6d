/* cleave classify: what is on pictures. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/files.h"
#include "client/json_line.h"

#define FILE_COLUMN_MOST 40

static void print_help(FILE *out)
{
    fputs(
        "Usage: cleave classify [OPTION]... FILE...\n"
        "\n"
        "Say what is on JPEG files, by what the server and this device can do "
        "together.\n"
        "A FILE \"-\" is one JPEG from standard input; a directory stands for "
        "its *.jpg\n"
        "and *.jpeg files. One line comes for each file, as soon as it is "
        "known.\n"
        "\n"
        "  --server URL      of cleaved ($CLEAVE_SERVER or "
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
        "  --deadline-ms N   answer each file within N milliseconds; auto then "
        "takes\n"
        "                    the most accurate point that meets it\n"
        "  --timeout-ms N    give a request up after N milliseconds (10000)\n"
        "  --top K           classes to show, 1 to 100 (5 in JSON, else 1)\n"
        "  --bundle FILE     run this bundle here instead of the server's\n"
        "  --cache DIR       keep fetched bundles there "
        "(~/.cache/cleave)\n"
        "  --json            one JSON object a line: file, point, via, "
        "reason,\n"
        "                    bytes_sent, device_ms, link_ms, server_ms and "
        "top:\n"
        "                    [{index, label, probability}]; or file and "
        "error\n"
        "  --help            show this help\n"
        "\n"
        "When the server does not answer, the device answers by itself and "
        "the reason\n"
        "says so.\n"
        "\n"
        "Exit status: 0 every file was answered, 1 some could not be or "
        "nothing could\n"
        "begin, 2 wrong usage.\n",
        out);
}

static void print_json(const char *file, const struct cleave_result *result)
{
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '{');
    cli_json_text(&line, "file", file);
    cli_json_text(&line, "point", result->point);
    cli_json_text(&line, "via", cleave_via_name(result->via));
    cli_json_text(&line, "reason", result->reason);
    cli_json_whole(&line, "bytes_sent", result->bytes_sent);
    cli_json_real(&line, "device_ms", result->device_ms, 3);
    cli_json_real(&line, "link_ms", result->link_ms, 3);
    cli_json_real(&line, "server_ms", result->server_ms, 3);
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

static void print_json_error(const char *file, const char *why)
{
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '{');
    cli_json_text(&line, "file", file);
    cli_json_text(&line, "error", why);
    cli_json_close(&line, '}');
    putchar('\n');
}

/* Control characters in a file's name must not reach the terminal. */
static void print_plain(const char *text, int width)
{
    int printed = 0;
    for (; *text; text++, printed++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text);
    for (; printed < width; printed++)
        putchar(' ');
}

static int file_width(const struct cli_files *files)
{
    int width = 4;
    for (size_t i = 0; i < files->count; i++) {
        size_t bytes = strlen(files->paths[i]);
        if (bytes > (size_t)width)
            width = bytes < FILE_COLUMN_MOST ? (int)bytes : FILE_COLUMN_MOST;
    }
    return width;
}

static void print_row(const char *file, int width,
                      const struct cleave_result *result)
{
    print_plain(file, width);
    printf("  %-18s %9zu %9.1f %8.1f %9.1f  ", result->point,
           result->bytes_sent, result->device_ms, result->link_ms,
           result->server_ms);
    for (unsigned i = 0; i < result->top_count; i++) {
        if (i > 0)
            fputs(", ", stdout);
        print_plain(result->top[i].label, 0);
        printf(" %.1f %%", 100 * result->top[i].probability);
    }
    fputs("  (", stdout);
    print_plain(result->reason, 0);
    fputs(")\n", stdout);
}

static void print_row_error(const char *file, int width, const char *why)
{
    print_plain(file, width);
    fputs("  error: ", stdout);
    print_plain(why, 0);
    putchar('\n');
}

/* False if the file got no answer. */
static bool classify_file(struct cleave *handle,
                          const struct cmd_options *options, const char *file,
                          int width, struct cleave_result *result)
{
    unsigned char *jpeg = NULL;
    size_t jpeg_bytes = 0;
    struct cleave_error error;
    const char *why = cli_files_read(file, &jpeg, &jpeg_bytes);
    if (!why &&
        cleave_classify(handle, jpeg, jpeg_bytes, options->point,
                        options->deadline_ms, result, &error) != CLEAVE_OK)
        why = error.text;
    free(jpeg);
    if (options->json && why)
        print_json_error(file, why);
    else if (options->json)
        print_json(file, result);
    else if (why)
        print_row_error(file, width, why);
    else
        print_row(file, width, result);
    return !why;
}

static int classify_files(struct cleave *handle,
                          const struct cmd_options *options,
                          const struct cli_files *files)
{
    int status = CMD_OK;
    int width = file_width(files);
    struct cleave_result *result = malloc(sizeof *result);
    if (!result) {
        cmd_complain("out of memory");
        return CMD_FAILED;
    }
    if (!options->json)
        printf("%-*s  %-18s %9s %9s %8s %9s  %s\n", width, "file", "point",
               "bytes", "device ms", "link ms", "server ms",
               "answer (and why by this point)");
    for (size_t i = 0; i < files->count; i++) {
        if (!classify_file(handle, options, files->paths[i], width, result))
            status = CMD_FAILED;
        /* Whoever reads along wants each line at once, and nobody reads any
         * more after a failure to write. */
        if (cmd_finish(CMD_OK) != CMD_OK) {
            status = CMD_FAILED;
            break;
        }
    }
    free(result);
    return status;
}

int cmd_classify(int argc, char **argv)
{
    struct cmd_options options;
    int status = CMD_OK;
    if (!cmd_parse(argc, argv, "smbcpdtkj", print_help, &options, &status))
        return status;
    if (optind == argc) {
        cmd_complain("classify needs a file");
        fputs("Try \"cleave classify --help\".\n", stderr);
        return CMD_USAGE;
    }
    if (!options.json && !options.top_given)
        options.open.top = 1;
    struct cli_files files = {0};
    struct cleave *handle = NULL;
    for (int i = optind; i < argc; i++) {
        if (!cli_files_add(&files, argv[i])) {
            cmd_complain("out of memory");
            status = CMD_FAILED;
            goto out;
        }
    }
    status = cmd_open(&options, &handle);
    if (status == CMD_OK)
        status = classify_files(handle, &options, &files);
out:
    cleave_close(&handle);
    cli_files_free(&files);
    return status;
}
