/* Records: a version gives back what it was made of, whichever forms that takes. */
#include "harness.h"

#include "tree/private.h"

static const uint64_t numbers[] = {0,
                                   1,
                                   2,
                                   1000,
                                   (1ull << 31) - 1,
                                   1ull << 31,
                                   1ull << 32,
                                   (1ull << 48) - 1,
                                   1ull << 48,
                                   UINT64_MAX / 2,
                                   UINT64_MAX};
static const int64_t times[] = {0, 1, -1, 1700000000000, (1ll << 47) - 1, 1ll << 47, INT64_MAX, INT64_MIN};
enum { NUMBERS = sizeof numbers / sizeof numbers[0], TIMES = sizeof times / sizeof times[0] };

static uint8_t value[QR__INLINE_MAX + 1];

static void gives_back(const qr__draft *draft, qr_slab *records)
{
    qr__version *version = qr__version_new(draft, records);
    assert_int_equal(qr__index_of(version), draft->index);
    assert_int_equal(qr__mod_of(version), draft->mod_revision);
    assert_int_equal(qr__create_of(version), draft->create_revision);
    assert_int_equal(qr__number_of(version), draft->number);
    assert_int_equal(qr__is_live(version), draft->number != 0);
    assert_int_equal(qr__created_of(version), draft->created_ms);
    assert_int_equal(qr__modified_of(version), draft->modified_ms);
    assert_int_equal(version->sub, draft->sub);
    assert_ptr_equal(qr__older_of(version), draft->older);
    assert_ptr_equal(qr__extra_of(version), draft->extra);
    assert_true(qr_slice_equal(qr__value_of(version), draft->value));
    assert_int_equal(qr__value_hash(version), qr_hash(draft->value, 0));
    qr__version_free(version, records);
}

static void test_every_form(void **state)
{
    (void)state;
    qr_slab records = {0};
    qr_prng prng;
    qr_prng_seed(&prng, 5);
    qr__version *older = qr__version_new(&(qr__draft){.number = 1}, &records);
    static const size_t sizes[] = {0, 1, 64, QR__INLINE_MAX, QR__INLINE_MAX + 1};
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = qr_prng_next(&prng);
        qr__draft draft = {.value = qr_slice_of(value, sizes[bits % 5]),
                           .older = bits & 8 ? older : NULL,
                           .has_older = (bits & 24) != 0,
                           .sub = bits & 32 ? QR__SUB_MAX : 0,
                           .index = numbers[qr_prng_below(&prng, NUMBERS)],
                           .mod_revision = numbers[qr_prng_below(&prng, NUMBERS)],
                           .create_revision = numbers[qr_prng_below(&prng, NUMBERS)],
                           .number = numbers[qr_prng_below(&prng, NUMBERS)],
                           .created_ms = times[qr_prng_below(&prng, TIMES)],
                           .modified_ms = times[qr_prng_below(&prng, TIMES)]};
        if (bits & 64) { /* the first put of a key */
            draft.number = 1;
            draft.create_revision = draft.mod_revision;
            draft.created_ms = draft.modified_ms;
        }
        if (bits & 128)
            draft.extra =
                qr__extra_new(&(qr__extra){.lease = 7}, qr_slice_of(value, bits >> 8 & 15), NULL, &records);
        gives_back(&draft, &records);
    }
    qr__version_free(older, &records);
    qr_slab_end(&records);
}

static void test_first_put_is_small(void **state)
{
    (void)state;
    qr_slab records = {0};
    qr__draft draft = {.value = qr_slice_of(value, 64), .number = 1, .index = 900};
    draft.mod_revision = draft.create_revision = 700;
    draft.modified_ms = draft.created_ms = 1700000000000;
    qr__version *version = qr__version_new(&draft, &records);
    assert_int_equal(records.bytes, 24 + 64);
    qr__version_free(version, &records);
    qr_slab_end(&records);
}

/* Numbers that no small form holds go through the whole machine, and through an image. */
static void test_wide_numbers(void **state)
{
    harness *h = *state;
    assert_int_equal(qr_tree_advance(h->machine, 1ull << 50), QR_OK);
    for (int i = 0; i < TIMES; i++) {
        h->stamp_ms = times[i];
        put(h, "/a", "1");
        put(h, i & 1 ? "/a/b" : "/a/c", "2");
        if (i % 3 == 0)
            assert_int_equal(delete_key(h, "/a"), 1);
        h->index += 1ull << 40;
    }
    harness_check(h);
    qr_machine *copy = harness_copy(h, 100, NULL);
    assert_int_equal(copy->ops->digest(copy), digest_of(h));
    assert_null(copy->ops->broken(copy));
    uint32_t hash = harness_hash(h, 0).hash;
    qr_machine *machine = h->machine;
    h->machine = copy;
    assert_int_equal(harness_hash(h, 0).hash, hash);
    machine->ops->free(machine);
    harness_compact(h, revision_of(h));
    harness_work(h);
}

int main(void)
{
    memset(value, 'v', sizeof value);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_first_put_is_small),
        cmocka_unit_test_setup_teardown(test_wide_numbers, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
