/* The pictures that a command line names, one after the other. */
#ifndef CLEAVE_CLIENT_SOURCE_H
#define CLEAVE_CLIENT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One picture, or why there is none. */
struct cli_picture {
    char *name;          /* path, or "-" for standard input; owned */
    uint64_t frame;      /* number in its stream, from 1; 0: a file */
    unsigned char *jpeg; /* owned; NULL if `why` tells the reason */
    size_t jpeg_bytes;
    char why[120];
    bool live; /* it came by itself, and another will */
};

/* Frees what it owns and empties it. */
void cli_picture_free(struct cli_picture *picture);

/* Files, directories, standard input as a stream ("-"), and a directory to
 * watch. Used by one thread at a time. */
struct cli_source;

/* Operands are borrowed. `watched`: a directory to watch after they are done,
 * which begins now, or NULL. NULL with the reason in `why` on failure. */
struct cli_source *cli_source_open(char *const *operands, size_t count,
                                   const char *watched, char why[160]);

/* NULL is fine. */
void cli_source_close(struct cli_source **source);

/* How many pictures there are to come in all; 0: nobody knows. */
size_t cli_source_total(const struct cli_source *source);

/* Waits for the next picture, which becomes the caller's. False at the end,
 * which a source that watches has only when the program is to stop. */
bool cli_source_next(struct cli_source *source, struct cli_picture *picture);

/* After the end: were pictures left because the program was to stop? Those
 * that would still have come by themselves do not count. */
bool cli_source_unfinished(const struct cli_source *source);

/* Width of a column for the names that are known, at most `most`. */
int cli_source_name_width(const struct cli_source *source, int most);

#endif
