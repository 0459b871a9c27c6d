/* Request ids and traceparent headers. */
#include "server/identity.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "server/monotonic.h"

static const char digits[] = "0123456789abcdef";

/* Never 0, which the standard keeps for "none". */
static uint64_t random_id(void)
{
    uint64_t id = 0;
    /* Eight bytes are never cut short once the kernel has entropy. */
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
        id = (uint64_t)srv_now_us();
    return id ? id : 1;
}

void srv_identity_choose(const char *given, char *id)
{
    size_t length = 0;
    while (given && given[length] > 0x20 && given[length] < 0x7F)
        length++;
    if (length > 0 && length < SRV_ID_BYTES && given[length] == '\0')
        memcpy(id, given, length + 1);
    else
        snprintf(id, SRV_ID_BYTES, "%016" PRIx64, random_id());
}

/* Copies `length` digits to `id`; false unless they are followed by `end`, or
 * if they are all zero. */
static bool take_id(const char *text, size_t length, char end, char *id)
{
    if (strspn(text, digits) < length || text[length] != end ||
        strspn(text, "0") >= length)
        return false;
    memcpy(id, text, length);
    id[length] = '\0';
    return true;
}

/* Section 3.2 of the standard: VERSION-TRACE-PARENT-FLAGS. Later versions may
 * have more behind that, but not less. */
static bool read_header(const char *text, struct srv_trace *trace)
{
    if (strspn(text, digits) != 2 || text[2] != '-' ||
        strncmp(text, "ff", 2) == 0 ||
        !take_id(text + 3, 32, '-', trace->trace_id) ||
        !take_id(text + 36, 16, '-', trace->parent_id) ||
        strspn(text + 53, digits) != 2)
        return false;
    bool is_first_version = strncmp(text, "00", 2) == 0;
    if (text[55] != '\0' && (is_first_version || text[55] != '-'))
        return false;
    trace->sampled = (strchr(digits, text[54]) - digits) & 1;
    return true;
}

void srv_trace_continue(const char *traceparent, struct srv_trace *trace)
{
    memset(trace, 0, sizeof *trace);
    if (!traceparent || !read_header(traceparent, trace)) {
        memset(trace, 0, sizeof *trace);
        snprintf(trace->trace_id, sizeof trace->trace_id,
                 "%016" PRIx64 "%016" PRIx64, random_id(), random_id());
    }
    snprintf(trace->span_id, sizeof trace->span_id, "%016" PRIx64, random_id());
}

void srv_trace_write(const struct srv_trace *trace,
                     char text[SRV_TRACEPARENT_BYTES])
{
    snprintf(text, SRV_TRACEPARENT_BYTES, "00-%s-%s-%s", trace->trace_id,
             trace->span_id, trace->sampled ? "01" : "00");
}
