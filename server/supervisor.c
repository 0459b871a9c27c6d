/* Datagrams, so that libsystemd need not be there. */
#include "server/supervisor.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/monotonic.h"

static void tell(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    size_t length = path ? strlen(path) : 0;
    if (length < 2 || length >= sizeof address.sun_path ||
        (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') /* Linux' abstract names begin with a NUL */
        address.sun_path[0] = '\0';
    int made = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        return;
    socklen_t size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    while (sendto(made, state, strlen(state), MSG_NOSIGNAL,
                  (const struct sockaddr *)&address, size) < 0 &&
           errno == EINTR)
        continue;
    close(made);
}

void srv_supervisor_ready(void)
{
    tell("READY=1");
}

void srv_supervisor_reloading(void)
{
    char state[80];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)srv_now_us());
    tell(state);
}

void srv_supervisor_stopping(void)
{
    tell("STOPPING=1");
}

void srv_supervisor_alive(void)
{
    tell("WATCHDOG=1");
}

/* The variable as a whole number; 0 if it is none. */
static unsigned long long number_from(const char *variable)
{
    const char *text = getenv(variable);
    char *end = NULL;
    errno = 0;
    unsigned long long value = text ? strtoull(text, &end, 10) : 0;
    return errno || !text || end == text || *end ? 0 : value;
}

unsigned srv_supervisor_interval_ms(unsigned most_ms)
{
    unsigned long long half_ms = number_from("WATCHDOG_USEC") / 2000;
    unsigned long long process = number_from("WATCHDOG_PID");
    if (half_ms == 0 || half_ms > most_ms ||
        (getenv("WATCHDOG_PID") && process != (unsigned long long)getpid()))
        return most_ms;
    return (unsigned)half_ms;
}
