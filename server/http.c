/* The one file that knows libmicrohttpd. Each request passes through
 * on_target (first line), on_request (headers, body, end, and again after a
 * wait) and on_completed. */
#include "server/http.h"

#include <microhttpd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/access.h"
#include "server/client_of.h"
#include "server/framing.h"
#include "server/linger.h"
#include "server/monotonic.h"
#include "server/peers.h"
#include "server/reaper.h"
#include "server/request.h"
#include "server/routes.h"
#include "server/tls.h"

/* Buffer for one connection's headers, and window onto its body. */
#define CONNECTION_BYTES ((size_t)32 << 10)
/* Longer than libcurl keeps an idle connection (118 s), so that it is the
 * client that closes, and no request meets a closing server. */
#define IDLE_US (130 * INT64_C(1000000))
/* A client that reads a reply more slowly than this is cut off. */
#define SLOWEST_BYTES_PER_MS 4
/* At its own limit the library stops accepting and clients hang. So it may
 * take some connections more than there should be, which are told to come
 * back later, or, if they only ask for health, answered. */
#define SURPLUS 64u
#define SURPLUS_US 2000000

struct srv_http {
    struct srv_app *app;
    struct MHD_Daemon *daemon;
    MHD_socket listening; /* once it no longer is the library's */
    struct srv_reaper *reaper;
    struct srv_linger *linger;
    struct srv_peers *peers;
    atomic_uint connections;
    _Atomic unsigned active, accepted;
    _Atomic size_t body_bytes; /* of all connections, in memory */
};

/* What the library keeps for us with a connection. */
struct connection {
    struct srv_reaper_entry *entry;
    struct srv_peer *peer; /* NULL: cut off */
    bool surplus;
    bool idle; /* between an answer and the next request */
};

enum phase { HEADERS, BODY, WAITING, REPLIED };

/* A request together with what the library knows of it. */
struct exchange {
    struct srv_http *http;
    struct MHD_Connection *connection;
    struct srv_reaper_entry *entry;
    enum phase phase;
    bool surplus;  /* its connection is one too many */
    bool accepted; /* came before the server began to drain */
    size_t body_capacity;
    struct srv_request *request;
};

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static int64_t headers_deadline(const struct srv_http *http)
{
    const struct srv_config *config = http->app->config;
    unsigned ms = config->header_timeout_ms < config->request_timeout_ms
                      ? config->header_timeout_ms
                      : config->request_timeout_ms;
    return srv_now_us() + (int64_t)ms * 1000;
}

static int64_t request_deadline(const struct srv_http *http)
{
    return srv_now_us() + (int64_t)http->app->config->request_timeout_ms * 1000;
}

/* Lets a connection in, or cuts it off at once: then nothing of it is served.
 * What is set aside beyond the limit gets a little time, to be told so. */
static void welcome(struct srv_http *http, struct MHD_Connection *from,
                    int socket, struct connection *connection)
{
    struct srv_metrics *metrics = http->app->metrics;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(from, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    connection->surplus =
        atomic_load(&http->connections) > http->app->config->connections;
    connection->entry = srv_reaper_add(http->reaper, socket);
    if (info && info->client_addr)
        connection->peer = srv_peers_enter(http->peers, info->client_addr);
    if (!connection->peer) {
        srv_metrics_reject(metrics, SRV_REJECT_CLIENT_CONNECTIONS);
        shutdown(socket, SHUT_RDWR);
    }
    srv_reaper_arm(connection->entry, connection->surplus
                                          ? srv_now_us() + SURPLUS_US
                                          : headers_deadline(http));
}

/* Comes before the socket is closed. A client that was cut off has had its
 * time. */
static void take_leave(struct srv_http *http, int socket,
                       struct connection *connection)
{
    bool cut = srv_reaper_remove(http->reaper, connection->entry);
    if (connection->peer && !cut)
        srv_linger_take(http->linger, socket);
    if (cut && !connection->idle)
        srv_metrics_reject(http->app->metrics, SRV_REJECT_SLOW);
    srv_peers_leave(http->peers, connection->peer);
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *from,
                          void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct srv_http *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(from, MHD_CONNECTION_INFO_CONNECTION_FD);
    int socket = info ? info->connect_fd : -1;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&http->connections, 1);
        srv_metrics_connections(http->app->metrics, 1);
        *socket_context = calloc(1, sizeof(struct connection));
        if (*socket_context)
            welcome(http, from, socket, *socket_context);
        else
            shutdown(socket, SHUT_RDWR);
    } else {
        atomic_fetch_sub(&http->connections, 1);
        srv_metrics_connections(http->app->metrics, -1);
        if (*socket_context)
            take_leave(http, socket, *socket_context);
        *socket_context = NULL;
    }
}

static void identify_client(struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info && info->client_addr)
        exchange->request->infer.job.client = srv_client_key(info->client_addr);
    info = MHD_get_connection_info(exchange->connection,
                                   MHD_CONNECTION_INFO_CONNECTION_FD);
    exchange->request->socket = info ? info->connect_fd : -1;
}

/* First line of a request. Routing uses this raw target: the library decodes
 * %00 and %2F in its own copy, which would make other paths of some. */
static void *on_target(void *context, const char *target,
                       struct MHD_Connection *connection)
{
    struct srv_http *http = context;
    struct connection *own = connection_of(connection);
    if (!own || !own->peer)
        return NULL; /* cut off, but its bytes were here already */
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->request = srv_request_open(http->app, target ? target : "");
    if (!exchange->request) {
        free(exchange);
        return NULL;
    }
    exchange->http = http;
    exchange->connection = connection;
    exchange->entry = own->entry;
    exchange->surplus = own->surplus;
    own->idle = false;
    exchange->request->exchange = exchange;
    identify_client(exchange);
    if (!own->surplus)
        srv_reaper_arm(exchange->entry, headers_deadline(http));
    exchange->accepted = !srv_app_is_draining(http->app);
    atomic_fetch_add(&http->active, 1);
    atomic_fetch_add(&http->accepted, exchange->accepted);
    return exchange;
}

static void drop_body(struct exchange *exchange)
{
    free(exchange->request->body);
    exchange->request->body = NULL;
    atomic_fetch_sub(&exchange->http->body_bytes, exchange->body_capacity);
    exchange->body_capacity = 0;
}

static void on_completed(void *context, struct MHD_Connection *connection,
                         void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct srv_http *http = context;
    struct exchange *exchange = *request_context;
    if (!exchange)
        return;
    if (exchange->phase == REPLIED)
        srv_access_log(exchange->request);
    else
        srv_access_abort(exchange->request, (int)code);
    connection_of(connection)->idle =
        code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    srv_reaper_arm(exchange->entry, srv_now_us() + IDLE_US);
    drop_body(exchange);
    srv_request_close(&exchange->request);
    atomic_fetch_sub(&http->active, 1);
    atomic_fetch_sub(&http->accepted, exchange->accepted);
    free(exchange);
    *request_context = NULL;
}

static enum MHD_Result see_header(void *context, enum MHD_ValueKind kind,
                                  const char *name, const char *value)
{
    (void)kind;
    srv_framing_see(context, name, value);
    return MHD_YES;
}

/* False, with a reply set, if it is not clear where the request ends. */
static bool check_framing(struct exchange *exchange, const char *version,
                          struct srv_framing *framing)
{
    struct srv_request *request = exchange->request;
    struct api_error error;
    MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, see_header,
                              framing);
    enum api_status status = srv_framing_check(framing, version, &error);
    if (status != API_OK)
        srv_reply_problem(request, status, error.text);
    request->has_length = framing->lengths > 0;
    request->length = framing->length;
    return status == API_OK;
}

/* The reply's body goes over to the response. */
static struct MHD_Response *make_response(struct srv_reply *reply)
{
    struct MHD_Response *response = NULL;
    if (reply->body_bytes == 0)
        response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "",
                                                   MHD_RESPMEM_PERSISTENT);
    else
        response = MHD_create_response_from_buffer(
            reply->body_bytes, (void *)(uintptr_t)reply->body,
            reply->body_owned ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (response && reply->body_bytes > 0)
        reply->body_owned = false;
    return response;
}

/* Never fails loudly: without memory for a header the reply goes without. */
static enum MHD_Result send_reply(struct exchange *exchange)
{
    struct srv_request *request = exchange->request;
    struct srv_reply *reply = &request->reply;
    struct MHD_Response *response = make_response(reply);
    if (!response)
        return MHD_NO;
    if (reply->media_type)
        MHD_add_response_header(response, "Content-Type", reply->media_type);
    char traceparent[SRV_TRACEPARENT_BYTES];
    srv_trace_write(&request->trace, traceparent);
    MHD_add_response_header(response, "X-Request-Id", request->id);
    MHD_add_response_header(response, "traceparent", traceparent);
    for (unsigned i = 0; i < reply->header_count; i++)
        MHD_add_response_header(response, reply->headers[i].name,
                                reply->headers[i].value);
    if (reply->close || srv_app_is_draining(exchange->http->app))
        MHD_add_response_header(response, "Connection", "close");
    srv_access_record(request);
    exchange->phase = REPLIED;
    srv_reaper_arm(exchange->entry,
                   request_deadline(exchange->http) +
                       (int64_t)(reply->body_bytes / SLOWEST_BYTES_PER_MS) *
                           1000);
    enum MHD_Result queued = MHD_queue_response(
        exchange->connection, (unsigned)reply->code, response);
    MHD_destroy_response(response);
    return queued;
}

/* Whoever looks after the server gets through all the same. */
static void turn_away(struct srv_request *request)
{
    bool is_open = request->route && request->route->scope == SRV_SCOPE_OPEN;
    if (request->reply.code == 0 && !is_open) {
        srv_metrics_reject(request->app->metrics, SRV_REJECT_CONNECTIONS);
        srv_reply_problem(request, API_OVERLOADED, "too many connections");
    }
    request->reply.close = true;
}

/* Replying in this first call makes the library close the connection, so a
 * refusal normally waits for the end of the body, which is dropped. Not if the
 * body is too much to take in, or if the client waits for our word: then what
 * still comes is srv_linger_take's. */
static enum MHD_Result take_headers(struct exchange *exchange,
                                    const char *method, const char *version)
{
    struct srv_request *request = exchange->request;
    snprintf(request->method, sizeof request->method, "%s", method);
    srv_identity_choose(srv_request_header(request, "X-Request-Id"),
                        request->id);
    srv_trace_continue(srv_request_header(request, "traceparent"),
                       &request->trace);
    struct srv_framing framing = {.lengths = 0};
    bool misframed = !check_framing(exchange, version, &framing);
    if (!misframed)
        srv_route_begin(request);
    if (exchange->surplus)
        turn_away(request);
    else
        srv_reaper_arm(exchange->entry, request_deadline(exchange->http));
    exchange->phase = BODY;
    bool refused = request->reply.code != 0;
    if (!refused && request->length > request->body_limit) {
        srv_reply_problem(request, API_TOO_LARGE,
                          "the body is larger than this server takes");
        refused = true;
    }
    if (misframed ||
        (refused && (request->length > request->body_limit ||
                     (request->length > 0 && framing.expects_continue)))) {
        request->reply.close = true;
        return send_reply(exchange);
    }
    return MHD_YES;
}

/* Makes room for `more` bytes of body; false if memory or what bodies may use
 * of it is used up. Only bytes that really came count, so that announcing much
 * and sending little starves nobody. */
static bool make_room(struct exchange *exchange, size_t more)
{
    struct srv_request *request = exchange->request;
    size_t need = request->body_bytes + more;
    if (need <= exchange->body_capacity)
        return true;
    /* body_limit bounds the length, so doubling does not overflow. */
    size_t grown = exchange->body_capacity ? exchange->body_capacity : 8192;
    while (grown < need)
        grown *= 2;
    if (grown > request->length)
        grown = (size_t)request->length;
    size_t extra = grown - exchange->body_capacity;
    _Atomic size_t *held = &exchange->http->body_bytes;
    if (grown < need)
        return false;
    if (atomic_fetch_add(held, extra) + extra >
        exchange->http->app->config->body_memory_bytes) {
        atomic_fetch_sub(held, extra);
        return false;
    }
    uint8_t *body = realloc(request->body, grown);
    if (!body) {
        atomic_fetch_sub(held, extra);
        return false;
    }
    request->body = body;
    exchange->body_capacity = grown;
    return true;
}

static void take_body(struct exchange *exchange, const char *bytes,
                      size_t count)
{
    struct srv_request *request = exchange->request;
    bool keep = request->keep_body && request->reply.code == 0;
    if (keep && make_room(exchange, count)) {
        memcpy(request->body + request->body_bytes, bytes, count);
    } else if (keep) {
        drop_body(exchange);
        srv_metrics_reject(exchange->http->app->metrics, SRV_REJECT_MEMORY);
        srv_reply_problem(request, API_OVERLOADED,
                          "too many request bodies at once");
    }
    request->body_bytes += count;
}

static enum MHD_Result take_end(struct exchange *exchange)
{
    struct srv_request *request = exchange->request;
    request->received_us = srv_now_us();
    srv_reaper_arm(exchange->entry, SRV_NO_DEADLINE);
    if (request->reply.code != 0)
        return send_reply(exchange);
    if (!(request->route->flags & SRV_WAITS)) {
        request->route->finish(request);
        return send_reply(exchange);
    }
    /* Suspended first: a worker may be done before finish() returns. From
     * then on the request is the worker's, until it resumes. */
    exchange->phase = WAITING;
    MHD_suspend_connection(exchange->connection);
    request->route->finish(request);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context,
                                  struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_bytes, void **request_context)
{
    struct exchange *exchange = *request_context;
    (void)context;
    (void)connection;
    (void)url;
    if (!exchange)
        return MHD_NO; /* on_target wanted none of it */
    switch (exchange->phase) {
    case HEADERS:
        return take_headers(exchange, method, version);
    case BODY:
        if (*upload_bytes == 0)
            return take_end(exchange);
        take_body(exchange, upload, *upload_bytes);
        *upload_bytes = 0;
        return MHD_YES;
    case WAITING:
        return send_reply(exchange);
    case REPLIED:
        break;
    }
    return MHD_YES;
}

const char *srv_request_header(const struct srv_request *request,
                               const char *name)
{
    const struct exchange *exchange = request->exchange;
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND,
                                       name);
}

void srv_request_resume(struct srv_request *request)
{
    const struct exchange *exchange = request->exchange;
    MHD_resume_connection(exchange->connection);
}

/* The library answers by itself what it cannot read, often before it tells us
 * that there is a request; but it tells its log, and gives the code. */
static void on_library_message(void *context, const char *format,
                               va_list arguments)
{
    static const char answer[] =
        "Error processing request (HTTP response code is %u ";
    struct srv_metrics *metrics = ((struct srv_http *)context)->app->metrics;
    if (strncmp(format, answer, sizeof answer - 1) != 0)
        return;
    const struct srv_observation observation = {
        .route = srv_route_pattern_index(NULL),
        .http_code = (int)va_arg(arguments, unsigned),
    };
    srv_metrics_observe(metrics, &observation);
    srv_metrics_reject(metrics, SRV_REJECT_UNREADABLE);
}

/* Where this thread goes on if the library panics while it stops listening. */
static _Thread_local jmp_buf *stopping;

static void on_library_panic(void *context, const char *file, unsigned line,
                             const char *reason)
{
    (void)context;
    if (stopping)
        longjmp(*stopping, 1);
    fprintf(stderr, "libmicrohttpd, %s:%u: %s", file, line, reason);
    abort();
}

static struct MHD_Daemon *start(struct srv_http *http, int listening)
{
    const struct srv_config *config = http->app->config;
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG |
                           MHD_ALLOW_SUSPEND_RESUME |
                           (http->app->tls ? MHD_USE_TLS : 0);
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0,
         (void *)(uintptr_t)srv_tls_retrieve},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)SRV_TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem *more = http->app->tls ? tls : tls + 2;
    /* A pool of one is a contradiction to the library: 0 is one thread. */
    unsigned pool = config->http_threads > 1 ? config->http_threads : 0;
    MHD_set_panic_func(on_library_panic, NULL);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER,
        on_library_message, http, MHD_OPTION_LISTEN_SOCKET, listening,
        MHD_OPTION_THREAD_POOL_SIZE, pool, MHD_OPTION_CONNECTION_LIMIT,
        config->connections + SURPLUS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_BYTES, MHD_OPTION_URI_LOG_CALLBACK, on_target, http,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_ARRAY,
        more, MHD_OPTION_END);
}

enum api_status srv_http_open(struct srv_app *app, int listening,
                              struct srv_http **http, struct api_error *error)
{
    struct srv_http *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the HTTP server");
    made->app = app;
    made->listening = MHD_INVALID_SOCKET;
    enum api_status status = srv_reaper_open(&made->reaper);
    if (status == API_OK)
        status =
            srv_linger_open(app->config->request_timeout_ms, &made->linger);
    if (status == API_OK)
        status =
            srv_peers_open(app->config->connections_per_client, &made->peers);
    if (status == API_OK) {
        made->daemon = start(made, listening);
        if (made->daemon) {
            *http = made;
            return API_OK;
        }
        status = API_INTERNAL;
    }
    srv_http_close(&made);
    return api_fail(error, status, "cannot start the HTTP server");
}

unsigned srv_http_active(struct srv_http *http)
{
    return atomic_load(&http->active);
}

unsigned srv_http_accepted(struct srv_http *http)
{
    return atomic_load(&http->accepted);
}

/* The library takes the socket out of each thread's epoll set, and panics where
 * the thread, awake with a request, has just done so itself (0.9.75 to 1.0.1,
 * with a pool). Nothing is held or half done then, so it may try again. */
static MHD_socket quiesce(struct MHD_Daemon *daemon)
{
    enum { TRIES = 1000 };
    const struct timespec pause = {0, 1000000};
    volatile int tries = 0;
    jmp_buf again;
    if (setjmp(again) != 0)
        nanosleep(&pause, NULL);
    stopping = ++tries < TRIES ? &again : NULL;
    MHD_socket listening = MHD_quiesce_daemon(daemon);
    stopping = NULL;
    return listening;
}

void srv_http_stop_listening(struct srv_http *http)
{
    http->listening = quiesce(http->daemon);
    /* It must stay open, as the library's threads may still look at it; but
     * clients should be refused, not wait. Unless the socket is a supervisor's:
     * then they wait for the next server. */
    if (http->listening != MHD_INVALID_SOCKET && !http->app->socket_inherited)
        shutdown(http->listening, SHUT_RDWR);
}

void srv_http_close(struct srv_http **http)
{
    struct srv_http *old = *http;
    if (!old)
        return;
    if (old->daemon)
        MHD_stop_daemon(old->daemon);
    if (old->listening != MHD_INVALID_SOCKET)
        close(old->listening);
    srv_linger_close(&old->linger);
    srv_reaper_close(&old->reaper);
    srv_peers_close(&old->peers);
    free(old);
    *http = NULL;
}
