/* Whole connections of the ZooKeeper door: bytes in, bytes out, over a real tree and no sockets. What is
 * expected is what test/door/zk_probe saw of a real server. */
#include "unit.h"

#include "core/catalogue.h"
#include "door/zookeeper/zookeeper.h"
#include "fake_node.h"
#include "wire/jute.h"

enum {
    CREATE = 1,
    DELETE = 2,
    EXISTS = 3,
    GET_DATA = 4,
    SET_DATA = 5,
    GET_CHILDREN = 8,
    CLOSE = -11,
    RECONFIG = 16,
    AUTH = 100,
    ADD_WATCH = 106
};
enum { NO_AUTH = -102, IN_PROGRESS = -14, NO_QUORUM = -13, NOT_READ_ONLY = -119 };
enum { EVENT = -1, CREATED = 1, DELETED = 2, CHANGED = 3, CHILDREN = 4 };

static qr_node node;
static qr_zookeeper_door *door;
static const qr_stream_ops *ops;
static uint64_t now_ms;

typedef struct peer {
    void *stream;
    qr_buffer in;
    size_t at; /* of what comes in: looked at */
    int64_t session;
    uint8_t password[16];
    int32_t xid;
    uint8_t read_only;
} peer;

typedef struct packet { /* a reply, or an event */
    int32_t xid, err;
    int64_t zxid;
    qr_slice body;
} packet;

static void wake(void *self) {}

static int64_t wall_ms(void *context)
{
    return 1700000000000;
}

static int begin_at(const char *root)
{
    now_ms = 1000;
    fake_node_init(&node);
    door = qr_zookeeper_door_new(
        &(qr_zookeeper_config){.node = &node,
                               .root = qr_slice_text(root),
                               .words = qr_zookeeper_words_allowed(qr_slice_text("ruok,srvr,stmk")),
                               .seed = 1,
                               .reconfig = true,
                               .read_only_mode = true,
                               .super_digest = qr_slice_text("super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
                               .wall_ms = wall_ms});
    ops = qr_zookeeper_door_stream(door).ops;
    return 0;
}

static int begin(void **state)
{
    return begin_at("/");
}

static int begin_below(void **state)
{
    return begin_at("/app/zk");
}

static int end(void **state)
{
    fake_node_free(&node);
    qr_zookeeper_door_free(door);
    return 0;
}

static void turns(peer *one)
{
    for (int i = 0; i < 4; i++) {
        fake_node_turn(&node);
        now_ms += 10;
        ops->tick(one->stream, now_ms);
        ops->drain(one->stream, &one->in, 1 << 20);
    }
}

static qr_status feed(peer *one, qr_slice bytes)
{
    return ops->feed(one->stream, bytes, now_ms);
}

static qr_status feed_packet(peer *one, const qr_buffer *body)
{
    qr_buffer whole = {0};
    size_t at = qr_jute_packet_begin(&whole);
    qr_buffer_add_slice(&whole, qr_buffer_slice(body));
    qr_jute_packet_end(&whole, at);
    qr_status status = feed(one, qr_buffer_slice(&whole));
    qr_buffer_free(&whole);
    return status;
}

/* The next packet; its length is 0 if there is none. */
static qr_slice next_bytes(peer *one)
{
    if (one->in.size - one->at < 4)
        return qr_slice_of(NULL, 0);
    const uint8_t *head = one->in.data + one->at;
    size_t size = (size_t)head[2] << 8 | head[3];
    assert_in_range(size, 1, one->in.size - one->at - 4);
    one->at += 4 + size;
    return qr_slice_of(head + 4, size);
}

static int64_t number(qr_reader *reader, size_t size)
{
    qr_slice bytes = qr_reader_take(reader, size);
    uint64_t value = bytes.data[0] & 0x80 && size == 4 ? UINT32_MAX : 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes.data[i];
    return (int64_t)value;
}

static packet next(peer *one)
{
    qr_slice bytes = next_bytes(one);
    assert_true(bytes.size >= 16);
    qr_reader reader = qr_reader_of(bytes);
    packet p = {.xid = (int32_t)number(&reader, 4)};
    p.zxid = number(&reader, 8);
    p.err = (int32_t)number(&reader, 4);
    p.body = qr_slice_of(reader.at, qr_reader_left(&reader));
    return p;
}

static bool is_silent(const peer *one)
{
    return one->at == one->in.size;
}

/* With the session and password that the peer has, or for a new one. */
static void connect(peer *one)
{
    one->stream = ops->open(door, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms);
    assert_non_null(one->stream);
    qr_jute_connect_request request = {.timeout = 10000,
                                       .session_id = one->session,
                                       .password = qr_slice_of(one->password, 16),
                                       .read_only = one->read_only};
    qr_buffer body = {0};
    qr_jute_encode(&qr_jute_record_connect_request, &request, &body);
    assert_int_equal(feed_packet(one, &body), QR_OK);
    qr_buffer_free(&body);
    turns(one);
    qr_slice bytes = next_bytes(one);
    assert_int_equal(bytes.size, 37);
    qr_reader reader = qr_reader_of(bytes);
    qr_reader_take(&reader, 8);
    one->session = number(&reader, 8);
    qr_reader_take(&reader, 4);
    memcpy(one->password, qr_reader_take(&reader, 16).data, 16);
    one->read_only = (uint8_t)number(&reader, 1);
}

static void disconnect(peer *one)
{
    ops->close(one->stream);
    qr_buffer_free(&one->in);
    one->at = 0;
}

static void add_number(qr_buffer *out, int64_t value, size_t size)
{
    for (size_t i = size; i-- > 0;)
        qr_buffer_u8(out, (uint8_t)((uint64_t)value >> (8 * i)));
}

static void add_text(qr_buffer *out, const char *text)
{
    add_number(out, (int64_t)strlen(text), 4);
    qr_buffer_add_slice(out, qr_slice_text(text));
}

/* Its head and path, and what comes behind it as the operation wants it. */
static int32_t send(peer *one, int32_t type, const char *path, int32_t last)
{
    qr_buffer body = {0};
    add_number(&body, ++one->xid, 4);
    add_number(&body, type, 4);
    if (path)
        add_text(&body, path);
    if (type == CREATE || type == SET_DATA)
        add_text(&body, "v");
    if (type == CREATE) {
        add_number(&body, 1, 4);
        add_number(&body, 31, 4);
        add_text(&body, "world");
        add_text(&body, "anyone");
    }
    if (path)
        add_number(&body, last, type == EXISTS || type == GET_DATA || type == GET_CHILDREN ? 1 : 4);
    assert_int_equal(feed_packet(one, &body), QR_OK);
    qr_buffer_free(&body);
    return one->xid;
}

static void expect(peer *one, int32_t xid, int32_t err)
{
    packet p = next(one);
    assert_int_equal(p.xid, xid);
    assert_int_equal(p.err, err);
}

static void expect_event(peer *one, int32_t kind, const char *path)
{
    packet p = next(one);
    assert_int_equal(p.xid, EVENT);
    qr_reader reader = qr_reader_of(p.body);
    assert_int_equal(number(&reader, 4), kind);
    assert_int_equal(number(&reader, 4), 3); /* connected */
    assert_int_equal(number(&reader, 4), strlen(path));
    assert_memory_equal(reader.at, path, strlen(path));
}

static void call(peer *one, int32_t type, const char *path, int32_t last, int32_t err)
{
    int32_t xid = send(one, type, path, last);
    turns(one);
    expect(one, xid, err);
}

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

/* ---- changes of members ---- */

static void on_put(void *owner, const qr_reply *reply)
{
    assert_int_equal(reply->status, QR_OK);
}

/* The members have started, and say where they are. */
static void fill_catalogue(void)
{
    static const char *const names[] = {"1", "2", "3"};
    static const char *const urls[] = {"http://a:1", "http://b:1", "http://c:1"};
    for (uint32_t i = 0; i < 3; i++) {
        qr_catalogue_entry entry = {.name = qr_slice_text(names[i]),
                                    .peer = {.list = {qr_slice_text(urls[i])}, .count = 1}};
        qr_buffer body = {0};
        qr_catalogue_body(FAKE_SELF + i, &entry, 0, &body);
        qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_put};
        assert_int_equal(qr_node_submit(&node, &request), QR_OK);
        qr_buffer_free(&body);
    }
    fake_node_turn(&node);
}

static int32_t send_reconfig(peer *one, const char *joining, const char *leaving)
{
    qr_buffer body = {0};
    add_number(&body, ++one->xid, 4);
    add_number(&body, RECONFIG, 4);
    add_text(&body, joining);
    add_text(&body, leaving);
    add_number(&body, -1, 4);
    add_number(&body, -1, 8);
    assert_int_equal(feed_packet(one, &body), QR_OK);
    qr_buffer_free(&body);
    return one->xid;
}

static void become_super(peer *one)
{
    qr_buffer body = {0};
    add_number(&body, -4, 4);
    add_number(&body, AUTH, 4);
    add_number(&body, 0, 4);
    add_text(&body, "digest");
    add_text(&body, "super:test");
    assert_int_equal(feed_packet(one, &body), QR_OK);
    qr_buffer_free(&body);
    turns(one);
    expect(one, -4, 0);
}

static void expect_data(peer *one, int32_t xid, const char *data)
{
    packet p = next(one);
    assert_int_equal(p.xid, xid);
    assert_int_equal(p.err, 0);
    qr_reader reader = qr_reader_of(p.body);
    assert_int_equal(number(&reader, 4), strlen(data));
    assert_memory_equal(reader.at, data, strlen(data));
}

#define OF_TWO "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n"

static void a_change_of_members_is_told_to_who_watches(void **state)
{
    peer one = {0}, other = {0};
    fill_catalogue();
    connect(&one);
    connect(&other);
    int32_t xid = send(&other, GET_DATA, "/zookeeper/config", 1);
    turns(&other);
    expect_data(&other, xid, OF_TWO "server.3=c:1:2:observer\nversion=0");
    xid = send_reconfig(&one, "server.9=d:1:2;3", "3");
    turns(&one);
    expect(&one, xid, NO_AUTH);
    become_super(&one);
    node.verdict = QR_E_QUORUM; /* of those who would be left */
    xid = send_reconfig(&one, "", "3");
    turns(&one);
    expect(&one, xid, NO_QUORUM);
    node.verdict = QR_OK;
    xid = send_reconfig(&one, "server.9=d:1:2;3", "3");
    turns(&one);
    turns(&one);
    expect_data(&one, xid, OF_TWO "server.9=d:1:2:participant;0.0.0.0:3\nversion=1");
    assert_int_equal(node.members.count, 3);
    assert_null(qr_members_find(&node.members, FAKE_LEARNER));
    xid = send(&other, EXISTS, "/zookeeper/config", 0);
    turns(&other);
    expect_event(&other, CHANGED, "/zookeeper/config");
    expect(&other, xid, 0);
    disconnect(&one);
    disconnect(&other);
}

/* Another change is under way when the second step comes: it is tried again with the door's next look, though
 * the client has gone. What comes meanwhile is told so. */
static void a_change_of_members_waits_for_another(void **state)
{
    peer one = {0}, other = {0};
    fill_catalogue();
    connect(&one);
    connect(&other);
    become_super(&one);
    become_super(&other);
    send_reconfig(&one, "server.9=d:1:2;3", "");
    node.verdict = QR_E_BUSY;
    turns(&one);
    disconnect(&one);
    int32_t xid = send_reconfig(&other, "", "3");
    turns(&other);
    expect(&other, xid, IN_PROGRESS);
    node.verdict = QR_OK;
    assert_int_equal(node.members.count, 3);
    qr_zookeeper_door_look(door, now_ms);
    turns(&other);
    assert_int_equal(node.members.count, 4);
    xid = send(&other, GET_DATA, "/zookeeper/config", 0);
    turns(&other);
    expect_data(&other, xid,
                OF_TWO "server.3=c:1:2:observer\nserver.9=d:1:2:participant;0.0.0.0:3\nversion=1");
    disconnect(&other);
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

/* ---- without a quorum ---- */

static void without_a_quorum_who_can_do_with_it_reads(void **state)
{
    peer writer = {0};
    connect(&writer);
    assert_int_equal(writer.read_only, 0);
    call(&writer, CREATE, "/a", 0, 0);
    node.leader = 0;
    qr_zookeeper_door_look(door, now_ms);
    call(&writer, EXISTS, "/a", 0, 0); /* it may be an election */
    now_ms += 2000;
    qr_zookeeper_door_look(door, now_ms);
    assert_true(ops->finished(writer.stream));
    disconnect(&writer);

    peer reader = {.read_only = 1}, heir = {.session = writer.session, .read_only = 1};
    connect(&reader);
    assert_int_equal(reader.read_only, 1);
    assert_int_not_equal(reader.session, 0);
    call(&reader, EXISTS, "/a", 0, 0);
    call(&reader, CREATE, "/b", 0, NOT_READ_ONLY);
    call(&reader, CLOSE, NULL, 0, 0);
    assert_true(ops->finished(reader.stream));
    disconnect(&reader);

    memcpy(heir.password, writer.password, 16);
    connect(&heir);
    assert_int_equal(heir.session, writer.session);
    call(&heir, CLOSE, NULL, 0, NOT_READ_ONLY); /* it is not this member's to end */
    peer thief = {.session = writer.session, .read_only = 1};
    connect(&thief);
    assert_int_equal(thief.session, 0);
    disconnect(&thief);

    node.leader = FAKE_SELF;
    qr_zookeeper_door_look(door, now_ms);
    assert_true(ops->finished(heir.stream));
    disconnect(&heir);
    peer again = {.session = writer.session};
    memcpy(again.password, writer.password, 16);
    connect(&again);
    assert_int_equal(again.session, writer.session);
    call(&again, CREATE, "/b", 0, 0);
    disconnect(&again);
}

/* It gets no answer, and asks elsewhere. */
static void without_a_quorum_who_has_to_write_is_not_let_in(void **state)
{
    node.leader = 0;
    qr_zookeeper_door_look(door, now_ms);
    now_ms += 2000;
    qr_zookeeper_door_look(door, now_ms);
    void *stream = ops->open(door, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms);
    static const uint8_t zeros[16];
    qr_jute_connect_request request = {.timeout = 10000, .password = qr_slice_of(zeros, 16)};
    qr_buffer body = {0};
    qr_jute_encode(&qr_jute_record_connect_request, &request, &body);
    peer one = {.stream = stream};
    assert_int_equal(feed_packet(&one, &body), QR_OK);
    qr_buffer_free(&body);
    ops->drain(stream, &one.in, 4096);
    assert_int_equal(one.in.size, 0);
    assert_true(ops->finished(stream));
    disconnect(&one);
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
        TEST(without_a_quorum_who_can_do_with_it_reads),
        TEST(without_a_quorum_who_has_to_write_is_not_let_in),
        TEST(a_change_of_members_is_told_to_who_watches),
        TEST(a_change_of_members_waits_for_another),
        TEST(words_are_answered_where_they_are_allowed),
        TEST(the_admin_server_tells_of_watches_and_ephemerals),
        TEST(the_admin_server_does_not_wait_for_ever),
        TEST(the_admin_server_says_that_there_is_no_leader),
        TEST(a_trace_mask_is_kept),
    };
    return cmocka_run_group_tests_name("connections of the ZooKeeper door", tests, NULL, NULL);
}
