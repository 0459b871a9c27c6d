/* The table behind enum api_status. */
#include "api/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *name, *title;
    int http, exit;
};

/* Several statuses share HTTP 500; the first one, API_INTERNAL, is what a
 * client makes of it. API_USAGE never leaves a process but needs a code all
 * the same, so that no lookup can fail. */
static const struct row rows[API_STATUS_COUNT] = {
    [API_OK] = {"ok", "Success", 200, 0},
    [API_BAD_REQUEST] = {"bad-request", "Malformed request", 400, 1},
    [API_UNAUTHENTICATED] = {"unauthenticated", "Credentials required", 401, 1},
    [API_FORBIDDEN] = {"forbidden", "Not allowed to this client", 403, 1},
    [API_NOT_FOUND] = {"not-found", "No such resource", 404, 1},
    [API_METHOD_NOT_ALLOWED] = {"method-not-allowed",
                                "Method not allowed on this path", 405, 1},
    [API_MODEL_MISMATCH] = {"model-mismatch", "Frame of another model version",
                            409, 1},
    [API_LENGTH_REQUIRED] = {"length-required", "Content-Length required", 411,
                             1},
    [API_TOO_LARGE] = {"too-large", "Larger than a limit allows", 413, 1},
    [API_UNSUPPORTED_MEDIA] = {"unsupported-media", "Unsupported media type",
                               415, 1},
    [API_EXPECTATION_FAILED] = {"expectation-failed",
                                "Expectation cannot be met", 417, 1},
    [API_UNPROCESSABLE] = {"unprocessable", "Contents cannot be processed", 422,
                           1},
    [API_OVERLOADED] = {"overloaded", "Server busy or draining", 503, 1},
    [API_QUOTA] = {"quota", "Too many requests from this client", 429, 1},
    [API_ABANDONED] = {"abandoned", "Client went away", 499, 1},
    [API_DEADLINE] = {"deadline", "Deadline exceeded", 504, 1},
    [API_INTERNAL] = {"internal", "Internal error", 500, 1},
    [API_NO_MEMORY] = {"no-memory", "Out of memory", 500, 1},
    [API_BAD_BUNDLE] = {"bad-bundle", "Invalid model bundle", 500, 1},
    [API_UNAVAILABLE] = {"unavailable", "Not part of this model or build", 501,
                         1},
    [API_UNREACHABLE] = {"unreachable", "Server not reachable", 502, 1},
    [API_USAGE] = {"usage", "Wrong usage", 500, 2},
};

/* A value from outside the enum is a defect, shown as one. */
static const struct row *row_of(enum api_status status)
{
    return (unsigned)status < API_STATUS_COUNT ? &rows[status]
                                               : &rows[API_INTERNAL];
}

const char *api_status_name(enum api_status status)
{
    return row_of(status)->name;
}

const char *api_status_title(enum api_status status)
{
    return row_of(status)->title;
}

int api_status_http(enum api_status status)
{
    return row_of(status)->http;
}

int api_status_exit(enum api_status status)
{
    return row_of(status)->exit;
}

enum api_status api_status_from_http(int http_code)
{
    for (int i = 0; i < API_STATUS_COUNT; i++) {
        if (rows[i].http == http_code)
            return (enum api_status)i;
    }
    return API_INTERNAL;
}

enum api_status api_fail(struct api_error *error, enum api_status status,
                         const char *format, ...)
{
    if (!error)
        return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        error->text[0] = '\0';
    } else if ((size_t)length >= sizeof error->text) {
        /* Drop the last character if the cut went through it: back to its
         * first byte, and keep it only if all its bytes are there. */
        size_t end = sizeof error->text - 1, start = end;
        while (start > 0 &&
               ((unsigned char)error->text[start - 1] & 0xC0) == 0x80)
            start--;
        if (start > 0) {
            unsigned char first = (unsigned char)error->text[start - 1];
            size_t want = first < 0x80   ? 1
                          : first < 0xE0 ? 2
                          : first < 0xF0 ? 3
                                         : 4;
            if (end - (start - 1) < want)
                error->text[start - 1] = '\0';
        }
    }
    return status;
}
