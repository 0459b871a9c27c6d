/* Bytes to a server and back, exactly as written. */
#ifndef CLEAVE_TESTS_RAW_SOCKET_H
#define CLEAVE_TESTS_RAW_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "running_server.h"

int raw_connect(const struct running_server *server);

/* The same from another address of this machine, e.g. "127.0.0.2". */
int raw_connect_from(const struct running_server *server, const char *address);

/* False if the other side has closed. */
bool raw_send(int raw, const void *bytes, size_t count);
bool raw_send_text(int raw, const char *text);

/* Reads one whole reply, by its Content-Length, into `reply`, NUL-terminated;
 * returns its HTTP code, or 0 if the connection ended before it began. */
int raw_reply(int raw, char *reply, size_t capacity);

/* Reads until the other side closes, and throws it away. */
void raw_wait_closed(int raw);

/* Sends `text` on a new connection and returns the code of the reply, which
 * goes into `reply`; *closed tells whether the server then closed. */
int raw_ask(const struct running_server *server, const char *text, char *reply,
            size_t capacity, bool *closed);

#endif
