/* Measuring the link and the device, on their own and for cleave_probe. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "client/client.h"
#include "client/clock.h"
#include "client/remote.h"

#define RTT_PROBES 3
#define UPLOAD_BYTES 8192u
#define PROBE_TIMEOUT_MS 2000.0
#define PROBE_LEAST_MS 1.0
#define PROBES_SHARE 0.5

/* Beyond these ages an idle link is measured again: one small request, and
 * less often one upload. */
#define RTT_KEEPS_MS 10000.0
#define UPLOAD_KEEPS_MS 60000.0

#define SAMPLES_MOST 100u

/* A second run is worth it where the first paid for cold caches. */
#define WARM_UP_MOST_MS 50.0

void cli_calibrate_device(struct cleave *handle)
{
    if (handle->device_calibrated || !handle->device)
        return;
    handle->device_calibrated = true;
    const struct nn_model *model = cli_device_model(handle->device);
    int cheapest = -1;
    for (uint16_t i = 0; i < handle->model.point_count; i++) {
        const struct api_point *point = &handle->model.points[i];
        if (point->kind == API_POINT_SPLIT && nn_model_has_head(model, i) &&
            (cheapest < 0 ||
             point->head_macs < handle->model.points[cheapest].head_macs))
            cheapest = i;
    }
    const uint8_t *frame;
    size_t frame_bytes;
    double ms = 0;
    if (cheapest < 0 ||
        cli_device_run_head(handle->device, (uint16_t)cheapest, &frame,
                            &frame_bytes, &ms, NULL) != API_OK)
        return;
    double second_ms = ms;
    if (ms < WARM_UP_MOST_MS &&
        cli_device_run_head(handle->device, (uint16_t)cheapest, &frame,
                            &frame_bytes, &second_ms, NULL) == API_OK)
        ms = second_ms;
    cli_cost_observe(&handle->device_cost, (uint16_t)cheapest,
                     handle->model.points[cheapest].head_macs, ms);
}

/* When a series of probes has to end: the other half of the time that the
 * server may take is for the picture itself. */
static double probes_until_ms(double spare_ms)
{
    return cli_now_ms() + spare_ms * PROBES_SHARE;
}

/* One probe whose outcome reaches link and breaker. False: no more of them. */
static bool probe_once(struct cleave *handle, size_t up_bytes, double until_ms)
{
    double most_ms = fmin(handle->request_timeout_ms, PROBE_TIMEOUT_MS);
    double timeout_ms = fmin(most_ms, until_ms - cli_now_ms());
    if (timeout_ms < PROBE_LEAST_MS)
        return false;
    double elapsed_ms = 0;
    struct api_error why = {.text = ""};
    struct cli_transport *transport = handle->transport;
    cli_client_unlock(handle);
    enum api_status status = cli_remote_probe(transport, up_bytes, 0,
                                              timeout_ms, &elapsed_ms, &why);
    cli_client_lock(handle);
    if (transport != handle->transport)
        return false; /* a picture met its failure before */
    if (status == API_OK) {
        cli_client_server_answered(handle);
        cli_client_saw_link(handle, up_bytes, elapsed_ms);
        return true;
    }
    /* It takes at least as long as was waited; but that the deadline left no
     * time for more does not speak against the server. */
    if (status == API_DEADLINE)
        cli_client_saw_link(handle, up_bytes, timeout_ms);
    why.status = status;
    if (status != API_DEADLINE || timeout_ms == most_ms)
        cli_client_server_failed(handle, &why, 0);
    return false;
}

static bool is_older(double seen_ms, double keeps_ms)
{
    return seen_ms < 0 || cli_now_ms() - seen_ms > keeps_ms;
}

void cli_calibrate_link(struct cleave *handle, double spare_ms)
{
    if (!handle->transport ||
        !cli_breaker_allows(&handle->breaker, cli_now_ms()))
        return;
    double until_ms = probes_until_ms(spare_ms);
    bool first = handle->upload_seen_ms < 0;
    int probes =
        first ? RTT_PROBES : is_older(handle->rtt_seen_ms, RTT_KEEPS_MS);
    for (int i = 0; i < probes; i++) {
        if (!probe_once(handle, 0, until_ms))
            return;
    }
    if (is_older(handle->upload_seen_ms, UPLOAD_KEEPS_MS))
        (void)probe_once(handle, UPLOAD_BYTES, until_ms);
}

void cli_calibrate_trial(struct cleave *handle, double spare_ms)
{
    if (handle->transport && handle->breaker.failures > 0 &&
        cli_breaker_allows(&handle->breaker, cli_now_ms()))
        (void)probe_once(handle, 0, probes_until_ms(spare_ms));
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Nearest rank: the smallest value that `share` of all do not exceed. */
static double quantile(double *values, unsigned count, double share)
{
    qsort(values, count, sizeof *values, compare_doubles);
    double rank = ceil(share * (double)count);
    return values[rank < 1 ? 0 : (unsigned)rank - 1];
}

/* Times one probe of `bytes` up or down. */
static enum api_status time_probe(struct cleave *handle, bool up, size_t bytes,
                                  double *ms, struct api_error *why)
{
    struct cli_transport *transport = handle->transport;
    cli_client_unlock(handle);
    enum api_status status =
        cli_remote_probe(transport, up ? bytes : 0, up ? 0 : bytes,
                         handle->request_timeout_ms, ms, why);
    cli_client_lock(handle);
    if (status == API_OK && transport == handle->transport) {
        cli_client_server_answered(handle);
        if (up || bytes == 0) /* the estimate is of the way up */
            cli_client_saw_link(handle, bytes, *ms);
    }
    return status;
}

/* Bits per second, over the time beyond a round trip. Where that is too short
 * to tell, a tenth of the whole is taken for it: the figure is then rather too
 * low than endless. */
static double throughput_bps(size_t bytes, double ms, double rtt_ms)
{
    double transfer_ms = fmax(fmax(ms - rtt_ms, ms / 10), 1e-3);
    return (double)bytes * 8.0 * 1e3 / transfer_ms;
}

/* A size whose transfer stands out from the round trip without taking long. */
static enum api_status choose_size(struct cleave *handle, bool up,
                                   double rtt_ms, size_t *bytes,
                                   struct api_error *why)
{
    size_t size = UPLOAD_BYTES;
    for (;;) {
        double ms = 0;
        enum api_status status = time_probe(handle, up, size, &ms, why);
        if (status != API_OK)
            return status;
        if (ms - rtt_ms > fmax(rtt_ms, 20) || size * 4 > API_LIMIT_PROBE_BYTES)
            break;
        size *= 4;
    }
    *bytes = size;
    return API_OK;
}

static enum api_status probe_direction(struct cleave *handle, bool up,
                                       unsigned samples, double rtt_ms,
                                       double *median_bps, double *p05_bps,
                                       struct api_error *why)
{
    double bps[SAMPLES_MOST];
    size_t bytes = 0;
    enum api_status status = choose_size(handle, up, rtt_ms, &bytes, why);
    for (unsigned i = 0; status == API_OK && i < samples; i++) {
        double ms = 0;
        status = time_probe(handle, up, bytes, &ms, why);
        bps[i] = throughput_bps(bytes, ms, rtt_ms);
    }
    if (status != API_OK)
        return status;
    *median_bps = quantile(bps, samples, 0.5);
    *p05_bps = quantile(bps, samples, 0.05);
    return API_OK;
}

/* Each kind of probe in turn. */
static enum api_status probe_all(struct cleave *handle, unsigned samples,
                                 struct cleave_link *link,
                                 struct api_error *why)
{
    struct cleave_link found = {.samples = samples};
    double rtt_ms[SAMPLES_MOST] = {0};
    enum api_status status = API_OK;
    for (unsigned i = 0; status == API_OK && i < samples; i++)
        status = time_probe(handle, false, 0, &rtt_ms[i], why);
    if (status == API_OK) {
        found.rtt_ms_min = quantile(rtt_ms, samples, 0);
        found.rtt_ms_median = quantile(rtt_ms, samples, 0.5);
        found.rtt_ms_p95 = quantile(rtt_ms, samples, 0.95);
        status = probe_direction(handle, true, samples, found.rtt_ms_median,
                                 &found.up_bps_median, &found.up_bps_p05, why);
    }
    if (status == API_OK)
        status =
            probe_direction(handle, false, samples, found.rtt_ms_median,
                            &found.down_bps_median, &found.down_bps_p05, why);
    if (status == API_OK)
        *link = found;
    return status;
}

enum cleave_status cleave_probe(struct cleave *handle, unsigned samples,
                                struct cleave_link *link,
                                struct cleave_error *error)
{
    if (handle->server_count == 0)
        return cli_client_fail(error, CLEAVE_ERROR_USAGE,
                               "there is no server to probe");
    if (samples < 1 || samples > SAMPLES_MOST)
        return cli_client_fail(error, CLEAVE_ERROR_USAGE,
                               "a probe takes 1 to 100 samples");
    struct api_error why = {.text = ""};
    cli_client_lock(handle);
    enum api_status status = probe_all(handle, samples, link, &why);
    cli_client_unlock(handle);
    return status == API_OK
               ? CLEAVE_OK
               : cli_client_fail(error, cli_client_server_status(status),
                                 why.text);
}
