/* What a device has learnt, kept in the cache from one process to the next. */
#ifndef CLEAVE_CLIENT_LEARNT_H
#define CLEAVE_CLIENT_LEARNT_H

#include <stdbool.h>
#include <stdint.h>

#include "api/limits.h"
#include "client/cleave.h"

struct cleave;

/* One part of a model's computing time on this device, and what was seen of
 * its exit (client/exits.h). */
struct cli_learnt_part {
    char point[48];
    double ms;
    double runs, stays;
};

struct cli_learnt {
    uint64_t fingerprint; /* of the model that the points are of */
    double decode_ms;     /* 0: not known */
    unsigned part_count;
    struct cli_learnt_part parts[API_LIMIT_POINTS];
    struct cleave_decision decision; /* unix_ms 0: none */
};

/* A text file of whole numbers, so that no locale matters, replaced by rename.
 * False if it cannot be written; that is no failure of anything else. */
bool cli_learnt_write(const char *path, const struct cli_learnt *learnt);

/* False, with *learnt untouched, if there is none or it makes no sense. Its
 * text is not trusted: what is read is bounded and clean. */
bool cli_learnt_read(const char *path, struct cli_learnt *learnt);

/* The handle's own, both under its lock. Recalling takes up what was
 * seen of the parts of the model in use and says whether there were any.
 * Keeping writes now and then, unless `at_once`. */
bool cli_learnt_recall(struct cleave *handle);
void cli_learnt_keep(struct cleave *handle, bool at_once);

#endif
