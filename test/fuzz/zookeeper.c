/* Fuzz target: what clients may send to the ZooKeeper door, over a real tree: three connections that connect,
 * go on with each other's sessions, send requests with any body one behind the other, or any bytes at all; a
 * fourth hand writes keys as another door would.
 *
 * a fifth asks the AdminServer for a command of any name. Each input is played twice, with the tree's root
 * and with one further down.
 *
 * Input: rows of {u8 what, ...}. Held against the door:
 *
 *   - it never crashes, and what it sends are whole packets of a bounded size;
 *   - the first one answers the connect; the others answer requests in their order, but for events and pings;
 *   - transaction ids never go back on a connection. */
#include "door/zookeeper/zookeeper.h"
#include "core/txn.h"
#include "wire/jute.h"

#include "../unit/door/fake_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 3, XIDS = 1024, ANSWER_MAX = 4 << 20, XID_EVENT = -1, XID_PING = -2 };

typedef struct slot {
    void *stream;
    qr_buffer in; /* from the door, not looked at yet */
    bool connected;
    bool wild; /* got bytes that were no requests: its answers are not known */
    int32_t xids[XIDS];
    size_t sent, answered;
    int64_t zxid;
    int64_t session;
    uint8_t password[16];
} slot;

typedef struct stage {
    const uint8_t *data;
    size_t size;
    qr_node node;
    qr_zookeeper_door *door;
    const qr_stream_ops *ops;
    slot slots[SLOTS];
    uint64_t now_ms;
    int32_t xid;
} stage;

static uint8_t draw(stage *s)
{
    if (s->size == 0)
        return 0;
    s->size--;
    return *s->data++;
}

static qr_slice draw_bytes(stage *s, size_t count)
{
    count = count < s->size ? count : s->size;
    qr_slice bytes = qr_slice_of(s->data, count);
    s->data += count;
    s->size -= count;
    return bytes;
}

static void wake(void *self) {}

/* ---- what comes out ---- */

static void close_slot(stage *s, slot *one)
{
    if (one->stream)
        s->ops->close(one->stream);
    qr_buffer_free(&one->in);
    int64_t session = one->session;
    uint8_t password[16];
    memcpy(password, one->password, sizeof password);
    *one = (slot){.session = session};
    memcpy(one->password, password, sizeof password);
}

static void take_connect(slot *one, qr_slice packet)
{
    qr_reader reader = qr_reader_of(packet);
    qr_reader_take(&reader, 8); /* version, time-out */
    qr_slice id = qr_reader_take(&reader, 8), size = qr_reader_take(&reader, 4),
             password = qr_reader_take(&reader, 16);
    QR_ASSERT(!reader.failed && size.data[3] == 16);
    one->connected = true;
    one->session = 0;
    for (size_t i = 0; i < 8; i++)
        one->session = (int64_t)((uint64_t)one->session << 8 | id.data[i]);
    memcpy(one->password, password.data, 16);
}

static void take_answer(slot *one, qr_slice packet)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_reader reader = qr_reader_of(packet);
    qr_jute_reply_header header;
    QR_ASSERT(qr_jute_decode(&qr_jute_record_reply_header, &reader, &arena, &header) == QR_OK);
    qr_arena_free(&arena);
    if (header.zxid > 0) {
        QR_ASSERT(header.xid == XID_EVENT || header.zxid >= one->zxid);
        one->zxid = header.zxid > one->zxid ? header.zxid : one->zxid;
    }
    if (one->wild || header.xid == XID_EVENT || header.xid == XID_PING)
        return;
    QR_ASSERT(one->answered < one->sent && one->xids[one->answered] == header.xid);
    one->answered++;
}

static void take_packets(slot *one)
{
    size_t at = 0;
    while (one->in.size - at >= 4) {
        const uint8_t *head = one->in.data + at;
        size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        QR_ASSERT(size <= ANSWER_MAX);
        if (one->in.size - at - 4 < size)
            break;
        qr_slice packet = qr_slice_of(head + 4, size);
        if (one->connected)
            take_answer(one, packet);
        else
            take_connect(one, packet);
        at += 4 + size;
    }
    if (at > 0)
        memmove(one->in.data, one->in.data + at, one->in.size - at);
    one->in.size -= at;
}

static void drain(stage *s)
{
    for (size_t i = 0; i < SLOTS; i++) {
        slot *one = &s->slots[i];
        if (!one->stream)
            continue;
        s->ops->drain(one->stream, &one->in, 65536);
        if (one->wild && !one->connected)
            one->in.size = 0; /* a word's answer is no packet */
        else
            take_packets(one);
        if (s->ops->finished(one->stream))
            close_slot(s, one);
    }
}

/* ---- what goes in ---- */

static void feed(stage *s, slot *one, qr_slice bytes)
{
    if (one->stream && s->ops->feed(one->stream, bytes, s->now_ms) != QR_OK)
        close_slot(s, one);
}

static void feed_packet(stage *s, slot *one, qr_slice head, qr_slice body)
{
    qr_buffer packet = {0};
    size_t begin = qr_jute_packet_begin(&packet);
    qr_buffer_add_slice(&packet, head);
    qr_buffer_add_slice(&packet, body);
    qr_jute_packet_end(&packet, begin);
    feed(s, one, qr_buffer_slice(&packet));
    qr_buffer_free(&packet);
}

static void connect(stage *s, slot *one, const slot *of)
{
    close_slot(s, one);
    one->stream = s->ops->open(s->door, "127.0.0.1:4711", (qr_stream_waker){s, wake}, s->now_ms);
    if (!one->stream)
        return;
    qr_jute_connect_request request = {.timeout = 10000,
                                       .session_id = of ? of->session : 0,
                                       .password =
                                           qr_slice_of(of ? of->password : (const uint8_t[16]){0}, 16),
                                       .read_only = 0};
    qr_buffer body = {0};
    qr_jute_encode(&qr_jute_record_connect_request, &request, &body);
    feed_packet(s, one, qr_buffer_slice(&body), qr_slice_of(NULL, 0));
    qr_buffer_free(&body);
}

static void send_request(stage *s, slot *one)
{
    static const int8_t types[] = {1,  2,  3,  4,  5,  6,   7,   8,   9,   11,  12,  13,  14,  15, 16,
                                   17, 18, 19, 21, 22, -11, 100, 101, 103, 104, 105, 106, 107, 77};
    int32_t type = types[draw(s) % sizeof types];
    bool is_ping = type == 11;
    size_t size = draw(s);
    if (size > 128)
        size = (size - 128) * 64;
    qr_slice body = draw_bytes(s, size);
    if (!one->stream || one->sent == XIDS)
        return;
    int32_t xid = is_ping ? XID_PING : ++s->xid;
    uint8_t head[8];
    for (int i = 0; i < 4; i++) {
        head[i] = (uint8_t)((uint32_t)xid >> (24 - 8 * i));
        head[4 + i] = (uint8_t)((uint32_t)type >> (24 - 8 * i));
    }
    if (!is_ping)
        one->xids[one->sent++] = xid;
    feed_packet(s, one, qr_slice_of(head, sizeof head), body);
}

static void ignore(void *owner, const qr_reply *reply) {}

/* As another door would: a key with or without a slash, or all of them gone. */
static void write_beside(stage *s)
{
    static const char *const keys[] = {"/a", "/a/b", "/b", "a", "/", "/a//b", "/zookeeper/x"};
    qr_slice key = qr_slice_text(keys[draw(s) % 7]);
    qr_op op = {.kind = QR_OP_PUT, .put = {.space = QR_SPACE_KEYS, .key = key, .value = qr_slice_text("v")}};
    if (draw(s) % 4 == 0)
        op = (qr_op){.kind = QR_OP_DELETE,
                     .del = {.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = key}}};
    qr_txn txn = {.then_ops = &op, .then_count = 1};
    qr_buffer command = {0};
    qr_body_encode_txn(&txn, &command);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&command), .done = ignore};
    (void)qr_node_submit(&s->node, &request);
    qr_buffer_free(&command);
}

static void ask_admin(stage *s)
{
    qr_stream_door admin = qr_zookeeper_door_admin(s->door);
    void *stream = admin.ops->open(admin.self, "127.0.0.1:4713", (qr_stream_waker){s, wake}, s->now_ms);
    qr_buffer asked = {0}, answer = {0};
    qr_buffer_format(&asked, "GET /commands/");
    qr_buffer_add_slice(&asked, draw_bytes(s, draw(s)));
    qr_buffer_format(&asked, " HTTP/1.1\r\n\r\n");
    (void)admin.ops->feed(stream, qr_buffer_slice(&asked), s->now_ms);
    admin.ops->drain(stream, &answer, ANSWER_MAX);
    QR_ASSERT(answer.size < ANSWER_MAX);
    QR_ASSERT(answer.size == 0 || qr_slice_starts(qr_buffer_slice(&answer), qr_slice_text("HTTP/1.1 ")));
    admin.ops->close(stream);
    qr_buffer_free(&asked);
    qr_buffer_free(&answer);
}

static void pass_time(stage *s)
{
    s->now_ms += 100u * draw(s);
    for (size_t i = 0; i < SLOTS; i++)
        if (s->slots[i].stream && s->ops->wake_ms(s->slots[i].stream) <= s->now_ms)
            s->ops->tick(s->slots[i].stream, s->now_ms);
    qr_zookeeper_door_look(s->door, s->now_ms);
}

static void step(stage *s)
{
    uint8_t what = draw(s);
    slot *one = &s->slots[(what >> 4) % SLOTS];
    switch (what & 15) {
    case 0: connect(s, one, NULL); break;
    case 1: connect(s, one, &s->slots[draw(s) % SLOTS]); break;
    case 2:
        one->wild = true;
        if (!one->stream)
            one->stream = s->ops->open(s->door, "127.0.0.1:4712", (qr_stream_waker){s, wake}, s->now_ms);
        feed(s, one, draw_bytes(s, draw(s)));
        break;
    case 3: write_beside(s); break;
    case 4:
        if (what >> 4 == 15)
            ask_admin(s);
        else
            pass_time(s);
        break;
    case 5: close_slot(s, one); break;
    case 6:
    case 7: fake_node_turn(&s->node); break;
    default: send_request(s, one); break;
    }
}

static int64_t wall_ms(void *context)
{
    return 1700000000000;
}

static void play(const uint8_t *data, size_t size, const char *root)
{
    stage *s = qr_alloc_zero(1, sizeof *s);
    s->data = data;
    s->size = size;
    s->now_ms = 1000;
    fake_node_init(&s->node);
    s->door =
        qr_zookeeper_door_new(&(qr_zookeeper_config){.node = &s->node,
                                                     .root = qr_slice_text(root),
                                                     .words = qr_zookeeper_words_allowed(qr_slice_text("*")),
                                                     .ttl_nodes = true,
                                                     .reap_ms = 1000,
                                                     .seed = 1,
                                                     .wall_ms = wall_ms,
                                                     .context = s});
    s->ops = qr_zookeeper_door_stream(s->door).ops;
    while (s->size > 0) {
        step(s);
        if (s->node.count > 32)
            fake_node_turn(&s->node);
        drain(s);
    }
    for (int i = 0; i < 8; i++) {
        fake_node_turn(&s->node);
        drain(s);
    }
    for (size_t i = 0; i < SLOTS; i++)
        close_slot(s, &s->slots[i]);
    fake_node_free(&s->node);
    qr_zookeeper_door_free(s->door);
    qr_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    play(data, size, "/");
    play(data, size, "/a");
    return 0;
}
