/* Headers that frame a request. */
#include "server/framing.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A blank before the colon makes another name of it for some, and none for
 * others. */
static bool is_token(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~0123456789"
                                 "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t length = strspn(name, others);
    return length > 0 && name[length] == '\0';
}

void srv_framing_see(struct srv_framing *framing, const char *name,
                     const char *value)
{
    if (!value)
        value = "";
    if (!is_token(name))
        framing->bad_name = true;
    if (strcasecmp(name, "Content-Length") == 0) {
        size_t digits = strspn(value, "0123456789");
        framing->lengths++;
        if (digits == 0 || digits > 18 || value[digits] != '\0')
            framing->bad_length = true;
        else
            framing->length = strtoull(value, NULL, 10);
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->transfer_encoding = true;
    } else if (strcasecmp(name, "Expect") == 0) {
        if (strcasecmp(value, "100-continue") == 0)
            framing->expects_continue = true;
        else
            framing->expects_other = true;
    } else if (strcasecmp(name, "Host") == 0) {
        framing->hosts++;
    }
}

enum api_status srv_framing_check(const struct srv_framing *framing,
                                  const char *version, struct api_error *error)
{
    if (framing->bad_name)
        return api_fail(error, API_BAD_REQUEST,
                        "a header's name has characters that names must not "
                        "have");
    if (framing->lengths > 1 || framing->bad_length)
        return api_fail(error, API_BAD_REQUEST,
                        "Content-Length must be one whole number");
    if (framing->transfer_encoding && framing->lengths > 0)
        return api_fail(error, API_BAD_REQUEST,
                        "Content-Length and Transfer-Encoding exclude each "
                        "other");
    if (framing->transfer_encoding)
        return api_fail(error, API_LENGTH_REQUIRED,
                        "send Content-Length instead of Transfer-Encoding");
    if (framing->hosts > 1 ||
        (framing->hosts == 0 && strcmp(version, "HTTP/1.1") == 0))
        return api_fail(error, API_BAD_REQUEST, "send exactly one Host");
    if (framing->expects_other)
        return api_fail(error, API_EXPECTATION_FAILED,
                        "Expect may only be 100-continue");
    return API_OK;
}
