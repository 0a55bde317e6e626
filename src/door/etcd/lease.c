/* The Lease service. Grants and revocations are writes like any other; renewals go to the node one by one,
 * however many come behind one another on a stream, and are answered there in the order in which they came.
 *
 * A stream and what the node still has of it share a record, the keeper: it lives until the stream is closed
 * and the last renewal is answered, whichever comes last. */
#include "door/etcd/door.h"

enum {
    ELECTION_MS_DEFAULT = 1000,
    RENEWALS_MAX = 16384,                 /* of one stream at the node */
    ANSWERS_UNSENT_MAX = 4 * 1024 * 1024, /* bytes of one stream; a client that takes none is cut off */
};

static QrEtcdpb__ResponseHeader header_of(const qr_etcd_call *call, uint64_t term)
{
    qr_node_status node;
    qr_node_status_of(call->door->config.node, &node);
    QrEtcdpb__ResponseHeader header = QR_ETCDPB__RESPONSE_HEADER__INIT;
    header.cluster_id = call->door->config.cluster;
    header.member_id = call->door->config.self;
    header.revision = (int64_t)node.revision;
    header.raft_term = term;
    return header;
}

static void write_body(qr_etcd_call *call, const qr_body *body)
{
    qr_buffer_shrink(&call->door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_body_encode(body, &call->door->body);
    qr_etcd_call_write(call, qr_buffer_slice(&call->door->body));
}

/* ---- LeaseGrant ---- */

typedef struct wish {
    int64_t id, ttl; /* seconds */
    bool chosen;     /* the id, here */
} wish;

static void answer_grant(qr_etcd_call *call, const qr_reply *reply)
{
    const wish *wanted = call->work;
    QrEtcdpb__ResponseHeader header = header_of(call, reply->term);
    QrEtcdpb__LeaseGrantResponse answer = QR_ETCDPB__LEASE_GRANT_RESPONSE__INIT;
    answer.header = &header;
    answer.id = wanted->id;
    answer.ttl = wanted->ttl;
    qr_etcd_call_pack(call, &answer.base);
}

static void grant(qr_etcd_call *call)
{
    wish *wanted = call->work;
    if (wanted->chosen)
        wanted->id = qr_etcd_door_lease_id(call->door);
    write_body(
        call,
        &(qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = wanted->id, .ttl_ms = (uint64_t)wanted->ttl * 1000});
}

/* An id of our own choice that is taken: another one. */
static bool grant_refused(qr_etcd_call *call, qr_status status)
{
    const wish *wanted = call->work;
    if (status != QR_E_LEASE_EXISTS || !wanted->chosen)
        return false;
    grant(call);
    return true;
}

static void start_grant(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__LeaseGrantRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__lease_grant_request__descriptor, message);
    if (!request)
        return;
    if (request->ttl > (int64_t)(QR_LEASE_TTL_MS_MAX / 1000)) {
        qr_etcd_call_fail(call, QR_ETCD_E_LEASE_TTL_TOO_LARGE);
        return;
    }
    uint32_t election_ms = call->door->config.election_ms;
    int64_t ttl_min = ((election_ms ? election_ms : ELECTION_MS_DEFAULT) * 3 / 2 + 999) / 1000;
    wish *wanted = call->work = qr_arena_zero(&call->arena, 1, sizeof *wanted);
    wanted->id = request->id;
    wanted->chosen = request->id == 0;
    wanted->ttl = request->ttl < ttl_min ? ttl_min : request->ttl;
    call->answer = answer_grant;
    call->refused = grant_refused;
    grant(call);
}

/* ---- LeaseRevoke ---- */

static void answer_revoke(qr_etcd_call *call, const qr_reply *reply)
{
    QrEtcdpb__ResponseHeader header = header_of(call, reply->term);
    header.revision = (int64_t)((const qr_txn_result *)reply->result)->revision;
    QrEtcdpb__LeaseRevokeResponse answer = QR_ETCDPB__LEASE_REVOKE_RESPONSE__INIT;
    answer.header = &header;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_revoke(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__LeaseRevokeRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__lease_revoke_request__descriptor, message);
    if (!request)
        return;
    if (request->id == 0) {
        qr_etcd_call_fail(call, QR_ETCD_E_LEASE_NOT_FOUND);
        return;
    }
    call->answer = answer_revoke;
    write_body(call, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = request->id});
}

/* ---- LeaseTimeToLive ---- */

typedef struct lifetime {
    int64_t id;
    bool wants_keys;
    qr_lease_time time; /* ttl_ms 0: it has ended */
} lifetime;

static void answer_lifetime(qr_etcd_call *call, uint64_t term, const qr_leases_result *lease)
{
    const lifetime *asked = call->work;
    QrEtcdpb__ResponseHeader header = header_of(call, term);
    QrEtcdpb__LeaseTimeToLiveResponse answer = QR_ETCDPB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    bool is_there = asked->time.ttl_ms > 0 && (!lease || lease->count > 0);
    answer.header = &header;
    answer.id = asked->id;
    answer.ttl = is_there ? (int64_t)(asked->time.remaining_ms / 1000) : -1;
    answer.grantedttl = is_there ? (int64_t)(asked->time.ttl_ms / 1000) : 0;
    if (is_there && lease) {
        answer.n_keys = lease->key_count;
        answer.keys = qr_arena_zero(&call->arena, lease->key_count + 1, sizeof *answer.keys);
        for (size_t i = 0; i < lease->key_count; i++)
            answer.keys[i] =
                (ProtobufCBinaryData){.data = (uint8_t *)lease->keys[i].data, .len = lease->keys[i].size};
    }
    qr_etcd_call_pack(call, &answer.base);
}

static void answer_keys(qr_etcd_call *call, const qr_reply *reply)
{
    answer_lifetime(call, reply->term, reply->result);
}

static void answer_time(qr_etcd_call *call, const qr_reply *reply)
{
    lifetime *asked = call->work;
    asked->time = *(const qr_lease_time *)reply->result;
    if (!asked->wants_keys) {
        answer_lifetime(call, reply->term, NULL);
        return;
    }
    call->query = (qr_query){.kind = QR_QUERY_LEASE, .lease = asked->id, .want_keys = true};
    call->answer = answer_keys;
    qr_etcd_call_look(call, false);
}

static bool time_refused(qr_etcd_call *call, qr_status status)
{
    if (status != QR_E_LEASE_NOT_FOUND)
        return false;
    qr_node_status node;
    qr_node_status_of(call->door->config.node, &node);
    answer_lifetime(call, node.engine.term, NULL);
    return true;
}

static void start_lifetime(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__LeaseTimeToLiveRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__lease_time_to_live_request__descriptor, message);
    if (!request)
        return;
    lifetime *asked = call->work = qr_arena_zero(&call->arena, 1, sizeof *asked);
    asked->id = request->id;
    asked->wants_keys = request->keys;
    call->answer = answer_time;
    call->refused = time_refused;
    qr_etcd_call_lease_time(call, request->id);
}

/* ---- LeaseLeases ---- */

static void answer_leases(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_leases_result *all = reply->result;
    QrEtcdpb__ResponseHeader header = header_of(call, reply->term);
    QrEtcdpb__LeaseLeasesResponse answer = QR_ETCDPB__LEASE_LEASES_RESPONSE__INIT;
    QrEtcdpb__LeaseStatus *list = qr_arena_zero(&call->arena, all->count + 1, sizeof *list);
    answer.header = &header;
    answer.n_leases = all->count;
    answer.leases = qr_arena_zero(&call->arena, all->count + 1, sizeof *answer.leases);
    for (size_t i = 0; i < all->count; i++) {
        qr_etcdpb__lease_status__init(&list[i]);
        list[i].id = all->leases[i].id;
        answer.leases[i] = &list[i];
    }
    qr_etcd_call_pack(call, &answer.base);
}

static void start_leases(qr_etcd_call *call, qr_slice message)
{
    if (!qr_etcd_call_unpack(call, &qr_etcdpb__lease_leases_request__descriptor, message))
        return;
    call->query = (qr_query){.kind = QR_QUERY_LEASES};
    call->answer = answer_leases;
    qr_etcd_call_look(call, false);
}

/* ---- LeaseKeepAlive ---- */

typedef struct keeper keeper;

typedef struct renewal {
    struct renewal *next;
    keeper *keeper;
    int64_t id;
    bool answered;
    int64_t ttl; /* seconds; 0: it has ended */
    uint64_t term;
} renewal;

struct keeper {
    qr_etcd_call *call; /* NULL: nobody listens any more */
    renewal *first, **last;
    size_t count;   /* renewals in the list */
    size_t at_node; /* those that are not answered */
    bool half_closed;
};

static void let_go(keeper *keep)
{
    if (keep->call || keep->at_node > 0)
        return;
    while (keep->first) {
        renewal *next = keep->first->next;
        qr_free(keep->first);
        keep->first = next;
    }
    qr_free(keep);
}

static void closed(qr_etcd_call *call)
{
    keeper *keep = call->work;
    call->work = NULL;
    if (!keep)
        return;
    keep->call = NULL;
    let_go(keep);
}

/* Those at the head of the list that the node has answered. */
static void send_answers(keeper *keep)
{
    while (keep->call && keep->first && keep->first->answered) {
        renewal *done = keep->first;
        keep->first = done->next;
        if (!keep->first)
            keep->last = &keep->first;
        keep->count--;
        QrEtcdpb__ResponseHeader header = header_of(keep->call, done->term);
        QrEtcdpb__LeaseKeepAliveResponse answer = QR_ETCDPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
        answer.header = &header;
        answer.id = done->id;
        answer.ttl = done->ttl;
        qr_free(done);
        qr_etcd_call_send(keep->call, &answer.base);
    }
    if (keep->call && !keep->first && keep->half_closed)
        qr_etcd_call_succeed(keep->call);
    else if (keep->call && keep->call->transport->queued(keep->call) > ANSWERS_UNSENT_MAX)
        qr_etcd_call_fail(keep->call, QR_ETCD_E_TOO_MANY_REQUESTS);
}

static void on_renewed(void *owner, const qr_reply *reply)
{
    renewal *done = owner;
    keeper *keep = done->keeper;
    done->answered = true;
    done->term = reply->term;
    const qr_lease_time *time = reply->result;
    if (reply->status == QR_OK)
        done->ttl = (int64_t)(time->ttl_ms / 1000);
    if (keep->call && reply->status != QR_OK && reply->status != QR_E_LEASE_NOT_FOUND)
        qr_etcd_call_fail(keep->call, qr_etcd_error_of(reply->status));
    else
        send_answers(keep);
    keep->at_node--;
    let_go(keep);
}

static void renew(qr_etcd_call *call, qr_slice message)
{
    qr_arena_reset(&call->arena);
    const QrEtcdpb__LeaseKeepAliveRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__lease_keep_alive_request__descriptor, message);
    keeper *keep = call->work;
    if (!request)
        return;
    renewal *wanted = qr_alloc_zero(1, sizeof *wanted);
    *wanted = (renewal){.keeper = keep, .id = request->id};
    qr_request node_request = {
        .kind = QR_REQUEST_LEASE_RENEW, .lease = request->id, .done = on_renewed, .owner = wanted};
    qr_status status =
        keep->count < RENEWALS_MAX ? qr_node_submit(call->door->config.node, &node_request) : QR_E_BUSY;
    if (status != QR_OK) {
        qr_free(wanted);
        qr_etcd_call_fail(call, qr_etcd_error_of(status));
        return;
    }
    *keep->last = wanted;
    keep->last = &wanted->next;
    keep->count++;
    keep->at_node++;
}

static void start_keep_alive(qr_etcd_call *call, qr_slice message)
{
    keeper *keep = call->work = qr_alloc_zero(1, sizeof *keep);
    keep->call = call;
    keep->last = &keep->first;
    renew(call, message);
}

static void half_closed(qr_etcd_call *call)
{
    keeper *keep = call->work;
    keep->half_closed = true;
    send_answers(keep);
}

static const qr_etcd_streaming keep_alive_streaming = {
    .message = renew, .half_closed = half_closed, .closed = closed};

static const qr_etcd_method methods[] = {
    {.name = "LeaseGrant", .start = start_grant, QR_ETCD_GATEWAY("lease/grant", lease_grant)},
    {.name = "LeaseRevoke", .start = start_revoke, QR_ETCD_GATEWAY("lease/revoke", lease_revoke)},
    {.name = "LeaseKeepAlive",
     .start = start_keep_alive,
     .streaming = &keep_alive_streaming,
     QR_ETCD_GATEWAY("lease/keepalive", lease_keep_alive)},
    {.name = "LeaseTimeToLive",
     .start = start_lifetime,
     QR_ETCD_GATEWAY("lease/timetolive", lease_time_to_live)},
    {.name = "LeaseLeases", .start = start_leases, QR_ETCD_GATEWAY("lease/leases", lease_leases)},
};

const qr_etcd_service qr_etcd_lease_service = {"etcdserverpb.Lease", methods,
                                               sizeof methods / sizeof methods[0]};
