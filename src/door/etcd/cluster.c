/* The Cluster service, and one call of our own beside it: MemberList, from what this member has applied, as
 * 3.4 does. membership.c changes members. */
#include "door/etcd/cluster.h"

/* Texts for protobuf-c, which wants zero-terminated strings. */
static char **texts_of(qr_etcd_call *call, const qr_catalogue_urls *urls)
{
    char **texts = qr_arena_zero(&call->arena, urls->count + 1, sizeof *texts);
    for (size_t i = 0; i < urls->count; i++)
        texts[i] = qr_arena_text(&call->arena, urls->list[i]);
    return texts;
}

static void describe(qr_etcd_call *call, const qr_member *member, const qr_op_result *everything,
                     QrEtcdpb__Member *out)
{
    qr_etcdpb__member__init(out);
    out->id = member->id;
    out->islearner = member->role != QR_ROLE_VOTER;
    /* A member that has not spoken yet has no name: "not started" in the words of etcdctl. */
    qr_catalogue_entry entry;
    if (qr_catalogue_find(everything, member->id, &entry, NULL)) {
        out->name = qr_arena_text(&call->arena, entry.name);
        out->n_clienturls = entry.client.count;
        out->clienturls = texts_of(call, &entry.client);
        out->n_peerurls = entry.peer.count;
        out->peerurls = texts_of(call, &entry.peer);
    }
    const qr_etcd_member *known = qr_etcd_door_configured(call->door, member->id);
    if (out->n_peerurls || !known)
        return;
    out->n_peerurls = known->peer_url_count;
    out->peerurls = qr_arena_zero(&call->arena, known->peer_url_count + 1, sizeof *out->peerurls);
    for (size_t i = 0; i < known->peer_url_count; i++)
        out->peerurls[i] = (char *)known->peer_urls[i];
}

void qr_etcd_members_describe(qr_etcd_call *call, const qr_op_result *everything, qr_etcd_members *members)
{
    qr_node_status status;
    qr_node_status_of(call->door->config.node, &status);
    const qr_members *group = &status.engine.members;
    QrEtcdpb__Member *list = qr_arena_zero(&call->arena, group->count + 1, sizeof *list);
    members->list = qr_arena_zero(&call->arena, group->count + 1, sizeof *members->list);
    members->count = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        if (group->list[i].role == QR_ROLE_LEAVING)
            continue;
        describe(call, &group->list[i], everything, &list[i]);
        members->list[members->count++] = &list[i];
    }
    qr_etcdpb__response_header__init(&members->header);
    members->header.cluster_id = call->door->config.cluster;
    members->header.member_id = call->door->config.self;
    members->header.raft_term = status.engine.term;
}

void qr_etcd_members_query(qr_etcd_call *call)
{
    call->op = qr_catalogue_everything();
    call->query = (qr_query){.kind = QR_QUERY_TXN, .txn = {.then_ops = &call->op, .then_count = 1}};
}

static void answer_member_list(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    QR_ASSERT(result && result->op_count == 1);
    qr_etcd_members members;
    qr_etcd_members_describe(call, &result->ops[0], &members);
    QrEtcdpb__MemberListResponse answer = QR_ETCDPB__MEMBER_LIST_RESPONSE__INIT;
    answer.header = &members.header;
    answer.n_members = members.count;
    answer.members = members.list;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_member_list(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__MemberListRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__member_list_request__descriptor, message);
    if (!request)
        return;
    qr_etcd_members_query(call);
    call->answer = answer_member_list;
    qr_etcd_call_read(call, !request->linearizable);
}

static const qr_etcd_method methods[] = {
    {.name = "MemberList", .start = start_member_list, QR_ETCD_GATEWAY("cluster/member/list", member_list)},
    {.name = "MemberAdd",
     .start = qr_etcd_start_member_add,
     QR_ETCD_GATEWAY("cluster/member/add", member_add)},
    {.name = "MemberRemove",
     .start = qr_etcd_start_member_remove,
     QR_ETCD_GATEWAY("cluster/member/remove", member_remove)},
    {.name = "MemberUpdate",
     .start = qr_etcd_start_member_update,
     QR_ETCD_GATEWAY("cluster/member/update", member_update)},
    {.name = "MemberPromote",
     .start = qr_etcd_start_member_promote,
     QR_ETCD_GATEWAY("cluster/member/promote", member_promote)},
};

const qr_etcd_service qr_etcd_cluster_service = {"etcdserverpb.Cluster", methods,
                                                 sizeof methods / sizeof methods[0]};

static const qr_etcd_method own_methods[] = {
    {.name = "MemberReplace", .start = qr_etcd_start_member_replace},
    {.name = "MemberStatus", .start = qr_etcd_start_member_status},
    {.name = "BlackBox", .start = qr_etcd_start_black_box, .streaming = &qr_etcd_black_box_streaming},
};

const qr_etcd_service qr_etcd_own_service = {"quorate.Cluster", own_methods,
                                             sizeof own_methods / sizeof own_methods[0]};
