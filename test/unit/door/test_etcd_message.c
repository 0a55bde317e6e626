/* The hand-made codecs say byte by byte what protobuf-c says, and read what it reads. */
#include "unit.h"

#include "door/etcd/check.h"
#include "door/etcd/message.h"
#include "rpc.pb-c.h"

/* ---- random material ---- */

static int64_t some_number(qr_prng *prng)
{
    switch (qr_prng_below(prng, 5)) {
    case 0: return 0;
    case 1: return (int64_t)qr_prng_below(prng, 200);
    case 2: return -(int64_t)qr_prng_below(prng, 1000);
    case 3: return (int64_t)((uint64_t)1 << qr_prng_below(prng, 64));
    default: return (int64_t)qr_prng_next(prng);
    }
}

static qr_slice some_bytes(qr_prng *prng, qr_arena *arena)
{
    size_t size = qr_prng_below(prng, 4) ? qr_prng_below(prng, 20) : qr_prng_below(prng, 400);
    uint8_t *bytes = qr_arena_alloc(arena, size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)qr_prng_next(prng);
    return qr_slice_of(bytes, size);
}

static qr_op_result some_result(qr_prng *prng, qr_arena *arena, qr_op_kind kind)
{
    size_t count = qr_prng_below(prng, kind == QR_OP_PUT ? 2 : 5);
    qr_key_value *kvs = qr_arena_zero(arena, count + 1, sizeof *kvs);
    for (size_t i = 0; i < count; i++)
        kvs[i] = (qr_key_value){.key = some_bytes(prng, arena),
                                .value = some_bytes(prng, arena),
                                .create_revision = (uint64_t)some_number(prng),
                                .mod_revision = (uint64_t)some_number(prng),
                                .version = (uint64_t)some_number(prng),
                                .lease = some_number(prng)};
    return (qr_op_result){.kind = kind,
                          .revision = qr_prng_below(prng, 1000),
                          .kvs = kvs,
                          .kv_count = count,
                          .count = kind == QR_OP_PUT ? 0 : qr_prng_below(prng, 1000),
                          .more = qr_prng_below(prng, 2)};
}

static qr_txn_result *some_txn_result(qr_prng *prng, qr_arena *arena, int depth)
{
    qr_txn_result *result = qr_arena_zero(arena, 1, sizeof *result);
    result->op_count = qr_prng_below(prng, 4);
    result->succeeded = qr_prng_below(prng, 2);
    qr_op_result *ops = qr_arena_zero(arena, result->op_count + 1, sizeof *ops);
    for (size_t i = 0; i < result->op_count; i++) {
        qr_op_kind kind = (qr_op_kind)(1 + qr_prng_below(prng, depth ? 4 : 3));
        ops[i] =
            kind == QR_OP_TXN ? (qr_op_result){.kind = kind, .revision = 77} : some_result(prng, arena, kind);
        if (kind == QR_OP_TXN)
            ops[i].txn = some_txn_result(prng, arena, depth - 1);
    }
    result->ops = ops;
    return result;
}

/* ---- the same by protobuf-c ---- */

static ProtobufCBinaryData data_of(qr_slice bytes)
{
    return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)bytes.data};
}

static QrMvccpb__KeyValue **kvs_of(qr_arena *arena, const qr_op_result *result)
{
    QrMvccpb__KeyValue **list = qr_arena_zero(arena, result->kv_count + 1, sizeof *list);
    for (size_t i = 0; i < result->kv_count; i++) {
        const qr_key_value *kv = &result->kvs[i];
        list[i] = qr_arena_alloc(arena, sizeof **list);
        qr_mvccpb__key_value__init(list[i]);
        list[i]->key = data_of(kv->key);
        list[i]->value = data_of(kv->value);
        list[i]->create_revision = (int64_t)kv->create_revision;
        list[i]->mod_revision = (int64_t)kv->mod_revision;
        list[i]->version = (int64_t)kv->version;
        list[i]->lease = kv->lease;
    }
    return list;
}

static QrEtcdpb__ResponseHeader *header_of(qr_arena *arena, const qr_etcd_header *header)
{
    QrEtcdpb__ResponseHeader *message = qr_arena_alloc(arena, sizeof *message);
    qr_etcdpb__response_header__init(message);
    message->cluster_id = (uint64_t)header->cluster_id;
    message->member_id = (uint64_t)header->member_id;
    message->revision = header->revision;
    message->raft_term = (uint64_t)header->raft_term;
    return message;
}

static ProtobufCMessage *message_of(qr_arena *arena, const qr_etcd_header *header, const qr_op_result *result)
{
    if (result->kind == QR_OP_RANGE) {
        QrEtcdpb__RangeResponse *message = qr_arena_alloc(arena, sizeof *message);
        qr_etcdpb__range_response__init(message);
        message->header = header_of(arena, header);
        message->kvs = kvs_of(arena, result);
        message->n_kvs = result->kv_count;
        message->more = result->more;
        message->count = (int64_t)result->count;
        return &message->base;
    }
    if (result->kind == QR_OP_PUT) {
        QrEtcdpb__PutResponse *message = qr_arena_alloc(arena, sizeof *message);
        qr_etcdpb__put_response__init(message);
        message->header = header_of(arena, header);
        message->prev_kv = kvs_of(arena, result)[0];
        return &message->base;
    }
    QrEtcdpb__DeleteRangeResponse *message = qr_arena_alloc(arena, sizeof *message);
    qr_etcdpb__delete_range_response__init(message);
    message->header = header_of(arena, header);
    message->deleted = (int64_t)result->count;
    message->prev_kvs = kvs_of(arena, result);
    message->n_prev_kvs = result->kv_count;
    return &message->base;
}

static QrEtcdpb__TxnResponse *txn_message_of(qr_arena *arena, const qr_etcd_header *header,
                                             const qr_txn_result *result)
{
    QrEtcdpb__TxnResponse *message = qr_arena_alloc(arena, sizeof *message);
    qr_etcdpb__txn_response__init(message);
    message->header = header_of(arena, header);
    message->succeeded = result->succeeded;
    message->n_responses = result->op_count;
    message->responses = qr_arena_zero(arena, result->op_count + 1, sizeof *message->responses);
    for (size_t i = 0; i < result->op_count; i++) {
        const qr_op_result *op = &result->ops[i];
        QrEtcdpb__ResponseOp *response = qr_arena_alloc(arena, sizeof *response);
        qr_etcdpb__response_op__init(response);
        response->response_case = (QrEtcdpb__ResponseOp__ResponseCase)op->kind;
        qr_etcd_header inner = {.revision = op->kind == QR_OP_TXN ? 0 : (int64_t)op->revision};
        if (op->kind == QR_OP_TXN)
            response->response_txn = txn_message_of(arena, &inner, op->txn);
        else
            response->response_range = (QrEtcdpb__RangeResponse *)message_of(arena, &inner, op);
        message->responses[i] = response;
    }
    return message;
}

static void assert_same(qr_arena *arena, const qr_buffer *ours, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *theirs = qr_arena_alloc(arena, size + 1);
    protobuf_c_message_pack(message, theirs);
    assert_int_equal(ours->size, size);
    if (size)
        assert_memory_equal(ours->data, theirs, size);
}

static void test_answers_equal_protobuf_c(void **state)
{
    qr_prng prng;
    qr_prng_seed(&prng, 1);
    qr_buffer out;
    qr_buffer_init(&out);
    qr_arena arena;
    qr_arena_init(&arena);
    for (int i = 0; i < 3000; i++) {
        qr_etcd_header header = {some_number(&prng), some_number(&prng), some_number(&prng),
                                 some_number(&prng)};
        qr_op_result range = some_result(&prng, &arena, QR_OP_RANGE);
        qr_op_result put = some_result(&prng, &arena, QR_OP_PUT);
        qr_op_result del = some_result(&prng, &arena, QR_OP_DELETE);
        qr_buffer_clear(&out);
        qr_etcd_encode_range(&out, &header, &range);
        assert_same(&arena, &out, message_of(&arena, &header, &range));
        assert_in_range(qr_etcd_operation_bytes(&range), out.size, out.size + 80);
        qr_buffer_clear(&out);
        qr_etcd_encode_put(&out, &header, &put);
        assert_same(&arena, &out, message_of(&arena, &header, &put));
        qr_buffer_clear(&out);
        qr_etcd_encode_delete(&out, &header, &del);
        assert_same(&arena, &out, message_of(&arena, &header, &del));
        qr_txn_result *txn = some_txn_result(&prng, &arena, 4);
        qr_buffer_clear(&out);
        qr_etcd_encode_txn(&out, &header, txn, &arena);
        assert_same(&arena, &out, &txn_message_of(&arena, &header, txn)->base);
        assert_true(qr_etcd_txn_bytes(txn) >= out.size);
        QrEtcdpb__CompactionResponse compaction = QR_ETCDPB__COMPACTION_RESPONSE__INIT;
        compaction.header = header_of(&arena, &header);
        qr_buffer_clear(&out);
        qr_etcd_encode_header(&out, &header);
        assert_same(&arena, &out, &compaction.base);
        qr_arena_reset(&arena);
    }
    qr_arena_free(&arena);
    qr_buffer_free(&out);
}

/* A nested answer whose sizes need several length bytes, at the depth the operation limit allows. */
static void test_deep_answer(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    char *text = qr_arena_zero(&arena, 1, 20000);
    qr_key_value kv = {.key = qr_slice_of("k", 1), .value = qr_slice_of(text, 20000), .version = 1};
    qr_op_result leaf = {.kind = QR_OP_RANGE, .revision = 5, .kvs = &kv, .kv_count = 1, .count = 1};
    qr_txn_result *result = qr_arena_zero(&arena, 1, sizeof *result);
    result->ops = &leaf;
    result->op_count = 1;
    for (int i = 0; i < 127; i++) {
        qr_op_result *op = qr_arena_zero(&arena, 1, sizeof *op);
        *op = (qr_op_result){.kind = QR_OP_TXN, .txn = result};
        result = qr_arena_zero(&arena, 1, sizeof *result);
        result->ops = op;
        result->op_count = 1;
    }
    qr_etcd_header header = {1, 2, 3, 4};
    qr_buffer out;
    qr_buffer_init(&out);
    qr_etcd_encode_txn(&out, &header, result, &arena);
    assert_same(&arena, &out, &txn_message_of(&arena, &header, result)->base);
    qr_buffer_free(&out);
    qr_arena_free(&arena);
}

/* ---- requests ---- */

#define SAME_NUMBER(ours, theirs)  assert_int_equal(ours, theirs)
#define SAME_FLAG(ours, theirs)    assert_int_equal(ours, theirs)
#define SAME_BYTES(ours, theirs)   assert_true(qr_slice_equal(ours, qr_slice_of((theirs).data, (theirs).len)))
#define SAME(number, kind, member) SAME_##kind(ours.member, theirs->member);

/* Decodes the same bytes both ways; where both accept them, every member is equal. Says whether we accepted.
 */
#define COMPARE_DECODERS(name, TABLE, descriptor, Type)                                                      \
    static bool compare_##name(qr_slice bytes, bool *both)                                                   \
    {                                                                                                        \
        qr_etcd_##name##_request ours;                                                                       \
        bool accepted = qr_etcd_decode_##name(bytes, &ours);                                                 \
        ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, bytes.size, bytes.data);     \
        *both = accepted && message;                                                                         \
        if (*both) {                                                                                         \
            const Type *theirs = (const Type *)message;                                                      \
            TABLE(SAME)                                                                                      \
        }                                                                                                    \
        if (message)                                                                                         \
            protobuf_c_message_free_unpacked(message, NULL);                                                 \
        return accepted;                                                                                     \
    }

COMPARE_DECODERS(range, QR_ETCD_RANGE_REQUEST, &qr_etcdpb__range_request__descriptor, QrEtcdpb__RangeRequest)
COMPARE_DECODERS(put, QR_ETCD_PUT_REQUEST, &qr_etcdpb__put_request__descriptor, QrEtcdpb__PutRequest)
COMPARE_DECODERS(delete, QR_ETCD_DELETE_REQUEST, &qr_etcdpb__delete_range_request__descriptor,
                 QrEtcdpb__DeleteRangeRequest)
COMPARE_DECODERS(compact, QR_ETCD_COMPACT_REQUEST, &qr_etcdpb__compaction_request__descriptor,
                 QrEtcdpb__CompactionRequest)

typedef bool (*comparer)(qr_slice bytes, bool *both);
static const comparer comparers[] = {compare_range, compare_put, compare_delete, compare_compact};

static void test_requests_read_as_protobuf_c_reads_them(void **state)
{
    qr_prng prng;
    qr_prng_seed(&prng, 2);
    qr_arena arena;
    qr_arena_init(&arena);
    for (int i = 0; i < 3000; i++) {
        QrEtcdpb__RangeRequest range = QR_ETCDPB__RANGE_REQUEST__INIT;
        range.key = data_of(some_bytes(&prng, &arena));
        range.range_end = data_of(some_bytes(&prng, &arena));
        range.limit = some_number(&prng);
        range.revision = some_number(&prng);
        range.sort_order = (QrEtcdpb__RangeRequest__SortOrder)qr_prng_below(&prng, 4);
        range.sort_target = (QrEtcdpb__RangeRequest__SortTarget)qr_prng_below(&prng, 6);
        range.serializable = qr_prng_below(&prng, 2);
        range.keys_only = qr_prng_below(&prng, 2);
        range.count_only = qr_prng_below(&prng, 2);
        range.min_mod_revision = some_number(&prng);
        range.max_mod_revision = some_number(&prng);
        range.min_create_revision = some_number(&prng);
        range.max_create_revision = some_number(&prng);
        QrEtcdpb__PutRequest put = QR_ETCDPB__PUT_REQUEST__INIT;
        put.key = range.key;
        put.value = range.range_end;
        put.lease = some_number(&prng);
        put.prev_kv = qr_prng_below(&prng, 2);
        put.ignore_value = qr_prng_below(&prng, 2);
        put.ignore_lease = qr_prng_below(&prng, 2);
        QrEtcdpb__DeleteRangeRequest del = QR_ETCDPB__DELETE_RANGE_REQUEST__INIT;
        del.key = range.key;
        del.range_end = range.range_end;
        del.prev_kv = put.prev_kv;
        QrEtcdpb__CompactionRequest compact = QR_ETCDPB__COMPACTION_REQUEST__INIT;
        compact.revision = some_number(&prng);
        compact.physical = put.prev_kv;
        const ProtobufCMessage *messages[] = {&range.base, &put.base, &del.base, &compact.base};
        for (size_t j = 0; j < 4; j++) {
            uint8_t *bytes = qr_arena_alloc(&arena, protobuf_c_message_get_packed_size(messages[j]) + 1);
            size_t size = protobuf_c_message_pack(messages[j], bytes);
            bool both;
            assert_true(comparers[j](qr_slice_of(bytes, size), &both));
            assert_true(both);
            if (size) /* a cut message is malformed or a shorter one, for both in the same way */
                comparers[j](qr_slice_of(bytes, qr_prng_below(&prng, size)), &both);
        }
        qr_etcd_range_request again;
        qr_etcd_range_from(&range, &again);
        assert_int_equal(again.max_create_revision, range.max_create_revision);
        qr_arena_reset(&arena);
    }
    qr_arena_free(&arena);
}

static void test_unknown_fields_are_skipped(void **state)
{
    /* field 20 varint, field 21 fixed64, field 22 bytes, field 23 fixed32, then key = "k" */
    static const uint8_t bytes[] = {0xa0, 1, 5, 0xa9, 1,    1, 2, 3, 4, 5, 6,    7, 8,  0xb2,
                                    1,    2, 9, 9,    0xbd, 1, 1, 2, 3, 4, 0x0a, 1, 'k'};
    qr_etcd_put_request request;
    assert_true(qr_etcd_decode_put(qr_slice_of(bytes, sizeof bytes), &request));
    assert_int_equal(request.key.size, 1);
    bool both;
    assert_true(compare_put(qr_slice_of(bytes, sizeof bytes), &both) && both);
}

static void test_malformed_requests_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"\x0a\x05k", 3},                                          /* a key longer than the message */
               {"\x08\x01", 2},                                           /* key as a number */
               {"\x1a\x01k", 3},                                          /* a number as bytes */
               {"\x0a", 1},                                               /* no length */
               {"\x00\x00", 2},                                           /* field 0 */
               {"\x0b\x0c", 2},                                           /* a group */
               {"\x80", 1},                                               /* half a tag */
               {"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12}}; /* more than 64 bits */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qr_etcd_range_request range;
        qr_etcd_put_request put;
        assert_false(qr_etcd_decode_range(qr_slice_of(bad[i].bytes, bad[i].size), &range));
        assert_false(qr_etcd_decode_put(qr_slice_of(bad[i].bytes, bad[i].size), &put));
    }
}

static void test_random_bytes(void **state)
{
    qr_prng prng;
    qr_prng_seed(&prng, 3);
    size_t accepted = 0;
    for (int i = 0; i < 40000; i++) {
        uint8_t bytes[40];
        size_t size = qr_prng_below(&prng, sizeof bytes);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)(qr_prng_below(&prng, 2) ? qr_prng_below(&prng, 0x30) : qr_prng_next(&prng));
        for (size_t j = 0; j < sizeof comparers / sizeof comparers[0]; j++) {
            bool both;
            comparers[j](qr_slice_of(bytes, size), &both);
            accepted += both;
        }
    }
    assert_true(accepted > 1000); /* the generator does reach the comparison */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_equal_protobuf_c),
        cmocka_unit_test(test_deep_answer),
        cmocka_unit_test(test_requests_read_as_protobuf_c_reads_them),
        cmocka_unit_test(test_unknown_fields_are_skipped),
        cmocka_unit_test(test_malformed_requests_are_refused),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
