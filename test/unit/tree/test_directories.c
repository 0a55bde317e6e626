/* Directory records: what they count, when they begin and end, undoing, saving, bounds; and what is a path.
 */
#include "harness.h"

#include "tree/private.h"

#include <stdio.h>

static void assert_directory(harness *h, const char *path, uint64_t created, uint64_t changes,
                             uint64_t children)
{
    qr_directory record = harness_directory(h, path);
    assert_int_equal(record.created, created);
    assert_int_equal(record.changes, changes);
    assert_int_equal(record.children, children);
}

static void test_directory_counts(void **state)
{
    harness *h = *state;
    put(h, "/q", "");
    put(h, "/q/a", "");
    put(h, "/q/b", "");
    put(h, "/q/c", "");
    put(h, "/q/c", "again");
    put(h, "/q/c/deep", "");
    assert_directory(h, "/q", 3, 3, 3);
    assert_directory(h, "/q/c", 1, 1, 1);
    assert_directory(h, "/", 1, 1, 1);
    delete_key(h, "/q/b");
    assert_directory(h, "/q", 3, 4, 2);
    assert_int_equal(harness_directory(h, "/q").last_revision, revision_of(h));
    put(h, "q/x", ""); /* no path */
    put(h, "/q//x", "");
    put(h, "/q/x/", "");
    put(h, "/q/./x", "");
    assert_directory(h, "/q", 3, 4, 2);
    assert_directory(h, "/q/.", 0, 0, 0);
}

static void test_directory_ends(void **state)
{
    harness *h = *state;
    put(h, "/q", "");
    put(h, "/q/a", "");
    delete_key(h, "/q/a");
    assert_directory(h, "/q", 1, 2, 0); /* its own key keeps it */
    delete_key(h, "/q");
    assert_directory(h, "/q", 0, 0, 0);
    put(h, "/v/a", ""); /* nobody made /v */
    put(h, "/v/b", "");
    delete_key(h, "/v/a");
    assert_directory(h, "/v", 2, 3, 1);
    delete_key(h, "/v/b");
    assert_directory(h, "/v", 0, 0, 0);
    put(h, "/w", "");
    put(h, "/w/a", "");
    delete_key(h, "/w"); /* with a child: goes on without a key */
    assert_directory(h, "/w", 1, 1, 1);
    assert_int_equal(harness_op(h, delete_op(from_span("")))->count, 1);
    assert_directory(h, "/w", 0, 0, 0);
    assert_directory(h, "/", 3, 6, 0); /* the root stays */
}

static void test_directory_without_a_key(void **state)
{
    harness *h = *state;
    h->stamp_ms = 5000;
    put(h, "/a/b/c", "");
    uint64_t first = revision_of(h);
    assert_directory(h, "/", 1, 1, 1);
    assert_directory(h, "/a", 1, 1, 1);
    assert_directory(h, "/a/b", 1, 1, 1);
    assert_directory(h, "/a/b/c", 0, 0, 0);
    qr_directory a = harness_directory(h, "/a");
    assert_int_equal(a.last_revision, first);
    assert_int_equal(a.first_revision, first);
    assert_int_equal(a.bare_revision, first);
    assert_int_equal(a.first_ms, 5000);
    assert_int_equal(a.bare_ms, 5000);
    assert_int_equal(a.versions, 0);
    h->stamp_ms = 6000;
    put(h, "/a/b/d", ""); /* /a/b is there: only its record counts */
    put(h, "/a/b/d", "again");
    put(h, "/a-b", ""); /* sorts between /a and /a/ */
    assert_directory(h, "/a/b", 2, 2, 2);
    assert_directory(h, "/a", 1, 1, 1);
    assert_int_equal(harness_directory(h, "/a/b").last_revision, first + 1);
    assert_int_equal(harness_directory(h, "/a/b").first_revision, first);
    assert_int_equal(harness_directory(h, "/a").last_revision, first);
    delete_key(h, "/a/b/c");
    assert_directory(h, "/a", 1, 1, 1);
    delete_key(h, "/a/b/d"); /* /a/b and /a go with it */
    assert_directory(h, "/a/b", 0, 0, 0);
    assert_directory(h, "/a", 0, 0, 0);
    assert_directory(h, "/", 2, 3, 1);
    assert_int_equal(harness_directory(h, "/").last_revision, revision_of(h));
    put(h, "/a/b/c/d", "");
    assert_directory(h, "/a", 1, 1, 1); /* from zero, one level deeper */
    assert_directory(h, "/a/b/c", 1, 1, 1);
    assert_int_equal(harness_directory(h, "/a").first_revision, revision_of(h));
    put(h, "/a/b//e", ""); /* no paths: nothing can be seen because of them */
    put(h, "/f/./g", "");
    assert_directory(h, "/a/b", 1, 1, 1);
    assert_directory(h, "/f", 0, 0, 0);
}

static void test_directory_gets_and_loses_its_key(void **state)
{
    harness *h = *state;
    h->stamp_ms = 5000;
    put(h, "/a/b/c", "");
    uint64_t first = revision_of(h);
    h->stamp_ms = 6000;
    put(h, "/a/b", "own"); /* it was there already: nothing appears */
    put(h, "/a/b", "second");
    assert_directory(h, "/a", 1, 1, 1);
    assert_directory(h, "/a/b", 1, 1, 1);
    qr_directory b = harness_directory(h, "/a/b");
    assert_int_equal(b.first_revision, first);
    assert_int_equal(b.first_ms, 5000);
    assert_int_equal(b.bare_revision, 0);
    assert_int_equal(b.bare_ms, 0);
    assert_int_equal(b.versions, 1); /* shown as data versions 1 and 2, after the 0 without a key */
    h->stamp_ms = 7000;
    delete_key(h, "/a/b");
    b = harness_directory(h, "/a/b");
    assert_directory(h, "/a", 1, 1, 1);
    assert_int_equal(b.bare_revision, revision_of(h));
    assert_int_equal(b.bare_ms, 7000);
    assert_int_equal(b.first_revision, first);
    assert_int_equal(b.versions, 3);
    put(h, "/a/b", "back");
    assert_int_equal(harness_directory(h, "/a/b").versions, 4);
    delete_key(h, "/a/b/c"); /* now the key alone keeps it */
    assert_directory(h, "/a/b", 1, 2, 0);
    assert_directory(h, "/a", 1, 1, 1);
    assert_int_equal(harness_directory(h, "/a/b").versions, 4);
    delete_key(h, "/a/b");
    assert_directory(h, "/", 1, 2, 0);
    assert_directory(h, "/a/b", 0, 0, 0);
    /* A key that was there first tells when the directory began. */
    h->stamp_ms = 8000;
    put(h, "/k", "");
    uint64_t created = revision_of(h);
    h->stamp_ms = 9000;
    put(h, "/k/c/d", "");
    assert_int_equal(harness_directory(h, "/k").first_revision, created);
    assert_int_equal(harness_directory(h, "/k").first_ms, 8000);
    assert_int_equal(harness_directory(h, "/k").bare_revision, 0);
    assert_int_equal(harness_directory(h, "/k").versions, 0);
}

static void test_directory_of_the_root(void **state)
{
    harness *h = *state;
    assert_directory(h, "/", 0, 0, 0);
    put(h, "/", "own"); /* the root is its own parent's child nowhere */
    assert_directory(h, "/", 0, 0, 0);
    assert_int_equal(harness_directory(h, "/").versions, 1);
    put(h, "/a/b", "");
    assert_directory(h, "/", 1, 1, 1);
    delete_key(h, "/");
    assert_directory(h, "/", 1, 1, 1);
    qr_directory root = harness_directory(h, "/");
    assert_int_equal(root.versions, 2);
    assert_int_equal(root.bare_revision, revision_of(h));
    assert_int_equal(root.first_revision, 0);
    assert_int_equal(root.first_ms, 0);
    delete_key(h, "/a/b");
    assert_directory(h, "/", 1, 2, 0);
    put(h, "q/x", ""); /* no path has no parent */
    assert_directory(h, "/", 1, 2, 0);
}

static void test_directories_in_one_command(void **state)
{
    harness *h = *state;
    put(h, "/a", "");
    put(h, "/a/b/c", "");
    put(h, "/a/d", "");
    /* A parent and all below it in one range: no directory without a key stays, and each went once. */
    assert_int_equal(harness_op(h, delete_op(range_span("/a", "/b")))->count, 3);
    assert_directory(h, "/a", 0, 0, 0);
    assert_directory(h, "/a/b", 0, 0, 0);
    assert_directory(h, "/", 1, 2, 0);
    /* Operations see each other: this directory goes and comes again, from zero. */
    put(h, "/q/x", "");
    put(h, "/q/y", "");
    assert_non_null(harness_apply(
        h, HARNESS_TXN(delete_op(range_span("/q/", "/q0")), put_op("/q/z", ""), put_op("/q/z/z", ""))));
    assert_directory(h, "/q", 1, 1, 1);
    assert_directory(h, "/q/z", 1, 1, 1);
    assert_directory(h, "/", 3, 5, 1);
}

static void test_undone_directories(void **state)
{
    harness *h = *state;
    static const char *const paths[] = {"/",    "/a", "/a/b", "/a/b/c", "/k",
                                        "/k/c", "/n", "/n/m", "/o",     "/k/c/d"};
    enum { PATHS = sizeof paths / sizeof paths[0] };
    put(h, "/a/b/c/d", "");
    put(h, "/k", "");
    put(h, "/k/c/d", "");
    qr_directory before[PATHS];
    for (int i = 0; i < PATHS; i++)
        before[i] = harness_directory(h, paths[i]);
    uint64_t digest = digest_of(h);
    qr_op refused = put_op("missing", "");
    refused.put.options = QR_PUT_KEEP_VALUE;
    const qr_txn *txns[] = {
        HARNESS_TXN(put_op("/n/m/l", ""), refused),
        HARNESS_TXN(delete_op(key_span("/a/b/c/d")), refused),
        HARNESS_TXN(delete_op(key_span("/a/b/c/d")), put_op("/a/b/x/y", ""), refused),
        HARNESS_TXN(put_op("/a/b", ""), put_op("/a", ""), delete_op(from_span("")), refused),
        HARNESS_TXN(delete_op(key_span("/k")), put_op("/k", ""), delete_op(key_span("/k/c/d")), refused),
        HARNESS_TXN(put_op("/", ""), put_op("/o/p", ""), delete_op(key_span("/o/p")), refused),
        HARNESS_TXN(delete_op(from_span("")), put_op("/a/b/c/d", ""), put_op("/k/c/d", ""), refused),
    };
    for (size_t t = 0; t < sizeof txns / sizeof txns[0]; t++) {
        harness_apply(h, txns[t]);
        assert_int_equal(h->status, QR_E_KEY_NOT_FOUND);
        harness_check(h);
        assert_int_equal(digest_of(h), digest);
        for (int i = 0; i < PATHS; i++) {
            qr_directory now = harness_directory(h, paths[i]);
            assert_memory_equal(&now, &before[i], sizeof now);
        }
    }
}

static char *deep_path(int levels, size_t name_size)
{
    char *path = qr_alloc_zero((size_t)levels * (name_size + 1) + 1, 1);
    for (int i = 0; i < levels; i++) {
        char *at = path + (size_t)i * (name_size + 1);
        *at = '/';
        memset(at + 1, 'd', name_size);
    }
    return path;
}

static void test_directories_at_their_bounds(void **state)
{
    harness *h = *state;
    char *deepest = deep_path(QR_PATH_LEVELS_MAX, 63), *deeper = deep_path(QR_PATH_LEVELS_MAX + 1, 1);
    assert_int_equal(strlen(deepest), QR_PATH_MAX);
    put(h, deepest, "");
    qr_tree *tree = (qr_tree *)h->machine;
    assert_int_equal(tree->directories.live, QR_PATH_LEVELS_MAX); /* the root and all but the key itself */
    assert_directory(h, "/", 1, 1, 1);
    deepest[QR_PATH_MAX - 1] = 'e';
    put(h, deepest, "");
    assert_int_equal(tree->directories.live, QR_PATH_LEVELS_MAX);
    put(h, deeper, ""); /* no path */
    assert_int_equal(tree->directories.live, QR_PATH_LEVELS_MAX);
    harness_check(h);
    assert_int_equal(harness_op(h, delete_op(from_span("")))->count, 3);
    assert_int_equal(tree->directories.live, 1);
    assert_int_equal(tree->directory_cost, QR__DIRECTORY_COST + 1);
    qr_free(deepest);
    qr_free(deeper);
}

static void test_directories_count_in_the_quota(void **state)
{
    (void)state;
    harness limited, *h = &limited;
    harness_open(h, &(qr_tree_config){.quota_bytes = 100000});
    char *path = deep_path(QR_PATH_LEVELS_MAX, 60);
    put(h, path, ""); /* one key of 4 KB, and 64 records of 2 KB each */
    path[strlen(path) - 1] = 'e';
    harness_op(h, put_op(path, ""));
    assert_int_equal(h->status, QR_E_QUOTA);
    harness_op(h, delete_op(from_span("")));
    put(h, path, "");
    harness_check(h);
    harness_close(h);
    qr_free(path);
}

static void test_saved_directories(void **state)
{
    harness *h = *state;
    char path[32];
    for (int i = 0; i < 60; i++) {
        snprintf(path, sizeof path, "/d/%02d/e/f", i);
        put(h, path, "");
    }
    qr_directory before = harness_directory(h, "/d");
    const qr_machine_ops *ops = h->machine->ops;
    qr_machine *copy = qr_tree_open(&(qr_tree_config){0});
    qr_buffer chunk;
    qr_buffer_init(&chunk);
    assert_int_equal(ops->save_begin(h->machine), QR_OK);
    qr_op refused = put_op("missing", "");
    refused.put.options = QR_PUT_KEEP_VALUE;
    int step = 0;
    for (bool done = false; !done; step++) {
        qr_buffer_clear(&chunk);
        assert_int_equal(ops->save_next(h->machine, 150, &chunk, &done), QR_OK);
        assert_int_equal(ops->load(copy, qr_buffer_slice(&chunk), done), QR_OK);
        while (done && ops->settle(copy, 7))
            continue;
        if (step >= 60)
            continue;
        snprintf(path, sizeof path, "/d/%02d/e/f",
                 step * 7 % 60); /* goes, comes deeper; its neighbour would go */
        delete_key(h, path);
        snprintf(path, sizeof path, "/d/%02d/e/f/g", step * 7 % 60);
        put(h, path, "");
        harness_apply(h, HARNESS_TXN(delete_op(range_span("/d/5", "/d/6")), refused));
        assert_int_equal(h->status, QR_E_KEY_NOT_FOUND);
    }
    assert_true(step > 20);
    ops->save_end(h->machine);
    qr_buffer_free(&chunk);
    harness loaded = {.machine = copy};
    harness_check(&loaded);
    qr_directory after = harness_directory(&loaded, "/d");
    assert_memory_equal(&after, &before, sizeof after);
    for (int i = 0; i < 60; i++) {
        snprintf(path, sizeof path, "/d/%02d/e", i);
        assert_directory(&loaded, path, 1, 1, 1);
        assert_int_equal(harness_directory(&loaded, path).first_revision, 2 + (uint64_t)i);
        snprintf(path, sizeof path, "/d/%02d/e/f", i);
        assert_directory(&loaded, path, 0, 0, 0);
    }
    harness_close(&loaded);
}

/* Records that do not agree with the keys are found, whichever figure is wrong. */
static void test_wrong_directories_are_found(void **state)
{
    harness *h = *state;
    qr_tree *tree = (qr_tree *)h->machine;
    put(h, "/a/b/c", "");
    put(h, "/k", "");
    put(h, "/k/l", "");
    const qr_directory a = *qr__directory_find(tree, qr_slice_text("/a")),
                       k = *qr__directory_find(tree, qr_slice_text("/k"));
    qr_directory wrong[] = {a, a, a, a, k, k, k};
    wrong[0].children++, wrong[0].created++;
    wrong[1].changes++;
    wrong[2].bare_revision = 0;
    wrong[3].last_revision = revision_of(h) + 1;
    wrong[4].bare_revision = revision_of(h);
    wrong[5].first_revision++;
    wrong[6].first_revision = 0;
    for (int i = 0; i < 7; i++) {
        qr_slice path = qr_slice_text(i < 4 ? "/a" : "/k");
        qr__directory_put(tree, path, &wrong[i]);
        assert_non_null(h->machine->ops->broken(h->machine));
        qr__directory_put(tree, path, i < 4 ? &a : &k);
        harness_check(h);
    }
    qr__directory_put(tree, qr_slice_text("/a"), NULL); /* missing */
    assert_non_null(h->machine->ops->broken(h->machine));
    qr__directory_put(tree, qr_slice_text("/a"), &a);
    const qr_directory nothing = {.first_revision = 2, .last_revision = 2, .bare_revision = 2};
    qr__directory_put(tree, qr_slice_text("/z"), &nothing); /* one too many */
    assert_non_null(h->machine->ops->broken(h->machine));
    qr__directory_put(tree, qr_slice_text("/z"), NULL);
}

static void test_numbered_puts(void **state)
{
    harness *h = *state;
    put(h, "/q", "");
    put(h, "/q/other", "");
    qr_op op = put_op("/q/n-", "1");
    op.put.options = QR_PUT_NUMBERED;
    assert_slice(harness_op(h, op)->key, "/q/n-0000000001");
    delete_key(h, "/q/n-0000000001");
    assert_slice(harness_op(h, op)->key, "/q/n-0000000002");
    op.put.key = qr_slice_text("/q/");
    assert_slice(harness_op(h, op)->key, "/q/0000000003");
    const qr_txn_result *two = harness_apply(h, HARNESS_TXN(op, op));
    assert_slice(two->ops[0].key, "/q/0000000004");
    assert_slice(two->ops[1].key, "/q/0000000005");
    op.put.key = qr_slice_text("no-path");
    harness_op(h, op);
    assert_int_equal(h->status, QR_E_INVALID);
    /* A directory that nobody created counts like any other, children without a key included. */
    put(h, "/v/w/x", "");
    put(h, "/v/y", "");
    op.put.key = qr_slice_text("/v/n-");
    assert_slice(harness_op(h, op)->key, "/v/n-0000000002");
    op.put.key = qr_slice_text("/u/t/n-");
    assert_slice(harness_op(h, op)->key, "/u/t/n-0000000000");
    assert_directory(h, "/u", 1, 1, 1);
    delete_key(h, "/u/t/n-0000000000"); /* the directory went with it: the numbers begin again */
    assert_slice(harness_op(h, op)->key, "/u/t/n-0000000000");
    /* The number is a signed one of 32 bits. */
    qr_tree *tree = (qr_tree *)h->machine;
    qr_directory record = *qr__directory_find(tree, qr_slice_text("/q"));
    record.created = 0x80000000u;
    record.changes = 2 * record.created - record.children;
    qr__directory_put(tree, qr_slice_text("/q"), &record);
    op.put.key = qr_slice_text("/q/w");
    assert_slice(harness_op(h, op)->key, "/q/w-2147483648");
    assert_slice(harness_op(h, op)->key, "/q/w-2147483647");
}

static void test_paths(void **state)
{
    (void)state;
    const char *good[] = {
        "/", "/a", "/a/b", "/...", "/.a", "/a.", "/ ", "/\xc2\xa0", "/\xe2\x82\xac/x", "/\xef\xa4\x80"};
    const char *bad[] = {"",
                         "a",
                         "//",
                         "/a/",
                         "/a//b",
                         "/.",
                         "/..",
                         "/a/./b",
                         "/a/..",
                         "/a\x1f",
                         "/\x7f",
                         "/\xc2\x80",
                         "/\xc2\x9f",
                         "/\xc0\xaf",
                         "/\xed\xa0\x80",
                         "/\xee\x80\x80",
                         "/\xef\xbf\xb0",
                         "/\xf0\x9f\x98\x80",
                         "/\xe2\x82",
                         "/\x80",
                         "/\xc2",
                         "/\xe0\x80\xaf"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!qr__path_valid(qr_slice_text(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (qr__path_valid(qr_slice_text(bad[i])))
            fail_msg("accepted: bad path %zu", i);
    assert_false(qr__path_valid(qr_slice_of("/a\0b", 4)));
    char deep[2 * QR_PATH_LEVELS_MAX + 3], wide[QR_PATH_MAX + 2];
    for (size_t i = 0; i < sizeof deep; i++)
        deep[i] = i % 2 ? 'a' : '/';
    assert_true(qr__path_valid(qr_slice_of(deep, 2 * QR_PATH_LEVELS_MAX)));
    assert_false(qr__path_valid(qr_slice_of(deep, 2 * QR_PATH_LEVELS_MAX + 2)));
    memset(wide, 'a', sizeof wide);
    wide[0] = '/';
    assert_true(qr__path_valid(qr_slice_of(wide, QR_PATH_MAX)));
    assert_false(qr__path_valid(qr_slice_of(wide, QR_PATH_MAX + 1)));
    assert_slice(qr__path_parent(qr_slice_text("/a")), "/");
    assert_slice(qr__path_parent(qr_slice_text("/a/b")), "/a");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_directory_counts),
        CASE(test_directory_ends),
        CASE(test_directory_without_a_key),
        CASE(test_directory_gets_and_loses_its_key),
        CASE(test_directory_of_the_root),
        CASE(test_directories_in_one_command),
        CASE(test_undone_directories),
        CASE(test_directories_at_their_bounds),
        cmocka_unit_test(test_directories_count_in_the_quota),
        CASE(test_saved_directories),
        CASE(test_wrong_directories_are_found),
        CASE(test_numbered_puts),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests_name("tree: directories", tests, NULL, NULL);
}
