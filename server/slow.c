/* A ring of log lines. */
#include "server/slow.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    size_t used;
    char text[sizeof((struct srv_log_line *)0)->text];
};

struct srv_slow {
    pthread_mutex_t lock;
    unsigned long count; /* ever added; the next goes to count % KEPT */
    struct entry entries[SRV_SLOW_KEPT];
};

enum api_status srv_slow_open(struct srv_slow **slow)
{
    struct srv_slow *made = calloc(1, sizeof *made);
    if (!made)
        return API_NO_MEMORY;
    pthread_mutex_init(&made->lock, NULL);
    *slow = made;
    return API_OK;
}

void srv_slow_close(struct srv_slow **slow)
{
    struct srv_slow *old = *slow;
    if (!old)
        return;
    pthread_mutex_destroy(&old->lock);
    free(old);
    *slow = NULL;
}

void srv_slow_add(struct srv_slow *slow, const struct srv_log_line *line)
{
    pthread_mutex_lock(&slow->lock);
    struct entry *entry = &slow->entries[slow->count++ % SRV_SLOW_KEPT];
    memcpy(entry->text, line->text, line->used);
    entry->used = line->used;
    pthread_mutex_unlock(&slow->lock);
}

char *srv_slow_write(struct srv_slow *slow, unsigned slow_ms, size_t *bytes)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return NULL;
    fprintf(out, "{\"slow_ms\":%u,\"requests\":[", slow_ms);
    pthread_mutex_lock(&slow->lock);
    for (unsigned i = 0; i < SRV_SLOW_KEPT && i < slow->count; i++) {
        const struct entry *entry =
            &slow->entries[(slow->count - 1 - i) % SRV_SLOW_KEPT];
        /* The line is closed when it is printed, not before. */
        fprintf(out, "%s%.*s}", i ? "," : "", (int)entry->used, entry->text);
    }
    pthread_mutex_unlock(&slow->lock);
    fputs("]}", out);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    *bytes = length;
    return text;
}
