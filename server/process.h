/* What the kernel knows of this process. */
#ifndef CLEAVE_SERVER_PROCESS_H
#define CLEAVE_SERVER_PROCESS_H

#include <stdint.h>

struct srv_process {
    double cpu_seconds;      /* user and system */
    uint64_t resident_bytes; /* 0 if /proc is not there */
    uint64_t virtual_bytes;
    uint64_t open_fds, max_fds;
};

/* Reads the present values. Thread-safe. */
void srv_process_read(struct srv_process *process);

/* Gives freed memory back to the system, which the C library would keep for
 * later. Worth milliseconds after something large. Thread-safe. */
void srv_process_return_memory(void);

/* Lets the process open as many files as its hard limit allows: each
 * connection is one. */
void srv_process_raise_fd_limit(void);

#endif
