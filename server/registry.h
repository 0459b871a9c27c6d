/* The models that are served, with the documents that describe them. */
#ifndef CLEAVE_SERVER_REGISTRY_H
#define CLEAVE_SERVER_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

#include "api/json.h"
#include "api/status.h"
#include "nn/nn.h"

/* Bytes served as they are, with their strong entity tag. */
struct srv_document {
    char *bytes; /* owned; NULL if the model cannot give it */
    size_t count;
    char etag[64];
};

/* A model as served. Immutable once open. */
struct srv_model {
    struct nn_model *nn;
    struct api_model info;
    struct srv_document metadata, labels;
    struct srv_document head, head_with_local;
    int offload_point;  /* index of the point for POST …/classify, or -1 */
    size_t latent_most; /* floats of its largest latent */
};

struct srv_registry;

/* Opens the bundle at `path` as the default model. */
enum api_status srv_registry_open(const char *path,
                                  struct srv_registry **registry,
                                  struct api_error *error);
void srv_registry_close(struct srv_registry **registry);

/* The model called by the first `length` bytes of `name`; NULL if there is
 * none. The default model never is NULL. Both are borrowed from the registry.
 * Thread-safe. */
const struct srv_model *srv_registry_find(const struct srv_registry *registry,
                                          const char *name, size_t length);
const struct srv_model *
srv_registry_default(const struct srv_registry *registry);

/* The body of GET /v1/models. */
const struct srv_document *
srv_registry_list(const struct srv_registry *registry);

#endif
