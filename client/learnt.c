/* The file in which a device keeps what it has learnt. */
#include "client/learnt.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LINE "cleave learnt 2"
#define LINE_BYTES 320
#define LINES_MOST (2 * API_LIMIT_POINTS + 16)

/* Beyond these a figure makes no sense, and would not fit a double's use. */
#define MS_MOST 3.6e6
#define BYTES_MOST 1e9
#define RUNS_MOST 1e4

/* Thousandths, the unit of most figures in the file. */
static int64_t thousandths(double value)
{
    return isfinite(value) ? llround(fmin(fmax(value, -1), 1e12) * 1000) : -1;
}

/* Visible ASCII without blanks: what a line can carry back as one word. */
static bool is_word(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

/* A verdict or reason is the rest of its line. */
static void write_rest(FILE *file, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' ? '?' : *text, file);
    fputc('\n', file);
}

static void write_decision(FILE *file, const struct cleave_decision *decision)
{
    fprintf(file,
            "decision %" PRId64 " %s %" PRId64 " %zu %" PRId64 " %" PRId64 "\n",
            decision->unix_ms, decision->objective,
            thousandths(decision->deadline_ms), decision->jpeg_bytes,
            thousandths(decision->rtt_ms), thousandths(decision->ms_per_kb));
    fputs("reason ", file);
    write_rest(file, decision->reason);
    for (unsigned i = 0; i < decision->forecast_count; i++) {
        const struct cleave_forecast *row = &decision->forecasts[i];
        if (!is_word(row->point))
            continue;
        fprintf(file,
                "forecast %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                " %" PRId64 " %" PRId64 " %" PRId64 " ",
                row->point, thousandths(row->expected_ms),
                thousandths(row->p95_ms), thousandths(row->in_time),
                thousandths(row->bytes), thousandths(1000 * row->joules),
                thousandths(row->top1), thousandths(row->stays));
        write_rest(file, row->verdict);
    }
}

bool cli_learnt_write(const char *path, const struct cli_learnt *learnt)
{
    char temporary[4200];
    int bytes = snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path,
                         (long)getpid());
    if (bytes < 0 || (size_t)bytes >= sizeof temporary)
        return false;
    FILE *file = fopen(temporary, "we");
    if (!file)
        return false;
    fprintf(file, FIRST_LINE "\nmodel %016" PRIx64 " %" PRId64 "\n",
            learnt->fingerprint, thousandths(learnt->decode_ms));
    for (unsigned i = 0; i < learnt->part_count; i++) {
        if (is_word(learnt->parts[i].point))
            fprintf(file, "device %s %" PRId64 " %" PRId64 " %" PRId64 "\n",
                    learnt->parts[i].point, thousandths(learnt->parts[i].ms),
                    thousandths(learnt->parts[i].runs),
                    thousandths(learnt->parts[i].stays));
    }
    if (learnt->decision.unix_ms > 0)
        write_decision(file, &learnt->decision);
    bool written = !ferror(file);
    written = fclose(file) == 0 && written;
    if (!written || rename(temporary, path) != 0) {
        unlink(temporary);
        return false;
    }
    return true;
}

/* From thousandths, if it lies between -1 and `most`. */
static bool scale(int64_t stored, double most, double *value)
{
    *value = (double)stored / 1000;
    return *value >= -1 && *value <= most;
}

/* The rest of a line, cut to what fits and free of control characters. */
static void copy_rest(char *to, size_t capacity, const char *from)
{
    size_t i = 0;
    for (; i + 1 < capacity && from[i] >= ' '; i++)
        to[i] = from[i];
    to[i] = '\0';
}

static bool read_part(const char *line, struct cli_learnt *learnt)
{
    struct cli_learnt_part part;
    int64_t ms, runs, stays;
    if (sscanf(line, "device %47s %18" SCNd64 " %18" SCNd64 " %18" SCNd64,
               part.point, &ms, &runs, &stays) != 4 ||
        !scale(ms, MS_MOST, &part.ms) || !(part.ms > 0) ||
        !scale(runs, RUNS_MOST, &part.runs) ||
        !scale(stays, part.runs, &part.stays) || part.stays < 0 ||
        !is_word(part.point) || learnt->part_count == API_LIMIT_POINTS)
        return false;
    learnt->parts[learnt->part_count++] = part;
    return true;
}

static bool read_decision(const char *line, struct cleave_decision *decision)
{
    int64_t unix_ms, deadline, rtt, per_kb;
    if (sscanf(line,
               "decision %18" SCNd64 " %15s %18" SCNd64 " %10zu %18" SCNd64
               " %18" SCNd64,
               &unix_ms, decision->objective, &deadline, &decision->jpeg_bytes,
               &rtt, &per_kb) != 6)
        return false;
    decision->unix_ms = unix_ms;
    return unix_ms > 0 && is_word(decision->objective) &&
           scale(deadline, MS_MOST, &decision->deadline_ms) &&
           scale(rtt, MS_MOST, &decision->rtt_ms) &&
           scale(per_kb, MS_MOST, &decision->ms_per_kb);
}

static bool read_forecast(const char *line, struct cleave_decision *decision)
{
    struct cleave_forecast row = {.verdict = ""};
    int64_t expected, p95, in_time, bytes, millijoules, top1, stays;
    int end = 0;
    if (sscanf(line,
               "forecast %47s %18" SCNd64 " %18" SCNd64 " %18" SCNd64
               " %18" SCNd64 " %18" SCNd64 " %18" SCNd64 " %18" SCNd64 " %n",
               row.point, &expected, &p95, &in_time, &bytes, &millijoules,
               &top1, &stays, &end) != 8 ||
        end == 0 || !is_word(row.point) ||
        decision->forecast_count == CLEAVE_FORECASTS_MAX ||
        !scale(expected, MS_MOST, &row.expected_ms) ||
        !scale(p95, MS_MOST, &row.p95_ms) || !scale(in_time, 1, &row.in_time) ||
        !scale(bytes, BYTES_MOST, &row.bytes) ||
        !scale(millijoules, BYTES_MOST, &row.joules) ||
        !scale(top1, 1, &row.top1) || !scale(stays, 1, &row.stays))
        return false;
    row.joules /= 1000;
    copy_rest(row.verdict, sizeof row.verdict, line + end);
    decision->forecasts[decision->forecast_count++] = row;
    return true;
}

/* Takes in any line but the first. Lines of an unknown kind are a newer
 * program's. */
static bool read_line(const char *line, struct cli_learnt *learnt)
{
    struct cleave_decision *decision = &learnt->decision;
    int64_t decode = 0;
    if (strncmp(line, "model ", 6) == 0)
        return sscanf(line, "model %16" SCNx64 " %18" SCNd64,
                      &learnt->fingerprint, &decode) == 2 &&
               scale(decode, MS_MOST, &learnt->decode_ms);
    if (strncmp(line, "device ", 7) == 0)
        return read_part(line, learnt);
    if (strncmp(line, "decision ", 9) == 0)
        return read_decision(line, decision);
    if (strncmp(line, "reason ", 7) == 0)
        copy_rest(decision->reason, sizeof decision->reason, line + 7);
    if (strncmp(line, "forecast ", 9) == 0)
        return read_forecast(line, decision);
    return true;
}

bool cli_learnt_read(const char *path, struct cli_learnt *learnt)
{
    struct cli_learnt read = {.fingerprint = 0};
    char line[LINE_BYTES];
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool sane =
        fgets(line, sizeof line, file) && strcmp(line, FIRST_LINE "\n") == 0;
    for (unsigned i = 0; sane && fgets(line, sizeof line, file); i++)
        sane = i < LINES_MOST && strchr(line, '\n') && read_line(line, &read);
    sane = sane && !ferror(file);
    fclose(file);
    if (sane)
        *learnt = read;
    return sane;
}
