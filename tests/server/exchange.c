/* libcurl wrapped for tests. */
#include "exchange.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/json.h"

struct text {
    char *bytes;
    size_t count;
};

static size_t collect(char *bytes, size_t size, size_t count, void *context)
{
    struct text *text = context;
    text->bytes = realloc(text->bytes, text->count + size * count + 1);
    if (!text->bytes)
        return 0;
    memcpy(text->bytes + text->count, bytes, size * count);
    text->count += size * count;
    text->bytes[text->count] = '\0';
    return size * count;
}

void exchange_send(CURL *curl, const struct running_server *server,
                   const char *method, const char *path, const char *header,
                   const void *body, size_t body_bytes,
                   struct exchange *exchange)
{
    CURL *own = curl ? NULL : curl_easy_init();
    CURL *handle = curl ? curl : own;
    ck_assert_ptr_nonnull(handle);
    char url[512];
    snprintf(url, sizeof url, "%s%s", server->url, path);
    char trouble[CURL_ERROR_SIZE] = "";
    struct text headers = {NULL, 0}, content = {NULL, 0};
    collect("", 1, 0, &headers);
    collect("", 1, 0, &content);
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    if (header)
        list = curl_slist_append(list, header);
    if (!header || strncasecmp(header, "Content-Type", 12) != 0)
        list = curl_slist_append(list, "Content-Type:");

    curl_easy_reset(handle); /* which keeps its connections */
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, trouble);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 100000L);
    curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, collect);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &headers);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &content);
    if (server->ca_file)
        curl_easy_setopt(handle, CURLOPT_CAINFO, server->ca_file);
    if (body) {
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)body_bytes);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body);
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);

    exchange->code = 0;
    exchange->new_connections = -1;
    CURLcode result = curl_easy_perform(handle);
    if (result == CURLE_OK) {
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &exchange->code);
        curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS,
                          &exchange->new_connections);
    } else {
        fprintf(stderr, "%s %s: no answer: %s: %s\n", method, path,
                curl_easy_strerror(result), trouble);
    }
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, NULL); /* it ends here */
    exchange->headers = headers.bytes;
    exchange->body = content.bytes;
    exchange->body_bytes = content.count;
    curl_slist_free_all(list);
    if (own)
        curl_easy_cleanup(own);
}

void exchange_free(struct exchange *exchange)
{
    free(exchange->headers);
    free(exchange->body);
}

void exchange_get(const struct running_server *server, const char *path,
                  struct exchange *exchange)
{
    exchange_send(NULL, server, "GET", path, NULL, NULL, 0, exchange);
}

int exchange_header(const struct exchange *exchange, const char *name,
                    char *value, size_t capacity)
{
    size_t length = strlen(name);
    for (const char *at = exchange->headers; at && *at;) {
        size_t line = strcspn(at, "\r\n");
        if (line > length && at[length] == ':' &&
            strncasecmp(at, name, length) == 0) {
            if (capacity > 0)
                snprintf(value, capacity, "%.*s", (int)(line - length - 2),
                         at + length + 2);
            return 1;
        }
        at += line;
        at += strspn(at, "\r\n");
    }
    ck_assert_msg(capacity == 0, "no header %s in\n%s", name,
                  exchange->headers);
    return 0;
}

void exchange_assert_problem(const struct exchange *exchange,
                             enum api_status status)
{
    ck_assert_msg(exchange->code == api_status_http(status),
                  "HTTP %ld instead of %d: %s", exchange->code,
                  api_status_http(status), exchange->body);
    char value[200], id[100], type[100];
    exchange_header(exchange, "Content-Type", value, sizeof value);
    ck_assert_str_eq(value, "application/problem+json");
    exchange_header(exchange, "X-Request-Id", id, sizeof id);

    struct api_error problem;
    ck_assert_int_eq(
        api_problem_read(exchange->body, exchange->body_bytes, &problem),
        API_OK);
    ck_assert_int_eq(problem.status, status);
    json_t *root = json_loadb(exchange->body, exchange->body_bytes, 0, NULL);
    snprintf(type, sizeof type, "/problems/%s", api_status_name(status));
    ck_assert_str_eq(json_string_value(json_object_get(root, "type")), type);
    ck_assert_str_eq(json_string_value(json_object_get(root, "title")),
                     api_status_title(status));
    ck_assert_int_eq((int)json_integer_value(json_object_get(root, "status")),
                     api_status_http(status));
    ck_assert_str_eq(json_string_value(json_object_get(root, "detail")),
                     json_string_value(json_object_get(root, "error")));
    ck_assert_str_eq(json_string_value(json_object_get(root, "request_id")),
                     id);
    json_decref(root);
    if (status == API_OVERLOADED || status == API_QUOTA) {
        exchange_header(exchange, "Retry-After", value, sizeof value);
        ck_assert_int_ge(strtol(value, NULL, 10), 1);
    }
    if (status == API_METHOD_NOT_ALLOWED)
        exchange_header(exchange, "Allow", value, sizeof value);
}

double exchange_metric(const struct running_server *server, const char *name)
{
    struct exchange exchange;
    exchange_get(server, "/metrics", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    double value = 0;
    size_t length = strlen(name);
    for (const char *at = exchange.body; at && *at;) {
        if (strncmp(at, name, length) == 0 && at[length] == ' ')
            value = strtod(at + length, NULL);
        at = strchr(at, '\n');
        at += at != NULL;
    }
    exchange_free(&exchange);
    return value;
}
