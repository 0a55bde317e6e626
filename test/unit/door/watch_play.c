#include "watch_play.h"

#include "door/etcd/door.h"
#include "fake_node.h"
#include "wire/protobuf.h"

enum { LARGE = 700 * 1024, WATCHES_MAX = 64, EVENTS_MAX = 4096, KEYS = 4, NOW = 5000 };

typedef struct played_watch {
    int64_t id;
    bool live, created;
    uint8_t first, last; /* keys */
    bool skip_puts, skip_deletes, want_previous;
    uint64_t next;     /* everything before was told, or is not wanted */
    size_t at;         /* in the list of events: looked at up to here */
    bool in_fragments; /* the last answer was not the last fragment */
} played_watch;

typedef struct played_event {
    uint64_t revision;
    uint8_t key;
    bool deleted;
    uint8_t value;
} played_event;

typedef struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_etcd_line line;
    qr_etcd_call *call;
    qr_buffer out;
    size_t queued;
    bool ended;
    const uint8_t *data;
    size_t size;
    played_watch watches[WATCHES_MAX];
    size_t watch_count;
    played_event events[EVENTS_MAX];
    size_t event_count, told;
    uint64_t compacted;
} stage;

static uint8_t draw(stage *s)
{
    if (s->size == 0)
        return 0;
    s->size--;
    return *s->data++;
}

static uint64_t revision_of(const stage *s)
{
    return s->node.tree->ops->revision(s->node.tree);
}

/* ---------------------------------------------------------------- answers ---- */

static played_watch *watch_of(stage *s, int64_t id)
{
    for (size_t i = 0; i < s->watch_count; i++)
        if (s->watches[i].live && s->watches[i].id == id)
            return &s->watches[i];
    return NULL;
}

static bool is_for(const played_watch *watch, const played_event *event)
{
    return event->revision >= watch->next && event->key >= watch->first && event->key <= watch->last &&
           !(event->deleted ? watch->skip_deletes : watch->skip_puts);
}

/* The key as it was before that event; NULL if it was not there. */
static const played_event *before(const stage *s, const played_event *event)
{
    for (const played_event *other = event; other-- > s->events;)
        if (other->key == event->key)
            return other->deleted ? NULL : other;
    return NULL;
}

static void judge_event(stage *s, played_watch *watch, const QrMvccpb__Event *event)
{
    while (watch->at < s->event_count && !is_for(watch, &s->events[watch->at]))
        watch->at++;
    QR_ASSERT(watch->at < s->event_count);
    const played_event *wanted = &s->events[watch->at++];
    QR_ASSERT(event->kv->key.len == 1 && event->kv->key.data[0] == wanted->key);
    QR_ASSERT((uint64_t)event->kv->mod_revision == wanted->revision);
    QR_ASSERT((event->type == QR_MVCCPB__EVENT__EVENT_TYPE__DELETE) == wanted->deleted);
    QR_ASSERT(wanted->deleted || (event->kv->value.len > 0 && event->kv->value.data[0] == wanted->value));
    const played_event *old = before(s, wanted);
    if (event->prev_kv)
        QR_ASSERT(watch->want_previous && old && event->prev_kv->value.data[0] == old->value &&
                  (uint64_t)event->prev_kv->mod_revision == old->revision);
    else
        QR_ASSERT(!watch->want_previous || !old || wanted->revision <= s->compacted);
    s->told++;
}

static bool misses(const stage *s, const played_watch *watch, uint64_t revision)
{
    for (size_t i = watch->at; i < s->event_count && s->events[i].revision <= revision; i++)
        if (is_for(watch, &s->events[i]))
            return true;
    return false;
}

static void judge_events(stage *s, played_watch *watch, const QrEtcdpb__WatchResponse *answer)
{
    QR_ASSERT(watch->created);
    for (size_t i = 0; i < answer->n_events; i++)
        judge_event(s, watch, answer->events[i]);
    uint64_t last = (uint64_t)answer->events[answer->n_events - 1]->kv->mod_revision;
    QR_ASSERT(answer->header->revision >= (int64_t)last);
    if (!answer->fragment) /* whole revisions, and nothing before the header's is still to come */
        QR_ASSERT(!misses(s, watch, (uint64_t)answer->header->revision));
    watch->in_fragments = answer->fragment;
}

static void judge_cancel(stage *s, played_watch *watch, const QrEtcdpb__WatchResponse *answer)
{
    if (answer->compact_revision) {
        QR_ASSERT((uint64_t)answer->compact_revision <= s->compacted);
        QR_ASSERT(watch->next < s->compacted);
    }
    watch->live = false;
}

static void judge(stage *s, const QrEtcdpb__WatchResponse *answer)
{
    uint64_t revision = (uint64_t)answer->header->revision;
    if (answer->watch_id == -1 && answer->created)
        return; /* refused */
    if (answer->watch_id == -1) {
        for (size_t i = 0; i < s->watch_count; i++)
            QR_ASSERT(!s->watches[i].live || (!misses(s, &s->watches[i], revision) && s->watches[i].created &&
                                              revision + 1 >= s->watches[i].next));
        return;
    }
    played_watch *watch = watch_of(s, answer->watch_id);
    QR_ASSERT(watch != NULL);
    if (answer->created) {
        QR_ASSERT(!watch->created);
        watch->created = true;
        if (watch->next == 0)
            watch->next = revision + 1;
    } else if (answer->canceled) {
        judge_cancel(s, watch, answer);
    } else if (answer->n_events > 0) {
        judge_events(s, watch, answer);
    } else {
        QR_ASSERT(!misses(s, watch, revision) && revision + 1 >= watch->next);
    }
}

/* -------------------------------------------------------------- transport ---- */

static qr_buffer *begin(qr_etcd_call *call)
{
    stage *s = call->stream;
    qr_buffer_clear(&s->out);
    return &s->out;
}

static void end(qr_etcd_call *call)
{
    stage *s = call->stream;
    qr_arena arena;
    qr_arena_init(&arena);
    const QrEtcdpb__WatchResponse *answer = (const void *)qr_protobuf_unpack(
        &qr_etcdpb__watch_response__descriptor, qr_buffer_slice(&s->out), &arena);
    QR_ASSERT(answer != NULL);
    judge(s, answer);
    s->queued += s->out.size;
    qr_arena_free(&arena);
}

static size_t queued(qr_etcd_call *call)
{
    return ((stage *)call->stream)->queued;
}

static void finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    ((stage *)call->stream)->ended = true;
}

static const qr_etcd_transport transport = {.begin = begin, .end = end, .queued = queued, .finish = finish};

/* ---------------------------------------------------------------- the play ---- */

static void on_written(void *owner, const qr_reply *reply) {}

static void write_body(stage *s, qr_buffer *body)
{
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(body), .done = on_written, .owner = s};
    QR_ASSERT(qr_node_submit(&s->node, &request) == QR_OK);
    /* Applied now; watchers have their turn when the play says so. */
    bool waking = s->node.waking;
    s->node.waking = true;
    fake_node_turn(&s->node);
    s->node.waking = waking;
    qr_buffer_free(body);
}

static bool is_there(const stage *s, uint8_t key)
{
    for (size_t i = s->event_count; i-- > 0;)
        if (s->events[i].key == key)
            return !s->events[i].deleted;
    return false;
}

static void note(stage *s, uint64_t revision, uint8_t key, bool deleted, uint8_t value)
{
    s->events[s->event_count++] =
        (played_event){.revision = revision, .key = key, .deleted = deleted, .value = value};
}

/* One to four different keys, put or deleted in one revision. */
static void change(stage *s, bool deletes)
{
    static uint8_t large[LARGE + KEYS]; /* some values, so that answers are cut */
    uint8_t keys[KEYS], bytes[2 * KEYS];
    size_t count = 1 + draw(s) % KEYS, first = draw(s), ops = 0;
    if (s->event_count + KEYS > EVENTS_MAX)
        return;
    qr_op list[KEYS];
    uint64_t revision = revision_of(s) + 1;
    for (size_t i = 0; i < count; i++) {
        keys[i] = bytes[2 * i] = (uint8_t)('a' + (first + i) % KEYS);
        bytes[2 * i + 1] = draw(s);
        bool is_large = bytes[2 * i + 1] % 16 == 0;
        large[i] = bytes[2 * i + 1];
        qr_slice key = qr_slice_of(&bytes[2 * i], 1);
        if (deletes && !is_there(s, keys[i]))
            continue;
        if (deletes)
            list[ops++] = (qr_op){.kind = QR_OP_DELETE,
                                  .del = {.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = key}}};
        else
            list[ops++] = (qr_op){.kind = QR_OP_PUT,
                                  .put = {.space = QR_SPACE_KEYS,
                                          .key = key,
                                          .value = is_large ? qr_slice_of(&large[i], LARGE)
                                                            : qr_slice_of(&bytes[2 * i + 1], 1)}};
        note(s, revision, keys[i], deletes, bytes[2 * i + 1]);
    }
    qr_buffer body;
    qr_buffer_init(&body);
    qr_body_encode_txn(&(qr_txn){.then_ops = list, .then_count = ops}, &body);
    write_body(s, &body);
}

static void compact(stage *s)
{
    uint64_t revision = s->compacted + draw(s) % 8;
    if (revision <= s->compacted || revision > revision_of(s))
        return;
    s->compacted = revision;
    qr_buffer body;
    qr_buffer_init(&body);
    qr_body_encode_compact(revision, &body);
    write_body(s, &body);
}

static void send(stage *s, const QrEtcdpb__WatchRequest *request)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_protobuf_pack(&request->base, &bytes);
    qr_etcd_call_message(s->call, qr_buffer_slice(&bytes));
    qr_buffer_free(&bytes);
}

static uint64_t draw_start(stage *s)
{
    uint8_t way = draw(s) % 4;
    if (way == 0)
        return 0;
    return way == 3 ? revision_of(s) + draw(s) % 4 : 1 + draw(s) % revision_of(s);
}

static void create(stage *s)
{
    if (s->watch_count == WATCHES_MAX)
        return;
    QrEtcdpb__WatchCreateRequest inner = QR_ETCDPB__WATCH_CREATE_REQUEST__INIT;
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    request.request_union_case = QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &inner;
    uint8_t flags = draw(s), first = (uint8_t)('a' + draw(s) % KEYS),
            end = (uint8_t)('a' + draw(s) % (KEYS + 1));
    QrEtcdpb__WatchCreateRequest__FilterType filter =
        flags & 1 ? QR_ETCDPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT
                  : QR_ETCDPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    played_watch watch = {.live = true, .first = first, .last = first};
    inner.key.data = &first;
    inner.key.len = 1;
    if (flags & 2) {
        inner.range_end.data = &end;
        inner.range_end.len = 1;
        watch.last = (uint8_t)(end - 1);
    }
    inner.filters = &filter;
    inner.n_filters = (flags & 12) == 12;
    watch.skip_puts = inner.n_filters && (flags & 1);
    watch.skip_deletes = inner.n_filters && !(flags & 1);
    inner.prev_kv = watch.want_previous = flags & 16;
    inner.fragment = flags & 32;
    inner.progress_notify = flags & 64;
    watch.next = draw_start(s);
    inner.start_revision = (int64_t)watch.next;
    watch.id = inner.watch_id = 100 + draw(s) % 8;
    if (watch.last >= watch.first && !watch_of(s, watch.id))
        s->watches[s->watch_count++] = watch; /* else it is refused */
    send(s, &request);
}

static void cancel_or_ask(stage *s, bool cancels)
{
    QrEtcdpb__WatchCancelRequest cancel = QR_ETCDPB__WATCH_CANCEL_REQUEST__INIT;
    QrEtcdpb__WatchProgressRequest ask = QR_ETCDPB__WATCH_PROGRESS_REQUEST__INIT;
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    cancel.watch_id = 100 + draw(s) % 8;
    request.request_union_case = cancels ? QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST
                                         : QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    if (cancels)
        request.cancel_request = &cancel;
    else
        request.progress_request = &ask;
    send(s, &request);
    QR_ASSERT(!cancels || !watch_of(s, cancel.watch_id));
}

static void drain(stage *s)
{
    s->queued = 0;
    qr_etcd_line_drained(&s->line);
}

static void step(stage *s)
{
    switch (draw(s) % 12) {
    case 0:
    case 1: create(s); break;
    case 2: cancel_or_ask(s, true); break;
    case 3: cancel_or_ask(s, false); break;
    case 4:
    case 5: change(s, true); break;
    case 6: compact(s); break;
    case 7: fake_node_turn(&s->node); break;
    case 8: drain(s); break;
    case 9: s->queued += (size_t)draw(s) << 14; break; /* as if there had been more */
    case 10: qr_etcd_line_tick(&s->line, s->line.now_ms + 400 * (uint64_t)draw(s)); break;
    default: change(s, false); break;
    }
}

static void judge_end(stage *s)
{
    for (int i = 0; i < 8; i++) {
        drain(s);
        fake_node_turn(&s->node);
    }
    for (size_t i = 0; i < s->watch_count; i++)
        QR_ASSERT(!s->watches[i].live || (s->watches[i].created && !misses(s, &s->watches[i], UINT64_MAX)));
}

size_t watch_play(const uint8_t *data, size_t size)
{
    stage *s = qr_alloc_zero(1, sizeof *s);
    s->data = data;
    s->size = size;
    fake_node_init(&s->node);
    s->door = qr_etcd_door_new(&(qr_etcd_config){.node = &s->node,
                                                 .cluster = FAKE_CLUSTER,
                                                 .self = FAKE_SELF,
                                                 .name = "one",
                                                 .watch_progress_ms = 1000});
    qr_etcd_line_open(&s->line, s->door, (qr_stream_waker){0}, NOW);
    qr_arena arena;
    qr_arena_init(&arena);
    const char *text;
    const qr_etcd_method *method =
        qr_etcd_find_method(qr_slice_text("/etcdserverpb.Watch/Watch"), &arena, &text);
    s->call = qr_etcd_call_new(s->door, method, &transport, s, NOW);
    s->call->line = &s->line;
    create(s);
    while (s->size > 0 && !s->ended)
        step(s);
    if (!s->ended)
        judge_end(s);
    size_t told = s->told;
    qr_etcd_call_closed(s->call);
    QR_ASSERT(s->node.watchers == NULL && s->door->watch_unsent == 0);
    qr_etcd_line_close(&s->line);
    qr_etcd_door_free(s->door);
    fake_node_free(&s->node);
    qr_buffer_free(&s->out);
    qr_arena_free(&arena);
    qr_free(s);
    return told;
}
