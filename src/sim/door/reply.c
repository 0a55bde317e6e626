/* Answers, held against the model: a read against the state of the revision that it names, a write against
 * the revision that it made, a refusal against all states in which it may have been judged. */
#include <inttypes.h>

#include "sim/door/inside.h"

enum {
    SYSTEM_ERROR = -1,
    SESSION_EXPIRED = -112,
    SESSION_MOVED = -118,
    QUOTA_EXCEEDED = -125,
    NO_NODE = -101,
    NO_WATCHER = -121
};

void qr_simd_show(qr_simd *all, uint64_t revision)
{
    qr_sim_oracle *oracle = &all->world->oracle;
    if (revision > oracle->floor_revision)
        oracle->floor_revision = revision;
}

void qr_simd_explain(qr_simd *all, const qr_simd_op *op, uint64_t revision)
{
    qr_simd_row *row = qr_simd_row_of(&all->tree, revision);
    if (row == NULL || row->explained)
        qr_sim_fail(all->world, "applied-at-most-once",
                    "d%" PRIu64 " is answered with revision %" PRIu64 ", which %s", op->id, revision,
                    row ? "is somebody else's" : "changed no path");
    else
        row->explained = true;
    if (revision <= op->floor)
        qr_sim_fail(all->world, "linearizable-writes",
                    "d%" PRIu64 " made revision %" PRIu64 " but was asked for after %" PRIu64 " was seen",
                    op->id, revision, op->floor);
}

static bool same_stat(const qr_jute_stat *a, const qr_jute_stat *b, bool directory)
{
    return a->czxid == b->czxid && a->mzxid == b->mzxid && a->version == b->version &&
           a->ephemeral_owner == b->ephemeral_owner && a->data_length == b->data_length &&
           (!directory ||
            (a->cversion == b->cversion && a->num_children == b->num_children && a->pzxid == b->pzxid));
}

/* ------------------------------------------------------------------- writes ---- */

/* What an answer says of an item of a write: its body, behind the error. */
static bool read_item(int32_t type, const void *value, qr_simd_verdict *said)
{
    switch (type) {
    case QR_JUTE_OP_CREATE: said->name = ((const qr_jute_path *)value)->path; break;
    case QR_JUTE_OP_CREATE2:
    case QR_JUTE_OP_CREATE_CONTAINER:
    case QR_JUTE_OP_CREATE_TTL:
        said->name = ((const qr_jute_path_stat *)value)->path;
        said->stat = ((const qr_jute_path_stat *)value)->stat;
        break;
    case QR_JUTE_OP_SET_DATA: said->stat = ((const qr_jute_stat_reply *)value)->stat; break;
    case QR_JUTE_OP_ERROR: said->err = ((const qr_jute_number *)value)->number; break;
    default: break;
    }
    return true;
}

/* In a multi all creations with a Stat are answered as one. */
static int32_t answer_of(int32_t type)
{
    return qr_jute_reply_of(type) == &qr_jute_record_path_stat ? QR_JUTE_OP_CREATE2 : type;
}

static bool read_write(qr_simd *all, const qr_simd_op *op, int32_t err, qr_reader *reader,
                       qr_simd_verdict *said)
{
    qr_arena *arena = &all->world->arena;
    memset(said, 0, QR_SIMD_ITEMS_MAX * sizeof *said);
    if (op->type != QR_JUTE_OP_MULTI) {
        const qr_jute_record *record = qr_jute_reply_of(op->type);
        void *value = qr_arena_zero(arena, 1, qr_jute_record_size(record) + 1);
        said->err = err;
        return err != 0 ||
               (qr_jute_decode(record, reader, arena, value) == QR_OK && read_item(op->type, value, said));
    }
    for (size_t i = 0; i < op->count; i++) {
        qr_jute_multi_item item;
        if (qr_jute_multi_next(reader, arena, true, &item) != QR_OK || item.header.done ||
            (item.header.type != QR_JUTE_OP_ERROR && item.header.type != answer_of(op->items[i].type)) ||
            !read_item(item.header.type, item.value, &said[i]))
            return false;
    }
    qr_jute_multi_item end;
    return qr_jute_multi_next(reader, arena, true, &end) == QR_OK && end.header.done;
}

static bool same_verdict(const qr_simd_item *item, const qr_simd_verdict *said, const qr_simd_verdict *due)
{
    bool made = qr_simd_creates(item->type);
    if (said->err != due->err || (made && !qr_slice_equal(said->name, due->name)))
        return false;
    /* Of the directory a setData shows what it has become by the time of the answer. */
    bool shows = (made && item->type != QR_JUTE_OP_CREATE) || item->type == QR_JUTE_OP_SET_DATA;
    return !shows || same_stat(&said->stat, &due->stat, made);
}

/* Of a multi that fails the answer says no more than the errors. */
static bool same_verdicts(const qr_simd_op *op, const qr_simd_verdict *said, const qr_simd_verdict *due)
{
    bool same = true, done = due[op->count - 1].err == 0;
    for (size_t i = 0; same && i < op->count; i++)
        same = done ? same_verdict(&op->items[i], &said[i], &due[i]) : said[i].err == due[i].err;
    return same;
}

static void fail_write(qr_simd *all, const qr_simd_op *op, uint64_t revision, const qr_simd_verdict *said,
                       const qr_simd_verdict *due)
{
    size_t at = 0;
    while (at + 1 < op->count && same_verdict(&op->items[at], &said[at], &due[at]))
        at++;
    qr_sim_fail(all->world, "answer-follows-model",
                "z%u: d%" PRIu64 " at %" PRIu64 ": operation %zu is answered %d [%.*s %d %" PRId64
                "], the model %d [%.*s %d %" PRId64 "]",
                op->client->number + 1, op->id, revision, at + 1, said[at].err, (int)said[at].name.size,
                (const char *)said[at].name.data, said[at].stat.version, said[at].stat.czxid, due[at].err,
                (int)due[at].name.size, (const char *)due[at].name.data, due[at].stat.version,
                due[at].stat.czxid);
}

static bool writes(const qr_simd_op *op)
{
    for (size_t i = 0; i < op->count; i++)
        if (op->items[i].type != QR_JUTE_OP_CHECK)
            return true;
    return false;
}

static void judge_done(qr_simd *all, const qr_simd_op *op, uint64_t revision, const qr_simd_verdict *said)
{
    qr_simd_verdict due[QR_SIMD_ITEMS_MAX];
    const qr_simd_row *row = qr_simd_row_of(&all->tree, revision);
    bool done = qr_simd_try(all, op, revision - 1, due);
    if (!done || !same_verdicts(op, said, due))
        fail_write(all, op, revision, said, due);
    else if (row != NULL && !qr_simd_view_is(&all->view, row))
        qr_sim_fail(all->world, "state-follows-model",
                    "d%" PRIu64 " changed other paths at %" PRIu64 " than it asked for", op->id, revision);
    qr_simd_explain(all, op, revision);
    op->client->wrote = revision;
}

/* Nothing was done. It was judged at some state that came after everything that was known when it was sent,
 * and after its session's own writes. */
static void judge_undone(qr_simd *all, const qr_simd_op *op, uint64_t revision, const qr_simd_verdict *said)
{
    qr_simd_verdict due[QR_SIMD_ITEMS_MAX] = {{0}};
    uint64_t lowest = op->floor > op->client->wrote ? op->floor : op->client->wrote;
    for (uint64_t at = revision; at >= lowest && at > 0; at--) {
        qr_simd_try(all, op, at, due);
        if (same_verdicts(op, said, due))
            return;
    }
    qr_simd_try(all, op, revision, due);
    fail_write(all, op, revision, said, due);
}

static void judge_write(qr_simd *all, qr_simd_op *op, const qr_jute_reply_header *header, qr_reader *reader)
{
    qr_simd_verdict said[QR_SIMD_ITEMS_MAX];
    bool refused = header->err == QUOTA_EXCEEDED || header->err == SYSTEM_ERROR;
    if (refused && all->world->plan.alarms)
        return;
    if ((op->type == QR_JUTE_OP_MULTI && header->err != 0) ||
        !read_write(all, op, header->err, reader, said)) {
        qr_sim_fail(all->world, "answers-can-be-read", "the answer of d%" PRIu64 ", error %d", op->id,
                    header->err);
        return;
    }
    bool done = true;
    for (size_t i = 0; i < op->count; i++)
        done = done && said[i].err == 0;
    if (done && writes(op))
        judge_done(all, op, (uint64_t)header->zxid, said);
    else
        judge_undone(all, op, (uint64_t)header->zxid, said);
}

/* -------------------------------------------------------------------- reads ---- */

static bool are_children(const qr_simd *all, uint32_t path, const qr_jute_vector *names, uint64_t revision)
{
    const qr_simd_tree *tree = &all->tree;
    bool root = path == QR_SIMD_ROOT;
    uint64_t found = 0;
    for (uint32_t at = tree->paths[path].child; at != QR_SIMD_NOWHERE; at = tree->paths[at].sibling) {
        if (!qr_simd_at(tree, at, revision)->present)
            continue;
        qr_slice name = tree->paths[at].name;
        size_t skip = root ? 1 : tree->paths[path].name.size + 1;
        name = qr_slice_of(name.data + skip, name.size - skip);
        bool named = false;
        for (int32_t i = 0; i < names->count; i++)
            named = named || qr_slice_equal(((const qr_jute_name *)names->items)[i].text, name);
        if (!named)
            return false;
        found++;
    }
    return names->count >= 0 && found + root == (uint64_t)names->count;
}

static bool are_ephemerals(const qr_simd *all, const qr_simd_op *op, const qr_jute_vector *names,
                           uint64_t revision)
{
    uint64_t due = 0;
    for (uint32_t i = 0; i < all->tree.count; i++)
        due += qr_simd_at(&all->tree, i, revision)->owner == op->session &&
               qr_slice_starts(all->tree.paths[i].name, op->items[0].path);
    for (int32_t i = 0; i < names->count; i++) {
        uint32_t path =
            qr_simd_path_of((qr_simd_tree *)&all->tree, ((const qr_jute_name *)names->items)[i].text);
        if (qr_simd_at(&all->tree, path, revision)->owner != op->session)
            return false;
    }
    return names->count >= 0 && due == (uint64_t)names->count;
}

static bool is_state(const qr_simd *all, const qr_simd_op *op, uint32_t path, uint64_t revision,
                     const void *value)
{
    const qr_simd_state *state = qr_simd_at(&all->tree, path, revision);
    qr_jute_stat due;
    qr_simd_stat(path, state, &due);
    switch (op->type) {
    case QR_JUTE_OP_EXISTS: return same_stat(&((const qr_jute_stat_reply *)value)->stat, &due, true);
    case QR_JUTE_OP_GET_DATA: {
        const qr_jute_data_reply *reply = value;
        return same_stat(&reply->stat, &due, true) && qr_slice_equal(reply->data, state->data);
    }
    case QR_JUTE_OP_GET_CHILDREN:
        return are_children(all, path, &((const qr_jute_children *)value)->children, revision);
    case QR_JUTE_OP_GET_CHILDREN2: {
        const qr_jute_children_stat *reply = value;
        return same_stat(&reply->stat, &due, true) && are_children(all, path, &reply->children, revision);
    }
    default: return are_ephemerals(all, op, &((const qr_jute_children *)value)->children, revision);
    }
}

static void judge_read(qr_simd *all, const qr_simd_op *op, const qr_jute_reply_header *header,
                       qr_reader *reader)
{
    uint64_t revision = (uint64_t)header->zxid;
    uint32_t path = qr_simd_path_of(&all->tree, op->items[0].path);
    bool present = op->type == QR_JUTE_OP_GET_EPHEMERALS || qr_simd_at(&all->tree, path, revision)->present;
    const qr_jute_record *record = qr_jute_reply_of(op->type);
    void *value = qr_arena_zero(&all->world->arena, 1, qr_jute_record_size(record) + 1);
    bool right = header->err == (present ? 0 : NO_NODE);
    if (right && present)
        right = qr_jute_decode(record, reader, &all->world->arena, value) == QR_OK &&
                is_state(all, op, path, revision, value);
    if (all->linearizable && revision < op->floor)
        qr_sim_fail(all->world, "linearizable-reads",
                    "z%u: d%" PRIu64 " is answered at %" PRIu64 ", asked after %" PRIu64 " was seen",
                    op->client->number + 1, op->id, revision, op->floor);
    if (!right)
        qr_sim_fail(all->world, "read-follows-model",
                    "z%u: d%" PRIu64
                    " of type %d at %.*s is answered %d with what is not the state of %" PRIu64,
                    op->client->number + 1, op->id, op->type, (int)op->items[0].path.size,
                    (const char *)op->items[0].path.data, header->err, revision);
    all->world->report->reads_checked++;
}

static void judge_watches(qr_simd_client *client, const qr_simd_op *op, int32_t err)
{
    const qr_simd_item *item = &op->items[0];
    bool removes = op->type == QR_JUTE_OP_REMOVE_WATCHES;
    uint32_t there = qr_simd_watch_ask(client, item->path, item->flags, removes);
    if (err != (there ? 0 : NO_WATCHER))
        qr_sim_fail(client->all->world, "watches-are-known",
                    "z%u: d%" PRIu64 " is answered %d for its watches at %.*s, which are %x",
                    client->number + 1, op->id, err, (int)item->path.size, (const char *)item->path.data,
                    there);
}

/* A watch stands after an answer with success, and one for existence also without a node. */
static void note_watch(qr_simd_client *client, const qr_simd_op *op, const qr_jute_reply_header *header)
{
    if (!op->watch || op->type == QR_JUTE_OP_GET_EPHEMERALS)
        return;
    bool of_children = op->type == QR_JUTE_OP_GET_CHILDREN || op->type == QR_JUTE_OP_GET_CHILDREN2;
    uint32_t kind = of_children ? QR_SIMD_WATCH_CHILD : QR_SIMD_WATCH_DATA;
    if (header->err != 0 && op->type == QR_JUTE_OP_EXISTS)
        kind = QR_SIMD_WATCH_EXIST;
    else if (header->err != 0)
        return;
    qr_simd_watch_add(client, op->items[0].path, kind, (uint64_t)header->zxid);
}

/* ---------------------------------------------------------------------- all ---- */

/* Of the session itself; false: it is an answer like others. */
static bool is_of_session(qr_simd_client *client, const qr_simd_op *op, int32_t err)
{
    qr_simd *all = client->all;
    const qr_simd_lease *lease = qr_simd_lease_of(all, op->session);
    if (err == SESSION_EXPIRED || (op->type == QR_JUTE_OP_CLOSE_SESSION && err == 0)) {
        if (lease->ended_us == 0)
            qr_sim_fail(all->world, "gone-is-gone",
                        "z%u was told that its session has ended, and it has not: d%" PRIu64,
                        client->number + 1, op->id);
        if (client->wire->closing)
            qr_simd_client_forget(client);
        return true;
    }
    if (err == SESSION_MOVED && !client->may_be_moved)
        qr_sim_fail(all->world, "moved-by-its-client", "z%u was told that its session went on elsewhere",
                    client->number + 1);
    return err == SESSION_MOVED || op->type == QR_JUTE_OP_CLOSE_SESSION;
}

static void judge(qr_simd_client *client, qr_simd_op *op, const qr_jute_reply_header *header,
                  qr_reader *reader)
{
    qr_simd *all = client->all;
    switch (op->type) {
    case QR_JUTE_OP_PING: break;
    case QR_JUTE_OP_SYNC:
        if ((uint64_t)header->zxid < op->floor)
            qr_sim_fail(all->world, "sync-sees-what-was-seen",
                        "z%u: d%" PRIu64 " is answered at %" PRId64 ", asked after %" PRIu64 " was seen",
                        client->number + 1, op->id, header->zxid, op->floor);
        break;
    case QR_JUTE_OP_SET_WATCHES2: qr_simd_watch_was_set(client, (uint64_t)header->zxid); break;
    case QR_JUTE_OP_ADD_WATCH:
        qr_simd_watch_add(client, op->items[0].path,
                          op->items[0].flags ? QR_SIMD_WATCH_RECURSIVE : QR_SIMD_WATCH_PERSISTENT,
                          (uint64_t)header->zxid);
        break;
    case QR_JUTE_OP_CHECK_WATCHES:
    case QR_JUTE_OP_REMOVE_WATCHES: judge_watches(client, op, header->err); break;
    case QR_JUTE_OP_CREATE:
    case QR_JUTE_OP_CREATE2:
    case QR_JUTE_OP_CREATE_CONTAINER:
    case QR_JUTE_OP_CREATE_TTL:
    case QR_JUTE_OP_DELETE:
    case QR_JUTE_OP_SET_DATA:
    case QR_JUTE_OP_MULTI: judge_write(all, op, header, reader); break;
    default: judge_read(all, op, header, reader); note_watch(client, op, header);
    }
}

void qr_simd_told(qr_simd_client *client, qr_simd_op *op, const qr_jute_reply_header *header,
                  qr_reader *reader)
{
    qr_simd *all = client->all;
    qr_sim_world *world = all->world;
    uint64_t revision = (uint64_t)header->zxid;
    qr_sim_story(world, "z%u is answered d%" PRIu64 " xid %d: %d at %" PRIu64, client->number + 1, op->id,
                 op->xid, header->err, revision);
    world->report->door_answers++;
    op->outcome = header->err == 0 ? QR_SIMD_DONE : QR_SIMD_REFUSED;
    if (is_of_session(client, op, header->err))
        return;
    if (revision < client->zxid || revision > world->oracle.model.revision)
        qr_sim_fail(world, "zxids-go-forward",
                    "z%u: d%" PRIu64 " is answered at %" PRIu64 "; it has seen %" PRIu64
                    ", committed is %" PRIu64,
                    client->number + 1, op->id, revision, client->zxid, world->oracle.model.revision);
    if (qr_sim_failed(world))
        return;
    qr_simd_watch_reply(client, revision);
    judge(client, op, header, reader);
    client->zxid = revision;
    qr_simd_show(all, revision);
}
