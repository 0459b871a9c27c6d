/* What a picture costs the device in joules: a model, and the machine's own
 * meters where it has some. */
#include "client/energy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/clock.h"

#define PATH_BYTES 256
#define ZONES_MOST 8
#define CHIPS_MOST 32

/* A meter counts energy, or shows power in one file or as the product of
 * two. */
struct cli_meter {
    const char *kind;
    char path[PATH_BYTES];
    char factor_path[PATH_BYTES]; /* "": one file */
    double unit;                  /* joules, or watts, per count */
    bool counts_energy;
    double wraps_at; /* counts; 0: never */
    double last, joules;
    double last_ms;
};

double cli_power_joules(const struct cli_power *power, double cpu_ms,
                        double bytes)
{
    return power->joules_per_cpu_second * cpu_ms / 1000 +
           power->joules_per_byte * bytes;
}

/* The number in a file; negative if there is none. Currents may be negative:
 * some batteries mark discharging so. */
static double read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    int64_t value = 0;
    if (!file)
        return -1;
    int read = fscanf(file, "%18" SCNd64, &value);
    fclose(file);
    if (read != 1)
        return -1;
    return value < 0 ? -(double)value : (double)value;
}

static bool reads(const char *directory, const char *name, const char *text)
{
    char path[PATH_BYTES + 16], line[32] = "";
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool same = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return same && strcmp(line, text) == 0;
}

/* Sets a path below `directory`; true if it can be read. */
static bool use_file(char *path, const char *directory, const char *name)
{
    int bytes = snprintf(path, PATH_BYTES, "%s/%s", directory, name);
    return bytes > 0 && bytes < PATH_BYTES && read_number(path) >= 0;
}

static bool find_powercap(struct cli_meter *meter, const char *root)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int zone = 0; zone < ZONES_MOST; zone++) {
            char directory[PATH_BYTES], range[PATH_BYTES];
            snprintf(directory, sizeof directory,
                     "%.100s/class/powercap/intel-rapl:%d", root, zone);
            if (!reads(directory, "name", pass == 0 ? "psys" : "package-0") ||
                !use_file(meter->path, directory, "energy_uj"))
                continue;
            meter->kind = "powercap";
            meter->unit = 1e-6;
            meter->counts_energy = true;
            if (use_file(range, directory, "max_energy_range_uj"))
                meter->wraps_at = read_number(range);
            return true;
        }
    }
    return false;
}

static bool use_chip(struct cli_meter *meter, const char *directory)
{
    meter->unit = 1e-6;
    if (reads(directory, "name", "ina3221") &&
        use_file(meter->path, directory, "in1_input") &&
        use_file(meter->factor_path, directory, "curr1_input"))
        return true; /* millivolts times milliamperes */
    meter->factor_path[0] = '\0';
    if (use_file(meter->path, directory, "energy1_input")) {
        meter->counts_energy = true;
        return true;
    }
    return use_file(meter->path, directory, "power1_input");
}

static bool find_hwmon(struct cli_meter *meter, const char *root)
{
    /* A chip made for metering before any that happens to have a figure. */
    for (int pass = 0; pass < 2; pass++) {
        for (int chip = 0; chip < CHIPS_MOST; chip++) {
            char directory[PATH_BYTES];
            snprintf(directory, sizeof directory, "%.100s/class/hwmon/hwmon%d",
                     root, chip);
            if ((pass == 1 || reads(directory, "name", "ina3221")) &&
                use_chip(meter, directory)) {
                meter->kind = "hwmon";
                return true;
            }
        }
    }
    return false;
}

static bool find_battery(struct cli_meter *meter, const char *root)
{
    static const char *const names[] = {"BAT0", "BAT1", "battery"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char directory[PATH_BYTES];
        snprintf(directory, sizeof directory, "%.100s/class/power_supply/%s",
                 root, names[i]);
        if (!reads(directory, "status", "Discharging"))
            continue;
        meter->kind = "battery";
        meter->unit = 1e-6;
        if (use_file(meter->path, directory, "power_now"))
            return true;
        meter->unit = 1e-12; /* microvolts times microamperes */
        if (use_file(meter->path, directory, "voltage_now") &&
            use_file(meter->factor_path, directory, "current_now"))
            return true;
    }
    return false;
}

/* The meter's present figure in joules or watts; negative: unreadable. */
static double read_meter(const struct cli_meter *meter)
{
    double count = read_number(meter->path);
    if (count < 0 || !meter->factor_path[0])
        return count < 0 ? -1 : count * meter->unit;
    double factor = read_number(meter->factor_path);
    return factor < 0 ? -1 : count * factor * meter->unit;
}

struct cli_meter *cli_meter_open(const char *root)
{
    struct cli_meter *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    if (!find_powercap(made, root) && !find_hwmon(made, root) &&
        !find_battery(made, root)) {
        free(made);
        return NULL;
    }
    made->last = read_meter(made);
    made->last_ms = cli_now_ms();
    return made;
}

void cli_meter_close(struct cli_meter **meter)
{
    free(*meter);
    *meter = NULL;
}

const char *cli_meter_kind(const struct cli_meter *meter)
{
    return meter->kind;
}

double cli_meter_joules(struct cli_meter *meter)
{
    double figure = read_meter(meter);
    double now_ms = cli_now_ms();
    if (figure < 0)
        return -1;
    if (meter->counts_energy) {
        double grown = figure - meter->last;
        meter->joules +=
            grown >= 0 ? grown : grown + meter->wraps_at * meter->unit;
    } else {
        /* Power changed somewhere between the readings. */
        meter->joules +=
            (figure + meter->last) / 2 * (now_ms - meter->last_ms) / 1000;
    }
    meter->last = figure;
    meter->last_ms = now_ms;
    return meter->joules;
}
