/* What operators ask: alive, ready, metrics, slow requests. */
#include <string.h>

#include "nn/nn.h"
#include "server/app.h"
#include "server/handlers.h"
#include "server/slow.h"
#include "server/tls.h"

static void reply_text(struct srv_request *request, const char *type,
                       const char *text)
{
    srv_reply_static(request, type, text, strlen(text));
}

void srv_healthz(struct srv_request *request)
{
    reply_text(request, "application/json", "{\"status\":\"ok\"}");
}

bool srv_reply_unless_ready(struct srv_request *request)
{
    unsigned served, failed;
    srv_registry_count(request->app->registry, &served, &failed);
    if (srv_app_is_draining(request->app))
        srv_reply_problem(request, API_OVERLOADED,
                          "the server is shutting down");
    else if (served == 0)
        srv_reply_problem(request, API_OVERLOADED, "no model is loaded");
    return request->reply.code == 0;
}

/* A bundle that is refused takes no model away, so it does not keep traffic
 * off; but whoever rolls out new models should see it. */
void srv_readyz(struct srv_request *request)
{
    unsigned served, failed;
    srv_registry_count(request->app->registry, &served, &failed);
    if (srv_reply_unless_ready(request))
        reply_text(request, "application/json",
                   failed ? "{\"status\":\"ready\",\"bundles\":\"refused\"}"
                          : "{\"status\":\"ready\",\"bundles\":\"loaded\"}");
}

void srv_metrics_text(struct srv_request *request)
{
    struct srv_app *app = request->app;
    struct srv_gauges gauges = {
        .queue_depth = srv_queue_depth(app->queue),
        .running = srv_queue_running(app->queue),
        .certificate_ends = app->tls ? srv_tls_not_after(app->tls) : 0,
        .isa = nn_cpu_name(),
    };
    srv_registry_count(app->registry, &gauges.models, &gauges.models_failed);
    size_t bytes = 0;
    char *text = srv_metrics_write(app->metrics, &gauges, &bytes);
    srv_reply_owned(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                    text, bytes);
}

void srv_debug_slow(struct srv_request *request)
{
    struct srv_app *app = request->app;
    size_t bytes = 0;
    char *text = srv_slow_write(app->slow, app->config->slow_ms, &bytes);
    srv_reply_owned(request, 200, "application/json", text, bytes);
    srv_reply_header(request, "Cache-Control", "no-store");
}
