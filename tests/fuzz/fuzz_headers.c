/* Headers from untrusted bytes, a line each: framing, request id, trace. */
#include <string.h>

#include "server/framing.h"
#include "server/identity.h"
#include "tests/fuzz/target.h"

static void check_id(const char *given)
{
    char id[SRV_ID_BYTES];
    srv_identity_choose(given, id);
    size_t length = strlen(id);
    must_hold(length > 0 && length < SRV_ID_BYTES, "an id has a length");
    for (size_t i = 0; i < length; i++)
        must_hold(id[i] > 0x20 && id[i] < 0x7F, "an id is printable");
}

static void check_trace(const char *given)
{
    struct srv_trace trace, again;
    char text[SRV_TRACEPARENT_BYTES];
    srv_trace_continue(given, &trace);
    srv_trace_write(&trace, text);
    srv_trace_continue(text, &again);
    must_hold(strcmp(again.trace_id, trace.trace_id) == 0,
              "what is written is followed");
    must_hold(strcmp(again.parent_id, trace.span_id) == 0,
              "and names this part");
    must_hold(again.sampled == trace.sampled, "and its flag");
    must_hold(!trace.parent_id[0] || strstr(given, trace.trace_id) != NULL,
              "a followed trace is the caller's");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct srv_framing framing;
    struct api_error error = {API_OK, ""};
    unsigned lines = 0;
    memset(&framing, 0, sizeof framing);
    char *text = malloc(size + 1), *rest = NULL;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':');
        if (colon)
            *colon = '\0';
        const char *value = colon ? colon + 1 : NULL;
        srv_framing_see(&framing, line, value);
        check_id(value);
        check_trace(value ? value : "");
        lines++;
    }
    enum api_status status = srv_framing_check(&framing, "HTTP/1.1", &error);
    must_hold(framing.lengths + framing.hosts <= lines, "each counts once");
    if (status == API_OK)
        must_hold(framing.hosts == 1 && framing.lengths <= 1 &&
                      !framing.transfer_encoding && !framing.bad_name,
                  "what passes has one meaning");
    else
        must_hold(error.text[0] != '\0', "a reason");
    free(text);
    return 0;
}
