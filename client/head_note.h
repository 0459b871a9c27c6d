/* The note beside a cached bundle: its ETag, size and checksum. */
#ifndef CLEAVE_CLIENT_HEAD_NOTE_H
#define CLEAVE_CLIENT_HEAD_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/status.h"

struct cli_head_note {
    char etag[128]; /* "" if the server gave none */
    uint64_t bytes; /* of the bundle */
    uint32_t crc;   /* CRC-32C of it */
};

/* Reads the note at `path`. False if it is missing or not one of ours. */
bool cli_head_note_read(const char *path, struct cli_head_note *note);

/* Writes it by way of the file `temporary`, durably. */
enum api_status cli_head_note_write(const char *path, const char *temporary,
                                    const struct cli_head_note *note,
                                    struct api_error *error);

/* Fills bytes and crc from the file at `path`. False if it cannot be read or
 * is beyond API_LIMIT_BUNDLE_BYTES. */
bool cli_head_note_measure(const char *path, struct cli_head_note *note);

#endif
