#include "door/etcd/queue.h"

#include <inttypes.h>

#include "door/etcd/door.h"

enum {
    SESSION_MS = 60000,      /* of a lease that is made here; nobody renews it but its client */
    RETRY_MS = 500,          /* while there is no leader to ask */
    EVENTS_BYTES_MAX = 4096, /* taken at a time, or one revision more */
    PLACE_COPIES = 5,        /* of the name that a place keeps, about: in its key, and in bounds of spans */
    PLACES_BYTES_MAX = 64 * 1024 * 1024, /* of all places of a door; more are refused */
};

typedef struct queued queued;

typedef struct vigil {
    queued *self;
    qr_watcher *watcher; /* of the end of one key; NULL = none */
} vigil;

/* Outlives its call while a request of it is at the node, and until what it has put there is taken back. */
struct queued {
    qr_etcd_door *door; /* has a reference */
    qr_etcd_call *call; /* NULL: nobody waits any more */
    qr_arena arena;     /* of the texts of the place */
    qr_etcd_place place;
    qr_slice value;
    qr_span others; /* all keys under the name */
    void (*served)(qr_etcd_call *call, const qr_etcd_place *place);
    bool makes_lease, has_lease, has_key; /* what was made for it is there */
    bool is_served;
    bool is_asking; /* a request is at the node */
    uint64_t bytes; /* as counted in the door */
    vigil before, mine;
    qr_query query;
    qr_op ops[3];
};

/* ---- for all recipes ---- */

qr_span qr_etcd_queue_span(qr_slice name, qr_arena *arena)
{
    uint8_t *bounds = qr_arena_alloc(arena, 2 * (name.size + 1));
    uint8_t *end = bounds + name.size + 1;
    if (name.size > 0) {
        memcpy(bounds, name.data, name.size);
        memcpy(end, name.data, name.size);
    }
    bounds[name.size] = '/';
    end[name.size] = '/' + 1;
    return (qr_span){.kind = QR_SPAN_RANGE,
                     .space = QR_SPACE_KEYS,
                     .key = qr_slice_of(bounds, name.size + 1),
                     .end = qr_slice_of(end, name.size + 1)};
}

qr_range qr_etcd_queue_first(qr_span span)
{
    return (qr_range){.span = span, .limit = 1, .order = QR_ORDER_UP, .sort = QR_SORT_CREATE};
}

bool qr_etcd_queue_refused(qr_etcd_call *call, qr_status status)
{
    qr_etcd_call_fail_with(call, QR_GRPC_UNKNOWN, qr_etcd_error_text(qr_etcd_error_of(status)));
    return true;
}

void qr_etcd_queue_write(qr_etcd_call *call, const qr_txn *txn,
                         void (*answer)(qr_etcd_call *call, const qr_reply *reply))
{
    qr_buffer_shrink(&call->door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_body_encode_txn(txn, &call->door->body);
    call->answer = answer;
    call->refused = qr_etcd_queue_refused;
    qr_etcd_call_write(call, qr_buffer_slice(&call->door->body));
}

void qr_etcd_queue_header(QrEtcdpb__ResponseHeader *header, const qr_etcd_call *call, uint64_t revision,
                          uint64_t term)
{
    qr_etcdpb__response_header__init(header);
    header->cluster_id = call->door->config.cluster;
    header->member_id = call->door->config.self;
    header->revision = (int64_t)revision;
    header->raft_term = term;
}

static qr_span key_span(const queued *self)
{
    return (qr_span){.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = self->place.key};
}

/* ---- the node ---- */

static void release(queued *self)
{
    qr_etcd_door *door = self->door;
    door->queued_bytes -= self->bytes;
    qr_arena_free(&self->arena);
    qr_free(self);
    qr_etcd_door_release(door);
}

static qr_status ask(queued *self, qr_request *request, void (*done)(void *owner, const qr_reply *reply))
{
    QR_ASSERT(!self->is_asking);
    request->done = done;
    request->owner = self;
    qr_status status = qr_node_submit(self->door->config.node, request);
    self->is_asking = status == QR_OK;
    return status;
}

static qr_status ask_body(queued *self, const qr_body *body, void (*done)(void *owner, const qr_reply *reply))
{
    qr_buffer_shrink(&self->door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_body_encode(body, &self->door->body);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&self->door->body)};
    return ask(self, &request, done);
}

/* ---- giving up ---- */

static void on_withdrawn(void *owner, const qr_reply *reply)
{
    (void)reply; /* what could not be taken back ends with its lease */
    release(owner);
}

/* Nobody waits any more: what was made is taken back. The key only as it was put here: whoever has put it
 * again under the same lease has the place now. */
static void withdraw(queued *self)
{
    qr_status status = QR_E_NOT_FOUND;
    const qr_condition unchanged = {.span = key_span(self),
                                    .target = QR_TARGET_MOD,
                                    .relation = QR_IS_EQUAL,
                                    .number = (int64_t)self->place.put};
    const qr_op op = {.kind = QR_OP_DELETE, .del.span = key_span(self)};
    if (self->is_served)
        ; /* it is the client's now */
    else if (self->has_lease)
        status = ask_body(self, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = self->place.lease},
                          on_withdrawn);
    else if (self->has_key)
        status = ask_body(
            self,
            &(qr_body){
                .kind = QR_BODY_TXN,
                .txn = {.conditions = &unchanged, .condition_count = 1, .then_ops = &op, .then_count = 1}},
            on_withdrawn);
    if (status != QR_OK)
        release(self);
}

static void end_vigils(queued *self)
{
    vigil *const vigils[] = {&self->before, &self->mine};
    for (size_t i = 0; i < 2; i++) {
        if (vigils[i]->watcher)
            qr_node_watch_end(vigils[i]->watcher);
        vigils[i]->watcher = NULL;
    }
}

static void closed(qr_etcd_call *call)
{
    queued *self = call->work;
    call->work = NULL;
    if (!self)
        return;
    self->call = NULL;
    end_vigils(self);
    if (!self->is_asking)
        withdraw(self);
}

/* The call has failed, and what was put is withdrawn: nothing of it may be touched after. */
static void fail(queued *self, qr_status status)
{
    qr_etcd_queue_refused(self->call, status);
}

/* True: nobody waits for the answer that has come, and the place is gone. */
static bool is_given_up(queued *self)
{
    self->is_asking = false;
    if (!self->call)
        withdraw(self);
    else
        return false;
    return true;
}

/* ---- waiting ---- */

static void look(queued *self);

static void tick(qr_etcd_call *call, uint64_t now_ms)
{
    queued *self = call->work;
    (void)now_ms;
    if (!self->is_asking && self->has_key && !self->before.watcher)
        look(self);
}

static void serve(queued *self, uint64_t revision, uint64_t term)
{
    self->place.revision = revision;
    self->place.term = term;
    self->is_served = true;
    self->served(self->call, &self->place);
}

static void on_event(void *context, const qr_kv_event *event)
{
    (void)event;
    *(bool *)context = true;
}

static void on_ready(void *owner)
{
    vigil *one = owner;
    queued *self = one->self;
    bool has_ended = false;
    uint64_t compacted;
    qr_status status = qr_node_watch_next(one->watcher, EVENTS_BYTES_MAX, on_event, &has_ended, &compacted);
    if (status != QR_OK && status != QR_E_COMPACTED) {
        fail(self, status);
    } else if (has_ended || status == QR_E_COMPACTED) {
        end_vigils(self);
        look(self);
    } else if (!qr_node_watch_idle(one->watcher)) {
        qr_node_watch_resume(one->watcher);
    }
}

static bool begin_vigil(queued *self, vigil *one, qr_slice key, uint64_t revision)
{
    const qr_watch_config config = {.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = key},
                                    .start = revision + 1,
                                    .skip_puts = true,
                                    .ready = on_ready,
                                    .owner = one};
    one->self = self;
    one->watcher = qr_node_watch(self->door->config.node, &config);
    return one->watcher != NULL;
}

static void on_looked(void *owner, const qr_reply *reply)
{
    queued *self = owner;
    if (is_given_up(self))
        return;
    if (reply->status == QR_E_TIMEOUT || reply->status == QR_E_NO_LEADER ||
        reply->status == QR_E_NOT_LEADER) {
        qr_etcd_call_wake_at(self->call, self->call->line->now_ms + RETRY_MS);
        return;
    }
    if (reply->status != QR_OK) {
        fail(self, reply->status);
        return;
    }
    const qr_txn_result *result = reply->result;
    const qr_op_result *mine = &result->ops[0], *before = &result->ops[1];
    if (mine->kv_count == 0 || mine->kvs[0].create_revision != self->place.created)
        qr_etcd_call_fail_with(self->call, QR_GRPC_UNKNOWN, "mutex: session is expired");
    else if (before->kv_count == 0)
        serve(self, result->revision, reply->term);
    else if (!begin_vigil(self, &self->before, before->kvs[0].key, result->revision) ||
             !begin_vigil(self, &self->mine, self->place.key, result->revision))
        fail(self, QR_E_BUSY);
}

/* Who is right before this one? Only that one is waited for, so that an end wakes nobody in vain. */
static void look(queued *self)
{
    self->ops[0] = (qr_op){.kind = QR_OP_RANGE, .range = {.span = key_span(self)}};
    self->ops[1] = (qr_op){.kind = QR_OP_RANGE,
                           .range = {.span = self->others,
                                     .limit = 1,
                                     .order = QR_ORDER_DOWN,
                                     .sort = QR_SORT_CREATE,
                                     .create_revision_max = self->place.created - 1,
                                     .keys_only = true}};
    self->query = (qr_query){.kind = QR_QUERY_TXN, .txn = {.then_ops = self->ops, .then_count = 2}};
    qr_request request = {.kind = QR_REQUEST_READ, .query = &self->query};
    qr_status status = ask(self, &request, on_looked);
    if (status != QR_OK)
        fail(self, status);
}

/* ---- queueing up ---- */

static void on_put(void *owner, const qr_reply *reply)
{
    queued *self = owner;
    const qr_txn_result *result = reply->result;
    if (reply->status == QR_OK) {
        QR_ASSERT(result->op_count == 3 && result->ops[1].kv_count == 1 && result->ops[2].kv_count == 1);
        self->has_key = true;
        self->place.put = result->ops[1].kvs[0].mod_revision;
        self->place.created = result->ops[1].kvs[0].create_revision;
    }
    if (is_given_up(self))
        return;
    if (reply->status != QR_OK)
        fail(self, reply->status);
    else if (result->ops[2].kvs[0].create_revision == self->place.created)
        serve(self, result->revision, reply->term);
    else
        look(self);
}

static void put_key(queued *self)
{
    uint64_t id = (uint64_t)self->place.lease;
    const char *key = qr_arena_format(&self->arena, "/%" PRIx64, id);
    size_t size = strlen(key), name_size = self->place.name.size;
    uint8_t *whole = qr_arena_alloc(&self->arena, name_size + size);
    if (name_size > 0)
        memcpy(whole, self->place.name.data, name_size);
    memcpy(whole + name_size, key, size);
    self->place.key = qr_slice_of(whole, name_size + size);
    self->ops[0] = (qr_op){.kind = QR_OP_PUT,
                           .put = {.space = QR_SPACE_KEYS,
                                   .key = self->place.key,
                                   .value = self->value,
                                   .lease = self->place.lease}};
    self->ops[1] = (qr_op){.kind = QR_OP_RANGE, .range = {.span = key_span(self)}};
    self->ops[2] = (qr_op){.kind = QR_OP_RANGE, .range = qr_etcd_queue_first(self->others)};
    qr_status status = ask_body(
        self, &(qr_body){.kind = QR_BODY_TXN, .txn = {.then_ops = self->ops, .then_count = 3}}, on_put);
    if (status != QR_OK)
        fail(self, status);
}

static void make_lease(queued *self);

static void on_lease(void *owner, const qr_reply *reply)
{
    queued *self = owner;
    self->has_lease = reply->status == QR_OK;
    if (is_given_up(self))
        return;
    if (reply->status == QR_OK)
        put_key(self);
    else if (reply->status == QR_E_LEASE_EXISTS)
        make_lease(self);
    else
        fail(self, reply->status);
}

static void make_lease(queued *self)
{
    self->place.lease = qr_etcd_door_lease_id(self->door);
    qr_status status = ask_body(
        self, &(qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = self->place.lease, .ttl_ms = SESSION_MS},
        on_lease);
    if (status != QR_OK)
        fail(self, status);
}

void qr_etcd_queue_up(qr_etcd_call *call, qr_slice name, qr_slice value, int64_t lease,
                      void (*served)(qr_etcd_call *call, const qr_etcd_place *place))
{
    uint64_t bytes = sizeof(queued) + PLACE_COPIES * name.size + value.size;
    if (call->door->queued_bytes + bytes > PLACES_BYTES_MAX) {
        qr_etcd_queue_refused(call, QR_E_BUSY);
        return;
    }
    queued *self = call->work = qr_alloc_zero(1, sizeof *self);
    qr_arena_init(&self->arena);
    self->door = call->door;
    self->door->references++;
    self->bytes = bytes;
    self->door->queued_bytes += bytes;
    self->call = call;
    self->served = served;
    self->place.name = qr_arena_copy(&self->arena, name);
    self->place.lease = lease;
    self->value = qr_arena_copy(&self->arena, value);
    self->others = qr_etcd_queue_span(self->place.name, &self->arena);
    if (lease == 0)
        make_lease(self);
    else
        put_key(self);
}

const qr_etcd_streaming qr_etcd_queueing = {.once = true, .tick = tick, .closed = closed};
