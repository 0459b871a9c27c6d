/* The program cleave: picks the command. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/cmd.h"

static void print_help(FILE *out)
{
    fputs("Usage: cleave COMMAND [OPTION]... [FILE]...\n"
          "\n"
          "Classify pictures on a weak device with the help of a server that "
          "runs cleaved.\n"
          "\n"
          "Commands:\n"
          "  run        say what is on pictures: files, folders, streams\n"
          "  points     list the server's operating points\n"
          "  probe      measure the link to the server\n"
          "  doctor     check everything that pictures need, say what to do\n"
          "  explain    show what the last decision was made from\n"
          "  simulate   predict what a fleet of devices and a server will do\n"
          "\n"
          "  --help     show this help; \"cleave COMMAND --help\" shows a "
          "command's\n"
          "  --version  show the version\n"
          "\n"
          "Environment:\n"
          "  CLEAVE_SERVER   URLs of servers, with blanks between them\n"
          "                  (http://127.0.0.1:8080)\n"
          "  CLEAVE_TOKEN    the token that servers demand, if they do\n"
          "  CLEAVE_CA_FILE  certificates to trust instead of the system's\n"
          "  CLEAVE_CPU      force kernels: scalar, avx2, avxvnni, avx512, "
          "avx512vnni,\n"
          "                  neon, neondot\n"
          "  XDG_CACHE_HOME  where bundles are cached, in cleave/ "
          "(~/.cache)\n"
          "\n"
          "Exit status: 0 all done, 1 something failed, 2 wrong usage.\n"
          "Answers go to stdout, warnings and errors to stderr.\n",
          out);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } commands[] = {{"run", cmd_run},
                    {"points", cmd_points},
                    {"probe", cmd_probe},
                    {"doctor", cmd_doctor},
                    {"explain", cmd_explain},
                    {"simulate", cmd_simulate}};
    /* A closed pipe or connection, or a file at its limit, is an error to
     * report and not a reason to die. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        print_help(stderr);
        return CMD_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0) {
        print_help(stdout);
        return cmd_finish(CMD_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("cleave %s\n", cleave_version());
        return cmd_finish(CMD_OK);
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    cmd_complain("there is no command \"%s\"", argv[1]);
    fputs("Try \"cleave --help\".\n", stderr);
    return CMD_USAGE;
}
