#include "door/etcd/translate.h"

#include <stdlib.h>

#include "door/etcd/check.h"
#include "wire/protobuf.h"

qr_span qr_etcd_span(qr_slice key, qr_slice range_end)
{
    qr_span span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = key};
    if (range_end.size == 1 && range_end.data[0] == 0) {
        span.kind = QR_SPAN_FROM;
    } else if (range_end.size) {
        span.kind = QR_SPAN_RANGE;
        span.end = range_end;
    }
    return span;
}

/* ---- operations ---- */

static bool has_filter(const qr_etcd_range_request *request)
{
    return request->min_mod_revision || request->max_mod_revision || request->min_create_revision ||
           request->max_create_revision;
}

bool qr_etcd_sorts_late(const qr_etcd_range_request *request)
{
    return request->sort_order == QR_ETCDPB__RANGE_REQUEST__SORT_ORDER__NONE &&
           request->sort_target != QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__KEY && request->limit > 0 &&
           !request->count_only && !has_filter(request);
}

/* Both bounds 0 = none in both languages; a negative one is a bound to etcd: above everything there is, or
 * below. */
static void translate_bounds(int64_t min, int64_t max, uint64_t *low, uint64_t *high)
{
    *low = min > 0 ? (uint64_t)min : 0;
    *high = max > 0 ? (uint64_t)max : 0;
    if (max < 0) {
        *low = UINT64_MAX;
        *high = 1;
    }
}

void qr_etcd_translate_range(const qr_etcd_range_request *request, qr_range *range)
{
    bool late = qr_etcd_sorts_late(request);
    memset(range, 0, sizeof *range);
    range->span = qr_etcd_span(request->key, request->range_end);
    range->revision = request->revision > 0 ? (uint64_t)request->revision : 0;
    range->limit = request->limit > 0 ? (uint64_t)request->limit + late : 0;
    range->order = late ? QR_ORDER_NONE : (qr_order)request->sort_order;
    range->sort = late ? QR_SORT_KEY : (qr_sort)request->sort_target;
    /* A filter makes etcd fetch everything, filter, sort, and cut last: an explicit order does the same. */
    if (!late && range->order == QR_ORDER_NONE && range->sort != QR_SORT_KEY)
        range->order = QR_ORDER_UP;
    range->keys_only = request->keys_only && !late; /* a late sort by value needs the values */
    range->count_only = request->count_only;
    translate_bounds(request->min_mod_revision, request->max_mod_revision, &range->mod_revision_min,
                     &range->mod_revision_max);
    translate_bounds(request->min_create_revision, request->max_create_revision, &range->create_revision_min,
                     &range->create_revision_max);
}

void qr_etcd_translate_put(const qr_etcd_put_request *request, qr_put *put)
{
    *put = (qr_put){.space = QR_SPACE_KEYS,
                    .options = (request->prev_kv ? (uint32_t)QR_PUT_WANT_PREVIOUS : 0) |
                               (request->ignore_value ? (uint32_t)QR_PUT_KEEP_VALUE : 0) |
                               (request->ignore_lease ? (uint32_t)QR_PUT_KEEP_LEASE : 0),
                    .key = request->key,
                    .value = request->value,
                    .lease = request->lease};
}

void qr_etcd_translate_delete(const qr_etcd_delete_request *request, qr_delete *del)
{
    *del = (qr_delete){.span = qr_etcd_span(request->key, request->range_end),
                       .want_previous = request->prev_kv};
}

/* ---- txns ---- */

static void translate_compare(const QrEtcdpb__Compare *compare, qr_condition *condition)
{
    *condition = (qr_condition){
        .span = qr_etcd_span(qr_protobuf_slice(compare->key), qr_protobuf_slice(compare->range_end)),
        .target = (qr_target)compare->target,
        .relation = (qr_relation)compare->result};
    /* A member of another target counts as zero or empty. */
    switch (compare->target_union_case) {
    case QR_ETCDPB__COMPARE__TARGET_UNION_VERSION:
        condition->number = condition->target == QR_TARGET_VERSION ? compare->version : 0;
        break;
    case QR_ETCDPB__COMPARE__TARGET_UNION_CREATE_REVISION:
        condition->number = condition->target == QR_TARGET_CREATE ? compare->create_revision : 0;
        break;
    case QR_ETCDPB__COMPARE__TARGET_UNION_MOD_REVISION:
        condition->number = condition->target == QR_TARGET_MOD ? compare->mod_revision : 0;
        break;
    case QR_ETCDPB__COMPARE__TARGET_UNION_LEASE:
        condition->number = condition->target == QR_TARGET_LEASE ? compare->lease : 0;
        break;
    case QR_ETCDPB__COMPARE__TARGET_UNION_VALUE:
        if (condition->target == QR_TARGET_VALUE)
            condition->value = qr_protobuf_slice(compare->value);
        break;
    default: break;
    }
}

static const qr_op *translate_ops(QrEtcdpb__RequestOp *const *messages, size_t count, qr_arena *arena)
{
    qr_op *ops = qr_arena_zero(arena, count + 1, sizeof *ops);
    for (size_t i = 0; i < count; i++) {
        switch (messages[i]->request_case) {
        case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE: {
            qr_etcd_range_request request;
            qr_etcd_range_from(messages[i]->request_range, &request);
            ops[i].kind = QR_OP_RANGE;
            qr_etcd_translate_range(&request, &ops[i].range);
            break;
        }
        case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT: {
            qr_etcd_put_request request;
            qr_etcd_put_from(messages[i]->request_put, &request);
            ops[i].kind = QR_OP_PUT;
            qr_etcd_translate_put(&request, &ops[i].put);
            break;
        }
        case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE: {
            qr_etcd_delete_request request;
            qr_etcd_delete_from(messages[i]->request_delete_range, &request);
            ops[i].kind = QR_OP_DELETE;
            qr_etcd_translate_delete(&request, &ops[i].del);
            break;
        }
        default: {
            QR_ASSERT(messages[i]->request_case == QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN);
            qr_txn *inner = qr_arena_zero(arena, 1, sizeof *inner);
            qr_etcd_translate_txn(messages[i]->request_txn, arena, inner);
            ops[i].kind = QR_OP_TXN;
            ops[i].txn = inner;
            break;
        }
        }
    }
    return ops;
}

void qr_etcd_translate_txn(const QrEtcdpb__TxnRequest *message, qr_arena *arena, qr_txn *txn)
{
    qr_condition *conditions = qr_arena_zero(arena, message->n_compare + 1, sizeof *conditions);
    for (size_t i = 0; i < message->n_compare; i++)
        translate_compare(message->compare[i], &conditions[i]);
    *txn = (qr_txn){.conditions = conditions,
                    .condition_count = message->n_compare,
                    .then_ops = translate_ops(message->success, message->n_success, arena),
                    .then_count = message->n_success,
                    .else_ops = translate_ops(message->failure, message->n_failure, arena),
                    .else_count = message->n_failure};
}

static bool all_ranges(QrEtcdpb__RequestOp *const *ops, size_t count, bool serializable)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i]->request_case != QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE ||
            (serializable && !ops[i]->request_range->serializable))
            return false;
    return true;
}

bool qr_etcd_txn_reads_only(const QrEtcdpb__TxnRequest *message)
{
    return all_ranges(message->success, message->n_success, false) &&
           all_ranges(message->failure, message->n_failure, false);
}

bool qr_etcd_txn_is_serializable(const QrEtcdpb__TxnRequest *message)
{
    return all_ranges(message->success, message->n_success, true) &&
           all_ranges(message->failure, message->n_failure, true);
}

/* ---- late sorting ---- */

typedef struct sortable {
    qr_key_value kv;
    size_t position; /* keeps the order of keys among equals */
    int64_t target;
} sortable;

static int compare_values(const sortable *a, const sortable *b)
{
    switch (a->target) {
    case QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__VERSION:
        return (a->kv.version > b->kv.version) - (a->kv.version < b->kv.version);
    case QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__CREATE:
        return (a->kv.create_revision > b->kv.create_revision) -
               (a->kv.create_revision < b->kv.create_revision);
    case QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__MOD:
        return (a->kv.mod_revision > b->kv.mod_revision) - (a->kv.mod_revision < b->kv.mod_revision);
    default: return qr_slice_compare(a->kv.value, b->kv.value);
    }
}

static int compare_sortables(const void *a, const void *b)
{
    const sortable *left = a, *right = b;
    int order = compare_values(left, right);
    return order ? order : (left->position > right->position) - (left->position < right->position);
}

const qr_op_result *qr_etcd_sort_late(const qr_etcd_range_request *request, const qr_op_result *result,
                                      qr_arena *arena)
{
    if (!qr_etcd_sorts_late(request))
        return result;
    QR_ASSERT(result->kind == QR_OP_RANGE && result->kv_count <= (uint64_t)request->limit + 1);
    sortable *sorted = qr_arena_alloc(arena, (result->kv_count + 1) * sizeof *sorted);
    for (size_t i = 0; i < result->kv_count; i++)
        sorted[i] = (sortable){result->kvs[i], i, request->sort_target};
    qsort(sorted, result->kv_count, sizeof *sorted, compare_sortables);

    qr_op_result *copy = qr_arena_alloc(arena, sizeof *copy);
    *copy = *result;
    copy->more = result->kv_count > (uint64_t)request->limit;
    copy->kv_count = copy->more ? (size_t)request->limit : result->kv_count;
    qr_key_value *kvs = qr_arena_alloc(arena, (copy->kv_count + 1) * sizeof *kvs);
    for (size_t i = 0; i < copy->kv_count; i++) {
        kvs[i] = sorted[i].kv;
        if (request->keys_only)
            kvs[i].value = qr_slice_of(NULL, 0);
    }
    copy->kvs = kvs;
    return copy;
}

static bool ops_sort_late(QrEtcdpb__RequestOp *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE) {
            qr_etcd_range_request request;
            qr_etcd_range_from(ops[i]->request_range, &request);
            if (qr_etcd_sorts_late(&request))
                return true;
        } else if (ops[i]->request_case == QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            if (qr_etcd_txn_sorts_late(ops[i]->request_txn))
                return true;
        }
    }
    return false;
}

bool qr_etcd_txn_sorts_late(const QrEtcdpb__TxnRequest *message)
{
    return ops_sort_late(message->success, message->n_success) ||
           ops_sort_late(message->failure, message->n_failure);
}

const qr_txn_result *qr_etcd_txn_sort_late(const QrEtcdpb__TxnRequest *message, const qr_txn_result *result,
                                           qr_arena *arena)
{
    QrEtcdpb__RequestOp *const *requests = result->succeeded ? message->success : message->failure;
    QR_ASSERT(result->op_count == (result->succeeded ? message->n_success : message->n_failure));
    qr_op_result *ops = qr_arena_alloc(arena, (result->op_count + 1) * sizeof *ops);
    for (size_t i = 0; i < result->op_count; i++) {
        ops[i] = result->ops[i];
        if (ops[i].kind == QR_OP_RANGE) {
            qr_etcd_range_request request;
            qr_etcd_range_from(requests[i]->request_range, &request);
            ops[i] = *qr_etcd_sort_late(&request, &ops[i], arena);
        } else if (ops[i].kind == QR_OP_TXN) {
            ops[i].txn = qr_etcd_txn_sort_late(requests[i]->request_txn, ops[i].txn, arena);
        }
    }
    qr_txn_result *copy = qr_arena_alloc(arena, sizeof *copy);
    *copy = *result;
    copy->ops = ops;
    return copy;
}
