/* Measuring the link and the device, on their own and for cleave_probe. */
#include <math.h>
#include <string.h>

#include "api/limits.h"
#include "client/client.h"
#include "client/clock.h"
#include "client/prober.h"
#include "client/remote.h"
#include "client/sort.h"

#define UPLOAD_BYTES 8192u

#define SAMPLES_MOST 100u

/* A second run is worth it where the first paid for cold caches. */
#define WARM_UP_MOST_MS 50.0

/* Runs what the device runs of `point`. *ms is untouched on failure. */
static bool time_point(struct cleave *handle, uint16_t point, double *ms)
{
    const uint8_t *frame;
    size_t frame_bytes;
    bool sure = true;
    cli_client_unlock(handle);
    enum api_status status =
        handle->model.points[point].kind == API_POINT_SPLIT
            ? cli_device_run_head(handle->device, point, &sure, ms, NULL)
            : cli_device_run_local(handle->device, point, ms, NULL);
    if (status == API_OK && !sure)
        status = cli_device_make_frame(handle->device, point, &frame,
                                       &frame_bytes, ms, NULL);
    cli_client_lock(handle);
    return status == API_OK;
}

/* The cheapest point above `macs` that the device has a part of, or -1. */
static int next_cheapest(const struct cleave *handle, uint64_t macs)
{
    const struct api_point *points = handle->model.points;
    int found = -1;
    for (uint16_t i = 0; i < handle->model.point_count; i++) {
        if (points[i].kind != API_POINT_OFFLOAD && points[i].head_macs > macs &&
            nn_model_has_head(cli_device_model(handle->device), i) &&
            (found < 0 || points[i].head_macs < points[found].head_macs))
            found = i;
    }
    return found;
}

/* Points of one head differ only in coding, which is quick. */
static void observe_head(struct cleave *handle, uint64_t macs, double ms)
{
    for (uint16_t i = 0; i < handle->model.point_count; i++) {
        if (handle->model.points[i].head_macs == macs)
            cli_cost_observe(&handle->decider.device, i, macs, ms);
    }
}

void cli_calibrate_device(struct cleave *handle, double most_ms)
{
    if (handle->device_calibrated || !handle->device)
        return;
    handle->device_calibrated = true;
    double until_ms = cli_now_ms() + most_ms;
    int point = next_cheapest(handle, 0);
    while (point >= 0 && cli_now_ms() < until_ms) {
        uint64_t macs = handle->model.points[point].head_macs;
        double ms = 0;
        if (!time_point(handle, (uint16_t)point, &ms) ||
            (ms < WARM_UP_MOST_MS && !time_point(handle, (uint16_t)point, &ms)))
            return;
        observe_head(handle, macs, ms);
        point = next_cheapest(handle, macs);
    }
}

void cli_calibrate_link(struct cleave *handle,
                        const struct cli_question *question, double spare_ms)
{
    double wait_ms = 0;
    if (handle->transport &&
        cli_decider_wants_probe(&handle->decider, question,
                                cli_client_local_point(handle), spare_ms,
                                &wait_ms))
        cli_prober_probe(handle, wait_ms);
}

/* Nearest rank: the smallest value that `share` of all do not exceed. */
static double quantile(double *values, unsigned count, double share)
{
    cli_sort_doubles(values, count);
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
                         handle->request_timeout_ms, NULL, ms, why);
    cli_client_lock(handle);
    if (status == API_OK && transport == handle->transport) {
        cli_client_server_answered(handle);
        if (up || bytes == 0) /* the estimate is of the way up */
            cli_decider_saw_reply(&handle->decider, bytes, *ms, cli_now_ms());
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
