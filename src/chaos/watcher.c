/* A watcher: follows its span at some member, and goes on at another one, from where it was, when that one
 * dies, is silent, or it feels like it. What it is told goes into the history as it comes. */
#include "chaos/inside.h"
#include "wire/protobuf.h"

enum {
    SILENCE_MS = 400, /* then it asks how far the member is */
    SILENCES_MAX = 6, /* then it goes elsewhere */
    ASKS_IN = 20,     /* answers, on average, before it asks in the middle of them */
    MOVES_IN = 500,   /* answers, on average, before it goes elsewhere of its own will */
    PAUSE_MS = 50,
};

typedef struct watcher {
    qr_chaos *c;
    uint32_t number;
    qr_prng prng;
    qr_judge_watch how;
    uint64_t next; /* all before was told */
    uint32_t silences;
    bool over; /* with this member */
    qr_buffer lines;
    qr_arena arena; /* of one answer */
} watcher;

static void note(watcher *self, qr_judge_note what)
{
    qr_chaos_history_format_note(&self->lines, self->number, &what);
}

static void take_event(watcher *self, const QrMvccpb__Event *event)
{
    const QrMvccpb__KeyValue *kv = event->kv;
    qr_judge_note told = {.kind = QR_JUDGE_EVENT, .revision = (uint64_t)kv->mod_revision};
    told.key = qr_chaos_key_number(self->c, kv->key);
    if (event->type == QR_MVCCPB__EVENT__EVENT_TYPE__PUT) {
        told.value = qr_chaos_value_number(kv->value);
        told.create_revision = (uint64_t)kv->create_revision;
        told.version = (uint64_t)kv->version;
    }
    if (event->prev_kv != NULL) {
        told.previous = qr_chaos_value_number(event->prev_kv->value);
        told.previous_mod = (uint64_t)event->prev_kv->mod_revision;
    }
    note(self, told);
    self->next = told.revision + 1;
}

static void take(void *context, qr_slice message)
{
    watcher *self = context;
    qr_arena_reset(&self->arena);
    const QrEtcdpb__WatchResponse *answer =
        (const void *)qr_protobuf_unpack(&qr_etcdpb__watch_response__descriptor, message, &self->arena);
    self->silences = 0;
    if (answer == NULL || answer->header == NULL || self->over) {
        self->over = true;
        return;
    }
    for (size_t i = 0; i < answer->n_events; i++)
        if (answer->events[i]->kv != NULL)
            take_event(self, answer->events[i]);
    uint64_t revision = (uint64_t)answer->header->revision;
    if (answer->n_events > 0) {
        note(self, (qr_judge_note){.kind = QR_JUDGE_ANSWER});
    } else if (answer->canceled && answer->compact_revision > 0) {
        note(self,
             (qr_judge_note){.kind = QR_JUDGE_COMPACTED, .revision = (uint64_t)answer->compact_revision});
        self->next = (uint64_t)answer->compact_revision;
    } else if (!answer->created && !answer->canceled) {
        note(self, (qr_judge_note){.kind = QR_JUDGE_PROGRESS, .revision = revision});
        self->next = revision >= self->next ? revision + 1 : self->next;
    }
    self->over = answer->canceled || qr_prng_below(&self->prng, MOVES_IN) == 0;
}

static bool is_done(const watcher *self)
{
    uint64_t until = atomic_load(&self->c->page->until);
    return until != 0 && self->next > until;
}

static bool ask_to_begin(watcher *self, qr_chaos_line *l)
{
    QrEtcdpb__WatchCreateRequest create = QR_ETCDPB__WATCH_CREATE_REQUEST__INIT;
    QrEtcdpb__WatchCreateRequest__FilterType filters[2];
    create.key = qr_chaos_key(self->c, self->how.first, &self->arena);
    create.range_end = qr_chaos_key(self->c, self->how.end, &self->arena);
    create.start_revision = (int64_t)self->next;
    create.prev_kv = self->how.wants_previous;
    create.filters = filters;
    if (self->how.skip_puts)
        filters[create.n_filters++] = QR_ETCDPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
    if (self->how.skip_deletes)
        filters[create.n_filters++] = QR_ETCDPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    request.request_union_case = QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    note(self, (qr_judge_note){.kind = QR_JUDGE_BEGIN, .revision = self->next});
    return qr_chaos_line_send(l, "etcdserverpb.Watch/Watch", &request.base);
}

static bool ask_how_far(qr_chaos_line *l)
{
    QrEtcdpb__WatchProgressRequest progress = QR_ETCDPB__WATCH_PROGRESS_REQUEST__INIT;
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    request.request_union_case = QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    return qr_chaos_line_send(l, "etcdserverpb.Watch/Watch", &request.base);
}

static void write_down(watcher *self)
{
    qr_chaos_history_add_lines(self->c, &self->lines);
    qr_buffer_clear(&self->lines);
}

/* With one member, until one of the two has enough. */
static void follow(watcher *self, qr_chaos_line *l)
{
    self->over = false;
    self->silences = 0;
    bool there = ask_to_begin(self, l);
    while (there && !self->over && !is_done(self)) {
        self->silences++; /* take() knows better */
        there = qr_chaos_line_listen(l, SILENCE_MS, take, self);
        write_down(self);
        if (self->silences > SILENCES_MAX)
            break;
        if (self->silences > 0 || qr_prng_below(&self->prng, ASKS_IN) == 0)
            there = there && ask_how_far(l);
    }
    write_down(self);
}

/* The first one wants all, as the judge needs it. */
static qr_judge_watch draw_interest(uint32_t number)
{
    qr_judge_watch how = {.first = 0, .end = (uint64_t)KEY_SLOTS * KEY_STRIDE, .wants_previous = true};
    if (number == 1)
        how.skip_deletes = true;
    if (number == 2) {
        how.first = 5 * KEY_STRIDE;
        how.end = 9 * KEY_STRIDE;
        how.wants_previous = false;
    }
    if (number == 3) {
        how.first = 7 * KEY_STRIDE;
        how.skip_puts = true;
    }
    return how;
}

void qr_chaos_watcher(qr_chaos *c, uint32_t number)
{
    watcher self = {.c = c, .number = number, .how = draw_interest(number), .next = c->begin_revision};
    qr_prng_seed(&self.prng, c->options->seed * 1000 + 500 + number);
    qr_arena_init(&self.arena);
    qr_buffer_init(&self.lines);
    qr_chaos_history_add_watch(c, number, &self.how);
    while (!is_done(&self)) {
        qr_chaos_line *l = qr_chaos_line_open(c->endpoints[qr_prng_below(&self.prng, c->endpoint_count)]);
        if (l != NULL)
            follow(&self, l);
        else
            qr_chaos_sleep_ms(PAUSE_MS);
        qr_chaos_line_close(l);
    }
    qr_buffer_free(&self.lines);
    qr_arena_free(&self.arena);
}
