/* Plain sockets for requests that no client library would send. */
#include "raw_socket.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int raw_connect(const struct running_server *server)
{
    return raw_connect_from(server, "127.0.0.1");
}

int raw_connect_from(const struct running_server *server, const char *from)
{
    int raw = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(raw, 0);
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    ck_assert_int_eq(inet_pton(AF_INET, from, &address.sin_addr), 1);
    ck_assert_int_eq(bind(raw, (struct sockaddr *)&address, sizeof address), 0);
    address.sin_port = htons((unsigned short)server->port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(raw, (struct sockaddr *)&address, sizeof address),
                     0);
    return raw;
}

bool raw_send(int raw, const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count > 0) {
        ssize_t sent = send(raw, at, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        count -= (size_t)sent;
    }
    return true;
}

bool raw_send_text(int raw, const char *text)
{
    return raw_send(raw, text, strlen(text));
}

/* Reads at least one byte more; false at the end. */
static bool read_more(int raw, char *reply, size_t capacity, size_t *used)
{
    ck_assert_uint_lt(*used, capacity - 1);
    ssize_t got = recv(raw, reply + *used, capacity - 1 - *used, 0);
    if (got <= 0)
        return false;
    *used += (size_t)got;
    reply[*used] = '\0';
    return true;
}

int raw_reply(int raw, char *reply, size_t capacity)
{
    size_t used = 0;
    reply[0] = '\0';
    char *end;
    while (!(end = strstr(reply, "\r\n\r\n"))) {
        if (!read_more(raw, reply, capacity, &used))
            return 0;
    }
    size_t length = 0;
    for (const char *line = reply; line < end;
         line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            length = strtoul(line + 15, NULL, 10);
    }
    int code = (int)strtol(reply + 9, NULL, 10);
    while (code >= 200 && used < (size_t)(end + 4 - reply) + length) {
        if (!read_more(raw, reply, capacity, &used))
            return 0;
    }
    return code;
}

void raw_wait_closed(int raw)
{
    char rest[4096];
    while (recv(raw, rest, sizeof rest, 0) > 0)
        continue;
}

int raw_ask(const struct running_server *server, const char *text, char *reply,
            size_t capacity, bool *closed)
{
    int raw = raw_connect(server);
    raw_send_text(raw, text);
    int code = raw_reply(raw, reply, capacity);
    /* If the server keeps the connection it answers another request. */
    *closed = true;
    if (code != 0 && !strstr(reply, "Connection: close")) {
        char again[2000];
        raw_send_text(raw, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        *closed = raw_reply(raw, again, sizeof again) != 200;
    }
    close(raw);
    return code;
}
