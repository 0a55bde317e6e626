#include "door/zookeeper/door.h"

static void note_latency(qr__zk_latency *latency, uint64_t taken_ms)
{
    latency->min_ms = latency->count && latency->min_ms < taken_ms ? latency->min_ms : taken_ms;
    latency->max_ms = latency->max_ms > taken_ms ? latency->max_ms : taken_ms;
    latency->last_ms = taken_ms;
    latency->sum_ms += taken_ms;
    latency->count++;
}

void qr__zk_count_answer(qr__zk_connection *connection, size_t size)
{
    struct qr__zk_counts *counts = &connection->door->counts;
    counts->answer_last = size;
    counts->answer_min = counts->answer_min && counts->answer_min < size ? counts->answer_min : size;
    counts->answer_max = counts->answer_max > size ? counts->answer_max : size;
    counts->sent_bytes += size;
    counts->sent++;
    connection->sent++;
}

static void count(const qr__zk_call *call, int64_t zxid)
{
    qr__zk_connection *connection = call->connection;
    qr_zookeeper_door *door = connection->door;
    uint64_t taken_ms = door->now_ms - call->arrived_ms;
    bool writes = qr_zookeeper_request_writes(call->request.type);
    note_latency(&door->counts.all, taken_ms);
    note_latency(writes ? &door->counts.updates : &door->counts.reads, taken_ms);
    note_latency(&connection->latency, taken_ms);
    connection->answered_ms = door->now_ms;
    connection->last_type = call->request.type;
    connection->last_zxid = zxid;
    if (call->xid >= 0) /* a ping is none of the client's own */
        connection->last_xid = call->xid;
}

static void emit(qr__zk_call *call)
{
    qr__zk_connection *connection = call->connection;
    const qr_zookeeper_request *request = &call->request;
    if (request->err == QR_ZOOKEEPER_CONNECTION_LOSS) {
        qr__zk_end(connection);
        return;
    }
    /* What was refused at once was refused before the writes in front of it were applied. */
    int64_t zxid = (int64_t)request->revision;
    if (zxid > 0 && zxid < connection->zxid) /* 0: of an auth */
        zxid = connection->zxid;
    connection->zxid = zxid > connection->zxid ? zxid : connection->zxid;
    qr_jute_reply_header header = {.xid = call->xid, .zxid = zxid, .err = request->err};
    size_t begin = qr_jute_packet_begin(&connection->out);
    qr_jute_encode(&qr_jute_record_reply_header, &header, &connection->out);
    if (request->reply.size)
        qr_buffer_add_slice(&connection->out, request->reply);
    qr_jute_packet_end(&connection->out, begin);
    qr__zk_count_answer(connection, connection->out.size - begin - sizeof(uint32_t));
    count(call, zxid);
    if (request->closes || request->err == QR_ZOOKEEPER_SESSION_EXPIRED ||
        request->err == QR_ZOOKEEPER_SESSION_MOVED)
        qr__zk_end(connection);
}

static void drop(qr__zk_call *call)
{
    call->connection->queued--;
    call->connection->queued_bytes -= call->request.body.size;
    call->connection->door->outstanding--;
    qr_arena_free(&call->arena);
    qr_free(call);
}

/* Answers leave in the order of their requests. */
static void emit_done(qr__zk_connection *connection)
{
    while (connection->first && connection->first->done) {
        qr__zk_call *call = connection->first;
        connection->first = call->next;
        if (!connection->first)
            connection->last = &connection->first;
        if (connection->state == QR__ZK_ATTACHED)
            emit(call);
        drop(call);
    }
    qr__zk_wake(connection);
}

static void finish(qr__zk_call *call)
{
    call->done = true;
    if (!QR_BUG(call->request.bug, EVENT_LATE))
        qr__zk_catch_up(call->connection->door);
}

void qr__zk_line_finish(qr__zk_call *call, int32_t err, uint64_t revision)
{
    call->request.err = err;
    call->request.revision = revision;
    finish(call);
}

qr_status qr__zk_line_submit(qr__zk_call *call, qr_request_kind kind,
                             void (*done)(void *owner, const qr_reply *reply))
{
    qr_request request = {
        .kind = kind, .body = call->request.command, .query = &call->barrier, .done = done, .owner = call};
    qr_status status = qr_node_submit(call->connection->door->config.node, &request);
    if (status == QR_OK)
        call->connection->flights++;
    return status;
}

/* Nothing new is sent before all those have failed that were sent behind a stale write: it would overtake
 * them. */
static void count_recalled(qr__zk_call *call, const qr_reply *reply)
{
    qr__zk_connection *connection = call->connection;
    if (qr_zookeeper_request_overtaken(&call->request))
        connection->recalled--;
    if (qr_zookeeper_request_stale(&call->request, reply)) {
        connection->asker.session_states++;
        connection->recalled = connection->writes_flying - 1;
    }
}

static void on_applied(void *owner, const qr_reply *reply)
{
    qr__zk_call *call = owner;
    qr__zk_connection *connection = call->connection;
    if (!connection->closed) {
        count_recalled(call, reply);
        if (qr_zookeeper_request_applied(connection->door->config.node, &call->request, reply) ==
                QR_ZOOKEEPER_DONE ||
            qr__zk_line_submit(call, QR_REQUEST_WRITE, on_applied) != QR_OK) {
            connection->writes_flying--;
            if (call->request.plan && reply->status == QR_E_STOPPED)
                call->request.err = QR_ZOOKEEPER_CONNECTION_LOSS;
            finish(call);
        }
        qr__zk_line_pump(connection);
    }
    qr__zk_landed(connection);
}

static void on_barrier(void *owner, const qr_reply *reply)
{
    qr__zk_call *call = owner;
    qr__zk_connection *connection = call->connection;
    if (!connection->closed) {
        connection->reads_flying--;
        call->passed_barrier = true;
        if (reply->status != QR_OK) {
            qr__zk_end(connection);
        } else if (call->request.type == QR_JUTE_OP_SYNC) {
            call->request.reply = call->request.body;
            qr__zk_line_finish(call, QR_ZOOKEEPER_OK, qr__zk_revision(connection->door));
        } else {
            call->begun = false; /* still the first that waits */
            connection->waiting = call;
        }
        qr__zk_line_pump(connection);
    }
    qr__zk_landed(connection);
}

/* What is begun alone: no write before it is under way. */
static bool is_alone(const qr__zk_call *call)
{
    return call->request.type == QR_JUTE_OP_CLOSE_SESSION || call->request.type == QR_JUTE_OP_RECONFIG;
}

static qr_status begin_write(qr__zk_call *call)
{
    qr__zk_connection *connection = call->connection;
    if (qr__zk_read_only_refuses(call))
        return QR_OK;
    if (call->request.type == QR_JUTE_OP_CLOSE_SESSION)
        return qr__zk_session_close(call);
    if (call->request.type == QR_JUTE_OP_RECONFIG)
        return qr__zk_reconfig(call);
    if (qr_zookeeper_request_begin(connection->door->config.node, &call->request) == QR_ZOOKEEPER_DONE) {
        finish(call);
        return QR_OK;
    }
    qr_status status = qr__zk_line_submit(call, QR_REQUEST_WRITE, on_applied);
    connection->writes_flying += status == QR_OK;
    return status;
}

static uint32_t kinds_of(qr_zookeeper_watch_kind kind)
{
    static const uint32_t kinds[] = {[QR_ZOOKEEPER_WATCH_DATA] = QR__ZK_DATA,
                                     [QR_ZOOKEEPER_WATCH_EXIST] = QR__ZK_EXIST,
                                     [QR_ZOOKEEPER_WATCH_CHILD] = QR__ZK_CHILD,
                                     [QR_ZOOKEEPER_WATCH_PERSISTENT] = QR__ZK_PERSISTENT,
                                     [QR_ZOOKEEPER_WATCH_RECURSIVE] = QR__ZK_RECURSIVE};
    return kinds[kind];
}

/* A path comes first in its body, behind its length. */
static bool names_config(const qr__zk_call *call)
{
    qr_slice body = call->request.body, name = qr_slice_text("/zookeeper/config");
    return body.size > 4 && qr_slice_starts(qr_slice_of(body.data + 4, body.size - 4), name);
}

static qr_status begin_read(qr__zk_call *call)
{
    qr__zk_connection *connection = call->connection;
    qr_zookeeper_door *door = connection->door;
    bool takes = qr_zookeeper_request_takes(call->request.type);
    if (qr__zk_read_only_refuses(call))
        return QR_OK;
    if (!call->passed_barrier && !connection->read_only &&
        (call->request.type == QR_JUTE_OP_SYNC || (takes && door->config.linearizable_reads))) {
        call->barrier = (qr_query){.kind = QR_QUERY_PATH, .path = qr_slice_text("/")};
        bool here = QR_BUG(call->request.bug, SYNC_LOCAL);
        qr_status status =
            qr__zk_line_submit(call, here ? QR_REQUEST_READ_LOCAL : QR_REQUEST_READ, on_barrier);
        connection->reads_flying += status == QR_OK;
        return status;
    }
    if (!QR_BUG(call->request.bug, EVENT_LATE))
        qr__zk_catch_up(door);
    if (names_config(call))
        qr__zk_config_notice(door);
    if (!takes) {
        qr__zk_own(call);
        return QR_OK;
    }
    qr_zookeeper_request_begin(door->config.node, &call->request);
    if (call->request.watch != QR_ZOOKEEPER_WATCH_NONE) {
        qr__zk_watches_add(&door->watches, &connection->watcher, call->request.watch_path,
                           kinds_of(call->request.watch));
        qr__zk_bell_start(door);
    }
    finish(call);
    return QR_OK;
}

static bool is_write(const qr__zk_call *call)
{
    return is_alone(call) || (qr_zookeeper_request_takes(call->request.type) &&
                              qr_zookeeper_request_writes(call->request.type));
}

static bool may_begin(const qr__zk_call *call)
{
    const qr__zk_connection *connection = call->connection;
    if (connection->state != QR__ZK_ATTACHED || connection->reads_flying || connection->recalled)
        return false;
    if (is_alone(call) && connection->writes_flying)
        return false;
    bool follows = connection->writes_flying == 0 || QR_BUG(call->request.bug, READ_OVERTAKES);
    return is_write(call) || (follows && connection->out.size < QR__ZK_UNSENT_MAX);
}

void qr__zk_line_pump(qr__zk_connection *connection)
{
    if (connection->pumping)
        return;
    connection->pumping = true;
    emit_done(connection);
    while (connection->waiting && may_begin(connection->waiting)) {
        qr__zk_call *call = connection->waiting;
        qr_status status = is_write(call) ? begin_write(call) : begin_read(call);
        if (status == QR_E_BUSY) {
            connection->retry_ms = connection->door->now_ms + QR__ZK_RETRY_MS;
            break;
        }
        if (status != QR_OK) {
            qr__zk_end(connection);
            break;
        }
        call->begun = true;
        connection->waiting = call->next;
        emit_done(connection);
    }
    connection->pumping = false;
    qr__zk_wake(connection);
}

qr_status qr__zk_line_add(qr__zk_connection *connection, qr_slice packet)
{
    qr_reader reader = qr_reader_of(packet);
    qr_jute_request_header header;
    if (connection->queued >= QR__ZK_QUEUED_MAX ||
        connection->queued_bytes + packet.size > QR__ZK_QUEUED_BYTES_MAX)
        return QR_E_TOO_LARGE;
    qr__zk_call *call = qr_alloc_zero(1, sizeof *call);
    qr_arena_init(&call->arena);
    if (qr_jute_decode(&qr_jute_record_request_header, &reader, &call->arena, &header) != QR_OK) {
        qr_arena_free(&call->arena);
        qr_free(call);
        return QR_E_INVALID;
    }
    call->connection = connection;
    call->xid = header.xid;
    call->arrived_ms = connection->now_ms;
    call->request = (qr_zookeeper_request){
        .arena = &call->arena,
        .type = header.type,
        .body = qr_arena_copy(&call->arena, qr_slice_of(reader.at, qr_reader_left(&reader))),
        .asker = &connection->asker,
        .root = qr_buffer_slice(&connection->door->root),
        .ttl_nodes = connection->door->config.ttl_nodes,
        .quotas = connection->door->quotas,
        .bug = connection->door->config.bug};
    *connection->last = call;
    connection->last = &call->next;
    if (!connection->waiting)
        connection->waiting = call;
    connection->queued++;
    connection->queued_bytes += call->request.body.size;
    connection->door->outstanding++;
    return QR_OK;
}

void qr__zk_line_free(qr__zk_connection *connection)
{
    while (connection->first) {
        qr__zk_call *call = connection->first;
        connection->first = call->next;
        drop(call);
    }
}
