/* Every RPC from the bytes of its request to the bytes of its answer, below gRPC, over a fake node with a
 * real tree. */
#include "unit.h"

#include "door/etcd/door.h"
#include "fake_node.h"
#include "health.pb-c.h"
#include "wire/protobuf.h"

#include <stdio.h>

/* ---- the stage ---- */

struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_arena arena;
    qr_buffer answer; /* of the last call */
    bool finished;
    qr_grpc_code code;
    const char *text;
    int published;
    void *told;
};

static struct stage *stage_of(const qr_etcd_call *call)
{
    return call->stream;
}

static qr_buffer *test_begin(qr_etcd_call *call)
{
    qr_buffer_clear(&stage_of(call)->answer);
    return &stage_of(call)->answer;
}

static void test_end(qr_etcd_call *call)
{
    assert_false(stage_of(call)->finished);
}

static void test_finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    struct stage *stage = stage_of(call);
    assert_false(stage->finished); /* exactly once */
    stage->finished = true;
    stage->code = code;
    stage->text = text ? text : "";
}

static const qr_etcd_transport transport = {test_begin, test_end, NULL, test_finish};

static void on_published(void *context)
{
    ((struct stage *)context)->published++;
}

static int fresh(void **state)
{
    static const qr_etcd_member members[] = {
        {.id = FAKE_SELF, .name = "one", .peer_urls = {"http://127.0.0.1:1"}, .peer_url_count = 1},
        {.id = FAKE_OTHER,
         .name = "two",
         .peer_urls = {"http://127.0.0.1:2", "http://127.0.0.1:22"},
         .peer_url_count = 2},
        {.id = FAKE_LEARNER, .name = "three"}};
    struct stage *made = qr_alloc_zero(1, sizeof *made);
    fake_node_init(&made->node);
    qr_arena_init(&made->arena);
    qr_buffer_init(&made->answer);
    made->door = qr_etcd_door_new(&(qr_etcd_config){.node = &made->node,
                                                    .cluster = FAKE_CLUSTER,
                                                    .self = FAKE_SELF,
                                                    .name = "one",
                                                    .client_urls = {"http://127.0.0.1:3"},
                                                    .client_url_count = 1,
                                                    .members = members,
                                                    .member_count = 3,
                                                    .published = on_published,
                                                    .context = made});
    *state = made;
    return 0;
}

static int gone(void **state)
{
    struct stage *stage = *state;
    qr_etcd_door_free(stage->door);
    fake_node_free(&stage->node);
    qr_arena_free(&stage->arena);
    qr_buffer_free(&stage->answer);
    qr_free(stage);
    return 0;
}

static qr_etcd_call *begin_call(struct stage *stage, const char *path)
{
    const char *text;
    const qr_etcd_method *method = qr_etcd_find_method(qr_slice_text(path), &stage->arena, &text);
    assert_non_null(method);
    stage->finished = false;
    stage->code = QR_GRPC_UNKNOWN;
    stage->text = NULL;
    qr_buffer_clear(&stage->answer);
    return qr_etcd_call_new(stage->door, method, &transport, stage, 1000);
}

/* The whole way of one call; NULL when it ended with an error. */
static void *ask(struct stage *stage, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *descriptor)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_protobuf_pack(request, &bytes);
    qr_etcd_call *call = begin_call(stage, path);
    qr_etcd_call_message(call, qr_buffer_slice(&bytes));
    memset(bytes.data ? bytes.data : (uint8_t *)"", 0xee,
           bytes.data ? bytes.room : 0); /* it was only borrowed */
    qr_buffer_free(&bytes);
    fake_node_turn(&stage->node);
    assert_true(stage->finished);
    qr_etcd_call_closed(call);
    if (stage->code != QR_GRPC_OK)
        return NULL;
    void *answer = qr_protobuf_unpack(descriptor, qr_buffer_slice(&stage->answer), &stage->arena);
    assert_non_null(answer);
    return answer;
}

static void assert_error(struct stage *stage, const void *answer, qr_etcd_error error)
{
    assert_null(answer);
    assert_string_equal(stage->text, qr_etcd_error_text(error));
    assert_int_equal(stage->code, qr_etcd_error_code(error));
}

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static void assert_data(ProtobufCBinaryData data, const char *text)
{
    assert_int_equal(data.len, strlen(text));
    if (data.len)
        assert_memory_equal(data.data, text, data.len);
}

static void assert_header(const QrEtcdpb__ResponseHeader *header, int64_t revision)
{
    assert_non_null(header);
    assert_int_equal(header->cluster_id, FAKE_CLUSTER);
    assert_int_equal(header->member_id, FAKE_SELF);
    assert_int_equal(header->revision, revision);
    assert_int_equal(header->raft_term, 7);
}

static QrEtcdpb__PutResponse *send_put(struct stage *stage, const QrEtcdpb__PutRequest *request)
{
    return ask(stage, "/etcdserverpb.KV/Put", &request->base, &qr_etcdpb__put_response__descriptor);
}

static QrEtcdpb__PutResponse *put(struct stage *stage, const char *key, const char *value)
{
    QrEtcdpb__PutRequest request = QR_ETCDPB__PUT_REQUEST__INIT;
    request.key = data_of(key);
    request.value = data_of(value);
    return send_put(stage, &request);
}

static QrEtcdpb__RangeResponse *send_range(struct stage *stage, const QrEtcdpb__RangeRequest *request)
{
    return ask(stage, "/etcdserverpb.KV/Range", &request->base, &qr_etcdpb__range_response__descriptor);
}

static QrEtcdpb__RangeResponse *range(struct stage *stage, const char *key, const char *end, int64_t limit,
                                      int64_t revision)
{
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = data_of(key);
    if (end)
        request.range_end = *end ? data_of(end) : (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)end};
    request.limit = limit;
    request.revision = revision;
    return send_range(stage, &request);
}

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

static QrEtcdpb__CompactionResponse *compact(struct stage *stage, int64_t revision)
{
    QrEtcdpb__CompactionRequest request = QR_ETCDPB__COMPACTION_REQUEST__INIT;
    request.revision = revision;
    request.physical = revision % 2;
    return ask(stage, "/etcdserverpb.KV/Compact", &request.base, &qr_etcdpb__compaction_response__descriptor);
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

/* ---- Maintenance, Cluster, health ---- */

static void test_status(void **state)
{
    struct stage *stage = *state;
    put(stage, "key", "value");
    QrEtcdpb__StatusRequest request = QR_ETCDPB__STATUS_REQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/Status";
    QrEtcdpb__StatusResponse *status =
        ask(stage, path, &request.base, &qr_etcdpb__status_response__descriptor);
    assert_header(status->header, 2);
    assert_string_equal(status->version, "3.4.23");
    assert_int_equal(status->leader, FAKE_SELF);
    assert_int_equal(status->raftindex, 2);
    assert_int_equal(status->raftappliedindex, 1);
    assert_int_equal(status->raftterm, 7);
    assert_true(status->dbsizeinuse >= 8 && status->dbsize > 0);
    assert_false(status->islearner);
    assert_int_equal(status->n_errors, 0);
    stage->node.leader = 0;
    status = ask(stage, path, &request.base, &qr_etcdpb__status_response__descriptor);
    assert_int_equal(status->n_errors, 1);
    assert_string_equal(status->errors[0], "etcdserver: no leader");
}

static void test_hashes(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__HashRequest whole = QR_ETCDPB__HASH_REQUEST__INIT;
    QrEtcdpb__HashKVRequest part = QR_ETCDPB__HASH_KVREQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/HashKV";
    put(stage, "a", "1");
    QrEtcdpb__HashKVResponse *first = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_header(first->header, 2);
    assert_int_equal(first->compact_revision, -1); /* never compacted */
    put(stage, "a", "2");
    QrEtcdpb__HashKVResponse *second = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_int_not_equal(first->hash, second->hash);
    part.revision = 2;
    QrEtcdpb__HashKVResponse *past = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_int_equal(past->hash, first->hash);
    part.revision = 9;
    assert_error(stage, ask(stage, path, &part.base, NULL), QR_ETCD_E_FUTURE_REVISION);
    part.revision = -1;
    assert_error(stage, ask(stage, path, &part.base, NULL), QR_ETCD_E_COMPACTED);
    compact(stage, 3);
    part.revision = 2;
    assert_error(stage, ask(stage, path, &part.base, NULL), QR_ETCD_E_COMPACTED);
    part.revision = 0;
    second = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_int_equal(second->compact_revision, 3);
    QrEtcdpb__HashResponse *all =
        ask(stage, "/etcdserverpb.Maintenance/Hash", &whole.base, &qr_etcdpb__hash_response__descriptor);
    assert_header(all->header, 3);
}

static void test_small_maintenance(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__AlarmRequest alarm = QR_ETCDPB__ALARM_REQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/Alarm";
    assert_non_null(ask(stage, path, &alarm.base, &qr_etcdpb__alarm_response__descriptor));
    assert_int_equal(stage->answer.size, 0); /* no header, as 3.4 */
    alarm.action = 5;
    assert_error(stage, ask(stage, path, &alarm.base, NULL), QR_ETCD_E_UNSUPPORTED);
    QrEtcdpb__DefragmentRequest defragment = QR_ETCDPB__DEFRAGMENT_REQUEST__INIT;
    assert_non_null(ask(stage, "/etcdserverpb.Maintenance/Defragment", &defragment.base,
                        &qr_etcdpb__defragment_response__descriptor));
}

static void test_move_leader(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__MoveLeaderRequest request = QR_ETCDPB__MOVE_LEADER_REQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/MoveLeader";
    request.targetid = 999;
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_BAD_TRANSFEREE);
    request.targetid = FAKE_LEARNER;
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_BAD_TRANSFEREE);
    request.targetid = FAKE_SELF;
    assert_non_null(ask(stage, path, &request.base, &qr_etcdpb__move_leader_response__descriptor));
    request.targetid = FAKE_OTHER;
    assert_non_null(ask(stage, path, &request.base, &qr_etcdpb__move_leader_response__descriptor));
    assert_int_equal(stage->node.leader, FAKE_OTHER);
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_NOT_LEADER);
}

static void test_members_and_publication(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__MemberListRequest request = QR_ETCDPB__MEMBER_LIST_REQUEST__INIT;
    const char *path = "/etcdserverpb.Cluster/MemberList";
    QrEtcdpb__MemberListResponse *list =
        ask(stage, path, &request.base, &qr_etcdpb__member_list_response__descriptor);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_READ_LOCAL);
    assert_header(list->header, 0);
    assert_int_equal(list->n_members, 3);
    assert_string_equal(list->members[0]->name, ""); /* has not spoken yet */
    assert_int_equal(list->members[0]->n_clienturls, 0);
    assert_int_equal(list->members[1]->n_peerurls, 2);
    assert_string_equal(list->members[1]->peerurls[1], "http://127.0.0.1:22");
    assert_true(list->members[2]->islearner);

    stage->node.failure = QR_E_NO_LEADER; /* a publication that fails is tried again */
    qr_etcd_door_publish(stage->door, 0);
    qr_etcd_door_publish(stage->door, 0); /* one is under way */
    assert_int_equal(stage->node.count, 1);
    fake_node_turn(&stage->node);
    assert_int_equal(stage->published, 0);
    stage->node.failure = QR_OK;
    qr_etcd_door_publish(stage->door, 1000);
    fake_node_turn(&stage->node);
    assert_int_equal(stage->published, 1);
    qr_etcd_door_publish(stage->door, 2000); /* it stands */
    assert_int_equal(stage->node.count, 0);

    list = ask(stage, path, &request.base, &qr_etcdpb__member_list_response__descriptor);
    assert_string_equal(list->members[0]->name, "one");
    assert_int_equal(list->members[0]->n_clienturls, 1);
    assert_string_equal(list->members[0]->clienturls[0], "http://127.0.0.1:3");
    assert_string_equal(list->members[1]->name, "");
    assert_header(range(stage, "a", "\0", 0, 0)->header, 1); /* no revision was counted, no key is seen */
    assert_int_equal(range(stage, "a", "\0", 0, 0)->count, 0);
}

/* ---- changing members ---- */

static int64_t some_wall_ms(void *context)
{
    return 1700000000000;
}

#define CLUSTER(method) "/etcdserverpb.Cluster/" method

static QrEtcdpb__MemberAddResponse *add_member(struct stage *stage, bool learner, char **urls, size_t count)
{
    QrEtcdpb__MemberAddRequest request = QR_ETCDPB__MEMBER_ADD_REQUEST__INIT;
    request.islearner = learner;
    request.peerurls = urls;
    request.n_peerurls = count;
    return ask(stage, CLUSTER("MemberAdd"), &request.base, &qr_etcdpb__member_add_response__descriptor);
}

static QrEtcdpb__MemberListResponse *list_members(struct stage *stage)
{
    QrEtcdpb__MemberListRequest request = QR_ETCDPB__MEMBER_LIST_REQUEST__INIT;
    return ask(stage, CLUSTER("MemberList"), &request.base, &qr_etcdpb__member_list_response__descriptor);
}

static const QrEtcdpb__Member *listed(struct stage *stage, uint64_t id)
{
    const QrEtcdpb__MemberListResponse *list = list_members(stage);
    for (size_t i = 0; i < list->n_members; i++)
        if (list->members[i]->id == id)
            return list->members[i];
    return NULL;
}

static void test_member_add(void **state)
{
    struct stage *stage = *state;
    stage->door->config.wall_ms = some_wall_ms;
    char *urls[] = {(char[]){"http://127.0.0.1:9"}, (char[]){"http://127.0.0.1:8"}};
    const QrEtcdpb__MemberAddResponse *answer = add_member(stage, true, urls, 2);
    assert_non_null(answer);
    assert_header(answer->header, 0);
    assert_int_equal(answer->n_members, 4);
    assert_non_null(answer->member);
    uint64_t id = answer->member->id;
    assert_true(answer->member->islearner);
    assert_string_equal(answer->member->name, "");
    assert_int_equal(answer->member->n_peerurls, 2);
    assert_string_equal(answer->member->peerurls[0], "http://127.0.0.1:8"); /* in order, as etcd's */
    const QrEtcdpb__Member *again = listed(stage, id);
    assert_non_null(again);
    assert_string_equal(again->peerurls[1], "http://127.0.0.1:9");

    assert_error(stage, add_member(stage, false, urls + 1, 1), QR_ETCD_E_PEER_URLS_EXIST);
    char *theirs[] = {(char[]){"http://127.0.0.1:1"}}; /* of one that the command line knows */
    assert_error(stage, add_member(stage, false, theirs, 1), QR_ETCD_E_PEER_URLS_EXIST);
    char *voter[] = {(char[]){"http://localhost:7"}};
    answer = add_member(stage, false, voter, 1);
    assert_non_null(answer);
    assert_false(answer->member->islearner);
    assert_int_not_equal(answer->member->id, id);
}

static void test_member_add_bad_urls(void **state)
{
    struct stage *stage = *state;
    static const char *const bad[] = {"",
                                      "nonsense",
                                      "http://",
                                      "http://host",
                                      "http://:1",
                                      "http://host:",
                                      "http://host:0",
                                      "http://host:65536",
                                      "http://host:1/",
                                      "http://host:1/path",
                                      "http://ho st:1",
                                      "http://host:1x",
                                      "http://::1:1",
                                      "https://host:1",
                                      "ftp://host:1",
                                      "http://host:1,http://b:2"};
    assert_error(stage, add_member(stage, true, NULL, 0), QR_ETCD_E_BAD_MEMBER_URLS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *urls[] = {(char *)bad[i]};
        assert_error(stage, add_member(stage, true, urls, 1), QR_ETCD_E_BAD_MEMBER_URLS);
    }
    char *many[QR_ETCD_URLS_MAX + 1];
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = qr_arena_format(&stage->arena, "http://[::1]:%zu", 100 + i);
    assert_error(stage, add_member(stage, true, many, QR_ETCD_URLS_MAX + 1), QR_ETCD_E_BAD_MEMBER_URLS);
    assert_non_null(add_member(stage, true, many, QR_ETCD_URLS_MAX));
}

static void *change_member(struct stage *stage, const char *path, uint64_t id)
{
    QrEtcdpb__MemberRemoveRequest request = QR_ETCDPB__MEMBER_REMOVE_REQUEST__INIT; /* all look like this */
    request.id = id;
    return ask(stage, path, &request.base, &qr_etcdpb__member_remove_response__descriptor);
}

static void test_member_remove_and_promote(void **state)
{
    struct stage *stage = *state;
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), 9), QR_ETCD_E_MEMBER_NOT_FOUND);
    assert_error(stage, change_member(stage, CLUSTER("MemberPromote"), 9), QR_ETCD_E_MEMBER_NOT_FOUND);
    assert_error(stage, change_member(stage, CLUSTER("MemberPromote"), FAKE_OTHER), QR_ETCD_E_NOT_LEARNER);
    const QrEtcdpb__MemberRemoveResponse *answer =
        change_member(stage, CLUSTER("MemberPromote"), FAKE_LEARNER);
    assert_non_null(answer);
    assert_int_equal(answer->n_members, 3);
    assert_false(answer->members[2]->islearner);
    answer = change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER);
    assert_non_null(answer);
    assert_header(answer->header, 0);
    assert_int_equal(answer->n_members, 2);
    assert_null(listed(stage, FAKE_OTHER));
}

static void test_member_replace(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__MemberReplaceRequest request = QR_ETCDPB__MEMBER_REPLACE_REQUEST__INIT;
    request.id = FAKE_OTHER;
    request.newid = FAKE_LEARNER;
    const QrEtcdpb__MemberReplaceResponse *answer =
        ask(stage, "/quorate.Cluster/MemberReplace", &request.base,
            &qr_etcdpb__member_replace_response__descriptor);
    assert_non_null(answer);
    assert_int_equal(answer->n_members, 2);
    assert_int_equal(answer->members[1]->id, FAKE_LEARNER);
    assert_false(answer->members[1]->islearner);
}

/* The leader's verdicts in etcd's words. */
static void test_member_refusals(void **state)
{
    struct stage *stage = *state;
    char *urls[] = {(char[]){"http://127.0.0.1:9"}};
    stage->node.verdict = QR_E_NOT_READY;
    assert_error(stage, change_member(stage, CLUSTER("MemberPromote"), FAKE_LEARNER),
                 QR_ETCD_E_LEARNER_NOT_READY);
    stage->node.verdict = QR_E_TOO_LARGE;
    assert_error(stage, add_member(stage, true, urls, 1), QR_ETCD_E_TOO_MANY_MEMBERS);
    stage->node.verdict = QR_E_EXISTS;
    assert_error(stage, add_member(stage, true, urls, 1), QR_ETCD_E_MEMBER_EXISTS);
    stage->node.verdict = QR_E_BUSY;
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER),
                 QR_ETCD_E_TOO_MANY_REQUESTS);
    stage->node.verdict = QR_E_QUORUM; /* nobody has published a name: nobody has started */
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER),
                 QR_ETCD_E_NOT_ENOUGH_STARTED);
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER), QR_ETCD_E_UNHEALTHY);
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_SELF),
                 QR_ETCD_E_NOT_ENOUGH_STARTED);
}

static QrEtcdpb__MemberUpdateResponse *update_member(struct stage *stage, uint64_t id, char *url)
{
    QrEtcdpb__MemberUpdateRequest request = QR_ETCDPB__MEMBER_UPDATE_REQUEST__INIT;
    request.id = id;
    request.peerurls = &url;
    request.n_peerurls = url ? 1 : 0;
    return ask(stage, CLUSTER("MemberUpdate"), &request.base, &qr_etcdpb__member_update_response__descriptor);
}

/* An update keeps what the member said of itself, and the member keeps what the update said. */
static void test_member_update(void **state)
{
    struct stage *stage = *state;
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_error(stage, update_member(stage, 9, (char[]){"http://127.0.0.1:9"}), QR_ETCD_E_MEMBER_NOT_FOUND);
    assert_error(stage, update_member(stage, FAKE_SELF, NULL), QR_ETCD_E_BAD_MEMBER_URLS);
    assert_error(stage, update_member(stage, FAKE_SELF, (char[]){"http://127.0.0.1:22"}),
                 QR_ETCD_E_PEER_URLS_EXIST);
    assert_non_null(update_member(stage, FAKE_SELF, (char[]){"http://127.0.0.1:1"})); /* its own, still */
    const QrEtcdpb__MemberUpdateResponse *answer =
        update_member(stage, FAKE_SELF, (char[]){"http://127.0.0.1:99"});
    assert_non_null(answer);
    assert_string_equal(answer->members[0]->peerurls[0], "http://127.0.0.1:99");
    assert_string_equal(answer->members[0]->name, "one");
    assert_non_null(update_member(stage, FAKE_LEARNER, (char[]){"http://127.0.0.1:98"})); /* not started */

    stage->door->publication.done = false; /* a restart with the old flags */
    stage->door->config.name = "uno";
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    const QrEtcdpb__Member *self = listed(stage, FAKE_SELF);
    assert_string_equal(self->name, "uno");
    assert_string_equal(self->peerurls[0], "http://127.0.0.1:99");
    uint64_t index = stage->node.index;
    stage->door->publication.done = false; /* and one that has nothing to say */
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_true(stage->door->publication.done);
    assert_int_equal(stage->node.index, index);
}

typedef struct listing {
    size_t count;
    uint64_t ids[4];
    char first[32], name[32];
} listing;

static void on_listed(void *context, const qr_etcd_member *list, size_t count)
{
    listing *told = ((struct stage *)context)->told;
    told->count = count;
    for (size_t i = 0; i < count && i < 4; i++)
        told->ids[i] = list[i].id;
    if (count) {
        snprintf(told->first, sizeof told->first, "%s", list[0].peer_urls[0]);
        snprintf(told->name, sizeof told->name, "%s", list[0].name);
    }
}

static void test_listing(void **state)
{
    struct stage *stage = *state;
    listing told = {.count = 9};
    stage->told = &told;
    qr_etcd_door_list(stage->door); /* nobody wants to know */
    assert_int_equal(stage->node.count, 0);
    stage->door->config.listed = on_listed;
    qr_etcd_door_list(stage->door);
    qr_etcd_door_list(stage->door);
    assert_int_equal(stage->node.count, 1);
    fake_node_turn(&stage->node);
    assert_int_equal(told.count, 0);
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_non_null(update_member(stage, FAKE_OTHER, (char[]){"http://127.0.0.1:98"}));
    assert_non_null(change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER)); /* is listed all the same */
    qr_etcd_door_list(stage->door);
    fake_node_turn(&stage->node);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.ids[0], FAKE_SELF);
    assert_int_equal(told.ids[1], FAKE_OTHER);
    assert_string_equal(told.first, "http://127.0.0.1:1");
    assert_string_equal(told.name, "one");
}

static void test_health_check(void **state)
{
    struct stage *stage = *state;
    QrHealth__HealthCheckRequest request = QR_HEALTH__HEALTH_CHECK_REQUEST__INIT;
    const char *path = "/grpc.health.v1.Health/Check";
    QrHealth__HealthCheckResponse *answer =
        ask(stage, path, &request.base, &qr_health__health_check_response__descriptor);
    assert_int_equal(answer->status, QR_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
    request.service = (char *)"etcdserverpb.KV";
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_UNKNOWN_HEALTH_SERVICE);
}

static void test_unknown_methods(void **state)
{
    struct stage *stage = *state;
    static const char *const rows[][2] = {
        {"/etcdserverpb.Auth/AuthEnable", "unknown service etcdserverpb.Auth"},
        {"/etcdserverpb.KV/RangeStream", "unknown method RangeStream for service etcdserverpb.KV"},
        {"/etcdserverpb.KV/", "unknown method  for service etcdserverpb.KV"},
        {"/etcdserverpb.KV", "malformed method name: \"/etcdserverpb.KV\""},
        {"etcdserverpb.KV/Put", "malformed method name: \"etcdserverpb.KV/Put\""},
        {"", "malformed method name: \"\""},
        {"/", "malformed method name: \"/\""},
        {"//", "unknown service "}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = NULL;
        assert_null(qr_etcd_find_method(qr_slice_text(rows[i][0]), &stage->arena, &text));
        assert_string_equal(text, rows[i][1]);
    }
}

/* ---- failures and lifetimes ---- */

static void test_failures_of_the_node(void **state)
{
    struct stage *stage = *state;
    static const struct {
        qr_status status;
        qr_etcd_error error;
    } rows[] = {{QR_E_NO_LEADER, QR_ETCD_E_NO_LEADER},
                {QR_E_TIMEOUT, QR_ETCD_E_TIMED_OUT},
                {QR_E_STOPPED, QR_ETCD_E_STOPPED},
                {QR_E_QUOTA, QR_ETCD_E_NO_SPACE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stage->node.failure = rows[i].status;
        assert_error(stage, put(stage, "a", "1"), rows[i].error);
        assert_error(stage, range(stage, "a", NULL, 0, 0), rows[i].error);
    }
    stage->node.failure = QR_OK;
    stage->node.refusal = QR_E_BUSY;
    assert_error(stage, put(stage, "a", "1"), QR_ETCD_E_TOO_MANY_REQUESTS);
    stage->node.refusal = QR_E_HALTED;
    assert_error(stage, range(stage, "a", NULL, 0, 0), QR_ETCD_E_STOPPED);
    stage->node.refusal = QR_E_TOO_LARGE;
    assert_error(stage, put(stage, "a", "1"), QR_ETCD_E_TOO_LARGE);
}

static void test_patience_of_the_client(void **state)
{
    struct stage *stage = *state;
    static const uint8_t get_a[] = {0x0a, 1, 'a'};
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Range");
    call->timeout_ms = 300;
    qr_etcd_call_message(call, qr_slice_of(get_a, sizeof get_a));
    assert_int_equal(stage->node.last.deadline_ms, 1300);
    stage->node.failure = QR_E_TIMEOUT;
    fake_node_turn(&stage->node);
    assert_int_equal(stage->code, QR_GRPC_DEADLINE_EXCEEDED);
    qr_etcd_call_closed(call);
    stage->node.failure = QR_OK;
    call = begin_call(stage, "/etcdserverpb.KV/Range");
    call->timeout_ms = 60000; /* more patience than the node has */
    qr_etcd_call_message(call, qr_slice_of(get_a, sizeof get_a));
    assert_int_equal(stage->node.last.deadline_ms, 0);
    fake_node_turn(&stage->node);
    qr_etcd_call_closed(call);
}

static void test_stream_closed_before_the_answer(void **state)
{
    struct stage *stage = *state;
    static const uint8_t put_a[] = {0x0a, 1, 'a', 0x12, 1, '1'};
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Put");
    qr_etcd_call_message(call, qr_slice_of(put_a, sizeof put_a));
    qr_etcd_call_message(call, qr_slice_of(put_a, sizeof put_a)); /* a second message is ignored */
    assert_int_equal(stage->node.count, 1);
    qr_etcd_call_closed(call);
    fake_node_turn(&stage->node);
    assert_false(stage->finished);                             /* nobody was told */
    assert_int_equal(range(stage, "a", NULL, 0, 0)->count, 1); /* but it was done */
}

static void test_requests_that_never_come(void **state)
{
    struct stage *stage = *state;
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Put");
    qr_etcd_call_half_closed(call);
    assert_int_equal(stage->code, QR_GRPC_INTERNAL);
    qr_etcd_call_half_closed(call);
    qr_etcd_call_closed(call);
    call = begin_call(stage, "/etcdserverpb.KV/Put");
    qr_etcd_call_closed(call);
    assert_false(stage->finished);
}

/* The door is let go while the node still has requests: they are answered into nothing. */
static void test_door_freed_before_the_answers(void **state)
{
    struct stage *stage = *state;
    static const uint8_t get_a[] = {0x0a, 1, 'a'};
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Range");
    qr_etcd_call_message(call, qr_slice_of(get_a, sizeof get_a));
    qr_etcd_call_closed(call);
    qr_etcd_door_publish(stage->door, 0);
    qr_etcd_door_free(stage->door);
    stage->door = NULL;
    fake_node_turn(&stage->node);
    assert_int_equal(stage->published, 0);
}

/* Bytes that often are a message: short fields of the common two kinds, now and then anything. */
static size_t some_message(qr_prng *prng, uint8_t *bytes, size_t room)
{
    size_t size = 0;
    for (uint64_t fields = qr_prng_below(prng, 5); fields > 0 && size + 8 < room; fields--) {
        bool text = qr_prng_below(prng, 2);
        size_t length = qr_prng_below(prng, 5);
        bytes[size++] = (uint8_t)((1 + qr_prng_below(prng, 7)) << 3 | (text ? 2 : 0));
        bytes[size++] = (uint8_t)length;
        for (size_t i = 0; text && i < length; i++)
            bytes[size++] = (uint8_t)qr_prng_next(prng);
    }
    if (size && qr_prng_below(prng, 3) == 0)
        bytes[qr_prng_below(prng, size)] = (uint8_t)qr_prng_next(prng);
    return size;
}

static void test_random_requests(void **state)
{
    struct stage *stage = *state;
    static const char *const paths[] = {"/etcdserverpb.KV/Range",
                                        "/etcdserverpb.KV/Put",
                                        "/etcdserverpb.KV/DeleteRange",
                                        "/etcdserverpb.KV/Txn",
                                        "/etcdserverpb.KV/Compact",
                                        "/etcdserverpb.Maintenance/Status",
                                        "/etcdserverpb.Maintenance/Hash",
                                        "/etcdserverpb.Maintenance/HashKV",
                                        "/etcdserverpb.Maintenance/Alarm",
                                        "/etcdserverpb.Cluster/MemberList",
                                        "/etcdserverpb.Cluster/MemberAdd",
                                        "/etcdserverpb.Cluster/MemberRemove",
                                        "/etcdserverpb.Cluster/MemberUpdate",
                                        "/etcdserverpb.Cluster/MemberPromote",
                                        "/etcdserverpb.Maintenance/MoveLeader",
                                        "/grpc.health.v1.Health/Check"};
    qr_prng prng;
    qr_prng_seed(&prng, 5);
    size_t good = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[48];
        size_t size = some_message(&prng, bytes, sizeof bytes);
        qr_etcd_call *call = begin_call(stage, paths[qr_prng_below(&prng, sizeof paths / sizeof paths[0])]);
        qr_etcd_call_message(call, qr_slice_of(bytes, size));
        fake_node_turn(&stage->node);
        assert_true(stage->finished);
        good += stage->code == QR_GRPC_OK;
        qr_etcd_call_closed(call);
        qr_arena_reset(&stage->arena);
    }
    assert_true(good > 500);
}

static void test_catalogue_entries(void **state)
{
    qr_catalogue_entry entry = {.name = qr_slice_text("n"), .client.count = 2, .peer.count = 1}, read;
    entry.client.list[0] = qr_slice_text("http://a");
    entry.client.list[1] = qr_slice_text("");
    entry.peer.list[0] = qr_slice_text("http://p:1");
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_catalogue_encode(&entry, &bytes);
    assert_int_equal(qr_catalogue_decode(qr_buffer_slice(&bytes), &read), QR_OK);
    assert_true(qr_slice_equal(read.name, entry.name) && read.client.count == 2 && read.peer.count == 1);
    assert_true(qr_slice_equal(read.client.list[0], entry.client.list[0]));
    assert_true(qr_slice_equal(read.peer.list[0], entry.peer.list[0]));
    for (size_t size = 0; size < bytes.size; size++) /* every cut is noticed */
        assert_int_not_equal(qr_catalogue_decode(qr_slice_of(bytes.data, size), &read), QR_OK);
    qr_buffer_u8(&bytes, 0);
    assert_int_equal(qr_catalogue_decode(qr_buffer_slice(&bytes), &read), QR_E_INVALID);
    bytes.data[0] = QR_CATALOGUE_FORMAT + 1;
    assert_int_equal(qr_catalogue_decode(qr_buffer_slice(&bytes), &read), QR_E_BAD_VERSION);
    qr_buffer_free(&bytes);
    uint8_t key[QR_CATALOGUE_KEY_SIZE];
    qr_catalogue_key(0x0102030405060708, key);
    assert_memory_equal(key, "\1\2\3\4\5\6\7\10", 8);
}

/* What members of the first version wrote: no peer URLs. */
static void test_catalogue_format_1(void **state)
{
    static const uint8_t bytes[] = {1, 1, 'n', 1, 8, 'h', 't', 't', 'p', ':', '/', '/', 'a'};
    qr_catalogue_entry read;
    assert_int_equal(qr_catalogue_decode(qr_slice_of(bytes, sizeof bytes), &read), QR_OK);
    assert_true(qr_slice_equal(read.name, qr_slice_text("n")) && read.peer.count == 0);
    assert_true(qr_slice_equal(read.client.list[0], qr_slice_text("http://a")));
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_put_and_range),
        ROW(test_put_refusals),
        ROW(test_request_size),
        ROW(test_serializable_is_local),
        ROW(test_sort_without_order),
        ROW(test_delete),
        ROW(test_compact),
        ROW(test_txn),
        ROW(test_txn_reading),
        ROW(test_txn_nested),
        ROW(test_txn_sort_without_order),
        ROW(test_txn_refusals),
        ROW(test_status),
        ROW(test_hashes),
        ROW(test_small_maintenance),
        ROW(test_move_leader),
        ROW(test_members_and_publication),
        ROW(test_member_add),
        ROW(test_member_add_bad_urls),
        ROW(test_member_remove_and_promote),
        ROW(test_member_replace),
        ROW(test_member_refusals),
        ROW(test_member_update),
        ROW(test_listing),
        ROW(test_health_check),
        ROW(test_unknown_methods),
        ROW(test_failures_of_the_node),
        ROW(test_patience_of_the_client),
        ROW(test_stream_closed_before_the_answer),
        ROW(test_requests_that_never_come),
        ROW(test_door_freed_before_the_answers),
        ROW(test_random_requests),
        ROW(test_catalogue_entries),
        ROW(test_catalogue_format_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
