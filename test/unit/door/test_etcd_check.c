/* The checks of requests, and the table of errors. */
#include "unit.h"

#include "door/etcd/check.h"

/* ---- building txns ---- */

typedef QrEtcdpb__RequestOp op;

static qr_arena arena;

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static op *new_op(QrEtcdpb__RequestOp__RequestCase kind)
{
    op *made = qr_arena_alloc(&arena, sizeof *made);
    qr_etcdpb__request_op__init(made);
    made->request_case = kind;
    return made;
}

static op *put(const char *key)
{
    op *made = new_op(QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT);
    made->request_put = qr_arena_alloc(&arena, sizeof *made->request_put);
    qr_etcdpb__put_request__init(made->request_put);
    made->request_put->key = data_of(key);
    return made;
}

static op *del(const char *key, const char *end)
{
    op *made = new_op(QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE);
    made->request_delete_range = qr_arena_alloc(&arena, sizeof *made->request_delete_range);
    qr_etcdpb__delete_range_request__init(made->request_delete_range);
    made->request_delete_range->key = data_of(key);
    if (end)
        made->request_delete_range->range_end =
            *end ? data_of(end) : (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)end};
    return made;
}

static op *range(const char *key)
{
    op *made = new_op(QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE);
    made->request_range = qr_arena_alloc(&arena, sizeof *made->request_range);
    qr_etcdpb__range_request__init(made->request_range);
    made->request_range->key = data_of(key);
    return made;
}

typedef struct ops {
    op *list[200];
    size_t count;
} ops;

#define OPS(...) ops_of((op *[]){__VA_ARGS__, NULL})

static ops *ops_of(op *const *list)
{
    ops *made = qr_arena_zero(&arena, 1, sizeof *made);
    for (; list[made->count]; made->count++)
        made->list[made->count] = list[made->count];
    return made;
}

static QrEtcdpb__TxnRequest *txn_of(ops *success, ops *failure)
{
    QrEtcdpb__TxnRequest *made = qr_arena_alloc(&arena, sizeof *made);
    qr_etcdpb__txn_request__init(made);
    if (success) {
        made->success = success->list;
        made->n_success = success->count;
    }
    if (failure) {
        made->failure = failure->list;
        made->n_failure = failure->count;
    }
    return made;
}

static op *txn(ops *success, ops *failure)
{
    op *made = new_op(QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN);
    made->request_txn = txn_of(success, failure);
    return made;
}

static qr_etcd_error check(ops *success, ops *failure)
{
    return qr_etcd_check_txn(txn_of(success, failure), 128, &arena);
}

static int fresh(void **state)
{
    qr_arena_init(&arena);
    return 0;
}

static int gone(void **state)
{
    qr_arena_free(&arena);
    return 0;
}

/* ---- single requests ---- */

static void test_range(void **state)
{
    qr_etcd_range_request request = {0};
    assert_int_equal(qr_etcd_check_range(&request), QR_ETCD_E_EMPTY_KEY);
    request.key = qr_slice_text("k");
    assert_int_equal(qr_etcd_check_range(&request), QR_ETCD_E_NONE);
    request.sort_order = 3;
    assert_int_equal(qr_etcd_check_range(&request), QR_ETCD_E_INVALID_SORT);
    request.sort_order = -1;
    assert_int_equal(qr_etcd_check_range(&request), QR_ETCD_E_INVALID_SORT);
    request.sort_order = 2;
    request.sort_target = 4;
    assert_int_equal(qr_etcd_check_range(&request), QR_ETCD_E_NONE);
    request.sort_target = 5;
    assert_int_equal(qr_etcd_check_range(&request), QR_ETCD_E_INVALID_SORT);
    request.sort_target = 0;
    request.limit = -3;
    assert_int_equal(qr_etcd_check_range(&request), QR_ETCD_E_NONE);
}

static void test_put(void **state)
{
    qr_etcd_put_request request = {
        .ignore_value = true, .value = qr_slice_text("v"), .ignore_lease = true, .lease = 1};
    assert_int_equal(qr_etcd_check_put(&request), QR_ETCD_E_EMPTY_KEY);
    request.key = qr_slice_text("k");
    assert_int_equal(qr_etcd_check_put(&request), QR_ETCD_E_VALUE_PROVIDED);
    request.ignore_value = false;
    assert_int_equal(qr_etcd_check_put(&request), QR_ETCD_E_LEASE_PROVIDED);
    request.lease = 0;
    assert_int_equal(qr_etcd_check_put(&request), QR_ETCD_E_NONE);
}

static void test_delete(void **state)
{
    qr_etcd_delete_request request = {.range_end = qr_slice_text("z")};
    assert_int_equal(qr_etcd_check_delete(&request), QR_ETCD_E_EMPTY_KEY);
    request.key = qr_slice_text("k");
    assert_int_equal(qr_etcd_check_delete(&request), QR_ETCD_E_NONE);
}

/* ---- txns ---- */

static void test_txn_operations(void **state)
{
    op *bad;
    assert_int_equal(check(NULL, NULL), QR_ETCD_E_NONE);
    assert_int_equal(check(OPS(new_op(QR_ETCDPB__REQUEST_OP__REQUEST__NOT_SET)), NULL),
                     QR_ETCD_E_KEY_NOT_FOUND);
    assert_int_equal(check(OPS(range("")), NULL), QR_ETCD_E_EMPTY_KEY);
    assert_int_equal(check(OPS(put("")), NULL), QR_ETCD_E_EMPTY_KEY);
    assert_int_equal(check(NULL, OPS(del("", NULL))), QR_ETCD_E_EMPTY_KEY);
    assert_int_equal(check(OPS(txn(OPS(put("")), NULL)), NULL), QR_ETCD_E_EMPTY_KEY);
    bad = put("k");
    bad->request_put->ignore_value = true;
    bad->request_put->value = data_of("v");
    assert_int_equal(check(OPS(bad), NULL), QR_ETCD_E_VALUE_PROVIDED);
    bad = range("k");
    bad->request_range->sort_target = 9;
    assert_int_equal(check(OPS(txn(NULL, OPS(bad))), NULL), QR_ETCD_E_INVALID_SORT);
    bad = range("k");
    bad->request_range->revision = -5;
    assert_int_equal(check(OPS(bad), NULL), QR_ETCD_E_COMPACTED);
}

static void test_txn_compares(void **state)
{
    QrEtcdpb__Compare compare = QR_ETCDPB__COMPARE__INIT;
    QrEtcdpb__Compare *list[] = {&compare};
    QrEtcdpb__TxnRequest *request = txn_of(NULL, NULL);
    request->compare = list;
    request->n_compare = 1;
    assert_int_equal(qr_etcd_check_txn(request, 128, &arena), QR_ETCD_E_EMPTY_KEY);
    compare.key = data_of("k");
    assert_int_equal(qr_etcd_check_txn(request, 128, &arena), QR_ETCD_E_NONE);
    compare.result = 4;
    assert_int_equal(qr_etcd_check_txn(request, 128, &arena), QR_ETCD_E_INVALID_COMPARE);
    compare.result = 3;
    compare.target = 5;
    assert_int_equal(qr_etcd_check_txn(request, 128, &arena), QR_ETCD_E_INVALID_COMPARE);
    compare.target = 4;
    assert_int_equal(qr_etcd_check_txn(request, 128, &arena), QR_ETCD_E_NONE);
    assert_int_equal(qr_etcd_check_txn(request, 0, &arena), QR_ETCD_E_TOO_MANY_OPERATIONS);
}

static ops *many_ranges(size_t count)
{
    ops *made = qr_arena_zero(&arena, 1, sizeof *made);
    for (; made->count < count; made->count++)
        made->list[made->count] = range("k");
    return made;
}

static void test_txn_operation_limit(void **state)
{
    assert_int_equal(check(many_ranges(128), many_ranges(128)), QR_ETCD_E_NONE);
    assert_int_equal(check(many_ranges(129), NULL), QR_ETCD_E_TOO_MANY_OPERATIONS);
    assert_int_equal(check(NULL, many_ranges(129)), QR_ETCD_E_TOO_MANY_OPERATIONS);
    /* what a level takes is missing for those inside: 1 + 127 fits, 1 + 128 does not */
    assert_int_equal(check(OPS(txn(many_ranges(127), NULL)), NULL), QR_ETCD_E_NONE);
    assert_int_equal(check(OPS(txn(many_ranges(128), NULL)), NULL), QR_ETCD_E_TOO_MANY_OPERATIONS);
    /* but not for its neighbours */
    assert_int_equal(check(OPS(txn(many_ranges(126), NULL), txn(many_ranges(126), NULL)), NULL),
                     QR_ETCD_E_NONE);
}

/* Every line was put to etcd 3.4.23 and answered so. */
static void test_duplicate_keys_as_probed(void **state)
{
    const qr_etcd_error twice = QR_ETCD_E_DUPLICATE_KEY, fine = QR_ETCD_E_NONE;
    assert_int_equal(check(OPS(put("x"), put("x")), NULL), twice);
    assert_int_equal(check(NULL, OPS(put("x"), put("x"))), twice); /* also in the branch that would not run */
    assert_int_equal(check(OPS(put("x")), OPS(put("x"))), fine);
    assert_int_equal(check(OPS(put("x"), del("x", NULL)), NULL), twice);
    assert_int_equal(check(OPS(put("x"), del("w", "y")), NULL), twice);
    assert_int_equal(check(OPS(del("w", "x"), put("x")), NULL), fine); /* the end is not in the range */
    assert_int_equal(check(OPS(del("w", "y"), del("w", "z")), NULL), fine);
    assert_int_equal(check(OPS(del("y", "w"), put("x")), NULL), fine);  /* an empty range */
    assert_int_equal(check(OPS(del("a", "\0"), put("b")), NULL), fine); /* "from the key on" is not seen */
    assert_int_equal(check(OPS(txn(OPS(put("x")), NULL), txn(OPS(put("x")), NULL)), NULL), twice);
    assert_int_equal(check(OPS(txn(OPS(put("x")), OPS(put("x")))), NULL), fine);
    assert_int_equal(check(OPS(txn(OPS(del("w", "y")), OPS(put("x")))), NULL), fine);
    assert_int_equal(check(OPS(txn(OPS(put("x")), NULL), txn(OPS(del("w", "y")), NULL)), NULL), fine);
    assert_int_equal(check(OPS(txn(OPS(del("w", "y")), NULL), txn(OPS(put("x")), NULL)), NULL), twice);
    assert_int_equal(check(OPS(txn(OPS(del("w", "y")), NULL), put("x")), NULL), twice);
    assert_int_equal(check(OPS(put("x"), txn(OPS(del("w", "y")), NULL)), NULL), twice);
    assert_int_equal(check(OPS(txn(NULL, OPS(put("x"))), del("w", "y")), NULL), twice);
    assert_int_equal(check(OPS(txn(OPS(put("x")), OPS(put("x"))), put("x")), NULL), twice);
}

/* ---- the rule against a plain reading of it, on random txns ---- */

typedef struct change {
    bool is_put;
    char key, end; /* end 0 = the key alone */
} change;

typedef struct change_list {
    change puts[4000], dels[4000];
    size_t put_count, del_count;
} change_list;

static bool hits(change deletion, char key)
{
    return deletion.end ? deletion.key <= key && key < deletion.end : deletion.key == key;
}

static bool put_collides(const change_list *have, char key, const change_list *allowed)
{
    for (size_t i = 0; i < have->del_count; i++)
        if (hits(have->dels[i], key))
            return true;
    for (size_t i = 0; i < have->put_count; i++) {
        if (have->puts[i].key != key)
            continue;
        bool safe = false;
        for (size_t j = 0; allowed && j < allowed->put_count; j++)
            safe = safe || allowed->puts[j].key == key;
        if (!safe)
            return true;
    }
    return false;
}

static change change_of(const op *from)
{
    if (from->request_case == QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT)
        return (change){.is_put = true, .key = (char)from->request_put->key.data[0]};
    const QrEtcdpb__DeleteRangeRequest *request = from->request_delete_range;
    return (change){.key = (char)request->key.data[0],
                    .end = (char)(request->range_end.len ? request->range_end.data[0] : 0)};
}

/* The order of etcd's own check, quadratic: deletes of the level, children, puts of the level. */
static bool plainly_twice(op *const *list, size_t count, change_list *found)
{
    for (size_t i = 0; i < count; i++)
        if (list[i]->request_case == QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE)
            found->dels[found->del_count++] = change_of(list[i]);
    for (size_t i = 0; i < count; i++) {
        if (list[i]->request_case != QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN)
            continue;
        const QrEtcdpb__TxnRequest *child = list[i]->request_txn;
        change_list *then = qr_alloc_zero(1, sizeof *then), *otherwise = qr_alloc_zero(1, sizeof *otherwise);
        bool twice = plainly_twice(child->success, child->n_success, then) ||
                     plainly_twice(child->failure, child->n_failure, otherwise);
        for (size_t j = 0; j < then->put_count && !twice; j++)
            twice = put_collides(found, then->puts[j].key, NULL);
        for (size_t j = 0; j < then->put_count && !twice; j++)
            found->puts[found->put_count++] = then->puts[j];
        for (size_t j = 0; j < otherwise->put_count && !twice; j++)
            twice = put_collides(found, otherwise->puts[j].key, then);
        for (size_t j = 0; j < otherwise->put_count && !twice; j++)
            found->puts[found->put_count++] = otherwise->puts[j];
        for (size_t j = 0; j < then->del_count; j++)
            found->dels[found->del_count++] = then->dels[j];
        for (size_t j = 0; j < otherwise->del_count; j++)
            found->dels[found->del_count++] = otherwise->dels[j];
        qr_free(then);
        qr_free(otherwise);
        if (twice)
            return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i]->request_case != QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT)
            continue;
        if (put_collides(found, change_of(list[i]).key, NULL))
            return true;
        found->puts[found->put_count++] = change_of(list[i]);
    }
    return false;
}

static const char *some_key(qr_prng *prng, int keys)
{
    return qr_arena_format(&arena, "%c", (char)('b' + qr_prng_below(prng, (uint64_t)keys)));
}

static ops *some_ops(qr_prng *prng, int depth, int keys)
{
    ops *made = qr_arena_zero(&arena, 1, sizeof *made);
    size_t count = qr_prng_below(prng, 4);
    while (made->count < count) {
        uint64_t kind = qr_prng_below(prng, depth ? 5 : 3);
        made->list[made->count++] =
            kind == 0   ? put(some_key(prng, keys))
            : kind == 1 ? del(some_key(prng, keys), qr_prng_below(prng, 2) ? some_key(prng, keys) : NULL)
            : kind == 2 ? range("r")
                        : txn(some_ops(prng, depth - 1, keys), some_ops(prng, depth - 1, keys));
    }
    return made;
}

static void test_duplicate_keys_against_the_plain_rule(void **state)
{
    qr_prng prng;
    qr_prng_seed(&prng, 4);
    change_list *found = qr_alloc(sizeof *found);
    size_t twice = 0, rounds = 6000;
    for (size_t i = 0; i < rounds; i++) {
        ops *list = some_ops(&prng, 3, i % 2 ? 24 : 6);
        memset(found, 0, sizeof *found);
        bool expected = plainly_twice(list->list, list->count, found);
        assert_int_equal(qr_etcd_changes_twice(list->list, list->count, &arena), expected);
        twice += expected;
        qr_arena_reset(&arena);
    }
    qr_free(found);
    assert_in_range(twice, rounds / 10, rounds * 9 / 10); /* both answers are common */
}

/* Some ten thousand operations in nested branches: quadratic work would take minutes under the sanitizers. */
static void test_many_operations(void **state)
{
    op *inner = NULL;
    int number = 0;
    for (int level = 0; level < 100; level++) {
        ops *list = qr_arena_zero(&arena, 1, sizeof *list);
        while (list->count < 100) {
            list->list[list->count++] = put(qr_arena_format(&arena, "%08d", number));
            list->list[list->count++] =
                del(qr_arena_format(&arena, "%08d!", number), qr_arena_format(&arena, "%08d", number + 1));
            number++;
        }
        if (inner)
            list->list[list->count++] = inner;
        inner = level % 2 ? txn(list, NULL) : txn(NULL, list);
    }
    ops *root = OPS(inner);
    assert_false(qr_etcd_changes_twice(root->list, root->count, &arena));
    root = OPS(inner, put("00000000"));
    assert_true(qr_etcd_changes_twice(root->list, root->count, &arena));
}

/* ---- errors ---- */

static void test_error_table(void **state)
{
    static const struct {
        qr_status status;
        qr_grpc_code code;
        const char *text;
    } rows[] = {
        {QR_E_NO_LEADER, QR_GRPC_UNAVAILABLE, "etcdserver: no leader"},
        {QR_E_TIMEOUT, QR_GRPC_UNAVAILABLE, "etcdserver: request timed out"},
        {QR_E_NOT_APPLIED, QR_GRPC_UNAVAILABLE, "etcdserver: leader changed"},
        {QR_E_BUSY, QR_GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests"},
        {QR_E_STOPPED, QR_GRPC_UNAVAILABLE, "etcdserver: server stopped"},
        {QR_E_HALTED, QR_GRPC_UNAVAILABLE, "etcdserver: server stopped"},
        {QR_E_NOT_LEADER, QR_GRPC_FAILED_PRECONDITION, "etcdserver: not leader"},
        {QR_E_COMPACTED, QR_GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"},
        {QR_E_FUTURE_REVISION, QR_GRPC_OUT_OF_RANGE,
         "etcdserver: mvcc: required revision is a future revision"},
        {QR_E_KEY_NOT_FOUND, QR_GRPC_INVALID_ARGUMENT, "etcdserver: key not found"},
        {QR_E_LEASE_NOT_FOUND, QR_GRPC_NOT_FOUND, "etcdserver: requested lease not found"},
        {QR_E_LEASE_EXISTS, QR_GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists"},
        {QR_E_DUPLICATE_KEY, QR_GRPC_INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"},
        {QR_E_QUOTA, QR_GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"},
        {QR_E_TOO_LARGE, QR_GRPC_INVALID_ARGUMENT, "etcdserver: request is too large"},
        {QR_E_DENIED, QR_GRPC_PERMISSION_DENIED, "etcdserver: permission denied"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qr_etcd_error error = qr_etcd_error_of(rows[i].status);
        assert_int_equal(qr_etcd_error_code(error), rows[i].code);
        assert_string_equal(qr_etcd_error_text(error), rows[i].text);
    }
    for (int status = 1; status < QR_STATUS_COUNT; status++)
        assert_int_not_equal(qr_etcd_error_of((qr_status)status), QR_ETCD_E_NONE);
    static const struct {
        qr_etcd_error error;
        const char *text;
    } texts[] = {{QR_ETCD_E_EMPTY_KEY, "etcdserver: key is not provided"},
                 {QR_ETCD_E_VALUE_PROVIDED, "etcdserver: value is provided"},
                 {QR_ETCD_E_LEASE_PROVIDED, "etcdserver: lease is provided"},
                 {QR_ETCD_E_TOO_MANY_OPERATIONS, "etcdserver: too many operations in txn request"},
                 {QR_ETCD_E_DUPLICATE_KEY, "etcdserver: duplicate key given in txn request"},
                 {QR_ETCD_E_INVALID_SORT, "etcdserver: invalid sort option"},
                 {QR_ETCD_E_BAD_TRANSFEREE, "etcdserver: bad leader transferee"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_string_equal(qr_etcd_error_text(texts[i].error), texts[i].text);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_range),
        ROW(test_put),
        ROW(test_delete),
        ROW(test_txn_operations),
        ROW(test_txn_compares),
        ROW(test_txn_operation_limit),
        ROW(test_duplicate_keys_as_probed),
        ROW(test_duplicate_keys_against_the_plain_rule),
        ROW(test_many_operations),
        ROW(test_error_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
