/* Token files, and the comparison that leaks nothing. */
#include "server/auth.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HASH_BYTES 32u
#define LEAST_TOKEN 16u
#define MOST_TOKEN 128u
#define MOST_CLIENTS 4096u
#define LINE_BYTES 400u

struct client {
    char name[SRV_CLIENT_BYTES];
    unsigned scopes;
    unsigned char hash[HASH_BYTES];
};

struct clients {
    size_t count;
    struct client list[MOST_CLIENTS];
};

struct srv_auth {
    pthread_rwlock_t lock;
    struct clients *clients; /* under the lock */
    char path[];
};

static const struct {
    const char *name;
    enum srv_scope scope;
} scopes[] = {
    {"infer", SRV_SCOPE_INFER},
    {"metrics", SRV_SCOPE_METRICS},
    {"admin", SRV_SCOPE_ADMIN},
};
#define SCOPE_COUNT (sizeof scopes / sizeof scopes[0])

const char *srv_scope_name(enum srv_scope scope)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if (scopes[i].scope == scope)
            return scopes[i].name;
    }
    return "";
}

static const char letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* The characters of a b64token, RFC 6750 section 2.1; 0 if it is none. */
static size_t token_length(const char *text)
{
    size_t length = 0;
    while (text[length] &&
           (strchr(letters, text[length]) || strchr("-._~+/", text[length])))
        length++;
    size_t padding = length > 0 ? strspn(text + length, "=") : 0;
    return text[length + padding] == '\0' ? length + padding : 0;
}

static bool hash(const char *token, size_t length, unsigned char *out)
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, token, length, out) == 0;
}

static bool read_scopes(char *text, unsigned *set)
{
    char *rest = NULL;
    *set = 0;
    for (char *name = strtok_r(text, ",", &rest); name;
         name = strtok_r(NULL, ",", &rest)) {
        size_t i = 0;
        while (i < SCOPE_COUNT && strcmp(scopes[i].name, name) != 0)
            i++;
        if (i == SCOPE_COUNT)
            return false;
        *set |= scopes[i].scope;
    }
    return *set != 0;
}

static bool read_secret(const char *text, unsigned char *out)
{
    static const char prefix[] = "sha256:";
    size_t length = token_length(text);
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return length >= LEAST_TOKEN && length <= MOST_TOKEN &&
               hash(text, length, out);
    text += sizeof prefix - 1;
    const gnutls_datum_t hex = {(unsigned char *)(size_t)text,
                                (unsigned)strlen(text)};
    size_t bytes = HASH_BYTES;
    return hex.size == 2 * (size_t)HASH_BYTES &&
           gnutls_hex_decode(&hex, out, &bytes) == 0 && bytes == HASH_BYTES;
}

/* NULL if the line is a client, else what is wrong with it. */
static const char *read_line(char *line, struct client *client)
{
    static const char blank[] = " \t\r\n";
    char *rest = NULL;
    const char *name = strtok_r(line, blank, &rest);
    char *granted = strtok_r(NULL, blank, &rest);
    const char *secret = strtok_r(NULL, blank, &rest);
    if (!secret || strtok_r(NULL, blank, &rest))
        return "it takes NAME SCOPES SECRET";
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        if (!strchr(letters, name[i]) && !strchr("-._", name[i]))
            return "names take letters, digits, '.', '_' and '-'";
    }
    if (length >= sizeof client->name)
        return "the name is too long";
    memcpy(client->name, name, length + 1);
    if (!read_scopes(granted, &client->scopes))
        return "scopes are infer, metrics and admin, joined by commas";
    if (!read_secret(secret, client->hash))
        return "a secret is a token of 16 to 128 characters, or sha256: and "
               "64 hexadecimal digits";
    return NULL;
}

/* Every client is looked at, right or wrong. */
static const struct client *find(const struct clients *clients,
                                 const unsigned char *wanted)
{
    const struct client *found = NULL;
    for (size_t i = 0; i < clients->count; i++) {
        if (gnutls_memcmp(clients->list[i].hash, wanted, HASH_BYTES) == 0)
            found = &clients->list[i];
    }
    return found;
}

static enum api_status read_lines(FILE *file, const char *path,
                                  struct clients *clients,
                                  struct api_error *error)
{
    char line[LINE_BYTES];
    unsigned number = 0;
    enum api_status status = API_OK;
    while (status == API_OK && fgets(line, sizeof line, file)) {
        const char *wrong = NULL;
        number++;
        if (!strchr(line, '\n') && !feof(file)) {
            wrong = "it is too long";
        } else if (line[0] != '#' && line[strspn(line, " \t\r\n")] != '\0') {
            struct client client;
            wrong = clients->count == MOST_CLIENTS ? "too many clients"
                                                   : read_line(line, &client);
            if (!wrong && find(clients, client.hash))
                wrong = "another line has this token";
            if (!wrong)
                clients->list[clients->count++] = client;
        }
        if (wrong)
            status = api_fail(error, API_USAGE, "%.80s, line %u: %s", path,
                              number, wrong);
    }
    gnutls_memset(line, 0, sizeof line);
    if (status == API_OK && ferror(file))
        status = api_fail(error, API_USAGE, "%.80s cannot be read", path);
    return status;
}

enum api_status srv_auth_reload(struct srv_auth *auth, struct api_error *error)
{
    FILE *file = fopen(auth->path, "r");
    if (!file)
        return api_fail(error, API_USAGE, "%.80s: %s", auth->path,
                        strerror(errno));
    enum api_status status = API_NO_MEMORY;
    /* Fresh pages are not touched before a client needs them. */
    struct clients *made = calloc(1, sizeof *made);
    if (made)
        status = read_lines(file, auth->path, made, error);
    else
        api_fail(error, status, "no memory for tokens");
    fclose(file);
    if (status == API_OK) {
        pthread_rwlock_wrlock(&auth->lock);
        struct clients *old = auth->clients;
        auth->clients = made;
        pthread_rwlock_unlock(&auth->lock);
        made = old;
    }
    free(made);
    return status;
}

enum api_status srv_auth_open(const char *path, struct srv_auth **auth,
                              struct api_error *error)
{
    size_t length = strlen(path);
    struct srv_auth *made = calloc(1, sizeof *made + length + 1);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for tokens");
    memcpy(made->path, path, length + 1);
    pthread_rwlock_init(&made->lock, NULL);
    enum api_status status = srv_auth_reload(made, error);
    if (status == API_OK)
        *auth = made;
    else
        srv_auth_close(&made);
    return status;
}

void srv_auth_close(struct srv_auth **auth)
{
    struct srv_auth *old = *auth;
    if (!old)
        return;
    pthread_rwlock_destroy(&old->lock);
    free(old->clients);
    free(old);
    *auth = NULL;
}

/* The token in an Authorization header; NULL if there is none. */
static const char *bearer(const char *header)
{
    static const char scheme[] = "Bearer";
    const size_t length = sizeof scheme - 1;
    if (!header || strncasecmp(header, scheme, length) != 0 ||
        header[length] != ' ')
        return NULL;
    return header + length + strspn(header + length, " ");
}

enum api_status srv_auth_check(struct srv_auth *auth, const char *header,
                               enum srv_scope scope, char *client)
{
    client[0] = '\0';
    if (!auth)
        return scope == SRV_SCOPE_ADMIN ? API_FORBIDDEN : API_OK;
    if (scope == SRV_SCOPE_OPEN)
        return API_OK;
    const char *token = bearer(header);
    size_t length = token ? token_length(token) : 0;
    unsigned char wanted[HASH_BYTES];
    if (length == 0 || length > MOST_TOKEN || !hash(token, length, wanted))
        return API_UNAUTHENTICATED;
    enum api_status status = API_UNAUTHENTICATED;
    pthread_rwlock_rdlock(&auth->lock);
    const struct client *found = find(auth->clients, wanted);
    if (found) {
        memcpy(client, found->name, SRV_CLIENT_BYTES);
        status = found->scopes & scope ? API_OK : API_FORBIDDEN;
    }
    pthread_rwlock_unlock(&auth->lock);
    return status;
}
