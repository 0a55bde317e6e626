/* The ordered structure alone and large: many levels, every way to split, join and even out. */
#include "harness.h"

#include "tree/private.h"

#include <stdio.h>

enum { KEYS = 20000 };

typedef struct item {
    char key[80];
    qr__entry *entry;
    qr__version *version;
} item;

typedef struct world {
    qr__index index;
    qr_prng prng;
    qr_slab records;
    item items[KEYS]; /* in order of key */
} world;

static int opened(void **state)
{
    world *w = qr_alloc_zero(1, sizeof *w);
    qr__index_init(&w->index, &w->records);
    qr_prng_seed(&w->prng, 7);
    for (int i = 0; i < KEYS; i++) {
        if (i < KEYS / 3)
            snprintf(w->items[i].key, sizeof w->items[i].key,
                     "/a-prefix-that-is-longer-than-a-node-can-take-out/%06d", i);
        else
            snprintf(w->items[i].key, sizeof w->items[i].key, "/b/%c/%c%d", 'a' + i * 5 / KEYS,
                     'a' + i * 20 / KEYS, 1000000 + i);
    }
    *state = w;
    return 0;
}

static void give_version(world *w, item *it, bool live, uint64_t mod)
{
    if (it->version)
        qr__version_free(it->version, &w->records);
    it->version = qr__version_new(&(qr__draft){.mod_revision = mod, .number = live}, &w->records);
    it->entry->newest = it->version;
}

static void insert(world *w, int i, bool live, uint64_t mod)
{
    item *it = &w->items[i];
    qr__path path;
    assert_null(qr__index_path(&w->index, qr_slice_text(it->key), &path));
    it->entry = qr__entry_new(qr_slice_text(it->key), &w->records);
    give_version(w, it, live, mod);
    qr__index_insert(&w->index, &path, it->entry, live, mod);
}

static void drop(world *w, int i)
{
    item *it = &w->items[i];
    qr__path path;
    assert_ptr_equal(qr__index_path(&w->index, qr_slice_text(it->key), &path), it->entry);
    qr__index_remove(&w->index, &path);
    qr__version_free(it->version, &w->records);
    qr__entry_free(it->entry, &w->records);
    it->entry = NULL;
    it->version = NULL;
}

static void set(world *w, int i, bool live, uint64_t mod)
{
    item *it = &w->items[i];
    qr__path path;
    assert_ptr_equal(qr__index_path(&w->index, qr_slice_text(it->key), &path), it->entry);
    give_version(w, it, live, mod);
    qr__index_set(&w->index, &path, live, mod);
}

static int closed(void **state)
{
    world *w = *state;
    for (int i = 0; i < KEYS; i++)
        if (w->items[i].entry)
            drop(w, i);
    assert_int_equal(w->index.entries, 0);
    qr__index_free(&w->index);
    qr_slab_end(&w->records);
    qr_free(w);
    return 0;
}

static void check(world *w)
{
    const char *broken = qr__index_broken(&w->index, false);
    if (broken)
        fail_msg("%s", broken);
}

/* Counts and newest revisions of random spans against a walk over the plain array. */
static void compare_spans(world *w, int spans)
{
    for (int n = 0; n < spans; n++) {
        int a = (int)qr_prng_below(&w->prng, KEYS), b = (int)qr_prng_below(&w->prng, KEYS);
        int low = a < b ? a : b, high = a < b ? b : a;
        bool open = n % 5 == 0;
        uint64_t count = 0, newest = 0;
        for (int i = low; i < (open ? KEYS : high); i++) {
            const item *it = &w->items[i];
            count += it->entry && qr__is_live(it->version);
            if (it->entry && qr__mod_of(it->version) > newest)
                newest = qr__mod_of(it->version);
        }
        qr_slice from = qr_slice_text(w->items[low].key), to = qr_slice_text(w->items[high].key);
        if (low == high && !open)
            continue;
        assert_int_equal(qr__index_count(&w->index, from, open ? NULL : &to, UINT64_MAX), count);
        assert_int_equal(qr__index_newest(&w->index, from, open ? NULL : &to), newest);
    }
}

static void compare_walks(world *w)
{
    qr__cursor up = qr__cursor_seek(&w->index, qr_slice_of(NULL, 0));
    qr__cursor down = qr__cursor_before(&w->index, NULL);
    for (int i = 0; i < KEYS; i++) {
        if (w->items[i].entry) {
            assert_ptr_equal(qr__cursor_entry(&up), w->items[i].entry);
            qr__cursor_next(&up);
        }
        if (w->items[KEYS - 1 - i].entry) {
            assert_ptr_equal(qr__cursor_entry(&down), w->items[KEYS - 1 - i].entry);
            qr__cursor_previous(&down);
        }
    }
    assert_null(up.leaf);
    assert_null(down.leaf);
}

static void shuffle(world *w, int *order)
{
    for (int i = 0; i < KEYS; i++)
        order[i] = i;
    for (int i = KEYS; i-- > 1;) {
        int j = (int)qr_prng_below(&w->prng, (uint64_t)i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

static void test_rising(void **state)
{
    world *w = *state;
    for (int i = 0; i < KEYS; i++)
        insert(w, i, true, (uint64_t)i + 1);
    check(w);
    compare_walks(w);
    compare_spans(w, 100);
    /* Rising keys leave full leaves: at most a few bytes more than an entry's share of a full leaf. */
    assert_true(w->index.bytes < (uint64_t)KEYS * (sizeof(qr__leaf) / QR__FAN + 3));
    for (int i = 0; i < KEYS; i++) {
        drop(w, i);
        if (i % 2000 == 0)
            check(w);
    }
    check(w);
}

static void test_falling(void **state)
{
    world *w = *state;
    for (int i = KEYS; i-- > 0;)
        insert(w, i, i % 3, (uint64_t)i + 1);
    check(w);
    compare_spans(w, 100);
    for (int i = KEYS; i-- > 0;) {
        drop(w, i);
        if (i % 2000 == 0)
            check(w);
    }
}

static void test_random(void **state)
{
    world *w = *state;
    int *order = qr_alloc(KEYS * sizeof *order);
    uint64_t mod = 1;
    shuffle(w, order);
    for (int i = 0; i < KEYS; i++) {
        insert(w, order[i], qr_prng_below(&w->prng, 4), ++mod);
        if (i % 2500 == 0)
            check(w);
    }
    check(w);
    compare_walks(w);
    compare_spans(w, 100);
    for (int i = 0; i < KEYS; i++)
        set(w, (int)qr_prng_below(&w->prng, KEYS), qr_prng_below(&w->prng, 2), ++mod);
    for (int i = 0; i < 100; i++) /* as when a change is taken back */
        set(w, (int)qr_prng_below(&w->prng, KEYS), qr_prng_below(&w->prng, 2), qr_prng_below(&w->prng, mod));
    check(w);
    compare_spans(w, 100);
    shuffle(w, order);
    for (int i = 0; i < KEYS; i++) {
        drop(w, order[i]);
        if (i % 2500 == 0) {
            check(w);
            compare_spans(w, 20);
            compare_walks(w);
        }
    }
    qr_free(order);
}

static void test_coming_and_going(void **state)
{
    world *w = *state;
    for (int round = 0; round < 3 * KEYS; round++) {
        /* Clusters of neighbours come and go, so that leaves empty out and fill up. */
        int i = (int)((qr_prng_below(&w->prng, 40) * (KEYS / 40) + qr_prng_below(&w->prng, 150)) % KEYS);
        if (w->items[i].entry && qr_prng_below(&w->prng, 2 + (uint64_t)(round / KEYS) * 3))
            drop(w, i);
        else if (!w->items[i].entry)
            insert(w, i, true, (uint64_t)round);
        if (round % 4000 == 0)
            check(w);
    }
    check(w);
    compare_walks(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rising, opened, closed),
        cmocka_unit_test_setup_teardown(test_falling, opened, closed),
        cmocka_unit_test_setup_teardown(test_random, opened, closed),
        cmocka_unit_test_setup_teardown(test_coming_and_going, opened, closed),
    };
    return cmocka_run_group_tests_name("tree: index", tests, NULL, NULL);
}
