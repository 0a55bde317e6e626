/* quorate.Cluster/MemberStatus: what etcd's Status has no field for. Local, so it tells of a member in
 * trouble, too. */
#include "door/etcd/cluster.h"

static void fill_disk(const qr_node_status *node, QrEtcdpb__MemberStatusResponse *answer)
{
    answer->incarnation = node->incarnation;
    answer->boot = node->boot;
    answer->log_bytes = node->log_bytes;
    answer->log_segments = node->log_segments;
    answer->checkpoint_index = node->checkpoint_index;
    answer->checkpoint_bytes = node->checkpoint_bytes;
    answer->checkpoint_ms = node->checkpoint_wall_ms;
    answer->checkpoint_running = node->checkpoint_running;
    answer->disk_slow = node->disk_slow;
    answer->disk_full = node->no_space;
    answer->oldest_sync_ms = node->oldest_sync_ms;
    answer->last_index = node->engine.last_index;
    answer->applied_index = node->applied_index;
}

static void fill_watches(const qr_node *node, QrEtcdpb__MemberStatusResponse *answer)
{
    qr_node_watch_figures watches;
    qr_node_watch_figures_of(node, &watches);
    answer->watchers = watches.watchers;
    answer->watchers_slow = watches.slow;
    answer->watch_lag = watches.lag;
}

static QrEtcdpb__Transfer *transfer(qr_arena *arena, const struct qr_node_transfer *from)
{
    if (!from->peer)
        return NULL;
    QrEtcdpb__Transfer *to = qr_arena_zero(arena, 1, sizeof *to);
    qr_etcdpb__transfer__init(to);
    to->peer = from->peer;
    to->index = from->index;
    to->bytes = from->bytes;
    to->size = from->size;
    return to;
}

static void fill_progress(qr_arena *arena, const qr_engine_status *engine,
                          QrEtcdpb__MemberStatusResponse *answer)
{
    const qr_members *members = &engine->members;
    if (engine->role != QR_LEADER)
        return;
    answer->progress = qr_arena_zero(arena, members->count, sizeof *answer->progress);
    answer->n_progress = members->count;
    for (uint32_t i = 0; i < members->count; i++) {
        QrEtcdpb__MemberProgress *one = answer->progress[i] = qr_arena_zero(arena, 1, sizeof *one);
        qr_etcdpb__member_progress__init(one);
        one->id = members->list[i].id;
        one->match = engine->match[i];
        one->alive = engine->alive[i];
    }
}

static void answer_member_status(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_tree_status *tree = reply->result;
    qr_node_status node;
    qr_node_status_of(call->door->config.node, &node);
    QrEtcdpb__ResponseHeader header = QR_ETCDPB__RESPONSE_HEADER__INIT;
    header.cluster_id = call->door->config.cluster;
    header.member_id = call->door->config.self;
    header.revision = (int64_t)tree->revision;
    header.raft_term = node.engine.term;
    QrEtcdpb__MemberStatusResponse answer = QR_ETCDPB__MEMBER_STATUS_RESPONSE__INIT;
    answer.header = &header;
    answer.keys = tree->keys;
    answer.live_bytes = tree->live_bytes;
    answer.compacted_revision = (int64_t)tree->compacted;
    answer.history_bytes = tree->history_bytes;
    fill_disk(&node, &answer);
    fill_watches(call->door->config.node, &answer);
    qr_etcd_process process = {0};
    if (call->door->config.process)
        call->door->config.process(call->door->config.context, &process);
    answer.sync_median_us = qr_histogram_quantile_us(&process.log_syncs, 500);
    answer.sync_p99_us = qr_histogram_quantile_us(&process.log_syncs, 990);
    fill_progress(&call->arena, &node.engine, &answer);
    answer.feature_level = node.level;
    answer.feature_level_knows = node.level_told;
    answer.sending = transfer(&call->arena, &node.sending);
    answer.receiving = transfer(&call->arena, &node.receiving);
    qr_etcd_call_pack(call, &answer.base);
}

void qr_etcd_start_member_status(qr_etcd_call *call, qr_slice message)
{
    if (!qr_etcd_call_unpack(call, &qr_etcdpb__member_status_request__descriptor, message))
        return;
    call->query = (qr_query){.kind = QR_QUERY_STATUS};
    call->answer = answer_member_status;
    qr_etcd_call_look(call, true);
}
