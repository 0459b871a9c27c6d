/* Recorded links from untrusted bytes, as each kind of file. */
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/simulate/trace.h"
#include "tests/fuzz/target.h"

typedef enum api_status read_fn(const char *path, struct trace *trace,
                                struct api_error *error);

static void check(read_fn *read, const char *path)
{
    struct api_error error = {.text = ""};
    struct trace trace = {.sent_bytes = NULL};
    if (read(path, &trace, &error) != API_OK) {
        must_hold(error.text[0] != '\0', "a refusal says why");
        must_hold(!trace.sent_bytes, "a refused trace is left alone");
        return;
    }
    must_hold(trace.length_ms > 0 &&
                  (double)trace.length_ms <= TRACE_LONGEST_MS + 1e3,
              "it has a length");
    for (size_t i = 1; i <= trace.length_ms; i++)
        must_hold(trace.sent_bytes[i] >= trace.sent_bytes[i - 1],
                  "what was sent never shrinks");
    must_hold(isfinite(trace_mean_mbit_per_s(&trace)), "it has a mean");
    double start_ms = 1.5 * (double)trace.length_ms;
    double end_ms = trace_finish_ms(&trace, start_ms, 1e5);
    must_hold(end_ms >= start_ms, "nothing ends before it began");
    must_hold(trace_part_mbit_per_s(&trace, start_ms, 1e3) >= 0,
              "no part has less than nothing");
    trace_free(&trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[40];
    if (fd < 0) {
        fd = memfd_create("trace", MFD_CLOEXEC);
        must_hold(fd >= 0, "there is memory for a file");
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    must_hold(ftruncate(fd, 0) == 0 &&
                  pwrite(fd, data, size, 0) == (ssize_t)size,
              "the file is written");
    check(trace_read_cellular, path);
    check(trace_read_bluetooth, path);
    check(trace_read_table, path);
    return 0;
}
