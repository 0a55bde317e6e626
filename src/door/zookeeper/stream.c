#include "door/zookeeper/door.h"

void qr__zk_wake(qr__zk_connection *connection)
{
    if (!connection->closed)
        connection->waker.wake(connection->waker.self);
}

void qr__zk_end(qr__zk_connection *connection)
{
    connection->state = QR__ZK_ENDING;
    qr__zk_watches_leave(&connection->door->watches, &connection->watcher);
    qr__zk_wake(connection);
}

static void release(qr__zk_connection *connection)
{
    if (!connection->closed || connection->flights)
        return;
    qr__zk_line_free(connection);
    qr_jute_splitter_free(&connection->splitter);
    qr_buffer_free(&connection->out);
    qr_buffer_free(&connection->record);
    qr_buffer_free(&connection->key);
    qr_arena_free(&connection->arena);
    qr_free(connection);
}

void qr__zk_landed(qr__zk_connection *connection)
{
    QR_ASSERT(connection->flights > 0);
    connection->flights--;
    release(connection);
}

static qr_slice host_of(const char *peer)
{
    const char *colon = strrchr(peer, ':');
    qr_slice host = qr_slice_of(peer, colon ? (size_t)(colon - peer) : strlen(peer));
    if (host.size >= 2 && host.data[0] == '[')
        host = qr_slice_of(host.data + 1, host.size - 2);
    return host;
}

static bool has_room(const qr_zookeeper_door *door, qr_slice host)
{
    size_t of_host = 0;
    if (door->connection_count >= door->config.connections_max)
        return false;
    if (door->config.connections_of_host_max == 0)
        return true;
    for (const qr__zk_connection *other = door->connections; other; other = other->next)
        of_host += qr_slice_equal(other->ids[0].id, host);
    return of_host < door->config.connections_of_host_max;
}

static void *stream_open(void *self, const char *peer, qr_stream_waker waker, uint64_t now_ms)
{
    qr_zookeeper_door *door = self;
    if (!has_room(door, host_of(peer))) {
        door->counts.rejected++;
        return NULL;
    }
    qr__zk_connection *connection = qr_alloc_zero(1, sizeof *connection);
    connection->door = door;
    connection->waker = waker;
    connection->now_ms = door->now_ms = now_ms;
    connection->opened_ms = door->config.wall_ms ? door->config.wall_ms(door->config.context) : 0;
    connection->last_xid = -1;
    connection->last_zxid = -1;
    connection->deadline_ms = now_ms + door->config.session_max_ms;
    connection->retry_ms = UINT64_MAX;
    connection->last = &connection->first;
    qr_arena_init(&connection->arena);
    qr_buffer_init(&connection->out);
    qr_buffer_init(&connection->record);
    qr_buffer_init(&connection->key);
    connection->peer = qr_arena_text(&connection->arena, qr_slice_text(peer));
    connection->ids[0] = (qr_zookeeper_id){qr_slice_text("ip"), host_of(connection->peer)};
    connection->asker = (qr_zookeeper_asker){.ids = connection->ids, .id_count = 1};
    connection->next = door->connections;
    if (connection->next)
        connection->next->previous = connection;
    door->connections = connection;
    door->connection_count++;
    return connection;
}

static void count_packet(qr__zk_connection *connection, size_t size)
{
    connection->received++;
    connection->door->counts.received++;
    connection->door->counts.received_bytes += size;
}

static qr_status stream_feed(void *stream, qr_slice bytes, uint64_t now_ms)
{
    qr__zk_connection *connection = stream;
    connection->now_ms = connection->door->now_ms = now_ms;
    while (connection->state != QR__ZK_ENDING) {
        if (connection->state == QR__ZK_MASKING) {
            qr__zk_take_mask(connection, &bytes);
            break;
        }
        qr_slice packet;
        qr_jute_split split = qr_jute_splitter_next(&connection->splitter, &bytes,
                                                    connection->door->config.packet_max, &packet);
        if (split == QR_JUTE_SPLIT_NOTHING)
            break;
        if (split == QR_JUTE_SPLIT_INVALID) {
            qr__zk_end(connection);
            return QR_E_INVALID;
        }
        if (split == QR_JUTE_SPLIT_WORD) {
            qr__zk_answer_word(connection, packet, &bytes);
            break;
        }
        count_packet(connection, packet.size);
        if (connection->state == QR__ZK_GREETING) {
            qr__zk_session_begin(connection, packet);
            continue;
        }
        qr_status status = qr__zk_line_add(connection, packet);
        if (status != QR_OK) {
            qr__zk_end(connection);
            return status;
        }
        qr__zk_session_renew(connection);
        qr__zk_line_pump(connection);
    }
    return QR_OK;
}

static void stream_drain(void *stream, qr_buffer *out, size_t size_max)
{
    qr__zk_connection *connection = stream;
    size_t size = connection->out.size < size_max ? connection->out.size : size_max;
    qr_buffer_add_slice(out, qr_slice_of(connection->out.data, size));
    qr_buffer_drop(&connection->out, size);
    if (size && connection->waiting)
        qr__zk_line_pump(connection);
}

static uint64_t stream_wake_ms(void *stream)
{
    const qr__zk_connection *connection = stream;
    uint64_t wake_ms = connection->state == QR__ZK_ATTACHED ? connection->renewed_ms + connection->timeout_ms
                       : connection->state == QR__ZK_ENDING ? UINT64_MAX
                                                            : connection->deadline_ms;
    return connection->retry_ms < wake_ms ? connection->retry_ms : wake_ms;
}

static void stream_tick(void *stream, uint64_t now_ms)
{
    qr__zk_connection *connection = stream;
    connection->now_ms = connection->door->now_ms = now_ms;
    if (now_ms >= connection->retry_ms) {
        connection->retry_ms = UINT64_MAX;
        qr__zk_line_pump(connection);
    }
    /* A session that was not renewed for so long has ended, or this member does not hear the others: the
     * client is to ask elsewhere. */
    if (connection->state == QR__ZK_ATTACHED
            ? now_ms >= connection->renewed_ms + connection->timeout_ms
            : connection->state != QR__ZK_ENDING && now_ms >= connection->deadline_ms)
        qr__zk_end(connection);
}

static int stream_finished(void *stream)
{
    const qr__zk_connection *connection = stream;
    return connection->state == QR__ZK_ENDING;
}

static void stream_close(void *stream)
{
    qr__zk_connection *connection = stream;
    qr_zookeeper_door *door = connection->door;
    qr__zk_watches_leave(&door->watches, &connection->watcher);
    if (connection->next)
        connection->next->previous = connection->previous;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        door->connections = connection->next;
    door->connection_count--;
    connection->state = QR__ZK_ENDING;
    connection->closed = true;
    release(connection);
}

const qr_stream_ops qr__zk_stream_ops = {.name = "zookeeper",
                                         .open = stream_open,
                                         .feed = stream_feed,
                                         .drain = stream_drain,
                                         .wake_ms = stream_wake_ms,
                                         .tick = stream_tick,
                                         .finished = stream_finished,
                                         .close = stream_close};
