/* The KV service, method by method. */
#include "stage.h"

static QrEtcdpb__DeleteRangeResponse *send_del(struct stage *stage, const char *key, const char *end,
                                               bool previous)
{
    QrEtcdpb__DeleteRangeRequest request = QR_ETCDPB__DELETE_RANGE_REQUEST__INIT;
    request.key = data_of(key);
    if (end)
        request.range_end = data_of(end);
    request.prev_kv = previous;
    return ask(stage, "/etcdserverpb.KV/DeleteRange", &request.base,
               &qr_etcdpb__delete_range_response__descriptor);
}

static QrEtcdpb__TxnResponse *send_txn(struct stage *stage, const QrEtcdpb__TxnRequest *request)
{
    return ask(stage, "/etcdserverpb.KV/Txn", &request->base, &qr_etcdpb__txn_response__descriptor);
}

/* ---- KV ---- */

static void test_put_and_range(void **state)
{
    struct stage *stage = *state;
    assert_header(put(stage, "a", "1")->header, 2);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_WRITE);
    assert_header(put(stage, "b", "2")->header, 3);
    QrEtcdpb__PutRequest request = QR_ETCDPB__PUT_REQUEST__INIT;
    request.key = data_of("a");
    request.value = data_of("3");
    request.prev_kv = true;
    QrEtcdpb__PutResponse *changed = send_put(stage, &request);
    assert_header(changed->header, 4);
    assert_data(changed->prev_kv->value, "1");
    assert_int_equal(changed->prev_kv->mod_revision, 2);

    QrEtcdpb__RangeResponse *found = range(stage, "a", NULL, 0, 0);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_READ);
    assert_int_equal(stage->node.last.deadline_ms, 0);
    assert_header(found->header, 4);
    assert_int_equal(found->n_kvs, 1);
    assert_int_equal(found->count, 1);
    assert_data(found->kvs[0]->value, "3");
    assert_int_equal(found->kvs[0]->create_revision, 2);
    assert_int_equal(found->kvs[0]->mod_revision, 4);
    assert_int_equal(found->kvs[0]->version, 2);
    found = range(stage, "a", "\0", 1, 0);
    assert_int_equal(found->n_kvs, 1);
    assert_int_equal(found->count, 2);
    assert_true(found->more);
    found = range(stage, "a", NULL, 0, 2); /* the past; the header tells the present */
    assert_data(found->kvs[0]->value, "1");
    assert_header(found->header, 4);
    assert_int_equal(range(stage, "b", "a", 0, 0)->count, 0);
    assert_error(stage, range(stage, "a", NULL, 0, 99), QR_ETCD_E_FUTURE_REVISION);
    assert_error(stage, range(stage, "", NULL, 0, 0), QR_ETCD_E_EMPTY_KEY);
}

static void test_put_refusals(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__PutRequest request = QR_ETCDPB__PUT_REQUEST__INIT;
    assert_error(stage, send_put(stage, &request), QR_ETCD_E_EMPTY_KEY);
    request.key = data_of("k");
    request.ignore_value = true;
    assert_error(stage, send_put(stage, &request), QR_ETCD_E_KEY_NOT_FOUND);
    request.value = data_of("v");
    assert_error(stage, send_put(stage, &request), QR_ETCD_E_VALUE_PROVIDED);
    request.ignore_value = false;
    request.lease = 99;
    assert_error(stage, send_put(stage, &request), QR_ETCD_E_LEASE_NOT_FOUND);
    request.ignore_lease = true;
    assert_error(stage, send_put(stage, &request), QR_ETCD_E_LEASE_PROVIDED);
}

/* Debian's etcd took a put message of 1,572,846 bytes and refused one of 1,572,850; 18 bytes are its own. */
static void test_request_size(void **state)
{
    struct stage *stage = *state;
    size_t size = QR_ETCD_REQUEST_DEFAULT - QR_ETCD_REQUEST_OVERHEAD -
                  7; /* a key of 1 byte takes 3, a tag with length 4 */
    QrEtcdpb__PutRequest request = QR_ETCDPB__PUT_REQUEST__INIT;
    request.key = data_of("k");
    request.value.data = qr_arena_zero(&stage->arena, 1, size + 1);
    request.value.len = size;
    assert_non_null(send_put(stage, &request));
    request.value.len = size + 1;
    assert_error(stage, send_put(stage, &request), QR_ETCD_E_TOO_LARGE);
    request.ignore_value = true; /* the other checks come first */
    assert_error(stage, send_put(stage, &request), QR_ETCD_E_VALUE_PROVIDED);
}

static void test_serializable_is_local(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "1");
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = data_of("a");
    request.serializable = true;
    assert_int_equal(send_range(stage, &request)->n_kvs, 1);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_READ_LOCAL);
}

static void test_sort_without_order(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "3");
    put(stage, "b", "2");
    put(stage, "c", "1");
    put(stage, "d", "0");
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = data_of("a");
    request.range_end = data_of("z");
    request.limit = 2;
    request.sort_target = QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__VALUE;
    QrEtcdpb__RangeResponse *found = send_range(stage, &request);
    assert_int_equal(found->n_kvs, 2); /* as Debian's etcd answers the same four keys */
    assert_data(found->kvs[0]->key, "c");
    assert_data(found->kvs[1]->key, "b");
    assert_true(found->more);
    assert_int_equal(found->count, 4);
    request.min_mod_revision = 1; /* a filter, which none fails: now everything is sorted first */
    found = send_range(stage, &request);
    assert_data(found->kvs[0]->key, "d");
    assert_data(found->kvs[1]->key, "c");
    request.max_mod_revision = -1;
    found = send_range(stage, &request);
    assert_int_equal(found->n_kvs, 0);
    assert_int_equal(found->count, 4);
}

static void test_delete(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "1");
    put(stage, "b", "2");
    QrEtcdpb__DeleteRangeResponse *deleted = send_del(stage, "x", NULL, true);
    assert_header(deleted->header, 3); /* nothing deleted, no revision */
    assert_int_equal(deleted->deleted, 0);
    deleted = send_del(stage, "a", "z", true);
    assert_header(deleted->header, 4);
    assert_int_equal(deleted->deleted, 2);
    assert_int_equal(deleted->n_prev_kvs, 2);
    assert_data(deleted->prev_kvs[1]->value, "2");
    assert_error(stage, send_del(stage, "", NULL, false), QR_ETCD_E_EMPTY_KEY);
}

static void test_compact(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "1");
    put(stage, "a", "2");
    put(stage, "a", "3");
    assert_header(compact(stage, 0)->header, 4);
    assert_error(stage, compact(stage, -1), QR_ETCD_E_COMPACTED);
    assert_error(stage, compact(stage, 99), QR_ETCD_E_FUTURE_REVISION);
    assert_header(compact(stage, 3)->header, 4);
    assert_error(stage, compact(stage, 3), QR_ETCD_E_COMPACTED);
    assert_error(stage, compact(stage, 0), QR_ETCD_E_COMPACTED);
    assert_error(stage, range(stage, "a", NULL, 0, 2), QR_ETCD_E_COMPACTED);
    assert_data(range(stage, "a", NULL, 0, 3)->kvs[0]->value, "2");
}

/* ---- Txn ---- */

static QrEtcdpb__RequestOp *op_of(struct stage *stage, QrEtcdpb__RequestOp__RequestCase kind, void *request)
{
    QrEtcdpb__RequestOp *op = qr_arena_alloc(&stage->arena, sizeof *op);
    qr_etcdpb__request_op__init(op);
    op->request_case = kind;
    op->request_range = request;
    return op;
}

static QrEtcdpb__RequestOp *put_op(struct stage *stage, const char *key, const char *value)
{
    QrEtcdpb__PutRequest *request = qr_arena_alloc(&stage->arena, sizeof *request);
    qr_etcdpb__put_request__init(request);
    request->key = data_of(key);
    request->value = data_of(value);
    return op_of(stage, QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT, request);
}

static QrEtcdpb__RequestOp *range_op(struct stage *stage, const char *key, int64_t revision)
{
    QrEtcdpb__RangeRequest *request = qr_arena_alloc(&stage->arena, sizeof *request);
    qr_etcdpb__range_request__init(request);
    request->key = data_of(key);
    request->revision = revision;
    return op_of(stage, QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE, request);
}

static QrEtcdpb__RequestOp *txn_op(struct stage *stage, QrEtcdpb__TxnRequest *request)
{
    return op_of(stage, QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN, request);
}

static void test_txn(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "1");
    QrEtcdpb__Compare compare = QR_ETCDPB__COMPARE__INIT, *compares[] = {&compare};
    compare.key = data_of("a");
    compare.target = QR_ETCDPB__COMPARE__COMPARE_TARGET__VERSION;
    compare.target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_VERSION;
    compare.version = 1;
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    QrEtcdpb__RequestOp *success[] = {range_op(stage, "a", 0), put_op(stage, "a", "2"),
                                      range_op(stage, "a", 0)};
    QrEtcdpb__RequestOp *failure[] = {range_op(stage, "a", 0)};
    request.compare = compares;
    request.n_compare = 1;
    request.success = success;
    request.n_success = 3;
    request.failure = failure;
    request.n_failure = 1;
    QrEtcdpb__TxnResponse *answer = send_txn(stage, &request);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_WRITE);
    assert_header(answer->header, 3);
    assert_true(answer->succeeded);
    assert_int_equal(answer->n_responses, 3);
    /* headers inside have the revision at that point and nothing else */
    const QrEtcdpb__RangeResponse *before = answer->responses[0]->response_range;
    const QrEtcdpb__RangeResponse *after = answer->responses[2]->response_range;
    assert_int_equal(before->header->revision, 2);
    assert_int_equal(before->header->cluster_id, 0);
    assert_data(before->kvs[0]->value, "1");
    assert_int_equal(answer->responses[1]->response_put->header->revision, 3);
    assert_int_equal(after->header->revision, 3);
    assert_data(after->kvs[0]->value, "2");
    answer = send_txn(stage, &request); /* the version is 2 now */
    assert_false(answer->succeeded);
    assert_int_equal(answer->n_responses, 1);
    assert_header(answer->header, 3);
}

static void test_txn_reading(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "1");
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    assert_true(send_txn(stage, &request)->succeeded);
    assert_int_equal(stage->node.last.kind,
                     QR_REQUEST_READ_LOCAL); /* nothing in it that is not serializable */
    QrEtcdpb__RequestOp *success[] = {range_op(stage, "a", 0)};
    request.success = success;
    request.n_success = 1;
    QrEtcdpb__TxnResponse *answer = send_txn(stage, &request);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_READ);
    assert_header(answer->header, 2);
    success[0]->request_range->serializable = true;
    send_txn(stage, &request);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_READ_LOCAL);
    success[0]->request_range->revision = 77;
    assert_error(stage, send_txn(stage, &request), QR_ETCD_E_FUTURE_REVISION);
}

static void test_txn_nested(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "1");
    QrEtcdpb__TxnRequest inner = QR_ETCDPB__TXN_REQUEST__INIT, request = QR_ETCDPB__TXN_REQUEST__INIT;
    QrEtcdpb__RequestOp *inner_success[] = {range_op(stage, "a", 0)};
    inner.success = inner_success;
    inner.n_success = 1;
    QrEtcdpb__RequestOp *success[] = {txn_op(stage, &inner)};
    request.success = success;
    request.n_success = 1;
    QrEtcdpb__TxnResponse *answer = send_txn(stage, &request);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_WRITE); /* etcd counts it as one; the revision stays */
    assert_header(answer->header, 2);
    const QrEtcdpb__TxnResponse *nested = answer->responses[0]->response_txn;
    assert_non_null(nested->header);
    assert_int_equal(nested->header->revision, 0);
    assert_true(nested->succeeded);
    assert_int_equal(nested->responses[0]->response_range->header->revision, 2);
    inner_success[0] = put_op(stage, "a", "2");
    answer = send_txn(stage, &request);
    assert_header(answer->header, 3);
    assert_int_equal(answer->responses[0]->response_txn->responses[0]->response_put->header->revision, 3);
}

static void test_txn_sort_without_order(void **state)
{
    struct stage *stage = *state;
    put(stage, "a", "3");
    put(stage, "b", "2");
    put(stage, "c", "1");
    QrEtcdpb__TxnRequest inner = QR_ETCDPB__TXN_REQUEST__INIT, request = QR_ETCDPB__TXN_REQUEST__INIT;
    QrEtcdpb__RequestOp *sorted = range_op(stage, "a", 0);
    sorted->request_range->range_end = data_of("z");
    sorted->request_range->limit = 1;
    sorted->request_range->sort_target = QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__VALUE;
    QrEtcdpb__RequestOp *inner_success[] = {sorted},
                        *success[] = {txn_op(stage, &inner), put_op(stage, "x", "")};
    inner.success = inner_success;
    inner.n_success = 1;
    request.success = success;
    request.n_success = 2;
    QrEtcdpb__TxnResponse *answer = send_txn(stage, &request);
    const QrEtcdpb__RangeResponse *found = answer->responses[0]->response_txn->responses[0]->response_range;
    assert_int_equal(found->n_kvs, 1);
    assert_data(found->kvs[0]->key, "b"); /* a and b are fetched, sorted, cut */
    assert_true(found->more);
}

static void test_txn_refusals(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    QrEtcdpb__RequestOp *success[] = {put_op(stage, "x", ""), put_op(stage, "x", "")};
    request.success = success;
    request.n_success = 2;
    assert_error(stage, send_txn(stage, &request), QR_ETCD_E_DUPLICATE_KEY);
    success[1] = put_op(stage, "y", "");
    success[1]->request_put->ignore_value = true;
    assert_error(stage, send_txn(stage, &request), QR_ETCD_E_KEY_NOT_FOUND);
    success[1] = put_op(stage, "y", "");
    success[1]->request_put->lease = 5;
    assert_error(stage, send_txn(stage, &request), QR_ETCD_E_LEASE_NOT_FOUND);
    assert_int_equal(range(stage, "x", NULL, 0, 0)->count, 0); /* nothing at all happened */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_ROW(test_put_and_range),
        STAGE_ROW(test_put_refusals),
        STAGE_ROW(test_request_size),
        STAGE_ROW(test_serializable_is_local),
        STAGE_ROW(test_sort_without_order),
        STAGE_ROW(test_delete),
        STAGE_ROW(test_compact),
        STAGE_ROW(test_txn),
        STAGE_ROW(test_txn_reading),
        STAGE_ROW(test_txn_nested),
        STAGE_ROW(test_txn_sort_without_order),
        STAGE_ROW(test_txn_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
