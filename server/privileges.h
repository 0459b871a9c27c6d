/* What the process may do to the machine: as little as it can. */
#ifndef CLEAVE_SERVER_PRIVILEGES_H
#define CLEAVE_SERVER_PRIVILEGES_H

#include "api/status.h"

/* Gives up, for good, what a program that it starts could gain, and becomes
 * `user` with that user's groups; "" stays who it is. API_USAGE if there is no
 * such user, API_INTERNAL if the kernel refuses. Call before threads start,
 * when ports are bound and secrets read. */
enum api_status srv_privileges_drop(const char *user, struct api_error *error);

#endif
