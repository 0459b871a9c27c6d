/* libcleave: classify pictures on a weak device with a server's help.
 *
 * The one public header. For each picture the library decides anew between
 * sending the JPEG, sending a bottleneck of some width and rate, and answering
 * on the device; when the server does not answer it answers locally and says
 * so.
 *
 * All state is in the handle; the library has none of its own beside the CPU
 * that it found itself on, and what libcurl keeps. Every function is
 * thread-safe, any number of threads may use one handle, and all that is
 * learnt of link and device serves all of them. Exceptions: nothing else may
 * use a handle during cleave_close. The device computes for one picture at a
 * time; that is when another's request is on its way.
 *
 * Memory comes from malloc, and a handle takes no allocator of its own: libcurl
 * and jansson have theirs for the whole process (curl_global_init_mem,
 * json_set_alloc_funcs), and libjpeg's buffers are malloc's by definition, so
 * that it would see a part only. Who needs another links it in malloc's place.
 *
 * A program that talks https should ignore SIGPIPE. client/examples/ shows the
 * library in use. */
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

/* How much a line for the log matters. */
enum cleave_level {
    CLEAVE_NOTE,   /* the server is back, another model came */
    CLEAVE_WARNING /* the server is lost; pictures are answered otherwise */
};

/* Takes one sentence, borrowed, without a newline. Called from whichever
 * thread the handle is at work in, one call at a time; it must return soon and
 * not call this library. */
typedef void (*cleave_log)(void *context, enum cleave_level level,
                           const char *text);

/* What an "auto" answer is to be. Deadline and data plan bind under each. */
enum cleave_objective {
    CLEAVE_QUICK,    /* soon, for at most 8 points of accuracy; with a deadline
                      * the most accurate answer in time */
    CLEAVE_ACCURATE, /* the most accurate, with or without a deadline */
    CLEAVE_FRUGAL    /* the fewest joules, for at most 8 points of accuracy */
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
    /* Servers to ask, in this order, when server_url does not answer;
     * NULL-terminated, at most 7; NULL: none. They serve the same model. As
     * soon as a server before the one in use answers again, it is used. */
    const char *const *fallback_urls;
    unsigned threads; /* pictures submitted that are in progress at once: 3,
                       * one on the device and two on their way; at most 64 */
    cleave_log log;   /* NULL: nobody listens */
    void *log_context;
    enum cleave_objective objective;
    /* A data plan: request bodies of an "auto" picture take so many bytes on
     * average, saved up for at most 100 pictures; 0: no limit. */
    double bytes_per_picture;
    /* The energy model; 0 means 1.2 and 5e-6, guesses for a Raspberry Pi 4 on
     * Wi-Fi. */
    double joules_per_cpu_second, joules_per_byte;
    const char *token;   /* sent to every server (RFC 6750); NULL: none */
    const char *ca_file; /* PEM to trust instead of the system's; or NULL */
    /* Other than 0: where the server would be given up for the device's own
     * answer, it goes on being waited for, and so that the deadline is kept the
     * device begins in time; the first answer counts. What the device computes
     * for nobody costs time and joules. */
    int hedge;
};

/* How one answer was made. */
enum cleave_via {
    CLEAVE_VIA_OFFLOAD, /* the server, of the JPEG */
    CLEAVE_VIA_SPLIT,   /* head and tail */
    CLEAVE_VIA_LOCAL,   /* the whole network on the device */
    CLEAVE_VIA_EXIT     /* head and exit: a split point's, of a picture that the
                         * device was sure of, so that nothing was sent */
};

struct cleave_class {
    uint32_t index;
    char label[96];
    double probability;
};

struct cleave_result {
    char point[48]; /* the operating point that made the answer */
    enum cleave_via via;
    char reason[120];  /* why this point: "asked for", "fastest", … */
    size_t bytes_sent; /* request body; 0 for local and exit */
    double device_ms;  /* decode, head, exit and encode, or the whole network */
    double link_ms;    /* round trip less the server's own time */
    double server_ms;  /* as the server reports in Server-Timing */
    unsigned server; /* that answered: 0 for server_url, 1 for the first of
                      * fallback_urls, …; 0 for local and exit */
    double joules;         /* of the device, estimated by the energy model */
    double machine_joules; /* of the whole machine meanwhile, by its own meter;
                            * negative: it has none that may be read */
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
    unsigned quality; /* of the JPEG that an offload point sends, 1 to 100; 0:
                       * the picture as it is, made smaller only where large */
    /* Split points: a classifier behind the head whose answer stands from this
     * probability on, 0 if there is none; and how many of the validation
     * pictures never left the device so, a fraction, negative if not measured.
     * Bytes, accuracies and head_macs count it. */
    double exit_threshold, exit_share;
};

/* State of the link, from a probe. Milliseconds and bits per second. */
struct cleave_link {
    unsigned samples;
    double rtt_ms_median, rtt_ms_p95, rtt_ms_min;
    double up_bps_median, up_bps_p05;
    double down_bps_median, down_bps_p05;
};

/* What one point was predicted to do for a picture, and why it was taken or
 * not: "taken", "no better", "too slow", "too inaccurate", "too many bytes",
 * "not at hand". */
struct cleave_forecast {
    char point[48];
    char verdict[24];
    double expected_ms, p95_ms; /* mean, and what 95 of 100 stay below */
    double in_time; /* chance to meet the deadline, 0 to 1; 1 without one */
    double bytes;   /* request body, on average: 0 where the exit answers */
    double joules;  /* of the device, by the energy model */
    double top1;    /* fraction; negative: not measured */
    double stays;   /* chance that the exit answers, as seen on this device */
};

#define CLEAVE_FORECASTS_MAX 64

/* One decision with the table that it was made from. */
struct cleave_decision {
    int64_t unix_ms;        /* when */
    char objective[16];     /* "latency", "accuracy", "energy" */
    char reason[120];
    double deadline_ms;     /* that was left; 0: none */
    size_t jpeg_bytes;      /* of the picture */
    double rtt_ms;          /* of the link, as it was then believed */
    double ms_per_kb;       /* to send a kilobyte; 0: too quick to tell */
    unsigned forecast_count;
    struct cleave_forecast forecasts[CLEAVE_FORECASTS_MAX];
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

/* Waits for what was submitted, closes and sets *handle to NULL. NULL is fine.
 */
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

/* Takes the outcome of one submitted picture: a result if `status` is
 * CLEAVE_OK, else an error; the other is NULL. Both are borrowed until it
 * returns. It runs in a thread of the handle, at the same time as others, and
 * the next picture waits for its return. It must not call cleave_submit,
 * cleave_wait or cleave_close on the same handle. */
typedef void (*cleave_callback)(void *context, enum cleave_status status,
                                const struct cleave_result *result,
                                const struct cleave_error *error);

/* Classifies one JPEG by a thread of the handle and calls `callback` once, with
 * what cleave_classify would have returned; pictures may overtake each other.
 * Waits as long as `threads` pictures are in progress. The JPEG is borrowed
 * until the callback is called, `point` until this returns. The deadline counts
 * from the call. On failure (no thread can be started, an endless name) the
 * callback is not called. */
CLEAVE_EXPORT enum cleave_status
cleave_submit(struct cleave *handle, const void *jpeg, size_t jpeg_bytes,
              const char *point, unsigned deadline_ms,
              cleave_callback callback, void *context,
              struct cleave_error *error);

/* Waits until everything submitted so far has been answered, that is until its
 * callbacks have returned. */
CLEAVE_EXPORT void cleave_wait(struct cleave *handle);

/* Copies at most `capacity` points and sets *count to how many there are. */
CLEAVE_EXPORT enum cleave_status cleave_points(struct cleave *handle,
                                               struct cleave_point *points,
                                               size_t capacity, size_t *count,
                                               struct cleave_error *error);

/* The last "auto" decision of any handle that was opened with these options'
 * server, model, cache and heads_only, at most ten seconds before its latest:
 * it is kept in the cache, and nothing is asked of the server. If none is
 * kept, CLEAVE_ERROR_USAGE. *decision is untouched on failure. */
CLEAVE_EXPORT enum cleave_status
cleave_explain(const struct cleave_options *options,
               struct cleave_decision *decision, struct cleave_error *error);

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
