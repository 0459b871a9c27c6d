/* What happens next in a simulation: events in the order of their time. */
#include "client/simulate/events.h"

#include <stdlib.h>

void events_free(struct events *events)
{
    free(events->heap);
    *events = (struct events){.count = 0};
}

static bool is_before(const struct event *a, const struct event *b)
{
    if (a->at_ms < b->at_ms || a->at_ms > b->at_ms)
        return a->at_ms < b->at_ms;
    return a->number < b->number;
}

bool events_add(struct events *events, struct event event)
{
    if (events->count == events->capacity) {
        size_t capacity = events->capacity ? 2 * events->capacity : 64;
        struct event *heap =
            realloc(events->heap, capacity * sizeof *events->heap);
        if (!heap)
            return false;
        events->heap = heap;
        events->capacity = capacity;
    }
    event.number = events->added++;
    size_t at = events->count++;
    while (at > 0 && is_before(&event, &events->heap[(at - 1) / 2])) {
        events->heap[at] = events->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    events->heap[at] = event;
    return true;
}

bool events_next(struct events *events, struct event *event)
{
    if (events->count == 0)
        return false;
    *event = events->heap[0];
    struct event last = events->heap[--events->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < events->count &&
            is_before(&events->heap[child + 1], &events->heap[child]))
            child++;
        if (child >= events->count || is_before(&last, &events->heap[child]))
            break;
        events->heap[at] = events->heap[child];
        at = child;
    }
    events->heap[at] = last;
    return true;
}
