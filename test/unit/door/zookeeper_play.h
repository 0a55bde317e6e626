/* Plays of the ZooKeeper door: peers that speak its bytes, over a real tree and no sockets. Each test that
 * includes this has a door and a node of its own. */
#ifndef QR_TEST_DOOR_ZOOKEEPER_PLAY_H
#define QR_TEST_DOOR_ZOOKEEPER_PLAY_H

#include "unit.h"

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

static inline void wake(void *self) {}

static inline int64_t wall_ms(void *context)
{
    return 1700000000000;
}

static inline int begin_at(const char *root)
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

static inline int begin(void **state)
{
    return begin_at("/");
}

static inline int begin_below(void **state)
{
    return begin_at("/app/zk");
}

static inline int end(void **state)
{
    fake_node_free(&node);
    qr_zookeeper_door_free(door);
    return 0;
}

static inline void turns(peer *one)
{
    for (int i = 0; i < 4; i++) {
        fake_node_turn(&node);
        now_ms += 10;
        ops->tick(one->stream, now_ms);
        ops->drain(one->stream, &one->in, 1 << 20);
    }
}

static inline qr_status feed(peer *one, qr_slice bytes)
{
    return ops->feed(one->stream, bytes, now_ms);
}

static inline qr_status feed_packet(peer *one, const qr_buffer *body)
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
static inline qr_slice next_bytes(peer *one)
{
    if (one->in.size - one->at < 4)
        return qr_slice_of(NULL, 0);
    const uint8_t *head = one->in.data + one->at;
    size_t size = (size_t)head[2] << 8 | head[3];
    assert_in_range(size, 1, one->in.size - one->at - 4);
    one->at += 4 + size;
    return qr_slice_of(head + 4, size);
}

static inline int64_t number(qr_reader *reader, size_t size)
{
    qr_slice bytes = qr_reader_take(reader, size);
    uint64_t value = bytes.data[0] & 0x80 && size == 4 ? UINT32_MAX : 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes.data[i];
    return (int64_t)value;
}

static inline packet next(peer *one)
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

static inline bool is_silent(const peer *one)
{
    return one->at == one->in.size;
}

/* With the session and password that the peer has, or for a new one. */
static inline void connect(peer *one)
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

static inline void disconnect(peer *one)
{
    ops->close(one->stream);
    qr_buffer_free(&one->in);
    one->at = 0;
}

static inline void add_number(qr_buffer *out, int64_t value, size_t size)
{
    for (size_t i = size; i-- > 0;)
        qr_buffer_u8(out, (uint8_t)((uint64_t)value >> (8 * i)));
}

static inline void add_text(qr_buffer *out, const char *text)
{
    add_number(out, (int64_t)strlen(text), 4);
    qr_buffer_add_slice(out, qr_slice_text(text));
}

/* Its head and path, and what comes behind it as the operation wants it. */
static inline int32_t send(peer *one, int32_t type, const char *path, int32_t last)
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

static inline void expect(peer *one, int32_t xid, int32_t err)
{
    packet p = next(one);
    assert_int_equal(p.xid, xid);
    assert_int_equal(p.err, err);
}

static inline void expect_event(peer *one, int32_t kind, const char *path)
{
    packet p = next(one);
    assert_int_equal(p.xid, EVENT);
    qr_reader reader = qr_reader_of(p.body);
    assert_int_equal(number(&reader, 4), kind);
    assert_int_equal(number(&reader, 4), 3); /* connected */
    assert_int_equal(number(&reader, 4), strlen(path));
    assert_memory_equal(reader.at, path, strlen(path));
}

static inline void call(peer *one, int32_t type, const char *path, int32_t last, int32_t err)
{
    int32_t xid = send(one, type, path, last);
    turns(one);
    expect(one, xid, err);
}

#endif
