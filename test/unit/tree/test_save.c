/* Saved images: damaged, cut, out of order; and that a loaded tree goes on exactly as the one it was saved
 * from. */
#include "harness.h"

#include "tree/image.h"

#include <stdio.h>

enum { CHUNKS_MAX = 4096 };

typedef struct image {
    qr_buffer chunks[CHUNKS_MAX];
    size_t count;
} image;

static void fill_tree(harness *h, int keys)
{
    char key[64], value[700];
    memset(value, 'v', sizeof value);
    harness_open(h, NULL);
    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "/d%d/k%d", i % 7, i % (keys / 2));
        value[sizeof value - 1] = value[i % 600] = '\0';
        qr_op op = put_op(key, value);
        op.put.options = i % 3 ? 0 : QR_PUT_SET_ATTRIBUTE | QR_PUT_SET_FLAGS;
        op.put.flags = (uint64_t)i;
        op.put.attribute = qr_slice_text("attribute");
        assert_non_null(harness_op(h, op));
        value[i % 600] = 'v';
        if (i % 11 == 0)
            assert_non_null(harness_op(h, delete_op(key_span(key))));
        if (i % 5 == 0) {
            op = put_op(key, "hidden");
            op.put.space = QR_SPACE_CATALOGUE;
            assert_non_null(harness_op(h, op));
        }
        if (i == keys / 2)
            assert_non_null(harness_compact(h, h->machine->ops->revision(h->machine) - 10));
    }
}

static void save(harness *h, image *im, size_t budget)
{
    im->count = 0;
    assert_int_equal(h->machine->ops->save_begin(h->machine), QR_OK);
    for (bool done = false; !done;) {
        assert_true(im->count < CHUNKS_MAX);
        qr_buffer_init(&im->chunks[im->count]);
        assert_int_equal(h->machine->ops->save_next(h->machine, budget, &im->chunks[im->count++], &done),
                         QR_OK);
    }
    h->machine->ops->save_end(h->machine);
}

static void free_image(image *im)
{
    while (im->count > 0)
        qr_buffer_free(&im->chunks[--im->count]);
}

static qr_status load(const image *im, size_t skip, size_t end)
{
    qr_machine *machine = qr_tree_open(&(qr_tree_config){0});
    qr_status status = QR_OK;
    for (size_t i = 0; i < end && status == QR_OK; i++)
        if (i != skip)
            status = machine->ops->load(machine, qr_buffer_slice(&im->chunks[i]), i + 1 == end);
    while (status == QR_OK && machine->ops->settle(machine, 5))
        continue;
    if (status == QR_OK)
        assert_null(machine->ops->broken(machine));
    machine->ops->free(machine);
    return status;
}

static void test_whole_image(void **state)
{
    (void)state;
    harness h;
    image *im = qr_alloc(sizeof *im);
    fill_tree(&h, 600);
    const size_t budgets[] = {1, 100, 3000, 1 << 20};
    for (size_t i = 0; i < 4; i++) {
        save(&h, im, budgets[i]);
        assert_true(i < 3 ? im->count > 10 : im->count == 1);
        assert_int_equal(load(im, SIZE_MAX, im->count), QR_OK);
        if (i == 2)
            for (size_t c = 0; c < im->count; c++)
                assert_true(im->chunks[c].size < 3000 + 1500); /* the budget, and one version more at most */
        free_image(im);
    }
    qr_free(im);
    harness_close(&h);
}

static void test_missing_chunk(void **state)
{
    (void)state;
    harness h;
    image *im = qr_alloc(sizeof *im);
    fill_tree(&h, 300);
    save(&h, im, 2000);
    for (size_t skip = 0; skip + 1 < im->count; skip++)
        assert_int_equal(load(im, skip, im->count), QR_E_CORRUPT);
    free_image(im);
    qr_free(im);
    harness_close(&h);
}

static void test_cut_and_damaged_image(void **state)
{
    (void)state;
    harness h;
    image *im = qr_alloc(sizeof *im);
    fill_tree(&h, 300);
    save(&h, im, 2000);
    for (size_t end = 1; end < im->count; end++)
        assert_int_equal(load(im, SIZE_MAX, end), QR_E_CORRUPT);
    for (size_t c = 0; c < im->count; c += 3)
        for (size_t at = 0; at < im->chunks[c].size; at += 97) {
            im->chunks[c].data[at] ^= 0x10;
            assert_int_equal(load(im, SIZE_MAX, im->count), QR_E_CORRUPT);
            im->chunks[c].data[at] ^= 0x10;
        }
    im->chunks[0].size = 5;
    assert_int_equal(load(im, SIZE_MAX, im->count), QR_E_CORRUPT);
    free_image(im);
    qr_free(im);
    harness_close(&h);
}

static void add_key(qr_buffer *out, uint8_t space, const char *key)
{
    qr_buffer_u8(out, QR__IMAGE_KEY);
    qr_buffer_u8(out, space);
    qr_buffer_bytes(out, qr_slice_text(key));
}

static void add_version(qr_buffer *out, uint64_t number, const char *value)
{
    qr_buffer_u8(out, QR__IMAGE_VERSION);
    qr_buffer_u8(out, 0);
    /* index, mod revision, sub, create revision, version */
    const uint64_t numbers[] = {number, number, 0, 1, number};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        qr_buffer_varint(out, numbers[i]);
    qr_buffer_u64(out, 5);
    qr_buffer_u64(out, 5);
    qr_buffer_bytes(out, qr_slice_text(value));
}

/* A whole image in one chunk, with these records between head and end. */
static qr_status load_records(qr_slice records, uint64_t keys, uint64_t versions)
{
    image *im = qr_alloc(sizeof *im);
    qr_buffer *chunk = &im->chunks[0];
    im->count = 1;
    qr_buffer_init(chunk);
    qr_buffer_u8(chunk, QR__IMAGE_FORMAT);
    qr_buffer_u64(chunk, 0);
    qr_buffer_u8(chunk, QR__IMAGE_HEAD);
    const uint64_t head[] = {9, 9, 0, 77}; /* index, revision, compacted, digest */
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        qr_buffer_u64(chunk, head[i]);
    qr_buffer_add_slice(chunk, records);
    qr_buffer_u8(chunk, QR__IMAGE_END);
    qr_buffer_varint(chunk, keys);
    qr_buffer_varint(chunk, versions);
    qr_buffer_u64(chunk, qr_hash(qr_buffer_slice(chunk), 0));
    qr_status status = load(im, SIZE_MAX, 1);
    free_image(im);
    qr_free(im);
    return status;
}

/* Sums are right and records are not: what was taken of them goes with the tree, once. */
static void test_records_that_cannot_be(void **state)
{
    (void)state;
    qr_buffer records;
    qr_buffer_init(&records);
    add_key(&records, QR_SPACE_KEYS, "a");
    add_version(&records, 2, "second");
    add_version(&records, 1, "first");
    assert_int_equal(load_records(qr_buffer_slice(&records), 1, 2), QR_OK);

    qr_buffer_clear(&records); /* a key is named again in the next chunk only */
    add_key(&records, QR_SPACE_KEYS, "a");
    add_version(&records, 1, "second");
    add_key(&records, QR_SPACE_KEYS, "a");
    add_version(&records, 1, "first");
    assert_int_equal(load_records(qr_buffer_slice(&records), 1, 2), QR_E_CORRUPT);

    qr_buffer_clear(&records); /* its versions rise */
    add_key(&records, QR_SPACE_KEYS, "a");
    add_version(&records, 2, "first");
    add_version(&records, 3, "second");
    assert_int_equal(load_records(qr_buffer_slice(&records), 1, 2), QR_E_CORRUPT);

    qr_buffer_clear(&records); /* a lease of another size */
    add_key(&records, QR_SPACE_LEASES, "12345678");
    add_version(&records, 1, "short");
    assert_int_equal(load_records(qr_buffer_slice(&records), 1, 1), QR_E_CORRUPT);
    qr_buffer_free(&records);
}

static void test_save_is_exclusive_and_may_be_given_up(void **state)
{
    (void)state;
    harness h;
    fill_tree(&h, 300);
    const qr_machine_ops *ops = h.machine->ops;
    assert_int_equal(ops->save_begin(h.machine), QR_OK);
    assert_int_equal(ops->save_begin(h.machine), QR_E_BUSY);
    assert_false(ops->work(h.machine, 100)); /* nothing is freed while it runs */
    qr_buffer chunk;
    qr_buffer_init(&chunk);
    bool done;
    assert_int_equal(ops->save_next(h.machine, 500, &chunk, &done), QR_OK);
    qr_buffer_free(&chunk);
    ops->save_end(h.machine);
    harness_work(&h);
    harness_check(&h);
    qr_machine *copy = harness_copy(&h, 1000, NULL);
    assert_int_equal(ops->digest(copy), ops->digest(h.machine));
    ops->free(copy);
    harness_close(&h);
}

static void test_loaded_tree_goes_on_alike(void **state)
{
    (void)state;
    harness h, copy = {.stamp_ms = 77};
    fill_tree(&h, 400);
    copy.machine = harness_copy(&h, 900, NULL);
    copy.index = h.index;
    h.stamp_ms = 77;
    harness *both[] = {&h, &copy};
    for (int t = 0; t < 2; t++) {
        assert_non_null(harness_op(both[t], put_op("/d1/new", "x")));
        assert_non_null(harness_op(both[t], delete_op(range_span("/d2", "/d3"))));
        assert_non_null(harness_compact(both[t], both[t]->machine->ops->revision(both[t]->machine) - 1));
        harness_work(both[t]);
        harness_check(both[t]);
    }
    assert_int_equal(h.machine->ops->digest(h.machine), copy.machine->ops->digest(copy.machine));
    assert_int_equal(harness_hash(&h, 0).hash, harness_hash(&copy, 0).hash);
    assert_int_equal(harness_status(&h).history_bytes, harness_status(&copy).history_bytes);
    harness_close(&h);
    harness_close(&copy);
}

/* A restored tree: newer than everything a client may have seen, its keys as they were, its past gone. */
static void test_advance(void **state)
{
    (void)state;
    harness h;
    fill_tree(&h, 300);
    uint64_t old = revision_of(&h), digest = digest_of(&h);
    qr_tree_status before = harness_status(&h);
    assert_int_equal(qr_tree_advance(h.machine, old - 1), QR_E_FUTURE_REVISION);
    assert_int_equal(digest_of(&h), digest);
    qr_machine *twin = harness_copy(&h, 1000, NULL);
    assert_int_equal(qr_tree_advance(h.machine, old + 1000000000), QR_OK);
    assert_int_equal(qr_tree_advance(twin, old + 1000000000), QR_OK);
    assert_int_equal(twin->ops->digest(twin), digest_of(&h));
    twin->ops->free(twin);
    assert_int_not_equal(digest_of(&h), digest);
    assert_int_equal(revision_of(&h), old + 1000000000);
    qr_tree_status after = harness_status(&h);
    assert_int_equal(after.keys, before.keys);
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_int_equal(after.compacted, old + 1000000000);
    assert_int_equal(after.history_bytes, 0);
    harness_range(&h, (qr_range){.span = from_span(""), .revision = old});
    assert_int_equal(h.status, QR_E_COMPACTED);
    const qr_op_result *found =
        harness_range(&h, (qr_range){.span = from_span(""), .revision = old + 1000000000});
    assert_non_null(found);
    assert_int_equal(found->count, before.keys);
    put(&h, "/after", "1");
    assert_int_equal(revision_of(&h), old + 1000000001);
    harness_check(&h);
    qr_machine *copy = harness_copy(&h, 1000, NULL);
    assert_int_equal(copy->ops->digest(copy), digest_of(&h));
    copy->ops->free(copy);
    harness_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_image),
        cmocka_unit_test(test_advance),
        cmocka_unit_test(test_missing_chunk),
        cmocka_unit_test(test_cut_and_damaged_image),
        cmocka_unit_test(test_records_that_cannot_be),
        cmocka_unit_test(test_save_is_exclusive_and_may_be_given_up),
        cmocka_unit_test(test_loaded_tree_goes_on_alike),
    };
    return cmocka_run_group_tests_name("tree: save", tests, NULL, NULL);
}
