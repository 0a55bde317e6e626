/* Whole connections of the ZooKeeper door: bytes in, bytes out, over a real tree and no sockets. What is
 * expected is what test/door/zk_probe saw of a real server. */
#include "zookeeper_play.h"

/* ---- sessions ---- */

static void a_session_goes_on_with_its_password_only(void **state)
{
    peer one = {0};
    connect(&one);
    assert_int_not_equal(one.session, 0);
    call(&one, CREATE, "/e", 1, 0);
    peer thief = {.session = one.session};
    connect(&thief);
    assert_int_equal(thief.session, 0);
    assert_true(ops->finished(thief.stream));
    disconnect(&thief);
    peer heir = {.session = one.session};
    memcpy(heir.password, one.password, 16);
    connect(&heir);
    assert_int_equal(heir.session, one.session);
    assert_true(ops->finished(one.stream)); /* a client has one connection */
    call(&heir, EXISTS, "/e", 0, 0);
    disconnect(&heir);
    disconnect(&one);
}

/* Its answer does not wait for the connection's next tick, and its nodes are gone. */
static void a_closed_session_is_answered_at_once(void **state)
{
    peer one = {0}, other = {0};
    connect(&one);
    connect(&other);
    call(&one, CREATE, "/e", 1, 0);
    int32_t xid = send(&one, CLOSE, NULL, 0);
    fake_node_turn(&node);
    fake_node_turn(&node);
    ops->drain(one.stream, &one.in, 4096);
    expect(&one, xid, 0);
    assert_true(ops->finished(one.stream));
    disconnect(&one);
    call(&other, EXISTS, "/e", 0, -101);
    peer late = {.session = one.session};
    memcpy(late.password, one.password, 16);
    connect(&late);
    assert_int_equal(late.session, 0);
    disconnect(&late);
    disconnect(&other);
}

/* The write is on its way while the session moves, and comes behind the move: it is not done. */
static void who_was_left_behind_writes_nothing(void **state)
{
    peer one = {0}, heir;
    connect(&one);
    heir = (peer){.session = one.session};
    memcpy(heir.password, one.password, 16);
    connect(&heir);
    send(&one, CREATE, "/late", 0);
    turns(&one);
    assert_true(ops->finished(one.stream));
    call(&heir, EXISTS, "/late", 0, -101);
    disconnect(&heir);
    disconnect(&one);
}

/* ---- order ---- */

static void the_event_comes_before_the_reply_that_shows_the_change(void **state)
{
    peer one = {0}, other = {0};
    connect(&one);
    connect(&other);
    call(&one, EXISTS, "/a", 1, -101);
    call(&other, CREATE, "/a", 0, 0);
    int32_t xid = send(&one, EXISTS, "/a", 0);
    turns(&one);
    expect_event(&one, CREATED, "/a");
    expect(&one, xid, 0);
    call(&other, SET_DATA, "/a", -1, 0); /* it was one event */
    turns(&one);
    assert_true(is_silent(&one));
    disconnect(&one);
    disconnect(&other);
}

static void a_persistent_watch_tells_every_change(void **state)
{
    peer one = {0}, other = {0};
    connect(&one);
    connect(&other);
    call(&one, ADD_WATCH, "/a", 0, 0);
    call(&other, CREATE, "/a", 0, 0);
    call(&other, SET_DATA, "/a", -1, 0);
    call(&other, SET_DATA, "/a", -1, 0);
    call(&other, DELETE, "/a", -1, 0);
    turns(&one);
    expect_event(&one, CREATED, "/a");
    expect_event(&one, CHANGED, "/a");
    expect_event(&one, CHANGED, "/a");
    expect_event(&one, DELETED, "/a");
    assert_true(is_silent(&one));
    disconnect(&one);
    disconnect(&other);
}

static void ignore(void *owner, const qr_reply *reply) {}

/* One child goes by itself, the other one with a directory that was there for it alone. */
static void what_ends_with_a_session_tells_each_directory_once(void **state)
{
    peer one = {0}, other = {0};
    connect(&one);
    connect(&other);
    call(&one, CREATE, "/a", 0, 0);
    call(&other, CREATE, "/a/y", 1, 0);
    qr_op op = {.kind = QR_OP_PUT,
                .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text("/a/d/x"), .lease = other.session}};
    qr_buffer body = {0};
    qr_body_encode_txn(&(qr_txn){.then_ops = &op, .then_count = 1}, &body);
    qr_request put = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = ignore};
    assert_int_equal(qr_node_submit(&node, &put), QR_OK);
    fake_node_turn(&node);
    qr_buffer_free(&body);
    call(&one, ADD_WATCH, "/a", 0, 0);
    call(&other, CLOSE, NULL, 0, 0);
    turns(&one);
    expect_event(&one, CHILDREN, "/a");
    assert_true(is_silent(&one));
    disconnect(&one);
    disconnect(&other);
}

static void many_requests_are_answered_in_their_order(void **state)
{
    peer one = {0};
    connect(&one);
    int64_t zxid = 0;
    int32_t first = one.xid + 1;
    for (int i = 0; i < 200; i++) /* some of them fail, and some are refused where they stand */
        send(&one,
             i % 3 == 0   ? CREATE
             : i % 3 == 1 ? SET_DATA
                          : EXISTS,
             i % 7 ? "/a" : "no path", i % 3 == 1 ? -1 : 0);
    for (int i = 0; i < 100; i++)
        turns(&one);
    for (int32_t xid = first; xid < first + 200; xid++) {
        packet p = next(&one);
        assert_int_equal(p.xid, xid);
        assert_true(p.zxid >= zxid);
        zxid = p.zxid;
    }
    assert_true(is_silent(&one));
    disconnect(&one);
}

/* ---- a root elsewhere ---- */

static void on_done(void *owner, const qr_reply *reply)
{
    assert_int_equal(reply->status, QR_OK);
}

/* A write through another door, of a key of the tree. */
static void elsewhere(qr_op op)
{
    qr_buffer body = {0};
    qr_body_encode_txn(&(qr_txn){.then_ops = &op, .then_count = 1}, &body);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_done};
    assert_int_equal(qr_node_submit(&node, &request), QR_OK);
    fake_node_turn(&node);
    qr_buffer_free(&body);
}

static void put_elsewhere(const char *key)
{
    elsewhere(
        (qr_op){.kind = QR_OP_PUT,
                .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text(key), .value = qr_slice_text("v")}});
}

static void delete_elsewhere(const char *key)
{
    elsewhere(
        (qr_op){.kind = QR_OP_DELETE,
                .del = {.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = qr_slice_text(key)}}});
}

static const qr_path_result *in_tree(const char *key, qr_arena *arena)
{
    qr_query query = {.kind = QR_QUERY_PATH, .path = qr_slice_text(key)};
    const void *found;
    assert_int_equal(qr_node_look(&node, &query, arena, &found), QR_OK);
    return found;
}

static void what_is_made_lies_below_the_root(void **state)
{
    peer one = {0};
    qr_arena arena;
    qr_arena_init(&arena);
    connect(&one);
    call(&one, EXISTS, "/", 0, 0);
    assert_false(in_tree("/app/zk", &arena)->present);
    int32_t xid = send(&one, CREATE, "/a", 0);
    turns(&one);
    packet p = next(&one);
    assert_int_equal(p.xid, xid);
    assert_int_equal(p.body.size, 6);
    assert_memory_equal(p.body.data + 4, "/a", 2);
    assert_non_null(in_tree("/app/zk/a", &arena)->kv);
    assert_false(in_tree("/a", &arena)->present);
    call(&one, CREATE, "/a", 0, -110);
    call(&one, CREATE, "/b/a", 0, -101);
    call(&one, SET_DATA, "/a", 0, 0);
    call(&one, DELETE, "/a", 0, -103);
    call(&one, DELETE, "/a", 1, 0);
    assert_false(in_tree("/app/zk/a", &arena)->present);
    assert_true(in_tree("/app/zk", &arena)->kv != NULL); /* so that numbers go on */
    call(&one, SET_DATA, "/", 0, 0);
    call(&one, SET_DATA, "/", 0, -103);
    assert_int_equal(in_tree("/app/zk", &arena)->kv->version, 2);
    call(&one, DELETE, "/", -1, -8);
    disconnect(&one);
    qr_arena_free(&arena);
}

static void what_is_beside_the_root_is_not_seen(void **state)
{
    peer one = {0};
    connect(&one);
    call(&one, ADD_WATCH, "/", 1, 0);
    static const char *const keys[] = {"/app", "/app/zk-", "/app/zka/x", "/app/z", "/x", "/app/zk/"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        put_elsewhere(keys[i]);
        delete_elsewhere(keys[i]);
    }
    turns(&one);
    assert_true(is_silent(&one));
    put_elsewhere("/app/zk/a/b");
    turns(&one);
    expect_event(&one, CREATED, "/a");
    expect_event(&one, CREATED, "/a/b");
    assert_true(is_silent(&one));
    disconnect(&one);
}

static void that_the_root_is_made_is_no_news(void **state)
{
    peer one = {0};
    connect(&one);
    call(&one, GET_CHILDREN, "/", 1, 0);
    call(&one, EXISTS, "/", 1, 0);
    int32_t xid = send(&one, CREATE, "/a", 0); /* makes the root as well, of which nobody hears */
    turns(&one);
    expect_event(&one, CHILDREN, "/");
    expect(&one, xid, 0);
    assert_true(is_silent(&one));
    disconnect(&one);
}

static void a_deleted_root_is_still_there(void **state)
{
    peer one = {0};
    connect(&one);
    call(&one, EXISTS, "/", 1, 0);
    put_elsewhere("/app/zk");
    turns(&one);
    expect_event(&one, CHANGED, "/");
    call(&one, EXISTS, "/", 1, 0);
    delete_elsewhere("/app/zk");
    turns(&one);
    expect_event(&one, CHANGED, "/");
    assert_true(is_silent(&one));
    call(&one, EXISTS, "/", 0, 0);
    disconnect(&one);
}

/* The Stat of the answer told of the version before: to become a key is one more state of the data. */
static void an_implied_node_that_is_written_shows_its_next_version(void **state)
{
    enum { BEFORE_VERSION = 32 };
    peer one = {0};
    connect(&one);
    put_elsewhere("/implied/a");
    send(&one, SET_DATA, "/implied", 0);
    turns(&one);
    packet p = next(&one);
    assert_int_equal(p.err, 0);
    qr_reader reader = qr_reader_of(p.body);
    qr_reader_take(&reader, BEFORE_VERSION);
    assert_int_equal(number(&reader, 4), 1);
    call(&one, SET_DATA, "/implied", 1, 0);
    disconnect(&one);
}

/* ---- bytes ---- */

static void bytes_may_come_one_by_one(void **state)
{
    peer one = {0};
    connect(&one);
    static const uint8_t ping[] = {0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11};
    for (size_t i = 0; i < sizeof ping; i++) {
        assert_true(is_silent(&one));
        assert_int_equal(feed(&one, qr_slice_of(ping + i, 1)), QR_OK);
        turns(&one);
    }
    expect(&one, -2, 0);
    disconnect(&one);
}

static void a_packet_that_is_too_large_ends_the_connection(void **state)
{
    static const uint8_t heads[][5] = {
        {0, 0x0f, 0xff, 0xff}, {0, 0x10}, {0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}};
    for (int i = 0; i < 4; i++) {
        peer one = {0};
        connect(&one);
        qr_status status = feed(&one, qr_slice_of(heads[i], 5));
        assert_int_equal(status != QR_OK || ops->finished(one.stream), i > 0);
        disconnect(&one);
    }
}

static void words_are_answered_where_they_are_allowed(void **state)
{
    static const char *const words[] = {"ruok", "imok", "stat",
                                        "stat is not executed because it is not in the whitelist.\n"};
    for (int i = 0; i < 4; i += 2) {
        peer one = {.stream = ops->open(door, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms)};
        (void)feed(&one, qr_slice_text(words[i]));
        ops->drain(one.stream, &one.in, 4096);
        assert_int_equal(one.in.size, strlen(words[i + 1]));
        assert_memory_equal(one.in.data, words[i + 1], one.in.size);
        assert_true(ops->finished(one.stream));
        disconnect(&one);
    }
}

/* ---- the AdminServer ---- */

/* The answer of the server, head and body, as a text of the buffer's. */
static const char *admin_says(const char *request, qr_buffer *answer)
{
    qr_stream_door admin = qr_zookeeper_door_admin(door);
    void *stream = admin.ops->open(admin.self, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms);
    (void)admin.ops->feed(stream, qr_slice_text(request), now_ms);
    answer->size = 0;
    admin.ops->drain(stream, answer, 1 << 20);
    qr_buffer_u8(answer, 0);
    admin.ops->close(stream);
    return (const char *)answer->data;
}

static void the_admin_server_tells_of_watches_and_ephemerals(void **state)
{
    peer one = {0};
    qr_buffer answer = {0};
    connect(&one);
    call(&one, CREATE, "/e", 1, 0);
    call(&one, EXISTS, "/e", 1, 0);
    call(&one, GET_CHILDREN, "/", 1, 0); /* which no server tells of */
    const char *said = admin_says("GET /commands/watches HTTP/1.1\r\n\r\n", &answer);
    assert_non_null(strstr(said, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(
        strstr(said, "\" : [ \"/e\" ]\n  },\n  \"command\" : \"watches\",\n  \"error\" : null\n}"));
    said = admin_says("GET /commands/dump HTTP/1.1\r\n\r\n", &answer);
    assert_non_null(strstr(said, "\" : [ \"/e\" ]\n"));
    said = admin_says("GET /commands/wchs HTTP/1.1\r\n\r\n", &answer);
    assert_non_null(strstr(said, "\"num_total_watches\" : 1,\n  \"command\" : \"watch_summary\""));
    assert_non_null(strstr(admin_says("POST /commands/ruok HTTP/1.1\r\n\r\n", &answer), " 405 "));
    assert_non_null(strstr(admin_says("GET /commandsx HTTP/1.1\r\n\r\n", &answer), " 404 "));
    qr_buffer_free(&answer);
    disconnect(&one);
}

static void the_admin_server_says_that_there_is_no_leader(void **state)
{
    qr_buffer answer = {0};
    node.leader = 0;
    static const char error[] = "\"error\" : \"This ZooKeeper instance is not currently serving requests\"";
    assert_non_null(strstr(admin_says("GET /commands/ruok HTTP/1.1\r\n\r\n", &answer), error));
    assert_non_null(strstr(admin_says("GET /commands/stat HTTP/1.1\r\n\r\n", &answer), error));
    const char *said = admin_says("GET /commands/mntr HTTP/1.1\r\n\r\n", &answer);
    assert_non_null(strstr(said, "\"peer_state\" : \"looking\""));
    assert_non_null(strstr(said, "\"error\" : null"));
    qr_buffer_free(&answer);
}

static void the_admin_server_does_not_wait_for_ever(void **state)
{
    enum { MOST = 16, IDLE_MS = 30000 };
    qr_stream_door admin = qr_zookeeper_door_admin(door);
    void *streams[MOST];
    for (size_t i = 0; i < MOST; i++)
        streams[i] = admin.ops->open(admin.self, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms);
    assert_null(admin.ops->open(admin.self, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms));
    (void)admin.ops->feed(streams[0], qr_slice_text("GET /"), now_ms + IDLE_MS - 1);
    for (size_t i = 0; i < MOST; i++) {
        admin.ops->tick(streams[i], now_ms + IDLE_MS);
        assert_int_equal(admin.ops->finished(streams[i]), i > 0);
        admin.ops->close(streams[i]);
    }
}

/* The number behind stmk may come later; it is what gtmk says from then on. */
static void a_trace_mask_is_kept(void **state)
{
    static const uint8_t mask[] = {0, 0, 0, 0, 0, 0, 1, 0};
    qr_buffer answer = {0};
    peer one = {.stream = ops->open(door, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms)};
    assert_int_equal(feed(&one, qr_slice_text("stmk")), QR_OK);
    assert_int_equal(feed(&one, qr_slice_of(mask, 3)), QR_OK);
    assert_false(ops->finished(one.stream));
    assert_int_equal(feed(&one, qr_slice_of(mask + 3, 5)), QR_OK);
    ops->drain(one.stream, &one.in, 4096);
    assert_true(ops->finished(one.stream));
    assert_int_equal(one.in.size, 3);
    assert_memory_equal(one.in.data, "256", 3);
    disconnect(&one);
    assert_non_null(
        strstr(admin_says("GET /commands/gtmk HTTP/1.1\r\n\r\n", &answer), "\"tracemask\" : 256"));
    qr_buffer_free(&answer);
}

int main(void)
{
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, begin, end), cmocka_unit_test_setup_teardown(name, begin_below, end)
#define TEST_BELOW(name) cmocka_unit_test_setup_teardown(name, begin_below, end)
    const struct CMUnitTest tests[] = {
        TEST(a_session_goes_on_with_its_password_only),
        TEST(a_closed_session_is_answered_at_once),
        TEST(who_was_left_behind_writes_nothing),
        TEST(the_event_comes_before_the_reply_that_shows_the_change),
        TEST(a_persistent_watch_tells_every_change),
        TEST(what_ends_with_a_session_tells_each_directory_once),
        TEST(many_requests_are_answered_in_their_order),
        TEST_BELOW(what_is_made_lies_below_the_root),
        TEST_BELOW(what_is_beside_the_root_is_not_seen),
        TEST_BELOW(that_the_root_is_made_is_no_news),
        TEST_BELOW(a_deleted_root_is_still_there),
        cmocka_unit_test_setup_teardown(an_implied_node_that_is_written_shows_its_next_version, begin, end),
        TEST(bytes_may_come_one_by_one),
        TEST(a_packet_that_is_too_large_ends_the_connection),
        TEST(words_are_answered_where_they_are_allowed),
        TEST(the_admin_server_tells_of_watches_and_ephemerals),
        TEST(the_admin_server_does_not_wait_for_ever),
        TEST(the_admin_server_says_that_there_is_no_leader),
        TEST(a_trace_mask_is_kept),
    };
    return cmocka_run_group_tests_name("connections of the ZooKeeper door", tests, NULL, NULL);
}
