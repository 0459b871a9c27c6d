/* cleave-load: requests at a fixed rate, whatever becomes of those before.
 *
 * Open-loop: times count from when a request was due, so a server that stalls
 * cannot hide it by slowing its clients down (G. Tene's "coordinated
 * omission"). */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/timing.h"
#include "bench/tool.h"

#define MOST_BODIES 64
#define MOST_CONNECTIONS 240L
/* After the last request was due, those on their way have this long. */
#define PATIENCE_SECONDS 10.0

/* One request on its way; handles are used again. */
struct transfer {
    struct transfer *next;
    CURL *easy;
    double due;
};

struct load {
    CURLM *multi;
    const char *url;
    struct curl_slist *headers;
    struct file bodies[MOST_BODIES];
    size_t body_count;
    double deadline;
    struct transfer *idle;
    size_t sent, on_their_way;
    size_t classes[6]; /* by the status' first digit; 0: no answer */
    size_t in_time;    /* 2xx within the deadline */
    double *times;     /* seconds of each 2xx */
    size_t time_count;
};

static size_t discard(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    (void)context;
    return size * count;
}

static struct transfer *make_transfer(const struct load *load)
{
    struct transfer *made = get(sizeof *made);

    made->easy = curl_easy_init();
    must(made->easy != NULL, "libcurl");
    curl_easy_setopt(made->easy, CURLOPT_URL, load->url);
    curl_easy_setopt(made->easy, CURLOPT_HTTPHEADER, load->headers);
    curl_easy_setopt(made->easy, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(made->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(made->easy, CURLOPT_PRIVATE, made);
    return made;
}

static void send_one(struct load *load, double due)
{
    struct transfer *transfer = load->idle;

    if (transfer)
        load->idle = transfer->next;
    else
        transfer = make_transfer(load);
    transfer->due = due;
    if (load->body_count > 0) {
        const struct file *body = &load->bodies[load->sent % load->body_count];
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, body->bytes);
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE,
                         (long)body->count);
    }
    must(curl_multi_add_handle(load->multi, transfer->easy) == CURLM_OK,
         "sending");
    load->sent++;
    load->on_their_way++;
}

static void take_answer(struct load *load, CURL *easy)
{
    struct transfer *transfer = NULL;
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(load->multi, easy);
    double took = bench_now() - transfer->due;
    load->classes[status >= 100 && status < 600 ? status / 100 : 0]++;
    if (status / 100 == 2) {
        load->times[load->time_count++] = took;
        load->in_time += took <= load->deadline;
    }
    transfer->next = load->idle;
    load->idle = transfer;
    load->on_their_way--;
}

static void run(struct load *load, double per_second, double seconds)
{
    double begun = bench_now(), due = begun, end = begun + seconds;
    int running;

    while (due < end ||
           (load->on_their_way > 0 && bench_now() < end + PATIENCE_SECONDS)) {
        for (; due < end && due <= bench_now(); due += 1 / per_second)
            send_one(load, due);
        must(curl_multi_perform(load->multi, &running) == CURLM_OK, "libcurl");
        CURLMsg *message;
        while ((message = curl_multi_info_read(load->multi, &running)))
            take_answer(load, message->easy_handle);
        double wait = due < end ? due - bench_now() : 0.05;
        if (wait > 0)
            curl_multi_poll(load->multi, NULL, 0, 1 + (int)(wait * 1e3), NULL);
    }
}

static void report(struct load *load, double seconds)
{
    size_t count = load->time_count;

    bench_sort(load->times, count);
    printf("{\"sent\": %zu, \"unanswered\": %zu, \"2xx\": %zu, \"4xx\": "
           "%zu, \"5xx\": %zu, \"in_time_per_s\": %.3f, "
           "\"p50_ms\": %.4f, \"p99_ms\": %.4f}\n",
           load->sent, load->classes[0] + load->on_their_way, load->classes[2],
           load->classes[4], load->classes[5], (double)load->in_time / seconds,
           count ? load->times[count / 2] * 1e3 : 0,
           count ? load->times[count * 99 / 100] * 1e3 : 0);
}

int main(int argc, char **argv)
{
    static struct load load;
    char deadline[64], type[128];

    if (argc < 6 || argc - 6 > MOST_BODIES) {
        fprintf(stderr, "usage: cleave-load URL TYPE DEADLINE_MS PER_SECOND "
                        "SECONDS [FILE...]\n");
        return 2;
    }
    double per_second = strtod(argv[4], NULL), seconds = strtod(argv[5], NULL);
    must(per_second > 0 && seconds > 0, "reading the rate");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    load.url = argv[1];
    load.deadline = strtod(argv[3], NULL) / 1e3;
    for (int i = 6; i < argc; i++)
        load.bodies[load.body_count++] = read_file(argv[i]);
    snprintf(deadline, sizeof deadline, "X-Request-Timeout-Ms: %.0f",
             load.deadline * 1e3);
    snprintf(type, sizeof type, "Content-Type: %s", argv[2]);
    load.headers = curl_slist_append(load.headers, deadline);
    load.headers = curl_slist_append(load.headers, type);
    load.headers = curl_slist_append(load.headers, "Expect:");
    load.times =
        malloc(sizeof *load.times * ((size_t)(per_second * seconds) + 2));
    load.multi = curl_multi_init();
    must(load.times && load.headers && load.multi, "memory");
    curl_multi_setopt(load.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                      MOST_CONNECTIONS);
    curl_multi_setopt(load.multi, CURLMOPT_MAXCONNECTS, MOST_CONNECTIONS);
    run(&load, per_second, seconds);
    report(&load, seconds);
    return 0; /* with it go the handles */
}
