/* Reading recorded links. */
#include "client/simulate/trace.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_BYTES 1500.0
#define SHORTEST_MS 1000.0
#define BLUETOOTH_WARM_UP 5
#define REQUESTS_MOST 4096

/* Mahimahi's own experiments put 20 ms on each way. */
#define CELLULAR_RTT_MS 40.0

/* The recorded transfer times hold the round trip already. */
#define BLUETOOTH_RTT_MS 2.0

/* A table says nothing of it; that of the made-up links. */
#define TABLE_RTT_MS 20.0

static enum api_status refuse(struct api_error *error, FILE *file,
                              const char *path, const char *why)
{
    if (file)
        fclose(file);
    return api_fail(error, file ? API_UNPROCESSABLE : API_NOT_FOUND,
                    "%.100s: %s", path, why);
}

static enum api_status refuse_line(struct api_error *error, FILE *file,
                                   const char *path, size_t line,
                                   const char *why)
{
    fclose(file);
    return api_fail(error, API_UNPROCESSABLE, "%.100s, line %zu: %s", path,
                    line, why);
}

static FILE *open_trace(const char *path, struct api_error *error)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        refuse(error, NULL, path, strerror(errno));
    return file;
}

/* Names the trace after its file and allocates `length_ms` of silence. */
static enum api_status begin(struct trace *trace, const char *path,
                             const char *group, double length_ms, double rtt_ms,
                             struct api_error *error)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    *trace = (struct trace){.length_ms = (size_t)length_ms, .rtt_ms = rtt_ms};
    snprintf(trace->name, sizeof trace->name, "%.*s", (int)strcspn(base, "."),
             base);
    snprintf(trace->group, sizeof trace->group, "%s", group);
    trace->sent_bytes = calloc(trace->length_ms + 1, sizeof(double));
    return trace->sent_bytes ? API_OK
                             : api_fail(error, API_NO_MEMORY, "out of memory");
}

enum api_status trace_read_cellular(const char *path, struct trace *trace,
                                    struct api_error *error)
{
    FILE *file = open_trace(path, error);
    if (!file)
        return API_NOT_FOUND;
    double last_ms = 0, at_ms = 0;
    size_t packets = 0;
    for (; fscanf(file, "%31lf", &at_ms) == 1; packets++) {
        if (!(at_ms >= last_ms && at_ms < TRACE_LONGEST_MS))
            return refuse_line(error, file, path, packets + 1,
                               "milliseconds rise, to two hours at most");
        last_ms = at_ms;
    }
    if (!feof(file))
        return refuse_line(error, file, path, packets + 1,
                           "not a number of milliseconds");
    if (last_ms < SHORTEST_MS)
        return refuse(error, file, path, "shorter than a second");
    struct trace read;
    enum api_status status =
        begin(&read, path, "cellular", last_ms + 1, CELLULAR_RTT_MS, error);
    rewind(file);
    for (; status == API_OK && packets > 0; packets--) {
        if (fscanf(file, "%31lf", &at_ms) != 1 || at_ms < 0 ||
            at_ms > last_ms) {
            trace_free(&read);
            return refuse(error, file, path, "cannot be read twice");
        }
        read.sent_bytes[(size_t)at_ms + 1] += PACKET_BYTES;
    }
    fclose(file);
    if (status != API_OK)
        return status;
    for (size_t i = 1; i <= read.length_ms; i++)
        read.sent_bytes[i] += read.sent_bytes[i - 1];
    *trace = read;
    return API_OK;
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
    return seconds > 0 && bytes > 0 && ms > 0 &&
           *bytes_per_ms <
               TRACE_QUICKEST_MBIT_PER_S * TRACE_BYTES_PER_MS_AT_1_MBIT;
}

enum api_status trace_read_bluetooth(const char *path, struct trace *trace,
                                     struct api_error *error)
{
    double ends_ms[REQUESTS_MOST], rates[REQUESTS_MOST];
    size_t count = 0, seen = 0;
    char line[4096];
    FILE *file = open_trace(path, error);
    if (!file)
        return API_NOT_FOUND;
    while (count < REQUESTS_MOST && fgets(line, sizeof line, file)) {
        if (seen++ >= BLUETOOTH_WARM_UP &&
            read_request(line, &ends_ms[count], &rates[count]) &&
            (count == 0 || ends_ms[count] > ends_ms[count - 1]))
            count++;
    }
    double length_ms = count > 1 ? ends_ms[count - 1] - ends_ms[0] : 0;
    if (!(length_ms > SHORTEST_MS && length_ms < TRACE_LONGEST_MS))
        return refuse(error, file, path,
                      "not a second to two hours of requests, each a line "
                      "with time, kbs and transfer_time");
    fclose(file);
    struct trace read;
    enum api_status status =
        begin(&read, path, "bluetooth", length_ms, BLUETOOTH_RTT_MS, error);
    if (status != API_OK)
        return status;
    size_t request = 1;
    for (size_t i = 1; i <= read.length_ms; i++) {
        while (request + 1 < count && ends_ms[request] - ends_ms[0] < (double)i)
            request++;
        read.sent_bytes[i] = read.sent_bytes[i - 1] + rates[request];
    }
    *trace = read;
    return API_OK;
}

/* "milliseconds,Mbit/s", and nothing else but blanks. */
static bool read_row(const char *line, double *at_ms, double *mbit_per_s)
{
    char *comma = NULL, *end = NULL;
    *at_ms = strtod(line, &comma);
    if (comma == line || *comma != ',')
        return false;
    *mbit_per_s = strtod(comma + 1, &end);
    return end != comma + 1 && end[strspn(end, " \t\r\n")] == '\0';
}

/* Adds what leaves at `mbit_per_s` in the milliseconds up to `until_ms`, to
 * those that *filled does not count yet. */
static void fill(struct trace *trace, size_t *filled, double until_ms,
                 double mbit_per_s)
{
    while (*filled < trace->length_ms && (double)*filled < until_ms) {
        trace->sent_bytes[*filled + 1] =
            trace->sent_bytes[*filled] +
            mbit_per_s * TRACE_BYTES_PER_MS_AT_1_MBIT;
        ++*filled;
    }
}

/* Goes through a table's rows. *length_ms becomes its length, with the last
 * row's; with `trace` it is filled. */
static const char *read_rows(FILE *file, struct trace *trace, size_t *line,
                             double *length_ms)
{
    char text[256];
    double before_ms = 0, last_ms = 0, last_rate = 0;
    size_t rows = 0, filled = 0;
    for (*line = 1; fgets(text, sizeof text, file); ++*line) {
        double at_ms, mbit_per_s;
        if (!read_row(text, &at_ms, &mbit_per_s)) {
            if (*line == 1)
                continue; /* its heading */
            return "not \"milliseconds,Mbit/s\"";
        }
        if (rows == 0 ? at_ms < 0 || at_ms > 0 : !(at_ms > last_ms))
            return "milliseconds begin with 0 and rise";
        if (!(at_ms < TRACE_LONGEST_MS))
            return "longer than two hours";
        if (!(mbit_per_s >= 0 && mbit_per_s <= TRACE_QUICKEST_MBIT_PER_S))
            return "not 0 to 100000 Mbit/s";
        if (trace)
            fill(trace, &filled, at_ms, last_rate);
        before_ms = last_ms;
        last_ms = at_ms;
        last_rate = mbit_per_s;
        rows++;
    }
    *length_ms = fmin(last_ms + fmax(last_ms - before_ms, SHORTEST_MS),
                      TRACE_LONGEST_MS);
    if (trace)
        fill(trace, &filled, INFINITY, last_rate);
    return rows > 0 ? NULL : "no row of \"milliseconds,Mbit/s\"";
}

enum api_status trace_read_table(const char *path, struct trace *trace,
                                 struct api_error *error)
{
    size_t line;
    double length_ms;
    FILE *file = open_trace(path, error);
    if (!file)
        return API_NOT_FOUND;
    const char *why = read_rows(file, NULL, &line, &length_ms);
    if (why)
        return refuse_line(error, file, path, line, why);
    struct trace read;
    enum api_status status =
        begin(&read, path, "table", ceil(length_ms), TABLE_RTT_MS, error);
    if (status != API_OK) {
        fclose(file);
        return status;
    }
    rewind(file);
    why = read_rows(file, &read, &line, &length_ms);
    if (why) {
        trace_free(&read);
        return refuse_line(error, file, path, line, why);
    }
    fclose(file);
    *trace = read;
    return API_OK;
}

static bool ends_in(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

enum api_status trace_read(const char *path, struct trace *trace,
                           struct api_error *error)
{
    if (ends_in(path, ".jsonl"))
        return trace_read_bluetooth(path, trace, error);
    if (ends_in(path, ".csv"))
        return trace_read_table(path, trace, error);
    return trace_read_cellular(path, trace, error);
}
