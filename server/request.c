/* Query parameters in, replies out. */
#include "server/request.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "server/app.h"
#include "server/model.h"
#include "server/monotonic.h"

struct srv_request *srv_request_open(struct srv_app *app, const char *target)
{
    struct srv_request *request = calloc(1, sizeof *request);
    char *path = strdup(target);
    if (!request || !path) {
        free(request);
        free(path);
        return NULL;
    }
    request->app = app;
    request->path = path;
    request->query = path + strlen(path);
    char *mark = strchr(path, '?');
    if (mark) {
        *mark = '\0';
        request->query = mark + 1;
    }
    request->body_limit = app->config->max_body_bytes;
    request->started_us = srv_now_us();
    request->infer.asked = -1;
    request->infer.point = -1;
    request->infer.queue_us = -1;
    request->infer.decode_us = -1;
    request->infer.infer_us = -1;
    request->infer.encode_us = -1;
    return request;
}

void srv_request_close(struct srv_request **request)
{
    struct srv_request *old = *request;
    if (!old)
        return;
    if (old->reply.body_owned)
        free((void *)old->reply.body);
    srv_model_release(&old->model); /* the reply may have been the model's */
    free(old->body);
    free(old->path);
    free(old);
    *request = NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes `length` characters; false for a broken escape, a NUL or too
 * little room. */
static bool percent_decode(const char *text, size_t length, char *out,
                           size_t capacity)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || used + 1 >= capacity)
            return false;
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

int srv_request_query(const struct srv_request *request, const char *name,
                      char *value, size_t capacity)
{
    size_t name_length = strlen(name);
    for (const char *at = request->query; *at;) {
        size_t length = strcspn(at, "&");
        size_t key = strcspn(at, "=&");
        if (key == name_length && memcmp(at, name, key) == 0) {
            const char *text = at + key;
            size_t text_length = length - key;
            if (text_length > 0) { /* the '=' */
                text++;
                text_length--;
            }
            return percent_decode(text, text_length, value, capacity) ? 1 : -1;
        }
        at += length;
        at += *at == '&';
    }
    return 0;
}

/* A whole number in [least, most]; `kind` and `name` say where it stood. */
static enum api_status read_number(const char *text, const char *kind,
                                   const char *name, uint32_t least,
                                   uint32_t most, uint32_t *number,
                                   struct api_error *error)
{
    size_t digits = strspn(text, "0123456789");
    bool good = digits > 0 && digits < 16 && text[digits] == '\0';
    unsigned long long value = good ? strtoull(text, NULL, 10) : 0;
    if (!good || value < least || value > most)
        return api_fail(error, API_BAD_REQUEST,
                        "%s %s takes a whole number from %u to %u", kind, name,
                        (unsigned)least, (unsigned)most);
    *number = (uint32_t)value;
    return API_OK;
}

enum api_status srv_request_number(const struct srv_request *request,
                                   const char *name, uint32_t least,
                                   uint32_t most, uint32_t absent,
                                   uint32_t *number, struct api_error *error)
{
    char text[16];
    int found = srv_request_query(request, name, text, sizeof text);
    if (found == 0) {
        *number = absent;
        return API_OK;
    }
    return read_number(found > 0 ? text : "", "query parameter", name, least,
                       most, number, error);
}

enum api_status srv_request_header_number(const struct srv_request *request,
                                          const char *name, uint32_t least,
                                          uint32_t most, uint32_t absent,
                                          uint32_t *number,
                                          struct api_error *error)
{
    const char *text = srv_request_header(request, name);
    if (!text) {
        *number = absent;
        return API_OK;
    }
    return read_number(text, "header", name, least, most, number, error);
}

bool srv_request_holds(const struct srv_request *request, const char *etag)
{
    const char *at = srv_request_header(request, "If-None-Match");
    size_t length = strlen(etag);
    while (at && *at) {
        at += strspn(at, ", \t");
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (*at != '"')
            return false;
        size_t inside = strcspn(at + 1, "\"");
        if (inside + 2 == length && memcmp(at, etag, length) == 0)
            return true;
        at += 1 + inside;
        at += *at == '"';
    }
    return false;
}

static void set_body(struct srv_request *request, int code,
                     const char *media_type, const void *body,
                     size_t body_bytes, bool owned)
{
    struct srv_reply *reply = &request->reply;
    if (reply->body_owned)
        free((void *)reply->body);
    reply->code = code;
    reply->media_type = media_type;
    reply->body = body;
    reply->body_bytes = body_bytes;
    reply->body_owned = owned;
}

void srv_reply_static(struct srv_request *request, const char *media_type,
                      const void *body, size_t body_bytes)
{
    set_body(request, 200, media_type, body, body_bytes, false);
}

void srv_reply_owned(struct srv_request *request, int code,
                     const char *media_type, void *body, size_t body_bytes)
{
    if (body)
        set_body(request, code, media_type, body, body_bytes, true);
    else
        srv_reply_problem(request, API_NO_MEMORY, "out of memory");
}

void srv_reply_problem(struct srv_request *request, enum api_status status,
                       const char *detail)
{
    static const char last_resort[] =
        "{\"type\":\"/problems/no-memory\",\"title\":\"Out of memory\","
        "\"status\":500,\"detail\":\"out of memory\","
        "\"error\":\"out of memory\"}";
    static const char media_type[] = "application/problem+json";
    const struct api_model *metadata = NULL;
    if (status == API_MODEL_MISMATCH && request->model)
        metadata = &request->model->info;
    char *text = api_problem_write(status, detail, request->id, metadata);
    if (text)
        set_body(request, api_status_http(status), media_type, text,
                 strlen(text), true);
    else
        set_body(request, 500, media_type, last_resort, sizeof last_resort - 1,
                 false);
    if (status == API_OVERLOADED || status == API_QUOTA)
        srv_reply_header(request, "Retry-After", "%d",
                         srv_app_is_draining(request->app) ? 5 : 1);
}

void srv_reply_header(struct srv_request *request, const char *name,
                      const char *format, ...)
{
    struct srv_reply *reply = &request->reply;
    if (reply->header_count == SRV_REPLY_HEADERS)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reply->headers[reply->header_count].value,
              sizeof reply->headers[0].value, format, arguments);
    va_end(arguments);
    reply->headers[reply->header_count++].name = name;
}
