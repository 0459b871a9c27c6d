/* Options: flag, else environment, else JSON file, else default. */
#ifndef CLEAVE_SERVER_CONFIG_H
#define CLEAVE_SERVER_CONFIG_H

#include <stdio.h>

#include "api/status.h"

struct srv_config {
    char listen[300]; /* HOST:PORT as given */
    char host[256];   /* "" for every address */
    char port[8];     /* "0": any free one */
    char model[1024]; /* path of the bundle, if `models` is "" */
    char models[900]; /* folder of bundles, or "" */
    char default_model[64];
    unsigned models_poll_ms; /* 0: never */
    unsigned model_control;  /* 1: clients may load and unload */
    char tokens[1024];       /* path of the token file; "" for none */
    char tls_cert[1024];     /* PEM files; both, or "" for plain HTTP */
    char tls_key[1024];
    char user[64];        /* to become once all is open; "" for none */
    char port_file[1024]; /* gets the port's number; "" for none */
    unsigned workers;
    unsigned threads_per_request;
    unsigned batch;
    unsigned queue;
    unsigned client_queue; /* of one client; 0: as many as `queue` */
    unsigned light_queue;
    unsigned http_threads;
    unsigned connections;
    unsigned connections_per_client;
    unsigned max_body_bytes;
    unsigned body_memory_bytes;
    unsigned drain_ms;
    unsigned deadline_ms;
    unsigned slow_ms;
    unsigned log_sample; /* one trace in so many is logged */
    unsigned header_timeout_ms;
    unsigned request_timeout_ms;
    unsigned console;
    int log_level; /* enum srv_log_level */
};

/* What the command line asks for besides settings. */
enum srv_action {
    SRV_SERVE,
    SRV_CHECK,
    SRV_HEALTHCHECK,
    SRV_HELP,
    SRV_VERSION
};

/* Merges all sources into *config. API_USAGE with a sentence that names the
 * source of the fault. `environment` is environ's form. */
enum api_status srv_config_read(int argc, char **argv, char **environment,
                                struct srv_config *config,
                                enum srv_action *action,
                                struct api_error *error);

/* The text of --help. */
void srv_config_help(FILE *out);

/* The settings in force as a JSON object that --config accepts. */
void srv_config_print(const struct srv_config *config, FILE *out);

#endif
