/* One thing that the client does beside a picture, by a thread of its own. */
#include "client/aside.h"

#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool cli_aside_begin(struct cli_aside *aside, void *(*run)(void *),
                     void *context)
{
    aside->off_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (aside->off_fd < 0)
        return false;
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    aside->begun = true; /* for the thread itself */
    bool failed = pthread_create(&aside->thread, NULL, run, context) != 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        close(aside->off_fd);
        aside->begun = false;
    }
    return !failed;
}

void cli_aside_call_off(const struct cli_aside *aside)
{
    const uint64_t one = 1;
    /* It fails only where the counter is full, and then it is readable. */
    if (aside->begun && write(aside->off_fd, &one, sizeof one) < 0)
        return;
}

void cli_aside_end(struct cli_aside *aside)
{
    if (!aside->begun)
        return;
    pthread_join(aside->thread, NULL);
    close(aside->off_fd);
    aside->begun = false;
}
