/* cleave doctor: is everything there that pictures need, and what to do. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/limits.h"
#include "client/clock.h"
#include "client/cmd.h"
#include "client/json_line.h"
#include "client/transport.h"
#include "nn/nn.h"

#define CHECKS_MOST 16
#define PROBES 5u
#define CLOCK_SKEW_MOST_S 60.0
#define THIN_BPS 100e3
#define SLOW_RTT_MS 500.0

enum state { FINE, DOUBTFUL, WRONG };

static const char *const state_names[] = {"ok", "warning", "error"};

/* What was found, and what to do about it ("" if nothing). */
struct finding {
    const char *check; /* static text */
    enum state state;
    char found[260];
    const char *advice; /* static text */
};

struct findings {
    struct finding list[CHECKS_MOST];
    size_t count;
};

static void print_help(FILE *out)
{
    fputs("Usage: cleave doctor [OPTION]...\n"
          "\n"
          "Check what pictures need: this CPU, the clock, the server, the link "
          "to it, the\n"
          "model and its cache, and one picture by every way; say what to do "
          "about what is\n"
          "wrong.\n"
          "\n"
          "  --server URL      of cleaved; again for others to check "
          "($CLEAVE_SERVER or\n"
          "                    http://127.0.0.1:8080)\n"
          "  --model NAME      ask for this model (the server's default)\n"
          "  --timeout-ms N    give a request up after N milliseconds (10000)\n"
          "  --cache DIR       where bundles are kept (~/.cache/cleave)\n"
          "  --json            a JSON array of objects: check, state (ok, "
          "warning, error),\n"
          "                    found, advice\n"
          "  --help            show this help\n"
          "\n"
          "Exit status: 0 no error (warnings do not count), 1 some, 2 wrong "
          "usage.\n",
          out);
}

__attribute__((format(printf, 5, 6))) static void
note(struct findings *findings, const char *check, enum state state,
     const char *advice, const char *format, ...)
{
    if (findings->count == CHECKS_MOST)
        return;
    struct finding *finding = &findings->list[findings->count++];
    finding->check = check;
    finding->state = state;
    finding->advice = state == FINE ? "" : advice;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->found, sizeof finding->found, format, arguments);
    va_end(arguments);
}

static void check_cpu(struct findings *findings)
{
    const char *kernels = nn_cpu_name();
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    bool plain = strcmp(kernels, "scalar") == 0;
    note(findings, "cpu", plain ? DOUBTFUL : FINE,
         "no vector instructions are in use: heads are several times slower. "
         "If CLEAVE_CPU is set, unset it; else take a narrow split point or "
         "offload.",
         "%s kernels, %ld CPU%s", kernels, cpus, cpus == 1 ? "" : "s");
}

/* One server: does it answer, is it ready, and what time is it there? */
static void check_server(struct findings *findings, const char *url,
                         double timeout_ms)
{
    struct cli_transport *transport = NULL;
    struct api_error why = {.text = ""};
    struct cli_reply reply = {.body = NULL};
    struct cli_request request = {.path = "/readyz",
                                  .timeout_ms = timeout_ms,
                                  .most_reply_bytes = API_LIMIT_REPLY_BYTES,
                                  .sink_fd = -1};
    enum api_status status =
        cli_transport_open(url, timeout_ms, &transport, &why);
    if (status == API_OK)
        status = cli_transport_request(transport, &request, &reply, &why);
    if (status != API_OK)
        note(findings, "server", WRONG,
             "check the URL, that cleaved runs there and listens on that "
             "address (--listen 0.0.0.0:8080 for other machines), and the "
             "firewalls between.",
             "%.100s: %.150s", url, why.text);
    else if (reply.http_code != 200)
        note(findings, "server", WRONG,
             "it answers but takes no pictures: see its log and /readyz; "
             "another program may have the port.",
             "%.100s: HTTP %d", url, reply.http_code);
    else
        note(findings, "server", FINE, "", "%.100s is ready after %.1f ms", url,
             reply.total_ms);
    if (status == API_OK && reply.date_s > 0) {
        double skew_s = difftime(time(NULL), (time_t)reply.date_s);
        note(findings, "clock",
             fabs(skew_s) > CLOCK_SKEW_MOST_S ? DOUBTFUL : FINE,
             "certificates and logs go by the clock: set it, for instance by "
             "systemd-timesyncd or chrony.",
             "%.0f s %s the server's", fabs(skew_s),
             skew_s < 0 ? "behind" : "ahead of");
    }
    cli_reply_free(&reply);
    cli_transport_close(&transport);
}

static void check_link(struct findings *findings, struct cleave *handle)
{
    struct cleave_link link;
    struct cleave_error error;
    if (cleave_probe(handle, PROBES, &link, &error) != CLEAVE_OK) {
        note(findings, "link", WRONG,
             "the server answered before but not now: the link comes and "
             "goes, or a proxy refuses /v1/probe.",
             "%s", error.text);
        return;
    }
    bool thin = link.up_bps_median < THIN_BPS;
    bool slow = link.rtt_ms_median > SLOW_RTT_MS;
    note(findings, "link", thin || slow ? DOUBTFUL : FINE,
         "thin or slow: give --deadline-ms, so that the device answers where "
         "the link does not in time.",
         "round trip %.1f ms, up %.2f Mbit/s", link.rtt_ms_median,
         link.up_bps_median * 1e-6);
}

/* The smallest of pictures: 32 x 32, grey. */
static const unsigned char picture[] = {
    0xFF, 0xD8, 0xFF, 0xE0, 0x00, 0x10, 0x4A, 0x46, 0x49, 0x46, 0x00, 0x01,
    0x01, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00, 0xFF, 0xDB, 0x00, 0x43,
    0x00, 0x1B, 0x12, 0x14, 0x17, 0x14, 0x11, 0x1B, 0x17, 0x16, 0x17, 0x1E,
    0x1C, 0x1B, 0x20, 0x28, 0x42, 0x2B, 0x28, 0x25, 0x25, 0x28, 0x51, 0x3A,
    0x3D, 0x30, 0x42, 0x60, 0x55, 0x65, 0x64, 0x5F, 0x55, 0x5D, 0x5B, 0x6A,
    0x78, 0x99, 0x81, 0x6A, 0x71, 0x90, 0x73, 0x5B, 0x5D, 0x85, 0xB5, 0x86,
    0x90, 0x9E, 0xA3, 0xAB, 0xAD, 0xAB, 0x67, 0x80, 0xBC, 0xC9, 0xBA, 0xA6,
    0xC7, 0x99, 0xA8, 0xAB, 0xA4, 0xFF, 0xC0, 0x00, 0x0B, 0x08, 0x00, 0x20,
    0x00, 0x20, 0x01, 0x01, 0x11, 0x00, 0xFF, 0xC4, 0x00, 0x15, 0x00, 0x01,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x04, 0x05, 0xFF, 0xC4, 0x00, 0x16, 0x10, 0x00, 0x03,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x02, 0x03, 0xFF, 0xDA, 0x00, 0x08, 0x01, 0x01, 0x00,
    0x00, 0x3F, 0x00, 0x83, 0x24, 0x19, 0x24, 0x19, 0x24, 0x19, 0x24, 0x21,
    0x49, 0x06, 0x49, 0x06, 0x49, 0x06, 0x49, 0x08, 0x72, 0x41, 0x72, 0x41,
    0x92, 0x41, 0x92, 0x42, 0x1C, 0x90, 0x64, 0x90, 0x5C, 0x90, 0x64, 0x90,
    0xFF, 0xD9,
};

static void check_way(struct findings *findings, struct cleave *handle,
                      const char *point, enum cleave_via wanted)
{
    static struct cleave_result result;
    struct cleave_error error;
    if (cleave_classify(handle, picture, sizeof picture, point, 0, &result,
                        &error) != CLEAVE_OK)
        note(findings, point, WRONG,
             "no picture can be answered this way; the text says why.", "%s",
             error.text);
    else if (result.via != wanted &&
             !(wanted == CLEAVE_VIA_SPLIT && result.via == CLEAVE_VIA_EXIT))
        note(findings, point, WRONG,
             "pictures are answered, but on the device alone.", "fell back: %s",
             result.reason);
    else
        note(findings, point, FINE, "",
             "by %s: %.1f ms on the device, %.1f ms link, %.1f ms server",
             result.point, result.device_ms, result.link_ms, result.server_ms);
}

/* Model and cache, then a picture by every way. */
static void check_model(struct findings *findings,
                        const struct cmd_options *options)
{
    struct cleave *handle = NULL;
    struct cleave_error error;
    double start_ms = cli_now_ms();
    if (cleave_open(&options->open, &handle, &error) != CLEAVE_OK) {
        note(findings, "model", WRONG,
             "nothing can run here without it. If the cache is the trouble, "
             "name a directory with --cache or set XDG_CACHE_HOME.",
             "%s", error.text);
        return;
    }
    const char *notice = cleave_notice(handle);
    note(findings, "model", *notice ? DOUBTFUL : FINE,
         "the model in use may be old, or has to be fetched at each start: "
         "make room, or bring the server back.",
         "%s%s in use after %.0f ms", notice, *notice ? ";" : "the server's is",
         cli_now_ms() - start_ms);
    check_link(findings, handle);
    check_way(findings, handle, "offload", CLEAVE_VIA_OFFLOAD);
    check_way(findings, handle, "split", CLEAVE_VIA_SPLIT);
    check_way(findings, handle, "local", CLEAVE_VIA_LOCAL);
    cleave_close(&handle);
}

static void print_json(const struct findings *findings)
{
    struct cli_json_line line = {.out = stdout};
    cli_json_open(&line, NULL, '[');
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        cli_json_open(&line, NULL, '{');
        cli_json_text(&line, "check", finding->check);
        cli_json_text(&line, "state", state_names[finding->state]);
        cli_json_text(&line, "found", finding->found);
        cli_json_text(&line, "advice", finding->advice);
        cli_json_close(&line, '}');
    }
    cli_json_close(&line, ']');
    putchar('\n');
}

static void print_list(const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        printf("%-8s %-8s %s\n", state_names[finding->state], finding->check,
               finding->found);
        if (*finding->advice)
            printf("%-17s > %s\n", "", finding->advice);
    }
}

int cmd_doctor(int argc, char **argv)
{
    struct cmd_options options;
    int status = CMD_OK;
    if (!cmd_parse(argc, argv, "smctj", print_help, &options, &status))
        return status;
    if (optind != argc) {
        cmd_complain("doctor takes no file");
        return CMD_USAGE;
    }
    double timeout_ms = options.open.request_timeout_ms > 0
                            ? (double)options.open.request_timeout_ms
                            : 10000;
    struct findings findings = {.count = 0};
    check_cpu(&findings);
    for (unsigned i = 0; i < options.server_count; i++)
        check_server(&findings, options.servers[i], timeout_ms);
    check_model(&findings, &options);
    if (options.json)
        print_json(&findings);
    else
        print_list(&findings);
    for (size_t i = 0; i < findings.count; i++) {
        if (findings.list[i].state == WRONG)
            status = CMD_FAILED;
    }
    return cmd_finish(status);
}
