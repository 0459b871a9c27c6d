/* Whose operating points are planned with, and what each costs to compute. */
#ifndef CLEAVE_CLIENT_SIMULATE_SUBJECT_H
#define CLEAVE_CLIENT_SIMULATE_SUBJECT_H

#include "api/status.h"
#include "client/cleave.h"
#include "client/simulate/world.h"

/* Where points and times come from. Strings are borrowed. */
struct subject_order {
    const char *bundle;                /* a file; NULL: ask the server */
    const struct cleave_options *open; /* how to ask it */
    const char *learnt;        /* what a device keeps in its cache, or NULL */
    double device_ms_per_gmac; /* 0: as learnt, or measured here */
    double decode_ms;          /* on the device, in the end; negative: as
                                * learnt, measured or guessed */
    double server_ms_per_gmac; /* 0: measured here, or by Server-Timing */
    double server_jpeg_ms;     /* to decode, with server_ms_per_gmac */
    double device_factor, server_factor; /* times all these times */
    double jpeg_bytes; /* mean, of what offload sends; 0: by the metadata */
};

/* Points that can be chosen: of a kind that this version knows, and of local
 * ones, and those that send the picture as it is, the first. Sizes that nobody
 * measured are guessed as client/policy.h does. */
struct subject {
    char name[64], version[64];
    struct api_point points[API_LIMIT_POINTS];
    uint16_t point_count;
    struct world_costs costs;
    const char *device_source, *server_source; /* static texts */
};

/* Gets it; measuring takes a second or a few. *subject is untouched on
 * failure. API_UNAVAILABLE: what is asked for is not there, such as a local
 * point; others as nn_model_open and cleave_open have them. */
enum api_status subject_get(const struct subject_order *order,
                            struct subject *subject, struct api_error *error);

#endif
