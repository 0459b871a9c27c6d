/* One list of outcomes for every part: name, HTTP status, exit status. */
#ifndef CLEAVE_API_STATUS_H
#define CLEAVE_API_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* What a fallible function returns. Results go through its last parameters,
 * which stay untouched on failure. */
enum api_status {
    API_OK = 0,
    API_BAD_REQUEST,        /* malformed request: framing, query, JSON */
    API_UNAUTHENTICATED,    /* no credentials, or none that are known */
    API_FORBIDDEN,          /* the credentials do not reach that far */
    API_NOT_FOUND,          /* no such path, model, point or file */
    API_METHOD_NOT_ALLOWED, /* path exists, method does not */
    API_MODEL_MISMATCH,     /* frame made with another model version */
    API_LENGTH_REQUIRED,    /* body without Content-Length */
    API_TOO_LARGE,          /* body, pixels or list beyond its limit */
    API_UNSUPPORTED_MEDIA,  /* neither the right type nor convertible to it */
    API_EXPECTATION_FAILED, /* Expect asks for what no server here does */
    API_UNPROCESSABLE,      /* right type, broken contents */
    API_OVERLOADED,         /* queue full, or draining: try again later */
    API_QUOTA,              /* this client has too much waiting: later */
    API_ABANDONED,          /* the client went away before the answer */
    API_DEADLINE,           /* time ran out before an answer */
    API_INTERNAL,           /* a defect, or the machine failed us */
    API_NO_MEMORY,          /* an allocation failed */
    API_BAD_BUNDLE,         /* the model file is not a valid bundle */
    API_UNAVAILABLE,        /* this bundle or build lacks the part asked for */
    API_UNREACHABLE,        /* the server did not answer */
    API_USAGE,              /* wrong options or configuration */
    API_STATUS_COUNT
};

/* Detail of a failure. Caller-owned, fixed size, optional (NULL allowed);
 * filled where the failure is detected. `text` is one sentence in UTF-8
 * without a final full stop. */
struct api_error {
    enum api_status status;
    char text[200];
};

/* Kebab-case name, e.g. "model-mismatch"; also the last path segment of the
 * RFC 9457 problem type. Never NULL. Thread-safe. */
const char *api_status_name(enum api_status status);

/* Short human-readable title, e.g. "Frame of another model version". */
const char *api_status_title(enum api_status status);

/* HTTP status code: 200 for API_OK, else 4xx or 5xx. */
int api_status_http(enum api_status status);

/* Process exit status: 0 OK, 1 runtime failure, 2 usage. */
int api_status_exit(enum api_status status);

/* The status that an HTTP code from a server stands for; API_INTERNAL for
 * codes that no status maps to. */
enum api_status api_status_from_http(int http_code);

/* Fills *error (if not NULL) with a printf-formatted text, cut to fit, and
 * returns `status`, so that `return api_fail(error, API_…, "…")` reads well. */
enum api_status api_fail(struct api_error *error, enum api_status status,
                         const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

#ifdef __cplusplus
}
#endif
#endif
