/* Counts of what a run has done, as a file for node_exporter. */
#include "client/metrics_file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Upper bounds in seconds, from a local answer to a thin link's worst. */
static const double bounds[CLI_METRICS_BUCKETS] = {
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

void cli_metrics_answered(struct cli_metrics *metrics,
                          const struct cleave_result *result, double seconds)
{
    size_t i = 0;
    while (i < metrics->points &&
           (strcmp(metrics->answered[i].point, result->point) != 0 ||
            metrics->answered[i].via != result->via))
        i++;
    if (i < CLI_METRICS_POINTS) {
        if (i == metrics->points) {
            memcpy(metrics->answered[i].point, result->point,
                   sizeof result->point);
            metrics->answered[i].via = result->via;
            metrics->points++;
        }
        metrics->answered[i].pictures++;
    }
    size_t bucket = 0;
    while (bucket < CLI_METRICS_BUCKETS && seconds > bounds[bucket])
        bucket++;
    metrics->bucket[bucket]++;
    metrics->seconds_sum += seconds;
    metrics->device_seconds_sum += result->device_ms * 1e-3;
    metrics->bytes_sent += result->bytes_sent;
}

static void write_head(FILE *file, const char *name, const char *type,
                       const char *help)
{
    fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_counter(FILE *file, const char *name, const char *help,
                          uint64_t value)
{
    write_head(file, name, "counter", help);
    fprintf(file, "%s %" PRIu64 "\n", name, value);
}

/* A point's name is the server's to choose. */
static void write_label(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", file);
        else if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else
            fputc(*text, file);
    }
}

static void write_durations(FILE *file, const struct cli_metrics *metrics)
{
    static const char name[] = "cleave_client_picture_duration_seconds";
    uint64_t count = 0;
    write_head(file, name, "histogram",
               "From when a picture was taken up to its answer.");
    for (size_t i = 0; i < CLI_METRICS_BUCKETS; i++) {
        count += metrics->bucket[i];
        fprintf(file, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds[i],
                count);
    }
    count += metrics->bucket[CLI_METRICS_BUCKETS];
    fprintf(file, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    fprintf(file, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name,
            metrics->seconds_sum, name, count);
}

static void write_all(FILE *file, const struct cli_metrics *metrics)
{
    write_head(file, "cleave_client_pictures_total", "counter",
               "Pictures answered, by operating point.");
    for (size_t i = 0; i < metrics->points; i++) {
        fputs("cleave_client_pictures_total{point=\"", file);
        write_label(file, metrics->answered[i].point);
        fprintf(file, "\",via=\"%s\"} %" PRIu64 "\n",
                cleave_via_name(metrics->answered[i].via),
                metrics->answered[i].pictures);
    }
    write_counter(file, "cleave_client_failed_total",
                  "Pictures that got no answer.", metrics->failed);
    write_counter(file, "cleave_client_dropped_total",
                  "Pictures that a newer one took the place of.",
                  metrics->dropped);
    write_counter(file, "cleave_client_sent_bytes_total",
                  "Request bodies of the answered pictures.",
                  metrics->bytes_sent);
    write_head(file, "cleave_client_device_seconds_total", "counter",
               "Decoding, head and encoding, or the whole network, here.");
    fprintf(file, "cleave_client_device_seconds_total %.6f\n",
            metrics->device_seconds_sum);
    write_durations(file, metrics);
}

bool cli_metrics_write(const struct cli_metrics *metrics, const char *path)
{
    char temporary[PATH_MAX];
    int bytes =
        snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    if (bytes < 0 || (size_t)bytes >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    FILE *file = fopen(temporary, "we");
    if (!file)
        return false;
    write_all(file, metrics);
    /* node_exporter is another user. */
    bool written = !ferror(file) && fchmod(fileno(file), 0644) == 0;
    if (fclose(file) == 0 && written && rename(temporary, path) == 0)
        return true;
    int kept = errno;
    unlink(temporary);
    errno = kept;
    return false;
}
