/* Leases in the tree: what ends with them, in which order and which revision, and what a leader of the past
 * may still say. doc/design/leases.md. */
#include "harness.h"

static qr_status grant(harness *h, int64_t lease)
{
    harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = lease, .ttl_ms = 1000});
    return h->status;
}

static qr_status revoke(harness *h, int64_t lease)
{
    harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = lease});
    return h->status;
}

static void set_epoch(harness *h, uint64_t epoch)
{
    assert_non_null(harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_EPOCH, .epoch = epoch}));
}

static uint64_t generation_of(harness *h, int64_t lease)
{
    const qr_leases_result *result = harness_lease(h, lease);
    return result->count ? result->leases[0].generation : 0;
}

static void expire(harness *h, uint64_t epoch, int64_t lease, uint64_t generation)
{
    qr_lease_name name = {.id = lease, .generation = generation};
    assert_non_null(harness_body(
        h, &(qr_body){.kind = QR_BODY_LEASE_EXPIRE, .epoch = epoch, .ended = &name, .ended_count = 1}));
}

static void attach(harness *h, const char *key, int64_t lease, uint32_t options)
{
    qr_op op = put_op(key, "v");
    op.put.lease = lease;
    op.put.options = options;
    assert_non_null(harness_op(h, op));
}

static size_t keys_of(harness *h, int64_t lease)
{
    return harness_lease(h, lease)->key_count;
}

static uint64_t count_of(harness *h, const char *key)
{
    return harness_range(h, (qr_range){.span = key_span(key)})->count;
}

static void test_grant_and_revoke(void **state)
{
    harness *h = *state;
    uint64_t revision = revision_of(h);
    assert_int_equal(grant(h, 5), QR_OK);
    assert_int_equal(grant(h, 5), QR_E_LEASE_EXISTS);
    assert_int_equal(grant(h, -5), QR_OK);
    assert_int_equal(revision_of(h), revision); /* clients see no change */
    const qr_leases_result *all = harness_lease(h, 0);
    assert_int_equal(all->count, 2);
    assert_true(all->leases[0].id == 5 && all->leases[1].id == -5);
    assert_int_equal(all->leases[0].ttl_ms, 1000);
    assert_int_equal(all->leases[0].generation, 1);
    assert_int_equal(revoke(h, 7), QR_E_LEASE_NOT_FOUND);
    assert_int_equal(revoke(h, 5), QR_OK);
    assert_int_equal(revision_of(h), revision); /* nor now: it had no keys */
    assert_int_equal(revoke(h, 5), QR_E_LEASE_NOT_FOUND);
    assert_int_equal(grant(h, 5), QR_OK); /* another lease of that id */
    assert_int_equal(generation_of(h, 5), 7);
}

static void test_keys_end_in_one_revision(void **state)
{
    harness *h = *state;
    grant(h, 9);
    attach(h, "/c", 9, 0);
    attach(h, "/a/x", 9, 0);
    attach(h, "/b", 9, QR_PUT_DETACH_ON_EXPIRY);
    put(h, "/d", "other");
    const qr_leases_result *lease = harness_lease(h, 9);
    assert_int_equal(lease->key_count, 3);
    assert_slice(lease->keys[0], "/a/x");
    assert_slice(lease->keys[2], "/c");
    uint64_t revision = revision_of(h);
    assert_int_equal(revoke(h, 9), QR_OK);
    assert_int_equal(revision_of(h), revision + 1);
    assert_int_equal(count_of(h, "/a/x") + count_of(h, "/c"), 0);
    const qr_key_value *kept = harness_range(h, (qr_range){.span = key_span("/b")})->kvs;
    assert_int_equal(kept->lease, 0);
    assert_int_equal(kept->version, 2);
    assert_int_equal(kept->mod_revision, revision + 1);
    assert_slice(kept->value, "v");
    assert_int_equal(count_of(h, "/d"), 1);
}

/* A key follows its last put, and a txn that fails attaches nothing. */
static void test_attachment_moves(void **state)
{
    harness *h = *state;
    grant(h, 1);
    grant(h, 2);
    attach(h, "k", 1, 0);
    attach(h, "k", 2, 0);
    assert_int_equal(keys_of(h, 1), 0);
    assert_int_equal(keys_of(h, 2), 1);
    qr_op first = put_op("k", "x"), bad = put_op("none", "");
    first.put.lease = 1;
    bad.put.options = QR_PUT_KEEP_VALUE;
    assert_null(harness_apply(h, HARNESS_TXN(first, bad)));
    assert_int_equal(keys_of(h, 2), 1);
    put(h, "k", "plain");
    assert_int_equal(keys_of(h, 2), 0);
    attach(h, "k", 2, 0);
    delete_key(h, "k");
    assert_int_equal(keys_of(h, 2), 0);
    revoke(h, 1);
    revoke(h, 2);
    assert_int_equal(harness_lease(h, 0)->count, 0);
}

/* etcd #15247: a leader that was asleep wakes up and ends leases that were renewed with its successor. */
static void test_expiry_needs_the_epoch(void **state)
{
    harness *h = *state;
    grant(h, 3);
    attach(h, "k", 3, 0);
    uint64_t generation = generation_of(h, 3);
    expire(h, 1, 3, generation); /* no epoch is in force */
    set_epoch(h, 4);
    expire(h, 3, 3, generation);
    expire(h, 5, 3, generation);
    expire(h, 4, 3, generation + 1); /* another lease of that id */
    set_epoch(h, 2);                 /* the greatest wins */
    assert_int_equal(count_of(h, "k"), 1);
    expire(h, 4, 3, generation);
    assert_int_equal(count_of(h, "k"), 0);
    assert_int_equal(harness_lease(h, 3)->count, 0);
    uint64_t index;
    assert_int_equal(h->machine->ops->lease_epoch(h->machine, &index), 4);
}

/* Many leases in one command: all keys in their order, one revision. */
static void test_many_end_together(void **state)
{
    harness *h = *state;
    set_epoch(h, 1);
    for (int64_t id = 1; id <= 3; id++)
        grant(h, id);
    attach(h, "/3", 1, 0);
    attach(h, "/1", 3, 0);
    attach(h, "/2", 2, 0);
    qr_lease_name names[3];
    for (int64_t id = 1; id <= 3; id++)
        names[id - 1] = (qr_lease_name){.id = id, .generation = generation_of(h, id)};
    uint64_t revision = revision_of(h);
    harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_EXPIRE, .epoch = 1, .ended = names, .ended_count = 3});
    assert_int_equal(revision_of(h), revision + 1);
    assert_int_equal(harness_range(h, (qr_range){.span = from_span("/")})->count, 0);
}

static void test_saved_and_loaded(void **state)
{
    harness *h = *state;
    set_epoch(h, 6);
    grant(h, 1);
    grant(h, -1);
    attach(h, "/b", 1, 0);
    attach(h, "/a", -1, QR_PUT_DETACH_ON_EXPIRY);
    qr_machine *copy = harness_copy(h, 50, NULL);
    h->machine->ops->free(h->machine);
    h->machine = copy;
    harness_check(h);
    assert_int_equal(keys_of(h, 1), 1);
    expire(h, 6, -1, generation_of(h, -1));
    assert_int_equal(count_of(h, "/a"), 1);
    revoke(h, 1);
    assert_int_equal(count_of(h, "/b"), 0);
}

static void test_only_by_its_own_commands(void **state)
{
    harness *h = *state;
    grant(h, 1);
    qr_op op = put_op("12345678", "x");
    op.put.space = QR_SPACE_LEASES;
    harness_op(h, op);
    assert_int_equal(h->status, QR_E_INVALID);
    op = delete_op((qr_span){.kind = QR_SPAN_FROM, .space = QR_SPACE_LEASES});
    harness_op(h, op);
    assert_int_equal(h->status, QR_E_INVALID);
    assert_int_equal(harness_lease(h, 0)->count, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_grant_and_revoke),         CASE(test_keys_end_in_one_revision), CASE(test_attachment_moves),
        CASE(test_expiry_needs_the_epoch),   CASE(test_many_end_together),        CASE(test_saved_and_loaded),
        CASE(test_only_by_its_own_commands),
    };
    return cmocka_run_group_tests_name("tree: leases", tests, NULL, NULL);
}
