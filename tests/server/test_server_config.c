/* Tests of server/config.c: precedence, and every kind of misuse. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"
#include "server/log.h"
#include "tests/run_suite.h"

static char *no_environment[] = {NULL};

/* Reads a configuration from flags (NULL at the end) and environment. */
static enum api_status read_config(const char *const *flags, char **environment,
                                   struct srv_config *config,
                                   enum srv_action *action,
                                   struct api_error *error)
{
    char *arguments[20] = {(char *)(size_t) "cleaved"};
    int count = 1;
    for (; *flags; flags++)
        arguments[count++] = (char *)(size_t)*flags;
    return srv_config_read(count, arguments, environment, config, action,
                           error);
}

static void write_file(char *path, const char *text)
{
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, text, strlen(text)), (int)strlen(text));
    close(file);
}

START_TEST(defaults_are_the_documented_ones)
{
    struct srv_config config;
    enum srv_action action;
    ck_assert_int_eq(read_config((const char *const[]){NULL}, no_environment,
                                 &config, &action, NULL),
                     API_OK);
    ck_assert_int_eq(action, SRV_SERVE);
    ck_assert_str_eq(config.host, "127.0.0.1");
    ck_assert_str_eq(config.port, "8080");
    ck_assert_uint_eq(config.queue, 64);
    ck_assert_uint_eq(config.batch, 4);
    ck_assert_uint_eq(config.http_threads, 2);
    ck_assert_uint_ge(config.workers, 1);
    ck_assert_uint_eq(config.threads_per_request, 1);
    ck_assert_uint_eq(config.max_body_bytes, 16 << 20);
    ck_assert_uint_eq(config.deadline_ms, 10000);
    ck_assert_uint_eq(config.drain_ms, 10000);
    ck_assert_int_eq(config.log_level, SRV_INFO);
    ck_assert_uint_eq(config.console, 1);
    ck_assert_str_eq(config.port_file, "");
    ck_assert_ptr_nonnull(strstr(config.model, "default.safetensors"));
}
END_TEST

START_TEST(workers_leave_room_for_their_threads)
{
    struct srv_config config;
    enum srv_action action;
    ck_assert_int_eq(
        read_config((const char *const[]){"--threads-per-request", "64", NULL},
                    no_environment, &config, &action, NULL),
        API_OK);
    ck_assert_uint_eq(config.threads_per_request, 64);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    ck_assert_int_eq(config.workers, cpus < 64 ? 1 : cpus / 64);
    ck_assert_int_eq(
        read_config((const char *const[]){"--threads-per-request", "2",
                                          "--workers", "7", NULL},
                    no_environment, &config, &action, NULL),
        API_OK);
    ck_assert_uint_eq(config.workers, 7);
}
END_TEST

START_TEST(flag_beats_environment_beats_file)
{
    char path[] = "/tmp/cleaved-config-XXXXXX";
    write_file(path, "{\"queue\":1,\"workers\":1,\"drain_ms\":1,"
                     "\"log_level\":\"warn\",\"listen\":\"[::1]:1\"}");
    char *environment[] = {
        (char *)(size_t) "CLEAVE_QUEUE=2", (char *)(size_t) "CLEAVE_WORKERS=2",
        (char *)(size_t) "CLEAVE_CPU=scalar", (char *)(size_t) "HOME=/", NULL};
    struct srv_config config;
    enum srv_action action;
    struct api_error error;
    ck_assert_int_eq(
        read_config((const char *const[]){"--config", path, "--queue=3", NULL},
                    environment, &config, &action, &error),
        API_OK);
    ck_assert_uint_eq(config.queue, 3);
    ck_assert_uint_eq(config.workers, 2);
    ck_assert_uint_eq(config.drain_ms, 1);
    ck_assert_int_eq(config.log_level, SRV_WARN);
    ck_assert_str_eq(config.host, "::1");
    ck_assert_str_eq(config.port, "1");
    ck_assert_uint_eq(config.http_threads, 2);

    /* The file's place can come from the environment, and loses to a flag. */
    char variable[100];
    snprintf(variable, sizeof variable, "CLEAVE_CONFIG=%s", path);
    char *pointing[] = {variable, NULL};
    ck_assert_int_eq(read_config((const char *const[]){NULL}, pointing, &config,
                                 &action, &error),
                     API_OK);
    ck_assert_uint_eq(config.queue, 1);
    ck_assert_int_eq(
        read_config((const char *const[]){"--config", "/nonexistent", NULL},
                    pointing, &config, &action, &error),
        API_USAGE);
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent"));
    unlink(path);
}
END_TEST

START_TEST(listen_takes_hosts_and_ports)
{
    static const struct {
        const char *text, *host, *port;
    } good[] = {{"0.0.0.0:0", "0.0.0.0", "0"},
                {":65535", "", "65535"},
                {"[::]:80", "::", "80"},
                {"localhost:08", "localhost", "8"}};
    static const char *const bad[] = {
        "",           ":",      "80",      "host",  "host:",   "host:x",
        "host:65536", "::1:80", "[::1:80", "[]:80", "host:-1", "host:80 "};
    struct srv_config config;
    enum srv_action action;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_int_eq(
            read_config((const char *const[]){"--listen", good[i].text, NULL},
                        no_environment, &config, &action, NULL),
            API_OK);
        ck_assert_str_eq(config.host, good[i].host);
        ck_assert_str_eq(config.port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct api_error error = {API_OK, ""};
        ck_assert_msg(
            read_config((const char *const[]){"--listen", bad[i], NULL},
                        no_environment, &config, &action, &error) == API_USAGE,
            "accepted: %s", bad[i]);
        ck_assert_ptr_nonnull(strstr(error.text, "HOST:PORT"));
    }
}
END_TEST

START_TEST(misuse_is_refused_with_its_source)
{
    static const char *const flags[][3] = {
        {"--nonsense", NULL},    {"--queue", NULL},
        {"--queue", "0"},        {"--queue", "x"},
        {"--queue", "-1"},       {"--queue", " 1"},
        {"--queue", "1e3"},      {"--queue", "4294967297"},
        {"--queue=", NULL},      {"serve", NULL},
        {"--log-level", "loud"}, {"-x", NULL},
        {"--workers=", NULL},    {"--config-file", "x.json"},
        {"--check", NULL},       {"--max-body-bytes", "16777217"},
    };
    struct srv_config config;
    enum srv_action action;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct api_error error = {API_OK, ""};
        ck_assert_msg(read_config(flags[i], no_environment, &config, &action,
                                  &error) == API_USAGE,
                      "accepted: %s", flags[i][0]);
        ck_assert_ptr_nonnull(strstr(error.text, "command line"));
    }
    char *environment[] = {(char *)(size_t) "CLEAVE_QUEUE=many", NULL};
    struct api_error error;
    ck_assert_int_eq(read_config((const char *const[]){"--queue", "1", NULL},
                                 environment, &config, &action, &error),
                     API_USAGE);
    ck_assert_ptr_nonnull(strstr(error.text, "environment"));

    static const char *const files[] = {
        "",
        "[]",
        "{\"queue\":\"x\"}",
        "{\"queue\":1.5}",
        "{\"no_such\":1}",
        "{\"http-threads\":1}",
        "{\"queue\":1,\"queue\":2}",
        "{\"config\":\"other\"}",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[] = "/tmp/cleaved-config-XXXXXX";
        write_file(path, files[i]);
        ck_assert_msg(read_config((const char *const[]){"--config", path, NULL},
                                  no_environment, &config, &action,
                                  &error) == API_USAGE,
                      "accepted: %s", files[i]);
        ck_assert_ptr_nonnull(strstr(error.text, path));
        unlink(path);
    }
}
END_TEST

START_TEST(actions_are_recognised)
{
    struct srv_config config;
    enum srv_action action;
    ck_assert_int_eq(
        read_config((const char *const[]){"--help", "--nonsense", NULL},
                    no_environment, &config, &action, NULL),
        API_OK);
    ck_assert_int_eq(action, SRV_HELP);
    ck_assert_int_eq(read_config((const char *const[]){"--version", NULL},
                                 no_environment, &config, &action, NULL),
                     API_OK);
    ck_assert_int_eq(action, SRV_VERSION);
    ck_assert_int_eq(read_config((const char *const[]){"--check-config",
                                                       "--queue", "5", NULL},
                                 no_environment, &config, &action, NULL),
                     API_OK);
    ck_assert_int_eq(action, SRV_CHECK);
    ck_assert_uint_eq(config.queue, 5);
}
END_TEST

START_TEST(what_is_printed_can_be_read_back)
{
    char path[] = "/tmp/cleaved-config-XXXXXX";
    write_file(path, "");
    struct srv_config config, again;
    enum srv_action action;
    ck_assert_int_eq(
        read_config((const char *const[]){"--queue", "7", "--model",
                                          "/a \"b\"\\c", "--log-level", "error",
                                          NULL},
                    no_environment, &config, &action, NULL),
        API_OK);
    FILE *file = fopen(path, "w");
    srv_config_print(&config, file);
    fclose(file);
    struct api_error error = {API_OK, ""};
    ck_assert_msg(read_config((const char *const[]){"--config", path, NULL},
                              no_environment, &again, &action,
                              &error) == API_OK,
                  "%s", error.text);
    ck_assert_uint_eq(again.queue, 7);
    ck_assert_str_eq(again.model, "/a \"b\"\\c");
    ck_assert_int_eq(again.log_level, SRV_ERROR);
    unlink(path);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("config");
    tcase_add_test(cases, defaults_are_the_documented_ones);
    tcase_add_test(cases, workers_leave_room_for_their_threads);
    tcase_add_test(cases, flag_beats_environment_beats_file);
    tcase_add_test(cases, listen_takes_hosts_and_ports);
    tcase_add_test(cases, misuse_is_refused_with_its_source);
    tcase_add_test(cases, actions_are_recognised);
    tcase_add_test(cases, what_is_printed_can_be_read_back);
    Suite *suite = suite_create("server config");
    suite_add_tcase(suite, cases);
    return suite;
}
