/* A range that is answered in pieces: the bytes are those of an answer in one piece, whatever happens
 * between. */
#include "unit.h"

#include <stdio.h>

#include "door/etcd/door.h"
#include "fake_node.h"

enum { NOW = 5000, KEYS = 3000, VALUE = 1000, LAST = 250, KEPT_MAX = 2 * 1024 * 1024 };

struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_stream_door stream;
    void *connection;
    qr_grpc_client *grpc;
    qr_buffer bytes, answer;
    bool ended;
    qr_grpc_code code;
    qr_arena arena;
};

static void on_message(void *context, void *call, qr_slice message)
{
    struct stage *stage = context;
    qr_buffer_clear(&stage->answer);
    qr_buffer_add_slice(&stage->answer, message);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    struct stage *stage = context;
    stage->ended = true;
    stage->code = code;
}

static const qr_grpc_client_handlers client_handlers = {on_message, on_done};

static void on_wake(void *self)
{
    (void)self;
}

/* One command of one put or of a compaction. */
static void apply(struct stage *stage, const char *key, const char *value, uint64_t compact)
{
    qr_buffer body;
    qr_buffer_init(&body);
    qr_op op = {.kind = QR_OP_PUT,
                .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text(key), .value = qr_slice_text(value)}};
    if (compact)
        qr_body_encode_compact(compact, &body);
    else
        qr_body_encode_txn(&(qr_txn){.then_ops = &op, .then_count = 1}, &body);
    qr_command command = {.apply_version = QR_APPLY_OLDEST, .body = qr_buffer_slice(&body)};
    const void *result;
    assert_int_equal(
        stage->node.tree->ops->apply(stage->node.tree, ++stage->node.index, &command, &stage->arena, &result),
        QR_OK);
    qr_buffer_free(&body);
}

static int fresh(void **state)
{
    struct stage *stage = qr_alloc_zero(1, sizeof *stage);
    fake_node_init(&stage->node);
    stage->door = qr_etcd_door_new(
        &(qr_etcd_config){.node = &stage->node, .cluster = FAKE_CLUSTER, .self = FAKE_SELF, .name = "one"});
    stage->stream = qr_etcd_door_stream(stage->door);
    qr_arena_init(&stage->arena);
    char key[16], value[VALUE + 1] = {0};
    memset(value, 'v', VALUE);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%05d", i);
        apply(stage, key, value, 0);
    }
    stage->connection =
        stage->stream.ops->open(stage->stream.self, "127.0.0.1:4711", (qr_stream_waker){stage, on_wake}, NOW);
    stage->grpc = qr_grpc_client_new(&client_handlers, stage, "test");
    *state = stage;
    return 0;
}

static void close_connection(struct stage *stage)
{
    if (stage->connection)
        stage->stream.ops->close(stage->connection);
    stage->connection = NULL;
}

static int gone(void **state)
{
    struct stage *stage = *state;
    close_connection(stage);
    const qr_etcd_ring *ring = &stage->door->ring;
    assert_true(ring->unsent == 0 && ring->reserved == 0 && stage->node.holds == 0);
    qr_etcd_door_free(stage->door);
    fake_node_free(&stage->node);
    qr_grpc_client_free(stage->grpc);
    qr_buffer_free(&stage->bytes);
    qr_buffer_free(&stage->answer);
    qr_arena_free(&stage->arena);
    qr_free(stage);
    return 0;
}

static void speak(struct stage *stage)
{
    qr_buffer_clear(&stage->bytes);
    qr_grpc_client_drain(stage->grpc, &stage->bytes, SIZE_MAX);
    if (stage->bytes.size)
        assert_int_equal(stage->stream.ops->feed(stage->connection, qr_buffer_slice(&stage->bytes), NOW),
                         QR_OK);
}

static size_t take(struct stage *stage, size_t size)
{
    qr_buffer_clear(&stage->bytes);
    stage->stream.ops->drain(stage->connection, &stage->bytes, size);
    size_t taken = stage->bytes.size;
    if (taken)
        assert_int_equal(qr_grpc_client_feed(stage->grpc, qr_buffer_slice(&stage->bytes)), QR_OK);
    speak(stage);
    return taken;
}

static void start(struct stage *stage, const char *message, size_t size)
{
    stage->ended = false;
    assert_int_equal(
        qr_grpc_client_call(stage->grpc, "/etcdserverpb.KV/Range", qr_slice_of(message, size), stage), QR_OK);
    speak(stage);
    for (int i = 0; i < 3; i++) /* greetings; and both walks, as far as there is room */
        fake_node_turn(&stage->node), take(stage, i < 2 ? 16 * 1024 : 0);
    assert_false(stage->ended);
}

static void finish(struct stage *stage)
{
    for (int idle = 0; !stage->ended; idle++) {
        fake_node_turn(&stage->node);
        assert_true(stage->door->ring.unsent <= KEPT_MAX);
        if (take(stage, 64 * 1024))
            idle = 0;
        assert_true(idle < 10);
    }
}

/* What the tree says in one piece at that revision. */
static void assert_same(struct stage *stage, const qr_range *range, uint64_t now)
{
    qr_op op = {.kind = QR_OP_RANGE, .range = *range};
    qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    const void *result;
    assert_int_equal(stage->node.tree->ops->query(stage->node.tree, &query, &stage->arena, &result), QR_OK);
    qr_buffer expected;
    qr_buffer_init(&expected);
    qr_etcd_header header = {
        .cluster_id = FAKE_CLUSTER, .member_id = FAKE_SELF, .revision = (int64_t)now, .raft_term = 7};
    qr_etcd_encode_range(&expected, &header, ((const qr_txn_result *)result)->ops);
    assert_true(qr_slice_equal(qr_buffer_slice(&expected), qr_buffer_slice(&stage->answer)));
    qr_buffer_free(&expected);
}

static uint64_t revision_of(const struct stage *stage)
{
    return stage->node.tree->ops->revision(stage->node.tree);
}

static qr_range all_at(uint64_t revision)
{
    return (qr_range){.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS, .key = qr_slice_text("k")},
                      .revision = revision};
}

#define ALL "\x0a\x01k\x12\x01\x00" /* from k on */

static void test_the_bytes_are_the_same(void **state)
{
    struct stage *stage = *state;
    uint64_t revision = revision_of(stage);
    start(stage, ALL, sizeof ALL - 1);
    finish(stage);
    assert_int_equal(stage->code, QR_GRPC_OK);
    qr_range range = all_at(revision);
    assert_same(stage, &range, revision);

    static const char limited[] = ALL "\x18\xc4\x13"; /* limit 2500: more are there */
    start(stage, limited, sizeof limited - 1);
    finish(stage);
    range.limit = 2500;
    assert_same(stage, &range, revision);
}

static void test_keys_only(void **state)
{
    struct stage *stage = *state;
    static const char keys_only[] = ALL "\x40\x01";
    start(stage, keys_only, sizeof keys_only - 1);
    finish(stage);
    qr_range range = all_at(0);
    range.keys_only = true;
    assert_same(stage, &range, revision_of(stage));
}

static void test_what_comes_between_is_not_seen(void **state)
{
    struct stage *stage = *state;
    uint64_t revision = revision_of(stage);
    start(stage, ALL, sizeof ALL - 1);
    assert_int_equal(stage->node.holds, 1);
    apply(stage, "k02990", "changed", 0);
    apply(stage, "k029905", "new", 0);
    finish(stage);
    assert_int_equal(stage->code, QR_GRPC_OK);
    qr_range range = all_at(revision);
    assert_same(stage, &range, revision);
    assert_int_equal(stage->node.holds, 0);
}

static void test_a_compaction_between(void **state)
{
    struct stage *stage = *state;
    uint64_t revision = revision_of(stage);
    start(stage, ALL, sizeof ALL - 1);
    apply(stage, "k02990", "changed", 0);
    apply(stage, "", "", revision + 1);
    finish(stage);
    assert_int_equal(stage->code, QR_GRPC_OK); /* the node holds what is needed */

    stage->node.holds_ended = true;
    revision = revision_of(stage);
    start(stage, ALL, sizeof ALL - 1);
    apply(stage, "k02990", "again", 0);
    apply(stage, "", "", revision + 1);
    finish(stage);
    assert_int_equal(stage->code, qr_etcd_error_code(QR_ETCD_E_COMPACTED));
}

/* The node has the question for the last piece. */
static bool asks_for_the_last(const struct stage *stage)
{
    const qr_query *query = stage->node.queue[0].request.query;
    return stage->node.count > 0 && query->scan.keys_max < LAST;
}

static void test_a_hold_that_ends_before_the_answer(void **state)
{
    struct stage *stage = *state;
    uint64_t revision = revision_of(stage);
    start(stage, ALL, sizeof ALL - 1);
    while (!asks_for_the_last(stage)) {
        fake_node_turn(&stage->node);
        while (stage->node.count == 0)
            assert_true(take(stage, 1024) > 0);
    }
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%05d", i);
        apply(stage, key, "changed", 0);
    }
    apply(stage, "", "", revision + KEYS);
    while (stage->node.tree->ops->work(stage->node.tree, 1000))
        continue;
    stage->node.holds_ended = true;
    finish(stage);
    assert_int_equal(stage->code, qr_etcd_error_code(QR_ETCD_E_COMPACTED));
}

static void test_a_client_that_does_not_read(void **state)
{
    struct stage *stage = *state;
    start(stage, ALL, sizeof ALL - 1);
    for (int i = 0; i < 100; i++)
        fake_node_turn(&stage->node);
    assert_true(stage->door->ring.unsent <= KEPT_MAX);
    assert_int_equal(stage->node.holds, 1);
    close_connection(stage); /* gone() looks at the rest */
}

static void test_a_client_that_leaves_while_the_node_reads(void **state)
{
    struct stage *stage = *state;
    start(stage, ALL, sizeof ALL - 1);
    while (stage->node.count == 0)
        assert_true(take(stage, 64 * 1024) > 0);
    close_connection(stage);
    fake_node_turn(&stage->node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_bytes_are_the_same, fresh, gone),
        cmocka_unit_test_setup_teardown(test_keys_only, fresh, gone),
        cmocka_unit_test_setup_teardown(test_what_comes_between_is_not_seen, fresh, gone),
        cmocka_unit_test_setup_teardown(test_a_compaction_between, fresh, gone),
        cmocka_unit_test_setup_teardown(test_a_hold_that_ends_before_the_answer, fresh, gone),
        cmocka_unit_test_setup_teardown(test_a_client_that_does_not_read, fresh, gone),
        cmocka_unit_test_setup_teardown(test_a_client_that_leaves_while_the_node_reads, fresh, gone),
    };
    return cmocka_run_group_tests_name("door_etcd_range", tests, NULL, NULL);
}
