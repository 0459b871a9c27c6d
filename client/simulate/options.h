/* Options of cleave simulate. */
#ifndef CLEAVE_CLIENT_SIMULATE_OPTIONS_H
#define CLEAVE_CLIENT_SIMULATE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cleave.h"

#define SIMULATE_WAYS_MOST 8

/* Numbers are within their ranges; 0 means not told where a range has it, and
 * negative where the comment says so. Strings are borrowed from argv or the
 * environment. */
struct simulate_options {
    struct cleave_options open; /* server, model, token, objective, power */
    const char *bundle;         /* NULL: ask the server */
    const char *learnt, *link, *chart;
    const char *ways[SIMULATE_WAYS_MOST]; /* points, as of "cleave run" */
    unsigned way_count;
    double device_factor, device_ms_per_gmac;
    double decode_ms; /* negative: not told */
    double server_factor, server_ms_per_gmac, server_jpeg_ms;
    double cores, queue, wait_ms;
    double devices, rate, seconds, jpeg_bytes;
    double rtt_ms, jitter_ms; /* negative: the link's own */
    double seed;
    double deadline_ms, bytes_per_picture;
    double core_hour_price, gigabyte_price; /* negative: not told */
    bool latest, json;
};

/* Parses options into *options, which it fills with defaults first. True if
 * all is well; else the command has to end with *exit_status. */
bool simulate_options_parse(int argc, char **argv,
                            struct simulate_options *options, int *exit_status);

#endif
