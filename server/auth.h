/* Bearer tokens (RFC 6750) and what each of them may do. */
#ifndef CLEAVE_SERVER_AUTH_H
#define CLEAVE_SERVER_AUTH_H

#include "api/status.h"

/* What a route demands. A token has any set of the last three. */
enum srv_scope {
    SRV_SCOPE_OPEN = 0, /* nothing: health, description */
    SRV_SCOPE_INFER = 1,
    SRV_SCOPE_METRICS = 2,
    SRV_SCOPE_ADMIN = 4,
};

/* A client's name in the token file, with its NUL. */
#define SRV_CLIENT_BYTES 33u

struct srv_auth;

/* Reads a token file. Each line is NAME SCOPES SECRET: a name of 1 to 32
 * letters, digits, '.', '_' or '-', which logs show; "infer", "metrics",
 * "admin", joined by commas; and a token of 16 to 128 characters in the syntax
 * of RFC 6750, or "sha256:" and the SHA-256 of one in hexadecimal. Blank lines
 * and those that begin with '#' do not count. API_USAGE with the line's number
 * if it is malformed. Only hashes are kept. */
enum api_status srv_auth_open(const char *path, struct srv_auth **auth,
                              struct api_error *error);
void srv_auth_close(struct srv_auth **auth);

/* Reads the file again; on failure the old tokens stay. Thread-safe. */
enum api_status srv_auth_reload(struct srv_auth *auth, struct api_error *error);

/* May the sender of this Authorization header (NULL: none was sent) do what
 * `scope` says? API_OK with the client's name, or "", in `client`, which has
 * room for SRV_CLIENT_BYTES; API_UNAUTHENTICATED; or API_FORBIDDEN: a known
 * client without that scope. `auth` NULL is a server without a token file:
 * everything but SRV_SCOPE_ADMIN is allowed. How long it takes does not depend
 * on how nearly a token is right. Thread-safe. */
enum api_status srv_auth_check(struct srv_auth *auth, const char *header,
                               enum srv_scope scope, char *client);

/* "infer", "metrics", "admin"; "" for SRV_SCOPE_OPEN. */
const char *srv_scope_name(enum srv_scope scope);

#endif
