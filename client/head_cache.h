/* The head bundle on disk: fetched from the server, revalidated by ETag. */
#ifndef CLEAVE_CLIENT_HEAD_CACHE_H
#define CLEAVE_CLIENT_HEAD_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/status.h"
#include "client/transport.h"
#include "nn/nn.h"

/* One cached bundle: a file in the cache directory, named for the server, the
 * model asked for and whether it can answer locally, beside a note with its
 * ETag, size and CRC-32C. Bundles are replaced by rename, so a crash leaves
 * the old or the new one, and a lock file keeps processes apart. Not
 * thread-safe. */
struct cli_head_cache;

/* `directory`: where to keep bundles, NULL for $XDG_CACHE_HOME/cleave or
 * ~/.cache/cleave; made with mode 0700 if missing. `model`: the name asked
 * for, "" for the server's default. API_USAGE if there is no place,
 * API_INTERNAL if the directory cannot be made or used, both with a reason. */
enum api_status cli_head_cache_open(const char *directory,
                                    const char *server_url, const char *model,
                                    bool include_local,
                                    struct cli_head_cache **cache,
                                    struct api_error *error);

/* Sets *cache to NULL; the files stay. NULL is fine. */
void cli_head_cache_close(struct cli_head_cache **cache);

/* Where what was learnt beside this bundle may be kept; lives as long as the
 * cache. */
const char *cli_head_cache_learnt_path(const struct cli_head_cache *cache);

/* Opens the cached bundle without asking the server. API_NOT_FOUND if there is
 * none, API_BAD_BUNDLE if it was damaged since it was stored. *model becomes
 * the caller's. */
enum api_status cli_head_cache_load(struct cli_head_cache *cache,
                                    struct nn_model **model,
                                    struct api_error *error);

/* Asks the server for the bundle of the model called `model_name`, stores it if
 * it is new and valid, and opens it. Where the disk is full or fails, the
 * bundle is held in memory instead, see cli_head_cache_trouble. A damaged
 * cached file is fetched again. A bundle that nn_model_open refuses never
 * replaces a stored one. Takes at most about `timeout_ms`, and gives up after
 * `stall_ms` without progress. Errors of cli_transport_request, those that
 * HTTP codes stand for, and API_BAD_BUNDLE. */
enum api_status cli_head_cache_fetch(struct cli_head_cache *cache,
                                     struct cli_transport *transport,
                                     const char *model_name, double timeout_ms,
                                     double stall_ms, struct nn_model **model,
                                     struct api_error *error);

/* Why the last fetch could not keep the bundle on disk, as one sentence; "" if
 * it could. Borrowed until the next fetch. */
const char *cli_head_cache_trouble(const struct cli_head_cache *cache);

#endif
