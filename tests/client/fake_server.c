/* A server that misbehaves on purpose, on raw sockets in a child process. */
#include "fake_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MOST (1u << 20)

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static bool send_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

/* Reads one request whole and leaves its path in `path`. */
static bool read_request(int fd, char text[REQUEST_MOST + 1], char *path,
                         size_t capacity)
{
    size_t used = 0, wanted = SIZE_MAX;
    while (used < wanted && used < REQUEST_MOST) {
        ssize_t got = recv(fd, text + used, REQUEST_MOST - used, 0);
        if (got <= 0)
            return false;
        used += (size_t)got;
        text[used] = '\0';
        char *end = strstr(text, "\r\n\r\n");
        if (!end || wanted != SIZE_MAX)
            continue;
        wanted = (size_t)(end - text) + 4;
        char *length = strcasestr(text, "\r\nContent-Length:");
        if (length && length < end)
            wanted += strtoul(length + 17, NULL, 10);
    }
    char *from = strchr(text, ' ');
    char *to = from ? strchr(from + 1, ' ') : NULL;
    if (!to || (size_t)(to - from) > capacity)
        return false;
    memcpy(path, from + 1, (size_t)(to - from - 1));
    path[to - from - 1] = '\0';
    return true;
}

static void wait_for_close(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        ;
}

static void drip(int fd, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && send_all(fd, bytes + i, 1); i++)
        pause_ms(20);
    wait_for_close(fd);
}

static void send_endless(int fd)
{
    char block[4096];
    memset(block, 'x', sizeof block);
    while (send_all(fd, block, sizeof block))
        ;
}

static void behave(int fd, const struct fake_route *route)
{
    char head[1024];
    bool endless = route->conduct == FAKE_ENDLESS;
    int bytes = snprintf(head, sizeof head, "HTTP/1.1 %d Fake\r\n%s",
                         route->code, route->headers ? route->headers : "");
    if (!endless)
        bytes += snprintf(head + bytes, sizeof head - (size_t)bytes,
                          "Content-Length: %zu\r\n", route->body_bytes);
    bytes += snprintf(head + bytes, sizeof head - (size_t)bytes,
                      "Connection: close\r\n\r\n");
    bool bodyless = route->code == 304;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    switch (route->conduct) {
    case FAKE_LATE:
        pause_ms(500);
        /* fall through */
    case FAKE_REPLY:
        if (send_all(fd, head, (size_t)bytes) && !bodyless)
            send_all(fd, route->body, route->body_bytes);
        return;
    case FAKE_CLOSE:
        return;
    case FAKE_RESET:
    case FAKE_CUT:
        send_all(fd, head, (size_t)bytes);
        send_all(fd, route->body, route->body_bytes / 2);
        pause_ms(20);
        if (route->conduct == FAKE_RESET)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        return;
    case FAKE_HANG:
        wait_for_close(fd);
        return;
    case FAKE_DRIP:
        drip(fd, head, (size_t)bytes);
        return;
    case FAKE_ENDLESS:
        if (send_all(fd, head, (size_t)bytes))
            send_endless(fd);
        return;
    case FAKE_GARBAGE:
        send_all(fd, "\x16\x03\x01\x02garbage\r\n\r\n\0\xff", 18);
        return;
    }
}

/* What a connection's thread is told; it frees this. */
struct connection {
    int fd;
    const struct fake_route *routes;
    size_t count;
    atomic_uint *hits;
    char text[REQUEST_MOST + 1];
};

static void serve(struct connection *connection)
{
    static const struct fake_route unknown = {
        .code = 404, .body = "no such thing", .body_bytes = 13};
    char path[512];
    if (!read_request(connection->fd, connection->text, path, sizeof path))
        return;
    const struct fake_route *fit = &unknown;
    for (size_t i = 0; i < connection->count && fit == &unknown; i++) {
        const struct fake_route *route = &connection->routes[i];
        if (strncmp(path, route->path, strlen(route->path)) != 0 ||
            (route->most && connection->hits[i] >= route->most) ||
            (route->needs && !strstr(connection->text, route->needs)))
            continue;
        connection->hits[i]++;
        fit = route;
    }
    behave(connection->fd, fit);
}

static void *run_connection(void *context)
{
    struct connection *connection = context;
    serve(connection);
    close(connection->fd);
    free(connection);
    return NULL;
}

static void accept_forever(int listener, const struct fake_route *routes,
                           size_t count, atomic_uint *hits)
{
    for (;;) {
        struct connection *connection = malloc(sizeof *connection);
        if (!connection)
            _exit(1);
        connection->fd = accept(listener, NULL, NULL);
        connection->routes = routes;
        connection->count = count;
        connection->hits = hits;
        pthread_t thread;
        if (connection->fd < 0 ||
            pthread_create(&thread, NULL, run_connection, connection) != 0)
            _exit(1);
        pthread_detach(thread);
    }
}

void fake_start(struct fake_server *server, const struct fake_route *routes,
                size_t count)
{
    ck_assert_uint_le(count, FAKE_ROUTES_MOST);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 16), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size),
                     0);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
    void *shared =
        mmap(NULL, FAKE_ROUTES_MOST * sizeof(atomic_uint),
             PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    server->hits = shared;
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0)
        accept_forever(listener, routes, count, server->hits);
    close(listener);
}

void fake_stop(struct fake_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    munmap((void *)server->hits, FAKE_ROUTES_MOST * sizeof(atomic_uint));
}
