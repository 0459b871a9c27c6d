/* An operating point: one thing the client can do with a picture. */
#ifndef CLEAVE_API_POINT_H
#define CLEAVE_API_POINT_H

#include <stdint.h>

enum api_point_kind {
    API_POINT_OFFLOAD, /* send the JPEG, the server runs the whole network */
    API_POINT_SPLIT,   /* run the head, send a frame for the tail */
    API_POINT_LOCAL    /* run the whole network here */
};

enum api_codec {
    API_CODEC_NONE = 0,   /* offload and local points */
    API_CODEC_RANS = 1,   /* integer rANS under the bundle's CDF tables */
    API_CODEC_U8ZSTD = 2  /* uint8 affine (BottleFit), then zstd */
};

/* A point with its cost and worth, as a model's metadata lists it. Plain
 * data, no pointers, so it can be copied freely. Measured values are
 * negative (or 0 for `pictures`) where the bundle carries none. */
struct api_point {
    char id[48];
    enum api_point_kind kind;
    enum api_codec codec;
    double width;             /* 0 < width <= 1; split points */
    char rate[16];            /* name of the rate tier; split points, or "" */
    uint32_t ensemble;        /* encoders run; split points, else 0 */
    uint32_t quality;         /* offload points: what the picture is encoded
                               * at again, 1 to 100; 0: it is sent as it is */
    uint16_t latent_height, latent_width, latent_channels;
    double exit_threshold;    /* split points: the probability from which on an
                               * answer of the exit, a classifier behind the
                               * head, stays on the device; 0: no exit */
    double exit_share;        /* of the pictures that stay so; points with an
                               * exit, else 0 */
    uint64_t head_macs;       /* multiply-accumulates on the device */
    uint64_t tail_macs;       /* multiply-accumulates on the server */
    double bytes_mean;        /* request body on the validation pictures; */
    double bytes_p95;         /* 0 of one that stays on the device */
    double top1, top5;        /* fractions, 0..1 */
    uint32_t pictures;        /* count of validation pictures */
};

/* "offload", "split", "local"; "none", "rans", "u8zstd". Never NULL. */
const char *api_point_kind_name(enum api_point_kind kind);
const char *api_codec_name(enum api_codec codec);

/* The reverse; -1 for an unknown name. */
int api_point_kind_parse(const char *name);
int api_codec_parse(const char *name);

#endif
