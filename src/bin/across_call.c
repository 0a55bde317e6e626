#include "bin/across.h"

static ProtobufCBinaryData data_of(qr_slice bytes)
{
    return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)bytes.data};
}

static qr_slice slice_of(ProtobufCBinaryData data)
{
    return qr_slice_of(data.data, data.len);
}

static QrEtcdpb__Compare *compare_of(qr_arena *arena, const qr_condition *condition)
{
    QrEtcdpb__Compare *compare = qr_arena_alloc(arena, sizeof *compare);
    qr_etcdpb__compare__init(compare);
    QR_ASSERT(condition->target == QR_TARGET_MOD && condition->relation == QR_IS_EQUAL);
    compare->target = QR_ETCDPB__COMPARE__COMPARE_TARGET__MOD;
    compare->result = QR_ETCDPB__COMPARE__COMPARE_RESULT__EQUAL;
    compare->target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_MOD_REVISION;
    compare->mod_revision = condition->number;
    compare->key = data_of(condition->span.key);
    return compare;
}

static ProtobufCBinaryData end_of(const qr_span *span)
{
    return span->kind == QR_SPAN_RANGE ? data_of(span->end) : (ProtobufCBinaryData){0};
}

static QrEtcdpb__RequestOp *request_of(qr_arena *arena, const qr_op *op)
{
    QrEtcdpb__RequestOp *request = qr_arena_alloc(arena, sizeof *request);
    qr_etcdpb__request_op__init(request);
    if (op->kind == QR_OP_PUT) {
        request->request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        request->request_put = qr_arena_alloc(arena, sizeof *request->request_put);
        qr_etcdpb__put_request__init(request->request_put);
        request->request_put->key = data_of(op->put.key);
        request->request_put->value = data_of(op->put.value);
    } else if (op->kind == QR_OP_DELETE) {
        request->request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        request->request_delete_range = qr_arena_alloc(arena, sizeof *request->request_delete_range);
        qr_etcdpb__delete_range_request__init(request->request_delete_range);
        request->request_delete_range->key = data_of(op->del.span.key);
    } else {
        QR_ASSERT(op->kind == QR_OP_RANGE);
        request->request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        request->request_range = qr_arena_alloc(arena, sizeof *request->request_range);
        qr_etcdpb__range_request__init(request->request_range);
        request->request_range->key = data_of(op->range.span.key);
        request->request_range->range_end = end_of(&op->range.span);
        request->request_range->limit = (int64_t)op->range.limit;
    }
    return request;
}

static QrEtcdpb__RequestOp **requests_of(qr_arena *arena, const qr_op *ops, size_t count)
{
    QrEtcdpb__RequestOp **requests = qr_arena_zero(arena, count + 1, sizeof *requests);
    for (size_t i = 0; i < count; i++)
        requests[i] = request_of(arena, &ops[i]);
    return requests;
}

static void take_kvs(qr_arena *arena, const QrEtcdpb__RangeResponse *range, qr_op_result *result)
{
    qr_key_value *kvs = qr_arena_zero(arena, range->n_kvs + 1, sizeof *kvs);
    for (size_t i = 0; i < range->n_kvs; i++)
        kvs[i] = (qr_key_value){.key = slice_of(range->kvs[i]->key),
                                .value = slice_of(range->kvs[i]->value),
                                .create_revision = (uint64_t)range->kvs[i]->create_revision,
                                .mod_revision = (uint64_t)range->kvs[i]->mod_revision,
                                .version = (uint64_t)range->kvs[i]->version};
    result->kind = QR_OP_RANGE;
    result->kvs = kvs;
    result->kv_count = range->n_kvs;
}

static const qr_txn_result *result_of(qr_arena *arena, const QrEtcdpb__TxnResponse *answer, size_t op_count)
{
    if (answer->header == NULL || answer->n_responses != op_count)
        return NULL;
    qr_txn_result *result = qr_arena_zero(arena, 1, sizeof *result);
    qr_op_result *ops = qr_arena_zero(arena, op_count + 1, sizeof *ops);
    result->revision = (uint64_t)answer->header->revision;
    result->succeeded = answer->succeeded;
    result->ops = ops;
    result->op_count = op_count;
    for (size_t i = 0; i < op_count; i++)
        if (answer->responses[i]->response_case == QR_ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE)
            take_kvs(arena, answer->responses[i]->response_range, &ops[i]);
    return result;
}

const qr_txn_result *qr_across_call(qr_client *client, const qr_group_call *call, const char **sentence)
{
    qr_arena *arena = &client->arena;
    const qr_txn *txn = call->txn;
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    request.compare = qr_arena_zero(arena, txn->condition_count + 1, sizeof *request.compare);
    request.n_compare = txn->condition_count;
    for (size_t i = 0; i < txn->condition_count; i++)
        request.compare[i] = compare_of(arena, &txn->conditions[i]);
    request.success = requests_of(arena, txn->then_ops, txn->then_count);
    request.n_success = txn->then_count;
    request.failure = requests_of(arena, txn->else_ops, txn->else_count);
    request.n_failure = txn->else_count;
    const QrEtcdpb__TxnResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.KV/Txn", false, &request.base,
                       &qr_etcdpb__txn_response__descriptor, sentence);
    if (answer == NULL)
        return NULL;
    const qr_txn_result *result =
        result_of(arena, answer, answer->succeeded ? txn->then_count : txn->else_count);
    if (result == NULL)
        *sentence = "the answer does not belong to the request";
    return result;
}
