/* Writes one JSON value on one line, member by member. */
#include "client/json_line.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

static void begin(struct cli_json_line *line, const char *name)
{
    if (line->comma)
        fputs(", ", line->out);
    if (name)
        fprintf(line->out, "\"%s\": ", name);
    line->comma = true;
}

void cli_json_open(struct cli_json_line *line, const char *name, char bracket)
{
    begin(line, name);
    fputc(bracket, line->out);
    line->comma = false;
}

void cli_json_close(struct cli_json_line *line, char bracket)
{
    fputc(bracket, line->out);
    line->comma = true;
}

/* Bytes of the UTF-8 character at `text`, 0 if there is none (Unicode, table
 * 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t character_bytes(const unsigned char *text)
{
    unsigned char first = text[0];
    unsigned char least = 0x80, most = 0xBF;
    size_t bytes = first < 0x80                     ? 1
                   : first >= 0xC2 && first <= 0xDF ? 2
                   : first >= 0xE0 && first <= 0xEF ? 3
                   : first >= 0xF0 && first <= 0xF4 ? 4
                                                    : 0;
    if (first == 0xE0)
        least = 0xA0;
    else if (first == 0xED)
        most = 0x9F;
    else if (first == 0xF0)
        least = 0x90;
    else if (first == 0xF4)
        most = 0x8F;
    /* A NUL ends the text and the loop, so nothing beyond it is read. */
    for (size_t i = 1; i < bytes; i++) {
        if (text[i] < least || text[i] > most)
            return 0;
        least = 0x80;
        most = 0xBF;
    }
    return bytes;
}

void cli_json_text(struct cli_json_line *line, const char *name,
                   const char *text)
{
    begin(line, name);
    fputc('"', line->out);
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        size_t bytes = character_bytes(at);
        if (bytes == 0) {
            fputs("\\ufffd", line->out);
            bytes = 1;
        } else if (*at == '"' || *at == '\\') {
            fprintf(line->out, "\\%c", *at);
        } else if (*at < 0x20 || *at == 0x7F) {
            fprintf(line->out, "\\u%04x", (unsigned)*at);
        } else {
            fwrite(at, 1, bytes, line->out);
        }
        at += bytes;
    }
    fputc('"', line->out);
}

void cli_json_whole(struct cli_json_line *line, const char *name,
                    uint64_t value)
{
    begin(line, name);
    fprintf(line->out, "%" PRIu64, value);
}

void cli_json_real(struct cli_json_line *line, const char *name, double value,
                   int digits)
{
    begin(line, name);
    if (isfinite(value) && value >= 0)
        fprintf(line->out, "%.*f", digits, value);
    else
        fputs("null", line->out);
}
