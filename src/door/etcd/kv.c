/* The KV service: Range, Put, DeleteRange, Txn, Compact. */
#include "door/etcd/check.h"
#include "door/etcd/door.h"
#include "door/etcd/translate.h"

/* The only operation of a request that is no txn. */
static const qr_op_result *only_result(const qr_reply *reply, qr_op_kind kind)
{
    const qr_txn_result *result = reply->result;
    QR_ASSERT(result && result->op_count == 1 && result->ops[0].kind == kind);
    return &result->ops[0];
}

/* call->op as a txn of one operation. */
static qr_txn single(const qr_etcd_call *call)
{
    return (qr_txn){.then_ops = &call->op, .then_count = 1};
}

static void write_single(qr_etcd_call *call, qr_slice message)
{
    if (!qr_etcd_call_fits(call, message))
        return;
    qr_txn txn = single(call);
    qr_buffer_shrink(&call->door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_body_encode_txn(&txn, &call->door->body);
    qr_etcd_call_write(call, qr_buffer_slice(&call->door->body));
}

/* A bound on what one answer may take, before memory is taken for it. A change has been made by then all the
 * same. */
static bool answer_fits(qr_etcd_call *call, uint64_t bytes)
{
    if (bytes <= QR_ETCD_ANSWER_MAX)
        return true;
    qr_etcd_call_fail(call, QR_ETCD_E_ANSWER_TOO_LARGE);
    return false;
}

/* ---- Range ---- */

static void answer_range(qr_etcd_call *call, const qr_reply *reply)
{
    if (qr_etcd_range_goes_on(call, reply))
        return;
    const qr_op_result *result =
        qr_etcd_sort_late(&call->range, only_result(reply, QR_OP_RANGE), &call->arena);
    if (result->kv_count > 1 && !answer_fits(call, qr_etcd_operation_bytes(result)))
        return;
    qr_buffer *out = qr_etcd_call_begin(call);
    if (!out)
        return;
    qr_etcd_header header =
        qr_etcd_call_header(call, ((const qr_txn_result *)reply->result)->revision, reply->term);
    qr_etcd_encode_range(out, &header, result);
    qr_etcd_call_end(call);
}

static void start_range(qr_etcd_call *call, qr_slice message)
{
    qr_etcd_range_request *request = &call->range;
    if (!qr_etcd_decode_range(message, request)) {
        qr_etcd_call_fail(call, QR_ETCD_E_MALFORMED);
        return;
    }
    qr_etcd_error error = qr_etcd_check_range(request);
    if (error != QR_ETCD_E_NONE) {
        qr_etcd_call_fail(call, error);
        return;
    }
    request->key = qr_arena_copy(&call->arena, request->key); /* the message is gone before the node reads */
    request->range_end = qr_arena_copy(&call->arena, request->range_end);
    call->op.kind = QR_OP_RANGE;
    qr_etcd_translate_range(request, &call->op.range);
    qr_etcd_range_limit(call);
    call->query = (qr_query){.kind = QR_QUERY_TXN, .txn = single(call)};
    call->answer = answer_range;
    qr_etcd_call_read(call, request->serializable);
}

/* ---- Put, DeleteRange ---- */

static void answer_put(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_op_result *result = only_result(reply, QR_OP_PUT);
    qr_buffer *out = qr_etcd_call_begin(call);
    if (!out)
        return;
    qr_etcd_header header = qr_etcd_call_header(call, result->revision, reply->term);
    qr_etcd_encode_put(out, &header, result);
    qr_etcd_call_end(call);
}

static void start_put(qr_etcd_call *call, qr_slice message)
{
    qr_etcd_put_request request;
    if (!qr_etcd_decode_put(message, &request)) {
        qr_etcd_call_fail(call, QR_ETCD_E_MALFORMED);
        return;
    }
    qr_etcd_error error = qr_etcd_check_put(&request);
    if (error != QR_ETCD_E_NONE) {
        qr_etcd_call_fail(call, error);
        return;
    }
    call->op.kind = QR_OP_PUT;
    qr_etcd_translate_put(&request, &call->op.put);
    call->answer = answer_put;
    write_single(call, message);
}

static void answer_delete(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_op_result *result = only_result(reply, QR_OP_DELETE);
    if (!answer_fits(call, qr_etcd_operation_bytes(result)))
        return;
    qr_buffer *out = qr_etcd_call_begin(call);
    if (!out)
        return;
    qr_etcd_header header = qr_etcd_call_header(call, result->revision, reply->term);
    qr_etcd_encode_delete(out, &header, result);
    qr_etcd_call_end(call);
}

static void start_delete(qr_etcd_call *call, qr_slice message)
{
    qr_etcd_delete_request request;
    if (!qr_etcd_decode_delete(message, &request)) {
        qr_etcd_call_fail(call, QR_ETCD_E_MALFORMED);
        return;
    }
    qr_etcd_error error = qr_etcd_check_delete(&request);
    if (error != QR_ETCD_E_NONE) {
        qr_etcd_call_fail(call, error);
        return;
    }
    call->op.kind = QR_OP_DELETE;
    qr_etcd_translate_delete(&request, &call->op.del);
    call->answer = answer_delete;
    write_single(call, message);
}

/* ---- Txn ---- */

static void answer_txn(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    QR_ASSERT(result);
    if (call->txn)
        result = qr_etcd_txn_sort_late(call->txn, result, &call->arena);
    if (!answer_fits(call, qr_etcd_txn_bytes(result)))
        return;
    qr_buffer *out = qr_etcd_call_begin(call);
    if (!out)
        return;
    qr_etcd_header header = qr_etcd_call_header(call, result->revision, reply->term);
    qr_etcd_encode_txn(out, &header, result, &call->arena);
    qr_etcd_call_end(call);
}

static void start_txn(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__TxnRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__txn_request__descriptor, message);
    if (!request)
        return;
    qr_etcd_error error = qr_etcd_check_txn(request, call->door->config.txn_ops_max, &call->arena);
    if (error != QR_ETCD_E_NONE) {
        qr_etcd_call_fail(call, error);
        return;
    }
    call->query = (qr_query){.kind = QR_QUERY_TXN};
    qr_etcd_translate_txn(request, &call->arena, &call->query.txn);
    call->txn = qr_etcd_txn_sorts_late(request) ? request : NULL;
    call->answer = answer_txn;
    if (qr_etcd_txn_reads_only(request)) {
        qr_etcd_call_read(call, qr_etcd_txn_is_serializable(request));
        return;
    }
    if (!qr_etcd_call_fits(call, message))
        return;
    qr_buffer_shrink(&call->door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_body_encode_txn(&call->query.txn, &call->door->body);
    if (!call->txn)
        qr_arena_reset(&call->arena); /* the node has its own copy of all that is still needed */
    qr_etcd_call_write(call, qr_buffer_slice(&call->door->body));
}

/* ---- Compact ---- */

static void answer_header(qr_etcd_call *call, uint64_t revision, uint64_t term)
{
    qr_buffer *out = qr_etcd_call_begin(call);
    if (!out)
        return;
    qr_etcd_header header = qr_etcd_call_header(call, revision, term);
    qr_etcd_encode_header(out, &header);
    qr_etcd_call_end(call);
}

static void answer_compact(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    qr_node_status status;
    if (!result)
        qr_node_status_of(call->door->config.node, &status);
    answer_header(call, result ? result->revision : status.revision, reply->term);
}

/* A compaction at revision 0 forgets nothing: right as long as nothing was forgotten yet. */
static void answer_compact_zero(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_tree_status *status = reply->result;
    if (status->compacted > 0)
        qr_etcd_call_fail(call, QR_ETCD_E_COMPACTED);
    else
        answer_header(call, status->revision, reply->term);
}

static void start_compact(qr_etcd_call *call, qr_slice message)
{
    qr_etcd_compact_request request;
    if (!qr_etcd_decode_compact(message, &request)) {
        qr_etcd_call_fail(call, QR_ETCD_E_MALFORMED);
        return;
    }
    if (request.revision < 0) {
        qr_etcd_call_fail(call, QR_ETCD_E_COMPACTED);
        return;
    }
    if (request.revision == 0) {
        call->query = (qr_query){.kind = QR_QUERY_STATUS};
        call->answer = answer_compact_zero;
        qr_etcd_call_read(call, false);
        return;
    }
    qr_buffer_shrink(&call->door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_body_encode_compact((uint64_t)request.revision, &call->door->body);
    call->answer = answer_compact;
    qr_etcd_call_write(call, qr_buffer_slice(&call->door->body));
}

static const qr_etcd_method methods[] = {
    {.name = "Range", .start = start_range, QR_ETCD_GATEWAY("kv/range", range)},
    {.name = "Put", .start = start_put, QR_ETCD_GATEWAY("kv/put", put)},
    {.name = "DeleteRange", .start = start_delete, QR_ETCD_GATEWAY("kv/deleterange", delete_range)},
    {.name = "Txn", .start = start_txn, QR_ETCD_GATEWAY("kv/txn", txn)},
    {.name = "Compact", .start = start_compact, QR_ETCD_GATEWAY("kv/compaction", compaction)},
};

const qr_etcd_service qr_etcd_kv_service = {"etcdserverpb.KV", methods, sizeof methods / sizeof methods[0]};
