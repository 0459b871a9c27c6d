/* One table of options; every source goes through the same parser. */
#include "server/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/json.h"
#include "api/limits.h"
#include "server/log.h"

enum kind { TEXT, NUMBER, LEVEL };

/* Sources by rank; a lower one never overwrites a higher one. */
enum rank { DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

struct option {
    const char *name; /* as a flag, without its dashes */
    enum kind kind;
    size_t offset;   /* in struct srv_config */
    size_t capacity; /* of TEXT */
    unsigned least, most;
    const char *value; /* default; NULL: computed */
    const char *placeholder, *help;
};

#define MEMBER(name) offsetof(struct srv_config, name)
#define TEXT_MEMBER(name)                                                      \
    TEXT, MEMBER(name), sizeof((struct srv_config *)0)->name, 0, 0
#define NUMBER_MEMBER(name, least, most) NUMBER, MEMBER(name), 0, least, most

static const struct option options[] = {
    {"listen", TEXT_MEMBER(listen), "127.0.0.1:8080", "HOST:PORT",
     "address to listen on; port 0 is any free port"},
    {"model", TEXT_MEMBER(model), NULL, "PATH", "bundle to serve"},
    {"models", TEXT_MEMBER(models), "", "DIR",
     "serve every DIR/<model>/<version>/model.safetensors instead"},
    {"default-model", TEXT_MEMBER(default_model), "", "NAME",
     "model of requests that name none; else the first by name"},
    {"models-poll-ms", NUMBER_MEMBER(models_poll_ms, 0, 3600000), "0", "N",
     "look for changed bundles this often; 0 only on SIGHUP"},
    {"model-control", NUMBER_MEMBER(model_control, 0, 1), "0", "0|1",
     "whether POST /v2/repository may load and unload models"},
    {"workers", NUMBER_MEMBER(workers, 1, 1024), NULL, "N",
     "requests that are computed at once"},
    {"threads-per-request",
     NUMBER_MEMBER(threads_per_request, 1, API_LIMIT_THREADS), "1", "N",
     "threads that share the computing of one"},
    {"batch", NUMBER_MEMBER(batch, 1, API_LIMIT_BATCH), "4", "N",
     "frames that a worker computes together if so many wait"},
    {"queue", NUMBER_MEMBER(queue, 1, 65536), "64", "N",
     "requests that may wait for a worker"},
    {"client-queue", NUMBER_MEMBER(client_queue, 0, 65536), "0", "N",
     "of them, requests of one client address; 0 for no such limit"},
    {"light-queue", NUMBER_MEMBER(light_queue, 0, 65536), "8", "N",
     "waiting requests from which on quality=auto means a lighter network"},
    {"http-threads", NUMBER_MEMBER(http_threads, 1, 64), "2", "N",
     "threads that read and write the network"},
    {"connections", NUMBER_MEMBER(connections, 16, 1000000), "1024", "N",
     "open connections"},
    {"connections-per-client",
     NUMBER_MEMBER(connections_per_client, 1, 1000000), "256", "N",
     "open connections from one address; behind a proxy, give it more"},
    {"max-body-bytes", NUMBER_MEMBER(max_body_bytes, 1, API_LIMIT_JPEG_BYTES),
     "16777216", "N", "largest request body"},
    {"body-memory-bytes",
     NUMBER_MEMBER(body_memory_bytes, API_LIMIT_JPEG_BYTES, UINT32_MAX),
     "268435456", "N", "memory for the bodies of all requests together"},
    {"header-timeout-ms", NUMBER_MEMBER(header_timeout_ms, 100, 3600000),
     "10000", "N", "time for a client to send a request's headers"},
    {"request-timeout-ms", NUMBER_MEMBER(request_timeout_ms, 100, 3600000),
     "30000", "N", "time for a client to send a whole request"},
    {"deadline-ms", NUMBER_MEMBER(deadline_ms, 1, 3600000), "10000", "N",
     "longest wait for a worker"},
    {"drain-ms", NUMBER_MEMBER(drain_ms, 0, 3600000), "10000", "N",
     "time to finish accepted requests after SIGTERM"},
    {"tokens", TEXT_MEMBER(tokens), "", "PATH",
     "demand bearer tokens, listed in this file"},
    {"tls-cert", TEXT_MEMBER(tls_cert), "", "PATH",
     "speak TLS with this certificate and its chain (PEM)"},
    {"tls-key", TEXT_MEMBER(tls_key), "", "PATH",
     "the certificate's private key (PEM)"},
    {"user", TEXT_MEMBER(user), "", "NAME",
     "become this user once ports are bound and secrets read"},
    {"console", NUMBER_MEMBER(console, 0, 1), "1", "0|1",
     "whether there are pages for people at / and /docs"},
    {"log-level", LEVEL, MEMBER(log_level), 0, 0, 0, "info", "LEVEL",
     "error, warn, info or debug"},
    {"log-sample", NUMBER_MEMBER(log_sample, 1, 1000000), "1", "N",
     "log one request in N, and all that failed or were slow"},
    {"slow-ms", NUMBER_MEMBER(slow_ms, 0, 3600000), "1000", "N",
     "inference that takes longer is listed at /debug/slow"},
    {"port-file", TEXT_MEMBER(port_file), "", "PATH",
     "write the port's number to this file when listening"},
};
#define OPTION_COUNT (sizeof options / sizeof options[0])

struct reading {
    struct srv_config config;
    enum rank ranks[OPTION_COUNT];
    enum rank rank; /* of the source being read */
};

static bool whole_number(const char *text, unsigned least, unsigned most,
                         unsigned *number)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || value < least || value > most)
        return false;
    *number = (unsigned)value;
    return true;
}

/* Sets option `i` unless a higher source did. The value is checked even
 * then: a wrong setting is never passed over in silence. */
static enum api_status set(struct reading *reading, size_t i, const char *value,
                           struct api_error *error)
{
    const struct option *option = &options[i];
    char *member = (char *)&reading->config + option->offset;
    bool keep = reading->ranks[i] > reading->rank;
    unsigned number = 0;
    int level = 0;
    switch (option->kind) {
    case TEXT:
        if (strlen(value) >= option->capacity)
            return api_fail(error, API_USAGE, "%s is too long", option->name);
        if (!keep)
            memcpy(member, value, strlen(value) + 1);
        break;
    case NUMBER:
        if (!whole_number(value, option->least, option->most, &number))
            return api_fail(error, API_USAGE,
                            "%s takes a whole number from %u to %u, "
                            "not \"%.40s\"",
                            option->name, option->least, option->most, value);
        if (!keep)
            memcpy(member, &number, sizeof number);
        break;
    case LEVEL:
        level = srv_log_level_parse(value);
        if (level < 0)
            return api_fail(error, API_USAGE, "%s is %s, not \"%.40s\"",
                            option->name, option->help, value);
        if (!keep)
            memcpy(member, &level, sizeof level);
        break;
    }
    if (!keep)
        reading->ranks[i] = reading->rank;
    return API_OK;
}

/* Index of the option called `name`, with '_' for '-' if `underscores`, or
 * OPTION_COUNT. */
static size_t find(const char *name, size_t length, bool underscores)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *want = options[i].name;
        if (strlen(want) != length)
            continue;
        size_t same = 0;
        while (same < length &&
               name[same] ==
                   (underscores && want[same] == '-' ? '_' : want[same]))
            same++;
        if (same == length)
            return i;
    }
    return OPTION_COUNT;
}

static void default_model(char *path, size_t capacity)
{
    static const char *const places[] = {CLEAVE_INSTALLED_MODEL,
                                         CLEAVE_SOURCE_MODEL};
    const char *place = access(places[0], R_OK) == 0 ? places[0] : places[1];
    snprintf(path, capacity, "%s", place);
}

static enum api_status read_defaults(struct reading *reading,
                                     struct api_error *error)
{
    reading->rank = DEFAULT;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (!options[i].value)
            continue;
        enum api_status status = set(reading, i, options[i].value, error);
        if (status != API_OK)
            return status;
    }
    default_model(reading->config.model, sizeof reading->config.model);
    return API_OK;
}

/* Unless told, workers and their threads together are as many as the CPUs. */
static void default_workers(struct srv_config *config)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    long workers = cpus / (long)config->threads_per_request;
    if (config->workers == 0)
        config->workers = workers < 1      ? 1
                          : workers > 1024 ? 1024
                                           : (unsigned)workers;
}

static enum api_status set_from_file(void *context, const char *name,
                                     const char *value, struct api_error *error)
{
    struct reading *reading = context;
    size_t i = find(name, strlen(name), true);
    if (i == OPTION_COUNT)
        return api_fail(error, API_USAGE, "no setting called \"%.60s\"", name);
    return set(reading, i, value, error);
}

static enum api_status read_file(struct reading *reading, const char *path,
                                 struct api_error *error)
{
    char *text = malloc(API_LIMIT_JSON_BYTES + 1);
    if (!text)
        return api_fail(error, API_NO_MEMORY, "no memory for the settings");
    FILE *file = fopen(path, "rb");
    if (!file) {
        free(text);
        return api_fail(error, API_USAGE, "%s", strerror(errno));
    }
    /* One byte over the limit is read, so that the parser can refuse it. */
    size_t bytes = fread(text, 1, API_LIMIT_JSON_BYTES + 1, file);
    bool broken = ferror(file) != 0;
    fclose(file);
    enum api_status status =
        broken ? api_fail(error, API_USAGE, "cannot be read")
               : api_settings_read(text, bytes, set_from_file, reading, error);
    free(text);
    return status;
}

static enum api_status read_environment(struct reading *reading,
                                        char **environment,
                                        const char **config_path,
                                        struct api_error *error)
{
    for (size_t i = 0; environment[i]; i++) {
        const char *text = environment[i], *equals = strchr(text, '=');
        if (strncmp(text, "CLEAVE_", 7) != 0 || !equals)
            continue;
        char name[40] = "";
        size_t length = (size_t)(equals - text) - 7;
        if (length >= sizeof name)
            continue;
        for (size_t k = 0; k < length; k++)
            name[k] = (char)tolower((unsigned char)text[7 + k]);
        if (strcmp(name, "config") == 0)
            *config_path = equals + 1;
        /* Other CLEAVE_ variables belong to other programs. */
        size_t option = find(name, length, true);
        if (option == OPTION_COUNT)
            continue;
        enum api_status status = set(reading, option, equals + 1, error);
        if (status != API_OK)
            return status;
    }
    return API_OK;
}

/* Takes "--name value" and "--name=value". */
static enum api_status read_flags(struct reading *reading, int argc,
                                  char **argv, const char **config_path,
                                  enum srv_action *action,
                                  struct api_error *error)
{
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i];
        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-h") == 0) {
            *action = SRV_HELP;
            return API_OK;
        }
        if (strcmp(flag, "--version") == 0) {
            *action = SRV_VERSION;
            return API_OK;
        }
        if (strcmp(flag, "--check-config") == 0) {
            *action = SRV_CHECK;
            continue;
        }
        if (strcmp(flag, "--healthcheck") == 0) {
            *action = SRV_HEALTHCHECK;
            continue;
        }
        if (strncmp(flag, "--", 2) != 0)
            return api_fail(error, API_USAGE, "unexpected argument \"%.60s\"",
                            flag);
        const char *name = flag + 2, *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        bool is_config = length == 6 && memcmp(name, "config", 6) == 0;
        size_t option = find(name, length, false);
        if (option == OPTION_COUNT && !is_config)
            return api_fail(error, API_USAGE, "unknown option \"%.60s\"", flag);
        const char *value = equals ? equals + 1 : argv[i + 1];
        if (!value)
            return api_fail(error, API_USAGE, "option %.60s needs a value",
                            flag);
        if (!equals)
            i++;
        enum api_status status = API_OK;
        if (is_config)
            *config_path = value;
        else
            status = set(reading, option, value, error);
        if (status != API_OK)
            return status;
    }
    return API_OK;
}

/* Splits HOST:PORT, [IPV6]:PORT and :PORT. */
static enum api_status split_listen(struct srv_config *config,
                                    struct api_error *error)
{
    const char *text = config->listen, *colon = strrchr(text, ':');
    const char *host = text, *end = colon;
    bool good = colon != NULL;
    if (good && text[0] == '[') {
        host = text + 1;
        end = colon - 1;
        good = end > host && *end == ']';
    } else if (good) {
        good = memchr(text, ':', (size_t)(colon - text)) == NULL;
    }
    unsigned port = 0;
    good = good && (size_t)(end - host) < sizeof config->host &&
           whole_number(colon + 1, 0, 65535, &port);
    if (!good)
        return api_fail(error, API_USAGE,
                        "listen takes HOST:PORT, [IPV6]:PORT or :PORT, not "
                        "\"%.60s\"",
                        text);
    memcpy(config->host, host, (size_t)(end - host));
    config->host[end - host] = '\0';
    snprintf(config->port, sizeof config->port, "%u", port);
    return API_OK;
}

enum api_status srv_config_read(int argc, char **argv, char **environment,
                                struct srv_config *config,
                                enum srv_action *action,
                                struct api_error *error)
{
    struct reading reading = {.rank = DEFAULT};
    struct api_error why = {API_OK, ""};
    enum srv_action wanted = SRV_SERVE;
    const char *path_from_environment = NULL, *path_from_flag = NULL;
    const char *source = "default";

    enum api_status status = read_defaults(&reading, &why);
    if (status != API_OK)
        goto out;
    source = "command line";
    reading.rank = FROM_FLAG;
    status = read_flags(&reading, argc, argv, &path_from_flag, &wanted, &why);
    if (status != API_OK || wanted == SRV_HELP || wanted == SRV_VERSION)
        goto out;
    source = "environment";
    reading.rank = FROM_ENVIRONMENT;
    status =
        read_environment(&reading, environment, &path_from_environment, &why);
    if (status != API_OK)
        goto out;
    source = path_from_flag ? path_from_flag : path_from_environment;
    if (source) {
        reading.rank = FROM_FILE;
        status = read_file(&reading, source, &why);
        if (status != API_OK)
            goto out;
    }
    source = "settings";
    status = split_listen(&reading.config, &why);
    if (status == API_OK &&
        !reading.config.tls_cert[0] != !reading.config.tls_key[0])
        status = api_fail(&why, API_USAGE, "tls_cert and tls_key go together");
    default_workers(&reading.config);
out:
    if (status != API_OK)
        return api_fail(error, status, "%.80s: %s", source, why.text);
    *config = reading.config;
    *action = wanted;
    return API_OK;
}

void srv_config_help(FILE *out)
{
    fputs("Usage: cleaved [OPTION]...\n\n"
          "Classify pictures, and finish what devices began.\n\n"
          "Each option can also be an environment variable (--http-threads is\n"
          "CLEAVE_HTTP_THREADS) or a member of a JSON file (http_threads). A\n"
          "flag wins over the environment, that over the file.\n\n",
          out);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &options[i];
        char flag[48];
        snprintf(flag, sizeof flag, "--%s %s", option->name,
                 option->placeholder);
        fprintf(out, "  %-26s %s", flag, option->help);
        if (!option->value)
            fprintf(out, " (default: %s)",
                    strcmp(option->name, "workers") == 0
                        ? "as many as the CPUs have room for"
                        : "the bundle that came with Cleave");
        else if (option->value[0] != '\0')
            fprintf(out, " (default: %s)", option->value);
        fputc('\n', out);
    }
    fputs("  --config PATH              read settings from a JSON file\n"
          "  --check-config             check settings and bundle, print the "
          "settings, end\n"
          "  --healthcheck              ask the server that runs with these "
          "settings, end\n"
          "  --version                  print the version, end\n"
          "  --help                     print this, end\n\n"
          "CLEAVE_CPU=scalar|avx2|avxvnni|avx512|avx512vnni|neon|neondot\n"
          "forces the engine's kernels, CLEAVE_ONEDNN=off|on keeps oneDNN out "
          "or has it\ncompute all that it can, with one thread a request.\n"
          "SIGTERM and SIGINT finish accepted requests, then end.\n"
          "SIGHUP loads bundles that are new or have changed.\n"
          "exit status: 0 ended as asked, 1 failure, 2 wrong usage\n",
          out);
}

void srv_config_print(const struct srv_config *config, FILE *out)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &options[i];
        const char *member = (const char *)config + option->offset;
        fputs(i ? ",\n  \"" : "{\n  \"", out);
        for (const char *at = option->name; *at; at++)
            fputc(*at == '-' ? '_' : *at, out);
        fputs("\": ", out);
        unsigned number;
        int level;
        switch (option->kind) {
        case TEXT:
            fputc('"', out);
            for (; *member; member++) {
                if (*member == '"' || *member == '\\')
                    fputc('\\', out);
                fputc(*member, out);
            }
            fputc('"', out);
            break;
        case NUMBER:
            memcpy(&number, member, sizeof number);
            fprintf(out, "%u", number);
            break;
        case LEVEL:
            memcpy(&level, member, sizeof level);
            fprintf(out, "\"%s\"",
                    srv_log_level_name((enum srv_log_level)level));
            break;
        }
    }
    fputs("\n}\n", out);
}
