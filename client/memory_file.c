/* A file that needs no disk. */
#define _GNU_SOURCE /* memfd_create */
#include "client/memory_file.h"

#include <stdio.h>
#include <sys/mman.h>

int cli_memory_file(char path[CLI_MEMORY_PATH_BYTES])
{
    int fd = memfd_create("cleave-bundle", MFD_CLOEXEC);
    snprintf(path, CLI_MEMORY_PATH_BYTES, "/proc/self/fd/%d", fd);
    return fd;
}
