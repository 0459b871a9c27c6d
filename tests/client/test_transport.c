/* How connections end: given up at once, done with in order. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/transport.h"
#include "tests/run_suite.h"

/* Beyond what sockets of a server that reads nothing take. */
#define BODY_BYTES (1u << 20)
#define RECEIVE_BUFFER_BYTES 4096
#define TIMEOUT_MS 300.0

static int listener;
static struct cli_transport *transport;
static struct api_error why;

static void set_up(void)
{
    char url[64];
    int bytes = RECEIVE_BUFFER_BYTES;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(listener, 0);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size),
                     0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
    ck_assert_int_eq(cli_transport_open(url, 1000, &transport, &why), API_OK);
}

static void tear_down(void)
{
    cli_transport_close(&transport);
    close(listener);
}

/* Reads a connection to its end: errno of that, 0 for an orderly one. */
static int read_to_end(int fd, size_t *bytes)
{
    char block[4096];
    ssize_t got;
    *bytes = 0;
    while ((got = recv(fd, block, sizeof block, 0)) > 0)
        *bytes += (size_t)got;
    return got < 0 ? errno : 0;
}

START_TEST(test_what_is_given_up_is_sent_no_further)
{
    struct cli_reply reply;
    uint8_t *body = calloc(BODY_BYTES, 1);
    const struct cli_request request = {.path = "/",
                                        .body = body,
                                        .body_bytes = BODY_BYTES,
                                        .content_type = "image/jpeg",
                                        .timeout_ms = TIMEOUT_MS,
                                        .most_reply_bytes = 100,
                                        .sink_fd = -1};
    size_t bytes = 0;
    /* The kernel makes the connection; nobody reads it. */
    ck_assert_int_eq(cli_transport_request(transport, &request, &reply, &why),
                     API_DEADLINE);
    int fd = accept(listener, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(read_to_end(fd, &bytes), ECONNRESET);
    ck_assert_uint_lt(bytes, BODY_BYTES);
    close(fd);
    free(body);
}
END_TEST

/* Answers one request, then waits for the connection's end. */
static void *serve(void *context)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char block[4096];
    size_t bytes;
    int *ended_by = context, fd = accept(listener, NULL, NULL);
    if (recv(fd, block, sizeof block, 0) > 0 &&
        send(fd, answer, strlen(answer), MSG_NOSIGNAL) > 0)
        *ended_by = read_to_end(fd, &bytes);
    close(fd);
    return NULL;
}

START_TEST(test_what_was_answered_ends_in_order)
{
    const struct cli_request request = {.path = "/",
                                        .timeout_ms = 100 * TIMEOUT_MS,
                                        .most_reply_bytes = 100,
                                        .sink_fd = -1};
    struct cli_reply reply;
    pthread_t server;
    int ended_by = -1;
    ck_assert_int_eq(pthread_create(&server, NULL, serve, &ended_by), 0);
    ck_assert_int_eq(cli_transport_request(transport, &request, &reply, &why),
                     API_OK);
    cli_reply_free(&reply);
    cli_transport_close(&transport);
    pthread_join(server, NULL);
    ck_assert_int_eq(ended_by, 0);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("transport");
    TCase *group = tcase_create("ends of connections");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_add_test(group, test_what_is_given_up_is_sent_no_further);
    tcase_add_test(group, test_what_was_answered_ends_in_order);
    suite_add_tcase(suite, group);
    return suite;
}
