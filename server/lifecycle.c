/* Drains: refuse, finish, hand back what is left, stop. */
#include "server/lifecycle.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "server/log.h"
#include "server/monotonic.h"

#define STEP_NS 10000000L     /* between looks at what is left */
#define LAST_WORDS_US 2000000 /* to send replies after the drain */

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

static void all_signals(sigset_t *set)
{
    stop_signals(set);
    sigaddset(set, SIGHUP);
}

void srv_signals_prepare(void)
{
    sigset_t set;
    all_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

int srv_signal_wait(unsigned most_ms)
{
    sigset_t set;
    all_signals(&set);
    const struct timespec timeout = {(time_t)(most_ms / 1000),
                                     (long)(most_ms % 1000) * 1000000};
    int number;
    do
        number = most_ms ? sigtimedwait(&set, NULL, &timeout)
                         : sigwaitinfo(&set, NULL);
    while (number < 0 && errno == EINTR);
    return number < 0 ? 0 : number;
}

/* True if another signal came during one step. */
static bool step(void)
{
    sigset_t set;
    stop_signals(&set);
    const struct timespec timeout = {0, STEP_NS};
    return sigtimedwait(&set, NULL, &timeout) > 0;
}

/* Waits until `left` counts nothing more; true if it came to that. */
static bool wait_for_none(unsigned (*left)(struct srv_http *),
                          struct srv_http *http, int64_t deadline_us)
{
    bool impatient = false;
    while (left(http) > 0 && srv_now_us() < deadline_us && !impatient)
        impatient = step();
    return left(http) == 0;
}

void srv_drain(struct srv_app *app, struct srv_http **http)
{
    int64_t drain_us = (int64_t)app->config->drain_ms * 1000;
    atomic_store(&app->draining, true);
    srv_log_message(SRV_INFO, "draining", "no new inference is accepted");

    /* The listener stays open meanwhile: who comes now gets a 503 rather than
     * a broken connection. */
    if (!wait_for_none(srv_http_accepted, *http, srv_now_us() + drain_us))
        srv_log_message(SRV_WARN, "drain_cut_short",
                        "waiting requests are refused");
    srv_loader_stop(app->loader);
    srv_queue_abandon(app->queue);
    while (srv_queue_running(app->queue) > 0)
        step();
    srv_http_stop_listening(*http);
    wait_for_none(srv_http_active, *http, srv_now_us() + LAST_WORDS_US);
    srv_http_close(http);
}
