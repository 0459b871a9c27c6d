/* HTTP to the server: the only part that knows libcurl. */
#include "client/transport.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/clock.h"

#define URL_BYTES 1024u
#define HEADER_BYTES 320u

/* Below what servers and proxies commonly keep idle connections open for, so
 * that we are the side that closes. */
#define IDLE_REUSE_S 25L

/* libcurl wakes up by itself when something is due. */
#define POLL_MOST_MS 1000

/* A download slower than this does not count as progress. */
#define STALL_BYTES_PER_S 256L

/* One libcurl handle with the connections that it keeps, for one request at a
 * time. */
struct channel {
    CURL *curl;
    CURLM *multi;         /* drives it, and keeps its connections */
    struct channel *next; /* idle one */
    bool is_asking;       /* a request is under way */
    char curl_error[CURL_ERROR_SIZE];
};

struct cli_transport {
    char url[URL_BYTES];
    double connect_timeout_ms;
    char *token, *ca_file; /* or NULL */
    unsigned long id_base;
    pthread_mutex_t lock; /* guards what follows */
    unsigned long request_count;
    struct channel *idle; /* last used first: its connection is the warmest */
};

/* Where the callbacks of one request put what comes in. */
struct receiver {
    CURL *curl;
    char date[64]; /* header */
    const struct cli_request *request;
    struct cli_reply *reply;
    size_t body_capacity;
    bool too_large;
    int failed_errno;
};

static bool grow_body(struct receiver *receiver, size_t wanted)
{
    if (wanted <= receiver->body_capacity)
        return true;
    size_t capacity = receiver->body_capacity ? receiver->body_capacity : 4096;
    while (capacity < wanted)
        capacity *= 2; /* wanted is at most API_LIMIT_BUNDLE_BYTES + 1 */
    char *body = realloc(receiver->reply->body, capacity);
    if (!body)
        return false;
    receiver->reply->body = body;
    receiver->body_capacity = capacity;
    return true;
}

static bool write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

/* Returning anything else than the count makes libcurl give up. */
static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    (void)size; /* always 1 */
    struct receiver *receiver = context;
    struct cli_reply *reply = receiver->reply;
    if (count > receiver->request->most_reply_bytes - reply->body_bytes) {
        receiver->too_large = true;
        return 0;
    }
    long code = 0;
    curl_easy_getinfo(receiver->curl, CURLINFO_RESPONSE_CODE, &code);
    if (receiver->request->sink_fd >= 0 && code == 200) {
        if (!write_all(receiver->request->sink_fd, bytes, count)) {
            receiver->failed_errno = errno ? errno : EIO;
            return 0;
        }
    } else {
        if (!grow_body(receiver, reply->body_bytes + count + 1)) {
            receiver->failed_errno = ENOMEM;
            return 0;
        }
        memcpy(reply->body + reply->body_bytes, bytes, count);
    }
    reply->body_bytes += count;
    return count;
}

/* Copies the value of the header line "Name: value" if it is the wanted one
 * and fits; joins repeated headers with a comma. */
static void take_header(const char *line, size_t bytes, const char *name,
                        char *value, size_t capacity)
{
    size_t name_bytes = strlen(name);
    if (bytes <= name_bytes || line[name_bytes] != ':' ||
        strncasecmp(line, name, name_bytes) != 0)
        return;
    line += name_bytes + 1;
    bytes -= name_bytes + 1;
    while (bytes > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        bytes--;
    }
    while (bytes > 0 && strchr("\r\n\t ", line[bytes - 1]))
        bytes--;
    size_t used = strlen(value);
    size_t comma = used > 0 ? 1 : 0;
    if (used + comma + bytes >= capacity)
        return;
    if (comma)
        value[used] = ',';
    memcpy(value + used + comma, line, bytes);
    value[used + comma + bytes] = '\0';
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    (void)size; /* always 1 */
    struct receiver *receiver = context;
    struct cli_reply *reply = receiver->reply;
    if (count >= 5 && strncmp(line, "HTTP/", 5) == 0) {
        /* A final reply after an interim one: only the last counts. */
        reply->etag[0] = receiver->date[0] = '\0';
        reply->server_timing[0] = '\0';
    }
    if (memchr(line, '\0', count))
        return count;
    take_header(line, count, "ETag", reply->etag, sizeof reply->etag);
    take_header(line, count, "Date", receiver->date, sizeof receiver->date);
    take_header(line, count, "Server-Timing", reply->server_timing,
                sizeof reply->server_timing);
    return count;
}

/* A proxy from the environment must not come between a device and a server on
 * the same machine. */
static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://");
    if (!host)
        return false;
    host += 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
           (strncasecmp(host, "localhost", 9) == 0 &&
            (host[9] == '\0' || host[9] == ':' || host[9] == '/'));
}

/* A connection that is closed under a request was given up. What the kernel
 * still holds of the body would go on filling a thin link, and keep what is
 * asked next waiting: a reset drops it. */
static int close_socket(void *context, curl_socket_t fd)
{
    const struct channel *channel = context;
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (channel->is_asking)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return close(fd);
}

static bool set_up(const struct cli_transport *transport,
                   struct channel *channel)
{
    CURL *curl = channel->curl;
    bool failed =
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, channel->curl_error) ||
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) ||
        /* A resolver that hangs must not outlast the timeout. */
        curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) ||
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") ||
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) ||
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "cleave/" CLEAVE_VERSION) ||
        curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L) ||
        curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, IDLE_REUSE_S) ||
        curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket) ||
        curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, channel) ||
        curl_multi_setopt(channel->multi, CURLMOPT_MAXCONNECTS, 2L) ||
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) ||
        curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    if (!failed && is_loopback(transport->url))
        failed = curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (!failed && transport->token)
        failed =
            curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) ||
            curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, transport->token);
    if (!failed && transport->ca_file)
        failed = curl_easy_setopt(curl, CURLOPT_CAINFO, transport->ca_file);
    return !failed;
}

static void close_channel(struct channel *channel)
{
    curl_easy_cleanup(channel->curl);
    curl_multi_cleanup(channel->multi);
    free(channel);
}

static enum api_status open_channel(const struct cli_transport *transport,
                                    struct channel **channel,
                                    struct api_error *error)
{
    struct channel *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    made->curl = curl_easy_init();
    made->multi = curl_multi_init();
    if (!made->curl || !made->multi) {
        close_channel(made);
        return api_fail(error, API_NO_MEMORY, "out of memory");
    }
    if (!set_up(transport, made)) {
        close_channel(made);
        return api_fail(error, API_INTERNAL,
                        "this libcurl lacks an option that cleave needs");
    }
    *channel = made;
    return API_OK;
}

/* An idle channel, or a new one where all are in use. */
static enum api_status take_channel(struct cli_transport *transport,
                                    struct channel **channel,
                                    unsigned long *request_number,
                                    struct api_error *error)
{
    pthread_mutex_lock(&transport->lock);
    struct channel *idle = transport->idle;
    if (idle)
        transport->idle = idle->next;
    *request_number = ++transport->request_count;
    pthread_mutex_unlock(&transport->lock);
    if (!idle)
        return open_channel(transport, channel, error);
    *channel = idle;
    return API_OK;
}

static void give_channel(struct cli_transport *transport,
                         struct channel *channel)
{
    pthread_mutex_lock(&transport->lock);
    channel->next = transport->idle;
    transport->idle = channel;
    pthread_mutex_unlock(&transport->lock);
}

enum api_status cli_transport_open(const char *server_url,
                                   double connect_timeout_ms,
                                   struct cli_transport **transport,
                                   struct api_error *error)
{
    size_t bytes = strlen(server_url);
    while (bytes > 0 && server_url[bytes - 1] == '/')
        bytes--;
    bool is_http = strncasecmp(server_url, "http://", 7) == 0 && bytes > 7;
    bool is_https = strncasecmp(server_url, "https://", 8) == 0 && bytes > 8;
    if ((!is_http && !is_https) || strpbrk(server_url, "?# \t\r\n"))
        return api_fail(error, API_USAGE,
                        "the server's URL must look like http://HOST:PORT, "
                        "not \"%.80s\"",
                        server_url);
    if (bytes >= URL_BYTES - 256)
        return api_fail(error, API_USAGE, "the server's URL is too long");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return api_fail(error, API_INTERNAL, "libcurl cannot be initialised");
    struct cli_transport *made = calloc(1, sizeof *made);
    if (!made) {
        curl_global_cleanup();
        return api_fail(error, API_NO_MEMORY, "out of memory");
    }
    memcpy(made->url, server_url, bytes);
    made->connect_timeout_ms = connect_timeout_ms;
    /* Only to tell devices apart in the server's log; not a secret. */
    made->id_base = (unsigned long)(cli_now_ms() * 1e6) * 2654435761ul ^
                    (unsigned long)getpid();
    pthread_mutex_init(&made->lock, NULL);
    enum api_status status = open_channel(made, &made->idle, error);
    if (status != API_OK) {
        cli_transport_close(&made);
        return status;
    }
    *transport = made;
    return API_OK;
}

enum api_status cli_transport_secure(struct cli_transport *transport,
                                     const char *token, const char *ca_file,
                                     struct api_error *error)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz"
                                  "0123456789-._~+/=";
    if (token && (!*token || token[strspn(token, allowed)] != '\0'))
        return api_fail(error, API_USAGE,
                        "the token has characters that tokens must not have");
    if (token)
        transport->token = strdup(token);
    if (ca_file)
        transport->ca_file = strdup(ca_file);
    if ((token && !transport->token) || (ca_file && !transport->ca_file) ||
        !set_up(transport, transport->idle))
        return api_fail(error, API_NO_MEMORY, "out of memory");
    return API_OK;
}

void cli_transport_close(struct cli_transport **transport)
{
    struct cli_transport *old = *transport;
    if (!old)
        return;
    while (old->idle) {
        struct channel *next = old->idle->next;
        close_channel(old->idle);
        old->idle = next;
    }
    pthread_mutex_destroy(&old->lock);
    curl_global_cleanup();
    free(old->token);
    free(old->ca_file);
    free(old);
    *transport = NULL;
}

void cli_reply_free(struct cli_reply *reply)
{
    free(reply->body);
    *reply = (struct cli_reply){.body = NULL};
}

const char *cli_transport_url(const struct cli_transport *transport)
{
    return transport->url;
}

static bool add_header(struct curl_slist **list, const char *name,
                       const char *value)
{
    char line[HEADER_BYTES];
    int bytes = snprintf(line, sizeof line, "%s: %s", name, value);
    if (bytes < 0 || (size_t)bytes >= sizeof line)
        return false;
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer)
        return false;
    *list = longer;
    return true;
}

static bool make_headers(const struct cli_transport *transport,
                         const struct cli_request *request,
                         unsigned long request_number, struct curl_slist **list)
{
    char id[64];
    snprintf(id, sizeof id, "%08lx-%lu", transport->id_base & 0xfffffffful,
             request_number);
    if (!add_header(list, "X-Request-Id", id))
        return false;
    /* An empty value takes the header out: without it no second is lost
     * waiting for "100 Continue". */
    struct curl_slist *longer = curl_slist_append(*list, "Expect:");
    if (!longer)
        return false;
    *list = longer;
    if (request->if_none_match &&
        !add_header(list, "If-None-Match", request->if_none_match))
        return false;
    return !request->body ||
           add_header(list, "Content-Type", request->content_type);
}

static long clamp_ms(double ms)
{
    return ms < 1 ? 1 : ms > (double)INT_MAX ? (long)INT_MAX : (long)ceil(ms);
}

static bool set_request(const struct cli_transport *transport,
                        const struct cli_request *request, const char *url,
                        struct curl_slist *headers, struct receiver *receiver)
{
    CURL *curl = receiver->curl;
    long stall_s =
        request->stall_ms > 0 ? clamp_ms(request->stall_ms / 1e3) : 0;
    bool failed = curl_easy_setopt(curl, CURLOPT_URL, url) ||
                  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) ||
                  curl_easy_setopt(curl, CURLOPT_WRITEDATA, receiver) ||
                  curl_easy_setopt(curl, CURLOPT_HEADERDATA, receiver) ||
                  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                                   clamp_ms(request->timeout_ms)) ||
                  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                                   clamp_ms(fmin(transport->connect_timeout_ms,
                                                 request->timeout_ms))) ||
                  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, stall_s) ||
                  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT,
                                   stall_s ? STALL_BYTES_PER_S : 0L);
    if (request->body)
        failed = failed || curl_easy_setopt(curl, CURLOPT_POST, 1L) ||
                 curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body) ||
                 curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                                  (curl_off_t)request->body_bytes);
    else
        failed = failed || curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    return !failed;
}

/* Why a transfer failed, in the words of the operating system where it knows
 * and of libcurl elsewhere. */
static enum api_status explain(const struct cli_transport *transport,
                               const struct channel *channel, CURLcode code,
                               const struct receiver *receiver,
                               struct api_error *error)
{
    if (receiver->too_large)
        return api_fail(error, API_TOO_LARGE,
                        "the server's reply is larger than %zu bytes",
                        receiver->request->most_reply_bytes);
    if (receiver->failed_errno == ENOMEM)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    char text[120] = "";
    if (receiver->failed_errno) {
        strerror_r(receiver->failed_errno, text, sizeof text);
        return api_fail(error, API_INTERNAL, "writing failed: %s", text);
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        curl_off_t connected_us = 0; /* 0 on a reused connection, too, would be
                                        CURLINFO_CONNECT_TIME_T */
        curl_easy_getinfo(channel->curl, CURLINFO_PRETRANSFER_TIME_T,
                          &connected_us);
        return api_fail(error, API_DEADLINE,
                        connected_us > 0 ? "no answer within %.0f ms"
                                         : "no connection within %.0f ms",
                        connected_us > 0 ? receiver->request->timeout_ms
                                         : fmin(receiver->request->timeout_ms,
                                                transport->connect_timeout_ms));
    }
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return api_fail(error, API_DEADLINE, "no longer waited for");
    if (code == CURLE_OUT_OF_MEMORY)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    long system_errno = 0;
    curl_easy_getinfo(channel->curl, CURLINFO_OS_ERRNO, &system_errno);
    if (code == CURLE_COULDNT_CONNECT && system_errno > 0 &&
        strerror_r((int)system_errno, text, sizeof text) == 0) {
        text[0] = (char)tolower((unsigned char)text[0]);
        return api_fail(error, API_UNREACHABLE, "%s", text);
    }
    const char *words =
        channel->curl_error[0] ? channel->curl_error : curl_easy_strerror(code);
    return api_fail(error, API_UNREACHABLE, "%.150s", words);
}

/* Like curl_easy_perform, but ends as soon as off_fd is readable. */
static CURLcode perform(struct channel *channel, const int *off_fd)
{
    CURLcode code = CURLE_OUT_OF_MEMORY;
    struct curl_waitfd off = {.events = CURL_WAIT_POLLIN};
    int running = 1, left;
    if (off_fd)
        off.fd = *off_fd;
    if (curl_multi_add_handle(channel->multi, channel->curl) != CURLM_OK)
        return code;
    channel->is_asking = true;
    while (curl_multi_perform(channel->multi, &running) == CURLM_OK &&
           running > 0 && off.revents == 0)
        (void)curl_multi_poll(channel->multi, off_fd ? &off : NULL,
                              off_fd ? 1 : 0, POLL_MOST_MS, NULL);
    const CURLMsg *message = curl_multi_info_read(channel->multi, &left);
    if (message)
        code = message->data.result;
    else if (off.revents != 0)
        code = CURLE_ABORTED_BY_CALLBACK;
    curl_multi_remove_handle(channel->multi, channel->curl);
    channel->is_asking = false;
    return code;
}

static void read_measures(CURL *curl, struct cli_reply *reply)
{
    long code = 0;
    curl_off_t retry_s = 0, ready_us = 0, total_us = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_s);
    curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &total_us);
    reply->http_code = (int)code;
    reply->retry_after_ms = retry_s > 0 ? (double)retry_s * 1e3 : 0;
    reply->exchange_ms = fmax((double)(total_us - ready_us) / 1e3, 0);
}

enum api_status cli_transport_request(struct cli_transport *transport,
                                      const struct cli_request *request,
                                      struct cli_reply *reply,
                                      struct api_error *error)
{
    struct curl_slist *headers = NULL;
    struct cli_reply got = {0};
    char url[URL_BYTES];
    int url_bytes =
        snprintf(url, sizeof url, "%s%s", transport->url, request->path);
    if (url_bytes < 0 || (size_t)url_bytes >= sizeof url)
        return api_fail(error, API_USAGE, "the request's URL is too long");
    struct channel *channel = NULL;
    unsigned long number = 0;
    enum api_status status = take_channel(transport, &channel, &number, error);
    if (status != API_OK)
        return status;
    struct receiver receiver = {
        .curl = channel->curl, .request = request, .reply = &got};
    channel->curl_error[0] = '\0';
    if (!make_headers(transport, request, number, &headers) ||
        !set_request(transport, request, url, headers, &receiver) ||
        !grow_body(&receiver, 1)) {
        status = api_fail(error, API_NO_MEMORY, "out of memory");
        goto out;
    }
    double start_ms = cli_now_ms();
    CURLcode code = perform(channel, request->off_fd);
    got.total_ms = cli_now_ms() - start_ms;
    if (code != CURLE_OK) {
        status = explain(transport, channel, code, &receiver, error);
        goto out;
    }
    read_measures(channel->curl, &got);
    time_t date = curl_getdate(receiver.date, NULL);
    got.date_s = date > 0 ? (int64_t)date : 0;
    bool sunk = request->sink_fd >= 0 && got.http_code == 200;
    got.body[sunk ? 0 : got.body_bytes] = '\0';
    *reply = got;
    got.body = NULL;
out:
    free(got.body);
    /* The channel outlives the list and must not point to it. */
    curl_easy_setopt(channel->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    give_channel(transport, channel);
    return status;
}
