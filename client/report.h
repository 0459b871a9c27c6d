/* What a run tells its user: a line a picture, and how far it is. */
#ifndef CLEAVE_CLIENT_REPORT_H
#define CLEAVE_CLIENT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cleave.h"
#include "client/source.h"

/* Fill the first members. Not thread-safe. */
struct cli_report {
    bool json;      /* lines of JSON on stdout, else rows of a table */
    bool progress;  /* a bar on stderr, which is a terminal */
    int name_width; /* of the table's first column */
    size_t total;   /* pictures to come; 0: nobody knows */
    const char *const *servers; /* URLs to name in JSON lines, or NULL */

    double start_ms, drawn_ms;
    uint64_t answered, failed, local, exited, dropped;
    bool bar_stands;
};

/* One picture's outcome: a result, or the reason why there is none. */
struct cli_outcome {
    const struct cli_picture *picture;
    const struct cleave_result *result; /* NULL: see why */
    const char *why;
    double total_ms;  /* from when it was taken up to its answer */
    uint64_t dropped; /* pictures that it took the place of */
};

/* Prints the table's head, if there is one. */
void cli_report_begin(struct cli_report *report);

/* Prints a line at once. False if stdout cannot be written. */
bool cli_report_add(struct cli_report *report,
                    const struct cli_outcome *outcome);

/* Takes the bar away. */
void cli_report_end(struct cli_report *report);

#endif
