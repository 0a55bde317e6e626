/* The door as the owner of sockets drives it: bytes of HTTP/2 and HTTP/1.1 in and out, over a fake node with
 * a real tree. */
#include "unit.h"

#include <stdio.h>

#include "door/etcd/door.h"
#include "fake_node.h"
#include "wire/protobuf.h"
#include "wire/sha256.h"

enum { NOW = 5000, FORBEARANCE_MS = 30000 };

struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_stream_door stream;
    void *connection;
    size_t wakes;
    qr_grpc_client *client;
    qr_buffer bytes, answer;
    qr_buffer copy; /* the blobs of a snapshot, joined */
    uint64_t remaining;
    bool done;
    qr_grpc_code code;
    char text[200];
};

static void take_blob(struct stage *stage, qr_slice message)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const QrEtcdpb__SnapshotResponse *answer =
        (const void *)qr_protobuf_unpack(&qr_etcdpb__snapshot_response__descriptor, message, &arena);
    assert_non_null(answer);
    assert_int_equal(answer->header->member_id, FAKE_SELF);
    qr_buffer_add_slice(&stage->copy, qr_slice_of(answer->blob.data, answer->blob.len));
    stage->remaining = answer->remaining_bytes;
    qr_arena_free(&arena);
}

static void on_message(void *context, void *call, qr_slice message)
{
    struct stage *stage = context;
    qr_buffer_clear(&stage->answer);
    qr_buffer_add_slice(&stage->answer, message);
    if (call == &stage->copy)
        take_blob(stage, message);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    struct stage *stage = context;
    stage->done = true;
    stage->code = code;
    snprintf(stage->text, sizeof stage->text, "%s", text ? text : "");
}

static const qr_grpc_client_handlers client_handlers = {on_message, on_done};

static void on_wake(void *self)
{
    ((struct stage *)self)->wakes++;
}

static void *open_connection(struct stage *stage)
{
    return stage->stream.ops->open(stage->stream.self, "127.0.0.1:4711", (qr_stream_waker){stage, on_wake},
                                   NOW);
}

static int fresh(void **state)
{
    struct stage *stage = qr_alloc_zero(1, sizeof *stage);
    fake_node_init(&stage->node);
    stage->door = qr_etcd_door_new(&(qr_etcd_config){.node = &stage->node,
                                                     .cluster = FAKE_CLUSTER,
                                                     .self = FAKE_SELF,
                                                     .name = "one",
                                                     .connections_max = 3});
    stage->stream = qr_etcd_door_stream(stage->door);
    stage->connection = open_connection(stage);
    stage->client = qr_grpc_client_new(&client_handlers, stage, "test");
    qr_buffer_init(&stage->bytes);
    qr_buffer_init(&stage->answer);
    *state = stage;
    return 0;
}

static int gone(void **state)
{
    struct stage *stage = *state;
    qr_grpc_client_free(stage->client);
    if (stage->connection)
        stage->stream.ops->close(stage->connection);
    qr_etcd_door_free(stage->door);
    fake_node_free(&stage->node);
    qr_buffer_free(&stage->bytes);
    qr_buffer_free(&stage->answer);
    qr_buffer_free(&stage->copy);
    qr_free(stage);
    return 0;
}

static qr_status feed(struct stage *stage, const void *bytes, size_t size)
{
    return stage->stream.ops->feed(stage->connection, qr_slice_of(bytes, size), NOW);
}

/* Carries bytes between the client and the door until both are silent. piece: bytes fed at a time. */
static void carry(struct stage *stage, size_t piece)
{
    for (int idle = 0; idle < 2;) {
        idle++;
        qr_buffer_clear(&stage->bytes);
        qr_grpc_client_drain(stage->client, &stage->bytes, 4096);
        for (size_t at = 0; at < stage->bytes.size; at += piece) {
            size_t size = stage->bytes.size - at < piece ? stage->bytes.size - at : piece;
            assert_int_equal(feed(stage, stage->bytes.data + at, size), QR_OK);
            idle = 0;
        }
        qr_buffer_clear(&stage->bytes);
        stage->stream.ops->drain(stage->connection, &stage->bytes, 4096);
        if (stage->bytes.size) {
            assert_int_equal(qr_grpc_client_feed(stage->client, qr_buffer_slice(&stage->bytes)), QR_OK);
            idle = 0;
        }
    }
}

static void start(struct stage *stage, const char *path, const void *message, size_t size)
{
    stage->done = false;
    assert_int_equal(qr_grpc_client_call(stage->client, path, qr_slice_of(message, size), stage), QR_OK);
}

static void call(struct stage *stage, const char *path, const char *message, size_t size, size_t piece)
{
    start(stage, path, message, size);
    carry(stage, piece);
    fake_node_turn(&stage->node);
    carry(stage, piece);
    assert_true(stage->done);
}

static const char put_a[] = "\x0a\x01"
                            "a\x12\x01"
                            "1";
static const char get_a[] = "\x0a\x01"
                            "a";

static void test_put_and_get(void **state)
{
    struct stage *stage = *state;
    for (size_t piece = 1; piece < 10000; piece = piece * 3 + 1) { /* a byte at a time, too */
        call(stage, "/etcdserverpb.KV/Put", put_a, sizeof put_a - 1, piece);
        assert_int_equal(stage->code, QR_GRPC_OK);
        call(stage, "/etcdserverpb.KV/Range", get_a, sizeof get_a - 1, piece);
        assert_int_equal(stage->code, QR_GRPC_OK);
        qr_arena arena;
        qr_arena_init(&arena);
        const QrEtcdpb__RangeResponse *found = (void *)qr_protobuf_unpack(
            &qr_etcdpb__range_response__descriptor, qr_buffer_slice(&stage->answer), &arena);
        assert_non_null(found);
        assert_int_equal(found->n_kvs, 1);
        assert_int_equal(found->kvs[0]->value.data[0], '1');
        qr_arena_free(&arena);
    }
    assert_true(stage->wakes > 0);
    assert_int_equal(stage->stream.ops->wake_ms(stage->connection), UINT64_MAX);
    assert_false(stage->stream.ops->finished(stage->connection));
}

static void test_errors_reach_the_client(void **state)
{
    struct stage *stage = *state;
    call(stage, "/etcdserverpb.KV/Put", "", 0, 4096);
    assert_int_equal(stage->code, QR_GRPC_INVALID_ARGUMENT);
    assert_string_equal(stage->text, "etcdserver: key is not provided");
    call(stage, "/etcdserverpb.KV/Put", "\x0a\xff", 2, 4096);
    assert_int_equal(stage->code, QR_GRPC_INTERNAL);
    call(stage, "/etcdserverpb.Auth/AuthEnable", "", 0, 4096);
    assert_int_equal(stage->code, QR_GRPC_UNIMPLEMENTED);
    assert_string_equal(stage->text, "unknown service etcdserverpb.Auth");
    stage->node.failure = QR_E_NO_LEADER;
    call(stage, "/etcdserverpb.KV/Range", get_a, sizeof get_a - 1, 4096);
    assert_int_equal(stage->code, QR_GRPC_UNAVAILABLE);
    assert_string_equal(stage->text, "etcdserver: no leader");
}

static void test_message_too_large(void **state)
{
    struct stage *stage = *state;
    size_t size = QR_ETCD_REQUEST_DEFAULT + QR_ETCD_MESSAGE_ROOM + 1;
    uint8_t *bytes = qr_alloc_zero(1, size);
    call(stage, "/etcdserverpb.KV/Put", (const char *)bytes, size, 65536);
    assert_int_equal(stage->code, QR_GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(stage->text, "grpc: received message larger than max (2097153 vs. 2097152)");
    qr_free(bytes);
    call(stage, "/etcdserverpb.KV/Put", put_a, sizeof put_a - 1, 4096); /* the connection goes on */
    assert_int_equal(stage->code, QR_GRPC_OK);
}

static void test_closed_with_requests_at_the_node(void **state)
{
    struct stage *stage = *state;
    for (int i = 0; i < 20; i++)
        start(stage, "/etcdserverpb.KV/Put", put_a, sizeof put_a - 1);
    carry(stage, 4096);
    assert_int_equal(stage->node.count, 20);
    stage->stream.ops->close(stage->connection);
    stage->connection = NULL;
    fake_node_turn(&stage->node);
    assert_int_equal(stage->node.index, 20);
}

/* ---- HTTP/1.1 ---- */

static const char *ask_page(struct stage *stage, const char *request)
{
    assert_int_equal(feed(stage, request, strlen(request)), QR_OK);
    fake_node_turn(&stage->node);
    qr_buffer_clear(&stage->answer);
    stage->stream.ops->drain(stage->connection, &stage->answer, 65536);
    qr_buffer_u8(&stage->answer, 0);
    return (const char *)stage->answer.data;
}

static void assert_page(const char *page, const char *status, const char *body)
{
    assert_memory_equal(page, status, strlen(status));
    const char *head_end = strstr(page, "\r\n\r\n");
    assert_non_null(head_end);
    assert_string_equal(head_end + 4, body);
}

static void test_pages(void **state)
{
    struct stage *stage = *state;
    assert_page(ask_page(stage, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200",
                "{\"health\":\"true\"}");
    assert_int_equal(stage->node.last.kind, QR_REQUEST_READ);
    assert_int_equal(stage->node.last.deadline_ms, NOW + QR_ETCD_HEALTH_MS);
    assert_page(ask_page(stage, "GET /health?serializable=false HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200",
                "{\"health\":\"true\"}");
    assert_page(ask_page(stage, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200",
                "{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}");
    const char *page = ask_page(stage, "DELETE /version HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_page(page, "HTTP/1.1 405", "Method Not Allowed\n");
    assert_non_null(strstr(page, "\r\nAllow: GET\r\n"));
    assert_page(ask_page(stage, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404",
                "404 page not found\n");
    stage->node.failure = QR_E_NO_LEADER;
    assert_page(ask_page(stage, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503",
                "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: no leader\"}");
    stage->node.refusal = QR_E_HALTED;
    assert_page(ask_page(stage, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503",
                "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: server stopped\"}");
}

static void test_pipelined_pages(void **state)
{
    struct stage *stage = *state;
    static const char requests[] =
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(feed(stage, requests, sizeof requests - 1), QR_OK);
    assert_int_equal(stage->node.count, 1); /* one after the other */
    fake_node_turn(&stage->node);
    /* the turn above answered the first and queued the second behind it */
    fake_node_turn(&stage->node);
    qr_buffer_clear(&stage->answer);
    stage->stream.ops->drain(stage->connection, &stage->answer, 65536);
    size_t pages = 0;
    for (size_t i = 0; i + 12 <= stage->answer.size; i++)
        pages += memcmp(stage->answer.data + i, "HTTP/1.1 200", 12) == 0;
    assert_int_equal(pages, 2);
}

static void test_page_closed_before_the_answer(void **state)
{
    struct stage *stage = *state;
    static const char request[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(feed(stage, request, sizeof request - 1), QR_OK);
    stage->stream.ops->close(stage->connection);
    stage->connection = NULL;
    fake_node_turn(&stage->node);
}

/* "PUT" and "PRI" begin alike. */
static void test_first_bytes(void **state)
{
    struct stage *stage = *state;
    static const char request[] = "PUT /version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    for (size_t i = 0; i + 1 < sizeof request; i++)
        assert_int_equal(feed(stage, request + i, 1), QR_OK);
    assert_page(ask_page(stage, ""), "HTTP/1.1 405", "Method Not Allowed\n");
    assert_int_not_equal(feed(stage, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), QR_OK); /* too late */
}

/* ---- limits ---- */

static void test_connections_are_counted(void **state)
{
    struct stage *stage = *state;
    void *second = open_connection(stage), *third = open_connection(stage);
    assert_non_null(second);
    assert_non_null(third);
    assert_null(open_connection(stage));
    stage->stream.ops->close(second);
    second = open_connection(stage);
    assert_non_null(second);
    stage->stream.ops->close(second);
    stage->stream.ops->close(third);
}

static void test_slow_beginners_are_closed(void **state)
{
    struct stage *stage = *state;
    const qr_stream_ops *ops = stage->stream.ops;
    assert_int_equal(feed(stage, "PRI * HT", 8), QR_OK);
    assert_int_equal(ops->wake_ms(stage->connection), NOW + FORBEARANCE_MS);
    ops->tick(stage->connection, NOW + FORBEARANCE_MS - 1);
    assert_false(ops->finished(stage->connection));
    ops->tick(stage->connection, NOW + FORBEARANCE_MS);
    assert_true(ops->finished(stage->connection));
}

static void test_slow_page_requests_are_closed(void **state)
{
    struct stage *stage = *state;
    const qr_stream_ops *ops = stage->stream.ops;
    ask_page(stage, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(ops->wake_ms(stage->connection), UINT64_MAX); /* a kept-alive connection may rest */
    assert_int_equal(feed(stage, "GET /ver", 8), QR_OK);
    assert_int_equal(ops->wake_ms(stage->connection), NOW + FORBEARANCE_MS);
    ops->tick(stage->connection, NOW + FORBEARANCE_MS);
    assert_true(ops->finished(stage->connection));
}

/* Bytes of the client's that are whole frames, and at least `least` of them. */
static size_t whole_frames(const qr_buffer *bytes, size_t least)
{
    size_t at = 24;
    while (at < least) {
        const uint8_t *head = bytes->data + at;
        at += 9 + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
    }
    assert_true(at <= bytes->size);
    return at;
}

static qr_status feed_at(struct stage *stage, const void *bytes, size_t size, uint64_t now_ms)
{
    return stage->stream.ops->feed(stage->connection, qr_slice_of(bytes, size), now_ms);
}

static void assert_closed_at(struct stage *stage, uint64_t at_ms)
{
    const qr_stream_ops *ops = stage->stream.ops;
    assert_int_equal(ops->wake_ms(stage->connection), at_ms);
    qr_buffer_clear(&stage->bytes);
    ops->drain(stage->connection, &stage->bytes, 65536); /* a client that takes its answers */
    ops->tick(stage->connection, at_ms - 1);
    assert_false(ops->finished(stage->connection));
    ops->tick(stage->connection, at_ms);
    qr_buffer_clear(&stage->bytes);
    ops->drain(stage->connection, &stage->bytes, 65536);
    assert_true(ops->finished(stage->connection));
}

static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0"; /* and the 0 at its end */

/* The preface of HTTP/2 ends with a SETTINGS frame. */
static void test_slow_prefaces_are_closed(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i + 1 < sizeof hello; i++)
        assert_int_equal(feed_at(stage, hello + i, 1, NOW + 500 * i), QR_OK);
    assert_closed_at(stage, NOW + FORBEARANCE_MS); /* however slowly they drip */
}

static void test_slow_frames_are_closed(void **state)
{
    struct stage *stage = *state;
    static const char ping[] = "\0\0\10\6\0\0\0\0\0001234567";
    assert_int_equal(feed(stage, hello, sizeof hello), QR_OK);
    assert_int_equal(stage->stream.ops->wake_ms(stage->connection), UINT64_MAX); /* idle ones may rest */
    for (size_t i = 0; i + 1 < sizeof ping; i++)
        assert_int_equal(feed_at(stage, ping + i, 1, NOW + 100 + i), QR_OK);
    assert_closed_at(stage, NOW + 100 + FORBEARANCE_MS);
}

/* HEADERS and CONTINUATION without END_HEADERS, each a whole frame. */
static void test_slow_header_blocks_are_closed(void **state)
{
    struct stage *stage = *state;
    static const char headers[] = "\0\0\1\1\0\0\0\0\1\x83", more[] = "\0\0\1\11\0\0\0\0\1\x86";
    assert_int_equal(feed(stage, hello, sizeof hello), QR_OK);
    assert_int_equal(feed_at(stage, headers, 10, NOW + 1000), QR_OK);
    assert_int_equal(feed_at(stage, more, 10, NOW + 20000), QR_OK);
    assert_closed_at(stage, NOW + 1000 + FORBEARANCE_MS);
}

/* Whenever the door looks, a busy client is in the middle of a frame, but of another one. */
static void test_busy_clients_are_not_closed(void **state)
{
    struct stage *stage = *state;
    const qr_stream_ops *ops = stage->stream.ops;
    static const char unknown[] = "\0\0\0\x4d\0\0\0\0"; /* an empty frame of a type that is ignored */
    assert_int_equal(feed(stage, hello, sizeof hello), QR_OK);
    assert_int_equal(feed(stage, unknown, 5), QR_OK);
    ops->drain(stage->connection, &stage->bytes, 65536);
    uint8_t rest_and_begun[sizeof unknown];
    memcpy(rest_and_begun, unknown + 5, sizeof unknown - 5);
    memcpy(rest_and_begun + sizeof unknown - 5, unknown, 5);
    uint64_t now_ms = NOW;
    for (int i = 0; i < 20; i++) {
        now_ms += FORBEARANCE_MS - 1;
        ops->tick(stage->connection, now_ms);
        assert_false(ops->finished(stage->connection));
        assert_int_equal(feed_at(stage, rest_and_begun, sizeof rest_and_begun, now_ms), QR_OK);
    }
    assert_closed_at(stage, now_ms + FORBEARANCE_MS);
}

/* A client that has not taken its answers is not read from: what is missing may be on its way. */
static void test_unread_answers_stop_the_clock(void **state)
{
    struct stage *stage = *state;
    const qr_stream_ops *ops = stage->stream.ops;
    assert_int_equal(feed(stage, hello, sizeof hello), QR_OK);
    assert_int_equal(feed(stage, "\0\0\10\6", 4), QR_OK);
    ops->tick(stage->connection, NOW + FORBEARANCE_MS); /* our SETTINGS are not drained */
    assert_false(ops->finished(stage->connection));
    assert_closed_at(stage, NOW + 2 * FORBEARANCE_MS);
}

static void test_too_many_pings(void **state)
{
    struct stage *stage = *state;
    static const char ping[] = "\0\0\10\6\0\0\0\0\00012345678";
    assert_int_equal(feed(stage, hello, sizeof hello), QR_OK);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(feed_at(stage, ping, sizeof ping - 1, NOW + 6000 * i), QR_OK);
    assert_int_not_equal(feed_at(stage, ping, sizeof ping - 1, NOW + 18000), QR_OK);
    qr_buffer_clear(&stage->bytes);
    stage->stream.ops->drain(stage->connection, &stage->bytes, 65536);
    assert_true(stage->stream.ops->finished(stage->connection));
}

/* A call whose message does not come is ended, and with it a connection that is inside a frame. */
static void test_slow_messages_inside_a_frame(void **state)
{
    struct stage *stage = *state;
    uint8_t *bytes = qr_alloc_zero(1, 60000);
    start(stage, "/etcdserverpb.KV/Put", bytes, 60000);
    qr_buffer fed;
    qr_buffer_init(&fed);
    qr_grpc_client_drain(stage->client, &fed, 1024 * 1024);
    assert_int_equal(feed(stage, fed.data, whole_frames(&fed, 1000) - 1), QR_OK);
    assert_closed_at(stage, NOW + FORBEARANCE_MS);
    assert_int_equal(stage->node.count, 0);
    qr_buffer_free(&fed);
    qr_free(bytes);
}

/* A call whose message does not come is ended; the connection stays. */
static void test_slow_messages_are_ended(void **state)
{
    struct stage *stage = *state;
    const qr_stream_ops *ops = stage->stream.ops;
    size_t size = 60000;
    uint8_t *bytes = qr_alloc_zero(1, size);
    memcpy(bytes,
           "\x0a\x01"
           "a\x12\xd8\xd4\x03",
           7);
    start(stage, "/etcdserverpb.KV/Put", bytes, size);
    qr_buffer_clear(&stage->bytes);
    qr_grpc_client_drain(stage->client, &stage->bytes, 1024 * 1024);
    assert_true(stage->bytes.size > 20000);
    assert_int_equal(feed(stage, stage->bytes.data, whole_frames(&stage->bytes, 20000)), QR_OK);
    assert_int_equal(ops->wake_ms(stage->connection), NOW + FORBEARANCE_MS);
    ops->tick(stage->connection, NOW + FORBEARANCE_MS);
    assert_false(ops->finished(stage->connection));
    qr_buffer_clear(&stage->bytes);
    ops->drain(stage->connection, &stage->bytes, 65536);
    assert_int_equal(qr_grpc_client_feed(stage->client, qr_buffer_slice(&stage->bytes)), QR_OK);
    assert_true(stage->done);
    assert_int_equal(stage->code, QR_GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(stage->node.count, 0);
    assert_int_equal(ops->wake_ms(stage->connection), UINT64_MAX);
    qr_free(bytes);
}

static void test_random_bytes(void **state)
{
    struct stage *stage = *state;
    qr_prng prng;
    qr_prng_seed(&prng, 6);
    uint8_t bytes[600];
    for (int i = 0; i < 3000; i++) {
        stage->stream.ops->close(stage->connection);
        stage->connection = open_connection(stage);
        size_t size = qr_prng_below(&prng, sizeof bytes), prefix = 0;
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)(qr_prng_below(&prng, 2) ? qr_prng_below(&prng, 10) : qr_prng_next(&prng));
        if (qr_prng_below(&prng, 3)) { /* mostly behind a preface and settings, so that frames are reached */
            prefix = sizeof hello;
            feed(stage, hello, prefix);
        }
        feed(stage, bytes, size);
        fake_node_turn(&stage->node);
        qr_buffer_clear(&stage->bytes);
        stage->stream.ops->drain(stage->connection, &stage->bytes, 65536);
        stage->stream.ops->tick(stage->connection, NOW + 2 * FORBEARANCE_MS);
    }
}

/* A real conversation with bytes changed under way. */
static void test_damaged_conversations(void **state)
{
    struct stage *stage = *state;
    qr_prng prng;
    qr_prng_seed(&prng, 7);
    for (int i = 0; i < 1500; i++) {
        stage->stream.ops->close(stage->connection);
        stage->connection = open_connection(stage);
        qr_grpc_client_free(stage->client);
        stage->client = qr_grpc_client_new(&client_handlers, stage, "test");
        start(stage, "/etcdserverpb.KV/Put", put_a, sizeof put_a - 1);
        start(stage, "/etcdserverpb.KV/Range", get_a, sizeof get_a - 1);
        qr_buffer_clear(&stage->bytes);
        qr_grpc_client_drain(stage->client, &stage->bytes, 65536);
        for (uint64_t hits = qr_prng_below(&prng, 4); hits > 0; hits--)
            stage->bytes.data[qr_prng_below(&prng, stage->bytes.size)] = (uint8_t)qr_prng_next(&prng);
        feed(stage, stage->bytes.data, qr_prng_below(&prng, stage->bytes.size) + 1);
        if (qr_prng_below(&prng, 2))
            fake_node_turn(&stage->node);
        qr_buffer_clear(&stage->bytes);
        stage->stream.ops->drain(stage->connection, &stage->bytes, 65536);
        if (stage->node.count > 40)
            fake_node_turn(&stage->node); /* answers of connections that are long gone */
    }
}

/* ---- snapshots ---- */

static void start_copy(struct stage *stage)
{
    qr_buffer_clear(&stage->copy);
    stage->done = false;
    assert_int_equal(qr_grpc_client_call(stage->client, "/etcdserverpb.Maintenance/Snapshot",
                                         qr_slice_of(NULL, 0), &stage->copy),
                     QR_OK);
    carry(stage, 4096);
}

/* The file, zeros up to a page, the sum of both; whatever the size. */
static void test_snapshot(void **state)
{
    struct stage *stage = *state;
    const uint64_t sizes[] = {1, 511, 512, 65536, 65537, 5000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        stage->node.export_size = sizes[i];
        start_copy(stage);
        while (!stage->done) {
            fake_node_turn(&stage->node);
            carry(stage, 4096);
        }
        assert_int_equal(stage->code, QR_GRPC_OK);
        uint64_t pages = (sizes[i] + 511) / 512 * 512;
        assert_int_equal(stage->copy.size, pages + QR_SHA256_SIZE);
        assert_int_equal(stage->remaining, 0);
        for (uint64_t at = 0; at < pages; at++)
            assert_int_equal(stage->copy.data[at], at < sizes[i] ? fake_node_byte(at) : 0);
        uint8_t digest[QR_SHA256_SIZE];
        qr_sha256 *sum = qr_sha256_new();
        qr_sha256_add(sum, qr_slice_of(stage->copy.data, pages));
        qr_sha256_end(sum, digest);
        qr_sha256_free(sum);
        assert_memory_equal(stage->copy.data + pages, digest, sizeof digest);
    }
    assert_null(stage->node.exports[0].node);
}

/* A client that does not read holds up nobody and costs a bounded amount of memory. */
static void test_snapshot_waits_for_its_reader(void **state)
{
    struct stage *stage = *state;
    stage->node.export_size = 64 * 1024 * 1024;
    start_copy(stage);
    uint64_t before = 0;
    for (int turn = 0; turn < 1000; turn++) {
        fake_node_turn(&stage->node);
        if (stage->node.exports[0].offset == before && turn > 100)
            break;
        before = stage->node.exports[0].offset;
    }
    assert_in_range(before, 512 * 1024, 2 * 1024 * 1024);
    assert_null(stage->node.exports[0].done); /* asked for no more */
    stage->stream.ops->close(stage->connection);
    stage->connection = NULL;
    assert_null(stage->node.exports[0].node);
}

static void test_snapshot_fails(void **state)
{
    struct stage *stage = *state;
    stage->node.export_size = 1000000;
    stage->node.export_failure = QR_E_NO_SPACE;
    start_copy(stage);
    fake_node_turn(&stage->node);
    carry(stage, 4096);
    assert_true(stage->done);
    assert_int_equal(stage->code, QR_GRPC_RESOURCE_EXHAUSTED);
    stage->node.export_failure = QR_OK;
    start_copy(stage);
    fake_node_turn(&stage->node);
    stage->node.export_failure = QR_E_IO;
    while (!stage->done) {
        fake_node_turn(&stage->node);
        carry(stage, 4096);
    }
    assert_int_equal(stage->code, QR_GRPC_UNAVAILABLE);
    assert_null(stage->node.exports[0].node);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_put_and_get),
        ROW(test_errors_reach_the_client),
        ROW(test_message_too_large),
        ROW(test_closed_with_requests_at_the_node),
        ROW(test_pages),
        ROW(test_pipelined_pages),
        ROW(test_page_closed_before_the_answer),
        ROW(test_first_bytes),
        ROW(test_connections_are_counted),
        ROW(test_slow_beginners_are_closed),
        ROW(test_slow_page_requests_are_closed),
        ROW(test_slow_prefaces_are_closed),
        ROW(test_slow_frames_are_closed),
        ROW(test_slow_header_blocks_are_closed),
        ROW(test_busy_clients_are_not_closed),
        ROW(test_unread_answers_stop_the_clock),
        ROW(test_too_many_pings),
        ROW(test_slow_messages_inside_a_frame),
        ROW(test_slow_messages_are_ended),
        ROW(test_random_bytes),
        ROW(test_damaged_conversations),
        ROW(test_snapshot),
        ROW(test_snapshot_waits_for_its_reader),
        ROW(test_snapshot_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
