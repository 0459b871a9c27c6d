/* Options of cleave simulate. */
#include "client/simulate/options.h"

#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/simulate/fleet.h"

/* Seeds stay exact in a double. */
#define SEED_MOST 4294967295.0

static const char help[] =
    "Usage: cleave simulate [OPTION]...\n"
    "\n"
    "Predict what a fleet of devices with one server will do: latency, "
    "misses,\n"
    "accuracy, bytes, cores and cost. The devices decide by the same code as\n"
    "\"cleave run\"; nothing is sent but to measure the server. The same seed\n"
    "and times give the same figures.\n"
    "\n"
    "Model:\n"
    "  --bundle FILE         whose operating points there are, or\n"
    "  --server URL          of cleaved ($CLEAVE_SERVER or\n"
    "                        http://127.0.0.1:8080)\n"
    "  --model NAME          the server's model of this name (its default)\n"
    "Device:\n"
    "  --device-factor F     it takes F times what is measured here (1)\n"
    "  --device-learnt FILE  or what a device keeps in its cache (*.learnt)\n"
    "  --device-ms-per-gmac N  or N ms for 10^9 multiplications\n"
    "  --decode-ms N         to decode a picture (as measured; 15)\n"
    "  --jpeg-bytes N        what offload sends, on average (by the metadata)\n"
    "Server:\n"
    "  --server-factor F     a core takes F times what is measured (1)\n"
    "  --server-ms-per-gmac N  or N ms for 10^9 multiplications\n"
    "  --server-jpeg-ms N    and to decode a picture (3)\n"
    "  --cores N             it has; else as few as serve\n"
    "  --queue N             requests that may wait for a core (64)\n"
    "  --wait-ms N           as few as serve: 95 of 100 wait no longer (10)\n"
    "Fleet:\n"
    "  --devices N           each with a link of its own (1)\n"
    "  --rate N              pictures per second of each (1)\n"
    "  --seconds N           simulated (600)\n"
    "  --latest              a picture that waits gives way to a newer one\n"
    "Link, up:\n"
    "  --link LINK           N: N Mbit/s (10); steady, cliffs, bursts, "
    "outages\n"
    "                        or walk-away: made up; FILE: recorded, a .csv of\n"
    "                        \"ms,Mbit/s\", a .jsonl of requests (time, kbs,\n"
    "                        transfer_time), else mahimahi's\n"
    "  --rtt-ms N            round trip without any transfer (the link's)\n"
    "  --jitter-ms N         beyond that, on average (3)\n"
    "  --seed N              of all that is random (1)\n"
    "What is wanted:\n"
    "  --point POINT         one way to answer, as for \"cleave run\"; again "
    "for\n"
    "                        others beside it (auto, offload and local)\n"
    "  --deadline-ms N       a later answer is a miss\n"
    "  --objective WHAT      latency (default; with a deadline: accuracy),\n"
    "                        accuracy or energy\n"
    "  --bytes-per-picture N  a data plan\n"
    "  --power CPU,BYTE      joules per CPU-second and per byte sent\n"
    "                        (1.2,5e-6)\n"
    "Prices:\n"
    "  --core-hour N         of a core for an hour\n"
    "  --gigabyte N          of 10^9 bytes sent\n"
    "Output:\n"
    "  --chart FILE          write an SVG there\n"
    "  --json                one JSON object: what was simulated, and ways:\n"
    "                        [{way, latency_ms, missed, top1, shares, …}]\n"
    "  --help                show this help\n"
    "\n"
    "Exit status: 0 simulated, 1 something failed, 2 wrong usage.\n";

struct number {
    const char *name;
    size_t offset; /* of a double in struct simulate_options */
    double value, least, most;
    bool is_whole;
};

#define MEMBER(name) offsetof(struct simulate_options, name)

static const struct number numbers[] = {
    {"device-factor", MEMBER(device_factor), 1, 1e-3, 1e6, false},
    {"device-ms-per-gmac", MEMBER(device_ms_per_gmac), 0, 1e-3, 1e6, false},
    {"decode-ms", MEMBER(decode_ms), -1, 0, 1e5, false},
    {"jpeg-bytes", MEMBER(jpeg_bytes), 0, 1, 16777216, true},
    {"server-factor", MEMBER(server_factor), 1, 1e-3, 1e6, false},
    {"server-ms-per-gmac", MEMBER(server_ms_per_gmac), 0, 1e-3, 1e6, false},
    {"server-jpeg-ms", MEMBER(server_jpeg_ms), 3, 0, 1e5, false},
    {"cores", MEMBER(cores), 0, 1, FLEET_CORES_MOST, true},
    {"queue", MEMBER(queue), 64, 1, 65536, true},
    {"wait-ms", MEMBER(wait_ms), 10, 0, 1e5, false},
    {"devices", MEMBER(devices), 1, 1, FLEET_DEVICES_MOST, true},
    {"rate", MEMBER(rate), 1, 1e-4, 1000, false},
    {"seconds", MEMBER(seconds), 600, 1, 604800, false},
    {"rtt-ms", MEMBER(rtt_ms), -1, 0, 1e5, false},
    {"jitter-ms", MEMBER(jitter_ms), 3, 0, 1e5, false},
    {"seed", MEMBER(seed), 1, 0, SEED_MOST, true},
    {"deadline-ms", MEMBER(deadline_ms), 0, 1, 3600000, true},
    {"bytes-per-picture", MEMBER(bytes_per_picture), 0, 1, 1e9, true},
    {"core-hour", MEMBER(core_hour_price), -1, 0, 1e6, false},
    {"gigabyte", MEMBER(gigabyte_price), -1, 0, 1e6, false},
};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

/* Those that are no numbers, in the order of the switch in apply. */
enum {
    BUNDLE = NUMBERS,
    SERVER,
    MODEL,
    LEARNT,
    LINK,
    POINT,
    OBJECTIVE,
    POWER,
    CHART,
    LATEST,
    JSON,
    HELP,
    OPTIONS
};

/* getopt_long takes 0 for "set a flag" and '?' for an error. */
#define LETTER 1000

static double *value_of(struct simulate_options *options, size_t number)
{
    return (double *)((char *)options + numbers[number].offset);
}

static bool read_number(const char *text, size_t at,
                        struct simulate_options *options)
{
    const struct number *number = &numbers[at];
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= number->least) ||
        !(value <= number->most) ||
        (number->is_whole && value > floor(value))) {
        cmd_complain("--%s takes a %snumber from %g to %.10g, not \"%s\"",
                     number->name, number->is_whole ? "whole " : "",
                     number->least, number->most, text);
        return false;
    }
    *value_of(options, at) = value;
    return true;
}

static bool apply(size_t option, const char *text,
                  struct simulate_options *options)
{
    if (option < NUMBERS)
        return read_number(text, option, options);
    switch (option) {
    case BUNDLE:
        options->bundle = text;
        return true;
    case SERVER:
        options->open.server_url = text;
        return true;
    case MODEL:
        options->open.model = text;
        return true;
    case LEARNT:
        options->learnt = text;
        return true;
    case LINK:
        options->link = text;
        return true;
    case POINT:
        if (options->way_count == SIMULATE_WAYS_MOST) {
            cmd_complain("at most %d points can be compared",
                         SIMULATE_WAYS_MOST);
            return false;
        }
        options->ways[options->way_count++] = text;
        return true;
    case OBJECTIVE:
        return cmd_read_objective(text, &options->open.objective);
    case POWER:
        return cmd_read_power(text, &options->open);
    case CHART:
        options->chart = text;
        return true;
    case LATEST:
        options->latest = true;
        return true;
    default:
        options->json = true;
        return true;
    }
}

static void set_defaults(struct simulate_options *options)
{
    static const char *const ways[] = {"auto", "offload", "local"};
    char *rest = NULL, *listed = getenv("CLEAVE_SERVER");
    const char *server = listed ? strtok_r(listed, " ", &rest) : NULL;
    *options = (struct simulate_options){.link = "10"};
    options->open.server_url = server ? server : CMD_SERVER_DEFAULT;
    options->open.token = getenv("CLEAVE_TOKEN");
    options->open.ca_file = getenv("CLEAVE_CA_FILE");
    for (size_t i = 0; i < NUMBERS; i++)
        *value_of(options, i) = numbers[i].value;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        options->ways[i] = ways[i];
}

/* Options as getopt_long takes them. */
static void list_options(struct option list[OPTIONS + 1])
{
    static const struct {
        const char *name;
        int has_argument;
    } others[OPTIONS - BUNDLE] = {{"bundle", required_argument},
                                  {"server", required_argument},
                                  {"model", required_argument},
                                  {"device-learnt", required_argument},
                                  {"link", required_argument},
                                  {"point", required_argument},
                                  {"objective", required_argument},
                                  {"power", required_argument},
                                  {"chart", required_argument},
                                  {"latest", no_argument},
                                  {"json", no_argument},
                                  {"help", no_argument}};
    for (int i = 0; i < OPTIONS; i++) {
        bool is_number = i < BUNDLE;
        list[i] = (struct option){
            is_number ? numbers[i].name : others[i - BUNDLE].name,
            is_number ? required_argument : others[i - BUNDLE].has_argument,
            NULL, LETTER + i};
    }
    list[OPTIONS] = (struct option){NULL, 0, NULL, 0};
}

/* Do the options go together? */
static bool agree(const struct simulate_options *options)
{
    double pictures = options->devices * options->rate * options->seconds;
    if (options->learnt && options->device_ms_per_gmac > 0) {
        cmd_complain("--device-learnt and --device-ms-per-gmac both say how "
                     "fast the device is");
        return false;
    }
    if (options->rate * options->seconds < 1) {
        cmd_complain("no picture in %g s at %g a second", options->seconds,
                     options->rate);
        return false;
    }
    if (pictures > FLEET_PICTURES_MOST) {
        cmd_complain("%.0f pictures are too many to simulate: at most %u; "
                     "take fewer seconds",
                     pictures, FLEET_PICTURES_MOST);
        return false;
    }
    return true;
}

bool simulate_options_parse(int argc, char **argv,
                            struct simulate_options *options, int *exit_status)
{
    struct option list[OPTIONS + 1];
    list_options(list);
    set_defaults(options);
    optind = 1;
    argv[0] = "cleave"; /* complaints of getopt begin with it */
    *exit_status = CMD_USAGE;
    for (;;) {
        int letter = getopt_long(argc, argv, "", list, NULL);
        if (letter == -1)
            break;
        if (letter == LETTER + HELP) {
            fputs(help, stdout);
            *exit_status = cmd_finish(CMD_OK);
            return false;
        }
        if (letter == '?' || !apply((size_t)letter - LETTER, optarg, options)) {
            fputs("Try \"cleave simulate --help\".\n", stderr);
            return false;
        }
    }
    if (optind != argc) {
        cmd_complain("simulate takes no file");
        return false;
    }
    if (options->way_count == 0)
        options->way_count = 3;
    return agree(options);
}
