/* The pictures that a command line names, one after the other. */
#include "client/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/frames.h"
#include "client/stop.h"
#include "client/watch.h"

struct cli_source {
    struct cli_files files;
    size_t at; /* of the files */
    bool streams;
    struct cli_frames *frames; /* while a stream is read */
    uint64_t frame;            /* its last one's number */
    const char *watched;
    struct cli_watch *watch;
};

void cli_picture_free(struct cli_picture *picture)
{
    free(picture->name);
    free(picture->jpeg);
    *picture = (struct cli_picture){.name = NULL};
}

static bool is_stream(const char *path)
{
    return strcmp(path, "-") == 0;
}

struct cli_source *cli_source_open(char *const *operands, size_t count,
                                   const char *watched, char why[160])
{
    struct cli_source *made = calloc(1, sizeof *made);
    if (!made)
        goto out_of_memory;
    /* First, so that no file comes between listing and watching. */
    made->watched = watched;
    if (watched) {
        made->watch = cli_watch_open(watched);
        if (!made->watch) {
            snprintf(why, 160, "cannot watch %.100s: %.40s", watched,
                     strerror(errno));
            cli_source_close(&made);
            return NULL;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!cli_files_add(&made->files, operands[i]))
            goto out_of_memory;
        made->streams |= is_stream(operands[i]);
    }
    return made;
out_of_memory:
    if (made)
        cli_source_close(&made);
    snprintf(why, 160, "out of memory");
    return NULL;
}

void cli_source_close(struct cli_source **source)
{
    struct cli_source *old = *source;
    if (!old)
        return;
    cli_files_free(&old->files);
    cli_frames_close(&old->frames);
    cli_watch_close(&old->watch);
    free(old);
    *source = NULL;
}

size_t cli_source_total(const struct cli_source *source)
{
    return source->streams || source->watch ? 0 : source->files.count;
}

int cli_source_name_width(const struct cli_source *source, int most)
{
    size_t width = 4;
    for (size_t i = 0; i < source->files.count; i++) {
        size_t bytes = strlen(source->files.paths[i]);
        if (bytes > width)
            width = bytes < (size_t)most ? bytes : (size_t)most;
    }
    return (int)width;
}

static bool name(struct cli_picture *picture, const char *text)
{
    picture->name = strdup(text);
    return picture->name != NULL;
}

static void read_file(struct cli_picture *picture)
{
    const char *why =
        cli_files_read(picture->name, &picture->jpeg, &picture->jpeg_bytes);
    if (why)
        snprintf(picture->why, sizeof picture->why, "%s", why);
}

/* The next picture of the stream; false at its end, unless there was none. */
static bool next_frame(struct cli_source *source, struct cli_picture *picture)
{
    if (!source->frames)
        source->frames = cli_frames_open(STDIN_FILENO);
    enum cli_frames_outcome outcome = CLI_FRAMES_FAILED;
    if (source->frames)
        outcome = cli_frames_next(source->frames, &picture->jpeg,
                                  &picture->jpeg_bytes);
    bool empty =
        outcome == CLI_FRAMES_END && source->frame == 0 && !cli_stop_asked();
    if (outcome == CLI_FRAMES_TOO_LARGE)
        snprintf(picture->why, sizeof picture->why,
                 "larger than a JPEG may be (16 MiB)");
    else if (outcome == CLI_FRAMES_FAILED)
        snprintf(picture->why, sizeof picture->why, "%s", strerror(errno));
    else if (empty)
        snprintf(picture->why, sizeof picture->why,
                 "there is no JPEG in standard input");
    if (outcome == CLI_FRAMES_END || outcome == CLI_FRAMES_FAILED) {
        cli_frames_close(&source->frames);
        source->at++;
    }
    if (outcome == CLI_FRAMES_END && !empty)
        return false;
    picture->frame = empty ? 0 : ++source->frame;
    picture->live = true;
    return name(picture, "-");
}

static bool next_watched(struct cli_source *source, struct cli_picture *picture)
{
    enum cli_watch_outcome outcome =
        cli_watch_next(source->watch, &picture->name);
    picture->live = true;
    switch (outcome) {
    case CLI_WATCH_FILE:
        read_file(picture);
        return true;
    case CLI_WATCH_MISSED:
        snprintf(picture->why, sizeof picture->why,
                 "files came too fast, some were missed");
        return name(picture, source->watched);
    case CLI_WATCH_GONE:
        snprintf(picture->why, sizeof picture->why, "the directory is gone");
        break;
    case CLI_WATCH_FAILED:
        snprintf(picture->why, sizeof picture->why, "%s", strerror(errno));
        break;
    case CLI_WATCH_END:
        break;
    }
    cli_watch_close(&source->watch);
    return outcome != CLI_WATCH_END && name(picture, source->watched);
}

bool cli_source_next(struct cli_source *source, struct cli_picture *picture)
{
    *picture = (struct cli_picture){.name = NULL};
    while (source->at < source->files.count && !cli_stop_asked()) {
        const char *path = source->files.paths[source->at];
        if (is_stream(path)) {
            if (next_frame(source, picture))
                return true;
            continue;
        }
        source->at++;
        if (!name(picture, path))
            return false;
        read_file(picture);
        return true;
    }
    return source->watch && !cli_stop_asked() && next_watched(source, picture);
}

bool cli_source_unfinished(const struct cli_source *source)
{
    return source->at < source->files.count && !source->frames &&
           !is_stream(source->files.paths[source->at]);
}
