/* Command line options of the program cleave. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"

#define DEFAULT_SAMPLES 10u

/* Every long option of every command; a command allows some by letter. */
static const struct option long_options[] = {
    {"server", required_argument, NULL, 's'},
    {"model", required_argument, NULL, 'm'},
    {"bundle", required_argument, NULL, 'b'},
    {"cache", required_argument, NULL, 'c'},
    {"point", required_argument, NULL, 'p'},
    {"deadline-ms", required_argument, NULL, 'd'},
    {"objective", required_argument, NULL, 'o'},
    {"bytes-per-picture", required_argument, NULL, 'y'},
    {"power", required_argument, NULL, 'e'},
    {"timeout-ms", required_argument, NULL, 't'},
    {"top", required_argument, NULL, 'k'},
    {"in-flight", required_argument, NULL, 'i'},
    {"watch", required_argument, NULL, 'w'},
    {"latest", no_argument, NULL, 'l'},
    {"hedge", no_argument, NULL, 'g'},
    {"metrics-file", required_argument, NULL, 'f'},
    {"samples", required_argument, NULL, 'n'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char *long_name(int letter)
{
    for (size_t i = 0; long_options[i].name; i++) {
        if (long_options[i].val == letter)
            return long_options[i].name;
    }
    return "?";
}

/* A whole number from `least` to `most`, nothing else. */
static bool read_number(int letter, const char *text, unsigned least,
                        unsigned most, unsigned *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
        value < least || value > most) {
        cmd_complain("--%s takes a number from %u to %u, not \"%s\"",
                     long_name(letter), least, most, text);
        return false;
    }
    *number = (unsigned)value;
    return true;
}

static bool add_server(struct cmd_options *options, const char *url)
{
    if (options->server_count == CMD_SERVERS_MOST) {
        cmd_complain("at most %d servers can be named", CMD_SERVERS_MOST);
        return false;
    }
    options->servers[options->server_count++] = url;
    return true;
}

/* What the command line does not name comes from the environment: URLs with
 * blanks between them. */
static bool complete_servers(struct cmd_options *options)
{
    char *rest = NULL, *listed = getenv("CLEAVE_SERVER");
    for (char *url = listed && options->server_count == 0
                         ? strtok_r(listed, " ", &rest)
                         : NULL;
         url; url = strtok_r(NULL, " ", &rest)) {
        if (!add_server(options, url))
            return false;
    }
    if (options->server_count == 0)
        options->servers[options->server_count++] = CMD_SERVER_DEFAULT;
    options->open.server_url = options->servers[0];
    options->open.fallback_urls = options->servers + 1;
    return true;
}

bool cmd_read_objective(const char *text, enum cleave_objective *objective)
{
    static const char *const names[] = {
        [CLEAVE_QUICK] = "latency",
        [CLEAVE_ACCURATE] = "accuracy",
        [CLEAVE_FRUGAL] = "energy",
    };
    for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *objective = (enum cleave_objective)i;
            return true;
        }
    }
    cmd_complain("--objective takes latency, accuracy or energy, not \"%s\"",
                 text);
    return false;
}

bool cmd_read_power(const char *text, struct cleave_options *options)
{
    char *comma = NULL, *end = NULL;
    double cpu_second = strtod(text, &comma);
    double byte = *comma == ',' ? strtod(comma + 1, &end) : 0;
    if (!(cpu_second > 0 && cpu_second < 1e6 && byte > 0 && byte < 1e6) ||
        *end != '\0') {
        cmd_complain("--power takes joules per CPU-second and per byte, such "
                     "as 1.2,5e-6, not \"%s\"",
                     text);
        return false;
    }
    options->joules_per_cpu_second = cpu_second;
    options->joules_per_byte = byte;
    return true;
}

static bool apply(struct cmd_options *options, int letter, const char *value)
{
    unsigned number = 0;
    switch (letter) {
    case 's':
        return add_server(options, value);
    case 'm':
        options->open.model = value;
        return true;
    case 'b':
        options->open.bundle_path = value;
        return true;
    case 'c':
        options->open.cache_dir = value;
        return true;
    case 'p':
        options->point = value;
        return true;
    case 'w':
        options->watch = value;
        return true;
    case 'f':
        options->metrics_path = value;
        return true;
    case 'l':
        options->latest = true;
        return true;
    case 'g':
        options->open.hedge = 1;
        return true;
    case 'j':
        options->json = true;
        return true;
    case 'i':
        return read_number(letter, value, 1, 64, &options->open.threads);
    case 'd':
        return read_number(letter, value, 1, 3600000, &options->deadline_ms);
    case 'o':
        return cmd_read_objective(value, &options->open.objective);
    case 'y':
        if (!read_number(letter, value, 1, 1000000000, &number))
            return false;
        options->open.bytes_per_picture = number;
        return true;
    case 'e':
        return cmd_read_power(value, &options->open);
    case 't':
        return read_number(letter, value, 1, 3600000,
                           &options->open.request_timeout_ms);
    case 'n':
        return read_number(letter, value, 1, 100, &options->samples);
    case 'k':
        options->top_given = true;
        return read_number(letter, value, 1, CLEAVE_TOP_MAX,
                           &options->open.top);
    default:
        return false;
    }
}

bool cmd_parse(int argc, char **argv, const char *allowed,
               void (*print_help)(FILE *), struct cmd_options *options,
               int *exit_status)
{
    *options = (struct cmd_options){.samples = DEFAULT_SAMPLES};
    options->open.token = getenv("CLEAVE_TOKEN");
    options->open.ca_file = getenv("CLEAVE_CA_FILE");
    char command[32];
    snprintf(command, sizeof command, "%s", argv[0]);
    optind = 1;
    int letter;
    /* Complaints of getopt begin with argv[0]; "cleave" is what the user
     * typed. */
    argv[0] = "cleave";
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (letter == 'h') {
            print_help(stdout);
            *exit_status = cmd_finish(CMD_OK);
            return false;
        }
        if (letter != '?' && !strchr(allowed, letter))
            cmd_complain("%s takes no --%s", command, long_name(letter));
        else if (letter != '?' && apply(options, letter, optarg))
            continue;
        fprintf(stderr, "Try \"cleave %s --help\".\n", command);
        *exit_status = CMD_USAGE;
        return false;
    }
    if (complete_servers(options))
        return true;
    *exit_status = CMD_USAGE;
    return false;
}

void cmd_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("cleave: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

int cmd_exit_status(enum cleave_status status)
{
    return status == CLEAVE_OK            ? CMD_OK
           : status == CLEAVE_ERROR_USAGE ? CMD_USAGE
                                          : CMD_FAILED;
}

int cmd_open(const struct cmd_options *options, struct cleave **handle)
{
    struct cleave_error error;
    enum cleave_status status = cleave_open(&options->open, handle, &error);
    if (status != CLEAVE_OK) {
        cmd_complain("%s", error.text);
        return cmd_exit_status(status);
    }
    if (*cleave_notice(*handle))
        cmd_complain("%s", cleave_notice(*handle));
    return CMD_OK;
}

int cmd_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno != EPIPE) /* a reader that has seen enough is no news */
        cmd_complain("cannot write the output: %s", strerror(errno));
    return CMD_FAILED;
}
