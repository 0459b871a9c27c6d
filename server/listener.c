/* Resolves the address to listen on and binds to it, or finds it done. */
#include "server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define FIRST_INHERITED 3 /* SD_LISTEN_FDS_START */

/* The socket, or -1 with errno set. */
static int listen_on(const struct addrinfo *address)
{
    int made =
        socket(address->ai_family, address->ai_socktype, address->ai_protocol);
    if (made < 0)
        return -1;
    int on = 1, off = 0;
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6)
        setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    fcntl(made, F_SETFD, FD_CLOEXEC);
    if (bind(made, address->ai_addr, address->ai_addrlen) == 0 &&
        listen(made, BACKLOG) == 0)
        return made;
    int why = errno;
    close(made);
    errno = why;
    return -1;
}

static unsigned port_of(int socket)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(socket, (struct sockaddr *)&address, &length) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    if (address.ss_family != AF_INET)
        return 0;
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

enum api_status srv_listener_open(const char *host, const char *port,
                                  int *socket, unsigned *bound_port,
                                  struct api_error *error)
{
    struct addrinfo hints, *found = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    int failed = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (failed)
        return api_fail(error, API_INTERNAL, "cannot listen on %.80s: %s", host,
                        gai_strerror(failed));
    int made = -1, why = 0;
    for (struct addrinfo *at = found; at && made < 0; at = at->ai_next) {
        made = listen_on(at);
        why = errno;
    }
    freeaddrinfo(found);
    if (made < 0)
        return api_fail(error, API_INTERNAL, "cannot listen on %.80s:%s: %s",
                        host, port, strerror(why));
    *socket = made;
    *bound_port = port_of(made);
    return API_OK;
}

enum api_status srv_listener_inherit(int *socket, unsigned *bound_port,
                                     struct api_error *error)
{
    const char *process = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    char own[24];
    snprintf(own, sizeof own, "%ld", (long)getpid());
    *socket = -1;
    /* Variables that a parent process left behind mean another one. */
    if (!process || !count || strcmp(process, own) != 0)
        return API_OK;
    bool is_one = strcmp(count, "1") == 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!is_one)
        return api_fail(error, API_USAGE,
                        "started with several sockets; one is needed");
    int listens = 0;
    socklen_t length = sizeof listens;
    if (getsockopt(FIRST_INHERITED, SOL_SOCKET, SO_ACCEPTCONN, &listens,
                   &length) != 0 ||
        !listens)
        return api_fail(error, API_USAGE,
                        "started with something that is no listening socket");
    fcntl(FIRST_INHERITED, F_SETFD, FD_CLOEXEC);
    *socket = FIRST_INHERITED;
    *bound_port = port_of(FIRST_INHERITED);
    return API_OK;
}
