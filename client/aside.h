/* One thing that the client does beside a picture, by a thread of its own. */
#ifndef CLEAVE_CLIENT_ASIDE_H
#define CLEAVE_CLIENT_ASIDE_H

#include <pthread.h>
#include <stdbool.h>

/* Zero-initialised: nothing was begun. */
struct cli_aside {
    bool begun;
    pthread_t thread;
    int off_fd; /* readable once it is called off; see cli_request.off_fd */
};

/* Begins `run`(context) in a thread that takes no signals. False if the system
 * has no thread or descriptor left. */
bool cli_aside_begin(struct cli_aside *aside, void *(*run)(void *),
                     void *context);

/* Makes off_fd readable: calls off the request that is under way there or, from
 * there, the one that has become needless. Fine where nothing was begun. */
void cli_aside_call_off(const struct cli_aside *aside);

/* Waits until it has ended; fine where nothing was begun. */
void cli_aside_end(struct cli_aside *aside);

#endif
