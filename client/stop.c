/* Ending early: what SIGINT and SIGTERM ask of the program cleave. */
#include "client/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

/* A program has one set of signals, hence one of these. The pipe wakes who
 * waits; nobody reads it, so that it wakes all of them. */
static atomic_bool asked;
static int wake_read = -1, wake_write = -1;

void cli_stop_ask(void)
{
    int kept = errno;
    if (!atomic_exchange(&asked, true) && wake_write >= 0) {
        ssize_t ignored = write(wake_write, "", 1);
        (void)ignored; /* the flag is set in any case */
    }
    errno = kept;
}

static void on_signal(int number)
{
    (void)number;
    cli_stop_ask();
}

bool cli_stop_install(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    wake_read = ends[0];
    wake_write = ends[1];
    fcntl(wake_read, F_SETFD, FD_CLOEXEC);
    fcntl(wake_write, F_SETFD, FD_CLOEXEC);
    struct sigaction action = {.sa_handler = on_signal};
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGINT, &action, NULL) == 0 &&
           sigaction(SIGTERM, &action, NULL) == 0;
}

bool cli_stop_asked(void)
{
    return atomic_load(&asked);
}

bool cli_stop_wait_readable(int fd)
{
    struct pollfd waited[2] = {{.fd = fd, .events = POLLIN},
                               {.fd = wake_read, .events = POLLIN}};
    int ready = 0;
    while (!cli_stop_asked() && ready <= 0) {
        ready = poll(waited, 2, -1);
        if (ready < 0 && errno != EINTR)
            return true; /* reading will tell what is wrong */
    }
    return !cli_stop_asked();
}
