/* Ending early: what SIGINT and SIGTERM ask of the program cleave. */
#ifndef CLEAVE_CLIENT_STOP_H
#define CLEAVE_CLIENT_STOP_H

#include <stdbool.h>

/* From now on the first SIGINT or SIGTERM only asks to stop; the second one
 * ends the program. False with errno if that cannot be set up. */
bool cli_stop_install(void);

/* Asks to stop, as the signals do. */
void cli_stop_ask(void);

/* Has somebody asked? Thread-safe. */
bool cli_stop_asked(void);

/* Waits until `fd` can be read or is at its end; false if asked to stop, at
 * once where that was before. Thread-safe. */
bool cli_stop_wait_readable(int fd);

#endif
