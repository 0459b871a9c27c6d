/* New JPEG files in a directory, each when it is finished. */
#ifndef CLEAVE_CLIENT_WATCH_H
#define CLEAVE_CLIENT_WATCH_H

/* A file counts as finished when its writer closes it or moves it into the
 * directory; names that begin with a dot are temporary and do not count. Not
 * thread-safe. */
struct cli_watch;

/* Begins to watch. NULL with errno. */
struct cli_watch *cli_watch_open(const char *directory);

/* NULL is fine. */
void cli_watch_close(struct cli_watch **watch);

enum cli_watch_outcome {
    CLI_WATCH_FILE,
    CLI_WATCH_MISSED, /* files came faster than they were taken: the kernel
                       * kept no record of some */
    CLI_WATCH_END,    /* the program is to stop */
    CLI_WATCH_GONE,   /* the directory was removed, moved or unmounted */
    CLI_WATCH_FAILED  /* see errno */
};

/* Waits for the next one. *path is malloc'ed and becomes the caller's. */
enum cli_watch_outcome cli_watch_next(struct cli_watch *watch, char **path);

#endif
