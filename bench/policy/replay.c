/* Replays link traces: Cleave's policy against an oracle and other rules. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/policy/rivals.h"
#include "bench/policy/table.h"
#include "nn/nn.h"

#define TRACES_MOST 64
#define SEED 7u
#define PERIOD_MS 1000.0

/* A fifth of all requests meet others in the server's queue. */
#define QUEUE_SHARE 0.2
#define QUEUE_MS 8.0

#define SEEDS 2
#define LENGTH_MS 600000u
#define QUICK_LENGTH_MS 200000u
#define LINK_STEP_MS 500u

static const double deadlines_ms[] = {0, 100, 300, 600};
#define AIMS (sizeof deadlines_ms / sizeof deadlines_ms[0])

static struct trace traces[TRACES_MOST];
static size_t trace_count;

static void print_help(FILE *out)
{
    fputs(
        "Usage: policy-replay --bundle FILE [OPTION]... [TRACE]...\n"
        "\n"
        "Replay made-up links, and recorded ones: a TRACE that ends in .jsonl "
        "is one of\n"
        "adaptive-cod's Bluetooth logs, one in .csv a table of milliseconds "
        "and Mbit/s,\n"
        "any other of the mahimahi kind.\n"
        "\n"
        "  --bundle FILE             whose operating points are chosen among\n"
        "  --quick                   a third of the made-up links\n"
        "  --device-ms-per-mmac N    speed of the device (0.9)\n"
        "  --period-ms N             from one picture to the next (1000)\n"
        "  --json FILE               write the figures there\n"
        "  --pictures FILE           write every picture of every decider "
        "there\n"
        "  --links FILE              write the links there, as mean Mbit/s of "
        "each half\n"
        "                            second, and end\n"
        "\n"
        "Exit status: 0 done, 1 something failed, 2 wrong usage, 3 done, but "
        "the policy\n"
        "is more than a tenth worse than an oracle that is one picture late.\n",
        out);
}

static int complain(const char *text)
{
    fprintf(stderr, "policy-replay: %s\n", text);
    return 1;
}

static bool collect_traces(char **paths, int path_count, size_t length_ms)
{
    for (int shape = 0; shape < TRACE_SHAPES; shape++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            if (!trace_make((enum trace_shape)shape, seed, length_ms,
                            &traces[trace_count++]))
                return false;
        }
    }
    for (int i = 0; i < path_count && trace_count < TRACES_MOST; i++) {
        struct api_error error = {.text = ""};
        if (trace_read(paths[i], &traces[trace_count], &error) != API_OK) {
            complain(error.text);
            return false;
        }
        trace_count++;
    }
    return true;
}

/* The fixed point that does best in hindsight. */
static bool best_fixed(const struct world *world, const struct rules *rules,
                       struct outcome *best)
{
    bool any = false;
    for (uint16_t i = 0; i < world->point_count; i++) {
        struct outcome outcome;
        if (!rules_accept(world, rules, i))
            continue;
        if (!rival_fixed(world, rules, i, &outcome))
            return false;
        bool better =
            !any || (rules->deadline_ms > 0
                         ? outcome.accuracy_sum > best->accuracy_sum
                         : outcome.latency_ms_sum < best->latency_ms_sum);
        if (better && any)
            outcome_free(best);
        if (better)
            *best = outcome;
        else
            outcome_free(&outcome);
        any = true;
    }
    return any;
}

static uint16_t first_of(const struct world *world, enum api_point_kind kind)
{
    uint16_t i = 0;
    while (i + 1 < world->point_count && world->points[i].kind != kind)
        i++;
    return i;
}

static bool run_all(const struct world *world, const struct rules *rules,
                    struct outcome outcomes[RIVALS])
{
    bool ran =
        rival_auto(world, rules, &outcomes[AUTO]) &&
        rival_oracle(world, rules, &outcomes[ORACLE]) &&
        rival_late_oracle(world, rules, &outcomes[LATE_ORACLE]) &&
        best_fixed(world, rules, &outcomes[BEST_FIXED]) &&
        rival_fixed(world, rules, first_of(world, API_POINT_OFFLOAD),
                    &outcomes[OFFLOAD]) &&
        rival_fixed(world, rules, world_local_point(world), &outcomes[LOCAL]);
    if (ran && rules->deadline_ms > 0)
        ran = rival_paper(world, rules, &outcomes[PAPER]);
    return ran;
}

static void write_pictures(FILE *out, const struct world *world,
                           const struct rules *rules,
                           const struct outcome outcomes[RIVALS])
{
    for (int rival = 0; out && rival < RIVALS; rival++) {
        const struct outcome *outcome = &outcomes[rival];
        for (uint64_t i = 0; i < outcome->pictures; i++)
            fprintf(out, "%s,%.0f,%s,%llu,%s,%.3f\n", world->trace->name,
                    rules->deadline_ms, table_rival_name(rival),
                    (unsigned long long)i, world->points[outcome->point[i]].id,
                    outcome->latency_ms[i]);
    }
}

static bool replay(struct world *world, FILE *pictures, struct table *table)
{
    if (pictures)
        fputs("trace,deadline_ms,decider,picture,point,latency_ms\n", pictures);
    for (size_t aim = 0; aim < AIMS; aim++) {
        struct rules rules = {.deadline_ms = deadlines_ms[aim]};
        table_begin(table, rules.deadline_ms);
        for (size_t i = 0; i < trace_count; i++) {
            struct outcome outcomes[RIVALS] = {{.pictures = 0}};
            world->trace = &traces[i];
            world->picture_count =
                (uint64_t)((double)traces[i].length_ms / world->period_ms);
            bool ran = run_all(world, &rules, outcomes);
            if (ran) {
                write_pictures(pictures, world, &rules, outcomes);
                table_row(table, &traces[i], outcomes);
            }
            for (int rival = 0; rival < RIVALS; rival++)
                outcome_free(&outcomes[rival]);
            if (!ran)
                return false;
        }
        table_end(table);
    }
    return true;
}

/* For bench/link/run, which plays them on a real link. */
static bool write_links(const char *path)
{
    FILE *out = fopen(path, "we");
    if (!out)
        return false;
    fputs("trace,at_ms,mbit_per_s\n", out);
    for (size_t i = 0; i < trace_count; i++) {
        const struct trace *trace = &traces[i];
        for (size_t at_ms = 0; at_ms + LINK_STEP_MS <= trace->length_ms;
             at_ms += LINK_STEP_MS) {
            double bytes = trace->sent_bytes[at_ms + LINK_STEP_MS] -
                           trace->sent_bytes[at_ms];
            fprintf(out, "%s,%zu,%.4f\n", trace->name, at_ms,
                    bytes * 8 / 1000 / LINK_STEP_MS);
        }
    }
    bool written = !ferror(out);
    return fclose(out) == 0 && written;
}

/* Points of the bundle, in the order of its own list. */
static uint16_t read_points(const char *path,
                            struct api_point points[API_LIMIT_POINTS])
{
    struct api_error error = {.text = ""};
    struct nn_model *model = NULL;
    uint16_t count = 0;
    bool has_local = false;
    if (nn_model_open(path, &model, &error) != API_OK) {
        complain(error.text);
        return 0;
    }
    for (uint16_t i = 0; i < nn_model_point_count(model); i++) {
        points[count] = *nn_model_point(model, i);
        has_local = has_local || points[count].kind == API_POINT_LOCAL;
        count++;
    }
    nn_model_close(&model);
    if (!has_local)
        complain("the bundle has no local point");
    return has_local ? count : 0;
}

struct arguments {
    const char *bundle, *json, *pictures, *links;
    double device_ms_per_mmac, period_ms;
    bool quick;
};

static bool parse(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"bundle", required_argument, NULL, 'b'},
        {"quick", no_argument, NULL, 'q'},
        {"device-ms-per-mmac", required_argument, NULL, 'd'},
        {"period-ms", required_argument, NULL, 't'},
        {"json", required_argument, NULL, 'j'},
        {"pictures", required_argument, NULL, 'p'},
        {"links", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0}};
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'b')
            arguments->bundle = optarg;
        else if (letter == 'q')
            arguments->quick = true;
        else if (letter == 'd')
            arguments->device_ms_per_mmac = strtod(optarg, NULL);
        else if (letter == 't')
            arguments->period_ms = strtod(optarg, NULL);
        else if (letter == 'j')
            arguments->json = optarg;
        else if (letter == 'p')
            arguments->pictures = optarg;
        else if (letter == 'l')
            arguments->links = optarg;
        else
            return false;
    }
    return arguments->bundle && arguments->device_ms_per_mmac > 0 &&
           arguments->period_ms >= 1;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .device_ms_per_mmac = WORLD_DEVICE_MS_PER_MMAC,
        .period_ms = PERIOD_MS,
    };
    struct api_point points[API_LIMIT_POINTS];
    struct table table = {.json = NULL};
    FILE *pictures = NULL;
    int status = 1;
    if (!parse(argc, argv, &arguments)) {
        print_help(stderr);
        return 2;
    }
    struct world_costs costs = {.decode_ms = WORLD_DECODE_MS};
    struct world world = {.points = points,
                          .costs = &costs,
                          .jitter_ms = WORLD_JITTER_MS,
                          .queue_share = QUEUE_SHARE,
                          .queue_ms = QUEUE_MS,
                          .seed = SEED,
                          .period_ms = arguments.period_ms};
    world.point_count = read_points(arguments.bundle, points);
    world_cost_device(&costs, points, world.point_count,
                      arguments.device_ms_per_mmac);
    world_cost_server(&costs, points, world.point_count,
                      WORLD_SERVER_MS_PER_MMAC, WORLD_SERVER_JPEG_MS);
    if (world.point_count == 0 ||
        !collect_traces(argv + optind, argc - optind,
                        arguments.quick ? QUICK_LENGTH_MS : LENGTH_MS))
        goto out;
    if (arguments.links) {
        status = write_links(arguments.links)
                     ? 0
                     : complain("the links' file cannot be written");
        goto out;
    }
    if (arguments.pictures && !(pictures = fopen(arguments.pictures, "we"))) {
        complain("the pictures' file cannot be written");
        goto out;
    }
    if (arguments.json && !(table.json = fopen(arguments.json, "we"))) {
        complain("the figures' file cannot be written");
        goto out;
    }
    if (replay(&world, pictures, &table) && table_close(&table))
        status = table.is_poor ? 3 : 0;
    else
        complain("out of memory, or the disk is full");
out:
    if (pictures)
        fclose(pictures);
    for (size_t i = 0; i < trace_count; i++)
        trace_free(&traces[i]);
    return status;
}
