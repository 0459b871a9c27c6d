/* A real cleaved, started and ended by a test. */
#ifndef CLEAVE_TESTS_RUNNING_SERVER_H
#define CLEAVE_TESTS_RUNNING_SERVER_H

#include <sys/types.h>

#define TINY_MODEL CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors"
#define PHOTO CLEAVE_SOURCE_DIR "/tests/data/pictures/coffee.jpg"

struct running_server {
    pid_t pid;
    unsigned port;
    char url[64];        /* http://127.0.0.1:PORT */
    char folder[64];     /* removed by the end */
    const char *ca_file; /* trusted for https; NULL: plain http */
    char log[96];        /* what it wrote to standard error */
};

/* Starts cleaved on a free port with the tiny model and `arguments` (NULL at
 * the end), and waits until it listens. It dies with the test. */
void server_start(struct running_server *server, const char *const *arguments);

/* Sends a signal, if it is not 0, waits for the end and returns the exit
 * status; fails the test if cleaved died of a signal. Removes the folder. */
int server_end(struct running_server *server, int signal_number);

/* Waits until `text` stands `count` times in the log, and returns the log so
 * far, malloc'ed. The test's timeout ends what never comes. */
char *server_log_wait(const struct running_server *server, const char *text,
                      unsigned count);

/* Runs cleaved to its end; its output (cut to `capacity`) comes back, and its
 * exit status. `environment`: NAME=VALUE to add, or NULL. */
int server_run(const char *const *arguments, const char *environment,
               char *output, size_t capacity);

/* A file's bytes, malloc'ed, with a NUL behind them. */
char *file_read(const char *path, size_t *bytes);

#endif
