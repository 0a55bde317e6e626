#include "door/etcd/line.h"

#include "door/etcd/door.h"

/* ---- lists of calls ---- */

static void insert_before(qr_etcd_list *list, qr_etcd_call *next, qr_etcd_call *call)
{
    QR_ASSERT(!call->list);
    qr_etcd_call *previous = next ? next->previous : list->last;
    call->list = list;
    call->next = next;
    call->previous = previous;
    *(previous ? &previous->next : &list->first) = call;
    *(next ? &next->previous : &list->last) = call;
}

void qr_etcd_list_add(qr_etcd_list *list, qr_etcd_call *call)
{
    insert_before(list, NULL, call);
}

void qr_etcd_list_leave(qr_etcd_call *call)
{
    qr_etcd_list *list = call->list;
    if (!list)
        return;
    *(call->previous ? &call->previous->next : &list->first) = call->next;
    *(call->next ? &call->next->previous : &list->last) = call->previous;
    call->next = call->previous = NULL;
    call->list = NULL;
}

/* ---- the ring of connections ---- */

static void enter_ring(qr_etcd_line *line)
{
    qr_etcd_ring *ring = &line->door->ring;
    if (line->in_ring)
        return;
    line->in_ring = true;
    line->next = NULL;
    line->previous = ring->last;
    *(ring->last ? &ring->last->next : &ring->first) = line;
    ring->last = line;
}

static void leave_ring(qr_etcd_line *line)
{
    qr_etcd_ring *ring = &line->door->ring;
    if (!line->in_ring)
        return;
    *(line->previous ? &line->previous->next : &ring->first) = line->next;
    *(line->next ? &line->next->previous : &ring->last) = line->previous;
    line->next = line->previous = NULL;
    line->in_ring = false;
}

/* ---- life ---- */

void qr_etcd_line_open(qr_etcd_line *line, qr_etcd_door *door, qr_stream_waker waker, uint64_t now_ms)
{
    *line = (qr_etcd_line){.door = door,
                           .waker = waker,
                           .now_ms = now_ms,
                           .deadline_ms = UINT64_MAX,
                           .stream_wake_ms = UINT64_MAX};
}

void qr_etcd_line_close(qr_etcd_line *line)
{
    QR_ASSERT(!line->waiting.first && !line->unsent && !line->unsent_writes && !line->reserved);
    QR_ASSERT(!line->streams && !line->roomless.first);
    leave_ring(line);
    if (line->door->ring.first) /* it may have the room that this one had */
        qr_etcd_line_wake(line->door->ring.first);
}

void qr_etcd_line_wake(qr_etcd_line *line)
{
    if (line->waker.wake)
        line->waker.wake(line->waker.self);
}

/* ---- room ---- */

bool qr_etcd_line_is_full(const qr_etcd_line *line)
{
    return line->unsent + line->reserved >= QR_ETCD_UNSENT_MAX;
}

static uint64_t share_of(const qr_etcd_call *call)
{
    return call->measured > QR_ETCD_SHARE_UNKNOWN ? call->measured : QR_ETCD_SHARE_UNKNOWN;
}

/* One read alone is always let go: its answer may be larger than any bound. */
static bool door_has_room(const qr_etcd_ring *ring, uint64_t share)
{
    if (ring->unsent + ring->reserved >= ring->unsent_max)
        return false;
    return ring->reserved == 0 || ring->reserved + share <= QR_ETCD_BUILT_MAX;
}

bool qr_etcd_line_holds(qr_etcd_call *call, const qr_txn_result *result)
{
    const qr_etcd_line *line = call->line;
    const qr_etcd_ring *ring = &call->door->ring;
    if (line->unsent < QR_ETCD_UNSENT_MAX && ring->unsent < ring->unsent_max &&
        ring->built < QR_ETCD_BUILT_MAX)
        return false;
    call->measured = qr_etcd_txn_bytes(result);
    return line->unsent > 0 || call->measured > QR_ETCD_SMALL_ANSWER;
}

void qr_etcd_line_release(qr_etcd_call *call)
{
    if (!call->reserved)
        return;
    QR_ASSERT(call->line->reserved >= call->reserved && call->door->ring.reserved >= call->reserved);
    call->line->reserved -= call->reserved;
    call->door->ring.reserved -= call->reserved;
    call->reserved = 0;
}

/* ---- waiting ---- */

void qr_etcd_line_stand(qr_etcd_call *call)
{
    qr_etcd_line *line = call->line;
    QR_ASSERT(!call->finished && !call->reserved);
    if (!call->ticket)
        call->ticket = ++line->next_ticket;
    /* Those that were called up before it and are back already stand in front of it. */
    qr_etcd_call *next = line->waiting.last;
    if (next && next->ticket < call->ticket) {
        next = NULL;
    } else {
        next = line->waiting.first;
        while (next && next->ticket < call->ticket)
            next = next->next;
    }
    insert_before(&line->waiting, next, call);
    if (call->deadline_ms < line->deadline_ms)
        line->deadline_ms = call->deadline_ms;
    if (!qr_etcd_line_is_full(line))
        enter_ring(line);
    qr_etcd_line_wake(line);
}

static void call_up(qr_etcd_line *line)
{
    qr_etcd_call *call = line->waiting.first;
    QR_ASSERT(call && !call->reserved);
    qr_etcd_list_leave(call);
    call->reserved = share_of(call);
    line->reserved += call->reserved;
    line->door->ring.reserved += call->reserved;
    qr_etcd_call_again(call);
}

static void serve_ring(qr_etcd_ring *ring)
{
    while (ring->first) {
        qr_etcd_line *line = ring->first;
        bool wanting = line->waiting.first && !qr_etcd_line_is_full(line);
        if (wanting && !door_has_room(ring, share_of(line->waiting.first)))
            return;
        leave_ring(line); /* a full one comes back when it is drained */
        if (!wanting)
            continue;
        call_up(line);
        if (line->waiting.first && !qr_etcd_line_is_full(line))
            enter_ring(line);
    }
}

/* ---- streams ---- */

void qr_etcd_line_add_stream(qr_etcd_call *call)
{
    qr_etcd_line *line = call->line;
    call->stream_previous = NULL;
    call->stream_next = line->streams;
    if (line->streams)
        line->streams->stream_previous = call;
    line->streams = call;
}

void qr_etcd_line_remove_stream(qr_etcd_call *call)
{
    *(call->stream_previous ? &call->stream_previous->stream_next : &call->line->streams) = call->stream_next;
    if (call->stream_next)
        call->stream_next->stream_previous = call->stream_previous;
    call->stream_next = call->stream_previous = NULL;
}

/* Each once: who still has no room waits behind the last one. */
static void tell_of_room(qr_etcd_line *line)
{
    const qr_etcd_call *last = line->roomless.last;
    for (qr_etcd_call *call = line->roomless.first; call; call = line->roomless.first) {
        qr_etcd_call_room(call);
        if (call == last)
            return;
    }
}

/* A stream that is told may end, itself and no other one. */
static void tick_streams(qr_etcd_line *line, uint64_t now_ms)
{
    if (now_ms < line->stream_wake_ms)
        return;
    line->stream_wake_ms = UINT64_MAX;
    for (qr_etcd_call *call = line->streams, *next; call; call = next) {
        next = call->stream_next;
        if (now_ms >= call->wake_ms)
            qr_etcd_call_tick(call, now_ms); /* to be called again it says when */
        else if (call->wake_ms < line->stream_wake_ms)
            line->stream_wake_ms = call->wake_ms;
    }
}

void qr_etcd_line_drained(qr_etcd_line *line)
{
    qr_etcd_ring *ring = &line->door->ring;
    ring->built = 0;
    tell_of_room(line);
    if (line->waiting.first && !qr_etcd_line_is_full(line))
        enter_ring(line);
    if (!ring->first)
        return;
    serve_ring(ring);
    /* The small answer that a connection gets in any case, also while the door has no room. */
    if (line->in_ring && line->waiting.first && line->unsent == 0 && line->reserved == 0 &&
        line->waiting.first->measured <= QR_ETCD_SMALL_ANSWER)
        call_up(line);
}

void qr_etcd_line_stirred(qr_etcd_line *line)
{
    if (line->waiting.first || line->door->ring.first)
        qr_etcd_line_wake(line);
}

void qr_etcd_line_tick(qr_etcd_line *line, uint64_t now_ms)
{
    line->now_ms = now_ms;
    tick_streams(line, now_ms);
    if (now_ms < line->deadline_ms)
        return;
    line->deadline_ms = UINT64_MAX;
    for (qr_etcd_call *call = line->waiting.first, *next; call; call = next) {
        next = call->next;
        if (now_ms >= call->deadline_ms)
            qr_etcd_call_expire(call); /* leaves the list */
        else if (call->deadline_ms < line->deadline_ms)
            line->deadline_ms = call->deadline_ms;
    }
}

/* ---- what is built ---- */

void qr_etcd_line_built(qr_etcd_call *call, uint64_t bytes)
{
    qr_etcd_ring *ring = &call->door->ring;
    QR_ASSERT(call->unsent == 0);
    call->unsent = bytes;
    call->line->unsent += bytes;
    if (call->writes)
        call->line->unsent_writes += bytes;
    ring->unsent += bytes;
    ring->built += bytes;
}

void qr_etcd_line_leave(qr_etcd_call *call)
{
    qr_etcd_line *line = call->line;
    qr_etcd_list_leave(call);
    qr_etcd_line_release(call);
    QR_ASSERT(line->unsent >= call->unsent && line->door->ring.unsent >= call->unsent);
    line->unsent -= call->unsent;
    if (call->writes)
        line->unsent_writes -= call->unsent;
    line->door->ring.unsent -= call->unsent;
    call->unsent = 0;
    call->line = NULL;
}
