/* Quotas: what limits say, what there is below a path whoever wrote it, and who is refused. */
#include "unit.h"

#include <stdio.h>

#include "door/zookeeper/quota.h"
#include "door/zookeeper/request.h"
#include "fake_node.h"

static qr_node node;
static qr_zookeeper_quotas *quotas;
static int complaints;

static void on_passed(void *context, const char *path, const qr_zookeeper_usage *usage)
{
    assert_string_equal(path, "/q");
    complaints++;
}

static int begin(void **state)
{
    fake_node_init(&node);
    quotas = qr_zookeeper_quotas_new(&node, qr_slice_of(NULL, 0), true, on_passed, NULL);
    complaints = 0;
    return 0;
}

static int end(void **state)
{
    qr_zookeeper_quotas_free(quotas);
    fake_node_free(&node);
    return 0;
}

static void on_done(void *owner, const qr_reply *reply)
{
    assert_int_equal(reply->status, QR_OK);
}

static void commit(const qr_op *ops, size_t count)
{
    qr_txn txn = {.then_ops = ops, .then_count = count};
    qr_buffer body = {0};
    qr_body_encode_txn(&txn, &body);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_done};
    assert_int_equal(qr_node_submit(&node, &request), QR_OK);
    fake_node_turn(&node);
    qr_buffer_free(&body);
}

static qr_op put_op(const char *key, const char *value)
{
    return (qr_op){.kind = QR_OP_PUT,
                   .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text(key), .value = qr_slice_text(value)}};
}

static qr_op delete_op(const char *from, const char *to)
{
    return (qr_op){.kind = QR_OP_DELETE,
                   .del.span = {.kind = to ? QR_SPAN_RANGE : QR_SPAN_KEY,
                                .space = QR_SPACE_KEYS,
                                .key = qr_slice_text(from),
                                .end = qr_slice_text(to ? to : "")}};
}

static void put(const char *key, const char *value)
{
    qr_op op = put_op(key, value);
    commit(&op, 1);
}

static void expect(int64_t count, int64_t bytes)
{
    qr_zookeeper_usage usage;
    assert_int_equal(qr_zookeeper_usage_of(quotas, qr_slice_text("/q"), &usage), QR_OK);
    assert_int_equal(usage.count, count);
    assert_int_equal(usage.bytes, bytes);
}

static void limits_are_those_of_zookeeper(void **state)
{
    static const struct {
        const char *text;
        qr_zookeeper_limits limits;
    } rows[] = {
        {"", {-1, -1, -1, -1}},
        {"count=4,bytes=100=;byteHardLimit=20;countHardLimit=5", {4, 100, 5, 20}},
        {"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=-1", {-1, -1, -1, -1}},
        {"count=7", {7, -1, -1, -1}},
        {"bytes=0,", {-1, 0, -1, -1}},
        {"other=3;count=1", {1, -1, -1, -1}},
        {"count=9223372036854775807", {INT64_MAX, -1, -1, -1}},
    };
    static const char *const wrong[] = {"junk", "count=", "count=x",   "count=1x",
                                        "=3",   "count",  "count=--1", "count=9223372036854775808"};
    qr_zookeeper_limits limits;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(qr_zookeeper_limits_read(qr_slice_text(rows[i].text), &limits), QR_OK);
        assert_memory_equal(&limits, &rows[i].limits, sizeof limits);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (qr_zookeeper_limits_read(qr_slice_text(wrong[i]), &limits) != QR_E_INVALID)
            fail_msg("%s", wrong[i]);
}

static void bytes_follow_every_write(void **state)
{
    put("/zookeeper/quota/q/zookeeper_limits", "");
    expect(0, 0);
    put("/q/a/b", "12345"); /* another door's: /q and /q/a are implied */
    expect(3, 5);
    put("/q", "1");
    put("/q0", "beside it");
    put("/q//a", "no path");
    expect(3, 6);
    qr_op twice[] = {put_op("/q/a", "123"), put_op("/q/a", "1234567"), delete_op("/q", NULL),
                     put_op("/q", "12"), put_op("/q/a/b", "")};
    commit(twice, 5);
    expect(3, 9);
    qr_op all = delete_op("/q", "/q1");
    commit(&all, 1);
    expect(0, 0);
}

/* More changes in one revision than are followed, history that was forgotten, and a look now and then. */
static void bytes_are_right_after_much(void **state)
{
    enum { MANY = 1500 };
    static char names[MANY][16];
    static qr_op ops[MANY];
    put("/zookeeper/quota/q/zookeeper_limits", "");
    put("/q", "x");
    expect(1, 1);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "/q/%d", i);
        ops[i] = put_op(names[i], "12");
    }
    commit(ops, MANY);
    expect(MANY + 1, 2 * MANY + 1);
    put("/q", "123");
    put("/q/0", "");
    qr_buffer body = {0};
    qr_body_encode_compact(node.tree->ops->revision(node.tree), &body);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_done};
    assert_int_equal(qr_node_submit(&node, &request), QR_OK);
    fake_node_turn(&node);
    qr_buffer_free(&body);
    expect(MANY + 1, 2 * MANY + 1);
}

/* Some hundred transactions at random over few paths, above each other: what was followed is what is there.
 */
static void what_is_followed_is_what_is_there(void **state)
{
    static const char *const keys[] = {"/q",     "/q/a", "/q/a/b", "/q/a/b/c", "/q/a/b/c/d", "/q/e",
                                       "/q/e/f", "/q0",  "/r",     "/q/a/x/y", "/q//bad",    "/"};
    static const char *const values[] = {"", "1", "22", "4444"};
    enum { KEYS = sizeof keys / sizeof *keys, ROUNDS = 400 };
    qr_prng random;
    qr_prng_seed(&random, 7);
    put("/zookeeper/quota/q/zookeeper_limits", "");
    for (int round = 0; round < ROUNDS; round++) {
        qr_op ops[4];
        size_t count = 1 + qr_prng_next(&random) % 4;
        for (size_t i = 0; i < count; i++) {
            const char *key = keys[qr_prng_next(&random) % KEYS];
            uint64_t way = qr_prng_next(&random) % 8;
            ops[i] = way < 4   ? put_op(key, values[qr_prng_next(&random) % 4])
                     : way < 7 ? delete_op(key, NULL)
                               : delete_op(key, "/q/e");
        }
        commit(ops, count);
        qr_zookeeper_quotas *fresh = qr_zookeeper_quotas_new(&node, qr_slice_of(NULL, 0), true, NULL, NULL);
        qr_zookeeper_usage usage;
        assert_int_equal(qr_zookeeper_usage_of(fresh, qr_slice_text("/q"), &usage), QR_OK);
        expect(usage.count, usage.bytes);
        qr_zookeeper_quotas_free(fresh);
    }
}

static int32_t check(const char *path, int64_t nodes, int64_t bytes)
{
    return qr_zookeeper_quota_check(quotas, qr_slice_text(path), nodes, bytes);
}

static void hard_limits_hold(void **state)
{
    put("/q/1", "123");
    assert_int_equal(check("/q/2", 1, 100), 0);
    put("/zookeeper/quota/q/zookeeper_limits", "count=1,bytes=1");
    assert_int_equal(check("/q/2", 1, 100), 0); /* soft ones are passed */
    put("/zookeeper/quota/q/zookeeper_limits", "count=1,bytes=1=;countHardLimit=3;byteHardLimit=10");
    assert_int_equal(check("/q/2", 1, 7), 0);
    assert_int_equal(check("/q/2", 1, 8), QR_ZOOKEEPER_QUOTA_EXCEEDED);
    assert_int_equal(check("/q/1", 0, 7), 0);
    assert_int_equal(check("/q/1", 0, 8), QR_ZOOKEEPER_QUOTA_EXCEEDED);
    assert_int_equal(check("/q2", 1, 100), 0);
    put("/q/2", "");
    assert_int_equal(check("/q/2/3", 1, 0), QR_ZOOKEEPER_QUOTA_EXCEEDED);
    assert_int_equal(check("/q/1", 0, 1), 0);
    /* The nearest one counts, whatever those above say. */
    put("/zookeeper/quota/q/2/zookeeper_limits", "countHardLimit=2");
    assert_int_equal(check("/q/2/3", 1, 0), 0);
    put("/zookeeper/quota/q/2/zookeeper_limits", "junk");
    assert_int_equal(check("/q/2/3", 1, 0), QR_ZOOKEEPER_MARSHALLING);
}

static void who_leads_complains(void **state)
{
    put("/q/1", "123");
    put("/zookeeper/quota/q/zookeeper_limits", "count=2,bytes=3");
    node.leader = FAKE_SELF;
    qr_zookeeper_quotas_look(quotas, 1000);
    assert_int_equal(complaints, 0);
    put("/q/2", "");
    node.leader = FAKE_OTHER;
    qr_zookeeper_quotas_look(quotas, 2000);
    assert_int_equal(complaints, 0);
    node.leader = FAKE_SELF;
    qr_zookeeper_quotas_look(quotas, 3000);
    qr_zookeeper_quotas_look(quotas, 4000);
    assert_int_equal(complaints, 1);
    qr_zookeeper_quotas_look(quotas, 64000);
    assert_int_equal(complaints, 2);
    qr_op op = delete_op("/zookeeper/quota/q/zookeeper_limits", NULL);
    commit(&op, 1);
    qr_zookeeper_quotas_look(quotas, 200000);
    assert_int_equal(complaints, 2);
}

static void stats_have_their_name(void **state)
{
    qr_slice of;
    assert_true(qr_zookeeper_quota_is_stats(qr_slice_text("/zookeeper/quota/a/b/zookeeper_stats"), &of));
    assert_true(qr_slice_equal(of, qr_slice_text("/a/b")));
    assert_false(qr_zookeeper_quota_is_stats(qr_slice_text("/zookeeper/quota/zookeeper_stats"), &of));
    assert_false(qr_zookeeper_quota_is_stats(qr_slice_text("/zookeeper/quota/a/zookeeper_limits"), &of));
    assert_false(qr_zookeeper_quota_is_stats(qr_slice_text("/zookeeper/quotas/a/zookeeper_stats"), &of));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(limits_are_those_of_zookeeper),
        TEST(bytes_follow_every_write),
        TEST(bytes_are_right_after_much),
        TEST(what_is_followed_is_what_is_there),
        TEST(hard_limits_hold),
        TEST(who_leads_complains),
        TEST(stats_have_their_name),
    };
    return cmocka_run_group_tests_name("quotas", tests, NULL, NULL);
}
