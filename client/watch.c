/* New JPEG files in a directory, each when it is finished. */
#include "client/watch.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "client/files.h"
#include "client/stop.h"

#define EVENTS_BYTES 16384u

struct cli_watch {
    int fd;
    char *directory;
    size_t at, end; /* of what was read but not looked at */
    alignas(struct inotify_event) char events[EVENTS_BYTES];
};

struct cli_watch *cli_watch_open(const char *directory)
{
    struct cli_watch *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->directory = strdup(directory);
    made->fd = inotify_init1(IN_CLOEXEC);
    if (!made->directory || made->fd < 0 ||
        inotify_add_watch(made->fd, directory,
                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF |
                              IN_MOVE_SELF | IN_ONLYDIR) < 0) {
        int kept = errno;
        cli_watch_close(&made);
        errno = kept;
    }
    return made;
}

void cli_watch_close(struct cli_watch **watch)
{
    if (!*watch)
        return;
    if ((*watch)->fd >= 0)
        close((*watch)->fd);
    free((*watch)->directory);
    free(*watch);
    *watch = NULL;
}

enum cli_watch_outcome cli_watch_next(struct cli_watch *watch, char **path)
{
    for (;;) {
        if (watch->at == watch->end) {
            if (!cli_stop_wait_readable(watch->fd))
                return CLI_WATCH_END;
            ssize_t bytes = read(watch->fd, watch->events, EVENTS_BYTES);
            if (bytes < 0 && errno == EINTR)
                continue;
            if (bytes <= 0)
                return CLI_WATCH_FAILED;
            watch->at = 0;
            watch->end = (size_t)bytes;
        }
        /* The kernel pads names so that every event is aligned. */
        const struct inotify_event *event =
            (const void *)(watch->events + watch->at);
        watch->at += sizeof *event + event->len;
        if (event->mask & IN_Q_OVERFLOW)
            return CLI_WATCH_MISSED;
        if (event->mask &
            (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED))
            return CLI_WATCH_GONE;
        if (event->len == 0 || event->name[0] == '.' ||
            !cli_files_is_jpeg_name(event->name))
            continue;
        *path = cli_files_join(watch->directory, event->name);
        return *path ? CLI_WATCH_FILE : CLI_WATCH_FAILED;
    }
}
