/* What a connection answers by itself: pings, who it is, what it watches. */
#include "door/zookeeper/door.h"

enum { ANY = 3 };

static void answer(qr__zk_call *call, int32_t err)
{
    qr__zk_line_finish(call, err, qr__zk_revision(call->connection->door));
}

/* ---- auth ---- */

static bool add_id(qr__zk_connection *connection, qr_slice scheme, qr_slice id)
{
    qr_zookeeper_asker *asker = &connection->asker;
    for (size_t i = 0; i < asker->id_count; i++)
        if (qr_slice_equal(connection->ids[i].scheme, scheme) && qr_slice_equal(connection->ids[i].id, id))
            return true;
    if (asker->id_count == QR__ZK_IDS_MAX)
        return false;
    connection->ids[asker->id_count++] =
        (qr_zookeeper_id){qr_arena_copy(&connection->arena, scheme), qr_arena_copy(&connection->arena, id)};
    return true;
}

static bool authenticate(qr__zk_call *call)
{
    qr__zk_connection *connection = call->connection;
    qr_reader reader = qr_reader_of(call->request.body);
    qr_jute_auth auth;
    if (qr_jute_decode(&qr_jute_record_auth, &reader, &call->arena, &auth) != QR_OK)
        return false;
    if (qr_slice_equal(auth.scheme, qr_slice_text("ip")))
        return true; /* is there already */
    qr_slice id;
    if (!qr_slice_equal(auth.scheme, qr_slice_text("digest")) ||
        qr_zookeeper_digest(auth.auth, &call->arena, &id) != QR_OK)
        return false;
    qr_slice super = qr_buffer_slice(&connection->door->super_digest);
    if (super.size && qr_slice_equal(super, id))
        connection->asker.is_super = true;
    return add_id(connection, auth.scheme, id);
}

static void on_auth(qr__zk_call *call)
{
    bool passed = authenticate(call);
    call->request.closes = !passed;
    qr__zk_line_finish(call, passed ? QR_ZOOKEEPER_OK : QR_ZOOKEEPER_AUTH_FAILED, 0);
}

/* ---- watches ---- */

static void on_add_watch(qr__zk_call *call, const qr_jute_path_type *asked)
{
    static const uint8_t zero[4];
    qr__zk_connection *connection = call->connection;
    if (asked->type != 0 && asked->type != 1) {
        answer(call, QR_ZOOKEEPER_MARSHALLING);
        return;
    }
    uint32_t kind = asked->type == 0 ? QR__ZK_PERSISTENT : QR__ZK_RECURSIVE;
    if (QR_BUG(connection->door->config.bug, WATCH_LASTS_NOT))
        kind = QR__ZK_DATA;
    qr__zk_watches_add(&connection->door->watches, &connection->watcher, asked->path, kind);
    qr__zk_bell_start(connection->door);
    call->request.reply = qr_slice_of(zero, sizeof zero);
    answer(call, QR_ZOOKEEPER_OK);
}

/* Which of the tables a number means; 0: none. Asked for "any" the lasting ones count too. */
static uint32_t kinds_named(int32_t type)
{
    switch (type) {
    case 1: return QR__ZK_CHILD;
    case 2: return QR__ZK_DATA | QR__ZK_EXIST;
    case ANY: return QR__ZK_CHILD | QR__ZK_DATA | QR__ZK_EXIST | QR__ZK_LASTING;
    default: return 0;
    }
}

static void on_check_or_remove(qr__zk_call *call, const qr_jute_path_type *asked)
{
    qr__zk_connection *connection = call->connection;
    qr__zk_watches *table = &connection->door->watches;
    uint32_t kinds = kinds_named(asked->type);
    if (!kinds) {
        answer(call, QR_ZOOKEEPER_MARSHALLING);
        return;
    }
    uint32_t there = qr__zk_watches_kinds(table, &connection->watcher, asked->path) & kinds;
    if (call->request.type == QR_JUTE_OP_REMOVE_WATCHES)
        qr__zk_watches_remove(table, &connection->watcher, asked->path, kinds);
    answer(call, there ? QR_ZOOKEEPER_OK : QR_ZOOKEEPER_NO_WATCHER);
}

static void set_list(qr__zk_connection *connection, const qr_jute_vector *paths, uint32_t kinds,
                     uint64_t seen)
{
    const qr_jute_name *names = paths->items;
    for (int32_t i = 0; i < paths->count; i++) {
        if (!names[i].text.data)
            continue;
        bool judged = !(kinds & QR__ZK_LASTING) && !QR_BUG(connection->door->config.bug, WATCH_NOT_JUDGED);
        uint32_t kept = judged ? qr__zk_judge(connection, names[i].text, kinds, seen) : kinds;
        if (kept)
            qr__zk_watches_add(&connection->door->watches, &connection->watcher, names[i].text, kept);
    }
}

static void on_set_watches(qr__zk_call *call)
{
    qr__zk_connection *connection = call->connection;
    qr_reader reader = qr_reader_of(call->request.body);
    qr_jute_set_watches2 lists = {0};
    qr_jute_set_watches older = {0};
    bool two = call->request.type == QR_JUTE_OP_SET_WATCHES2;
    if (qr_jute_decode(two ? &qr_jute_record_set_watches2 : &qr_jute_record_set_watches, &reader,
                       &call->arena, two ? (void *)&lists : (void *)&older) != QR_OK) {
        answer(call, QR_ZOOKEEPER_MARSHALLING);
        return;
    }
    if (!two)
        lists = (qr_jute_set_watches2){.relative_zxid = older.relative_zxid,
                                       .data = older.data,
                                       .exist = older.exist,
                                       .child = older.child};
    uint64_t seen = (uint64_t)lists.relative_zxid;
    set_list(connection, &lists.data, QR__ZK_DATA, seen);
    set_list(connection, &lists.exist, QR__ZK_EXIST, seen);
    set_list(connection, &lists.child, QR__ZK_CHILD, seen);
    set_list(connection, &lists.persistent, QR__ZK_PERSISTENT, seen);
    set_list(connection, &lists.recursive, QR__ZK_RECURSIVE, seen);
    qr__zk_bell_start(connection->door);
    answer(call, QR_ZOOKEEPER_OK);
}

static void on_path_type(qr__zk_call *call)
{
    qr_reader reader = qr_reader_of(call->request.body);
    qr_jute_path_type asked;
    if (qr_jute_decode(&qr_jute_record_path_type, &reader, &call->arena, &asked) != QR_OK || !asked.path.data)
        answer(call, QR_ZOOKEEPER_MARSHALLING);
    else if (call->request.type == QR_JUTE_OP_ADD_WATCH)
        on_add_watch(call, &asked);
    else
        on_check_or_remove(call, &asked);
}

void qr__zk_own(qr__zk_call *call)
{
    switch (call->request.type) {
    case QR_JUTE_OP_PING: answer(call, QR_ZOOKEEPER_OK); break;
    case QR_JUTE_OP_AUTH: on_auth(call); break;
    case QR_JUTE_OP_SET_WATCHES:
    case QR_JUTE_OP_SET_WATCHES2: on_set_watches(call); break;
    case QR_JUTE_OP_CHECK_WATCHES:
    case QR_JUTE_OP_REMOVE_WATCHES:
    case QR_JUTE_OP_ADD_WATCH: on_path_type(call); break;
    default: /* sasl is not offered */ call->request.closes = true; answer(call, QR_ZOOKEEPER_AUTH_FAILED);
    }
}
