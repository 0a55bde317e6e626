#include "sim/queue.h"

static bool before(const qr_sim_event *a, const qr_sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void qr_sim_queue_free(qr_sim_queue *queue)
{
    qr_free(queue->heap);
    *queue = (qr_sim_queue){0};
}

static void insert(qr_sim_queue *queue, qr_sim_event event)
{
    if (queue->count == queue->room) {
        queue->room = queue->room ? queue->room * 2 : 256;
        queue->heap = qr_realloc(queue->heap, queue->room * sizeof *queue->heap);
    }
    size_t at = queue->count++;
    while (at > 0 && before(&event, &queue->heap[(at - 1) / 2])) {
        queue->heap[at] = queue->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->heap[at] = event;
}

void qr_sim_queue_push(qr_sim_queue *queue, qr_sim_event event)
{
    event.order = ++queue->order;
    insert(queue, event);
}

void qr_sim_queue_delay(qr_sim_queue *queue, qr_sim_event event, uint64_t at_us)
{
    QR_ASSERT(at_us >= event.at_us && event.order != 0);
    event.at_us = at_us;
    insert(queue, event);
}

bool qr_sim_queue_pop(qr_sim_queue *queue, qr_sim_event *event)
{
    if (queue->count == 0)
        return false;
    *event = queue->heap[0];
    qr_sim_event last = queue->heap[--queue->count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= queue->count)
            break;
        if (child + 1 < queue->count && before(&queue->heap[child + 1], &queue->heap[child]))
            child++;
        if (!before(&queue->heap[child], &last))
            break;
        queue->heap[at] = queue->heap[child];
        at = child;
    }
    if (queue->count > 0)
        queue->heap[at] = last;
    QR_ASSERT(queue->count == 0 || !before(&queue->heap[0], event));
    return true;
}

uint64_t qr_sim_queue_next_us(const qr_sim_queue *queue)
{
    return queue->count ? queue->heap[0].at_us : UINT64_MAX;
}
