/* The pictures that a command line names. */
#ifndef CLEAVE_CLIENT_FILES_H
#define CLEAVE_CLIENT_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* A list of paths, owned. Zero-initialised: empty. */
struct cli_files {
    char **paths;
    size_t count, capacity;
};

/* Adds what `operand` stands for: a directory's *.jpg and *.jpeg files in the
 * order of their names, or the operand itself, whatever it is (reading it will
 * tell). A directory without any is added itself. False if memory ran out. */
bool cli_files_add(struct cli_files *files, const char *operand);

void cli_files_free(struct cli_files *files);

/* Does a file of this name count as a JPEG? */
bool cli_files_is_jpeg_name(const char *name);

/* "directory/name", malloc'ed; NULL if memory ran out. */
char *cli_files_join(const char *directory, const char *name);

/* Reads a whole file. *bytes is malloc'ed and becomes the caller's to free().
 * NULL, or why it could not be done as a text that lives until the next call:
 * unreadable, a directory, or larger than a JPEG may be. */
const char *cli_files_read(const char *path, unsigned char **bytes,
                           size_t *count);

#endif
