/* The models that are served, and the files that they come from. */
#ifndef CLEAVE_SERVER_REGISTRY_H
#define CLEAVE_SERVER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "api/limits.h"
#include "api/oip.h"
#include "api/status.h"
#include "server/metrics.h"
#include "server/model.h"

/* Every bundle that was found, whether it is served or was refused. Requests
 * take leases of models from any thread; the files are looked at by one thread
 * at a time, which alone calls what is marked "loader". A model is replaced
 * only by one that passed its self-test; the old one lives until its last
 * lease ends. */
struct srv_registry;

struct srv_registry_options {
    const char *model;         /* path of one bundle, or */
    const char *folder;        /* "" or DIR/<model>/<version>/… */
    const char *default_model; /* name, or "" for the first one */
    struct srv_model_options each;
};

/* Loads what is there; `options` are borrowed. Fails if that leaves no model
 * to serve. */
enum api_status srv_registry_open(const struct srv_registry_options *options,
                                  struct srv_registry **registry,
                                  struct api_error *error);
/* All leases must have ended. */
void srv_registry_close(struct srv_registry **registry);

/* Leases the model called `name` (NULL: the default model) in `version`
 * (NULL: the newest one that is served); NULL if there is none. Both are
 * given with their lengths. Thread-safe. */
struct srv_model *srv_registry_take(struct srv_registry *registry,
                                    const char *name, size_t name_length,
                                    const char *version, size_t version_length);

/* Leases the version of a model that has this fingerprint, or NULL.
 * Thread-safe. */
struct srv_model *srv_registry_take_print(struct srv_registry *registry,
                                          const char *name,
                                          uint64_t fingerprint);

/* Leases every model, the default one first, then by name, newest version
 * first; returns how many. Thread-safe. */
size_t srv_registry_take_all(struct srv_registry *registry,
                             struct srv_model *models[API_LIMIT_MODELS]);

/* Describes every bundle; returns how many. Thread-safe. */
size_t srv_registry_index(struct srv_registry *registry,
                          struct api_bundle_state bundles[API_LIMIT_MODELS]);

/* Bundles that are served, and those whose latest file was refused.
 * Thread-safe. */
void srv_registry_count(struct srv_registry *registry, unsigned *served,
                        unsigned *failed);

/* Looks at the files: loads what is new or changed, stops serving what is
 * gone. A bundle that is refused is no failure of the scan: API_NOT_FOUND if
 * the files could not be looked at, and then nothing changes. Loader. */
enum api_status srv_registry_scan(struct srv_registry *registry,
                                  struct api_error *error);

/* Loads all versions of a model, changed or not, or stops serving them until
 * they are loaded again by name. API_NOT_FOUND if no bundle has that name,
 * API_UNPROCESSABLE if one was refused. Loader. */
enum api_status srv_registry_load(struct srv_registry *registry,
                                  const char *name, struct api_error *error);
enum api_status srv_registry_unload(struct srv_registry *registry,
                                    const char *name, struct api_error *error);

#endif
