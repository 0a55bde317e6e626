/* A session is a lease with a record (doc/formats/session.md); it lives on whatever becomes of the
 * connection.
 *
 *   new:    GRANT -------------------------------------------> attached
 *   resume: READ the record, judge the password --> WRITE the record anew, if it is still the one
 *           read --> RENEW ------------------------------------> attached
 *
 * The record's version counts who took the session over; each write of a session checks it, so a connection
 * that was left behind, on whatever member, can write no more. */
#include "door/zookeeper/door.h"

enum { RECORD_SIZE = QR__ZK_PASSWORD + 4, LIVES_OF_RENEWAL = 6 };

static void draw(qr_zookeeper_door *door, uint8_t *bytes, size_t size)
{
    if (door->config.random) {
        door->config.random(door->config.context, bytes, size);
        return;
    }
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)qr_prng_next(&door->prng);
}

static void reply_to_connect(qr__zk_connection *connection, bool attached)
{
    static const uint8_t nothing[QR__ZK_PASSWORD];
    qr_jute_connect_reply reply = {
        .timeout = attached ? (int32_t)connection->timeout_ms : 0,
        .session_id = attached ? connection->session : 0,
        .password = qr_slice_of(attached ? connection->password : nothing, QR__ZK_PASSWORD),
        .read_only = connection->has_tail ? connection->read_only : QR_JUTE_ABSENT};
    size_t begin = qr_jute_packet_begin(&connection->out);
    qr_jute_encode(&qr_jute_record_connect_reply, &reply, &connection->out);
    qr_jute_packet_end(&connection->out, begin);
    qr__zk_count_answer(connection, connection->out.size - begin - sizeof(uint32_t));
    qr__zk_wake(connection);
}

void qr__zk_session_refuse(qr__zk_connection *connection)
{
    reply_to_connect(connection, false);
    qr__zk_end(connection);
}

/* A client has one connection: the one it left is closed. */
static void end_twin(const qr__zk_connection *connection)
{
    for (qr__zk_connection *other = connection->door->connections; other; other = other->next)
        if (other != connection && other->state == QR__ZK_ATTACHED && other->session == connection->session)
            qr__zk_end(other);
}

void qr__zk_session_attach(qr__zk_connection *connection)
{
    connection->state = QR__ZK_ATTACHED;
    connection->asker.session = connection->session;
    connection->asker.session_record = qr_buffer_slice(&connection->record);
    connection->last_type = QR__ZK_BEGIN_SESSION;
    connection->last_zxid = (int64_t)qr__zk_revision(connection->door);
    reply_to_connect(connection, true);
    qr__zk_line_pump(connection);
}

static void submit(qr__zk_connection *connection, qr_request_kind kind, qr_slice body,
                   void (*done)(void *owner, const qr_reply *reply))
{
    qr_request request = {.kind = kind,
                          .body = body,
                          .query = &connection->query,
                          .lease = connection->session,
                          .done = done,
                          .owner = connection};
    if (qr_node_submit(connection->door->config.node, &request) == QR_OK)
        connection->flights++;
    else if (kind != QR_REQUEST_LEASE_RENEW || connection->state != QR__ZK_ATTACHED)
        qr__zk_end(connection);
    else
        connection->renewing = false;
}

/* ---- a new one ---- */

static void grant(qr__zk_connection *connection);

static void on_granted(void *owner, const qr_reply *reply)
{
    qr__zk_connection *connection = owner;
    if (!connection->closed && connection->state == QR__ZK_ATTACHING) {
        if (reply->status == QR_E_LEASE_EXISTS) {
            grant(connection);
        } else if (reply->status == QR_OK) {
            connection->asker.session_states = 1;
            connection->renewed_ms = connection->renewal_ms;
            qr__zk_session_attach(connection);
        } else {
            qr__zk_end(connection);
        }
    }
    qr__zk_landed(connection);
}

void qr__zk_session_draw(qr__zk_connection *connection)
{
    uint64_t id;
    draw(connection->door, (uint8_t *)&id, sizeof id);
    draw(connection->door, connection->password, QR__ZK_PASSWORD);
    id = (id & ((UINT64_C(1) << 56) - 1)) | (uint64_t)(connection->door->config.server & 0x7f) << 56;
    connection->session = (int64_t)(id ? id : 1);
}

static void grant(qr__zk_connection *connection)
{
    qr__zk_session_draw(connection);
    connection->record.size = 0;
    qr_buffer_add_slice(&connection->record, qr_slice_of(connection->password, QR__ZK_PASSWORD));
    qr_buffer_u32(&connection->record, connection->timeout_ms);
    qr_body body = {.kind = QR_BODY_LEASE_GRANT,
                    .lease = connection->session,
                    .ttl_ms = connection->timeout_ms,
                    .session = qr_buffer_slice(&connection->record)};
    qr_buffer command;
    qr_buffer_init(&command);
    qr_body_encode(&body, &command);
    connection->renewal_ms = connection->now_ms;
    submit(connection, QR_REQUEST_WRITE, qr_buffer_slice(&command), on_granted);
    qr_buffer_free(&command);
}

/* ---- one that goes on ---- */

static void key_of(qr__zk_connection *connection)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)connection->session >> (56 - 8 * i));
    connection->key.size = 0;
    qr_buffer_add_slice(&connection->key, qr_slice_of(bytes, sizeof bytes));
}

static void on_renewed(void *owner, const qr_reply *reply)
{
    qr__zk_connection *connection = owner;
    connection->renewing = false;
    if (!connection->closed && connection->state != QR__ZK_ENDING) {
        if (reply->status == QR_OK) /* counted from when it was asked for: never longer than was promised */
            connection->renewed_ms = connection->renewal_ms;
        if (connection->state == QR__ZK_ATTACHING && reply->status == QR_OK)
            qr__zk_session_attach(connection);
        else if (connection->state == QR__ZK_ATTACHING && reply->status == QR_E_LEASE_NOT_FOUND)
            qr__zk_session_refuse(connection);
        else if (connection->state == QR__ZK_ATTACHING || reply->status == QR_E_LEASE_NOT_FOUND)
            qr__zk_end(connection);
    }
    qr__zk_landed(connection);
}

static void renew(qr__zk_connection *connection)
{
    connection->renewing = true;
    connection->renewal_ms = connection->now_ms;
    submit(connection, QR_REQUEST_LEASE_RENEW, qr_slice_of(NULL, 0), on_renewed);
}

void qr__zk_session_renew(qr__zk_connection *connection)
{
    if (connection->read_only)
        connection->renewed_ms = connection->now_ms; /* there is nobody else to tell */
    else if (connection->state == QR__ZK_ATTACHED && !connection->renewing &&
             !QR_BUG(connection->door->config.bug, PACKETS_RENEW_NOT) &&
             connection->now_ms >= connection->renewal_ms + connection->timeout_ms / LIVES_OF_RENEWAL)
        renew(connection);
}

static void on_taken_over(void *owner, const qr_reply *reply)
{
    qr__zk_connection *connection = owner;
    if (!connection->closed && connection->state == QR__ZK_ATTACHING) {
        if (reply->status == QR_OK) {
            connection->asker.session_states++;
            end_twin(connection);
            renew(connection);
        } else { /* another connection was faster, or nobody knows: the client comes again */
            qr__zk_end(connection);
        }
    }
    qr__zk_landed(connection);
}

/* The record anew, if it is the one that is known here. */
static void encode_takeover(qr__zk_connection *connection, qr_buffer *command)
{
    qr_slice key = qr_buffer_slice(&connection->key);
    qr_op ops[] = {
        {.kind = QR_OP_CHECK,
         .check = {.space = QR_SPACE_SESSIONS,
                   .tests = QR_CHECK_PRESENT | QR_CHECK_STATES,
                   .key = key,
                   .states = connection->asker.session_states}},
        {.kind = QR_OP_PUT,
         .put = {.space = QR_SPACE_SESSIONS, .key = key, .value = qr_buffer_slice(&connection->record)}}};
    qr_txn txn = {.then_ops = ops, .then_count = 2};
    qr_body_encode_txn(&txn, command);
}

static void take_over(qr__zk_connection *connection)
{
    qr_buffer command;
    qr_buffer_init(&command);
    encode_takeover(connection, &command);
    submit(connection, QR_REQUEST_WRITE, qr_buffer_slice(&command), on_taken_over);
    qr_buffer_free(&command);
}

static bool same_password(const uint8_t *a, const uint8_t *b)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < QR__ZK_PASSWORD; i++)
        differs |= a[i] ^ b[i];
    return differs == 0;
}

bool qr__zk_session_matches(qr__zk_connection *connection, qr_slice record)
{
    if (record.size < RECORD_SIZE || (!same_password(record.data, connection->password) &&
                                      !QR_BUG(connection->door->config.bug, ANY_PASSWORD)))
        return false;
    qr_reader reader = qr_reader_of(record);
    qr_reader_take(&reader, QR__ZK_PASSWORD);
    connection->timeout_ms = qr_reader_u32(&reader);
    return true;
}

static void on_record(void *owner, const qr_reply *reply)
{
    qr__zk_connection *connection = owner;
    if (!connection->closed && connection->state == QR__ZK_ATTACHING) {
        const qr_txn_result *result = reply->status == QR_OK ? reply->result : NULL;
        const qr_key_value *kv = result && result->ops[0].kv_count ? &result->ops[0].kvs[0] : NULL;
        if (!result) {
            qr__zk_end(connection);
        } else if (!kv && QR_BUG(connection->door->config.bug, EXPIRED_RESUMED)) {
            qr__zk_session_attach(connection);
        } else if (!kv || !qr__zk_session_matches(connection, kv->value)) {
            qr__zk_session_refuse(connection);
        } else {
            connection->asker.session_states = kv->version;
            connection->record.size = 0;
            qr_buffer_add_slice(&connection->record, kv->value);
            take_over(connection);
        }
    }
    qr__zk_landed(connection);
}

static void resume(qr__zk_connection *connection)
{
    key_of(connection);
    connection->query_op = (qr_op){.kind = QR_OP_RANGE,
                                   .range = {.span = {.kind = QR_SPAN_KEY,
                                                      .space = QR_SPACE_SESSIONS,
                                                      .key = qr_buffer_slice(&connection->key)}}};
    connection->query =
        (qr_query){.kind = QR_QUERY_TXN, .txn = {.then_ops = &connection->query_op, .then_count = 1}};
    submit(connection, QR_REQUEST_READ, qr_slice_of(NULL, 0), on_record);
}

void qr__zk_session_begin(qr__zk_connection *connection, qr_slice packet)
{
    const qr_zookeeper_config *config = &connection->door->config;
    qr_reader reader = qr_reader_of(packet);
    qr_jute_connect_request request;
    bool read_only = qr__zk_read_only(connection->door, connection->now_ms);
    if (qr_jute_decode(&qr_jute_record_connect_request, &reader, &connection->arena, &request) != QR_OK ||
        (uint64_t)request.last_zxid_seen > qr__zk_revision(connection->door) ||
        qr_node_level(config->node) < QR__ZK_LEVEL) {
        qr__zk_end(connection);
        return;
    }
    uint32_t asked = request.timeout > 0 ? (uint32_t)request.timeout : 0;
    connection->timeout_ms = asked < config->session_min_ms   ? config->session_min_ms
                             : asked > config->session_max_ms ? config->session_max_ms
                                                              : asked;
    connection->has_tail = request.read_only != QR_JUTE_ABSENT;
    connection->door->counts.connects++;
    connection->state = QR__ZK_ATTACHING;
    connection->session = request.session_id;
    if (request.password.size == QR__ZK_PASSWORD)
        memcpy(connection->password, request.password.data, QR__ZK_PASSWORD);
    if (request.session_id != 0 && request.password.size != QR__ZK_PASSWORD)
        qr__zk_session_refuse(connection);
    else if (read_only)
        qr__zk_read_only_begin(connection, &request);
    else if (request.session_id == 0)
        grant(connection);
    else
        resume(connection);
}

/* ---- the end ----
 *
 * The lease is revoked, with all that hangs on it. So that a connection that was left behind cannot do that,
 * the record is written first, if it is still this connection's, with a password that nobody has: from then
 * on nobody can take the session over. */

static void on_revoked(void *owner, const qr_reply *reply)
{
    qr__zk_call *call = owner;
    qr__zk_connection *connection = call->connection;
    if (!connection->closed) {
        connection->writes_flying--;
        bool over = reply->status == QR_OK || reply->status == QR_E_LEASE_NOT_FOUND;
        call->request.closes = true;
        qr__zk_line_finish(call, over ? QR_ZOOKEEPER_OK : QR_ZOOKEEPER_CONNECTION_LOSS,
                           qr__zk_revision(connection->door));
        qr__zk_line_pump(connection);
    }
    qr__zk_landed(connection);
}

static qr_status revoke(qr__zk_call *call)
{
    qr_body body = {.kind = QR_BODY_LEASE_REVOKE, .lease = call->connection->session};
    qr_buffer command;
    qr_buffer_init(&command);
    qr_body_encode(&body, &command);
    call->request.command = qr_buffer_slice(&command);
    qr_status status = qr__zk_line_submit(call, QR_REQUEST_WRITE, on_revoked);
    qr_buffer_free(&command);
    return status;
}

static void on_locked(void *owner, const qr_reply *reply)
{
    qr__zk_call *call = owner;
    qr__zk_connection *connection = call->connection;
    bool locked = reply->status == QR_OK && !QR_BUG(call->request.bug, CLOSE_LEAVES);
    if (!connection->closed && (!locked || revoke(call) != QR_OK)) {
        connection->writes_flying--;
        call->request.closes = true;
        qr__zk_line_finish(call,
                           reply->status == QR_E_VERSION_MISMATCH ? QR_ZOOKEEPER_SESSION_MOVED
                           : reply->status == QR_E_KEY_NOT_FOUND  ? QR_ZOOKEEPER_OK /* it has ended already */
                           : QR_BUG(call->request.bug, CLOSE_LEAVES) ? QR_ZOOKEEPER_OK
                                                                     : QR_ZOOKEEPER_CONNECTION_LOSS,
                           qr__zk_revision(connection->door));
        qr__zk_line_pump(connection);
    }
    qr__zk_landed(connection);
}

qr_status qr__zk_session_close(qr__zk_call *call)
{
    qr__zk_connection *connection = call->connection;
    draw(connection->door, connection->record.data, QR__ZK_PASSWORD);
    key_of(connection);
    qr_buffer command;
    qr_buffer_init(&command);
    encode_takeover(connection, &command);
    call->request.command = qr_buffer_slice(&command);
    qr_status status = qr__zk_line_submit(call, QR_REQUEST_WRITE, on_locked);
    connection->writes_flying += status == QR_OK;
    qr_buffer_free(&command);
    return status;
}
