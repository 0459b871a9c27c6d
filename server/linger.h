/* The last moments of a connection that the server ends. A socket closed with
 * unread bytes in it, or with more on their way, resets the connection, and the
 * reset makes clients give up before they have read a reply that was sent while
 * they were still sending. So the server says that it has no more to say, and
 * a thread reads on for a while and throws it all away. */
#ifndef CLEAVE_SERVER_LINGER_H
#define CLEAVE_SERVER_LINGER_H

#include <stddef.h>

#include "api/status.h"

/* What a hostile client gets at most: this many connections at once, each this
 * long and for this many bytes. Beyond that they are closed at once. */
#define SRV_LINGER_PLACES 64u
#define SRV_LINGER_MS 10000u
#define SRV_LINGER_BYTES ((size_t)64 << 20)

struct srv_linger;

/* `patience_ms` shortens SRV_LINGER_MS, if it is less. */
enum api_status srv_linger_open(unsigned patience_ms,
                                struct srv_linger **linger);

/* Closes what still lingers. Sets *linger to NULL; NULL is fine. */
void srv_linger_close(struct srv_linger **linger);

/* Call just before the close of a socket that has been told all: keeps another
 * descriptor of it, unless the client has closed, too. Never waits.
 * Thread-safe. */
void srv_linger_take(struct srv_linger *linger, int socket);

#endif
