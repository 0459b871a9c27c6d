/* The listening socket. */
#ifndef CLEAVE_SERVER_LISTENER_H
#define CLEAVE_SERVER_LISTENER_H

#include "api/status.h"

/* Binds and listens on host ("" for every address) and port ("0" for any free
 * one). The socket becomes the caller's to close; *bound_port is the port in
 * use. API_INTERNAL with the system's reason if no address can be had. */
enum api_status srv_listener_open(const char *host, const char *port,
                                  int *socket, unsigned *bound_port,
                                  struct api_error *error);

/* The same with a socket that the process was started with: sd_listen_fds(3),
 * "socket activation". *socket is -1 if there is none. API_USAGE if there are
 * several or it does not listen. Once: the variables that tell are removed. */
enum api_status srv_listener_inherit(int *socket, unsigned *bound_port,
                                     struct api_error *error);

#endif
