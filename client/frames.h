/* The pictures of a stream of JPEGs, one at a time. */
#ifndef CLEAVE_CLIENT_FRAMES_H
#define CLEAVE_CLIENT_FRAMES_H

#include <stddef.h>

/* Reads from a descriptor. Not thread-safe. */
struct cli_frames;

/* Borrows `fd`. NULL if memory ran out. */
struct cli_frames *cli_frames_open(int fd);

/* NULL is fine. The descriptor stays open. */
void cli_frames_close(struct cli_frames **frames);

enum cli_frames_outcome {
    CLI_FRAMES_PICTURE,   /* or what there was of one that was cut short */
    CLI_FRAMES_TOO_LARGE, /* one larger than a JPEG may be was passed over */
    CLI_FRAMES_END,       /* of the stream, or the program is to stop */
    CLI_FRAMES_FAILED     /* reading failed, or memory ran out: see errno */
};

/* Waits for the next picture. *jpeg is malloc'ed and becomes the caller's to
 * free(); it begins with the bytes of a JPEG, and more was not looked at. */
enum cli_frames_outcome cli_frames_next(struct cli_frames *frames,
                                        unsigned char **jpeg,
                                        size_t *jpeg_bytes);

#endif
