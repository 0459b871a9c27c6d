/* The other end of /healthz: cleaved --healthcheck. */
#ifndef CLEAVE_SERVER_HEALTHCHECK_H
#define CLEAVE_SERVER_HEALTHCHECK_H

#include "server/config.h"

/* Asks the server that runs with these settings on this machine, by TLS if
 * they name a certificate. API_OK if /healthz says 200; else API_INTERNAL, or
 * API_USAGE for settings with port 0. Each step waits two seconds at most. */
enum api_status srv_healthcheck(const struct srv_config *config,
                                struct api_error *error);

#endif
