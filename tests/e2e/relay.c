/* A link that can break: a relay of TCP connections in a child process. */
#include "relay.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Small pieces, so that a body is cut in its middle. */
#define PIECE_BYTES 256

struct connection {
    int client, server;
    struct relay_state *state;
    double free_ms; /* when a paced link has carried all so far; 0: idle */
};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* May these bytes pass? False: the connection is to be reset. Waits while the
 * link is frozen, in both directions once the budget of one is spent. */
static bool pass(struct relay_state *state, bool up, ssize_t bytes)
{
    for (bool counted = false;; pause_ms(5)) {
        int conduct = atomic_load(&state->conduct);
        bool cut = conduct == RELAY_CUT_UP || conduct == RELAY_CUT_DOWN;
        bool of_up = conduct == RELAY_CUT_UP || conduct == RELAY_FREEZE_UP;
        if (conduct == RELAY_PASS || conduct == RELAY_PACE_UP)
            return true;
        if (of_up == up && !counted)
            atomic_fetch_sub(&state->budget, (long)bytes);
        counted = true;
        if (atomic_load(&state->budget) >= 0)
            return true;
        if (cut)
            return false;
    }
}

/* Holds bytes back for as long as a paced link takes. A late wake-up is made up
 * for by the next pieces; a piece that is not full ends what was waiting. */
static void pace(struct connection *connection, bool up, ssize_t bytes)
{
    struct relay_state *state = connection->state;
    if (!up || atomic_load(&state->conduct) != RELAY_PACE_UP)
        return;
    double at_ms = now_ms();
    if (!(connection->free_ms > 0))
        connection->free_ms = at_ms;
    connection->free_ms +=
        1e3 * (double)bytes / (double)atomic_load(&state->budget);
    if (connection->free_ms > at_ms)
        pause_ms((long)(connection->free_ms - at_ms));
    if (bytes < PIECE_BYTES)
        connection->free_ms = 0;
}

/* Moves what has come on one side. False at its end. */
static bool move(struct connection *connection, bool up)
{
    char piece[PIECE_BYTES];
    int from = up ? connection->client : connection->server;
    int to = up ? connection->server : connection->client;
    ssize_t bytes = recv(from, piece, sizeof piece, 0);
    if (bytes <= 0)
        return false;
    if (!pass(connection->state, up, bytes)) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(from, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        setsockopt(to, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        return false;
    }
    pace(connection, up, bytes);
    for (ssize_t at = 0; at < bytes;) {
        ssize_t sent = send(to, piece + at, (size_t)(bytes - at), MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
    }
    return true;
}

static void *run_connection(void *context)
{
    struct connection *connection = context;
    bool open = true;
    while (open) {
        struct pollfd ends[2] = {{connection->client, POLLIN, 0},
                                 {connection->server, POLLIN, 0}};
        poll(ends, 2, -1);
        if (ends[0].revents)
            open = move(connection, true);
        if (open && ends[1].revents)
            open = move(connection, false);
    }
    close(connection->client);
    close(connection->server);
    free(connection);
    return NULL;
}

static void accept_forever(int listener, unsigned port,
                           struct relay_state *state)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (;;) {
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection)
            _exit(1);
        connection->client = accept(listener, NULL, NULL);
        connection->server = socket(AF_INET, SOCK_STREAM, 0);
        connection->state = state;
        pthread_t thread;
        if (connection->client < 0 || connection->server < 0)
            _exit(1);
        /* A server that is away shows as a connection that ends. */
        if (connect(connection->server, (struct sockaddr *)&address,
                    sizeof address) != 0) {
            close(connection->client);
            close(connection->server);
            free(connection);
        } else if (pthread_create(&thread, NULL, run_connection, connection) !=
                   0) {
            _exit(1);
        } else {
            pthread_detach(thread);
        }
    }
}

void relay_start(struct relay *relay, unsigned server_port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 16), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size),
                     0);
    snprintf(relay->url, sizeof relay->url, "http://127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
    void *shared = mmap(NULL, sizeof *relay->state, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    relay->state = shared;
    relay->pid = fork();
    ck_assert_int_ge(relay->pid, 0);
    if (relay->pid == 0)
        accept_forever(listener, server_port, relay->state);
    close(listener);
}

void relay_set(struct relay *relay, enum relay_conduct conduct, long budget)
{
    atomic_store(&relay->state->budget, budget);
    atomic_store(&relay->state->conduct, (int)conduct);
}

void relay_stop(struct relay *relay)
{
    if (relay->pid <= 0)
        return;
    kill(relay->pid, SIGKILL);
    waitpid(relay->pid, NULL, 0);
    munmap(relay->state, sizeof *relay->state);
    relay->pid = 0;
}
