/* The rules one by one: revisions, transactions, ranges, puts, compaction, history, quota. */
#include "harness.h"

#include "tree/private.h"

#include <stdio.h>

/* ------------------------------------------------------------------ revisions ---- */

static void test_fresh_store_is_at_one(void **state)
{
    harness *h = *state;
    assert_int_equal(revision_of(h), 1);
    assert_int_equal(harness_range(h, (qr_range){.span = from_span("")})->revision, 1);
    const qr_op_result *result = harness_op(h, put_op("a", "1"));
    assert_int_equal(result->revision, 2);
    assert_int_equal(revision_of(h), 2);
}

static void test_what_does_not_move_the_revision(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    assert_int_equal(delete_key(h, "b"), 0);
    harness_apply(h, &(qr_txn){0});
    harness_apply(h, HARNESS_TXN(range_op(from_span(""))));
    qr_op otherwise = range_op(key_span("a")), then = put_op("a", "2");
    qr_condition condition = {.span = key_span("b"), .target = QR_TARGET_VERSION, .relation = QR_IS_GREATER};
    qr_txn txn = {.conditions = &condition,
                  .condition_count = 1,
                  .then_ops = &then,
                  .then_count = 1,
                  .else_ops = &otherwise,
                  .else_count = 1};
    const qr_txn_result *result = harness_apply(h, &txn);
    assert_false(result->succeeded);
    assert_int_equal(result->revision, 2);
    qr_op hidden = put_op("a", "1");
    hidden.put.space = QR_SPACE_CATALOGUE;
    assert_int_equal(harness_op(h, hidden)->revision, 2);
    assert_int_equal(revision_of(h), 2);
}

static void test_same_value_moves_it(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    put(h, "a", "1");
    assert_int_equal(revision_of(h), 3);
    assert_int_equal(harness_range(h, (qr_range){.span = key_span("a")})->kvs[0].version, 2);
}

static void test_one_revision_for_many_deletes(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    put(h, "b", "1");
    put(h, "c", "1");
    const qr_op_result *result = harness_op(h, delete_op(from_span("a")));
    assert_int_equal(result->count, 3);
    assert_int_equal(result->kv_count, 3);
    assert_slice(result->kvs[2].key, "c");
    assert_int_equal(result->revision, 5);
    assert_int_equal(revision_of(h), 5);
}

static void test_delete_begins_a_new_life(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    put(h, "a", "2");
    delete_key(h, "a");
    put(h, "a", "3");
    const qr_key_value *kv = &harness_range(h, (qr_range){.span = key_span("a")})->kvs[0];
    assert_int_equal(kv->version, 1);
    assert_int_equal(kv->create_revision, 5);
    assert_int_equal(kv->mod_revision, 5);
}

static void test_ranges_in_a_txn_know_their_moment(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    const qr_txn_result *result =
        harness_apply(h, HARNESS_TXN(range_op(from_span("")), put_op("b", "1"), range_op(from_span("")),
                                     put_op("b", "2"), range_op(key_span("b"))));
    assert_int_equal(result->ops[0].revision, 2);
    assert_int_equal(result->ops[0].count, 1);
    assert_int_equal(result->ops[2].revision, 3);
    assert_int_equal(result->ops[2].count, 2);
    assert_slice(result->ops[4].kvs[0].value, "2");
    assert_int_equal(result->ops[4].kvs[0].version, 2);
    assert_int_equal(result->ops[4].kvs[0].mod_revision, 3);
    /* The last of several changes is what a read at that revision sees, and a read at the one before sees
     * none of them. */
    assert_slice(harness_range(h, (qr_range){.span = key_span("b"), .revision = 3})->kvs[0].value, "2");
    assert_int_equal(harness_range(h, (qr_range){.span = key_span("b"), .revision = 2})->count, 0);
}

static void test_created_and_deleted_in_one_txn(void **state)
{
    harness *h = *state;
    const qr_txn_result *result =
        harness_apply(h, HARNESS_TXN(put_op("/a/b", "1"), delete_op(key_span("/a/b")), put_op("/a/b", "2")));
    assert_int_equal(result->revision, 2);
    const qr_key_value *kv = &harness_range(h, (qr_range){.span = key_span("/a/b")})->kvs[0];
    assert_int_equal(kv->version, 1);
    assert_int_equal(kv->create_revision, 2);
    qr_tree *tree = (qr_tree *)h->machine;
    for (uint64_t number = 0; number < 3; number++)
        assert_int_equal(qr__ring_at(&tree->history, number)->version->sub, number);
    assert_int_equal(qr__history_find(tree, 2), 0);
    assert_int_equal(qr__history_find(tree, 3), 3);
}

/* --------------------------------------------------------------- transactions ---- */

static bool judged(harness *h, qr_condition condition)
{
    return harness_query(h, &(qr_txn){.conditions = &condition, .condition_count = 1})->succeeded;
}

static void test_missing_keys_in_conditions(void **state)
{
    harness *h = *state;
    qr_condition condition = {.span = key_span("x"), .relation = QR_IS_EQUAL};
    for (int target = QR_TARGET_VERSION; target <= QR_TARGET_LEASE; target++) {
        condition.target = (qr_target)target;
        for (int ranged = 0; ranged < 3; ranged++) {
            condition.span = ranged == 0   ? key_span("x")
                             : ranged == 1 ? range_span("x", "z")
                                           : range_span("z", "x");
            condition.relation = QR_IS_EQUAL;
            assert_int_equal(judged(h, condition), target != QR_TARGET_VALUE);
            condition.relation = QR_IS_NOT_EQUAL;
            assert_false(judged(h, condition));
            condition.relation = QR_IS_LESS;
            assert_false(judged(h, condition));
        }
    }
}

static void test_every_key_of_a_span_must_satisfy(void **state)
{
    harness *h = *state;
    put(h, "a1", "x");
    put(h, "a2", "x");
    qr_condition condition = {.span = range_span("a", "b"),
                              .target = QR_TARGET_VALUE,
                              .relation = QR_IS_EQUAL,
                              .value = qr_slice_text("x")};
    assert_true(judged(h, condition));
    put(h, "a3", "y");
    assert_false(judged(h, condition));
    condition.target = QR_TARGET_CREATE;
    condition.relation = QR_IS_LESS;
    condition.number = 5;
    assert_true(judged(h, condition));
    condition.number = 4;
    assert_false(judged(h, condition));
    condition.target = QR_TARGET_LEASE;
    condition.number = 0;
    condition.relation = QR_IS_EQUAL;
    assert_true(judged(h, condition));
    condition.number = -1;
    condition.relation = QR_IS_GREATER;
    assert_true(judged(h, condition));
}

static void test_nested_paths_are_decided_before(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    qr_condition unchanged = {.span = key_span("a"),
                              .target = QR_TARGET_VALUE,
                              .relation = QR_IS_EQUAL,
                              .value = qr_slice_text("1")};
    qr_op inner_then = put_op("taken", "then"), inner_else = put_op("taken", "else");
    qr_txn inner = {.conditions = &unchanged,
                    .condition_count = 1,
                    .then_ops = &inner_then,
                    .then_count = 1,
                    .else_ops = &inner_else,
                    .else_count = 1};
    const qr_txn_result *result =
        harness_apply(h, HARNESS_TXN(put_op("a", "2"), txn_op(&inner), range_op(key_span("taken"))));
    assert_true(result->ops[1].txn->succeeded);
    assert_int_equal(result->ops[1].txn->revision, 3);
    assert_slice(result->ops[2].kvs[0].value, "then");
}

static void test_rejected_txn_does_nothing(void **state)
{
    harness *h = *state;
    put(h, "/d", "1");
    put(h, "/d/k", "1");
    put(h, "/d/k", "2");
    harness_compact(h, 3);
    uint64_t digest = digest_of(h);
    qr_op past = range_op(key_span("/d/k"));
    const struct {
        uint64_t revision;
        qr_status status;
    } ranges[] = {{2, QR_E_COMPACTED}, {5, QR_E_FUTURE_REVISION}, {99, QR_E_FUTURE_REVISION}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        past.range.revision = ranges[i].revision;
        harness_apply(h, HARNESS_TXN(put_op("/new/er/key", "x"), put_op("/d/k", "3"),
                                     delete_op(from_span("")), put_op("/d/k", "4"), past));
        assert_int_equal(h->status, ranges[i].status);
    }
    qr_op keep = put_op("nothing", "");
    keep.put.options = QR_PUT_KEEP_VALUE;
    harness_apply(h, HARNESS_TXN(delete_op(from_span("")), keep));
    assert_int_equal(h->status, QR_E_KEY_NOT_FOUND);
    qr_op leased = put_op("x", "");
    leased.put.lease = 7;
    harness_apply(h, HARNESS_TXN(put_op("/d/z", "1"), leased));
    assert_int_equal(h->status, QR_E_LEASE_NOT_FOUND);
    qr_op expected = put_op("/d/k", "");
    expected.put.options = QR_PUT_EXPECT_VERSION;
    expected.put.expected_version = 2;
    harness_apply(h, HARNESS_TXN(put_op("/d/k", "1"), expected)); /* it sees the put before it: version 3 */
    assert_int_equal(h->status, QR_E_VERSION_MISMATCH);
    assert_int_equal(digest_of(h), digest);
    assert_int_equal(revision_of(h), 4);
    assert_int_equal(harness_status(h).keys, 2);
    assert_int_equal(harness_directory(h, "/d").created, 1);
    harness_check(h);
    expected.put.expected_version = 3;
    assert_non_null(harness_apply(h, HARNESS_TXN(put_op("/d/k", "1"), expected)));
}

static void test_a_command_returns_only_so_much(void **state)
{
    harness *h = *state;
    enum { RANGES = 1100, KEYS = QR__RETURNED_MAX / RANGES + 1 };
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(h, key, "v");
    }
    qr_op *ops = qr_alloc_zero(RANGES + 1, sizeof *ops);
    ops[0] = put_op("more", "v");
    for (int i = 1; i <= RANGES; i++)
        ops[i] = range_op(range_span("k", "l"));
    uint64_t digest = digest_of(h);
    harness_apply(h, &(qr_txn){.then_ops = ops, .then_count = RANGES + 1});
    assert_int_equal(h->status, QR_E_TOO_LARGE);
    assert_int_equal(digest_of(h), digest);
    assert_non_null(harness_query(h, &(qr_txn){.then_ops = ops + 1, .then_count = RANGES}));
    assert_non_null(harness_apply(h, &(qr_txn){.then_ops = ops, .then_count = RANGES / 2}));
    qr_free(ops);
}

static void test_an_unchosen_branch_may_be_impossible(void **state)
{
    harness *h = *state;
    qr_op impossible = range_op(key_span("a"));
    impossible.range.revision = 1000;
    qr_txn txn = {.else_ops = &impossible, .else_count = 1};
    assert_non_null(harness_apply(h, &txn));
}

static void test_spaces(void **state)
{
    harness *h = *state;
    qr_op op = put_op("a", "1");
    op.put.space = QR_SPACE_DIRECTORY;
    harness_op(h, op);
    assert_int_equal(h->status, QR_E_INVALID);
    op = range_op(key_span("a"));
    op.range.span.space = 0x11;
    harness_op(h, op);
    assert_int_equal(h->status, QR_E_INVALID);
    op.range.span.space = QR_SPACE_USERS;
    op.range.revision = 1;
    harness_op(h, op);
    assert_int_equal(h->status, QR_E_UNSUPPORTED);
    put(h, "a", "1");
    op.range.revision = 0;
    assert_int_equal(harness_op(h, op)->count, 0); /* equal keys in two spaces are two keys */
}

/* --------------------------------------------------------------------- ranges ---- */

static void five_keys(harness *h)
{
    put(h, "a", "3");
    put(h, "b", "1");
    put(h, "c", "2");
    put(h, "d", "1");
    put(h, "e", "0");
    put(h, "b", "1");
}

static void assert_keys(const qr_op_result *result, const char *keys, bool more)
{
    assert_int_equal(result->kv_count, strlen(keys));
    for (size_t i = 0; keys[i]; i++)
        assert_int_equal(result->kvs[i].key.data[0], keys[i]);
    assert_int_equal(result->more, more);
}

static void test_spans(void **state)
{
    harness *h = *state;
    five_keys(h);
    assert_keys(harness_range(h, (qr_range){.span = range_span("b", "d")}), "bc", false);
    assert_keys(harness_range(h, (qr_range){.span = from_span("c")}), "cde", false);
    assert_keys(harness_range(h, (qr_range){.span = from_span("")}), "abcde", false);
    assert_keys(harness_range(h, (qr_range){.span = range_span("d", "b")}), "", false);
    assert_keys(harness_range(h, (qr_range){.span = range_span("b", "b")}), "", false);
    assert_keys(harness_range(h, (qr_range){.span = key_span("e")}), "e", false);
    assert_keys(harness_range(h, (qr_range){.span = key_span("f")}), "", false);
}

static void test_count_knows_no_limit_and_no_filters(void **state)
{
    harness *h = *state;
    five_keys(h);
    const qr_op_result *result = harness_range(h, (qr_range){.span = from_span(""), .limit = 2});
    assert_keys(result, "ab", true);
    assert_int_equal(result->count, 5);
    result = harness_range(h, (qr_range){.span = from_span(""), .mod_revision_min = 100});
    assert_keys(result, "", false);
    assert_int_equal(result->count, 5);
    result = harness_range(h, (qr_range){.span = from_span(""), .count_only = true, .limit = 2});
    assert_keys(result, "", false);
    assert_int_equal(result->count, 5);
    result = harness_range(h, (qr_range){.span = from_span(""), .limit = 5});
    assert_keys(result, "abcde", false);
    result = harness_range(h, (qr_range){.span = from_span(""), .limit = 1, .mod_revision_min = 6});
    assert_keys(result, "b", true); /* b was written last; e passes too */
    result = harness_range(h, (qr_range){.span = from_span(""), .limit = 1, .mod_revision_min = 7});
    assert_keys(result, "b", false);
    result = harness_range(
        h, (qr_range){.span = from_span(""), .create_revision_min = 3, .create_revision_max = 4});
    assert_keys(result, "bc", false);
}

static void test_sorting(void **state)
{
    harness *h = *state;
    five_keys(h);
    qr_range range = {.span = from_span(""), .order = QR_ORDER_DOWN};
    assert_keys(harness_range(h, range), "edcba", false);
    range.limit = 2;
    assert_keys(harness_range(h, range), "ed", true);
    range.sort = QR_SORT_VALUE;
    assert_keys(harness_range(h, range), "ac", true);
    range.limit = 0;
    assert_keys(harness_range(h, range), "acbde", false); /* b and d are equal: in the order of keys */
    range.order = QR_ORDER_UP;
    assert_keys(harness_range(h, range), "ebdca", false);
    range.keys_only = true; /* still sorts by the value */
    assert_keys(harness_range(h, range), "ebdca", false);
    assert_int_equal(harness_range(h, range)->kvs[0].value.size, 0);
    range.sort = QR_SORT_MOD;
    assert_keys(harness_range(h, range), "acdeb", false);
    range.sort = QR_SORT_CREATE;
    assert_keys(harness_range(h, range), "abcde", false);
    range.sort = QR_SORT_VERSION;
    assert_keys(harness_range(h, range), "acdeb", false);
    /* No order but a sort: up, after the limit. */
    range = (qr_range){.span = from_span(""), .sort = QR_SORT_VALUE, .limit = 3};
    assert_keys(harness_range(h, range), "bca", true);
}

static void test_past_revisions(void **state)
{
    harness *h = *state;
    five_keys(h);
    delete_key(h, "a");
    put(h, "aa", "9");
    qr_range range = {.span = from_span(""), .revision = 3};
    assert_keys(harness_range(h, range), "ab", false);
    assert_int_equal(harness_range(h, range)->revision, 9);
    range.revision = 7;
    assert_keys(harness_range(h, range), "abcde", false);
    range.revision = 8;
    assert_keys(harness_range(h, range), "bcde", false);
    range.revision = 1;
    assert_keys(harness_range(h, range), "", false);
    range.revision = 10;
    assert_null(harness_range(h, range));
    assert_int_equal(h->status, QR_E_FUTURE_REVISION);
}

/* ----------------------------------------------------------------------- puts ---- */

static void test_leases(void **state)
{
    harness *h = *state;
    assert_non_null(harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = 5, .ttl_ms = 1}));
    qr_op op = put_op("a", "1");
    op.put.lease = 5;
    assert_non_null(harness_op(h, op));
    assert_int_equal(harness_range(h, (qr_range){.span = key_span("a")})->kvs[0].lease, 5);
    op = put_op("a", "2");
    op.put.options = QR_PUT_KEEP_LEASE;
    assert_non_null(harness_op(h, op));
    assert_int_equal(harness_range(h, (qr_range){.span = key_span("a")})->kvs[0].lease, 5);
    put(h, "a", "3"); /* detaches */
    assert_int_equal(harness_range(h, (qr_range){.span = key_span("a")})->kvs[0].lease, 0);
    op.put.key = qr_slice_text("missing");
    harness_op(h, op);
    assert_int_equal(h->status, QR_E_KEY_NOT_FOUND);
}

static void test_attributes_stay(void **state)
{
    harness *h = *state;
    qr_op op = put_op("a", "1");
    op.put.options = QR_PUT_SET_FLAGS | QR_PUT_SET_ACL | QR_PUT_SET_ATTRIBUTE;
    op.put.flags = 0xfedcba9876543210;
    op.put.acl = 4;
    op.put.attribute = qr_slice_text("note");
    assert_non_null(harness_op(h, op));
    put(h, "a", "2");
    qr_key_value kv = harness_range(h, (qr_range){.span = key_span("a")})->kvs[0];
    assert_true(kv.flags == 0xfedcba9876543210);
    assert_int_equal(kv.acl, 4);
    assert_int_equal(kv.acl_version, 0);
    assert_slice(kv.attribute, "note");
    op = put_op("a", "3");
    op.put.options = QR_PUT_SET_ACL;
    op.put.acl = 9;
    assert_non_null(harness_op(h, op));
    kv = harness_range(h, (qr_range){.span = key_span("a")})->kvs[0];
    assert_int_equal(kv.acl, 9);
    assert_int_equal(kv.acl_version, 1);
    assert_slice(kv.attribute, "note");
    delete_key(h, "a");
    put(h, "a", "4");
    kv = harness_range(h, (qr_range){.span = key_span("a")})->kvs[0];
    assert_true(kv.flags == 0 && kv.acl == 0 && kv.attribute.size == 0);
}

static void test_time_does_not_go_back(void **state)
{
    harness *h = *state;
    h->stamp_ms = 5000;
    put(h, "a", "1");
    h->stamp_ms = 3000;
    put(h, "a", "2");
    qr_key_value kv = harness_range(h, (qr_range){.span = key_span("a")})->kvs[0];
    assert_int_equal(kv.created_ms, 5000);
    assert_int_equal(kv.modified_ms, 5000);
    h->stamp_ms = 6000;
    put(h, "a", "3");
    kv = harness_range(h, (qr_range){.span = key_span("a")})->kvs[0];
    assert_int_equal(kv.created_ms, 5000);
    assert_int_equal(kv.modified_ms, 6000);
}

static void test_kept_values_are_not_copied(void **state)
{
    harness *h = *state;
    size_t size = 1000000;
    char *value = qr_alloc(size + 1);
    memset(value, 'v', size);
    value[size] = '\0';
    put(h, "a", value);
    uint64_t memory = harness_status(h).memory_bytes;
    qr_op op = put_op("a", "");
    op.put.options = QR_PUT_KEEP_VALUE | QR_PUT_WANT_PREVIOUS;
    for (int i = 0; i < 10; i++)
        assert_int_equal(harness_op(h, op)->kvs[0].value.size, size);
    assert_int_equal(harness_range(h, (qr_range){.span = key_span("a")})->kvs[0].value.size, size);
    qr_tree_status status = harness_status(h);
    assert_true(status.memory_bytes < memory + 10000);
    assert_true(status.history_bytes < 10000);
    put(h, "a", "small");
    assert_true(harness_status(h).history_bytes > size);
    harness_compact(h, revision_of(h));
    harness_work(h);
    status = harness_status(h);
    assert_true(status.memory_bytes < 100000 && status.history_bytes < 100);
    qr_free(value);
}

static void test_quota(void **state)
{
    (void)state;
    harness limited, *h = &limited;
    harness_open(h, &(qr_tree_config){.quota_bytes = 3 * (256 + 2) + 100});
    put(h, "a", "1");
    put(h, "b", "1");
    put(h, "c", "1");
    uint64_t digest = digest_of(h);
    harness_op(h, put_op("d", "1"));
    assert_int_equal(h->status, QR_E_QUOTA);
    assert_int_equal(digest_of(h), digest);
    put(h, "c", "2"); /* replaces what it costs */
    char large[200];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    harness_apply(h, HARNESS_TXN(put_op("a", "2"), put_op("c", large)));
    assert_int_equal(h->status, QR_E_QUOTA);
    qr_op hidden = put_op("d", "1");
    hidden.put.space = QR_SPACE_CATALOGUE;
    assert_non_null(harness_op(h, hidden));
    delete_key(h, "a");
    put(h, "d", "1");
    harness_check(h);
    harness_close(h);
}

/* A member's own limit is asked for before a put is proposed; apply knows nothing of it, or members with
 * different limits would part. */
static void test_admission(void **state)
{
    (void)state;
    harness limited, *h = &limited;
    harness_open(h, &(qr_tree_config){.admit_bytes = 256});
    qr_op one = put_op("d", "1"), del = {.kind = QR_OP_DELETE, .del = {.span = key_span("d")}};
    qr_txn nested = {.else_ops = &one, .else_count = 1};
    qr_op deep = {.kind = QR_OP_TXN, .txn = &nested};
    const struct {
        const qr_op *op;
        qr_status full;
    } cases[] = {{&one, QR_E_QUOTA}, {&deep, QR_E_QUOTA}, {&del, QR_OK}};
    for (int full = 0; full < 2; full++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            qr_buffer body = {0};
            qr_arena arena = {0};
            qr_body_encode_txn(&(qr_txn){.then_ops = cases[i].op, .then_count = 1}, &body);
            qr_status status = h->machine->ops->admit(h->machine, qr_buffer_slice(&body), &arena);
            assert_int_equal(status, full ? cases[i].full : QR_OK);
            qr_buffer_free(&body);
            qr_arena_free(&arena);
        }
        put(h, "d", "1"); /* committed is applied, whatever this member thinks */
    }
    harness_close(h);
}

/* ----------------------------------------------------------------- compaction ---- */

static void test_compaction_bounds(void **state)
{
    harness *h = *state;
    five_keys(h);
    harness_compact(h, 8);
    assert_int_equal(h->status, QR_E_FUTURE_REVISION);
    harness_compact(h, 0);
    assert_int_equal(h->status, QR_E_COMPACTED);
    assert_int_equal(harness_compact(h, 5)->revision, 7);
    harness_compact(h, 5);
    assert_int_equal(h->status, QR_E_COMPACTED);
    harness_compact(h, 4);
    assert_int_equal(h->status, QR_E_COMPACTED);
    assert_int_equal(harness_compact(h, 7)->revision, 7);
    qr_range range = {.span = from_span(""), .revision = 7};
    assert_keys(harness_range(h, range), "abcde", false); /* the compacted revision itself is readable */
    range.revision = 6;
    assert_null(harness_range(h, range));
    assert_int_equal(h->status, QR_E_COMPACTED);
}

static void test_tombstone_at_the_compacted_revision_stays(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    delete_key(h, "a"); /* revision 3 */
    put(h, "b", "1");
    harness_compact(h, 3);
    harness_work(h);
    qr_tree *tree = (qr_tree *)h->machine;
    const qr__event *event = qr__ring_at(&tree->history, qr__history_find(tree, 3));
    assert_int_equal(qr__mod_of(event->version), 3);
    assert_int_equal(qr__number_of(event->version), 0);
    assert_null(qr__older_of(event->version));
    harness_compact(h, 4);
    harness_work(h);
    assert_int_equal(qr__mod_of(qr__ring_at(&tree->history, qr__history_find(tree, 0))->version), 4);
    assert_int_equal(tree->spaces[QR__SPACE_KEYS].entries, 1);
}

static void test_compaction_keeps_the_newest(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    put(h, "a", "2");
    put(h, "b", "1");
    put(h, "a", "3");
    qr_hash_result before = harness_hash(h, 4);
    harness_compact(h, 4);
    qr_hash_result waiting = harness_hash(h, 4), waiting_newest = harness_hash(h, 0);
    harness_work(h);
    assert_int_equal(harness_hash(h, 4).hash, waiting.hash);
    assert_int_equal(harness_hash(h, 0).hash, waiting_newest.hash);
    assert_true(before.hash != waiting.hash);
    assert_int_equal(waiting.compacted, 4);
    assert_int_equal(waiting.hash_revision, 4);
    assert_int_equal(waiting.revision, 5);
    assert_slice(harness_range(h, (qr_range){.span = key_span("a"), .revision = 4})->kvs[0].value, "2");
    harness_hash(h, 3);
    assert_int_equal(h->status, QR_E_COMPACTED);
    harness_hash(h, 6);
    assert_int_equal(h->status, QR_E_FUTURE_REVISION);
}

static void test_upkeep_by_bytes(void **state)
{
    (void)state;
    harness bounded, *h = &bounded;
    harness_open(h, &(qr_tree_config){.history_bytes_max = 20000});
    qr_buffer body;
    qr_buffer_init(&body);
    unsigned proposals = 0;
    for (int i = 0; i < 3000; i++) {
        put(h, i % 3 ? "a" : "b", "some value");
        if (i % 50 == 0 && h->machine->ops->upkeep(h->machine, 0, &body)) {
            qr_body decoded;
            assert_int_equal(qr_body_decode(qr_buffer_slice(&body), &h->arena, &decoded), QR_OK);
            assert_int_equal(decoded.kind, QR_BODY_COMPACT);
            uint64_t history_bytes = harness_status(h).history_bytes;
            assert_non_null(harness_compact(h, decoded.revision));
            qr_buffer_clear(&body);
            assert_false(
                h->machine->ops->upkeep(h->machine, 0, &body)); /* not while the last one is under way */
            harness_work(h);
            uint64_t left = harness_status(h).history_bytes;
            assert_true(left > history_bytes / 3 && left < history_bytes * 2 / 3);
            proposals++;
        }
        qr_buffer_clear(&body);
    }
    assert_true(proposals > 10);
    assert_true(harness_status(h).history_bytes < 40000);
    qr_buffer_free(&body);
    harness_check(h);
    harness_close(h);
}

static void test_upkeep_by_age(void **state)
{
    (void)state;
    harness bounded, *h = &bounded;
    harness_open(h, &(qr_tree_config){.history_ms_max = 1000});
    qr_buffer body;
    qr_buffer_init(&body);
    for (int i = 0; i < 100; i++) {
        h->stamp_ms = 10 * i;
        put(h, "a", "x"); /* revision i + 2 */
    }
    assert_false(h->machine->ops->upkeep(h->machine, 1000, &body));
    assert_true(h->machine->ops->upkeep(h->machine, 1001, &body));
    qr_body decoded;
    assert_int_equal(qr_body_decode(qr_buffer_slice(&body), &h->arena, &decoded), QR_OK);
    assert_int_equal(decoded.revision, 52); /* written at 500: the last one older than 501 */
    assert_non_null(harness_compact(h, decoded.revision));
    harness_work(h);
    assert_false(h->machine->ops->upkeep(h->machine, 1001, &body));
    qr_buffer_free(&body);
    harness_close(h);
}

/* ---------------------------------------------------------------- determinism ---- */

static void test_digest_covers_what_changes(void **state)
{
    (void)state;
    qr_op variants[8];
    for (size_t i = 0; i < 8; i++)
        variants[i] = put_op("k", "v");
    variants[1].put.value = qr_slice_text("w");
    variants[2].put.key = qr_slice_text("l");
    variants[3].put.options = QR_PUT_SET_FLAGS;
    variants[3].put.flags = 1;
    variants[4].put.options = QR_PUT_SET_ACL;
    variants[4].put.acl = 1;
    variants[5].put.options = QR_PUT_SET_ATTRIBUTE;
    variants[5].put.attribute = qr_slice_text("v");
    variants[6].put.space = QR_SPACE_USERS;
    uint64_t digests[9];
    for (size_t i = 0; i < 9; i++) {
        harness h;
        harness_open(&h, NULL);
        h.stamp_ms = i == 7 ? 1001 : 1000;
        assert_non_null(harness_op(&h, variants[i % 8]));
        digests[i] = digest_of(&h);
        harness_close(&h);
    }
    assert_int_equal(digests[0], digests[8]);
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(digests[i] != digests[j]);
}

static void test_malformed_bodies_change_nothing(void **state)
{
    harness *h = *state;
    put(h, "a", "1");
    uint64_t digest = digest_of(h);
    qr_command command = {.body = qr_slice_text("\x01\x01\xff")};
    const void *result;
    assert_int_equal(h->machine->ops->apply(h->machine, ++h->index, &command, &h->arena, &result),
                     QR_E_INVALID);
    command.body = qr_slice_text("\x07\x01");
    assert_int_equal(h->machine->ops->apply(h->machine, ++h->index, &command, &h->arena, &result),
                     QR_E_BAD_VERSION);
    qr_op op = put_op("a", "1");
    assert_null(harness_query(h, &(qr_txn){.then_ops = &op, .then_count = 1}));
    assert_int_equal(h->status, QR_E_INVALID);
    assert_int_equal(digest_of(h), digest);
}

#ifdef QR_PLANTED_BUGS
static void test_planted_bug_makes_digests_differ(void **state)
{
    (void)state;
    harness trees[2];
    for (int t = 0; t < 2; t++) {
        harness_open(&trees[t], &(qr_tree_config){.bug = QR_BUG_WALL_CLOCK_APPLY});
        put(&trees[t], "a", "1");
    }
    assert_int_equal(digest_of(&trees[0]), digest_of(&trees[1]));
    harness_status(&trees[1]); /* a question asked of one replica only */
    for (int t = 0; t < 2; t++)
        put(&trees[t], "a", "2");
    assert_true(digest_of(&trees[0]) != digest_of(&trees[1]));
    for (int t = 0; t < 2; t++)
        harness_close(&trees[t]);
}
#endif

#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_fresh_store_is_at_one),
        CASE(test_what_does_not_move_the_revision),
        CASE(test_same_value_moves_it),
        CASE(test_one_revision_for_many_deletes),
        CASE(test_delete_begins_a_new_life),
        CASE(test_ranges_in_a_txn_know_their_moment),
        CASE(test_created_and_deleted_in_one_txn),
        CASE(test_missing_keys_in_conditions),
        CASE(test_every_key_of_a_span_must_satisfy),
        CASE(test_nested_paths_are_decided_before),
        CASE(test_rejected_txn_does_nothing),
        CASE(test_a_command_returns_only_so_much),
        CASE(test_an_unchosen_branch_may_be_impossible),
        CASE(test_spaces),
        CASE(test_spans),
        CASE(test_count_knows_no_limit_and_no_filters),
        CASE(test_sorting),
        CASE(test_past_revisions),
        CASE(test_leases),
        CASE(test_attributes_stay),
        CASE(test_time_does_not_go_back),
        CASE(test_kept_values_are_not_copied),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_admission),
        CASE(test_compaction_bounds),
        CASE(test_tombstone_at_the_compacted_revision_stays),
        CASE(test_compaction_keeps_the_newest),
        cmocka_unit_test(test_upkeep_by_bytes),
        cmocka_unit_test(test_upkeep_by_age),
        cmocka_unit_test(test_digest_covers_what_changes),
        CASE(test_malformed_bodies_change_nothing),
#ifdef QR_PLANTED_BUGS
        cmocka_unit_test(test_planted_bug_makes_digests_differ),
#endif
    };
    return cmocka_run_group_tests_name("tree: cases", tests, NULL, NULL);
}
