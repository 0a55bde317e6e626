/* Alarms in the tree: what stands, what is refused while it does, and that it is part of the state.
 * doc/design/alarms.md. */
#include "harness.h"

static bool act(harness *h, qr_alarm_act act, uint64_t member, uint32_t kind)
{
    qr_body body = {.kind = QR_BODY_ALARM, .alarm_act = act, .alarm = {.member = member, .kind = kind}};
    const qr_alarm_result *result = (const qr_alarm_result *)harness_body(h, &body);
    assert_non_null(result);
    return result->stood;
}

static qr_status try_put(harness *h)
{
    harness_op(h, put_op("k", "v"));
    return h->status;
}

static qr_status of_body(harness *h, qr_body body)
{
    harness_body(h, &body);
    return h->status;
}

static void expect_alarms(harness *h, const qr_alarm *alarms, size_t count)
{
    qr_tree_status status = harness_status(h);
    assert_int_equal(status.alarm_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(status.alarms[i].member, alarms[i].member);
        assert_int_equal(status.alarms[i].kind, alarms[i].kind);
        assert_int_equal(status.alarms[i].noted, alarms[i].noted);
    }
}

static void test_raise_note_clear(void **state)
{
    harness *h = *state;
    uint64_t revision = revision_of(h);
    assert_false(act(h, QR_ALARM_CLEAR, 7, QR_ALARM_NO_SPACE));
    assert_false(act(h, QR_ALARM_NOTE, 7, QR_ALARM_NO_SPACE));
    assert_true(act(h, QR_ALARM_NOTE, 7, QR_ALARM_NO_SPACE));
    assert_false(act(h, QR_ALARM_RAISE, UINT64_MAX, 9));
    assert_false(act(h, QR_ALARM_RAISE, 0, QR_ALARM_NO_SPACE));
    const qr_alarm some[] = {
        {0, QR_ALARM_NO_SPACE, false}, {7, QR_ALARM_NO_SPACE, true}, {UINT64_MAX, 9, false}};
    expect_alarms(h, some, 3);
    assert_true(h->machine->ops->has_alarm(h->machine, 7, QR_ALARM_NO_SPACE, false));
    assert_false(h->machine->ops->has_alarm(h->machine, 7, QR_ALARM_NO_SPACE, true));
    assert_true(act(h, QR_ALARM_RAISE, 7, QR_ALARM_NO_SPACE));
    assert_true(act(h, QR_ALARM_NOTE, 7, QR_ALARM_NO_SPACE)); /* takes nothing back */
    assert_true(act(h, QR_ALARM_CLEAR, 0, QR_ALARM_NO_SPACE));
    assert_false(act(h, QR_ALARM_CLEAR, 7, QR_ALARM_CORRUPT)); /* this one, and no other */
    const qr_alarm rest[] = {{7, QR_ALARM_NO_SPACE, false}, {UINT64_MAX, 9, false}};
    expect_alarms(h, rest, 2);
    assert_true(h->machine->ops->has_alarm(h->machine, UINT64_MAX, 9, true));
    assert_false(h->machine->ops->has_alarm(h->machine, 0, QR_ALARM_NO_SPACE, false));
    assert_int_equal(revision_of(h), revision); /* clients see no change of the store */
}

static void test_no_space(void **state)
{
    harness *h = *state;
    put(h, "old", "v");
    assert_int_equal(of_body(h, (qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = 5, .ttl_ms = 1000}), QR_OK);
    act(h, QR_ALARM_NOTE, 3, QR_ALARM_NO_SPACE);
    assert_int_equal(try_put(h), QR_OK);
    act(h, QR_ALARM_RAISE, 3, QR_ALARM_NO_SPACE);
    uint64_t digest = digest_of(h);
    assert_int_equal(try_put(h), QR_E_QUOTA);
    qr_op one = put_op("k", "v");
    qr_txn other_branch = {.else_ops = &one, .else_count = 1};
    harness_apply(h, &other_branch);
    assert_int_equal(h->status, QR_E_QUOTA);
    harness_op(h, txn_op(&other_branch));
    assert_int_equal(h->status, QR_E_QUOTA);
    assert_int_equal(of_body(h, (qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = 6, .ttl_ms = 1000}),
                     QR_E_QUOTA);
    assert_int_equal(digest_of(h), digest);
    assert_int_equal(of_body(h, (qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = 5}), QR_OK);
    assert_int_equal(delete_key(h, "old"), 1);
    assert_non_null(harness_compact(h, revision_of(h)));
    act(h, QR_ALARM_CLEAR, 3, QR_ALARM_NO_SPACE);
    assert_int_equal(try_put(h), QR_OK);
}

static void test_corrupt(void **state)
{
    harness *h = *state;
    put(h, "old", "v");
    assert_int_equal(of_body(h, (qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = 5, .ttl_ms = 1000}), QR_OK);
    uint64_t generation = harness_lease(h, 5)->leases[0].generation;
    act(h, QR_ALARM_NOTE, 3, QR_ALARM_CORRUPT);
    assert_int_equal(try_put(h), QR_OK);
    act(h, QR_ALARM_RAISE, 3, QR_ALARM_CORRUPT);
    act(h, QR_ALARM_RAISE, 3, QR_ALARM_NO_SPACE);
    assert_int_equal(try_put(h), QR_E_CORRUPT);
    harness_op(h, delete_op(key_span("old")));
    assert_int_equal(h->status, QR_E_CORRUPT);
    harness_op(h, range_op(key_span("old")));
    assert_int_equal(h->status, QR_OK);
    assert_null(harness_compact(h, revision_of(h)));
    assert_int_equal(h->status, QR_E_CORRUPT);
    assert_int_equal(of_body(h, (qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = 6, .ttl_ms = 1000}),
                     QR_E_CORRUPT);
    assert_int_equal(of_body(h, (qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = 5}), QR_E_CORRUPT);
    assert_int_equal(of_body(h, (qr_body){.kind = QR_BODY_LEASE_EPOCH, .epoch = 2}), QR_OK);
    qr_lease_name name = {.id = 5, .generation = generation};
    assert_int_equal(
        of_body(h, (qr_body){.kind = QR_BODY_LEASE_EXPIRE, .epoch = 2, .ended = &name, .ended_count = 1}),
        QR_OK);
    assert_int_equal(harness_lease(h, 5)->count, 0); /* their time is a promise of its own */
    act(h, QR_ALARM_CLEAR, 3, QR_ALARM_CORRUPT);
    assert_int_equal(try_put(h), QR_E_QUOTA);
}

/* No transaction reaches them. */
static void test_not_in_transactions(void **state)
{
    harness *h = *state;
    act(h, QR_ALARM_RAISE, 3, 9);
    qr_op put = put_op("k", "v"), del = delete_op(from_span("")), range = range_op(from_span(""));
    put.put.space = del.del.span.space = range.range.span.space = QR_SPACE_ALARMS;
    const qr_op ops[] = {put, del, range};
    for (size_t i = 0; i < 3; i++) {
        harness_op(h, ops[i]);
        assert_int_equal(h->status, QR_E_INVALID);
    }
    qr_condition condition = {.span = key_span("k")};
    condition.span.space = QR_SPACE_ALARMS;
    harness_query(h, &(qr_txn){.conditions = &condition, .condition_count = 1});
    assert_int_equal(h->status, QR_E_INVALID);
}

static void test_bound(void **state)
{
    harness *h = *state;
    for (uint64_t member = 1; member <= QR_ALARMS_MAX; member++)
        act(h, QR_ALARM_RAISE, member, 3);
    qr_body body = {.kind = QR_BODY_ALARM, .alarm_act = QR_ALARM_NOTE, .alarm = {.member = 1, .kind = 4}};
    assert_int_equal(of_body(h, body), QR_E_BUSY);
    assert_true(act(h, QR_ALARM_RAISE, 1, 3));
    assert_true(act(h, QR_ALARM_CLEAR, 1, 3));
    assert_int_equal(of_body(h, body), QR_OK);
}

static void test_saved(void **state)
{
    harness *h = *state;
    act(h, QR_ALARM_RAISE, 3, QR_ALARM_NO_SPACE);
    act(h, QR_ALARM_RAISE, 4, QR_ALARM_NO_SPACE);
    act(h, QR_ALARM_NOTE, 4, QR_ALARM_CORRUPT);
    act(h, QR_ALARM_CLEAR, 4, QR_ALARM_NO_SPACE);
    harness copy = {.machine = harness_copy(h, 20, NULL), .index = h->index};
    const qr_alarm saved[] = {{3, QR_ALARM_NO_SPACE, false}, {4, QR_ALARM_CORRUPT, true}};
    expect_alarms(&copy, saved, 2);
    assert_int_equal(digest_of(&copy), digest_of(h));
    assert_int_equal(try_put(&copy), QR_E_QUOTA);
    harness_close(&copy);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_raise_note_clear),    ROW(test_no_space), ROW(test_corrupt),
        ROW(test_not_in_transactions), ROW(test_bound),    ROW(test_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
