/* One thread in which models are loaded, apart from requests. */
#ifndef CLEAVE_SERVER_LOADER_H
#define CLEAVE_SERVER_LOADER_H

#include "api/status.h"
#include "server/queue.h"
#include "server/registry.h"

struct srv_loader;

/* `registry` is borrowed; from now on only the loader calls what the registry
 * marks as the loader's. */
enum api_status srv_loader_open(struct srv_registry *registry,
                                struct srv_loader **loader,
                                struct api_error *error);
/* Ends what runs and sets *loader to NULL; NULL is fine. */
void srv_loader_close(struct srv_loader **loader);

/* Has the files looked at soon. Thread-safe. */
void srv_loader_rescan(struct srv_loader *loader);

/* Runs `job` in the loader's thread; see srv_queue_submit. */
enum api_status srv_loader_submit(struct srv_loader *loader,
                                  struct srv_job *job);

/* Hands back what waits as API_OVERLOADED, refuses what comes, and returns
 * when nothing runs. */
void srv_loader_stop(struct srv_loader *loader);

#endif
