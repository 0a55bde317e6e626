/* The Watch service: one stream with any number of watches. Each is a watcher of the node (node.h), which
 * knows its position; what is kept here is the client's name for it and whether it waits for room. Events are
 * taken when the node says that there are some and the stream has room, and are encoded while they are told.
 * doc/design/watches.md.
 *
 *   create --> (the member has caught up) --> "created" --> events ... --> canceled: asked for, or compacted
 */
#include "door/etcd/door.h"
#include "door/etcd/translate.h"
#include "door/etcd/watch_set.h"
#include "wire/protobuf.h"

enum {
    QR_ETCD_WATCHES_MAX = 1 << 17,          /* of one stream */
    QR_ETCD_WATCH_PIECE = 256 * 1024,       /* bytes of events in one answer, or one revision more */
    QR_ETCD_WATCH_UNSENT_MAX = 1024 * 1024, /* bytes unsent on a stream: its watches wait */
    QR_ETCD_WATCH_UNSENT_DOOR_MAX = 256 * 1024 * 1024, /* on all: a stream waits until it has sent all */
    /* Answers to requests that come while there is no room; then the stream ends. */
    QR_ETCD_WATCH_REPLIES_MAX = 1024 * 1024,
    QR_ETCD_WATCH_CALLED = 8,     /* watches at a time that new room is given to */
    QR_ETCD_WATCH_REPLY = 64,     /* bytes, about */
    QR_ETCD_WATCH_TICK_MS = 1000, /* how often a leader is looked for, ... */
    QR_ETCD_WATCH_LEADERLESS = 3, /* ... and how often in vain, until the stream of who asked for one ends */
};

typedef struct qr_etcd_watch_stream {
    qr_etcd_call *call;
    qr_etcd_watch_set set;
    uint64_t start_max;   /* of all there ever were: progress is not told below it */
    uint64_t unsent;      /* bytes, as counted in the door */
    uint64_t replies;     /* bytes, while there was no room */
    uint64_t notify_ms;   /* when progress is told next; UINT64_MAX = nobody wants it */
    uint64_t interval_ms; /* between two of them */
    uint32_t leaderless;  /* ticks */
    bool progress_due;    /* the client has asked for it */
} watch_stream;

/* ---- the bytes of a stream ---- */

static void count_unsent(watch_stream *stream)
{
    qr_etcd_call *call = stream->call;
    uint64_t unsent = call->transport ? call->transport->queued(call) : 0;
    call->door->watch_unsent += unsent - stream->unsent;
    stream->unsent = unsent;
    if (unsent > 0)
        qr_etcd_call_await_room(call);
}

static bool has_room(const watch_stream *stream)
{
    return stream->unsent == 0 || (stream->unsent < QR_ETCD_WATCH_UNSENT_MAX &&
                                   stream->call->door->watch_unsent < QR_ETCD_WATCH_UNSENT_DOOR_MAX);
}

static qr_etcd_header header_now(const qr_etcd_call *call)
{
    qr_node_status status;
    qr_node_status_of(call->door->config.node, &status);
    return qr_etcd_call_header(call, status.revision, status.engine.term);
}

/* An answer without events. */
static void reply(watch_stream *stream, QrEtcdpb__WatchResponse *answer, const qr_etcd_header *head)
{
    QrEtcdpb__ResponseHeader header = QR_ETCDPB__RESPONSE_HEADER__INIT;
    header.cluster_id = (uint64_t)head->cluster_id;
    header.member_id = (uint64_t)head->member_id;
    header.revision = head->revision;
    header.raft_term = (uint64_t)head->raft_term;
    answer->header = &header;
    qr_etcd_call_send(stream->call, &answer->base);
    count_unsent(stream);
}

static void send_piece(qr_etcd_watch *watch, const qr_etcd_header *header, bool fragment, qr_slice events)
{
    qr_etcd_call *call = watch->stream->call;
    qr_etcd_encode_watch(call->transport->begin(call), header, watch->id, fragment, events);
    call->transport->end(call);
    qr_etcd_line_wake(call->line);
}

/* All of it, or if the client can put them together again in fragments that are as large as a request. */
static void send_events(qr_etcd_watch *watch, qr_slice events)
{
    qr_etcd_header header = header_now(watch->stream->call);
    header.revision = (int64_t)qr_node_watch_position(watch->watcher) - 1;
    size_t size_max = watch->fragment ? watch->stream->call->door->limits.message_max : SIZE_MAX;
    while (events.size > 0) {
        size_t cut = events.size > size_max ? qr_etcd_events_cut(events, size_max) : events.size;
        send_piece(watch, &header, cut < events.size, qr_slice_of(events.data, cut));
        events = qr_slice_of(events.data + cut, events.size - cut);
    }
    watch->told = true;
    count_unsent(watch->stream);
}

/* The room goes from one that waited to the next, so that a hundred thousand are not called in vain. Whoever
 * has been called passes on what is left, or is gone, or waits again because there is none. */
static void pass_on(watch_stream *stream)
{
    qr_etcd_watch *watch = stream->set.waiting_first;
    if (!watch || !has_room(stream))
        return;
    qr_etcd_watch_wait_no_more(&stream->set, watch);
    qr_node_watch_resume(watch->watcher);
}

static void forget(qr_etcd_watch *watch)
{
    watch_stream *stream = watch->stream;
    qr_etcd_watch_remove(&stream->set, watch);
    qr_node_watch_end(watch->watcher);
    qr_free(watch);
    pass_on(stream);
}

/* ---- progress ---- */

/* An event may have been applied whose watch has not had its turn yet. */
static bool all_idle(const watch_stream *stream)
{
    const qr_etcd_watch *watch = NULL;
    while ((watch = qr_etcd_watch_after(&stream->set, watch)) != NULL)
        if (!qr_node_watch_idle(watch->watcher))
            return false;
    return true;
}

/* For the stream as a whole: true of all its watches, so each must have been told everything, and none may
 * begin only later. */
static void tell_progress(watch_stream *stream)
{
    if (!stream->progress_due || stream->set.lagging > 0 || !all_idle(stream))
        return;
    qr_etcd_header header = header_now(stream->call);
    if ((uint64_t)header.revision + 1 < stream->start_max)
        return; /* looked at again with the next tick */
    stream->progress_due = false;
    QrEtcdpb__WatchResponse answer = QR_ETCDPB__WATCH_RESPONSE__INIT;
    answer.watch_id = -1;
    reply(stream, &answer, &header);
}

static void notify(qr_etcd_watch *watch, const qr_etcd_header *header)
{
    bool quiet = !watch->told;
    watch->told = false;
    /* A position beyond the present: its start lies ahead. */
    if (!quiet || !qr_node_watch_idle(watch->watcher) ||
        qr_node_watch_position(watch->watcher) > (uint64_t)header->revision + 1)
        return;
    QrEtcdpb__WatchResponse answer = QR_ETCDPB__WATCH_RESPONSE__INIT;
    answer.watch_id = watch->id;
    reply(watch->stream, &answer, header);
}

static void notify_all(watch_stream *stream)
{
    qr_etcd_header header = header_now(stream->call);
    qr_etcd_watch *watch = NULL;
    while (has_room(stream) && (watch = qr_etcd_watch_after(&stream->set, watch)) != NULL)
        if (watch->notify)
            notify(watch, &header);
}

/* ---- events ---- */

static void say_created(qr_etcd_watch *watch)
{
    qr_etcd_header header = header_now(watch->stream->call);
    /* From here on a client without a start revision counts. */
    if (watch->from_now && qr_node_watch_started(watch->watcher))
        header.revision = (int64_t)qr_node_watch_position(watch->watcher) - 1;
    QrEtcdpb__WatchResponse answer = QR_ETCDPB__WATCH_RESPONSE__INIT;
    answer.watch_id = watch->id;
    answer.created = true;
    watch->created = true;
    reply(watch->stream, &answer, &header);
}

/* With the revision 0 in the header, as etcd says it. */
static void say_compacted(qr_etcd_watch *watch, uint64_t compacted)
{
    qr_etcd_header header = qr_etcd_call_header(watch->stream->call, 0, 0);
    header.raft_term = header_now(watch->stream->call).raft_term;
    QrEtcdpb__WatchResponse answer = QR_ETCDPB__WATCH_RESPONSE__INIT;
    answer.watch_id = watch->id;
    answer.canceled = true;
    answer.compact_revision = (int64_t)compacted;
    reply(watch->stream, &answer, &header);
}

static void on_event(void *context, const qr_kv_event *event)
{
    qr_etcd_encode_event(context, event);
}

static void take_events(qr_etcd_watch *watch)
{
    watch_stream *stream = watch->stream;
    qr_buffer *events = &stream->call->door->events;
    qr_buffer_clear(events);
    uint64_t compacted;
    qr_status status = qr_node_watch_next(watch->watcher, QR_ETCD_WATCH_PIECE, on_event, events, &compacted);
    if (status == QR_OK && events->size > 0)
        send_events(watch, qr_buffer_slice(events));
    qr_buffer_shrink(events, QR_ETCD_BODY_ROOM_MAX);
    if (status == QR_E_COMPACTED) {
        say_compacted(watch, compacted);
        forget(watch);
    } else if (status != QR_OK) {
        qr_etcd_call_fail(stream->call, qr_etcd_error_of(status)); /* and all is forgotten */
        return;
    } else if (qr_node_watch_idle(watch->watcher)) {
        qr_etcd_watch_lag(&stream->set, watch, false);
    } else {
        qr_node_watch_resume(watch->watcher);
    }
    pass_on(stream);
    tell_progress(stream);
}

static void on_ready(void *owner)
{
    qr_etcd_watch *watch = owner;
    qr_etcd_watch_lag(&watch->stream->set, watch, true);
    if (!has_room(watch->stream)) {
        qr_etcd_watch_wait(&watch->stream->set, watch);
        return;
    }
    if (!watch->created && qr_node_watch_started(watch->watcher))
        say_created(watch);
    take_events(watch);
}

static void on_room(qr_etcd_call *call)
{
    watch_stream *stream = call->work;
    count_unsent(stream);
    if (!has_room(stream))
        return;
    stream->replies = 0;
    for (int i = 0; i < QR_ETCD_WATCH_CALLED && call->work; i++) /* the stream ends with its node */
        pass_on(stream);
}

/* ---- requests ---- */

/* What is answered at once takes memory too. */
static bool may_reply(watch_stream *stream)
{
    if (has_room(stream))
        return true;
    stream->replies += QR_ETCD_WATCH_REPLY;
    if (stream->replies <= QR_ETCD_WATCH_REPLIES_MAX)
        return true;
    qr_etcd_call_fail(stream->call, QR_ETCD_E_TOO_MANY_REQUESTS);
    return false;
}

static void refuse(watch_stream *stream, const char *reason)
{
    qr_etcd_header header = header_now(stream->call);
    QrEtcdpb__WatchResponse answer = QR_ETCDPB__WATCH_RESPONSE__INIT;
    answer.watch_id = -1;
    answer.created = answer.canceled = true;
    answer.cancel_reason = (char *)(uintptr_t)reason;
    reply(stream, &answer, &header);
}

/* No key is the first one there can be, "\0". */
static bool span_of(const QrEtcdpb__WatchCreateRequest *request, qr_span *span)
{
    qr_slice key = qr_slice_of(request->key.data, request->key.len);
    *span = qr_etcd_span(key.size ? key : qr_slice_of("", 1),
                         qr_slice_of(request->range_end.data, request->range_end.len));
    return span->kind != QR_SPAN_RANGE || qr_slice_compare(span->key, span->end) < 0;
}

static void want_progress(watch_stream *stream)
{
    const qr_etcd_call *call = stream->call;
    if (stream->notify_ms != UINT64_MAX)
        return;
    uint64_t interval_ms = call->door->config.watch_progress_ms;
    /* Up to a tenth more, so that not all streams speak at once. */
    uint64_t draw = qr_hash_mix(call->door->config.self, ++call->door->watch_streams);
    stream->interval_ms = interval_ms + draw % (interval_ms / 10 + 1);
    stream->notify_ms = call->line->now_ms + stream->interval_ms;
}

static void keep(watch_stream *stream, const QrEtcdpb__WatchCreateRequest *request, qr_watch_config config)
{
    qr_etcd_watch *watch = qr_alloc_zero(1, sizeof *watch);
    config.owner = watch;
    watch->stream = stream;
    watch->from_now = config.start == 0;
    watch->fragment = request->fragment;
    watch->notify = request->progress_notify;
    watch->watcher = qr_node_watch(stream->call->door->config.node, &config);
    if (!watch->watcher) {
        qr_free(watch);
        refuse(stream, qr_etcd_error_text(QR_ETCD_E_TOO_MANY_REQUESTS));
        return;
    }
    qr_etcd_watch_add(&stream->set, watch, request->watch_id);
    qr_etcd_watch_lag(&stream->set, watch, true);
    if (config.start > stream->start_max)
        stream->start_max = config.start;
    if (watch->notify)
        want_progress(stream);
    if (qr_node_watch_started(watch->watcher))
        say_created(watch); /* at once, so that answers keep the order of the requests */
}

static void create(watch_stream *stream, const QrEtcdpb__WatchCreateRequest *request)
{
    qr_watch_config config = {.want_previous = request->prev_kv, .ready = on_ready};
    if (!span_of(request, &config.span)) {
        refuse(stream, "mvcc: watcher range is empty");
        return;
    }
    if (request->watch_id && qr_etcd_watch_find(&stream->set, request->watch_id)) {
        refuse(stream, "mvcc: duplicate watch ID provided on the WatchStream");
        return;
    }
    if (stream->set.count >= QR_ETCD_WATCHES_MAX) {
        refuse(stream, qr_etcd_error_text(QR_ETCD_E_TOO_MANY_REQUESTS));
        return;
    }
    /* A negative one is from before everything. */
    config.start = request->start_revision < 0 ? 1 : (uint64_t)request->start_revision;
    for (size_t i = 0; i < request->n_filters; i++) {
        config.skip_puts |= request->filters[i] == QR_ETCDPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
        config.skip_deletes |= request->filters[i] == QR_ETCDPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    }
    keep(stream, request, config);
}

static void cancel(watch_stream *stream, int64_t id)
{
    qr_etcd_watch *watch = qr_etcd_watch_find(&stream->set, id);
    if (!watch)
        return;
    if (!watch->created)
        say_created(watch);
    forget(watch);
    qr_etcd_header header = header_now(stream->call);
    QrEtcdpb__WatchResponse answer = QR_ETCDPB__WATCH_RESPONSE__INIT;
    answer.watch_id = id;
    answer.canceled = true;
    reply(stream, &answer, &header);
    tell_progress(stream);
}

static void plan_tick(watch_stream *stream)
{
    uint64_t now_ms = stream->call->line->now_ms, wake_ms = stream->notify_ms;
    bool looks = stream->call->wants_leader || stream->progress_due;
    if (looks && now_ms + QR_ETCD_WATCH_TICK_MS < wake_ms)
        wake_ms = now_ms + QR_ETCD_WATCH_TICK_MS;
    if (wake_ms < stream->call->wake_ms || stream->call->wake_ms <= now_ms)
        qr_etcd_call_wake_at(stream->call, wake_ms);
}

static void on_tick(qr_etcd_call *call, uint64_t now_ms)
{
    watch_stream *stream = call->work;
    if (call->wants_leader) {
        qr_node_status status;
        qr_node_status_of(call->door->config.node, &status);
        stream->leaderless = status.engine.leader ? 0 : stream->leaderless + 1;
        if (stream->leaderless >= QR_ETCD_WATCH_LEADERLESS) {
            qr_etcd_call_fail(call, QR_ETCD_E_NO_LEADER);
            return;
        }
    }
    if (now_ms >= stream->notify_ms) {
        stream->notify_ms = now_ms + stream->interval_ms;
        notify_all(stream);
    }
    tell_progress(stream);
    plan_tick(stream);
}

static void carry_out(watch_stream *stream, const QrEtcdpb__WatchRequest *request)
{
    switch (request->request_union_case) {
    case QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        create(stream, request->create_request);
        break;
    case QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        cancel(stream, request->cancel_request->watch_id);
        break;
    case QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        stream->progress_due = true;
        tell_progress(stream);
        break;
    default: break; /* of a later version: nothing is done */
    }
    plan_tick(stream);
}

static void on_message(qr_etcd_call *call, qr_slice message)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const QrEtcdpb__WatchRequest *request =
        (const void *)qr_protobuf_unpack(&qr_etcdpb__watch_request__descriptor, message, &arena);
    if (!request)
        qr_etcd_call_fail(call, QR_ETCD_E_MALFORMED);
    else if (may_reply(call->work))
        carry_out(call->work, request);
    qr_arena_free(&arena);
}

static void on_closed(qr_etcd_call *call)
{
    watch_stream *stream = call->work;
    call->work = NULL;
    qr_etcd_watch_set *set = &stream->set;
    while (set->waiting_first)
        qr_etcd_watch_wait_no_more(set, set->waiting_first);
    for (qr_etcd_watch *watch = qr_etcd_watch_after(set, NULL), *next; watch; watch = next) {
        next = qr_etcd_watch_after(set, watch);
        forget(watch);
    }
    call->door->watch_unsent -= stream->unsent;
    qr_etcd_watch_set_free(set);
    qr_free(stream);
}

static void start_watch(qr_etcd_call *call, qr_slice message)
{
    watch_stream *stream = call->work = qr_alloc_zero(1, sizeof *stream);
    stream->call = call;
    stream->notify_ms = UINT64_MAX;
    on_message(call, message);
}

static const qr_etcd_streaming streaming = {
    .message = on_message, .room = on_room, .tick = on_tick, .closed = on_closed};

static const qr_etcd_method methods[] = {
    {.name = "Watch", .start = start_watch, .streaming = &streaming, QR_ETCD_GATEWAY("watch", watch)}};

const qr_etcd_service qr_etcd_watch_service = {"etcdserverpb.Watch", methods,
                                               sizeof methods / sizeof methods[0]};
