/* Reading the lines that cleave prints, and bundles of other versions. */
#ifndef CLEAVE_TESTS_ANSWERS_H
#define CLEAVE_TESTS_ANSWERS_H

#include <jansson.h>

#include "scratch.h"

/* One line as an object of the caller's; fails if it is none. */
json_t *answer_parse(const char *line);

/* Members that must be there. */
const char *answer_text(const json_t *object, const char *member);
double answer_real(const json_t *object, const char *member);

/* Writes a copy of the bundle `original` in which `from` is changed in place
 * to `to`, which is as long; `path` becomes its path. */
void bundle_write_changed(char path[SCRATCH_PATH_BYTES], const char *directory,
                          const char *file, const char *original,
                          const char *from, const char *to);

/* The test bundle with another fingerprint. */
void bundle_write_other(char path[SCRATCH_PATH_BYTES], const char *directory);

#endif
