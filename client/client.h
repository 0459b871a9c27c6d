/* The handle behind cleave.h, shared by the files that implement it. */
#ifndef CLEAVE_CLIENT_CLIENT_H
#define CLEAVE_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/json.h"
#include "api/status.h"
#include "client/cleave.h"
#include "client/decider.h"
#include "client/device.h"
#include "client/head_cache.h"
#include "client/servers.h"
#include "client/transport.h"

/* Threads that answer what was submitted, and the one that probes. */
struct cli_crew;
struct cli_prober;
struct cli_hedge;

/* `lock` guards everything here that changes. Whoever holds it lets it go
 * while waiting for the network or the device, and must not rely on points,
 * device or server being the same afterwards: `generation` counts up whenever
 * points and device are replaced. `computing` is held by the one picture that
 * the device works on, so that the times seen are those of one picture; whoever
 * holds it can rely on `device`. It is taken by cli_client_take_device. */
struct cleave {
    pthread_mutex_t lock, computing;
    pthread_cond_t refreshed; /* a refresh by some thread has ended */
    bool refreshing;          /* some thread is asking for a new model */
    bool probing;             /* some thread is measuring the link */
    unsigned generation;
    uint64_t jobs;      /* begun so far */
    uint64_t pixels_of; /* number of the job whose picture the device holds */

    struct cli_transport *transport; /* to the server in use; NULL: none */
    struct cli_head_cache *cache;    /* NULL: bundles are not fetched */
    struct cli_device *device;       /* NULL: no bundle, offload only */
    struct cli_prober *prober;       /* NULL: nothing was probed yet */
    struct cli_crew *crew;           /* NULL: nothing was submitted yet */
    unsigned threads;                /* that it is to have */

    /* All servers in the order of preference, the one in use included: what
     * is known of that one stands below until another takes its place. */
    struct cli_standby servers[CLI_SERVERS_MOST];
    unsigned server_count, server;

    /* The points that indices refer to: of the device's bundle if there is
     * one, else of the server's metadata. */
    struct api_model model;
    uint64_t server_fingerprint; /* what the server runs; 0: not known */
    double stale_retry_ms;       /* no new head bundle before this time */
    char asked_model[64];        /* "" for the server's default */

    double connect_timeout_ms, request_timeout_ms;
    bool hedges;                  /* the device begins before it must */
    struct cli_hedge *stragglers; /* answers that nobody waits for */
    unsigned top;
    cleave_log log; /* NULL: nobody listens */
    void *log_context;

    /* What was learnt, of the device and of the server in use. */
    struct cli_decider decider;
    enum cleave_objective objective;
    struct cli_meter *meter; /* NULL: the machine has none */
    double remember_after_ms;
    struct cli_estimate shrunk_bytes; /* of pictures too large as they are */
    bool device_calibrated;
    enum api_status last_status; /* of the server's last failure */
    char last_failure[200];      /* in words; "" after an answer */
    char notice[320];
};

/* Lock and unlock: see struct cleave. */
void cli_client_lock(struct cleave *handle);
void cli_client_unlock(struct cleave *handle);

/* Waits until the device is this thread's, with the lock held before and
 * after, and gives it back. */
void cli_client_take_device(struct cleave *handle);
void cli_client_give_device(struct cleave *handle);

/* Tells the program's log, if it has one. */
void cli_client_log(const struct cleave *handle, enum cleave_level level,
                    const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Classifies with the lock not held; cleave_classify with a deadline of its
 * own: `until_ms` by cli_now_ms, INFINITY for none. */
enum cleave_status cli_classify(struct cleave *handle, const void *jpeg,
                                size_t jpeg_bytes, const char *point,
                                double until_ms, struct cleave_result *result,
                                struct cleave_error *error);

/* Waits for everything submitted, then ends the threads. NULL is fine. */
void cli_crew_close(struct cli_crew **crew);

/* Every function below needs the lock.
 *
 * Asks the server which model it runs and fetches its head bundle if the
 * device's is another one. Nothing changes on failure but the record of what
 * the server runs. */
enum api_status cli_client_refresh(struct cleave *handle, double timeout_ms,
                                   struct api_error *error);

/* Records that the server in use answered or failed us, for the breaker, and
 * says so in last_failure: "server unreachable: connection refused". After a
 * failure another server is in use if there is one to ask. */
void cli_client_server_answered(struct cleave *handle);
void cli_client_server_failed(struct cleave *handle,
                              const struct api_error *why,
                              double retry_after_ms);

/* Index of the point by which the device can answer alone, or -1. */
int cli_client_local_point(const struct cleave *handle);

/* Does the server run the model that the device holds, as far as is known? */
bool cli_client_is_current(const struct cleave *handle);

/* Measures each head and the whole network once, the cheapest first, on pixels
 * already decoded, for about `most_ms`; what is left is guessed by MACs. */
void cli_calibrate_device(struct cleave *handle, double most_ms);

/* One probe when the decider wants one for the picture in question, that
 * leaves the server `spare_ms`, so that no picture has to try a failed server.
 * Its failure only reaches the breaker. */
void cli_calibrate_link(struct cleave *handle,
                        const struct cli_question *question, double spare_ms);

/* Fills *error (if not NULL) and returns `status`. */
enum cleave_status cli_client_fail(struct cleave_error *error,
                                   enum cleave_status status, const char *text);

/* The public status for a failure on the device or of its files. */
enum cleave_status cli_client_status(enum api_status status);

/* Same for a failure of the server. */
enum cleave_status cli_client_server_status(enum api_status status);

#endif
