/* Reads: linearizable ones share a READ of the engine, one a turn; local ones are served from what is applied
 * here. */
#include "node/internal.h"

static void queue_add(qr_read_queue *queue, qr_read *read)
{
    read->next = NULL;
    if (queue->tail == NULL)
        queue->tail = &queue->head;
    *queue->tail = read;
    queue->tail = &read->next;
    queue->count++;
}

static qr_read *queue_take(qr_read_queue *queue)
{
    qr_read *read = queue->head;
    if (read == NULL)
        return NULL;
    queue->head = read->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    queue->count--;
    return read;
}

/* Moves all of `from` behind what is in `to`. */
static void queue_join(qr_read_queue *to, qr_read_queue *from)
{
    qr_read *read;
    while ((read = queue_take(from)) != NULL)
        queue_add(to, read);
}

static void finish(qr_node *node, qr_read *read, qr_status status, const void *result)
{
    node->read_count--;
    qr_node__answer(node, read->done, read->owner, status, result, node->applied_index);
    qr_free(read);
}

static void serve(qr_node *node, qr_read *read)
{
    const void *result = NULL;
    qr_arena_reset(&node->arena);
    qr_status status = node->machine->ops->query(node->machine, read->query, &node->arena, &result);
    node->read_bytes += node->arena.total;
    finish(node, read, status, result);
}

void qr_reads__add(qr_node *node, const qr_request *request, uint64_t deadline_ms)
{
    qr_read *read = qr_alloc(sizeof *read);
    *read = (qr_read){
        .query = request->query, .deadline_ms = deadline_ms, .done = request->done, .owner = request->owner};
    queue_add(request->kind == QR_REQUEST_READ ? &node->reads_waiting : &node->reads_local, read);
    node->read_count++;
}

void qr_reads__start(qr_node *node)
{
    if (node->reads_waiting.count == 0 || node->now_ms < node->retry_reads_ms)
        return;
    qr_read_batch *batch = qr_alloc_zero(1, sizeof *batch);
    batch->tag = ++node->next_tag;
    queue_join(&batch->reads, &node->reads_waiting);
    *node->batches_tail = batch;
    node->batches_tail = &batch->next;
    qr_event event = {.kind = QR_EVENT_READ, .read = {.tag = batch->tag}};
    qr_node__step(node, &event);
}

static qr_read_batch **find(qr_node *node, uint64_t tag)
{
    for (qr_read_batch **at = &node->batches; *at != NULL; at = &(*at)->next)
        if ((*at)->tag == tag)
            return at;
    return NULL;
}

static void remove_batch(qr_node *node, qr_read_batch **at)
{
    qr_read_batch *batch = *at;
    *at = batch->next;
    if (node->batches_tail == &batch->next)
        node->batches_tail = at;
    qr_free(batch);
}

void qr_reads__at(qr_node *node, uint64_t tag, uint64_t index)
{
    qr_read_batch **at = find(node, tag);
    if (at == NULL)
        return;
    (*at)->ready = true;
    (*at)->index = index;
}

void qr_reads__refused(qr_node *node, uint64_t tag)
{
    qr_read_batch **at = find(node, tag);
    if (at == NULL)
        return;
    /* A read changes nothing, so it is simply tried again, with a new tag, until its deadline. */
    queue_join(&node->reads_waiting, &(*at)->reads);
    remove_batch(node, at);
    node->retry_reads_ms = node->now_ms + QR_NODE_RETRY_MS;
}

/* Serves from the queue as far as the turn's budget goes: a row of huge scans must not hold up heartbeats.
 * True when the queue is empty. */
static bool serve_queue(qr_node *node, qr_read_queue *queue)
{
    for (size_t left = queue->count; left > 0 && node->read_bytes < QR_NODE_READ_BUDGET; left--)
        serve(node, queue_take(queue));
    node->more_reads |= queue->count > 0;
    return queue->count == 0;
}

static qr_status may_look(const qr_node *node)
{
    return node->halted ? QR_E_HALTED : node->caught_up ? QR_OK : QR_E_NOT_READY;
}

qr_status qr_node_look(qr_node *node, const void *query, qr_arena *arena, const void **result)
{
    qr_status status = may_look(node);
    return status == QR_OK ? node->machine->ops->query(node->machine, query, arena, result) : status;
}

qr_status qr_node_look_events(qr_node *node, const qr_events_query *query, qr_events_result *result)
{
    qr_status status = may_look(node);
    return status == QR_OK ? node->machine->ops->events(node->machine, query, result) : status;
}

void qr_reads__serve(qr_node *node)
{
    node->read_bytes = 0;
    node->more_reads = false;
    for (qr_read_batch **at = &node->batches; *at != NULL;) {
        if ((*at)->ready && (*at)->index <= node->applied_index && serve_queue(node, &(*at)->reads))
            remove_batch(node, at);
        else
            at = &(*at)->next;
    }
    if (node->caught_up)
        serve_queue(node, &node->reads_local);
}

static void sweep_queue(qr_node *node, qr_read_queue *queue)
{
    qr_read_queue all = *queue;
    if (all.tail == &queue->head)
        all.tail = &all.head;
    *queue = (qr_read_queue){0};
    qr_read *read;
    while ((read = queue_take(&all)) != NULL) {
        if (node->now_ms >= read->deadline_ms)
            finish(node, read, node->leader == 0 ? QR_E_NO_LEADER : QR_E_TIMEOUT, NULL);
        else
            queue_add(queue, read);
    }
}

void qr_reads__sweep(qr_node *node)
{
    sweep_queue(node, &node->reads_waiting);
    sweep_queue(node, &node->reads_local);
    for (qr_read_batch *batch = node->batches; batch != NULL; batch = batch->next)
        sweep_queue(node, &batch->reads);
}

static void finish_queue(qr_node *node, qr_read_queue *queue, qr_status status)
{
    qr_read *read;
    while ((read = queue_take(queue)) != NULL)
        finish(node, read, status, NULL);
}

void qr_reads__finish(qr_node *node, qr_status status)
{
    finish_queue(node, &node->reads_waiting, status);
    finish_queue(node, &node->reads_local, status);
    while (node->batches != NULL) {
        finish_queue(node, &node->batches->reads, status);
        remove_batch(node, &node->batches);
    }
}
