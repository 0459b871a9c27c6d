/* Writes one JSON value on one line, member by member. */
#ifndef CLEAVE_CLIENT_JSON_LINE_H
#define CLEAVE_CLIENT_JSON_LINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Where commas are due. Begin with {.out = file}. `name` is NULL for items of
 * an array and for the outermost value. Names are written as they are. */
struct cli_json_line {
    FILE *out;
    bool comma;
};

void cli_json_open(struct cli_json_line *line, const char *name, char bracket);
void cli_json_close(struct cli_json_line *line, char bracket);

/* Any bytes: what is not valid UTF-8 becomes U+FFFD. */
void cli_json_text(struct cli_json_line *line, const char *name,
                   const char *text);
void cli_json_whole(struct cli_json_line *line, const char *name,
                    uint64_t value);

/* `digits` after the point; null if the value is negative or not finite. */
void cli_json_real(struct cli_json_line *line, const char *name, double value,
                   int digits);

#endif
