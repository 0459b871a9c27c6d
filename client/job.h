/* One picture in hand, and the two ways to answer it. */
#ifndef CLEAVE_CLIENT_JOB_H
#define CLEAVE_CLIENT_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "client/client.h"

struct cli_job {
    struct cleave *handle;
    const void *jpeg; /* borrowed */
    size_t jpeg_bytes;
    double until_ms;  /* INFINITY: no deadline */
    bool decoded;     /* the device holds this picture's pixels */
    double decode_ms; /* that it took */
    bool refreshed;   /* the model was asked for anew */
    bool waited;      /* a Retry-After was honoured */
    struct cleave_result result;
    struct cleave_error error;
};

double cli_job_left_ms(const struct cli_job *job);

/* How long the server may take: what is left, less what answering here would
 * need after its failure, but never less than half of it. */
double cli_job_remote_timeout_ms(const struct cli_job *job);

/* What the policy is told: of points of `kind` (-1: any) those in can_run. */
struct cli_policy_input cli_job_policy_input(const struct cli_job *job,
                                             const bool *can_run, int kind);

/* Decodes the picture unless that was done. Fills job->error on failure. */
enum cleave_status cli_job_decode(struct cli_job *job);

/* Answers on the device; the handle has a local point. */
enum cleave_status cli_job_answer_locally(struct cli_job *job,
                                          const char *reason);

/* One try of an offload or split point. *served says how the server did:
 * API_OK, then the result is filled but for its reason, or why not, with the
 * detail in *why. Returns a failure only for the picture or the device. */
enum cleave_status cli_job_try_remote(struct cli_job *job, uint16_t point,
                                      enum api_status *served,
                                      double *retry_after_ms,
                                      struct api_error *why);

#endif
