/* What doors of paths need: checks between operations, records of rights and sessions, levels, one path.
 * doc/design/paths.md. */
#include "harness.h"

#include <stdio.h>

static const char session_name[8] = {0, 0, 0, 0, 0, 0, 0, 9};

static qr_op check_op(const char *key, uint32_t tests, uint64_t states)
{
    return (qr_op){
        .kind = QR_OP_CHECK,
        .check = {.space = QR_SPACE_KEYS, .tests = tests, .key = qr_slice_text(key), .states = states}};
}

static qr_op rights_op(const char *key, const char *value)
{
    qr_op op = put_op(key, value);
    op.put.space = QR_SPACE_ACLS;
    return op;
}

static qr_status check(harness *h, const char *key, uint32_t tests, uint64_t states)
{
    harness_apply(h, HARNESS_TXN(check_op(key, tests, states)));
    return h->status;
}

static const qr_path_result *look(harness *h, const char *path)
{
    qr_query query = {
        .kind = QR_QUERY_PATH, .path = qr_slice_text(path), .want_children = true, .want_descendants = true};
    const void *result = NULL;
    qr_arena_reset(&h->arena);
    assert_int_equal(h->machine->ops->query(h->machine, &query, &h->arena, &result), QR_OK);
    return result;
}

static bool has_rights(harness *h, const char *path)
{
    return look(h, path)->acl != NULL;
}

static qr_status grant(harness *h, int64_t lease, const char *session)
{
    harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_GRANT,
                               .lease = lease,
                               .ttl_ms = 1000,
                               .session = qr_slice_text(session)});
    return h->status;
}

static qr_status check_session(harness *h, uint64_t states)
{
    qr_op op = check_op("", QR_CHECK_STATES, states);
    op.check.space = QR_SPACE_SESSIONS;
    op.check.key = qr_slice_of(session_name, sizeof session_name);
    harness_apply(h, HARNESS_TXN(op));
    return h->status;
}

static void test_checks(void **state)
{
    harness *h = *state;
    put(h, "/a/b", "1"); /* /a is there without a key */
    assert_int_equal(check(h, "/a", QR_CHECK_PRESENT, 0), QR_OK);
    assert_int_equal(check(h, "/", QR_CHECK_PRESENT, 0), QR_OK);
    assert_int_equal(check(h, "/x", QR_CHECK_PRESENT, 0), QR_E_KEY_NOT_FOUND);
    assert_int_equal(check(h, "/x", QR_CHECK_STATES, 0), QR_E_KEY_NOT_FOUND);
    assert_int_equal(check(h, "/x", QR_CHECK_ABSENT, 0), QR_OK);
    assert_int_equal(check(h, "/a", QR_CHECK_ABSENT, 0), QR_E_EXISTS);
    assert_int_equal(check(h, "/a/b", QR_CHECK_ABSENT, 0), QR_E_EXISTS);
    assert_int_equal(check(h, "/a", QR_CHECK_CHILDLESS, 0), QR_E_HAS_CHILDREN);
    assert_int_equal(check(h, "/a/b", QR_CHECK_CHILDLESS | QR_CHECK_UNLEASED, 0), QR_OK);
    assert_int_equal(check(h, "/a", QR_CHECK_STATES, 0), QR_OK);
    put(h, "/a", "now a key");
    assert_int_equal(check(h, "/a", QR_CHECK_STATES, 1), QR_OK);
    put(h, "/a", "again");
    assert_int_equal(check(h, "/a", QR_CHECK_STATES, 1), QR_E_VERSION_MISMATCH);
    delete_key(h, "/a");
    assert_int_equal(check(h, "/a", QR_CHECK_STATES, 3), QR_OK);
    grant(h, 9, "");
    qr_op leased = put_op("/e", "");
    leased.put.lease = 9;
    harness_op(h, leased);
    assert_int_equal(check(h, "/e", QR_CHECK_UNLEASED, 0), QR_E_HAS_LEASE);
}

static void test_checks_stand_between(void **state)
{
    harness *h = *state;
    uint64_t revision = revision_of(h), digest = digest_of(h);
    qr_op numbered = put_op("/d/n-", "x");
    numbered.put.options = QR_PUT_NUMBERED | QR_PUT_EXPECT_ABSENT;
    const qr_txn_result *done =
        harness_apply(h, HARNESS_TXN(check_op("/d", QR_CHECK_ABSENT, 0), put_op("/d", ""),
                                     check_op("/d", QR_CHECK_PRESENT | QR_CHECK_CHILDLESS, 0), numbered));
    assert_non_null(done);
    assert_int_equal(done->failed_op, SIZE_MAX);
    assert_int_equal(done->revision, revision + 1);
    assert_slice(done->ops[3].key, "/d/n-0000000000");
    qr_op rights = rights_op("ignored", "r");
    rights.put.options = QR_PUT_SAME_KEY;
    numbered.put.options = QR_PUT_NUMBERED;
    assert_non_null(harness_apply(h, HARNESS_TXN(numbered, rights)));
    assert_true(has_rights(h, "/d/n-0000000001"));
    harness_apply(h, HARNESS_TXN(rights));
    assert_int_equal(h->status, QR_E_INVALID);
    revision++;
    digest = digest_of(h);
    harness_apply(h, HARNESS_TXN(put_op("/e", ""), check_op("/e", QR_CHECK_PRESENT, 0),
                                 check_op("/d", QR_CHECK_CHILDLESS, 0), put_op("/f", "")));
    assert_int_equal(h->status, QR_E_HAS_CHILDREN);
    assert_int_equal(h->rejected->failed_op, 2);
    assert_int_equal(revision_of(h), revision + 1);
    assert_true(digest_of(h) == digest);
    qr_op absent = put_op("/d/n-0000000000", "");
    absent.put.options = QR_PUT_EXPECT_ABSENT;
    harness_apply(h, HARNESS_TXN(put_op("/e", ""), absent));
    assert_int_equal(h->status, QR_E_EXISTS);
    assert_int_equal(h->rejected->failed_op, 1);
    absent.put.key = qr_slice_text("/d"); /* a key, and a directory */
    harness_apply(h, HARNESS_TXN(absent));
    assert_int_equal(h->status, QR_E_EXISTS);
}

static void test_rights_end_with_their_key(void **state)
{
    harness *h = *state;
    harness_apply(h, HARNESS_TXN(rights_op("/a", "r")));
    assert_int_equal(h->status, QR_E_KEY_NOT_FOUND);
    assert_non_null(harness_apply(h, HARNESS_TXN(put_op("/a", ""), rights_op("/a", "r"))));
    uint64_t revision = revision_of(h);
    assert_non_null(harness_apply(h, HARNESS_TXN(rights_op("/a", "rw"))));
    assert_int_equal(revision_of(h), revision); /* nobody who watches keys sees it */
    assert_slice(look(h, "/a")->acl->value, "rw");
    assert_int_equal(look(h, "/a")->acl->version, 2);
    put(h, "/a", "2");
    assert_true(has_rights(h, "/a"));
    delete_key(h, "/a");
    put(h, "/a", "3");
    assert_false(has_rights(h, "/a"));
    assert_non_null(harness_apply(h, HARNESS_TXN(rights_op("/a", "r"), put_op("/a/b", ""))));
    delete_key(h, "/a"); /* the path stays, the key does not */
    assert_true(look(h, "/a")->present && !has_rights(h, "/a"));
    assert_non_null(harness_apply(h, HARNESS_TXN(rights_op("/", "r"))));
    assert_true(has_rights(h, "/"));
    grant(h, 9, "");
    qr_op leased = put_op("/e", "");
    leased.put.lease = 9;
    assert_non_null(harness_apply(h, HARNESS_TXN(leased, rights_op("/e", "r"))));
    harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = 9});
    assert_false(has_rights(h, "/e"));
    assert_non_null(harness_apply(h, HARNESS_TXN(put_op("/a", ""), rights_op("/a", "x"))));
    harness_apply(h, HARNESS_TXN(delete_op(range_span("/", "0")), check_op("/zz", QR_CHECK_PRESENT, 0)));
    assert_int_equal(h->status, QR_E_KEY_NOT_FOUND);
    assert_slice(look(h, "/a")->acl->value, "x"); /* as if nothing had been */
}

static void test_sessions(void **state)
{
    harness *h = *state;
    uint64_t revision = revision_of(h);
    assert_int_equal(grant(h, 9, "password"), QR_OK);
    assert_int_equal(check_session(h, 1), QR_OK);
    qr_op taken = put_op("", "password, and who took it over");
    taken.put.space = QR_SPACE_SESSIONS;
    taken.put.key = qr_slice_of(session_name, sizeof session_name);
    assert_non_null(harness_apply(h, HARNESS_TXN(taken)));
    assert_int_equal(check_session(h, 1), QR_E_VERSION_MISMATCH);
    assert_int_equal(check_session(h, 2), QR_OK);
    qr_op gone = delete_op(key_span("x"));
    gone.del.span.space = QR_SPACE_SESSIONS;
    harness_apply(h, HARNESS_TXN(gone));
    assert_int_equal(h->status, QR_E_INVALID);
    harness_body(h, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = 9});
    assert_int_equal(check_session(h, 0), QR_OK);
    harness_apply(h, HARNESS_TXN(taken));
    assert_int_equal(h->status, QR_E_KEY_NOT_FOUND);
    assert_int_equal(revision_of(h), revision);
    assert_int_equal(grant(h, 9, ""), QR_OK); /* a lease without one, and one may still come */
    assert_int_equal(check_session(h, 0), QR_OK);
    assert_non_null(harness_apply(h, HARNESS_TXN(taken)));
    assert_int_equal(check_session(h, 1), QR_OK);
}

typedef struct told {
    char text[400];
} told;

static void on_event(void *context, const qr_kv_event *event)
{
    told *t = context;
    size_t at = strlen(t->text);
    snprintf(t->text + at, sizeof t->text - at, "%s%.*s:%u ", event->deleted ? "-" : "",
             (int)event->kv.key.size, (const char *)event->kv.key.data, event->levels);
}

static told events_of(qr_machine *machine, uint64_t from)
{
    told t = {0};
    qr_events_query query = {.span = from_span(""),
                             .from = from,
                             .bytes_max = SIZE_MAX,
                             .look_max = SIZE_MAX,
                             .tell = on_event,
                             .context = &t};
    qr_events_result result;
    assert_int_equal(machine->ops->events(machine, &query, &result), QR_OK);
    return t;
}

static void test_levels(void **state)
{
    harness *h = *state;
    uint64_t from = revision_of(h) + 1;
    put(h, "/a/b/c", "");  /* appears in /a/b, which appears in /a, which appears in / */
    put(h, "/a/b/d", "");  /* in /a/b, which is there */
    put(h, "/a/b/d", "2"); /* nowhere */
    put(h, "/a/b", "");    /* was there without a key */
    delete_key(h, "/a/b"); /* and is again */
    delete_key(h, "/a/b/c");
    delete_key(h, "/a/b/d"); /* the last one takes the others along */
    put(h, "no path", "");
    const char *wanted = "/a/b/c:3 /a/b/d:1 /a/b/d:0 /a/b:0 -/a/b:0 -/a/b/c:1 -/a/b/d:3 no path:0 ";
    assert_string_equal(events_of(h->machine, from).text, wanted);
    qr_machine *copy = harness_copy(h, 64, NULL);
    assert_string_equal(events_of(copy, from).text, wanted);
    copy->ops->free(copy);
}

static void test_a_path(void **state)
{
    harness *h = *state;
    put(h, "/p/b", "");
    put(h, "/p/a/x/y", "");
    put(h, "/p/c", "");
    put(h, "/p/c/z", "");
    put(h, "/p-", "");
    put(h, "/p//no", "");
    put(h, "/p/gone", "");
    delete_key(h, "/p/gone");
    const qr_path_result *path = look(h, "/p");
    assert_true(path->present && path->kv == NULL && path->has_directory);
    assert_int_equal(path->directory.children, 3);
    assert_int_equal(path->child_count, 3);
    assert_slice(path->children[0], "a");
    assert_slice(path->children[1], "b");
    assert_slice(path->children[2], "c");
    assert_int_equal(path->descendants, 6); /* a a/x a/x/y b c c/z */
    path = look(h, "/");
    assert_int_equal(path->child_count, 2);
    assert_slice(path->children[1], "p-");
    assert_int_equal(path->descendants, 8);
    path = look(h, "/p/b");
    assert_true(path->present && path->kv != NULL && !path->has_directory && path->child_count == 0);
    assert_false(look(h, "/p/gone")->present);
    assert_false(look(h, "p")->present);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_checks, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_checks_stand_between, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_rights_end_with_their_key, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_sessions, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_levels, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_a_path, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests_name("tree_paths", tests, NULL, NULL);
}
