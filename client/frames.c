/* The pictures of a stream of JPEGs, one at a time. */
#include "client/frames.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/limits.h"
#include "client/mjpeg.h"
#include "client/stop.h"

#define READ_BYTES 65536u
#define PICTURE_FIRST_BYTES 65536u

struct cli_frames {
    int fd;
    struct cli_mjpeg scanner;
    unsigned char unread[READ_BYTES]; /* what was read but not looked at */
    size_t unread_at, unread_end;
    bool in_picture, ended, too_large;
    unsigned char *picture; /* what has come of it; malloc'ed */
    size_t picture_bytes, picture_capacity;
};

struct cli_frames *cli_frames_open(int fd)
{
    struct cli_frames *frames = calloc(1, sizeof *frames);
    if (frames)
        frames->fd = fd;
    return frames;
}

void cli_frames_close(struct cli_frames **frames)
{
    if (!*frames)
        return;
    free((*frames)->picture);
    free(*frames);
    *frames = NULL;
}

/* False at the end, or where reading fails: errno is 0 at the end. Of a
 * picture that was half here when the program was to stop nothing is left. */
static bool fill(struct cli_frames *frames)
{
    bool stopped = !frames->ended && !cli_stop_wait_readable(frames->fd);
    errno = 0;
    if (stopped)
        frames->in_picture = false;
    if (frames->ended || stopped)
        return false;
    ssize_t bytes;
    do
        bytes = read(frames->fd, frames->unread, sizeof frames->unread);
    while (bytes < 0 && errno == EINTR);
    frames->ended = bytes <= 0;
    if (bytes == 0)
        errno = 0;
    frames->unread_at = 0;
    frames->unread_end = bytes > 0 ? (size_t)bytes : 0;
    return bytes > 0;
}

/* Adds to the picture as far as it may grow. */
static bool append(struct cli_frames *frames, const unsigned char *bytes,
                   size_t count)
{
    if (frames->too_large ||
        count > API_LIMIT_JPEG_BYTES - frames->picture_bytes) {
        frames->too_large = true;
        frames->picture_bytes = 0;
        return true;
    }
    size_t wanted = frames->picture_bytes + count;
    size_t capacity = frames->picture_capacity ? frames->picture_capacity
                                               : PICTURE_FIRST_BYTES;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity != frames->picture_capacity) {
        unsigned char *larger = realloc(frames->picture, capacity);
        if (!larger)
            return false;
        frames->picture = larger;
        frames->picture_capacity = capacity;
    }
    memcpy(frames->picture + frames->picture_bytes, bytes, count);
    frames->picture_bytes = wanted;
    return true;
}

/* Hands over what has come of the picture, less its last `surplus` bytes. */
static enum cli_frames_outcome hand_over(struct cli_frames *frames,
                                         size_t surplus, unsigned char **jpeg,
                                         size_t *jpeg_bytes)
{
    bool too_large = frames->too_large;
    frames->too_large = false;
    frames->in_picture = false;
    if (too_large)
        return CLI_FRAMES_TOO_LARGE;
    *jpeg = frames->picture;
    *jpeg_bytes = frames->picture_bytes - surplus;
    frames->picture = NULL;
    frames->picture_bytes = frames->picture_capacity = 0;
    return CLI_FRAMES_PICTURE;
}

static bool begin_picture(struct cli_frames *frames)
{
    static const unsigned char start[] = {0xFF, 0xD8};
    frames->in_picture = true;
    frames->picture_bytes = 0;
    return append(frames, start, sizeof start);
}

enum cli_frames_outcome cli_frames_next(struct cli_frames *frames,
                                        unsigned char **jpeg,
                                        size_t *jpeg_bytes)
{
    for (;;) {
        if (frames->unread_at == frames->unread_end && !fill(frames)) {
            if (errno != 0)
                return CLI_FRAMES_FAILED;
            return frames->in_picture ? hand_over(frames, 0, jpeg, jpeg_bytes)
                                      : CLI_FRAMES_END;
        }
        const unsigned char *bytes = frames->unread + frames->unread_at;
        size_t used = 0;
        enum cli_mjpeg_event event =
            cli_mjpeg_scan(&frames->scanner, bytes,
                           frames->unread_end - frames->unread_at, &used);
        frames->unread_at += used;
        if (frames->in_picture && !append(frames, bytes, used))
            return CLI_FRAMES_FAILED;
        if (event == CLI_MJPEG_END)
            return hand_over(frames, 0, jpeg, jpeg_bytes);
        if (event != CLI_MJPEG_BEGIN)
            continue;
        bool cut_short = frames->in_picture;
        enum cli_frames_outcome outcome = CLI_FRAMES_END;
        if (cut_short) /* its bytes end with the next one's first two */
            outcome = hand_over(frames, 2, jpeg, jpeg_bytes);
        if (!begin_picture(frames))
            return CLI_FRAMES_FAILED;
        if (cut_short)
            return outcome;
    }
}
