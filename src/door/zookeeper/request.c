#include "door/zookeeper/inside.h"

bool qr_zookeeper_request_takes(int32_t type)
{
    switch (type) {
    case QR_JUTE_OP_SYNC:
    case QR_JUTE_OP_RECONFIG:
    case QR_JUTE_OP_PING:
    case QR_JUTE_OP_CHECK_WATCHES:
    case QR_JUTE_OP_REMOVE_WATCHES:
    case QR_JUTE_OP_AUTH:
    case QR_JUTE_OP_SET_WATCHES:
    case QR_JUTE_OP_SASL:
    case QR_JUTE_OP_SET_WATCHES2:
    case QR_JUTE_OP_ADD_WATCH:
    case QR_JUTE_OP_CLOSE_SESSION: return false;
    default: return true;
    }
}

bool qr_zookeeper_request_writes(int32_t type)
{
    switch (type) {
    case QR_JUTE_OP_CREATE:
    case QR_JUTE_OP_CREATE2:
    case QR_JUTE_OP_CREATE_CONTAINER:
    case QR_JUTE_OP_CREATE_TTL:
    case QR_JUTE_OP_DELETE:
    case QR_JUTE_OP_SET_DATA:
    case QR_JUTE_OP_SET_ACL:
    case QR_JUTE_OP_CHECK:
    case QR_JUTE_OP_MULTI: return true;
    default: return false;
    }
}

int32_t qr__zk_error_of(qr_status status)
{
    switch (status) {
    case QR_OK: return QR_ZOOKEEPER_OK;
    case QR_E_KEY_NOT_FOUND: return QR_ZOOKEEPER_NO_NODE;
    case QR_E_EXISTS: return QR_ZOOKEEPER_NODE_EXISTS;
    case QR_E_HAS_LEASE: return QR_ZOOKEEPER_NO_CHILDREN_FOR_EPHEMERALS;
    case QR_E_HAS_CHILDREN: return QR_ZOOKEEPER_NOT_EMPTY;
    case QR_E_VERSION_MISMATCH: return QR_ZOOKEEPER_BAD_VERSION;
    case QR_E_LEASE_NOT_FOUND: return QR_ZOOKEEPER_SESSION_EXPIRED;
    case QR_E_QUOTA: return QR_ZOOKEEPER_QUOTA_EXCEEDED;
    case QR_E_DENIED: return QR_ZOOKEEPER_NO_AUTH;
    case QR_E_CORRUPT: return QR_ZOOKEEPER_SYSTEM;
    case QR_E_INVALID:
    case QR_E_TOO_LARGE:
    case QR_E_TOO_DEEP: return QR_ZOOKEEPER_BAD_ARGUMENTS;
    default: return QR_ZOOKEEPER_CONNECTION_LOSS; /* it may have happened */
    }
}

void qr__zk_refuse(qr_node *node, qr_zookeeper_request *request, int32_t err)
{
    const qr_path_result *root;
    qr_status status = qr__zk_look(node, request->root, request->arena, qr_slice_text("/"), NULL, &root);
    request->err = status == QR_OK ? err : QR_ZOOKEEPER_CONNECTION_LOSS;
    request->revision = status == QR_OK ? root->revision : 0;
    request->reply = qr_slice_of(NULL, 0);
}

void qr__zk_reply_bytes(qr_zookeeper_request *request, uint64_t revision, qr_buffer *bytes)
{
    request->err = QR_ZOOKEEPER_OK;
    request->revision = revision;
    request->reply = qr_arena_copy(request->arena, qr_buffer_slice(bytes));
    qr_buffer_free(bytes);
}

void qr__zk_reply(qr_zookeeper_request *request, uint64_t revision, const qr_jute_record *record,
                  const void *value)
{
    qr_buffer out;
    qr_buffer_init(&out);
    qr_jute_encode(record, value, &out);
    qr__zk_reply_bytes(request, revision, &out);
}

/* Every item, before anything is judged: one that cannot be read spoils the whole. */
static qr_status read_items(qr__zk_plan *plan)
{
    qr_zookeeper_request *request = plan->request;
    qr_reader reader = qr_reader_of(request->body);
    size_t room = 1;
    plan->items = qr_arena_zero(request->arena, room, sizeof *plan->items);
    if (!plan->multi) {
        const qr_jute_record *record = qr_jute_request_of(request->type);
        void *value = qr_arena_zero(request->arena, 1, qr_jute_record_size(record));
        plan->items[plan->count++] = (qr__zk_item){.type = request->type, .value = value};
        return qr_jute_decode(record, &reader, request->arena, value);
    }
    for (;;) {
        qr_jute_multi_item item;
        qr_status status = qr_jute_multi_next(&reader, request->arena, false, &item);
        if (status != QR_OK || item.header.done)
            return status;
        if (!qr_zookeeper_request_writes(item.header.type))
            return QR_E_UNSUPPORTED;
        if (plan->count == room) {
            qr__zk_item *more = qr_arena_zero(request->arena, room *= 2, sizeof *more);
            memcpy(more, plan->items, plan->count * sizeof *more);
            plan->items = more;
        }
        plan->items[plan->count++] = (qr__zk_item){.type = item.header.type, .value = item.value};
    }
}

static qr_zookeeper_step begin_write(qr_node *node, qr_zookeeper_request *request)
{
    qr__zk_plan *plan = qr_arena_zero(request->arena, 1, sizeof *plan);
    *plan = (qr__zk_plan){.node = node, .request = request, .multi = request->type == QR_JUTE_OP_MULTI};
    request->plan = plan;
    if (read_items(plan) != QR_OK || plan->count > QR_TXN_OPS_MAX / (QR__ZK_OPS + QR__ZK_CONDITIONS) - 1) {
        qr__zk_refuse(node, request, QR_ZOOKEEPER_MARSHALLING);
        return QR_ZOOKEEPER_DONE;
    }
    return qr__zk_plan_make(plan);
}

qr_zookeeper_step qr_zookeeper_request_begin(qr_node *node, qr_zookeeper_request *request)
{
    request->watch = QR_ZOOKEEPER_WATCH_NONE;
    request->closes = false;
    if (qr_zookeeper_request_writes(request->type))
        return begin_write(node, request);
    if (request->type == QR_JUTE_OP_MULTI_READ) {
        qr__zk_multi_read(node, request);
    } else if (qr_jute_request_of(request->type)) {
        qr__zk_read(node, request);
    } else {
        *request = (qr_zookeeper_request){.arena = request->arena,
                                          .type = request->type,
                                          .body = request->body,
                                          .asker = request->asker,
                                          .root = request->root,
                                          .err = QR_ZOOKEEPER_UNIMPLEMENTED,
                                          .revision = UINT64_MAX, /* as a zxid: -1 */
                                          .closes = true};
    }
    return QR_ZOOKEEPER_DONE;
}

bool qr_zookeeper_request_stale(const qr_zookeeper_request *request, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    return request->asker->session_record.size > 0 && reply->status == QR_OK && !result->succeeded &&
           !QR_BUG(request->bug, RECALL_NOT);
}

bool qr_zookeeper_request_overtaken(const qr_zookeeper_request *request)
{
    const qr__zk_plan *plan = request->plan;
    return plan->session_states != request->asker->session_states;
}

qr_zookeeper_step qr_zookeeper_request_applied(qr_node *node, qr_zookeeper_request *request,
                                               const qr_reply *reply)
{
    qr__zk_plan *plan = request->plan;
    QR_ASSERT(plan && plan->node == node);
    return qr__zk_plan_applied(plan, reply);
}
