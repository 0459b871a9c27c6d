/* Reads the Server-Timing header (W3C Server Timing). */
#include "client/server_timing.h"

#include <string.h>
#include <strings.h>

#define LONGEST_MS 3600000.0

/* The queue comes first. */
static const char *const metric_names[] = {"queue", "decode", "infer"};
#define METRIC_COUNT (sizeof metric_names / sizeof metric_names[0])

/* Where the parser stands; `at` never passes `end`. */
struct cursor {
    const char *at, *end;
};

struct token {
    const char *text;
    size_t bytes;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
}

/* Everything up to a separator, without blanks at its end. */
static struct token take_token(struct cursor *cursor)
{
    skip_blanks(cursor);
    struct token token = {cursor->at, 0};
    while (cursor->at < cursor->end && !memchr(",;=\"", *cursor->at, 4))
        cursor->at++;
    token.bytes = (size_t)(cursor->at - token.text);
    while (token.bytes > 0 && is_blank(token.text[token.bytes - 1]))
        token.bytes--;
    return token;
}

/* The inside of a quoted string, escapes left as they are; a missing closing
 * quote ends with the text. */
static struct token take_quoted(struct cursor *cursor)
{
    cursor->at++;
    struct token token = {cursor->at, 0};
    while (cursor->at < cursor->end && *cursor->at != '"') {
        if (*cursor->at == '\\' && cursor->end - cursor->at > 1)
            cursor->at++;
        cursor->at++;
    }
    token.bytes = (size_t)(cursor->at - token.text);
    if (cursor->at < cursor->end)
        cursor->at++;
    return token;
}

static bool token_is(struct token token, const char *name)
{
    return token.bytes == strlen(name) &&
           strncasecmp(token.text, name, token.bytes) == 0;
}

/* Plain decimals only. strtod would follow the host program's locale, and
 * would take "nan", "inf" and "0x1p9" as well. */
static bool read_decimal(struct token token, double *value)
{
    double whole = 0, fraction = 0, unit = 1;
    size_t at = 0, digits = 0;
    for (; at < token.bytes && token.text[at] >= '0' && token.text[at] <= '9';
         at++, digits++)
        whole = whole * 10 + (token.text[at] - '0');
    if (at < token.bytes && token.text[at] == '.') {
        for (at++;
             at < token.bytes && token.text[at] >= '0' && token.text[at] <= '9';
             at++, digits++) {
            unit /= 10;
            fraction += unit * (token.text[at] - '0');
        }
    }
    if (digits == 0 || at != token.bytes || !(whole + fraction <= LONGEST_MS))
        return false;
    *value = whole + fraction;
    return true;
}

/* One metric with its parameters, up to the next comma. */
static void read_metric(struct cursor *cursor, struct token *name,
                        struct token *duration)
{
    *name = take_token(cursor);
    *duration = (struct token){cursor->at, 0};
    while (cursor->at < cursor->end && *cursor->at != ',') {
        char separator = *cursor->at;
        if (separator == '"') {
            take_quoted(cursor);
            continue;
        }
        cursor->at++;
        struct token parameter = take_token(cursor);
        if (separator != ';' || cursor->at == cursor->end || *cursor->at != '=')
            continue;
        cursor->at++;
        skip_blanks(cursor);
        bool quoted = cursor->at < cursor->end && *cursor->at == '"';
        struct token value = quoted ? take_quoted(cursor) : take_token(cursor);
        if (token_is(parameter, "dur") && duration->bytes == 0)
            *duration = value;
    }
}

bool cli_server_timing_read(const char *text, size_t bytes,
                            struct cli_server_timing *timing)
{
    struct cursor cursor = {text, text + bytes};
    bool seen[METRIC_COUNT] = {false};
    struct cli_server_timing read = {.queue_ms = 0};
    bool any = false;
    while (cursor.at < cursor.end) {
        struct token name, duration;
        read_metric(&cursor, &name, &duration);
        if (cursor.at < cursor.end)
            cursor.at++;
        double value_ms = 0;
        if (!read_decimal(duration, &value_ms))
            continue;
        for (size_t i = 0; i < METRIC_COUNT; i++) {
            if (!token_is(name, metric_names[i]) || seen[i])
                continue;
            seen[i] = any = true;
            *(i == 0 ? &read.queue_ms : &read.compute_ms) += value_ms;
        }
    }
    if (any)
        *timing = read;
    return any;
}
