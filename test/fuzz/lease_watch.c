/* Fuzz target: leases and watchers of one whole member, over the real engine, log and tree and a disk in
 * memory.
 *
 * The input is drawn from for grants, renewals, puts, deletes, compactions, watches that come, go, and do not
 * read for a while, time, and restarts, from a checkpoint when there is one. A model follows the log entry by
 * entry: it knows who lives, what each key is, and every event that ever happened. Held against it:
 *
 *   - no lease is ended before the time that was promised last, and none lives for ever;
 *   - its keys end with it, in one revision, in their order;
 *   - a watcher is told every event of its span, once, in order and in whole revisions, also over a restart,
 * or that it has missed some; its position is never ahead of an event;
 *   - the state is the same after a restart, entry by entry. */
#include "core/command.h"
#include "node/node.h"
#include "raft/raft.h"
#include "tree/tree.h"

#include "../unit/wal/fake_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    KEYS = 4,
    LEASES = 4,
    WATCHERS = 6,
    EVENTS_MAX = 4096,
    ENTRIES_MAX = 4096,
    STEPS_MAX = 1000,
    STEP_MS = 20,
    TTL_STEP_MS = 100,
    TTL_STEPS = 8,
    GRACE_MS = 500, /* of a leader that has just come (doc/design/leases.md) */
    PATIENCE_MS =
        3000, /* for the last lease to end: an election, the grace, the longest time to live twice */
};

typedef struct model_event {
    uint64_t revision;
    uint8_t key, value;
    bool deleted;
} model_event;

typedef struct model_lease {
    uint64_t generation; /* 0 = there is none */
    uint64_t ttl_ms;
    uint64_t promised_ms; /* not to be ended before */
} model_lease;

typedef struct stage stage;

typedef struct watch {
    stage *stage;
    qr_watcher *watcher; /* NULL = this place is free */
    uint8_t first, last; /* keys */
    bool skip_puts, skip_deletes, want_previous;
    bool ready;    /* and not read yet */
    uint64_t next; /* what comes before was told, or is not wanted; 0 = not known yet */
    size_t at;     /* in the events: looked at up to here */
    size_t told;   /* by the reading under way */
} watch;

struct stage {
    const uint8_t *data;
    size_t size;
    fake_disk *disk;
    qr_arena arena;
    qr_node *node;
    uint64_t now_ms;
    bool holds; /* who watches does not read */
    watch watches[WATCHERS];
    /* the model */
    uint64_t index, sequence, epoch, revision, compacted;
    uint64_t digests[ENTRIES_MAX];
    model_event events[EVENTS_MAX];
    size_t event_count;
    struct model_key {
        bool is_there;
        uint8_t value;
        int64_t lease;
    } keys[KEYS];
    model_lease leases[LEASES + 1]; /* by id; [0] stays empty */
};

static uint8_t draw(stage *s)
{
    if (s->size == 0)
        return 0;
    s->size--;
    return *s->data++;
}

/* ---------------------------------------------------------------- the model ---- */

static void set_key(stage *s, uint8_t key, bool deleted, uint8_t value, int64_t lease)
{
    s->keys[key] = (struct model_key){.is_there = !deleted, .value = value, .lease = lease};
    QR_ASSERT(s->event_count < EVENTS_MAX);
    s->events[s->event_count++] =
        (model_event){.revision = s->revision + 1, .key = key, .value = value, .deleted = deleted};
}

static bool holds_key(const qr_span *span, uint8_t key)
{
    uint8_t first = span->key.data[0];
    return span->kind == QR_SPAN_KEY ? key == first : key >= first && key < span->end.data[0];
}

static void apply_txn(stage *s, const qr_txn *txn)
{
    for (size_t i = 0; i < txn->then_count; i++) {
        const qr_op *op = &txn->then_ops[i];
        if (op->kind == QR_OP_PUT && op->put.lease && !s->leases[op->put.lease].generation)
            return;
    }
    for (size_t i = 0; i < txn->then_count; i++) {
        const qr_op *op = &txn->then_ops[i];
        if (op->kind == QR_OP_PUT)
            set_key(s, op->put.key.data[0], false, op->put.value.data[0], op->put.lease);
        for (uint8_t key = 0; op->kind == QR_OP_DELETE && key < KEYS; key++)
            if (s->keys[key].is_there && holds_key(&op->del.span, key))
                set_key(s, key, true, 0, 0);
    }
}

static void end_lease(stage *s, bool ends[LEASES + 1])
{
    for (uint8_t key = 0; key < KEYS; key++)
        if (s->keys[key].is_there && ends[s->keys[key].lease])
            set_key(s, key, true, 0, 0);
    for (int64_t id = 1; id <= LEASES; id++)
        if (ends[id])
            s->leases[id] = (model_lease){0};
}

static void apply_expire(stage *s, const qr_body *body)
{
    bool ends[LEASES + 1] = {false};
    for (size_t i = 0; i < body->ended_count && body->epoch == s->epoch; i++) {
        const model_lease *lease = &s->leases[body->ended[i].id];
        ends[body->ended[i].id] = lease->generation == body->ended[i].generation;
        QR_CHECK(!ends[body->ended[i].id] || s->now_ms >= lease->promised_ms,
                 "a lease lives as long as was promised");
    }
    end_lease(s, ends);
}

static void apply_body(stage *s, const qr_body *body)
{
    size_t before = s->event_count;
    bool ends[LEASES + 1] = {false};
    switch (body->kind) {
    case QR_BODY_TXN: apply_txn(s, &body->txn); break;
    case QR_BODY_COMPACT:
        if (body->revision > s->compacted && body->revision <= s->revision)
            s->compacted = body->revision;
        break;
    case QR_BODY_LEASE_GRANT:
        if (!s->leases[body->lease].generation)
            s->leases[body->lease] = (model_lease){.generation = s->index, .ttl_ms = body->ttl_ms};
        break;
    case QR_BODY_LEASE_REVOKE:
        ends[body->lease] = s->leases[body->lease].generation;
        end_lease(s, ends);
        break;
    case QR_BODY_LEASE_EXPIRE: apply_expire(s, body); break;
    case QR_BODY_ALARM: break; /* nobody raises one here */
    case QR_BODY_LEASE_EPOCH: s->epoch = body->epoch > s->epoch ? body->epoch : s->epoch; break;
    }
    s->revision += s->event_count > before;
}

/* An entry that comes again after a restart leads to the state that it led to before. */
static void on_applied(void *context, uint64_t index, uint64_t term, qr_entry_kind kind, qr_slice bytes,
                       uint64_t digest)
{
    stage *s = context;
    if (index <= s->index) {
        QR_CHECK(s->digests[index % ENTRIES_MAX] == digest, "a restart leads to the same state");
        return;
    }
    QR_ASSERT(index == s->index + 1);
    s->index = index;
    s->digests[index % ENTRIES_MAX] = digest;
    qr_command command;
    if (kind != QR_ENTRY_COMMAND || qr_command_decode(bytes, &command) != QR_OK || command.body.size == 0 ||
        command.origin.sequence <= s->sequence)
        return;
    s->sequence = command.origin.sequence;
    qr_arena arena;
    qr_arena_init(&arena);
    qr_body body;
    QR_ASSERT(qr_body_decode(command.body, &arena, &body) == QR_OK);
    apply_body(s, &body);
    qr_arena_free(&arena);
}

/* ---------------------------------------------------------------- watchers ---- */

static bool is_for(const watch *one, const model_event *event)
{
    return event->revision >= one->next && event->key >= one->first && event->key <= one->last &&
           !(event->deleted ? one->skip_deletes : one->skip_puts);
}

/* Something before that revision was not told. */
static bool misses(const watch *one, uint64_t revision)
{
    const stage *s = one->stage;
    for (size_t i = one->at; i < s->event_count && s->events[i].revision < revision; i++)
        if (is_for(one, &s->events[i]))
            return true;
    return false;
}

static const model_event *before(const stage *s, const model_event *event)
{
    for (const model_event *other = event; other-- > s->events;)
        if (other->key == event->key)
            return other->deleted ? NULL : other;
    return NULL;
}

static void on_event(void *context, const qr_kv_event *event)
{
    watch *one = context;
    const stage *s = one->stage;
    while (one->at < s->event_count && !is_for(one, &s->events[one->at]))
        one->at++;
    QR_CHECK(one->at < s->event_count, "what is told has happened, and was not told before");
    const model_event *wanted = &s->events[one->at++], *old = before(s, wanted);
    QR_ASSERT(event->kv.mod_revision == wanted->revision && event->kv.key.data[0] == wanted->key);
    QR_ASSERT(event->deleted == wanted->deleted);
    QR_ASSERT(event->deleted || event->kv.value.data[0] == wanted->value);
    bool has_old = one->want_previous && old && wanted->revision > s->compacted;
    QR_ASSERT(event->has_previous == has_old);
    QR_ASSERT(!has_old ||
              (event->previous.value.data[0] == old->value && event->previous.mod_revision == old->revision));
    one->told++;
}

static void end_watch(watch *one)
{
    qr_node_watch_end(one->watcher);
    one->watcher = NULL;
    one->ready = false;
}

static void read_on(watch *one)
{
    stage *s = one->stage;
    uint64_t compacted, from = qr_node_watch_position(one->watcher);
    QR_CHECK(!misses(one, from), "a position is never ahead of an event");
    one->ready = false;
    qr_status status = qr_node_watch_next(one->watcher, 1 + draw(s) % 16, on_event, one, &compacted);
    if (status == QR_E_STOPPED)
        return;
    if (status == QR_E_COMPACTED) {
        QR_ASSERT(from < s->compacted && compacted == s->compacted);
        end_watch(one);
        return;
    }
    QR_ASSERT(status == QR_OK);
    uint64_t position = qr_node_watch_position(one->watcher);
    QR_CHECK(!misses(one, position), "whole revisions are told");
    if (qr_node_watch_idle(one->watcher))
        QR_CHECK(position > s->revision, "an idle watcher was told everything");
    else
        qr_node_watch_resume(one->watcher);
    if (position > one->next)
        one->next = position;
}

static void on_ready(void *owner)
{
    watch *one = owner;
    if (one->next == 0)
        one->next = qr_node_watch_position(one->watcher);
    one->ready = true;
    if (!one->stage->holds)
        read_on(one);
}

static void begin_watch(watch *one, uint64_t start)
{
    const uint8_t keys[2] = {one->first, one->last + 1};
    const qr_watch_config config = {
        .span = {.kind = one->last > one->first ? QR_SPAN_RANGE : QR_SPAN_KEY,
                 .space = QR_SPACE_KEYS,
                 .key = qr_slice_of(&keys[0], 1),
                 .end = qr_slice_of(&keys[1], one->last > one->first)},
        .start = start,
        .skip_puts = one->skip_puts,
        .skip_deletes = one->skip_deletes,
        .want_previous = one->want_previous,
        .ready = on_ready,
        .owner = one,
    };
    one->next = start;
    one->at = 0;
    one->watcher = qr_node_watch(one->stage->node, &config);
    QR_ASSERT(one->watcher != NULL);
    if (start == 0 && qr_node_watch_started(one->watcher))
        one->next = qr_node_watch_position(one->watcher);
}

static void create_watch(stage *s)
{
    watch *one = &s->watches[draw(s) % WATCHERS];
    uint8_t flags = draw(s), span = draw(s);
    if (one->watcher)
        return;
    *one = (watch){.stage = s,
                   .first = span % KEYS,
                   .last = span % KEYS,
                   .skip_puts = (flags & 7) == 1,
                   .skip_deletes = (flags & 7) == 2,
                   .want_previous = flags & 8};
    if (span / KEYS % KEYS > one->last)
        one->last = span / KEYS % KEYS;
    /* from now on, from the past, or from what lies ahead */
    uint64_t starts[4] = {0, 0, 1 + draw(s) % (s->revision + 1), s->revision + draw(s) % 4};
    begin_watch(one, starts[flags >> 4 & 3]);
}

/* Those that were called and did not read. */
static void resume_watches(stage *s)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        watch *one = &s->watches[i];
        if (one->watcher && one->ready)
            qr_node_watch_resume(one->watcher);
        one->ready = false;
    }
}

/* ----------------------------------------------------------------- requests ---- */

/* It has restarted, and is not back where it was. */
static bool is_behind(const stage *s)
{
    qr_node_status status;
    qr_node_status_of(s->node, &status);
    return status.applied_index < s->index;
}

typedef struct asked {
    stage *stage;
    int64_t lease;
    uint64_t at_ms, ttl_ms, generation; /* when it was asked */
} asked;

static void on_written(void *owner, const qr_reply *reply)
{
    asked *a = owner;
    if (reply->status == QR_OK && a->ttl_ms > 0) { /* a grant */
        model_lease *lease = &a->stage->leases[a->lease];
        if (lease->promised_ms < a->at_ms + a->ttl_ms)
            lease->promised_ms = a->at_ms + a->ttl_ms;
    }
    qr_free(a);
}

static void on_renewed(void *owner, const qr_reply *reply)
{
    asked *a = owner;
    model_lease *lease = &a->stage->leases[a->lease];
    bool stayed = lease->generation && lease->generation == a->generation;
    if (reply->status == QR_OK) {
        const qr_lease_time *time = reply->result;
        QR_ASSERT(a->generation || lease->generation);
        QR_ASSERT(time->remaining_ms <= time->ttl_ms + GRACE_MS);
        if (stayed && a->ttl_ms > 0 && lease->promised_ms < a->at_ms + lease->ttl_ms)
            lease->promised_ms = a->at_ms + lease->ttl_ms;
    }
    QR_CHECK(reply->status != QR_E_LEASE_NOT_FOUND || !stayed, "a lease that lives is found");
    qr_free(a);
}

static void submit(stage *s, qr_request request, int64_t lease, uint64_t ttl_ms)
{
    asked *a = qr_alloc(sizeof *a);
    *a = (asked){.stage = s,
                 .lease = lease,
                 .at_ms = s->now_ms,
                 .ttl_ms = ttl_ms,
                 .generation = s->leases[lease].generation};
    request.lease = lease;
    request.owner = a;
    request.done = request.kind == QR_REQUEST_WRITE ? on_written : on_renewed;
    qr_status status = qr_node_submit(s->node, &request);
    if (status == QR_OK)
        return;
    QR_ASSERT(status == QR_E_UNSUPPORTED &&
              is_behind(s)); /* it does not know yet that leases may be granted */
    qr_free(a);
}

static void write_body(stage *s, const qr_body *body)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(body, &bytes);
    submit(s, (qr_request){.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&bytes)}, body->lease,
           body->ttl_ms);
    qr_buffer_free(&bytes);
}

/* One to three keys put or deleted at once. */
static void change(stage *s)
{
    qr_op ops[3];
    uint8_t bytes[3][3];
    uint8_t how = draw(s);
    size_t count = 1 + how % 3;
    for (size_t i = 0; i < count; i++) {
        uint8_t key = (uint8_t)((how / 3 + i) % KEYS), what = draw(s);
        memcpy(bytes[i], (uint8_t[]){key, what, KEYS}, 3);
        qr_slice name = qr_slice_of(&bytes[i][0], 1);
        if (what % 4 == 0)
            ops[i] = (qr_op){.kind = QR_OP_DELETE,
                             .del.span = {.kind = count > 1 ? QR_SPAN_KEY : QR_SPAN_RANGE,
                                          .space = QR_SPACE_KEYS,
                                          .key = name,
                                          .end = qr_slice_of(&bytes[i][2], count == 1)}};
        else
            ops[i] = (qr_op){.kind = QR_OP_PUT,
                             .put = {.space = QR_SPACE_KEYS,
                                     .key = name,
                                     .value = qr_slice_of(&bytes[i][1], 1),
                                     .lease = what / 4 % (LEASES + 1)}};
    }
    write_body(s, &(qr_body){.kind = QR_BODY_TXN, .txn = {.then_ops = ops, .then_count = count}});
}

/* ------------------------------------------------------------------- the run ---- */

static qr_status nobody(void *self, uint64_t to, qr_slice message)
{
    return QR_OK;
}

static qr_machine *new_tree(void *context)
{
    return qr_tree_open(&(qr_tree_config){0});
}

static void open_node(stage *s)
{
    qr_node_config config = {
        .cluster = 7,
        .group = 1,
        .self = 1,
        .incarnation = 3,
        .seed = s->now_ms,
        .heartbeat_ms = 20,
        .election_ms = 200,
        .now_ms = s->now_ms,
        .segment_size = 16 * 1024,
        .checkpoint_bytes = 2048,
        .engine = &qr_raft,
        .machine = new_tree(NULL),
        .new_machine = new_tree,
        .disk = s->disk->disk,
        .network = {.send = nobody},
        .applied = on_applied,
        .context = s,
    };
    qr_members_add(&config.members, (qr_member){.id = 1, .role = QR_ROLE_VOTER});
    const char *sentence;
    QR_CHECK(qr_node_open(&config, &s->arena, &s->node, &sentence) == QR_OK, "the folder opens");
}

static void check_leases(const stage *s)
{
    const qr_machine *machine = qr_node_machine(s->node);
    qr_machine_lease found = {0};
    for (int64_t id = 1; id <= LEASES; id++) {
        bool is_there = machine->ops->lease_from(machine, id, &found) && found.id == id;
        QR_ASSERT(is_there == (s->leases[id].generation != 0));
        QR_ASSERT(!is_there ||
                  (found.generation == s->leases[id].generation && found.ttl_ms == s->leases[id].ttl_ms));
    }
}

static void check_keys(const stage *s)
{
    qr_machine *machine = (qr_machine *)(uintptr_t)qr_node_machine(s->node);
    const qr_op op = {.kind = QR_OP_RANGE, .range.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS}};
    const qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    qr_arena arena;
    qr_arena_init(&arena);
    const void *result;
    QR_ASSERT(machine->ops->query(machine, &query, &arena, &result) == QR_OK);
    const qr_op_result *range = &((const qr_txn_result *)result)->ops[0];
    size_t at = 0;
    for (uint8_t key = 0; key < KEYS; key++) {
        if (!s->keys[key].is_there)
            continue;
        QR_ASSERT(at < range->kv_count);
        const qr_key_value *kv = &range->kvs[at++];
        QR_ASSERT(kv->key.data[0] == key && kv->value.data[0] == s->keys[key].value &&
                  kv->lease == s->keys[key].lease);
    }
    QR_ASSERT(at == range->kv_count);
    qr_arena_free(&arena);
}

static void check_figures(const stage *s)
{
    qr_node_watch_figures figures;
    uint64_t watchers = 0, slow = 0, lag = 0;
    qr_node_watch_figures_of(s->node, &figures);
    for (size_t i = 0; i < WATCHERS; i++) {
        const qr_watcher *watcher = s->watches[i].watcher;
        if (!watcher)
            continue;
        uint64_t position = qr_node_watch_position(watcher);
        watchers++;
        slow += position <= s->revision;
        if (position <= s->revision && s->revision + 1 - position > lag)
            lag = s->revision + 1 - position;
    }
    QR_ASSERT(figures.watchers == watchers && figures.slow == slow && figures.lag == lag);
}

static void turn(stage *s)
{
    s->now_ms += STEP_MS;
    fake_disk_pump(s->disk);
    qr_node_turn(s->node, s->now_ms, (int64_t)s->now_ms);
    qr_node_status status;
    qr_node_status_of(s->node, &status);
    QR_CHECK(!status.halted, "nothing halts a sound member");
    if (is_behind(s))
        return;
    QR_ASSERT(status.revision == s->revision);
    check_leases(s);
    check_keys(s);
    check_figures(s);
}

/* The process dies: what the disk was told to do and has not done is lost. */
static void restart(stage *s)
{
    fake_disk *kept = fake_disk_clone(s->disk);
    QR_CHECK(qr_node_broken(s->node) == NULL, "every invariant holds");
    qr_node_free(s->node);
    fake_disk_free(s->disk);
    s->disk = kept;
    open_node(s);
    for (size_t i = 0; i < WATCHERS; i++) {
        watch *one = &s->watches[i];
        if (!one->watcher)
            continue;
        end_watch(one);
        begin_watch(one, one->next);
    }
}

static void play(stage *s)
{
    uint8_t what = draw(s);
    int64_t lease = 1 + what / 16 % LEASES;
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
    case 3: change(s); break;
    case 4:
    case 5:
        write_body(s, &(qr_body){.kind = QR_BODY_LEASE_GRANT,
                                 .lease = lease,
                                 .ttl_ms = TTL_STEP_MS * (1 + draw(s) % TTL_STEPS)});
        break;
    case 6: write_body(s, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = lease}); break;
    case 7: submit(s, (qr_request){.kind = QR_REQUEST_LEASE_RENEW}, lease, 1); break;
    case 8: submit(s, (qr_request){.kind = QR_REQUEST_LEASE_TIME}, lease, 0); break;
    case 9: write_body(s, &(qr_body){.kind = QR_BODY_COMPACT, .revision = s->compacted + draw(s) % 8}); break;
    case 10: create_watch(s); break;
    case 11:
        if (s->watches[what / 16 % WATCHERS].watcher)
            end_watch(&s->watches[what / 16 % WATCHERS]);
        break;
    case 12:
        s->holds = !s->holds;
        if (!s->holds)
            resume_watches(s);
        break;
    case 13:
        for (int i = draw(s) % 16; i > 0; i--)
            turn(s);
        break;
    case 14: restart(s); break;
    default: turn(s);
    }
}

/* All that was begun comes to its end. */
static void finish(stage *s)
{
    s->holds = false;
    resume_watches(s);
    for (uint64_t ms = 0; ms < PATIENCE_MS; ms += STEP_MS)
        turn(s);
    for (int64_t id = 1; id <= LEASES; id++)
        QR_CHECK(!s->leases[id].generation, "a lease that nobody renews ends");
    for (size_t i = 0; i < WATCHERS; i++)
        QR_CHECK(!s->watches[i].watcher || (!s->watches[i].ready && !misses(&s->watches[i], UINT64_MAX)),
                 "everything is told in the end");
    QR_CHECK(qr_node_broken(s->node) == NULL, "every invariant holds");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    stage *s = qr_alloc_zero(1, sizeof *s);
    *s = (stage){.data = data, .size = size, .disk = fake_disk_new(), .now_ms = 1000, .revision = 1};
    qr_arena_init(&s->arena);
    open_node(s);
    while (qr_node_level(s->node) < QR_LEVEL_LEASES)
        turn(s);
    for (int i = 0; i < STEPS_MAX && s->size > 0 && s->event_count + 64 < EVENTS_MAX; i++)
        play(s);
    finish(s);
    qr_node_free(s->node);
    for (size_t i = 0; i < WATCHERS; i++)
        if (s->watches[i].watcher)
            end_watch(&s->watches[i]);
    fake_disk_free(s->disk);
    qr_arena_free(&s->arena);
    qr_free(s);
    return 0;
}
