/* Starts the real programs, reads what they say and ends them. */
#ifndef CLEAVE_TESTS_PROCESS_H
#define CLEAVE_TESTS_PROCESS_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define PROCESS_PATH_BYTES 512
#define PROCESS_ARGUMENTS_MOST 512

/* A running program whose stdout can be read; its stderr goes to a file. */
struct process {
    pid_t pid;
    FILE *out;
    char error_path[PROCESS_PATH_BYTES];
};

/* `arguments`: NULL-terminated, beginning with the program's path.
 * `directory`: where stderr is kept. */
void process_start(struct process *process, const char *const *arguments,
                   const char *directory);

/* The next line of stdout without its newline, or NULL at the end. Borrowed
 * until the next call. */
const char *process_line(struct process *process);

/* Reads stdout to its end and waits; the exit status, or 128 + signal. */
int process_finish(struct process *process);

/* Sends a signal and waits; the exit status, or 128 + signal. */
int process_end(struct process *process, int signal_number);

/* Copies what stderr says into `text`, cut to fit. */
void process_errors(const struct process *process, char *text, size_t capacity);

/* A real cleaved. */
struct daemon {
    struct process process;
    unsigned port;
    char url[64];
};

/* Starts it with this bundle on `port` (0: any) and waits until it is ready. */
void daemon_start(struct daemon *daemon, const char *bundle, unsigned port,
                  const char *directory);

#endif
