/* From etcd's requests to the language below, and the one corner that is finished on the way back. */
#include "unit.h"

#include "door/etcd/translate.h"

static void assert_slice(qr_slice slice, const char *text)
{
    assert_true(qr_slice_equal(slice, qr_slice_text(text)));
}

static void test_range_ends(void **state)
{
    qr_span span = qr_etcd_span(qr_slice_text("k"), qr_slice_of(NULL, 0));
    assert_int_equal(span.kind, QR_SPAN_KEY);
    assert_int_equal(span.space, QR_SPACE_KEYS);
    assert_slice(span.key, "k");
    span = qr_etcd_span(qr_slice_text("k"), qr_slice_of("\0", 1));
    assert_int_equal(span.kind, QR_SPAN_FROM);
    span = qr_etcd_span(qr_slice_of("\0", 1), qr_slice_of("\0", 1)); /* everything */
    assert_int_equal(span.kind, QR_SPAN_FROM);
    assert_int_equal(span.key.size, 1);
    span = qr_etcd_span(qr_slice_text("k"), qr_slice_text("l"));
    assert_int_equal(span.kind, QR_SPAN_RANGE);
    assert_slice(span.end, "l");
    span = qr_etcd_span(qr_slice_text("k"),
                        qr_slice_of("\0\0", 2)); /* below the key: an empty range, not "from" */
    assert_int_equal(span.kind, QR_SPAN_RANGE);
    span = qr_etcd_span(qr_slice_text("z"), qr_slice_text("a"));
    assert_int_equal(span.kind, QR_SPAN_RANGE);
}

static qr_range translated(qr_etcd_range_request request)
{
    qr_range range;
    request.key = qr_slice_text("k");
    qr_etcd_translate_range(&request, &range);
    return range;
}

static void test_range_options(void **state)
{
    qr_range range = translated((qr_etcd_range_request){0});
    assert_int_equal(range.limit, 0);
    assert_int_equal(range.revision, 0);
    assert_int_equal(range.order, QR_ORDER_NONE);
    range = translated((qr_etcd_range_request){.limit = -2, .revision = -7});
    assert_int_equal(range.limit, 0);
    assert_int_equal(range.revision, 0);
    range =
        translated((qr_etcd_range_request){.limit = 5, .revision = 9, .keys_only = true, .count_only = true});
    assert_int_equal(range.limit, 5);
    assert_int_equal(range.revision, 9);
    assert_true(range.keys_only && range.count_only);
    range = translated((qr_etcd_range_request){.sort_order = 2, .sort_target = 4, .limit = 3});
    assert_int_equal(range.order, QR_ORDER_DOWN);
    assert_int_equal(range.sort, QR_SORT_VALUE);
    assert_int_equal(range.limit, 3);
    /* a target without an order sorts upwards; before the limit only if a filter is there */
    range = translated((qr_etcd_range_request){.sort_target = 1});
    assert_int_equal(range.order, QR_ORDER_UP);
    range = translated((qr_etcd_range_request){.sort_target = 1, .limit = 3, .min_mod_revision = 2});
    assert_int_equal(range.order, QR_ORDER_UP);
    assert_int_equal(range.limit, 3);
    range = translated((qr_etcd_range_request){.sort_target = 1, .limit = 3, .keys_only = true});
    assert_int_equal(range.order, QR_ORDER_NONE);
    assert_int_equal(range.sort, QR_SORT_KEY);
    assert_int_equal(range.limit, 4);
    assert_false(range.keys_only);
}

static void test_range_filters(void **state)
{
    qr_range range = translated((qr_etcd_range_request){
        .min_mod_revision = 2, .max_mod_revision = 8, .min_create_revision = 3, .max_create_revision = 4});
    assert_int_equal(range.mod_revision_min, 2);
    assert_int_equal(range.mod_revision_max, 8);
    assert_int_equal(range.create_revision_min, 3);
    assert_int_equal(range.create_revision_max, 4);
    range = translated((qr_etcd_range_request){.min_mod_revision = -2, .max_create_revision = -1});
    assert_int_equal(range.mod_revision_min, 0);
    assert_true(range.create_revision_min > range.create_revision_max); /* nothing passes */
}

static void test_put_and_delete(void **state)
{
    qr_put put;
    qr_etcd_put_request request = {.key = qr_slice_text("k"), .value = qr_slice_text("v"), .lease = 7};
    qr_etcd_translate_put(&request, &put);
    assert_int_equal(put.space, QR_SPACE_KEYS);
    assert_int_equal(put.options, 0);
    assert_int_equal(put.lease, 7);
    assert_slice(put.value, "v");
    request = (qr_etcd_put_request){
        .key = qr_slice_text("k"), .prev_kv = true, .ignore_value = true, .ignore_lease = true};
    qr_etcd_translate_put(&request, &put);
    assert_int_equal(put.options, QR_PUT_WANT_PREVIOUS | QR_PUT_KEEP_VALUE | QR_PUT_KEEP_LEASE);
    qr_delete del;
    qr_etcd_delete_request gone = {
        .key = qr_slice_text("a"), .range_end = qr_slice_text("b"), .prev_kv = true};
    qr_etcd_translate_delete(&gone, &del);
    assert_int_equal(del.span.kind, QR_SPAN_RANGE);
    assert_true(del.want_previous);
}

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static qr_condition condition_of(QrEtcdpb__Compare *compare, qr_arena *arena)
{
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    request.compare = &compare;
    request.n_compare = 1;
    qr_txn txn;
    qr_etcd_translate_txn(&request, arena, &txn);
    assert_int_equal(txn.condition_count, 1);
    return txn.conditions[0];
}

static void test_compares(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    QrEtcdpb__Compare compare = QR_ETCDPB__COMPARE__INIT;
    compare.key = data_of("k");
    compare.result = QR_ETCDPB__COMPARE__COMPARE_RESULT__NOT_EQUAL;
    compare.target = QR_ETCDPB__COMPARE__COMPARE_TARGET__MOD;
    compare.target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_MOD_REVISION;
    compare.mod_revision = 12;
    qr_condition condition = condition_of(&compare, &arena);
    assert_int_equal(condition.target, QR_TARGET_MOD);
    assert_int_equal(condition.relation, QR_IS_NOT_EQUAL);
    assert_int_equal(condition.number, 12);
    assert_int_equal(condition.span.kind, QR_SPAN_KEY);
    /* the member of another target counts as zero */
    compare.target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_VERSION;
    assert_int_equal(condition_of(&compare, &arena).number, 0);
    compare.target = QR_ETCDPB__COMPARE__COMPARE_TARGET__VALUE;
    compare.target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_VALUE;
    compare.value = data_of("v");
    compare.range_end = data_of("l");
    condition = condition_of(&compare, &arena);
    assert_slice(condition.value, "v");
    assert_int_equal(condition.span.kind, QR_SPAN_RANGE);
    compare.target = QR_ETCDPB__COMPARE__COMPARE_TARGET__LEASE;
    condition = condition_of(&compare, &arena);
    assert_int_equal(condition.number, 0);
    assert_int_equal(condition.value.size, 0);
    qr_arena_free(&arena);
}

static void test_reads_only(void **state)
{
    QrEtcdpb__RangeRequest range = QR_ETCDPB__RANGE_REQUEST__INIT;
    QrEtcdpb__TxnRequest inner = QR_ETCDPB__TXN_REQUEST__INIT;
    QrEtcdpb__RequestOp reading = QR_ETCDPB__REQUEST_OP__INIT, nesting = QR_ETCDPB__REQUEST_OP__INIT;
    reading.request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    reading.request_range = &range;
    nesting.request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN;
    nesting.request_txn = &inner;
    QrEtcdpb__RequestOp *success[] = {&reading}, *failure[] = {&nesting};
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    assert_true(qr_etcd_txn_reads_only(&request) && qr_etcd_txn_is_serializable(&request));
    request.success = success;
    request.n_success = 1;
    assert_true(qr_etcd_txn_reads_only(&request));
    assert_false(qr_etcd_txn_is_serializable(&request));
    range.serializable = true;
    assert_true(qr_etcd_txn_is_serializable(&request));
    request.failure = failure;
    request.n_failure = 1;
    assert_false(qr_etcd_txn_reads_only(&request)); /* a nested txn counts as a write */
}

/* limit 2 of a=3 b=2 c=1 d=0, by value without an order: etcd 3.4.23 answers c, b and "more". */
static void test_late_sort_as_probed(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    static const char *const keys[] = {"a", "b", "c"}, *const values[] = {"3", "2", "1"};
    qr_key_value kvs[3];
    memset(kvs, 0, sizeof kvs);
    for (size_t i = 0; i < 3; i++) {
        kvs[i].key = qr_slice_text(keys[i]);
        kvs[i].value = qr_slice_text(values[i]);
        kvs[i].version = 3 - (i == 0);
    }
    qr_op_result result = {.kind = QR_OP_RANGE, .kvs = kvs, .kv_count = 3, .count = 4, .more = true};
    qr_etcd_range_request request = {.limit = 2, .sort_target = 4};
    const qr_op_result *sorted = qr_etcd_sort_late(&request, &result, &arena);
    assert_int_equal(sorted->kv_count, 2);
    assert_true(sorted->more);
    assert_int_equal(sorted->count, 4);
    assert_slice(sorted->kvs[0].key, "c");
    assert_slice(sorted->kvs[1].key, "b");
    assert_slice(sorted->kvs[1].value, "2");
    request.keys_only = true;
    sorted = qr_etcd_sort_late(&request, &result, &arena);
    assert_slice(sorted->kvs[0].key, "c");
    assert_int_equal(sorted->kvs[0].value.size, 0);
    /* equals keep the order of keys */
    request = (qr_etcd_range_request){.limit = 3, .sort_target = 1};
    sorted = qr_etcd_sort_late(&request, &result, &arena);
    assert_false(sorted->more);
    assert_slice(sorted->kvs[0].key, "a");
    assert_slice(sorted->kvs[1].key, "b");
    assert_slice(sorted->kvs[2].key, "c");
    /* anything else is passed through */
    request.sort_order = 1;
    assert_ptr_equal(qr_etcd_sort_late(&request, &result, &arena), &result);
    qr_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_range_ends),
        cmocka_unit_test(test_range_options),
        cmocka_unit_test(test_range_filters),
        cmocka_unit_test(test_put_and_delete),
        cmocka_unit_test(test_compares),
        cmocka_unit_test(test_reads_only),
        cmocka_unit_test(test_late_sort_as_probed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
