/* One picture in hand, and the two ways to answer it. */
#ifndef CLEAVE_CLIENT_JOB_H
#define CLEAVE_CLIENT_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "client/client.h"

struct cli_job {
    struct cleave *handle;
    uint64_t number;     /* of all the handle's jobs */
    unsigned generation; /* of the points that it chose among */
    unsigned tried;      /* servers that failed it */
    const void *jpeg;    /* borrowed */
    size_t jpeg_bytes;
    double until_ms;   /* INFINITY: no deadline */
    double give_up_ms; /* when the device is to answer instead; 0: not said */
    bool is_failure;   /* the server's silence speaks against it */
    bool is_hedged;    /* the device was sooner: that is the result */
    bool decoded;      /* at least once */
    double decode_ms;  /* that it took */
    uint8_t *frame;    /* of the head that ran last; malloc'ed */
    uint8_t *shrunk;   /* the picture, made smaller; malloc'ed */
    size_t shrunk_bytes;
    int shrunk_quality; /* that it was made at; 0: not made */
    double shrunk_ms;   /* that it took */
    bool refreshed;   /* the model was asked for anew */
    bool waited;      /* a Retry-After was honoured */
    struct cleave_result result;
    struct cleave_error error;
};

/* All of these need the handle's lock, and let it go while the network or the
 * device is at work. */
double cli_job_left_ms(const struct cli_job *job);

/* How long the server may take: what is left, less what answering here would
 * need after its failure if that fits, but never less than half of it; and no
 * longer than the decider means to wait before the device answers instead. */
double cli_job_remote_timeout_ms(const struct cli_job *job);

/* What is to be decided: among points of `kind` (-1: any) those in can_run. */
struct cli_question cli_job_question(const struct cli_job *job,
                                     const bool *can_run, int kind);

/* Decodes the picture unless the device holds it. The device is this thread's.
 * Fills job->error on failure. */
enum cleave_status cli_job_decode(struct cli_job *job);

/* Answers on the device; the handle has a local point, unless another model
 * came just now: then the job fails with that for a reason. */
enum cleave_status cli_job_answer_locally(struct cli_job *job,
                                          const char *reason);

/* One try of an offload or split point. *served says how the server did:
 * API_OK, then the result is filled but for its reason, by the point's exit
 * without the server where that is sure, or why not, with the
 * detail in *why; API_MODEL_MISMATCH, too, where the points have changed since
 * the choice. With is_hedged the device has answered meanwhile. Returns a
 * failure only for the picture or the device. The server asked is
 * handle->server at the call. */
enum cleave_status cli_job_try_remote(struct cli_job *job, uint16_t point,
                                      enum api_status *served,
                                      double *retry_after_ms,
                                      struct api_error *why);

#endif
