/* What every handler may use: the running server. */
#ifndef CLEAVE_SERVER_APP_H
#define CLEAVE_SERVER_APP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "server/auth.h"
#include "server/config.h"
#include "server/loader.h"
#include "server/metrics.h"
#include "server/queue.h"
#include "server/registry.h"

struct srv_slow;
struct srv_tls;

struct srv_app {
    const struct srv_config *config;
    struct srv_auth *auth; /* NULL without a token file */
    struct srv_tls *tls;   /* NULL: plain HTTP */
    struct srv_registry *registry;
    struct srv_queue *queue; /* of inference */
    struct srv_loader *loader;
    struct srv_metrics *metrics;
    struct srv_slow *slow;
    bool socket_inherited; /* the supervisor goes on listening */
    atomic_bool draining;  /* set once: no new inference is accepted */
};

static inline bool srv_app_is_draining(struct srv_app *app)
{
    return atomic_load(&app->draining);
}

#endif
