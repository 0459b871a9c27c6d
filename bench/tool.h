/* What the programs here have in common: they end at the first failure. */
#ifndef CLEAVE_BENCH_TOOL_H
#define CLEAVE_BENCH_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the program with "`what` failed" on standard error unless `good`. */
void must(bool good, const char *what);

/* Zeroed memory, the caller's to free; never NULL. */
void *get(size_t bytes);

/* A file's bytes, at least one; the caller's to free. */
struct file {
    uint8_t *bytes;
    size_t count;
};

struct file read_file(const char *path);

#endif
