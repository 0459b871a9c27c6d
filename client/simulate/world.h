/* What really happens to a picture, whoever decides about it. */
#ifndef CLEAVE_CLIENT_SIMULATE_WORLD_H
#define CLEAVE_CLIENT_SIMULATE_WORLD_H

#include <stdint.h>

#include "api/limits.h"
#include "api/point.h"
#include "client/simulate/trace.h"

/* Times to compute what each point needs, in milliseconds; nothing random. */
struct world_costs {
    double decode_ms;                    /* a picture, on the device */
    double device_ms[API_LIMIT_POINTS];  /* head and encoding, or all of it */
    double compute_ms[API_LIMIT_POINTS]; /* on the server */
};

/* A device, a server and a link between them. Everything random is a function
 * of seed and picture's number, so all deciders meet the same world and an
 * oracle can look it up. Borrows points, costs and trace. */
struct world {
    const struct api_point *points;
    uint16_t point_count;
    const struct world_costs *costs;
    const struct trace *trace;
    double trace_from_ms; /* where in the trace the clock's 0 is */
    double jitter_ms;     /* mean, of the round trip, beyond the trace's own */
    double queue_share;   /* of requests, that find a queue at the server … */
    double queue_ms; /* … of this mean; 0: whoever asks keeps its queue */
    uint64_t seed;
    double period_ms;       /* between two pictures */
    uint64_t picture_count; /* of the device, from its clock's 0 on */
};

/* A device like a Raspberry Pi 4: 0.9 ms for a million multiply-accumulates
 * is what the third paper's encoder takes there on four cores (66 ms for 74
 * million in its published results); a JPEG's decoding and resizing. */
#define WORLD_DEVICE_MS_PER_MMAC 0.9
#define WORLD_DECODE_MS 15.0

/* To encode the picture again, at the size that the network looks at. */
#define WORLD_ENCODE_MS 3.0

/* A server's core: 7 ms for a tail of 303 million, 11.5 for a whole JPEG. */
#define WORLD_SERVER_MS_PER_MMAC 0.022
#define WORLD_SERVER_JPEG_MS 3.0

/* The round trip's own jitter on a wireless link. */
#define WORLD_JITTER_MS 3.0

/* Requests carry this much besides their bodies: HTTP headers. */
#define WORLD_HEADER_BYTES 250.0

/* Fills device_ms, or compute_ms, by multiply-accumulates; the server takes
 * `jpeg_ms` more for a JPEG. */
void world_cost_device(struct world_costs *costs,
                       const struct api_point *points, uint16_t point_count,
                       double ms_per_mmac);
void world_cost_server(struct world_costs *costs,
                       const struct api_point *points, uint16_t point_count,
                       double ms_per_mmac, double jpeg_ms);

/* One way of answering one picture. */
struct passage {
    double device_ms; /* decode and head, or the whole network */
    bool stays;       /* the device's own answer, by a local point or an exit */
    double body_bytes;
    double link_ms;              /* INFINITY: the answer never comes */
    double queue_ms, compute_ms; /* of the server */
};

/* Picture `picture` by `point`, begun at `start_ms`. */
struct passage world_pass(const struct world *world, uint64_t picture,
                          uint16_t point, double start_ms);

double world_passage_ms(const struct passage *passage);

/* To decode the picture, and its JPEG's size. */
double world_decode_ms(const struct world *world, uint64_t picture);
double world_jpeg_bytes(const struct world *world, uint64_t picture);

/* To send `body_bytes` at `start_ms` and get an answer, server aside. */
double world_link_ms(const struct world *world, uint64_t picture,
                     double body_bytes, double start_ms);

/* Index of the local point; the model has one. */
uint16_t world_local_point(const struct world *world);

#endif
