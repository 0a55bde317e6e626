/* One client connection. Its first bytes decide: "PRI * HTTP/2.0" is the preface of HTTP/2 and so gRPC,
 * anything else is HTTP/1.1 (http.h). Owns no socket: bytes in, bytes out (edge/stream.h). */
#include "door/etcd/http.h"

enum {
    PREFACE_SIZE = 24,
    REQUEST_WAIT_MS = 30000, /* for a begun request to become whole */
};

static const char preface[PREFACE_SIZE + 1] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

typedef enum connection_kind { KIND_UNKNOWN, KIND_GRPC, KIND_HTTP } connection_kind;

struct qr_etcd_connection {
    qr_etcd_door *door;
    connection_kind kind;
    uint8_t head[PREFACE_SIZE]; /* what came while the kind is unknown */
    size_t head_size;
    qr_grpc_server *grpc;
    qr_etcd_http *http;
    uint64_t
        deadline_ms;   /* for what has arrived in part, see feed_grpc() and feed_http(); UINT64_MAX = none */
    qr_etcd_line line; /* what is unsent, and the reads that wait for it */
    qr_etcd_list messageless; /* gRPC calls without their message, oldest first */
    bool overdue;
    bool pages_only; /* of --listen-metrics-urls */
};

static void wake(qr_etcd_connection *connection)
{
    qr_etcd_line_wake(&connection->line);
}

/* ---- gRPC ---- */

static qr_buffer *grpc_begin(qr_etcd_call *call)
{
    return qr_grpc_send_begin(call->stream);
}

static void grpc_end(qr_etcd_call *call)
{
    qr_grpc_send_end(call->stream);
}

static void grpc_finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    qr_etcd_connection *connection = call->connection;
    qr_etcd_list_leave(call);
    if (!call->unsent) /* what is sent in parts was counted when it began */
        qr_etcd_line_built(call, qr_grpc_call_queued(call->stream));
    qr_grpc_finish(call->stream, code, text);
    wake(connection);
}

static size_t grpc_queued(qr_etcd_call *call)
{
    return qr_grpc_call_queued(call->stream);
}

static void grpc_sized(qr_etcd_call *call, uint32_t size)
{
    qr_grpc_send_sized(call->stream, size);
}

static qr_buffer *grpc_part_begin(qr_etcd_call *call)
{
    return qr_grpc_part_begin(call->stream);
}

static void grpc_part_end(qr_etcd_call *call)
{
    qr_grpc_part_end(call->stream);
}

static const qr_etcd_transport grpc_transport = {.begin = grpc_begin,
                                                 .end = grpc_end,
                                                 .queued = grpc_queued,
                                                 .finish = grpc_finish,
                                                 .sized = grpc_sized,
                                                 .part_begin = grpc_part_begin,
                                                 .part_end = grpc_part_end};

static void on_call(void *context, qr_grpc_call *stream, qr_slice path)
{
    qr_etcd_connection *connection = context;
    qr_arena arena;
    qr_arena_init(&arena);
    const char *text = NULL;
    const qr_etcd_method *method = qr_etcd_find_method(path, &arena, &text);
    qr_grpc_call_set_data(stream, NULL);
    if (!method) {
        qr_grpc_finish(stream, QR_GRPC_UNIMPLEMENTED, text);
    } else {
        qr_etcd_call *call =
            qr_etcd_call_new(connection->door, method, &grpc_transport, stream, connection->line.now_ms);
        call->connection = connection;
        call->line = &connection->line;
        call->timeout_ms = qr_grpc_call_timeout_ms(stream);
        if (!method->streaming) /* those that go on may take their time with the first message */
            qr_etcd_list_add(&connection->messageless, call);
        qr_grpc_call_set_data(stream, call);
    }
    qr_arena_free(&arena);
    wake(connection);
}

static bool lacks_leader(qr_etcd_connection *connection, const qr_etcd_call *call)
{
    if (!call->wants_leader)
        return false;
    qr_node_status status;
    qr_node_status_of(connection->door->config.node, &status);
    return status.engine.leader == 0;
}

static void on_message(void *context, qr_grpc_call *stream, qr_slice message)
{
    qr_etcd_connection *connection = context;
    qr_etcd_call *call = qr_grpc_call_data(stream);
    if (!call || call->finished)
        return;
    if (!call->started) {
        qr_etcd_list_leave(call);
        call->wants_leader =
            qr_slice_equal(qr_grpc_call_metadata(stream, "hasleader"), qr_slice_text("true"));
        if (lacks_leader(connection, call)) {
            qr_etcd_call_fail(call, QR_ETCD_E_NO_LEADER);
            return;
        }
    }
    qr_etcd_call_message(call, message);
}

static void on_half_closed(void *context, qr_grpc_call *stream)
{
    qr_etcd_call *call = qr_grpc_call_data(stream);
    if (call)
        qr_etcd_call_half_closed(call);
}

static void on_closed(void *context, qr_grpc_call *stream)
{
    qr_etcd_call *call = qr_grpc_call_data(stream);
    if (!call)
        return;
    qr_grpc_call_set_data(stream, NULL);
    qr_etcd_call_closed(call);
}

static const qr_grpc_handlers grpc_handlers = {on_call, on_message, on_half_closed, on_closed};

/* ---- edge/stream ---- */

static void *stream_open(void *self, const char *peer, qr_stream_waker waker, uint64_t now_ms)
{
    qr_etcd_door *door = self;
    if (door->connections >= door->config.connections_max)
        return NULL;
    qr_etcd_connection *connection = qr_alloc_zero(1, sizeof *connection);
    connection->door = door;
    qr_etcd_line_open(&connection->line, door, waker, now_ms);
    connection->deadline_ms = now_ms + REQUEST_WAIT_MS;
    door->connections++;
    return connection;
}

static void *pages_open(void *self, const char *peer, qr_stream_waker waker, uint64_t now_ms)
{
    qr_etcd_connection *connection = stream_open(self, peer, waker, now_ms);
    if (connection)
        connection->pages_only = true;
    return connection;
}

static qr_status feed_grpc(qr_etcd_connection *connection, qr_slice bytes)
{
    uint64_t before = qr_grpc_server_frames(connection->grpc);
    connection->door->grpc_received += bytes.size;
    qr_grpc_server_now(connection->grpc, connection->line.now_ms);
    qr_status status = qr_grpc_server_feed(connection->grpc, bytes);
    qr_etcd_line_stirred(&connection->line);
    /* A busy client may end in the middle of a frame whenever we look; each whole frame starts the clock
     * anew. */
    if (!qr_grpc_server_partial(connection->grpc))
        connection->deadline_ms = UINT64_MAX;
    else if (connection->deadline_ms == UINT64_MAX || qr_grpc_server_frames(connection->grpc) != before)
        connection->deadline_ms = connection->line.now_ms + REQUEST_WAIT_MS;
    return status;
}

/* Each whole request starts the clock of the next one anew. What waits behind an unread answer is no part of
 * a request yet. */
static void set_http_clock(qr_etcd_connection *connection, uint64_t requests_before)
{
    if (!qr_http1_partial(connection->http->codec))
        connection->deadline_ms = UINT64_MAX;
    else if (connection->deadline_ms == UINT64_MAX || connection->http->requests != requests_before)
        connection->deadline_ms = connection->line.now_ms + REQUEST_WAIT_MS;
}

static qr_status feed_http(qr_etcd_connection *connection, qr_slice bytes)
{
    uint64_t before = connection->http->requests;
    qr_status status = qr_etcd_http_feed(connection->http, bytes);
    set_http_clock(connection, before);
    return status;
}

static void drain_http(qr_etcd_connection *connection, qr_buffer *out, size_t size_max)
{
    uint64_t before = connection->http->requests;
    qr_etcd_http_drain(connection->http, out, size_max);
    set_http_clock(connection, before);
}

/* Decides what the connection speaks, once its bytes allow it; hands over what was kept. */
static qr_status decide(qr_etcd_connection *connection, qr_slice *bytes)
{
    if (connection->pages_only) {
        connection->kind = KIND_HTTP;
        connection->http = qr_etcd_http_new(connection->door, &connection->line);
        connection->http->pages_only = true;
        return QR_OK;
    }
    while (bytes->size > 0 && connection->head_size < PREFACE_SIZE) {
        uint8_t next = bytes->data[0];
        if (next != (uint8_t)preface[connection->head_size]) {
            connection->kind = KIND_HTTP;
            connection->http = qr_etcd_http_new(connection->door, &connection->line);
            return connection->head_size
                       ? feed_http(connection, qr_slice_of(connection->head, connection->head_size))
                       : QR_OK;
        }
        connection->head[connection->head_size++] = next;
        *bytes = qr_slice_of(bytes->data + 1, bytes->size - 1);
    }
    if (connection->head_size < PREFACE_SIZE)
        return QR_OK;
    connection->kind = KIND_GRPC;
    connection->grpc =
        qr_grpc_server_new(&grpc_handlers, connection, &connection->door->limits, &connection->door->pool);
    return feed_grpc(connection, qr_slice_of(connection->head, PREFACE_SIZE));
}

static qr_status stream_feed(void *stream, qr_slice bytes, uint64_t now_ms)
{
    qr_etcd_connection *connection = stream;
    connection->line.now_ms = now_ms;
    if (connection->kind == KIND_UNKNOWN) {
        qr_status status = decide(connection, &bytes);
        if (status != QR_OK)
            return status;
    }
    if (!bytes.size || connection->kind == KIND_UNKNOWN)
        return QR_OK;
    return connection->kind == KIND_GRPC ? feed_grpc(connection, bytes) : feed_http(connection, bytes);
}

static void stream_drain(void *stream, qr_buffer *out, size_t size_max)
{
    qr_etcd_connection *connection = stream;
    if (connection->http) {
        drain_http(connection, out, size_max);
    } else if (connection->grpc) {
        size_t before = out->size;
        qr_grpc_server_drain(connection->grpc, out, size_max);
        connection->door->grpc_sent += out->size - before;
        qr_etcd_line_drained(&connection->line);
    }
}

static uint64_t stream_wake_ms(void *stream)
{
    const qr_etcd_connection *connection = stream;
    const qr_etcd_call *oldest = connection->messageless.first;
    uint64_t wake_ms = oldest ? oldest->now_ms + REQUEST_WAIT_MS : UINT64_MAX;
    if (connection->deadline_ms < wake_ms)
        wake_ms = connection->deadline_ms;
    if (connection->line.stream_wake_ms < wake_ms)
        wake_ms = connection->line.stream_wake_ms;
    return connection->line.deadline_ms < wake_ms ? connection->line.deadline_ms : wake_ms;
}

/* The clock of what arrived in part has run out; the calls whose messages were missing have been ended by
 * now. */
static void come_due(qr_etcd_connection *connection, uint64_t now_ms, bool unsent)
{
    connection->deadline_ms = UINT64_MAX;
    if (connection->grpc && !qr_grpc_server_partial(connection->grpc))
        return;
    /* While a client is slow to take its answers nothing may be read from it: that is judged by its taking.
     */
    if (unsent)
        connection->deadline_ms = now_ms + REQUEST_WAIT_MS;
    else
        connection->overdue = true;
}

static void stream_tick(void *stream, uint64_t now_ms)
{
    qr_etcd_connection *connection = stream;
    bool unsent = connection->grpc   ? qr_grpc_server_pending(connection->grpc)
                  : connection->http ? qr_http1_pending(connection->http->codec)
                                     : false;
    qr_etcd_line_tick(&connection->line, now_ms);
    const qr_etcd_list *messageless = &connection->messageless;
    while (messageless->first && now_ms >= messageless->first->now_ms + REQUEST_WAIT_MS)
        qr_etcd_call_fail(messageless->first, QR_ETCD_E_DEADLINE); /* takes it off the list */
    if (now_ms >= connection->deadline_ms)
        come_due(connection, now_ms, unsent);
}

static int stream_finished(void *stream)
{
    const qr_etcd_connection *connection = stream;
    return connection->overdue || (connection->http && qr_http1_finished(connection->http->codec)) ||
           (connection->grpc && qr_grpc_server_finished(connection->grpc));
}

static void stream_close(void *stream)
{
    qr_etcd_connection *connection = stream;
    if (connection->grpc)
        qr_grpc_server_free(connection->grpc); /* on_closed for every call */
    if (connection->http)
        qr_etcd_http_free(connection->http); /* the same for its one */
    QR_ASSERT(!connection->messageless.first);
    qr_etcd_line_close(&connection->line);
    QR_ASSERT(connection->door->connections > 0);
    connection->door->connections--;
    qr_free(connection);
}

#define STREAM_OPS(words, opening)                                                                           \
    {                                                                                                        \
        .name = words, .open = opening, .feed = stream_feed, .drain = stream_drain,                          \
        .wake_ms = stream_wake_ms, .tick = stream_tick, .finished = stream_finished, .close = stream_close   \
    }

const qr_stream_ops qr_etcd_stream_ops = STREAM_OPS("etcd", stream_open);
const qr_stream_ops qr_etcd_pages_ops = STREAM_OPS("etcd pages", pages_open);
