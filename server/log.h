/* JSON lines on standard error: one event, one line, one write. */
#ifndef CLEAVE_SERVER_LOG_H
#define CLEAVE_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum srv_log_level { SRV_ERROR, SRV_WARN, SRV_INFO, SRV_DEBUG };

/* A line under construction, on the caller's stack. What does not fit is left
 * out; the line stays valid JSON. */
struct srv_log_line {
    bool wanted;
    size_t used;
    char text[2048];
};

/* "error", "warn", "info", "debug"; parse gives -1 for another name. */
const char *srv_log_level_name(enum srv_log_level level);
int srv_log_level_parse(const char *name);

/* Lines above this level are dropped; SRV_INFO to begin with. Call before
 * other threads run. */
void srv_log_set_level(enum srv_log_level level);

/* Would a line of this level be written? */
bool srv_log_shows(enum srv_log_level level);

/* Begins a line with ts (UTC, RFC 3339, milliseconds), level and event.
 * `event` and the names of members are plain literals. */
void srv_log_begin(struct srv_log_line *line, enum srv_log_level level,
                   const char *event);

/* The same, whatever the level: for lines that do not only go into the log. */
void srv_log_compose(struct srv_log_line *line, enum srv_log_level level,
                     const char *event);

/* Adds a member. Text may hold any bytes: it is escaped, and what is not
 * ASCII becomes '?'. */
void srv_log_text(struct srv_log_line *line, const char *name,
                  const char *value);
void srv_log_number(struct srv_log_line *line, const char *name, int64_t value);
void srv_log_ms(struct srv_log_line *line, const char *name,
                int64_t microseconds);

/* Writes the line. Thread-safe: lines never mix. */
void srv_log_end(struct srv_log_line *line);

/* An event with one "message", for what happens once. */
void srv_log_message(enum srv_log_level level, const char *event,
                     const char *message);

#endif
