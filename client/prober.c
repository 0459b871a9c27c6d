/* Probes of the link that pictures wait for only briefly. */
#include "client/prober.h"

#include <math.h>
#include <stdlib.h>

#include "client/aside.h"
#include "client/client.h"
#include "client/clock.h"
#include "client/remote.h"

/* The handle's lock guards what changes here. */
struct cli_prober {
    struct cleave *handle;
    struct cli_aside aside;
    pthread_cond_t answered;
    struct cli_transport *transport; /* that it goes to */
    double timeout_ms;
    bool has_ended, is_late; /* nobody waits for it any longer */
};

/* Learns from its end, if that still concerns the server in use. */
static void learn(struct cli_prober *prober, double elapsed_ms,
                  const struct api_error *why)
{
    struct cleave *handle = prober->handle;
    struct cli_decider *decider = &handle->decider;
    double now_ms = cli_now_ms();
    if (prober->transport != handle->transport)
        return; /* a picture met its failure before */
    if (why->status == API_OK) {
        if (prober->is_late &&
            !cli_decider_believes_late_probe(decider, now_ms))
            return;
        cli_client_server_answered(handle);
        cli_decider_saw_reply(decider, 0, elapsed_ms, now_ms);
    } else if (!prober->is_late &&
               (why->status != API_DEADLINE ||
                cli_decider_saw_silence(decider, 0, prober->timeout_ms,
                                        now_ms))) {
        cli_client_server_failed(handle, why, 0);
    }
}

static void *run(void *context)
{
    struct cli_prober *prober = context;
    struct cleave *handle = prober->handle;
    struct api_error why = {.text = ""};
    double elapsed_ms = 0;
    cli_client_lock(handle);
    struct cli_transport *transport = prober->transport;
    cli_client_unlock(handle);
    if (!transport)
        return NULL; /* called off before it began */
    why.status = cli_remote_probe(transport, 0, 0, prober->timeout_ms,
                                  &prober->aside.off_fd, &elapsed_ms, &why);
    cli_client_lock(handle);
    learn(prober, elapsed_ms, &why);
    prober->has_ended = true;
    pthread_cond_broadcast(&prober->answered);
    cli_client_unlock(handle);
    return NULL;
}

static struct cli_prober *open_prober(struct cleave *handle)
{
    struct cli_prober *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->handle = handle;
    cli_condition_init(&made->answered);
    return made;
}

/* Ends the probe before this one: it would have answered long ago. */
static void end_last(struct cli_prober *prober)
{
    struct cleave *handle = prober->handle;
    prober->transport = NULL; /* nothing more is learnt from it */
    cli_client_unlock(handle);
    cli_aside_call_off(&prober->aside);
    cli_aside_end(&prober->aside);
    cli_client_lock(handle);
}

void cli_prober_probe(struct cleave *handle, double wait_ms)
{
    struct cli_prober *prober = handle->prober;
    if (!prober)
        prober = handle->prober = open_prober(handle);
    if (!prober)
        return;
    end_last(prober);
    prober->transport = handle->transport;
    prober->has_ended = prober->is_late = false;
    prober->timeout_ms = fmin(CLI_PROBE_MOST_MS, handle->request_timeout_ms);
    double until_ms = cli_now_ms() + wait_ms;
    struct timespec until = cli_timespec(until_ms);
    if (!cli_aside_begin(&prober->aside, run, prober))
        return;
    while (!prober->has_ended &&
           pthread_cond_timedwait(&prober->answered, &handle->lock, &until) ==
               0)
        ;
    if (prober->has_ended || prober->transport != handle->transport)
        return;
    prober->is_late = true;
    struct api_error why = {.text = ""};
    api_fail(&why, API_DEADLINE, "no answer within %.0f ms", wait_ms);
    if (cli_decider_saw_silence(&handle->decider, 0, wait_ms, cli_now_ms()))
        cli_client_server_failed(handle, &why, 0);
}

void cli_prober_close(struct cli_prober **prober)
{
    struct cli_prober *old = *prober;
    if (!old)
        return;
    cli_aside_call_off(&old->aside);
    cli_aside_end(&old->aside);
    pthread_cond_destroy(&old->answered);
    free(old);
    *prober = NULL;
}
