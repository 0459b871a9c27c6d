/* Several servers: what is known of those not in use, and changing over. */
#include "client/servers.h"

#include <math.h>

#include "client/client.h"
#include "client/clock.h"
#include "client/remote.h"

#define TRIAL_TIMEOUT_MS 2000.0
#define TRIAL_LEAST_MS 1.0
#define TRIAL_SHARE 0.5

enum api_status cli_servers_add(struct cleave *handle, const char *url,
                                struct api_error *error)
{
    if (handle->server_count == CLI_SERVERS_MOST)
        return api_fail(error, API_USAGE, "at most %d servers can be named",
                        CLI_SERVERS_MOST);
    struct cli_standby *added = &handle->servers[handle->server_count];
    *added = (struct cli_standby){.fingerprint = 0};
    cli_cost_reset(&added->cost, handle->decider.server.ms_per_mmac.mean);
    enum api_status status = cli_transport_open(url, handle->connect_timeout_ms,
                                                &added->transport, error);
    if (status != API_OK)
        return status;
    if (handle->server_count == 0)
        handle->transport = added->transport;
    handle->server_count++;
    return API_OK;
}

void cli_servers_close(struct cleave *handle)
{
    for (unsigned i = 0; i < handle->server_count; i++)
        cli_transport_close(&handle->servers[i].transport);
    handle->transport = NULL;
    handle->server_count = 0;
}

/* What was learnt of the server in use is put aside, what is known of the next
 * one taken up. */
static void change_to(struct cleave *handle, unsigned next)
{
    struct cli_standby *old = &handle->servers[handle->server];
    old->link = handle->decider.link;
    old->cost = handle->decider.server;
    old->breaker = handle->decider.breaker;
    old->fingerprint = handle->server_fingerprint;
    old->queue_ms = handle->decider.queue_ms;
    const struct cli_standby *new = &handle->servers[next];
    handle->transport = new->transport;
    handle->decider.link = new->link;
    handle->decider.server = new->cost;
    handle->decider.breaker = new->breaker;
    handle->server_fingerprint = new->fingerprint;
    handle->decider.queue_ms = new->queue_ms;
    handle->stale_retry_ms = 0;
    handle->server = next;
}

bool cli_servers_fail_over(struct cleave *handle)
{
    for (unsigned i = 0; i < handle->server_count; i++) {
        if (i == handle->server ||
            !cli_breaker_allows(&handle->servers[i].breaker, cli_now_ms()))
            continue;
        change_to(handle, i);
        cli_client_log(handle, CLEAVE_WARNING, "%s; going on with %s",
                       handle->last_failure,
                       cli_transport_url(handle->transport));
        return true;
    }
    return false;
}

void cli_servers_fail_back(struct cleave *handle, double spare_ms)
{
    double timeout_ms = fmin(fmin(handle->request_timeout_ms, TRIAL_TIMEOUT_MS),
                             spare_ms * TRIAL_SHARE);
    for (unsigned i = 0; i < handle->server; i++) {
        struct cli_standby *better = &handle->servers[i];
        if (timeout_ms < TRIAL_LEAST_MS ||
            !cli_breaker_allows(&better->breaker, cli_now_ms()))
            continue;
        double elapsed_ms = 0;
        cli_client_unlock(handle);
        enum api_status status = cli_remote_probe(
            better->transport, 0, 0, timeout_ms, NULL, &elapsed_ms, NULL);
        cli_client_lock(handle);
        if (status == API_OK && i < handle->server) {
            cli_breaker_success(&better->breaker);
            change_to(handle, i);
            cli_client_log(handle, CLEAVE_NOTE, "back to %s",
                           cli_transport_url(handle->transport));
        } else if (status != API_OK && i != handle->server) {
            cli_breaker_failure(&better->breaker, cli_now_ms(),
                                cli_decider_random(&handle->decider), 0);
        }
        return;
    }
}
