/* Builds JSON log lines by hand: nothing to allocate, nothing to fail. */
#include "server/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static enum srv_log_level most_verbose = SRV_INFO;

const char *srv_log_level_name(enum srv_log_level level)
{
    return level_names[level];
}

int srv_log_level_parse(const char *name)
{
    for (int i = 0; i <= SRV_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0)
            return i;
    }
    return -1;
}

void srv_log_set_level(enum srv_log_level level)
{
    most_verbose = level;
}

/* Two bytes stay free for the closing brace and the line feed. */
static size_t room(const struct srv_log_line *line)
{
    return sizeof line->text - 2 - line->used;
}

/* Adds the whole of a formatted piece, or nothing of it. */
__attribute__((format(printf, 2, 3))) static bool add(struct srv_log_line *line,
                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length =
        vsnprintf(line->text + line->used, room(line), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room(line))
        return false;
    line->used += (size_t)length;
    return true;
}

bool srv_log_shows(enum srv_log_level level)
{
    return level <= most_verbose;
}

void srv_log_begin(struct srv_log_line *line, enum srv_log_level level,
                   const char *event)
{
    line->wanted = false;
    line->used = 0;
    if (srv_log_shows(level))
        srv_log_compose(line, level, event);
}

void srv_log_compose(struct srv_log_line *line, enum srv_log_level level,
                     const char *event)
{
    line->wanted = true;
    line->used = 0;
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    add(line, "{\"ts\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":\"%s\"", stamp,
        (int)(now.tv_nsec / 1000000), level_names[level], event);
}

void srv_log_text(struct srv_log_line *line, const char *name,
                  const char *value)
{
    if (!line->wanted)
        return;
    size_t before = line->used;
    bool fits = add(line, ",\"%s\":\"", name);
    for (; fits && *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\')
            fits = add(line, "\\%c", c);
        else if (c < 0x20)
            fits = add(line, "\\u%04x", c);
        else
            fits = add(line, "%c", c < 0x7F ? c : '?');
    }
    if (!fits || !add(line, "\""))
        line->used = before;
}

void srv_log_number(struct srv_log_line *line, const char *name, int64_t value)
{
    if (line->wanted)
        add(line, ",\"%s\":%" PRId64, name, value);
}

void srv_log_ms(struct srv_log_line *line, const char *name,
                int64_t microseconds)
{
    if (line->wanted)
        add(line, ",\"%s\":%.3f", name, (double)microseconds / 1000);
}

void srv_log_end(struct srv_log_line *line)
{
    if (!line->wanted)
        return;
    line->text[line->used++] = '}';
    line->text[line->used++] = '\n';
    size_t done = 0;
    while (done < line->used) {
        ssize_t wrote =
            write(STDERR_FILENO, line->text + done, line->used - done);
        if (wrote <= 0)
            return; /* nowhere left to complain */
        done += (size_t)wrote;
    }
}

void srv_log_message(enum srv_log_level level, const char *event,
                     const char *message)
{
    struct srv_log_line line;
    srv_log_begin(&line, level, event);
    srv_log_text(&line, "message", message);
    srv_log_end(&line);
}
