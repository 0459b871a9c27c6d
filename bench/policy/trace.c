/* How much a link could carry at each moment: reading and asking. */
#include "bench/policy/trace.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_BYTES 1500.0
#define LONGEST_MS 7200000.0
#define BLUETOOTH_WARM_UP 5

/* Mahimahi's own experiments put 20 ms on each way. */
#define CELLULAR_RTT_MS 40.0

/* The recorded transfer times hold the round trip already. */
#define BLUETOOTH_RTT_MS 2.0

void trace_free(struct trace *trace)
{
    free(trace->sent_bytes);
    *trace = (struct trace){.length_ms = 0};
}

/* First millisecond by whose end `bytes` have left. */
static size_t find(const struct trace *trace, double bytes)
{
    size_t low = 0, high = trace->length_ms;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (trace->sent_bytes[middle] < bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double sent_by(const struct trace *trace, double at_ms)
{
    size_t whole = (size_t)at_ms;
    double share = at_ms - (double)whole;
    double step = trace->sent_bytes[whole + 1] - trace->sent_bytes[whole];
    return trace->sent_bytes[whole] + share * step;
}

double trace_finish_ms(const struct trace *trace, double start_ms, double bytes)
{
    double length_ms = (double)trace->length_ms;
    double whole = trace->sent_bytes[trace->length_ms];
    if (!(whole > 0))
        return INFINITY;
    double laps = floor(start_ms / length_ms);
    double goal = sent_by(trace, start_ms - laps * length_ms) + bytes;
    double more = floor(goal / whole);
    goal -= more * whole;
    size_t at = find(trace, goal);
    double found_ms = (laps + more) * length_ms;
    if (at > 0) {
        double step = trace->sent_bytes[at] - trace->sent_bytes[at - 1];
        found_ms += (double)at - 1 + (goal - trace->sent_bytes[at - 1]) / step;
    }
    return fmax(found_ms, start_ms);
}

double trace_mean_mbit_per_s(const struct trace *trace)
{
    return trace->sent_bytes[trace->length_ms] * 8e-3 /
           (double)trace->length_ms;
}

static bool refuse(FILE *file, const char *path, const char *why)
{
    fprintf(stderr, "policy-replay: %s: %s\n", path, why);
    if (file)
        fclose(file);
    return false;
}

/* Names the trace after its file and allocates `length_ms` of silence. */
static bool begin(struct trace *trace, const char *path, const char *group,
                  double length_ms)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    *trace = (struct trace){.length_ms = (size_t)length_ms};
    snprintf(trace->name, sizeof trace->name, "%.*s", (int)strcspn(base, "."),
             base);
    snprintf(trace->group, sizeof trace->group, "%s", group);
    trace->sent_bytes = calloc(trace->length_ms + 1, sizeof(double));
    return trace->sent_bytes != NULL;
}

bool trace_read_cellular(const char *path, struct trace *trace)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return refuse(file, path, "cannot be opened");
    double last_ms = 0, at_ms = 0;
    while (fscanf(file, "%lf", &at_ms) == 1) {
        if (!(at_ms >= last_ms && at_ms < LONGEST_MS))
            return refuse(file, path, "its milliseconds do not rise");
        last_ms = at_ms;
    }
    if (last_ms < 1000)
        return refuse(file, path, "shorter than a second");
    if (!begin(trace, path, "cellular", last_ms + 1))
        return refuse(file, path, "out of memory");
    trace->rtt_ms = CELLULAR_RTT_MS;
    rewind(file);
    while (fscanf(file, "%lf", &at_ms) == 1 && at_ms <= last_ms)
        trace->sent_bytes[(size_t)at_ms + 1] += PACKET_BYTES;
    fclose(file);
    for (size_t i = 1; i <= trace->length_ms; i++)
        trace->sent_bytes[i] += trace->sent_bytes[i - 1];
    return true;
}

/* One JSON line: when it ended and what the link carried. */
static bool read_request(const char *line, double *end_ms, double *bytes_per_ms)
{
    json_t *request = json_loads(line, 0, NULL);
    double seconds = json_number_value(json_object_get(request, "time"));
    double bytes = json_number_value(json_object_get(request, "kbs"));
    double ms = json_number_value(json_object_get(request, "transfer_time"));
    json_decref(request);
    *end_ms = seconds * 1000;
    *bytes_per_ms = ms > 0 ? bytes / ms : 0;
    return seconds > 0 && bytes > 0 && ms > 0;
}

bool trace_read_bluetooth(const char *path, struct trace *trace)
{
    enum { REQUESTS_MOST = 4096 };
    static double ends_ms[REQUESTS_MOST], rates[REQUESTS_MOST];
    size_t count = 0, seen = 0;
    char line[4096];
    FILE *file = fopen(path, "rbe");
    if (!file)
        return refuse(file, path, "cannot be opened");
    while (count < REQUESTS_MOST && fgets(line, sizeof line, file)) {
        if (seen++ >= BLUETOOTH_WARM_UP &&
            read_request(line, &ends_ms[count], &rates[count]) &&
            (count == 0 || ends_ms[count] > ends_ms[count - 1]))
            count++;
    }
    double length_ms = count > 1 ? ends_ms[count - 1] - ends_ms[0] : 0;
    if (!(length_ms > 1000 && length_ms < LONGEST_MS))
        return refuse(file, path, "not a second of requests");
    if (!begin(trace, path, "bluetooth", length_ms))
        return refuse(file, path, "out of memory");
    fclose(file);
    trace->rtt_ms = BLUETOOTH_RTT_MS;
    size_t request = 1;
    for (size_t i = 1; i <= trace->length_ms; i++) {
        while (request + 1 < count && ends_ms[request] - ends_ms[0] < (double)i)
            request++;
        trace->sent_bytes[i] = trace->sent_bytes[i - 1] + rates[request];
    }
    return true;
}
