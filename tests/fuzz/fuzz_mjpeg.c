/* Streams of JPEGs from untrusted bytes, whole and in pieces. */
#include "client/mjpeg.h"
#include "tests/fuzz/target.h"

/* What one pass saw: where each event was, folded into one number. */
struct trace {
    uint64_t hash;
    size_t begins, ends;
};

static struct trace scan(const uint8_t *bytes, size_t size, size_t piece)
{
    struct cli_mjpeg scanner = {0};
    struct trace trace = {.hash = 14695981039346656037u};
    size_t at = 0;
    int open = 0;
    while (at < size) {
        size_t left = size - at, used = 0;
        enum cli_mjpeg_event event = cli_mjpeg_scan(
            &scanner, bytes + at, left < piece ? left : piece, &used);
        must_hold(used > 0 && used <= left, "it gets on");
        at += used;
        if (event == CLI_MJPEG_NOTHING)
            continue;
        trace.hash = (trace.hash ^ (at * 4 + event)) * 1099511628211u;
        if (event == CLI_MJPEG_BEGIN)
            must_hold(bytes[at - 1] == 0xD8 && at >= 2 && bytes[at - 2] == 0xFF,
                      "a picture begins with SOI");
        else
            must_hold(open && bytes[at - 1] == 0xD9 && bytes[at - 2] == 0xFF,
                      "one that began ends with EOI");
        open = event == CLI_MJPEG_BEGIN;
        trace.begins += event == CLI_MJPEG_BEGIN;
        trace.ends += event == CLI_MJPEG_END;
    }
    must_hold(trace.ends <= trace.begins, "no end without a beginning");
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace whole = scan(data, size, size + 1);
    for (size_t piece = 1; piece <= 5; piece += 2)
        must_hold(scan(data, size, piece).hash == whole.hash,
                  "pieces make no difference");
    return 0;
}
