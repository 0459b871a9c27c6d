/* The commands of the program cleave, and what they share. */
#ifndef CLEAVE_CLIENT_CMD_H
#define CLEAVE_CLIENT_CMD_H

#include <stdbool.h>
#include <stdio.h>

#include "client/cleave.h"

/* Exit statuses, as --help documents them. */
enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

#define CMD_SERVERS_MOST 8
#define CMD_SERVER_DEFAULT "http://127.0.0.1:8080"

/* Options that several commands take. Strings are borrowed from argv or the
 * environment. */
struct cmd_options {
    struct cleave_options open;
    const char *servers[CMD_SERVERS_MOST + 1]; /* in order, NULL behind */
    unsigned server_count;
    const char *point;
    const char *watch;
    const char *metrics_path;
    unsigned deadline_ms;
    unsigned samples;
    bool top_given;
    bool latest;
    bool json;
};

/* Each command gets its own name as argv[0] and returns an exit status. */
int cmd_run(int argc, char **argv);
int cmd_points(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_simulate(int argc, char **argv);

/* Parses options into *options, which it fills with defaults first (the servers
 * from $CLEAVE_SERVER, separated by blanks, which it cuts up). `allowed`: the
 * short letters of the command's options, see cmd_options.c. Returns true with
 * optind at the first operand; false if the command has to end with
 * *exit_status: after --help or a usage error. */
bool cmd_parse(int argc, char **argv, const char *allowed,
               void (*print_help)(FILE *), struct cmd_options *options,
               int *exit_status);

/* An objective's name; joules per CPU-second and per byte, with a comma between
 * them. False, with a complaint, for any other text. */
bool cmd_read_objective(const char *text, enum cleave_objective *objective);
bool cmd_read_power(const char *text, struct cleave_options *options);

/* Says "cleave: …" on stderr. */
void cmd_complain(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Opens a handle or complains; passes the handle's notice on to stderr. */
int cmd_open(const struct cmd_options *options, struct cleave **handle);

/* Flushes stdout. CMD_FAILED, with a complaint, if something was not written,
 * else `status`. */
int cmd_finish(int status);

/* The exit status for a failure of the library. */
int cmd_exit_status(enum cleave_status status);

#endif
