#include "door/etcd/check.h"

/* ---- converting ---- */

#define COPY_NUMBER(number, kind, member) request->member = (QR_ETCD_TYPE_##kind)message->member;
#define COPY_BYTES(number, kind, member)                                                                     \
    request->member = qr_slice_of(message->member.data, message->member.len);
#define COPY_FLAG                        COPY_NUMBER
#define COPY_FIELD(number, kind, member) COPY_##kind(number, kind, member)

void qr_etcd_range_from(const QrEtcdpb__RangeRequest *message, qr_etcd_range_request *request)
{
    QR_ETCD_RANGE_REQUEST(COPY_FIELD)
}

void qr_etcd_put_from(const QrEtcdpb__PutRequest *message, qr_etcd_put_request *request)
{
    QR_ETCD_PUT_REQUEST(COPY_FIELD)
}

void qr_etcd_delete_from(const QrEtcdpb__DeleteRangeRequest *message,
                         qr_etcd_delete_request *request){QR_ETCD_DELETE_REQUEST(COPY_FIELD)}

/* ---- single calls ---- */

qr_etcd_error qr_etcd_check_range(const qr_etcd_range_request *request)
{
    if (!request->key.size)
        return QR_ETCD_E_EMPTY_KEY;
    /* 3.4.23 takes an unknown order as none and crashes on an unknown target; we refuse both, as 3.5 does. */
    if (request->sort_order < QR_ETCDPB__RANGE_REQUEST__SORT_ORDER__NONE ||
        request->sort_order > QR_ETCDPB__RANGE_REQUEST__SORT_ORDER__DESCEND)
        return QR_ETCD_E_INVALID_SORT;
    if (request->sort_target < QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__KEY ||
        request->sort_target > QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__VALUE)
        return QR_ETCD_E_INVALID_SORT;
    return QR_ETCD_E_NONE;
}

qr_etcd_error qr_etcd_check_put(const qr_etcd_put_request *request)
{
    if (!request->key.size)
        return QR_ETCD_E_EMPTY_KEY;
    if (request->ignore_value && request->value.size)
        return QR_ETCD_E_VALUE_PROVIDED;
    if (request->ignore_lease && request->lease)
        return QR_ETCD_E_LEASE_PROVIDED;
    return QR_ETCD_E_NONE;
}

qr_etcd_error qr_etcd_check_delete(const qr_etcd_delete_request *request)
{
    return request->key.size ? QR_ETCD_E_NONE : QR_ETCD_E_EMPTY_KEY;
}

/* ---- txns ---- */

static qr_etcd_error check_level(const QrEtcdpb__TxnRequest *txn, size_t ops_max);

static qr_etcd_error check_operation(const QrEtcdpb__RequestOp *op, size_t ops_max)
{
    switch (op->request_case) {
    case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE: {
        qr_etcd_range_request request;
        qr_etcd_range_from(op->request_range, &request);
        qr_etcd_error error = qr_etcd_check_range(&request);
        /* Alone, a negative revision means the newest; inside a txn etcd calls it compacted. */
        return error == QR_ETCD_E_NONE && request.revision < 0 ? QR_ETCD_E_COMPACTED : error;
    }
    case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT: {
        qr_etcd_put_request request;
        qr_etcd_put_from(op->request_put, &request);
        return qr_etcd_check_put(&request);
    }
    case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE: {
        qr_etcd_delete_request request;
        qr_etcd_delete_from(op->request_delete_range, &request);
        return qr_etcd_check_delete(&request);
    }
    case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN: return check_level(op->request_txn, ops_max);
    default: return QR_ETCD_E_KEY_NOT_FOUND; /* an empty operation: etcd's own words for it */
    }
}

static qr_etcd_error check_compare(const QrEtcdpb__Compare *compare)
{
    if (!compare->key.len)
        return QR_ETCD_E_EMPTY_KEY;
    /* etcd 3.4.23 takes an unknown result or target as "holds": a condition that is always true guards
     * nothing. */
    if ((unsigned)compare->result > QR_ETCDPB__COMPARE__COMPARE_RESULT__NOT_EQUAL ||
        (unsigned)compare->target > QR_ETCDPB__COMPARE__COMPARE_TARGET__LEASE)
        return QR_ETCD_E_INVALID_COMPARE;
    return QR_ETCD_E_NONE;
}

/* The greatest of the three lists counts, and what it takes is missing for the txns inside (facts measured
 * on 3.4.23). The recursion is bounded by the depth that the unpacking allowed. */
static qr_etcd_error check_level(const QrEtcdpb__TxnRequest *txn, size_t ops_max)
{
    size_t count = txn->n_compare;
    count = txn->n_success > count ? txn->n_success : count;
    count = txn->n_failure > count ? txn->n_failure : count;
    if (count > ops_max)
        return QR_ETCD_E_TOO_MANY_OPERATIONS;
    qr_etcd_error error = QR_ETCD_E_NONE;
    for (size_t i = 0; i < txn->n_compare && error == QR_ETCD_E_NONE; i++)
        error = check_compare(txn->compare[i]);
    for (size_t i = 0; i < txn->n_success && error == QR_ETCD_E_NONE; i++)
        error = check_operation(txn->success[i], ops_max - count);
    for (size_t i = 0; i < txn->n_failure && error == QR_ETCD_E_NONE; i++)
        error = check_operation(txn->failure[i], ops_max - count);
    return error;
}

qr_etcd_error qr_etcd_check_txn(const QrEtcdpb__TxnRequest *txn, uint32_t ops_max, qr_arena *arena)
{
    qr_etcd_error error = check_level(txn, ops_max);
    if (error != QR_ETCD_E_NONE)
        return error;
    if (qr_etcd_changes_twice(txn->success, txn->n_success, arena) ||
        qr_etcd_changes_twice(txn->failure, txn->n_failure, arena))
        return QR_ETCD_E_DUPLICATE_KEY;
    return QR_ETCD_E_NONE;
}
