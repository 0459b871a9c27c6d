/* Fixed arrays of atomic counters: every label's values are known when the
 * server starts, so nothing grows with what clients send. */
#include "server/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/limits.h"
#include "server/histogram.h"
#include "server/process.h"

/* What this server and its HTTP library answer; anything else counts as 500. */
static const int codes[] = {200, 301, 304, 400, 401, 403, 404, 405,
                            409, 411, 413, 414, 415, 417, 422, 429,
                            431, 499, 500, 501, 503, 504, 505};
#define CODE_COUNT (sizeof codes / sizeof codes[0])

static const char *const reject_names[SRV_REJECT_COUNT] = {
    [SRV_REJECT_QUEUE_FULL] = "queue_full",
    [SRV_REJECT_DRAINING] = "draining",
    [SRV_REJECT_DEADLINE] = "deadline",
    [SRV_REJECT_QUOTA] = "quota",
    [SRV_REJECT_ABANDONED] = "abandoned",
    [SRV_REJECT_MEMORY] = "memory",
    [SRV_REJECT_CONNECTIONS] = "connections",
    [SRV_REJECT_CLIENT_CONNECTIONS] = "client_connections",
    [SRV_REJECT_SLOW] = "slow",
    [SRV_REJECT_UNREADABLE] = "unreadable",
};

/* Upper bounds of the histograms: seconds in microseconds, and bytes. */
static const uint64_t second_bounds[] = {
    500,    1000,   2500,   5000,    10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
static const uint64_t byte_bounds[] = {256,    512,     1024,    2048,
                                       4096,   8192,    16384,   65536,
                                       262144, 1048576, 4194304, 16777216};

static const uint64_t batch_bounds[] = {1, 2, 3, 4, 6, 8, 12, API_LIMIT_BATCH};

enum { REQUEST, QUEUE, DECODE, INFERENCE, BODY, BATCH, KIND_COUNT };

#define SECONDS                                                                \
    second_bounds, sizeof second_bounds / sizeof *second_bounds, 1e-6
#define FRAMES batch_bounds, sizeof batch_bounds / sizeof *batch_bounds, 1
#define BYTES byte_bounds, sizeof byte_bounds / sizeof *byte_bounds, 1

static const struct srv_histogram_kind kinds[KIND_COUNT] = {
    [REQUEST] = {"cleave_request_duration_seconds",
                 "Time from a request's headers to its answer.", SECONDS},
    [QUEUE] = {"cleave_queue_duration_seconds",
               "Time that requests waited for a worker.", SECONDS},
    [DECODE] = {"cleave_decode_duration_seconds",
                "Time to decode a JPEG or a frame.", SECONDS},
    [INFERENCE] = {"cleave_inference_duration_seconds",
                   "Time to run the network or its tail.", SECONDS},
    [BODY] = {"cleave_request_body_bytes", "Size of request bodies.", BYTES},
    [BATCH] = {"cleave_batch_frames", "Frames that one run of a tail answered.",
               FRAMES},
};

/* Longest text of a series' labels: each character may need an escape. */
#define LABEL_BYTES 400u

struct srv_series {
    struct srv_series *next;
    char model[64], version[64], point[48];
    char labels[LABEL_BYTES]; /* the same as Prometheus writes them */
    _Atomic uint64_t requests[CODE_COUNT];
    struct srv_histogram histograms[KIND_COUNT];
};

struct srv_metrics {
    const char *const *patterns;
    size_t pattern_count;
    double start_seconds;
    pthread_mutex_t lock;                /* of adding to `series` */
    _Atomic(struct srv_series *) series; /* grows in front */
    _Atomic uint64_t loads[2];           /* failed, good */
    atomic_int connections;
    _Atomic uint64_t rejects[SRV_REJECT_COUNT];
    _Atomic uint64_t routes[]; /* [pattern_count + 1][CODE_COUNT] */
};

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static uint64_t get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

enum api_status srv_metrics_open(const char *const *patterns,
                                 size_t pattern_count,
                                 struct srv_metrics **metrics)
{
    struct srv_metrics *made =
        calloc(1, sizeof *made + (pattern_count + 1) * CODE_COUNT *
                                     sizeof made->routes[0]);
    if (!made)
        return API_NO_MEMORY;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    made->start_seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    pthread_mutex_init(&made->lock, NULL);
    made->patterns = patterns;
    made->pattern_count = pattern_count;
    *metrics = made;
    return API_OK;
}

void srv_metrics_close(struct srv_metrics **metrics)
{
    struct srv_metrics *old = *metrics;
    if (!old)
        return;
    struct srv_series *series = atomic_load(&old->series);
    while (series) {
        struct srv_series *next = series->next;
        free(series);
        series = next;
    }
    pthread_mutex_destroy(&old->lock);
    free(old);
    *metrics = NULL;
}

/* Appends name="value" to a series' labels, with a comma if they are not the
 * first. Values are shorter than half the room, so escapes fit. */
static void add_label(char *labels, const char *name, const char *value)
{
    size_t used = strlen(labels);
    used += (size_t)snprintf(labels + used, LABEL_BYTES - used, "%s%s=\"",
                             used ? "," : "", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            labels[used++] = '\\';
        labels[used++] = *value;
    }
    labels[used++] = '"';
    labels[used] = '\0';
}

static struct srv_series *add_series(struct srv_metrics *metrics,
                                     const char *model, const char *version,
                                     const char *point)
{
    struct srv_series *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    snprintf(made->model, sizeof made->model, "%s", model);
    snprintf(made->version, sizeof made->version, "%s", version);
    snprintf(made->point, sizeof made->point, "%s", point);
    add_label(made->labels, "model", made->model);
    add_label(made->labels, "version", made->version);
    add_label(made->labels, "point", made->point);
    made->next = atomic_load(&metrics->series);
    atomic_store(&metrics->series, made);
    return made;
}

struct srv_series *srv_metrics_series(struct srv_metrics *metrics,
                                      const char *model, const char *version,
                                      const char *point)
{
    pthread_mutex_lock(&metrics->lock);
    struct srv_series *series = atomic_load(&metrics->series);
    while (series && (strcmp(series->model, model) != 0 ||
                      strcmp(series->version, version) != 0 ||
                      strcmp(series->point, point) != 0))
        series = series->next;
    if (!series)
        series = add_series(metrics, model, version, point);
    pthread_mutex_unlock(&metrics->lock);
    return series;
}

static size_t code_index(int http_code)
{
    size_t internal = 0;
    for (size_t i = 0; i < CODE_COUNT; i++) {
        if (codes[i] == http_code)
            return i;
        if (codes[i] == 500)
            internal = i;
    }
    return internal;
}

void srv_metrics_observe(struct srv_metrics *metrics,
                         const struct srv_observation *observation)
{
    size_t code = code_index(observation->http_code);
    add(&metrics->routes[observation->route * CODE_COUNT + code], 1);
    if (!observation->series)
        return;
    add(&observation->series->requests[code], 1);
    struct srv_histogram *histograms = observation->series->histograms;
    const int64_t values[KIND_COUNT] = {
        [REQUEST] = observation->total_us,
        [QUEUE] = observation->queue_us,
        [DECODE] = observation->decode_us,
        [INFERENCE] = observation->infer_us,
        [BODY] = (int64_t)observation->body_bytes,
        [BATCH] = observation->batch,
    };
    for (int i = 0; i < KIND_COUNT; i++)
        srv_histogram_observe(&kinds[i], &histograms[i], values[i]);
}

void srv_metrics_reject(struct srv_metrics *metrics, enum srv_reject reason)
{
    add(&metrics->rejects[reason], 1);
}

void srv_metrics_load(struct srv_metrics *metrics, bool good)
{
    add(&metrics->loads[good], 1);
}

void srv_metrics_connections(struct srv_metrics *metrics, int more)
{
    atomic_fetch_add_explicit(&metrics->connections, more,
                              memory_order_relaxed);
}

static void write_head(FILE *out, const char *name, const char *type,
                       const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_histograms(FILE *out, struct srv_metrics *metrics)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        write_head(out, kinds[i].name, "histogram", kinds[i].help);
        for (struct srv_series *series = atomic_load(&metrics->series); series;
             series = series->next)
            srv_histogram_write(&kinds[i], &series->histograms[i],
                                series->labels, out);
    }
}

static void write_requests(FILE *out, struct srv_metrics *metrics)
{
    write_head(out, "cleave_requests_total", "counter",
               "Inference requests answered.");
    for (struct srv_series *series = atomic_load(&metrics->series); series;
         series = series->next) {
        for (size_t code = 0; code < CODE_COUNT; code++) {
            uint64_t count = get(&series->requests[code]);
            if (count == 0)
                continue;
            fprintf(out, "cleave_requests_total{%s,code=\"%d\"} %" PRIu64 "\n",
                    series->labels, codes[code], count);
        }
    }

    write_head(out, "cleave_http_requests_total", "counter",
               "Requests answered, of every route.");
    for (size_t route = 0; route <= metrics->pattern_count; route++) {
        for (size_t code = 0; code < CODE_COUNT; code++) {
            uint64_t count = get(&metrics->routes[route * CODE_COUNT + code]);
            if (count > 0)
                fprintf(out,
                        "cleave_http_requests_total{route=\"%s\","
                        "code=\"%d\"} %" PRIu64 "\n",
                        route < metrics->pattern_count
                            ? metrics->patterns[route]
                            : "",
                        codes[code], count);
        }
    }

    write_head(out, "cleave_rejected_total", "counter",
               "Requests refused without being computed, and "
               "connections refused.");
    for (int i = 0; i < SRV_REJECT_COUNT; i++)
        fprintf(out, "cleave_rejected_total{reason=\"%s\"} %" PRIu64 "\n",
                reject_names[i], get(&metrics->rejects[i]));
}

static void write_gauge(FILE *out, const char *name, const char *help,
                        double value)
{
    write_head(out, name, "gauge", help);
    fprintf(out, "%s %.17g\n", name, value);
}

static void write_process(FILE *out, const struct srv_metrics *metrics)
{
    struct srv_process process;
    srv_process_read(&process);
    write_head(out, "process_cpu_seconds_total", "counter",
               "User and system CPU time.");
    fprintf(out, "process_cpu_seconds_total %.6f\n", process.cpu_seconds);
    write_gauge(out, "process_start_time_seconds",
                "Start time since the Unix epoch.", metrics->start_seconds);
    write_gauge(out, "process_resident_memory_bytes", "Resident memory.",
                (double)process.resident_bytes);
    write_gauge(out, "process_virtual_memory_bytes", "Virtual memory.",
                (double)process.virtual_bytes);
    write_gauge(out, "process_open_fds", "Open file descriptors.",
                (double)process.open_fds);
    write_gauge(out, "process_max_fds", "Most file descriptors allowed.",
                (double)process.max_fds);
}

static void write_models(FILE *out, struct srv_metrics *metrics,
                         const struct srv_gauges *gauges)
{
    write_gauge(out, "cleave_models", "Models that are served.",
                gauges->models);
    write_gauge(out, "cleave_models_failed",
                "Bundles that were refused when last read.",
                gauges->models_failed);
    write_head(out, "cleave_model_loads_total", "counter",
               "Bundles read, by outcome.");
    for (int good = 0; good < 2; good++)
        fprintf(out, "cleave_model_loads_total{result=\"%s\"} %" PRIu64 "\n",
                good ? "ok" : "failed", get(&metrics->loads[good]));
}

char *srv_metrics_write(struct srv_metrics *metrics,
                        const struct srv_gauges *gauges, size_t *bytes)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return NULL;
    write_requests(out, metrics);
    write_histograms(out, metrics);
    write_gauge(out, "cleave_queue_depth", "Requests waiting for a worker.",
                gauges->queue_depth);
    write_gauge(out, "cleave_inflight_requests",
                "Requests that workers are computing.", gauges->running);
    write_models(out, metrics, gauges);
    write_head(out, "cleave_tls_certificate_not_after_seconds", "gauge",
               "End of the TLS certificate since the Unix epoch.");
    if (gauges->certificate_ends)
        fprintf(out, "cleave_tls_certificate_not_after_seconds %" PRId64 "\n",
                gauges->certificate_ends);
    write_gauge(out, "cleave_open_connections", "Connections of clients.",
                atomic_load(&metrics->connections));
    write_head(out, "cleave_build_info", "gauge",
               "Constant 1, labelled with version and kernels.");
    fprintf(out, "cleave_build_info{version=\"%s\",isa=\"%s\"} 1\n",
            CLEAVE_VERSION, gauges->isa);
    write_process(out, metrics);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    *bytes = length;
    return text;
}
