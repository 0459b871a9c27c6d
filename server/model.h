/* One model as served: its documents, its workspaces, and who uses it. */
#ifndef CLEAVE_SERVER_MODEL_H
#define CLEAVE_SERVER_MODEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "api/json.h"
#include "api/status.h"
#include "nn/nn.h"
#include "server/folder.h"
#include "server/metrics.h"
#include "server/workspace.h"

/* Bytes served as they are, with their strong entity tag. */
struct srv_document {
    char *bytes; /* owned; NULL if the model cannot give it */
    size_t count;
    char etag[64];
};

/* Immutable once open but for leases and idle workspaces. */
struct srv_model {
    struct nn_model *nn;
    struct api_model info;
    struct srv_document metadata, labels;
    struct srv_document head, head_with_local;
    int offload_point;  /* index of the point for POST …/classify, or -1 */
    size_t latent_most; /* floats of its largest latent */
    /* Counters of its points, the last of requests that reached none. */
    struct srv_series *series[API_LIMIT_POINTS + 1];
    atomic_uint leases;
    pthread_mutex_t lock;       /* of `idle` */
    struct srv_workspace *idle; /* those that no thread has borrowed */
};

/* What every model gets. */
struct srv_model_options {
    unsigned workspaces; /* at least 1: one for each thread that will borrow */
    unsigned threads_per_request; /* that share the computing of one */
    unsigned batch;               /* frames that are computed together */
    struct srv_metrics *metrics;
};

/* Reads and validates the bundle in `file`, opens its workspaces and runs its
 * self-test. The caller has the first lease. */
enum api_status srv_model_open(const struct srv_bundle_file *file,
                               const struct srv_model_options *options,
                               struct srv_model **model,
                               struct api_error *error);

/* A model lives as long as it has a lease; whoever has one may give another.
 * Ending one sets *model to NULL; NULL is fine. Thread-safe. */
struct srv_model *srv_model_lease(struct srv_model *model);
void srv_model_release(struct srv_model **model);

/* Lends an idle workspace; there is one for each thread. The borrower has a
 * lease and gives it back before that ends. Thread-safe. */
struct srv_workspace *srv_model_borrow(struct srv_model *model);
void srv_model_give_back(struct srv_model *model,
                         struct srv_workspace *workspace);

#endif
