/* A file that needs no disk. */
#ifndef CLEAVE_CLIENT_MEMORY_FILE_H
#define CLEAVE_CLIENT_MEMORY_FILE_H

#define CLI_MEMORY_PATH_BYTES 32

/* Makes an empty file in memory, open for writing, and writes the path by which
 * this process can open it as long as the descriptor is open. Its memory is
 * given back when nothing maps it any more. -1 with errno. */
int cli_memory_file(char path[CLI_MEMORY_PATH_BYTES]);

#endif
