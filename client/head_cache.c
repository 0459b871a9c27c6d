/* The head bundle on disk: fetched from the server, revalidated by ETag. */
#include "client/head_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/limits.h"
#include "client/clock.h"
#include "client/head_note.h"
#include "client/memory_file.h"
#include "client/remote.h"

#define LOCK_POLL_MS 20.0
#define SUFFIX_BYTES 16u

struct cli_head_cache {
    char directory[PATH_MAX];
    char bundle[PATH_MAX];    /* where the valid bundle stands */
    char note[PATH_MAX];      /* its ETag, size and checksum */
    char temporary[PATH_MAX]; /* written under the lock, then renamed */
    char lock[PATH_MAX];
    char learnt[PATH_MAX]; /* what was learnt, see learnt.h */
    bool include_local;
    char trouble[240]; /* why the disk was not used last time; "" if it was */
};

static enum api_status fail_errno(struct api_error *error, const char *what,
                                  const char *path)
{
    char reason[80] = "";
    strerror_r(errno, reason, sizeof reason);
    return api_fail(error, API_INTERNAL, "%s %.90s: %s", what, path, reason);
}

static enum api_status choose_directory(const char *wanted, char *path,
                                        struct api_error *error)
{
    const char *base = wanted, *below = "";
    if (!base || !*base) {
        base = getenv("XDG_CACHE_HOME");
        below = "/cleave";
        /* The XDG specification has relative paths ignored. */
        if (!base || base[0] != '/') {
            base = getenv("HOME");
            below = "/.cache/cleave";
        }
        if (!base || base[0] != '/')
            return api_fail(error, API_USAGE,
                            "no place for the cache: set HOME or "
                            "XDG_CACHE_HOME, or name a cache directory");
    }
    int bytes = snprintf(path, PATH_MAX, "%s%s", base, below);
    if (bytes < 0 || bytes >= PATH_MAX)
        return api_fail(error, API_USAGE, "the cache's path is too long");
    return API_OK;
}

/* Makes the directory and those above it; all that are missing become
 * private. */
static enum api_status make_directory(const char *path, struct api_error *error)
{
    char part[PATH_MAX];
    size_t bytes = strlen(path);
    for (size_t i = 1; i <= bytes; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && i == bytes)
            return fail_errno(error, "cannot make the cache directory", path);
    }
    struct stat info;
    if (stat(path, &info) != 0)
        return fail_errno(error, "cannot use the cache directory", path);
    if (!S_ISDIR(info.st_mode))
        return api_fail(error, API_INTERNAL, "%.120s is not a directory", path);
    if (info.st_mode & S_IWOTH)
        return api_fail(error, API_INTERNAL,
                        "the cache directory %.90s is open to everybody's "
                        "writing; choose another",
                        path);
    if (access(path, W_OK | X_OK) != 0)
        return fail_errno(error, "cannot write to the cache directory", path);
    return API_OK;
}

/* FNV-1a: tells servers and models apart in file names; no secret hangs on it.
 */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    do {
        hash ^= (unsigned char)*text;
        hash *= 1099511628211u;
    } while (*text++);
    return hash;
}

static enum api_status make_names(struct cli_head_cache *cache,
                                  const char *server_url, const char *model,
                                  struct api_error *error)
{
    uint64_t hash = hash_text(14695981039346656037u, server_url);
    hash = hash_text(hash, model);
    char base[PATH_MAX];
    int bytes = snprintf(base, sizeof base, "%s/%.63s-%s-%016llx",
                         cache->directory, *model ? model : "default",
                         cache->include_local ? "local" : "heads",
                         (unsigned long long)hash);
    if (bytes < 0 || (size_t)bytes >= sizeof base - SUFFIX_BYTES)
        return api_fail(error, API_USAGE, "the cache's path is too long");
    snprintf(cache->bundle, PATH_MAX, "%.4000s.safetensors", base);
    snprintf(cache->note, PATH_MAX, "%.4000s.note", base);
    snprintf(cache->temporary, PATH_MAX, "%.4000s.tmp", base);
    snprintf(cache->lock, PATH_MAX, "%.4000s.lock", base);
    snprintf(cache->learnt, PATH_MAX, "%.4000s.learnt", base);
    return API_OK;
}

enum api_status cli_head_cache_open(const char *directory,
                                    const char *server_url, const char *model,
                                    bool include_local,
                                    struct cli_head_cache **cache,
                                    struct api_error *error)
{
    struct cli_head_cache *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    made->include_local = include_local;
    enum api_status status =
        choose_directory(directory, made->directory, error);
    if (status == API_OK)
        status = make_directory(made->directory, error);
    if (status == API_OK)
        status = make_names(made, server_url, model, error);
    if (status == API_OK)
        *cache = made;
    else
        free(made);
    return status;
}

void cli_head_cache_close(struct cli_head_cache **cache)
{
    free(*cache);
    *cache = NULL;
}

const char *cli_head_cache_learnt_path(const struct cli_head_cache *cache)
{
    return cache->learnt;
}

/* Is the stored bundle there, and the same bytes that were stored? */
static enum api_status check_stored(const struct cli_head_cache *cache,
                                    struct cli_head_note *note,
                                    struct api_error *error)
{
    struct cli_head_note stored, found;
    if (access(cache->bundle, R_OK) != 0)
        return api_fail(error, API_NOT_FOUND, "no cached bundle");
    if (!cli_head_note_read(cache->note, &stored) ||
        !cli_head_note_measure(cache->bundle, &found) ||
        found.bytes != stored.bytes || found.crc != stored.crc)
        return api_fail(error, API_BAD_BUNDLE,
                        "the cached bundle %.120s is damaged", cache->bundle);
    *note = stored;
    return API_OK;
}

enum api_status cli_head_cache_load(struct cli_head_cache *cache,
                                    struct nn_model **model,
                                    struct api_error *error)
{
    struct cli_head_note note;
    enum api_status status = check_stored(cache, &note, error);
    return status == API_OK ? nn_model_open(cache->bundle, model, error)
                            : status;
}

/* One process at a time, so that the temporary file is ours and a bundle and
 * its note belong together. */
static enum api_status take_lock(struct cli_head_cache *cache,
                                 double timeout_ms, int *lock_fd,
                                 struct api_error *error)
{
    int fd = open(cache->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(error, "cannot write", cache->lock);
    double until_ms = cli_now_ms() + timeout_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            enum api_status status =
                fail_errno(error, "cannot lock", cache->lock);
            close(fd);
            return status;
        }
        if (cli_now_ms() >= until_ms) {
            close(fd);
            return api_fail(error, API_DEADLINE,
                            "another process is still fetching the bundle");
        }
        cli_sleep_ms(LOCK_POLL_MS);
    }
    *lock_fd = fd;
    return API_OK;
}

/* The disk has failed us: fetching goes on without it. */
static enum api_status lose_disk(struct cli_head_cache *cache,
                                 enum api_status status,
                                 const struct api_error *why)
{
    snprintf(cache->trouble, sizeof cache->trouble,
             "the model cannot be kept in the cache: %.150s", why->text);
    return status;
}

/* Asks for the bundle, to be written to `fd`, unless the server says that
 * `etag` still holds: then *fresh is false. */
static enum api_status request(struct cli_head_cache *cache,
                               struct cli_transport *transport,
                               const char *model_name, const char *etag,
                               double timeout_ms, double stall_ms, int fd,
                               struct cli_head_note *note, bool *fresh,
                               struct api_error *error)
{
    char path[160];
    snprintf(path, sizeof path, "/v1/models/%.63s/head%s", model_name,
             cache->include_local ? "?include=local" : "");
    struct cli_request request = {
        .path = path,
        .if_none_match = *etag ? etag : NULL,
        .timeout_ms = timeout_ms,
        .stall_ms = stall_ms,
        .most_reply_bytes = API_LIMIT_BUNDLE_BYTES,
        .sink_fd = fd,
    };
    struct cli_reply reply = {.body = NULL};
    struct api_error why = {.text = ""};
    enum api_status status =
        cli_transport_request(transport, &request, &reply, &why);
    if (status == API_INTERNAL)
        lose_disk(cache, status, &why);
    if (status != API_OK)
        api_fail(error, status, "%s", why.text);
    else if (reply.http_code != 200 && !(reply.http_code == 304 && *etag))
        status = cli_remote_refusal(&reply, error);
    if (status == API_OK) {
        *fresh = reply.http_code == 200;
        snprintf(note->etag, sizeof note->etag, "%s", reply.etag);
    }
    cli_reply_free(&reply);
    return status;
}

/* Downloads into the temporary file. */
static enum api_status download(struct cli_head_cache *cache,
                                struct cli_transport *transport,
                                const char *model_name, const char *etag,
                                double timeout_ms, double stall_ms,
                                struct cli_head_note *note, bool *fresh,
                                struct api_error *error)
{
    struct api_error why = {.text = ""};
    int fd = open(cache->temporary,
                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return lose_disk(
            cache, fail_errno(&why, "cannot write", cache->temporary), &why);
    enum api_status status =
        request(cache, transport, model_name, etag, timeout_ms, stall_ms, fd,
                note, fresh, error);
    bool written = status != API_OK || !*fresh || fsync(fd) == 0;
    written &= close(fd) == 0;
    if (status == API_OK && !written)
        status = lose_disk(
            cache, fail_errno(&why, "cannot write", cache->temporary), &why);
    return status;
}

/* Downloads into memory. */
static enum api_status
fetch_into_memory(struct cli_head_cache *cache, struct cli_transport *transport,
                  const char *model_name, double timeout_ms, double stall_ms,
                  struct nn_model **model, struct api_error *error)
{
    char path[CLI_MEMORY_PATH_BYTES];
    int fd = cli_memory_file(path);
    if (fd < 0)
        return api_fail(error, API_NO_MEMORY, "%s", cache->trouble);
    struct cli_head_note note;
    bool fresh = false;
    enum api_status status =
        request(cache, transport, model_name, "", timeout_ms, stall_ms, fd,
                &note, &fresh, error);
    if (status == API_OK)
        status = nn_model_open(path, model, error);
    close(fd);
    return status;
}

/* Makes the downloaded file the stored one. The note goes first and returns
 * last: between the two there is none, which only costs another download. */
static enum api_status store(struct cli_head_cache *cache,
                             struct cli_head_note *note,
                             struct api_error *error)
{
    if (!cli_head_note_measure(cache->temporary, note))
        return fail_errno(error, "cannot read", cache->temporary);
    if (unlink(cache->note) != 0 && errno != ENOENT)
        return fail_errno(error, "cannot replace", cache->note);
    if (rename(cache->temporary, cache->bundle) != 0)
        return fail_errno(error, "cannot replace", cache->bundle);
    enum api_status status =
        cli_head_note_write(cache->note, cache->temporary, note, error);
    int directory = open(cache->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        /* Best effort: not every file system lets directories be synced. */
        (void)fsync(directory);
        close(directory);
    }
    return status;
}

static enum api_status fetch_to_disk(struct cli_head_cache *cache,
                                     struct cli_transport *transport,
                                     const char *model_name, double timeout_ms,
                                     double stall_ms, struct nn_model **model,
                                     struct api_error *error)
{
    double until_ms = cli_now_ms() + timeout_ms;
    int lock_fd = -1;
    struct nn_model *opened = NULL;
    struct api_error why = {.text = ""};
    enum api_status status = take_lock(cache, timeout_ms, &lock_fd, &why);
    if (status == API_INTERNAL)
        lose_disk(cache, status, &why);
    if (status != API_OK)
        return api_fail(error, status, "%s", why.text);
    struct cli_head_note note = {.bytes = 0};
    if (check_stored(cache, &note, NULL) != API_OK)
        note.etag[0] = '\0';
    bool fresh = false;
    status = download(cache, transport, model_name, note.etag, timeout_ms,
                      stall_ms, &note, &fresh, error);
    if (status != API_OK)
        goto out;
    if (!fresh && nn_model_open(cache->bundle, &opened, NULL) != API_OK) {
        /* Stored by an older cleave that took more than this one does. */
        status =
            download(cache, transport, model_name, "", until_ms - cli_now_ms(),
                     stall_ms, &note, &fresh, error);
        if (status != API_OK)
            goto out;
    }
    if (fresh) {
        /* The map follows the file through its renaming. */
        status = nn_model_open(cache->temporary, &opened, error);
        if (status != API_OK)
            goto out;
        /* That it cannot be stored costs the next start a download. */
        if (store(cache, &note, &why) != API_OK)
            lose_disk(cache, API_INTERNAL, &why);
    }
    *model = opened;
    opened = NULL;
out:
    nn_model_close(&opened);
    unlink(cache->temporary);
    close(lock_fd);
    return status;
}

enum api_status cli_head_cache_fetch(struct cli_head_cache *cache,
                                     struct cli_transport *transport,
                                     const char *model_name, double timeout_ms,
                                     double stall_ms, struct nn_model **model,
                                     struct api_error *error)
{
    double until_ms = cli_now_ms() + timeout_ms;
    cache->trouble[0] = '\0';
    enum api_status status = fetch_to_disk(cache, transport, model_name,
                                           timeout_ms, stall_ms, model, error);
    if (status == API_OK || !*cache->trouble)
        return status;
    return fetch_into_memory(cache, transport, model_name,
                             until_ms - cli_now_ms(), stall_ms, model, error);
}

const char *cli_head_cache_trouble(const struct cli_head_cache *cache)
{
    return cache->trouble;
}
