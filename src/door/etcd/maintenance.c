/* The Maintenance service but for alarms and snapshots, and gRPC health. */
#include "door/etcd/alarm.h"
#include "health.pb-c.h"

#include <inttypes.h>

static QrEtcdpb__ResponseHeader header_message(const qr_etcd_call *call, uint64_t revision, uint64_t term)
{
    QrEtcdpb__ResponseHeader header = QR_ETCDPB__RESPONSE_HEADER__INIT;
    header.cluster_id = call->door->config.cluster;
    header.member_id = call->door->config.self;
    header.revision = (int64_t)revision;
    header.raft_term = term;
    return header;
}

static void query_tree(qr_etcd_call *call, qr_query query, bool local,
                       void (*answer)(qr_etcd_call *, const qr_reply *))
{
    call->query = query;
    call->answer = answer;
    qr_etcd_call_read(call, local);
}

/* ---- Status ---- */

static void answer_status(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_tree_status *tree = reply->result;
    qr_node_status status;
    qr_node_status_of(call->door->config.node, &status);
    const qr_member *self = qr_members_find(&status.engine.members, call->door->config.self);

    QrEtcdpb__ResponseHeader header = header_message(call, tree->revision, status.engine.term);
    QrEtcdpb__StatusResponse answer = QR_ETCDPB__STATUS_RESPONSE__INIT;
    char **errors = qr_arena_alloc(&call->arena, (1 + QR_ETCD_ALARMS_MAX) * sizeof *errors);
    answer.header = &header;
    answer.version = (char *)QR_ETCD_VERSION;
    answer.dbsize = (int64_t)tree->memory_bytes;
    answer.dbsizeinuse = (int64_t)tree->live_bytes;
    answer.leader = status.engine.leader;
    answer.raftindex = status.engine.commit_index;
    answer.raftterm = status.engine.term;
    answer.raftappliedindex = status.applied_index;
    answer.islearner = self && self->role != QR_ROLE_VOTER;
    if (!status.engine.leader)
        errors[answer.n_errors++] = (char *)qr_etcd_error_text(QR_ETCD_E_NO_LEADER);
    qr_alarm alarms[QR_ETCD_ALARMS_MAX];
    size_t alarm_count = qr_etcd_alarms(call->door, tree, alarms);
    for (size_t i = 0; i < alarm_count; i++)
        errors[answer.n_errors++] = qr_etcd_alarm_text(&alarms[i], &call->arena);
    answer.errors = errors;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_status(qr_etcd_call *call, qr_slice message)
{
    if (qr_etcd_call_unpack(call, &qr_etcdpb__status_request__descriptor, message))
        query_tree(call, (qr_query){.kind = QR_QUERY_STATUS}, true, answer_status);
}

/* ---- Hash, HashKV ---- */

static void answer_hash(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_hash_result *result = reply->result;
    QrEtcdpb__ResponseHeader header = header_message(call, result->revision, reply->term);
    QrEtcdpb__HashResponse answer = QR_ETCDPB__HASH_RESPONSE__INIT;
    answer.header = &header;
    answer.hash = result->hash;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_hash(qr_etcd_call *call, qr_slice message)
{
    if (qr_etcd_call_unpack(call, &qr_etcdpb__hash_request__descriptor, message))
        query_tree(call, (qr_query){.kind = QR_QUERY_HASH}, true, answer_hash);
}

static void answer_hash_kv(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_hash_result *result = reply->result;
    if (call->query.revision > 0 && call->query.revision <= result->compacted) {
        qr_etcd_call_fail(call,
                          QR_ETCD_E_COMPACTED); /* a range may still read that revision, a hash may not */
        return;
    }
    QrEtcdpb__ResponseHeader header = header_message(call, result->revision, reply->term);
    QrEtcdpb__HashKVResponse answer = QR_ETCDPB__HASH_KVRESPONSE__INIT;
    answer.header = &header;
    answer.hash = result->hash;
    answer.compact_revision = result->compacted ? (int64_t)result->compacted : -1; /* etcd's "never" */
    qr_etcd_call_pack(call, &answer.base);
}

static void start_hash_kv(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__HashKVRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__hash_kvrequest__descriptor, message);
    if (!request)
        return;
    if (request->revision < 0) {
        qr_etcd_call_fail(call, QR_ETCD_E_COMPACTED);
        return;
    }
    qr_query query = {.kind = QR_QUERY_HASH, .revision = (uint64_t)request->revision};
    query_tree(call, query, true, answer_hash_kv);
}

/* ---- Defragment ---- */

/* Nothing is ever fragmented: space is given back as it becomes free. */
static void start_defragment(qr_etcd_call *call, qr_slice message)
{
    if (!qr_etcd_call_unpack(call, &qr_etcdpb__defragment_request__descriptor, message))
        return;
    QrEtcdpb__DefragmentResponse answer = QR_ETCDPB__DEFRAGMENT_RESPONSE__INIT;
    qr_etcd_call_pack(call, &answer.base);
}

/* ---- MoveLeader ---- */

static void answer_move_leader(qr_etcd_call *call, const qr_reply *reply)
{
    QrEtcdpb__MoveLeaderResponse answer = QR_ETCDPB__MOVE_LEADER_RESPONSE__INIT;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_move_leader(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__MoveLeaderRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__move_leader_request__descriptor, message);
    if (!request)
        return;
    qr_node_status status;
    qr_node_status_of(call->door->config.node, &status);
    const qr_member *target = qr_members_find(&status.engine.members, request->targetid);
    call->answer = answer_move_leader;
    if (status.engine.role != QR_LEADER)
        qr_etcd_call_fail(call, QR_ETCD_E_NOT_LEADER);
    else if (!target || target->role != QR_ROLE_VOTER)
        qr_etcd_call_fail(call, QR_ETCD_E_BAD_TRANSFEREE);
    else if (target->id == call->door->config.self)
        answer_move_leader(call, NULL); /* it is there already */
    else
        qr_etcd_call_handover(call, target->id);
}

/* ---- Downgrade ---- */

/* "3.4" or "3.4.0" */
static bool is_version(const char *text)
{
    int parts = 0;
    for (;;) {
        const char *digits = text;
        while (*text >= '0' && *text <= '9')
            text++;
        if (text == digits)
            return false;
        parts++;
        if (!*text)
            return parts == 2 || parts == 3;
        if (*text++ != '.')
            return false;
    }
}

/* No older version can read what this one writes: none is a target. */
static void start_downgrade(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__DowngradeRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__downgrade_request__descriptor, message);
    if (!request)
        return;
    if (request->action == QR_ETCDPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL)
        qr_etcd_call_fail(call, QR_ETCD_E_NO_DOWNGRADE);
    else if (!is_version(request->version))
        qr_etcd_call_fail(call, QR_ETCD_E_DOWNGRADE_FORMAT);
    else
        qr_etcd_call_fail(call, QR_ETCD_E_DOWNGRADE_TARGET);
}

static const qr_etcd_method maintenance[] = {
    {.name = "Status", .start = start_status, QR_ETCD_GATEWAY("maintenance/status", status)},
    {.name = "Hash", .start = start_hash, QR_ETCD_GATEWAY("maintenance/hash", hash)},
    {.name = "HashKV",
     .start = start_hash_kv,
     .path = "maintenance/hashkv",
     .request = &qr_etcdpb__hash_kvrequest__descriptor,
     .answer = &qr_etcdpb__hash_kvresponse__descriptor},
    {.name = "Alarm", .start = qr_etcd_start_alarm, QR_ETCD_GATEWAY("maintenance/alarm", alarm)},
    {.name = "Defragment", .start = start_defragment, QR_ETCD_GATEWAY("maintenance/defragment", defragment)},
    {.name = "MoveLeader",
     .start = start_move_leader,
     QR_ETCD_GATEWAY("maintenance/transfer-leadership", move_leader)},
    {.name = "Snapshot",
     .start = qr_etcd_snapshot,
     .streaming = &qr_etcd_snapshot_streaming,
     QR_ETCD_GATEWAY("maintenance/snapshot", snapshot)},
    {.name = "Downgrade", .start = start_downgrade, QR_ETCD_GATEWAY("maintenance/downgrade", downgrade)},
};

const qr_etcd_service qr_etcd_maintenance_service = {"etcdserverpb.Maintenance", maintenance,
                                                     sizeof maintenance / sizeof maintenance[0]};

/* ---- health ---- */

static void start_check(qr_etcd_call *call, qr_slice message)
{
    const QrHealth__HealthCheckRequest *request =
        qr_etcd_call_unpack(call, &qr_health__health_check_request__descriptor, message);
    if (!request)
        return;
    if (request->service[0]) {
        qr_etcd_call_fail(call, QR_ETCD_E_UNKNOWN_HEALTH_SERVICE); /* only the server as a whole is known */
        return;
    }
    QrHealth__HealthCheckResponse answer = QR_HEALTH__HEALTH_CHECK_RESPONSE__INIT;
    answer.status = QR_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    qr_etcd_call_pack(call, &answer.base);
}

static const qr_etcd_method health[] = {{.name = "Check", .start = start_check}};

const qr_etcd_service qr_etcd_health_service = {"grpc.health.v1.Health", health,
                                                sizeof health / sizeof health[0]};
