/* Asks a running cleaved whether it is alive, for containers without curl. */
#include "server/healthcheck.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S 2

static const char question[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                               "Connection: close\r\n\r\n";
static const char good[] = "HTTP/1.1 200 ";
#define ANSWER_BYTES (sizeof good - 1)

/* The socket, or -1 with errno set. An address that stands for all addresses
 * leads to this machine, too. */
static int connect_to(const struct addrinfo *address)
{
    int made = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC,
                      address->ai_protocol);
    if (made < 0)
        return -1;
    const struct timeval patience = {PATIENCE_S, 0};
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(made, address->ai_addr, address->ai_addrlen) == 0)
        return made;
    int why = errno;
    close(made);
    errno = why;
    return -1;
}

static size_t ask_plainly(int connected, char *answer)
{
    ssize_t sent = send(connected, question, sizeof question - 1, MSG_NOSIGNAL);
    if (sent != (ssize_t)sizeof question - 1)
        return 0;
    ssize_t count = recv(connected, answer, ANSWER_BYTES, MSG_WAITALL);
    return count > 0 ? (size_t)count : 0;
}

/* Whose certificate it is does not matter: this is the same machine. */
static size_t ask_by_tls(int connected, char *answer)
{
    gnutls_certificate_credentials_t credentials = NULL;
    gnutls_session_t session = NULL;
    size_t count = 0;
    int result = gnutls_certificate_allocate_credentials(&credentials);
    if (result == 0)
        result = gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
    if (result == 0)
        result = gnutls_set_default_priority(session);
    if (result == 0)
        result = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
                                        credentials);
    if (result == 0) {
        gnutls_transport_set_int(session, connected);
        gnutls_handshake_set_timeout(session, PATIENCE_S * 1000);
        do
            result = gnutls_handshake(session);
        while (result < 0 && !gnutls_error_is_fatal(result));
    }
    if (result == 0 &&
        gnutls_record_send(session, question, sizeof question - 1) > 0) {
        ssize_t got = 1;
        while (count < ANSWER_BYTES && got > 0) {
            got = gnutls_record_recv(session, answer + count,
                                     ANSWER_BYTES - count);
            count += got > 0 ? (size_t)got : 0;
        }
    }
    if (session)
        gnutls_deinit(session);
    if (credentials)
        gnutls_certificate_free_credentials(credentials);
    return count;
}

enum api_status srv_healthcheck(const struct srv_config *config,
                                struct api_error *error)
{
    if (strcmp(config->port, "0") == 0)
        return api_fail(error, API_USAGE,
                        "healthcheck needs the port in --listen");
    struct addrinfo hints, *found = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    int failed = getaddrinfo(config->host[0] ? config->host : NULL,
                             config->port, &hints, &found);
    if (failed)
        return api_fail(error, API_INTERNAL, "%.80s: %s", config->host,
                        gai_strerror(failed));
    int connected = -1, why = 0;
    for (struct addrinfo *at = found; at && connected < 0; at = at->ai_next) {
        connected = connect_to(at);
        why = errno;
    }
    freeaddrinfo(found);
    if (connected < 0)
        return api_fail(error, API_INTERNAL, "%.100s: %s", config->listen,
                        strerror(why));
    char answer[ANSWER_BYTES];
    size_t count = config->tls_cert[0] ? ask_by_tls(connected, answer)
                                       : ask_plainly(connected, answer);
    close(connected);
    if (count == 0)
        return api_fail(error, API_INTERNAL, "%.100s: no answer",
                        config->listen);
    if (count < ANSWER_BYTES || memcmp(answer, good, ANSWER_BYTES) != 0)
        return api_fail(error, API_INTERNAL, "%.100s: \"%.*s\"", config->listen,
                        (int)count, answer);
    return API_OK;
}
