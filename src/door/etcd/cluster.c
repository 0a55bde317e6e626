/* The Cluster service: MemberList, from what this member has applied, as 3.4 does. */
#include "door/etcd/door.h"

/* Text for protobuf-c, which wants zero-terminated strings. */
static char *text_of(qr_etcd_call *call, qr_slice bytes)
{
    return qr_arena_text(&call->arena, bytes);
}

static const qr_etcd_member *configured(const qr_etcd_config *config, uint64_t id)
{
    for (size_t i = 0; i < config->member_count; i++)
        if (config->members[i].id == id)
            return &config->members[i];
    return NULL;
}

static void describe(qr_etcd_call *call, const qr_member *member, const qr_op_result *everything,
                     QrEtcdpb__Member *out)
{
    qr_etcdpb__member__init(out);
    out->id = member->id;
    out->islearner = member->role != QR_ROLE_VOTER;
    const qr_etcd_member *known = configured(&call->door->config, member->id);
    if (known && known->peer_url_count) {
        out->n_peerurls = known->peer_url_count;
        out->peerurls = qr_arena_zero(&call->arena, known->peer_url_count, sizeof *out->peerurls);
        for (size_t i = 0; i < known->peer_url_count; i++)
            out->peerurls[i] = (char *)known->peer_urls[i];
    }
    /* A member that has not spoken yet has no name: "not started" in the words of etcdctl. */
    qr_catalogue_entry entry;
    if (!qr_catalogue_find(everything, member->id, &entry))
        return;
    out->name = text_of(call, entry.name);
    out->n_clienturls = entry.url_count;
    out->clienturls = qr_arena_zero(&call->arena, entry.url_count + 1, sizeof *out->clienturls);
    for (size_t i = 0; i < entry.url_count; i++)
        out->clienturls[i] = text_of(call, entry.urls[i]);
}

static void answer_member_list(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    QR_ASSERT(result && result->op_count == 1);
    qr_node_status status;
    qr_node_status_of(call->door->config.node, &status);
    const qr_members *members = &status.engine.members;

    QrEtcdpb__Member *list = qr_arena_zero(&call->arena, members->count + 1, sizeof *list);
    QrEtcdpb__Member **pointers = qr_arena_zero(&call->arena, members->count + 1, sizeof *pointers);
    for (uint32_t i = 0; i < members->count; i++) {
        describe(call, &members->list[i], &result->ops[0], &list[i]);
        pointers[i] = &list[i];
    }
    QrEtcdpb__ResponseHeader header = QR_ETCDPB__RESPONSE_HEADER__INIT;
    header.cluster_id = call->door->config.cluster;
    header.member_id = call->door->config.self;
    header.raft_term = status.engine.term; /* and no revision, as 3.4 */
    QrEtcdpb__MemberListResponse answer = QR_ETCDPB__MEMBER_LIST_RESPONSE__INIT;
    answer.header = &header;
    answer.n_members = members->count;
    answer.members = pointers;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_member_list(qr_etcd_call *call, qr_slice message)
{
    if (!qr_etcd_call_unpack(call, &qr_etcdpb__member_list_request__descriptor, message))
        return;
    call->op = qr_catalogue_everything();
    call->query = (qr_query){.kind = QR_QUERY_TXN, .txn = {.then_ops = &call->op, .then_count = 1}};
    call->answer = answer_member_list;
    qr_etcd_call_read(call, true);
}

static const qr_etcd_method methods[] = {{"MemberList", start_member_list}};

const qr_etcd_service qr_etcd_cluster_service = {"etcdserverpb.Cluster", methods,
                                                 sizeof methods / sizeof methods[0]};
