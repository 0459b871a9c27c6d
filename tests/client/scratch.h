/* Throw-away directories and files, and what a fake server has to say. */
#ifndef CLEAVE_TESTS_SCRATCH_H
#define CLEAVE_TESTS_SCRATCH_H

#include <stddef.h>

#include "nn/nn.h"

#define SCRATCH_PATH_BYTES 512

/* Makes a new empty directory and sets `path` to it. */
void scratch_make(char path[SCRATCH_PATH_BYTES]);

/* Removes it with all that is in it, one level deep. */
void scratch_remove(const char *path);

/* "directory/name" in `path`. */
void scratch_join(char path[SCRATCH_PATH_BYTES], const char *directory,
                  const char *name);

/* The first file in `directory` whose name ends so; fails if there is none. */
void scratch_find(char path[SCRATCH_PATH_BYTES], const char *directory,
                  const char *ending);

/* How many of its files end so. */
size_t scratch_count(const char *directory, const char *ending);

/* Whole files; the bytes read are malloc'ed, with a NUL behind them. */
char *scratch_read(const char *path, size_t *bytes);
void scratch_write(const char *path, const void *bytes, size_t count);

/* Inverts one byte of a file. */
void scratch_flip(const char *path, size_t offset);

/* The test bundle's path, and a picture that it can classify (borrowed). */
const char *scratch_bundle(void);
const char *scratch_jpeg(size_t *bytes);

/* The head bundle of the test bundle, malloc'ed. */
char *scratch_head(int include_local, size_t *bytes);

/* The test bundle's metadata as GET /v1/models lists it, malloc'ed; with a
 * fingerprint other than the true one if it is not 0. */
char *scratch_models(unsigned long long fingerprint);

#endif
