/* To be preloaded: the main thread is twice told that what it takes out of an
 * epoll set is not there, as where another thread was quicker. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LOST = 2 };

typedef int control(int, int, int, struct epoll_event *);

__attribute__((visibility("default"))) int
epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
    static int lost;
    control *real = (control *)dlsym(RTLD_NEXT, "epoll_ctl");
    if (operation == EPOLL_CTL_DEL && gettid() == getpid() && lost < LOST) {
        lost++;
        fprintf(stderr, "lost the race\n");
        errno = ENOENT;
        return -1;
    }
    return real(set, operation, fd, event);
}
