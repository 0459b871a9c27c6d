/* What a picture costs the device in joules: a model, and the machine's own
 * meters where it has some. */
#ifndef CLEAVE_CLIENT_ENERGY_H
#define CLEAVE_CLIENT_ENERGY_H

#include <stdbool.h>
#include <stdint.h>

/* The model: what a second of computing and a byte on the air cost above
 * idling. Plain data. */
struct cli_power {
    double joules_per_cpu_second;
    double joules_per_byte;
};

/* A Raspberry Pi 4 draws about 2.7 W idle and 6.4 W with all cores busy
 * (pidramble.com/wiki/benchmarks/power-consumption), so a busy core takes
 * about 0.9 W and the engine's one thread 1.2 W with its share of memory and
 * regulator; a Wi-Fi transmitter takes some 5 µJ a byte at 1 W and 1.6 Mbit/s
 * of goodput. Both are guesses for a machine that nobody measured. */
#define CLI_POWER_DEFAULT                                                      \
    {                                                                          \
        .joules_per_cpu_second = 1.2, .joules_per_byte = 5e-6                  \
    }

/* Joules by the model. */
double cli_power_joules(const struct cli_power *power, double cpu_ms,
                        double bytes);

/* A meter that the kernel offers, found below a sysfs root. Not
 * thread-safe. */
struct cli_meter;

/* Looks for powercap's psys or package-0 zone (RAPL), then a hwmon INA3221's
 * first rail (a Jetson's whole input) or another hwmon chip's energy1_input or
 * power1_input, then a battery that is discharging. `root`: "/sys", or a test's
 * copy. NULL if there is none that may be read, which is the common case
 * without root's rights, or no memory. */
struct cli_meter *cli_meter_open(const char *root);

/* Sets *meter to NULL. NULL is fine. */
void cli_meter_close(struct cli_meter **meter);

/* "powercap", "hwmon", "battery". */
const char *cli_meter_kind(const struct cli_meter *meter);

/* The whole machine's joules since `meter` was opened, by its counter, or by
 * its power times the time since the last reading. Negative: unreadable. */
double cli_meter_joules(struct cli_meter *meter);

#endif
