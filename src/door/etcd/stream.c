/* One client connection. Its first bytes decide: "PRI * HTTP/2.0" is the preface of HTTP/2 and so gRPC,
 * anything else is HTTP/1.1 with the two status pages. Owns no socket: bytes in, bytes out (edge/stream.h).
 */
#include "door/etcd/door.h"
#include "wire/http1.h"

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
    qr_http1 *http;
    uint64_t
        deadline_ms;   /* for what has arrived in part, see feed_grpc() and feed_http(); UINT64_MAX = none */
    qr_etcd_line line; /* what is unsent, and the reads that wait for it */
    qr_etcd_list messageless; /* gRPC calls without their message, oldest first */
    qr_etcd_call *page;       /* the /health under way */
    uint64_t requests;        /* HTTP requests seen */
    bool overdue;
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
    qr_etcd_line_built(call, qr_grpc_call_queued(call->stream));
    qr_grpc_finish(call->stream, code, text);
    wake(connection);
}

static size_t grpc_queued(qr_etcd_call *call)
{
    return qr_grpc_call_queued(call->stream);
}

static const qr_etcd_transport grpc_transport = {grpc_begin, grpc_end, grpc_queued, grpc_finish};

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

/* ---- HTTP/1.1 ---- */

/* The headers etcd sends on every page, so that a page of another origin may read it. */
#define OPEN_TO_BROWSERS                                                                                     \
    "Access-Control-Allow-Headers: accept, content-type, authorization\r\n"                                  \
    "Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"                                      \
    "Access-Control-Allow-Origin: *\r\n"
#define PLAIN_TEXT "text/plain; charset=utf-8"

static void respond(qr_http1 *http, int status, const char *type, const char *headers, const char *body)
{
    qr_http1_respond(http, status, type, headers, qr_slice_text(body));
}

static void page_finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    qr_etcd_connection *connection = call->connection;
    bool healthy = code == QR_GRPC_OK;
    QR_ASSERT(connection->page == call);
    connection->page = NULL;
    respond(connection->http, healthy ? 200 : 503, PLAIN_TEXT, OPEN_TO_BROWSERS,
            healthy ? "{\"health\":\"true\"}" : "{\"health\":\"false\"}");
    wake(connection);
    qr_etcd_call_closed(call);
}

static const qr_etcd_transport page_transport = {NULL, NULL, NULL, page_finish};

static void on_request(void *context, qr_http1 *http, const qr_http1_request *request)
{
    qr_etcd_connection *connection = context;
    connection->requests++;
    connection->deadline_ms = UINT64_MAX;
    bool health = qr_slice_equal(request->path, qr_slice_text("/health"));
    bool version = qr_slice_equal(request->path, qr_slice_text("/version"));
    if (!health && !version) {
        respond(http, 404, PLAIN_TEXT, OPEN_TO_BROWSERS, "404 page not found\n");
    } else if (!qr_slice_equal(request->method, qr_slice_text("GET"))) {
        respond(http, 405, PLAIN_TEXT, OPEN_TO_BROWSERS "Allow: GET\r\n", "Method Not Allowed\n");
    } else if (version) {
        respond(http, 200, "application/json", OPEN_TO_BROWSERS,
                "{\"etcdserver\":\"" QR_ETCD_VERSION "\",\"etcdcluster\":\"" QR_ETCD_CLUSTER_VERSION "\"}");
    } else {
        QR_ASSERT(!connection->page); /* http1 hands over one request at a time */
        qr_etcd_call *call = qr_etcd_call_new(connection->door, &qr_etcd_health_page, &page_transport, http,
                                              connection->line.now_ms);
        call->connection = connection;
        connection->page = call;
        qr_etcd_call_message(call, qr_slice_of(NULL, 0));
    }
    wake(connection);
}

static const qr_http1_handlers http_handlers = {on_request};

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

static qr_status feed_grpc(qr_etcd_connection *connection, qr_slice bytes)
{
    uint64_t before = qr_grpc_server_frames(connection->grpc);
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

static qr_status feed_http(qr_etcd_connection *connection, qr_slice bytes)
{
    uint64_t before = connection->requests;
    qr_status status = qr_http1_feed(connection->http, bytes);
    /* Nothing became whole and nothing is being answered: this is a part of a request, and its clock runs. */
    if (connection->requests == before && !connection->page && connection->deadline_ms == UINT64_MAX)
        connection->deadline_ms = connection->line.now_ms + REQUEST_WAIT_MS;
    return status;
}

/* Decides what the connection speaks, once its bytes allow it; hands over what was kept. */
static qr_status decide(qr_etcd_connection *connection, qr_slice *bytes)
{
    while (bytes->size > 0 && connection->head_size < PREFACE_SIZE) {
        uint8_t next = bytes->data[0];
        if (next != (uint8_t)preface[connection->head_size]) {
            connection->kind = KIND_HTTP;
            connection->http = qr_http1_new(&http_handlers, connection, NULL);
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
    connection->grpc = qr_grpc_server_new(&grpc_handlers, connection, &connection->door->limits);
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
        qr_http1_drain(connection->http, out, size_max);
    } else if (connection->grpc) {
        qr_grpc_server_drain(connection->grpc, out, size_max);
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
    bool unsent = connection->grpc && qr_grpc_server_pending(connection->grpc);
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
    return connection->overdue || (connection->http && qr_http1_finished(connection->http)) ||
           (connection->grpc && qr_grpc_server_finished(connection->grpc));
}

static void stream_close(void *stream)
{
    qr_etcd_connection *connection = stream;
    if (connection->page)
        qr_etcd_call_closed(connection->page);
    if (connection->grpc)
        qr_grpc_server_free(connection->grpc); /* on_closed for every call */
    if (connection->http)
        qr_http1_free(connection->http);
    QR_ASSERT(!connection->messageless.first);
    qr_etcd_line_close(&connection->line);
    QR_ASSERT(connection->door->connections > 0);
    connection->door->connections--;
    qr_free(connection);
}

const qr_stream_ops qr_etcd_stream_ops = {
    .name = "etcd",
    .open = stream_open,
    .feed = stream_feed,
    .drain = stream_drain,
    .wake_ms = stream_wake_ms,
    .tick = stream_tick,
    .finished = stream_finished,
    .close = stream_close,
};
