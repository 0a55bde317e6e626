/* The calls that change members. Each is a row of requests to the node, one after another:
 *
 *   add       look at the catalogue -> write the new one's entry -> change the configuration -> look, answer
 *   update    look at the catalogue -> write the entry                                       -> look, answer
 *   remove, promote, replace           change the configuration                              -> look, answer
 *
 * An entry whose change then fails is of no harm: readers go by the configuration. What the leader refuses is
 * said in etcd's words (refused()). */
#include "door/etcd/cluster.h"

enum { WRITES_MAX = 5 }; /* of an entry that somebody else keeps changing meanwhile */

typedef struct changing {
    qr_change change;
    qr_catalogue_urls urls; /* add, update; in order, the call's arena */
    size_t writes;
    void (*pack)(qr_etcd_call *call, qr_etcd_members *members);
} changing;

static changing *work_of(qr_etcd_call *call)
{
    return call->work;
}

static const qr_op_result *everything_of(const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    QR_ASSERT(result && result->op_count == 1);
    return &result->ops[0];
}

/* ---- the answers ---- */

static void pack_add(qr_etcd_call *call, qr_etcd_members *members)
{
    QrEtcdpb__MemberAddResponse answer = QR_ETCDPB__MEMBER_ADD_RESPONSE__INIT;
    answer.header = &members->header;
    answer.members = members->list;
    answer.n_members = members->count;
    for (size_t i = 0; i < members->count; i++)
        if (members->list[i]->id == work_of(call)->change.id)
            answer.member = members->list[i];
    qr_etcd_call_pack(call, &answer.base);
}

/* Four answers of the same shape. */
#define PACK(name, Type, INIT)                                                                               \
    static void name(qr_etcd_call *call, qr_etcd_members *members)                                           \
    {                                                                                                        \
        Type answer = INIT;                                                                                  \
        answer.header = &members->header;                                                                    \
        answer.members = members->list;                                                                      \
        answer.n_members = members->count;                                                                   \
        qr_etcd_call_pack(call, &answer.base);                                                               \
    }
PACK(pack_remove, QrEtcdpb__MemberRemoveResponse, QR_ETCDPB__MEMBER_REMOVE_RESPONSE__INIT)
PACK(pack_update, QrEtcdpb__MemberUpdateResponse, QR_ETCDPB__MEMBER_UPDATE_RESPONSE__INIT)
PACK(pack_promote, QrEtcdpb__MemberPromoteResponse, QR_ETCDPB__MEMBER_PROMOTE_RESPONSE__INIT)
PACK(pack_replace, QrEtcdpb__MemberReplaceResponse, QR_ETCDPB__MEMBER_REPLACE_RESPONSE__INIT)
#undef PACK

static void answer_members(qr_etcd_call *call, const qr_reply *reply)
{
    qr_etcd_members members;
    qr_etcd_members_describe(call, everything_of(reply), &members);
    work_of(call)->pack(call, &members);
}

static void look_and_answer(qr_etcd_call *call, const qr_reply *reply)
{
    call->refused = NULL;
    call->answer = answer_members;
    qr_etcd_members_query(call);
    qr_etcd_call_look(call, true);
}

/* ---- refusals ---- */

/* Too few alive: etcd distinguishes members that never started from members that are down. */
static void answer_quorum(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_change *change = &work_of(call)->change;
    qr_node_status status;
    qr_node_status_of(call->door->config.node, &status);
    bool removes = change->kind == QR_CHANGE_REMOVE || change->kind == QR_CHANGE_REPLACE;
    size_t voters = change->kind == QR_CHANGE_REMOVE ? 0 : 1, started = 0;
    for (uint32_t i = 0; i < status.engine.members.count; i++) {
        const qr_member *member = &status.engine.members.list[i];
        qr_catalogue_entry entry;
        if (member->role != QR_ROLE_VOTER || (removes && member->id == change->id))
            continue;
        voters++;
        started += qr_catalogue_find(everything_of(reply), member->id, &entry, NULL) && entry.name.size > 0;
    }
    qr_etcd_call_fail(call, started <= voters / 2 ? QR_ETCD_E_NOT_ENOUGH_STARTED : QR_ETCD_E_UNHEALTHY);
}

static bool refused(qr_etcd_call *call, qr_status status)
{
    qr_change_kind kind = work_of(call)->change.kind;
    switch (status) {
    case QR_E_NOT_FOUND: qr_etcd_call_fail(call, QR_ETCD_E_MEMBER_NOT_FOUND); return true;
    case QR_E_TOO_LARGE: qr_etcd_call_fail(call, QR_ETCD_E_TOO_MANY_MEMBERS); return true;
    case QR_E_NOT_READY: qr_etcd_call_fail(call, QR_ETCD_E_LEARNER_NOT_READY); return true;
    case QR_E_EXISTS:
        qr_etcd_call_fail(call, kind == QR_CHANGE_ADD ? QR_ETCD_E_MEMBER_EXISTS : QR_ETCD_E_NOT_LEARNER);
        return true;
    case QR_E_QUORUM:
        call->refused = NULL;
        call->answer = answer_quorum;
        qr_etcd_members_query(call);
        qr_etcd_call_look(call, true);
        return true;
    default: return false;
    }
}

/* ---- peer URLs ---- */

/* In order, as etcd keeps them. False: they are no good, and the call has failed. */
static bool take_urls(qr_etcd_call *call, char *const *texts, size_t count)
{
    qr_catalogue_urls *urls = &work_of(call)->urls;
    bool good = count > 0 && count <= QR_ETCD_URLS_MAX;
    for (size_t i = 0; good && i < count; i++) {
        qr_slice url = qr_slice_text(texts[i]);
        good = qr_catalogue_is_peer_url(url);
        size_t at = urls->count++;
        for (; at > 0 && qr_slice_compare(urls->list[at - 1], url) > 0; at--)
            urls->list[at] = urls->list[at - 1];
        urls->list[at] = url;
    }
    if (!good)
        qr_etcd_call_fail(call, QR_ETCD_E_BAD_MEMBER_URLS);
    return good;
}

static bool are_taken(const qr_catalogue_urls *urls, char *const *texts, size_t count)
{
    for (size_t i = 0; i < urls->count; i++)
        for (size_t j = 0; j < count; j++)
            if (qr_slice_equal(urls->list[i], qr_slice_text(texts[j])))
                return true;
    return false;
}

/* ---- the entry ---- */

static void write_entry(qr_etcd_call *call, const qr_catalogue_entry *entry, uint64_t version)
{
    qr_buffer *body = &call->door->body;
    qr_buffer_shrink(body, QR_ETCD_BODY_ROOM_MAX);
    qr_catalogue_body(work_of(call)->change.id, entry, version, body);
    qr_etcd_call_write(call, qr_buffer_slice(body));
}

/* Do another member's peer URLs meet ours? Then the call has failed. */
static bool meets_another(qr_etcd_call *call, const qr_etcd_members *members, uint64_t self)
{
    for (size_t i = 0; i < members->count; i++) {
        const QrEtcdpb__Member *one = members->list[i];
        if (one->id == self || !are_taken(&work_of(call)->urls, one->peerurls, one->n_peerurls))
            continue;
        qr_etcd_call_fail(call, QR_ETCD_E_PEER_URLS_EXIST);
        return true;
    }
    return false;
}

/* ---- add ---- */

static void entry_added(qr_etcd_call *call, const qr_reply *reply)
{
    call->answer = look_and_answer;
    qr_etcd_call_change(call, &work_of(call)->change);
}

static void looked_before_add(qr_etcd_call *call, const qr_reply *reply)
{
    changing *work = work_of(call);
    qr_etcd_members members;
    qr_etcd_members_describe(call, everything_of(reply), &members);
    if (meets_another(call, &members, 0))
        return;
    const qr_etcd_config *config = &call->door->config;
    work->change.id = qr_catalogue_new_id(&work->urls, config->cluster,
                                          config->wall_ms ? config->wall_ms(config->context) : 0);
    qr_catalogue_entry entry, present;
    uint64_t version;
    qr_catalogue_find(everything_of(reply), work->change.id, &present, &version);
    if (version) { /* made in the same millisecond with the same URLs */
        qr_etcd_call_fail(call, QR_ETCD_E_MEMBER_EXISTS);
        return;
    }
    entry = (qr_catalogue_entry){.peer = work->urls};
    call->answer = entry_added;
    write_entry(call, &entry, 0);
}

/* The work of a call whose message stays in its arena; NULL: malformed. */
static void *begin(qr_etcd_call *call, qr_slice message, const ProtobufCMessageDescriptor *descriptor,
                   qr_change_kind kind, void (*pack)(qr_etcd_call *, qr_etcd_members *))
{
    void *request = qr_etcd_call_unpack(call, descriptor, message);
    changing *work = qr_arena_zero(&call->arena, 1, sizeof *work);
    work->change.kind = kind;
    work->pack = pack;
    call->work = work;
    call->refused = refused;
    return request;
}

void qr_etcd_start_member_add(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__MemberAddRequest *request =
        begin(call, message, &qr_etcdpb__member_add_request__descriptor, QR_CHANGE_ADD, pack_add);
    if (!request || !take_urls(call, request->peerurls, request->n_peerurls))
        return;
    work_of(call)->change.voter = !request->islearner;
    qr_etcd_members_query(call);
    call->answer = looked_before_add;
    qr_etcd_call_look(call, false);
}

/* ---- update ---- */

static void looked_before_update(qr_etcd_call *call, const qr_reply *reply)
{
    changing *work = work_of(call);
    uint64_t id = work->change.id;
    qr_etcd_members members;
    qr_etcd_members_describe(call, everything_of(reply), &members);
    bool found = false;
    for (size_t i = 0; i < members.count; i++)
        found |= members.list[i]->id == id;
    if (!found) {
        qr_etcd_call_fail(call, QR_ETCD_E_MEMBER_NOT_FOUND);
        return;
    }
    if (meets_another(call, &members, id))
        return;
    qr_catalogue_entry entry;
    uint64_t version;
    qr_catalogue_find(everything_of(reply), id, &entry, &version);
    entry.peer = work->urls;
    call->answer = look_and_answer;
    write_entry(call, &entry, version);
}

static void look_before_update(qr_etcd_call *call)
{
    qr_etcd_members_query(call);
    call->answer = looked_before_update;
    qr_etcd_call_look(call, false);
}

/* The entry was changed between our look and our write: once more. */
static bool update_refused(qr_etcd_call *call, qr_status status)
{
    if (status != QR_E_VERSION_MISMATCH || ++work_of(call)->writes >= WRITES_MAX)
        return false;
    look_before_update(call);
    return true;
}

void qr_etcd_start_member_update(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__MemberUpdateRequest *request =
        begin(call, message, &qr_etcdpb__member_update_request__descriptor, 0, pack_update);
    if (!request || !take_urls(call, request->peerurls, request->n_peerurls))
        return;
    work_of(call)->change.id = request->id;
    call->refused = update_refused;
    look_before_update(call);
}

/* ---- remove, promote, replace ---- */

static void change(qr_etcd_call *call, uint64_t id, uint64_t id_new)
{
    work_of(call)->change.id = id;
    work_of(call)->change.id_new = id_new;
    call->answer = look_and_answer;
    qr_etcd_call_change(call, &work_of(call)->change);
}

void qr_etcd_start_member_remove(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__MemberRemoveRequest *request =
        begin(call, message, &qr_etcdpb__member_remove_request__descriptor, QR_CHANGE_REMOVE, pack_remove);
    if (request)
        change(call, request->id, 0);
}

void qr_etcd_start_member_promote(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__MemberPromoteRequest *request =
        begin(call, message, &qr_etcdpb__member_promote_request__descriptor, QR_CHANGE_PROMOTE, pack_promote);
    if (request)
        change(call, request->id, 0);
}

void qr_etcd_start_member_replace(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__MemberReplaceRequest *request =
        begin(call, message, &qr_etcdpb__member_replace_request__descriptor, QR_CHANGE_REPLACE, pack_replace);
    if (request)
        change(call, request->id, request->newid);
}
