/* What the tree frees goes back to the system, and nobody sees that records were moved for it. */
#include "harness.h"

#include <stdio.h>

#include "tree/private.h"

enum { KEYS = 60000, ROUNDS = 3 };

static const char *key_of(unsigned i)
{
    static char key[32];
    snprintf(key, sizeof key, "/jobs/%03u/%05u", i % 300, i * 7919u % KEYS);
    return key;
}

static void put_all(harness *h)
{
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < KEYS; i++)
            put(h, key_of(i), "a value that is neither short nor long");
}

/* Every tenth stays, each of them elsewhere in the order of keys. */
static void delete_most(harness *h)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (i % 10 != 3)
            assert_int_equal(delete_key(h, key_of(i)), 1);
}

static void test_memory_goes_back(void **state)
{
    harness *h = *state;
    put_all(h);
    qr_tree_status full = harness_status(h);
    assert_true(full.pages_bytes < full.pages_used_bytes * 11 / 10);
    harness_compact(h, revision_of(h));
    harness_work(h);
    qr_tree_status compacted = harness_status(h);
    assert_true(compacted.pages_bytes < full.pages_bytes * 6 / 10);
    delete_most(h);
    harness_compact(h, revision_of(h));
    uint64_t digest = digest_of(h), hash = harness_hash(h, 0).hash;
    harness_work(h);
    harness_check(h);
    qr_tree_status least = harness_status(h);
    /* What is kept in any case: 64 pages that are free, and a page a size. */
    assert_true(least.pages_bytes < compacted.pages_bytes / 10 + 80 * (uint64_t)QR_SLAB_PAGE);
    assert_true(least.pages_bytes < compacted.pages_bytes / 2);
    assert_int_equal(least.keys, KEYS / 10);
    assert_int_equal(digest_of(h), digest);
    assert_int_equal(harness_hash(h, 0).hash, hash);
    for (unsigned i = 3; i < KEYS; i += 10)
        assert_slice(harness_range(h, (qr_range){.span = key_span(key_of(i))})->kvs[0].value,
                     "a value that is neither short nor long");
    put_all(h); /* and all that is given back is taken again */
    harness_check(h);
}

/* A walk is put off by a save, and goes on where it was; keys that come and go
 * meanwhile do not disturb it. */
static void test_moving_in_slices(void **state)
{
    harness *h = *state;
    const qr_machine_ops *ops = h->machine->ops;
    put_all(h);
    delete_most(h);
    harness_compact(h, revision_of(h));
    const qr_tree *tree = (const qr_tree *)h->machine;
    unsigned i = 0;
    for (bool more = true; more; i++) {
        more = ops->work(h->machine, 512);
        if (tree->tidying.stage == QR__TIDY_REST)
            continue;
        put(h, key_of(i), "new");
        if (i % 3 == 0)
            delete_key(h, key_of(i * 10 + 3));
        if (i % 16 == 0)
            ops->free(harness_copy(h, 100000, NULL));
    }
    assert_true(tree->tidying.compacted > 0);
    harness_check(h);
    qr_machine *copy = harness_copy(h, 4096, NULL);
    assert_int_equal(copy->ops->digest(copy), digest_of(h));
    copy->ops->free(copy);
}

/* A key with a lease stays where its lease looks for it. */
static void test_leased_keys_stay(void **state)
{
    (void)state;
    harness restless, *h = &restless;
    harness_open(h, &(qr_tree_config){.move_always = true});
    assert_non_null(harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = 7, .ttl_ms = 60000}));
    for (unsigned i = 0; i < 200; i++) {
        qr_op op = put_op(key_of(i), "v");
        op.put.lease = i % 2 ? 7 : 0;
        assert_non_null(harness_op(h, op));
    }
    put(h, "last", "v");
    harness_compact(h, revision_of(h));
    harness_work(h);
    harness_check(h);
    assert_int_equal(harness_lease(h, 7)->key_count, 100);
    assert_non_null(harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = 7}));
    harness_check(h);
    assert_int_equal(harness_status(h).keys, 101);
    harness_close(h);
}

/* The log of events lies in chunks. A transaction that is taken back has begun
 * some of them; later ones go on there, and compaction takes them from the
 * front. */
static void test_event_chunks(void **state)
{
    harness *h = *state;
    for (unsigned i = 0; i < 2 * QR__CHUNK + 100; i++)
        put(h, key_of(i), "v");
    qr_op large = put_op("x", "v");
    large.put.options = QR_PUT_KEEP_VALUE; /* there is none: all is taken back */
    uint64_t revision = revision_of(h), digest = digest_of(h);
    for (unsigned round = 0; round < 20; round++) {
        harness_apply(h, HARNESS_TXN(delete_op(from_span("/")), large));
        assert_true(h->status != QR_OK && revision_of(h) == revision && digest_of(h) == digest);
        harness_check(h);
        for (unsigned i = 0; i < QR__CHUNK / 2 + 7; i++)
            put(h, key_of(i), "w");
        revision = revision_of(h);
        digest = digest_of(h);
        harness_compact(h, revision - QR__CHUNK * (round % 4) / 3);
        digest = digest_of(h);
        harness_work(h);
        harness_check(h);
    }
    const qr_tree *tree = (const qr_tree *)h->machine;
    assert_true(tree->history.first / QR__CHUNK > tree->history.room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory_goes_back, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_moving_in_slices, harness_setup, harness_teardown),
        cmocka_unit_test(test_leased_keys_stay),
        cmocka_unit_test_setup_teardown(test_event_chunks, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
