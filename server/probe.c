/* Link probe: bytes down, bytes up, and how long the server itself took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "server/handlers.h"
#include "server/monotonic.h"

/* Noise, lest a compressing proxy make the link look fast. */
static uint8_t noise[API_LIMIT_PROBE_BYTES];

void srv_probe_prepare(void)
{
    uint32_t state = 2463534242u; /* xorshift */
    for (size_t i = 0; i < sizeof noise; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        noise[i] = (uint8_t)state;
    }
}

/* The server's own share of the round trip, for the client to subtract. */
static void add_server_timing(struct srv_request *request)
{
    srv_reply_header(request, "Server-Timing", "queue;dur=%.3f",
                     (double)(srv_now_us() - request->received_us) / 1000);
    srv_reply_header(request, "Cache-Control", "no-store");
}

void srv_probe_send(struct srv_request *request)
{
    struct api_error error;
    uint32_t count = 0;
    enum api_status status = srv_request_number(
        request, "bytes", 0, API_LIMIT_PROBE_BYTES, 0, &count, &error);
    if (status != API_OK) {
        srv_reply_problem(request, status, error.text);
        return;
    }
    srv_reply_static(request, "application/octet-stream", noise, count);
    add_server_timing(request);
}

void srv_probe_receive(struct srv_request *request)
{
    char *text = malloc(40);
    if (text)
        snprintf(text, 40, "{\"received\":%zu}", request->body_bytes);
    srv_reply_owned(request, 200, "application/json", text,
                    text ? strlen(text) : 0);
    add_server_timing(request);
}
