/* Reads files again, when asked or when they change, and says how it went. */
#include "server/reload.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "server/log.h"
#include "server/tls.h"

/* What tells one state of a file from another; all zero if it is not there.
 * Replaced files differ in their inode, edited ones in time or size. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

static void report(const char *what, enum api_status status,
                   const struct api_error *error)
{
    struct srv_log_line line;
    bool failed = status != API_OK;
    srv_log_begin(&line, failed ? SRV_ERROR : SRV_INFO,
                  failed ? "reload_failed" : "reloaded");
    srv_log_text(&line, "what", what);
    if (failed)
        srv_log_text(&line, "message", error->text);
    srv_log_end(&line);
}

static void reload_tokens(struct srv_app *app)
{
    struct api_error error = {API_OK, ""};
    if (app->auth)
        report("tokens", srv_auth_reload(app->auth, &error), &error);
}

static void reload_certificate(struct srv_app *app)
{
    struct api_error error = {API_OK, ""};
    if (app->tls)
        report("certificate", srv_tls_reload(app->tls, &error), &error);
}

void srv_reload(struct srv_app *app)
{
    reload_tokens(app);
    reload_certificate(app);
}

/* Takes a new look; true if there is another state than before. */
static bool has_changed(const char *path, struct stamp *stamp)
{
    struct stamp now;
    struct stat status;
    memset(&now, 0, sizeof now); /* padding, too, is compared */
    if (path[0] && stat(path, &status) == 0) {
        now.device = status.st_dev;
        now.inode = status.st_ino;
        now.size = status.st_size;
        now.changed = status.st_ctim;
    }
    bool changed = memcmp(&now, stamp, sizeof now) != 0;
    *stamp = now;
    return changed;
}

void srv_reload_changed(struct srv_app *app)
{
    static struct stamp tokens, certificate, key;
    static bool has_looked;
    const struct srv_config *config = app->config;
    bool new_tokens = has_changed(config->tokens, &tokens);
    bool new_certificate = has_changed(config->tls_cert, &certificate);
    bool new_key = has_changed(config->tls_key, &key);
    if (has_looked && new_tokens)
        reload_tokens(app);
    if (has_looked && (new_certificate || new_key))
        reload_certificate(app);
    has_looked = true;
}
