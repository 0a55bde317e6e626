/* Without a quorum, where that is wanted (readonlymode.enabled): clients that said that they can do with it
 * read what is applied here, and nobody writes. As there, all connections are closed when it begins, after a
 * while without a leader, and when it ends: clients come again, and learn which of the two it is. */
#include "door/zookeeper/door.h"

enum { WAIT_MS = 2000 }; /* without a leader, or a tick if that is more */

static void end_all(qr_zookeeper_door *door)
{
    for (qr__zk_connection *connection = door->connections; connection; connection = connection->next)
        if (connection->state != QR__ZK_GREETING && connection->state != QR__ZK_ENDING)
            qr__zk_end(connection);
}

/* A member that was restarted and has not found its old state again has nothing to show. */
static bool can_be_read(qr_zookeeper_door *door)
{
    qr_query query = {.kind = QR_QUERY_PATH, .path = qr_slice_text("/")};
    qr_arena arena;
    qr_arena_init(&arena);
    const void *found;
    qr_status status = qr_node_look(door->config.node, &query, &arena, &found);
    qr_arena_free(&arena);
    return status == QR_OK;
}

bool qr__zk_read_only(qr_zookeeper_door *door, uint64_t now_ms)
{
    const qr_zookeeper_config *config = &door->config;
    qr_node_status status;
    qr_node_status_of(config->node, &status);
    if (!config->read_only_mode || status.engine.leader != 0) {
        door->leaderless_ms = UINT64_MAX;
    } else if (door->leaderless_ms == UINT64_MAX) {
        door->leaderless_ms = now_ms;
    }
    uint64_t wait_ms = config->tick_ms > WAIT_MS ? config->tick_ms : WAIT_MS;
    bool is_long = door->leaderless_ms != UINT64_MAX && now_ms >= door->leaderless_ms + wait_ms;
    bool read_only = is_long && (door->read_only || can_be_read(door));
    if (read_only != door->read_only) {
        door->read_only = read_only;
        end_all(door);
    }
    return read_only;
}

/* The session goes on, unless its password is wrong; its record is left alone. One that nobody has is made of
 * nothing, and ends with the connection. */
static bool is_own(qr__zk_connection *connection, bool *known)
{
    qr_arena arena;
    qr_arena_init(&arena);
    uint8_t key[8];
    qr_store_u64(key, __builtin_bswap64((uint64_t)connection->session));
    qr_op op = {
        .kind = QR_OP_RANGE,
        .range.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_SESSIONS, .key = qr_slice_of(key, sizeof key)}};
    qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    const void *found;
    bool own = false;
    *known = qr_node_look(connection->door->config.node, &query, &arena, &found) == QR_OK;
    if (*known) {
        const qr_op_result *result = ((const qr_txn_result *)found)->ops;
        own = result->kv_count > 0 && qr__zk_session_matches(connection, result->kvs[0].value);
    }
    qr_arena_free(&arena);
    return own;
}

void qr__zk_read_only_begin(qr__zk_connection *connection, const qr_jute_connect_request *request)
{
    bool known = true;
    if (request->read_only != 1) { /* one that has to write asks elsewhere */
        qr__zk_end(connection);
        return;
    }
    connection->read_only = true;
    connection->renewed_ms = connection->now_ms;
    if (connection->session == 0) {
        connection->is_local = true;
        qr__zk_session_draw(connection);
        qr__zk_session_attach(connection);
    } else if (is_own(connection, &known)) {
        qr__zk_session_attach(connection);
    } else if (known) {
        qr__zk_session_refuse(connection);
    } else {
        qr__zk_end(connection);
    }
}

bool qr__zk_read_only_refuses(qr__zk_call *call)
{
    const qr__zk_connection *connection = call->connection;
    int32_t type = call->request.type;
    bool closes = type == QR_JUTE_OP_CLOSE_SESSION;
    if (!connection->read_only || (!closes && type != QR_JUTE_OP_SYNC && type != QR_JUTE_OP_RECONFIG &&
                                   !(qr_zookeeper_request_takes(type) && qr_zookeeper_request_writes(type))))
        return false;
    bool own = closes && connection->is_local;
    call->request.closes = own;
    qr__zk_line_finish(call, own ? QR_ZOOKEEPER_OK : QR_ZOOKEEPER_NOT_READ_ONLY,
                       qr__zk_revision(connection->door));
    return true;
}
