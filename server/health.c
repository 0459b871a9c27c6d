/* What operators ask: alive, ready, metrics, the API's description. */
#include <string.h>

#include "nn/nn.h"
#include "server/app.h"
#include "server/handlers.h"
#include "server/openapi.h"

static void reply_text(struct srv_request *request, const char *type,
                       const char *text)
{
    srv_reply_static(request, type, text, strlen(text));
}

void srv_pointer(struct srv_request *request)
{
    reply_text(request, "text/plain; charset=utf-8",
               "cleaved " CLEAVE_VERSION ", a Cleave server\n\n"
               "  curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' "
               "<this address>/v1/classify\n\n"
               "Models: /v1/models   Description: /openapi.yaml   "
               "Health: /healthz /readyz /metrics\n");
}

void srv_healthz(struct srv_request *request)
{
    reply_text(request, "application/json", "{\"status\":\"ok\"}");
}

/* The listener opens only after every worker has passed its self-test, so
 * draining is the one way of not being ready. */
void srv_readyz(struct srv_request *request)
{
    if (srv_app_is_draining(request->app))
        srv_reply_problem(request, API_OVERLOADED,
                          "the server is shutting down");
    else
        reply_text(request, "application/json", "{\"status\":\"ready\"}");
}

void srv_metrics_text(struct srv_request *request)
{
    struct srv_app *app = request->app;
    size_t bytes = 0;
    char *text =
        srv_metrics_write(app->metrics, srv_queue_depth(app->queue),
                          srv_queue_running(app->queue), nn_cpu_name(), &bytes);
    srv_reply_owned(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                    text, bytes);
}

void srv_openapi(struct srv_request *request)
{
    srv_reply_static(request, "application/yaml", srv_openapi_text,
                     srv_openapi_bytes);
}
