/* Paths that a node may and may not have; the same that test/door/zk_probe asks a server for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "door/zookeeper/path.h"

static void allowed(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/",         "/a",        "/a/b",          "/...",          "/.a/..b",      "/a b",
        "/\xc3\xa4", "/\xc2\xa0", "/\xed\x9f\xbf", "/\xef\xa4\x80", "/\xef\xbf\xaf"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (!qr_zookeeper_path_valid(qr_slice_text(paths[i])))
            fail_msg("%s", paths[i]);
}

static void refused(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "a",
        "/a/",
        "//",
        "//a",
        "/a//b",
        "/.",
        "/..",
        "/./a",
        "/a/..",
        "/a/../b",
        "/a\x01",
        "/a\x7f",
        "/\xc2\x9f",
        "/\xed\xa0\x80" /* half a surrogate pair */,
        "/\xee\x80\x80" /* U+E000 */,
        "/\xef\xbf\xb0" /* U+FFF0 */,
        "/\xf0\x9f\x98\x80" /* U+1F600 */,
        "/\xc0\xaf" /* '/', too long */,
        "/\xe0\x80\xaf",
        "/\xc3",
        "/\xe2\x82",
        "/\x80",
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (qr_zookeeper_path_valid(qr_slice_text(paths[i])))
            fail_msg("%s", paths[i]);
    assert_false(qr_zookeeper_path_valid(qr_slice_of("/a\0b", 4)));
}

static void parents(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"/", "/"}, {"/a", "/"}, {"/a/b", "/a"}, {"/a/", "/a"}, {"/a//b", "/a/"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_true(
            qr_slice_equal(qr_zookeeper_path_parent(qr_slice_text(pairs[i][0])), qr_slice_text(pairs[i][1])));
}

/* There and back again. */
static void roots(void **state)
{
    (void)state;
    static const char *const rows[][3] = {{"", "/", "/"},
                                          {"", "/a", "/a"},
                                          {"/r", "/r", "/"},
                                          {"/r", "/r/a", "/a"},
                                          {"/r/s", "/r/s/a/b", "/a/b"}};
    qr_arena arena;
    qr_arena_init(&arena);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qr_slice root = qr_slice_text(rows[i][0]), key = qr_slice_text(rows[i][1]), path;
        assert_true(qr_zookeeper_path_of_key(root, key, &path));
        assert_true(qr_slice_equal(path, qr_slice_text(rows[i][2])));
        assert_true(qr_slice_equal(qr_zookeeper_path_key(root, path, &arena), key));
    }
    static const char *const beside[] = {"/", "/s", "/rs", "/r-/a", "/r/", "r/a", ""};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        qr_slice path;
        assert_false(qr_zookeeper_path_of_key(qr_slice_text("/r"), qr_slice_text(beside[i]), &path));
    }
    qr_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allowed),
        cmocka_unit_test(refused),
        cmocka_unit_test(parents),
        cmocka_unit_test(roots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
