/* The Election service. Who leads is who is first in the queue under the name; its value is what it
 * proclaims. */
#include "door/etcd/door.h"
#include "door/etcd/queue.h"
#include "lock.pb-c.h"
#include "wire/protobuf.h"

static const char no_leader[] = "election: no leader";
static const char not_leader[] = "election: not leader";
static const char leader_missing[] = "\"leader\" field must be provided";

/* ---- Campaign ---- */

static void answer_campaign(qr_etcd_call *call, const qr_etcd_place *place)
{
    QrEtcdpb__ResponseHeader header;
    QrEtcdpb__LeaderKey leader = QR_ETCDPB__LEADER_KEY__INIT;
    QrEtcdpb__CampaignResponse answer = QR_ETCDPB__CAMPAIGN_RESPONSE__INIT;
    qr_etcd_queue_header(&header, call, place->put, place->term);
    leader.name = qr_protobuf_data(place->name);
    leader.key = qr_protobuf_data(place->key);
    leader.rev = (int64_t)place->created;
    leader.lease = place->lease;
    answer.header = &header;
    answer.leader = &leader;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_campaign(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__CampaignRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__campaign_request__descriptor, message);
    if (request && qr_etcd_call_fits(call, message))
        qr_etcd_queue_up(call, qr_protobuf_slice(request->name), qr_protobuf_slice(request->value),
                         request->lease, answer_campaign);
}

/* ---- Proclaim, Resign: one operation on the key, if it is still the one that was elected ---- */

static void write_as_leader(qr_etcd_call *call, const QrEtcdpb__LeaderKey *leader, const qr_op *op,
                            void (*answer)(qr_etcd_call *call, const qr_reply *reply))
{
    const qr_condition elected = {
        .span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = qr_protobuf_slice(leader->key)},
        .target = QR_TARGET_CREATE,
        .relation = QR_IS_EQUAL,
        .number = leader->rev};
    const qr_txn txn = {.conditions = &elected, .condition_count = 1, .then_ops = op, .then_count = 1};
    qr_etcd_queue_write(call, &txn, answer);
}

/* False: the call has failed. */
static bool check_leader(qr_etcd_call *call, const QrEtcdpb__LeaderKey *leader)
{
    if (!leader)
        qr_etcd_call_fail_with(call, QR_GRPC_UNKNOWN, leader_missing);
    else if (leader->key.len == 0)
        qr_etcd_call_fail_with(call, QR_GRPC_UNKNOWN, qr_etcd_error_text(QR_ETCD_E_EMPTY_KEY));
    else
        return true;
    return false;
}

static void answer_proclaim(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    if (!result->succeeded) {
        qr_etcd_call_fail_with(call, QR_GRPC_UNKNOWN, not_leader);
        return;
    }
    QrEtcdpb__ResponseHeader header;
    QrEtcdpb__ProclaimResponse answer = QR_ETCDPB__PROCLAIM_RESPONSE__INIT;
    qr_etcd_queue_header(&header, call, result->revision, reply->term);
    answer.header = &header;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_proclaim(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__ProclaimRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__proclaim_request__descriptor, message);
    if (!request || !check_leader(call, request->leader) || !qr_etcd_call_fits(call, message))
        return;
    const QrEtcdpb__LeaderKey *leader = request->leader;
    const qr_op put = {.kind = QR_OP_PUT,
                       .put = {.space = QR_SPACE_KEYS,
                               .options = leader->lease ? 0 : QR_PUT_KEEP_LEASE,
                               .key = qr_protobuf_slice(leader->key),
                               .value = qr_protobuf_slice(request->value),
                               .lease = leader->lease}};
    write_as_leader(call, leader, &put, answer_proclaim);
}

/* Who is not elected any more has resigned. */
static void answer_resign(qr_etcd_call *call, const qr_reply *reply)
{
    QrEtcdpb__ResponseHeader header;
    QrEtcdpb__ResignResponse answer = QR_ETCDPB__RESIGN_RESPONSE__INIT;
    qr_etcd_queue_header(&header, call, ((const qr_txn_result *)reply->result)->revision, reply->term);
    answer.header = &header;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_resign(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__ResignRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__resign_request__descriptor, message);
    if (!request || !check_leader(call, request->leader) || !qr_etcd_call_fits(call, message))
        return;
    const qr_op del = {.kind = QR_OP_DELETE,
                       .del.span = {.kind = QR_SPAN_KEY,
                                    .space = QR_SPACE_KEYS,
                                    .key = qr_protobuf_slice(request->leader->key)}};
    write_as_leader(call, request->leader, &del, answer_resign);
}

/* ---- Leader ---- */

static void fill_kv(QrMvccpb__KeyValue *to, const qr_key_value *from)
{
    qr_mvccpb__key_value__init(to);
    to->key = qr_protobuf_data(from->key);
    to->value = qr_protobuf_data(from->value);
    to->create_revision = (int64_t)from->create_revision;
    to->mod_revision = (int64_t)from->mod_revision;
    to->version = (int64_t)from->version;
    to->lease = from->lease;
}

/* The message is packed by pack(): the only answer, or one of many. */
static void tell_leader(qr_etcd_call *call, const qr_key_value *leader, uint64_t revision, uint64_t term,
                        bool one_of_many)
{
    QrEtcdpb__ResponseHeader header;
    QrMvccpb__KeyValue kv;
    QrEtcdpb__LeaderResponse answer = QR_ETCDPB__LEADER_RESPONSE__INIT;
    qr_etcd_queue_header(&header, call, revision, term);
    fill_kv(&kv, leader);
    answer.header = &header;
    answer.kv = &kv;
    if (one_of_many)
        qr_etcd_call_send(call, &answer.base);
    else
        qr_etcd_call_pack(call, &answer.base);
}

static void look(qr_etcd_call *call, qr_span span, void (*answer)(qr_etcd_call *, const qr_reply *))
{
    call->op = (qr_op){.kind = QR_OP_RANGE, .range = qr_etcd_queue_first(span)};
    call->query = (qr_query){.kind = QR_QUERY_TXN, .txn = {.then_ops = &call->op, .then_count = 1}};
    call->answer = answer;
    call->refused = qr_etcd_queue_refused;
    qr_etcd_call_look(call, false);
}

static void answer_leader(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    if (result->ops[0].kv_count == 0)
        qr_etcd_call_fail_with(call, QR_GRPC_UNKNOWN, no_leader);
    else
        tell_leader(call, &result->ops[0].kvs[0], result->revision, reply->term, false);
}

static const QrEtcdpb__LeaderRequest *unpack_leader(qr_etcd_call *call, qr_slice message)
{
    return qr_etcd_call_unpack(call, &qr_etcdpb__leader_request__descriptor, message);
}

static void start_leader(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__LeaderRequest *request = unpack_leader(call, message);
    if (request)
        look(call, qr_etcd_queue_span(qr_protobuf_slice(request->name), &call->arena), answer_leader);
}

/* ---- Observe: who leads, then everything that it proclaims, then who leads ... ---- */

enum {
    OBSERVED_PIECE = 64 * 1024,   /* bytes of events taken at a time, or one revision more */
    OBSERVED_UNSENT = 256 * 1024, /* bytes not drained: the events wait */
};

typedef struct observer {
    qr_etcd_call *call;
    qr_span span;
    qr_watcher *watcher;
    qr_buffer leader; /* its key; empty: nobody leads */
    uint64_t told;    /* mod revision that was told last */
    bool waits;       /* for room */
    bool asks_again;  /* the events may have made another one the leader */
} observer;

static void observe(observer *self);

static void forget_watcher(observer *self)
{
    if (self->watcher)
        qr_node_watch_end(self->watcher);
    self->watcher = NULL;
    self->waits = false;
}

static void observe_event(void *context, const qr_kv_event *event)
{
    observer *self = context;
    bool is_leader = self->leader.size > 0 && qr_slice_equal(event->kv.key, qr_buffer_slice(&self->leader));
    if (self->asks_again)
        return;
    if (is_leader && !event->deleted) {
        qr_node_status node;
        qr_node_status_of(self->call->door->config.node, &node);
        self->told = event->kv.mod_revision;
        tell_leader(self->call, &event->kv, self->told, node.engine.term, true);
    } else {
        self->asks_again = is_leader || self->leader.size == 0;
    }
}

static void observe_ready(void *owner)
{
    observer *self = owner;
    uint64_t compacted;
    if (self->call->transport->queued(self->call) > OBSERVED_UNSENT) {
        self->waits = true;
        qr_etcd_call_await_room(self->call);
        return;
    }
    qr_status status = qr_node_watch_next(self->watcher, OBSERVED_PIECE, observe_event, self, &compacted);
    if (status != QR_OK && status != QR_E_COMPACTED)
        qr_etcd_queue_refused(self->call, status);
    else if (self->asks_again || status == QR_E_COMPACTED)
        observe(self);
    else if (!qr_node_watch_idle(self->watcher))
        qr_node_watch_resume(self->watcher);
}

static void answer_observed(qr_etcd_call *call, const qr_reply *reply)
{
    observer *self = call->work;
    const qr_txn_result *result = reply->result;
    const qr_key_value *leader = result->ops[0].kv_count ? &result->ops[0].kvs[0] : NULL;
    const qr_watch_config config = {
        .span = self->span, .start = result->revision + 1, .ready = observe_ready, .owner = self};
    qr_buffer_clear(&self->leader);
    if (leader)
        qr_buffer_add_slice(&self->leader, leader->key);
    if (leader && leader->mod_revision > self->told) {
        self->told = leader->mod_revision;
        tell_leader(call, leader, result->revision, reply->term, true);
    }
    self->watcher = qr_node_watch(call->door->config.node, &config);
    if (!self->watcher)
        qr_etcd_queue_refused(call, QR_E_BUSY);
}

static void observe(observer *self)
{
    forget_watcher(self);
    self->asks_again = false;
    look(self->call, self->span, answer_observed);
}

static void start_observe(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__LeaderRequest *request = unpack_leader(call, message);
    if (!request)
        return;
    observer *self = call->work = qr_alloc_zero(1, sizeof *self);
    self->call = call;
    self->span = qr_etcd_queue_span(qr_protobuf_slice(request->name), &call->arena);
    qr_buffer_init(&self->leader);
    observe(self);
}

static void observe_room(qr_etcd_call *call)
{
    observer *self = call->work;
    if (!self->waits)
        return;
    self->waits = false;
    qr_node_watch_resume(self->watcher);
}

static void observe_closed(qr_etcd_call *call)
{
    observer *self = call->work;
    call->work = NULL;
    if (!self)
        return;
    forget_watcher(self);
    qr_buffer_free(&self->leader);
    qr_free(self);
}

static const qr_etcd_streaming observing = {.room = observe_room, .closed = observe_closed};

static const qr_etcd_method methods[] = {
    {.name = "Campaign",
     .start = start_campaign,
     .streaming = &qr_etcd_queueing,
     QR_ETCD_GATEWAY("election/campaign", campaign)},
    {.name = "Proclaim", .start = start_proclaim, QR_ETCD_GATEWAY("election/proclaim", proclaim)},
    {.name = "Leader", .start = start_leader, QR_ETCD_GATEWAY("election/leader", leader)},
    {.name = "Observe",
     .start = start_observe,
     .streaming = &observing,
     QR_ETCD_GATEWAY("election/observe", leader)},
    {.name = "Resign", .start = start_resign, QR_ETCD_GATEWAY("election/resign", resign)}};

const qr_etcd_service qr_etcd_election_service = {"v3electionpb.Election", methods,
                                                  sizeof methods / sizeof methods[0]};
