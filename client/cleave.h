/* libcleave: classify pictures on a weak device with a server's help.
 *
 * The one public header. For each picture the library decides anew between
 * sending the JPEG, sending a bottleneck of some width and rate, and answering
 * on the device; when the server does not answer it answers locally and says
 * so. A handle is not thread-safe: one per thread. Call cleave_open from one
 * thread before starting others (libcurl's global initialisation). A program
 * that talks https should ignore SIGPIPE. client/example.c shows it in use. */
#ifndef CLEAVE_H
#define CLEAVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CLEAVE_EXPORT __attribute__((visibility("default")))
#else
#define CLEAVE_EXPORT
#endif

#define CLEAVE_TOP_MAX 100

enum cleave_status {
    CLEAVE_OK = 0,
    CLEAVE_ERROR_USAGE,       /* a wrong option or argument */
    CLEAVE_ERROR_PICTURE,     /* not a JPEG that can be classified */
    CLEAVE_ERROR_UNREACHABLE, /* no server, and no local network to answer */
    CLEAVE_ERROR_DEADLINE,    /* the deadline passed before any answer */
    CLEAVE_ERROR_SERVER,      /* the server refused; see the error's text */
    CLEAVE_ERROR_BUNDLE,      /* the model file is damaged or lacks a part */
    CLEAVE_ERROR_SYSTEM       /* memory or file system */
};

/* Detail of a failure: one sentence. Caller-owned. */
struct cleave_error {
    enum cleave_status status;
    char text[200];
};

/* How to open a handle. Zero-initialise, then set what matters; zero and NULL
 * mean the default. Strings are borrowed until cleave_open returns. */
struct cleave_options {
    const char *server_url;  /* NULL: no server, answer locally only */
    const char *model;       /* NULL: the server's default model */
    const char *bundle_path; /* answer from this file, fetch none */
    const char *cache_dir;   /* $XDG_CACHE_HOME/cleave or ~/.cache/cleave */
    int heads_only;          /* do not fetch the network for local answers */
    int no_bundle;           /* fetch nothing: offload, points and probe */
    unsigned connect_timeout_ms; /* 1000 */
    unsigned request_timeout_ms; /* 10000, for one whole request */
    unsigned top;                /* classes per answer: 5 */
};

/* How one answer was made. */
enum cleave_via { CLEAVE_VIA_OFFLOAD, CLEAVE_VIA_SPLIT, CLEAVE_VIA_LOCAL };

struct cleave_class {
    uint32_t index;
    char label[96];
    double probability;
};

struct cleave_result {
    char point[48]; /* the operating point that made the answer */
    enum cleave_via via;
    char reason[120];  /* why this point: "asked for", "fastest", … */
    size_t bytes_sent; /* request body; 0 for local */
    double device_ms;  /* decode, head and encode, or the whole network */
    double link_ms;    /* round trip less the server's own time */
    double server_ms;  /* as the server reports in Server-Timing */
    unsigned top_count;
    struct cleave_class top[CLEAVE_TOP_MAX];
};

/* An operating point as the server's metadata lists it. */
struct cleave_point {
    char id[48];
    char kind[16];  /* "offload", "split", "local" */
    char codec[16]; /* "none", "rans", "u8zstd" */
    double width;   /* split points, else 0 */
    char rate[16];
    unsigned ensemble;
    uint16_t latent_height, latent_width, latent_channels;
    uint64_t head_macs, tail_macs;
    double bytes_mean, bytes_p95; /* negative: not measured */
    double top1, top5;            /* fractions; negative: not measured */
    unsigned pictures;            /* that they were measured on */
    double expected_ms;           /* this device's present estimate, or < 0 */
};

/* State of the link, from a probe. Milliseconds and bits per second. */
struct cleave_link {
    unsigned samples;
    double rtt_ms_median, rtt_ms_p95, rtt_ms_min;
    double up_bps_median, up_bps_p05;
    double down_bps_median, down_bps_p05;
};

struct cleave;

/* Opens a handle: fetches the head bundle (or revalidates the cached one by
 * ETag) and plans it. A server that does not answer is no error if a cached
 * bundle or `bundle_path` can answer locally; cleave_notice tells. `error`
 * may be NULL, here and below. */
CLEAVE_EXPORT enum cleave_status
cleave_open(const struct cleave_options *options, struct cleave **handle,
            struct cleave_error *error);

/* What cleave_open had to work around, as one sentence ("" if nothing), e.g.
 * that the server is away and a cached bundle is in use. Borrowed. */
CLEAVE_EXPORT const char *cleave_notice(const struct cleave *handle);

/* Closes and sets *handle to NULL. NULL is fine. */
CLEAVE_EXPORT void cleave_close(struct cleave **handle);

/* Classifies one JPEG. `point`: an operating point's id, "offload", "split"
 * (the best split point), "local" or "auto" (NULL). A point asked for by name
 * that the server cannot serve just now is answered locally, with the reason.
 * `deadline_ms`, 0 for none, bounds the wait for the server, and time is kept
 * for a local answer if there can be one. Computing on the device is never
 * cut off: where that alone takes longer, the answer comes late and its
 * reason says so. The first "auto" call also measures link and device, which
 * takes a few small requests. *result is untouched on failure. */
CLEAVE_EXPORT enum cleave_status
cleave_classify(struct cleave *handle, const void *jpeg, size_t jpeg_bytes,
                const char *point, unsigned deadline_ms,
                struct cleave_result *result, struct cleave_error *error);

/* Copies at most `capacity` points and sets *count to how many there are. */
CLEAVE_EXPORT enum cleave_status cleave_points(struct cleave *handle,
                                               struct cleave_point *points,
                                               size_t capacity, size_t *count,
                                               struct cleave_error *error);

/* Measures round trip and throughput with a few bounded requests. */
CLEAVE_EXPORT enum cleave_status cleave_probe(struct cleave *handle,
                                              unsigned samples,
                                              struct cleave_link *link,
                                              struct cleave_error *error);

/* "offload", "split", "local". */
CLEAVE_EXPORT const char *cleave_via_name(enum cleave_via via);

/* Library version, e.g. "0.1.0". */
CLEAVE_EXPORT const char *cleave_version(void);

#ifdef __cplusplus
}
#endif
#endif
