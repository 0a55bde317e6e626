/* What clients ask for: a few paths, so that they get into each other's way, and numbered ones below them. */
#include <inttypes.h>

#include "sim/door/inside.h"

enum { WANDER = 3, VALUE_MAX = 60, TTL_MS_MAX = 3000 };

static const qr_jute_acl open_acl[] = {
    {.perms = 31, .scheme = {(const uint8_t *)"world", 5}, .id = {(const uint8_t *)"anyone", 6}}};

static uint64_t below(qr_simd *all, uint64_t bound)
{
    return qr_simd_below(all, bound);
}

/* -------------------------------------------------------------------- paths ---- */

static uint32_t some_child(qr_simd *all, uint32_t path)
{
    const qr_simd_tree *tree = &all->tree;
    uint64_t count = qr_simd_now(tree, path)->children;
    uint64_t skip = count > 0 ? below(all, count) : 0;
    uint32_t at = tree->paths[path].child;
    while (at != QR_SIMD_NOWHERE && (!qr_simd_now(tree, at)->present || skip-- > 0))
        at = tree->paths[at].sibling;
    return at;
}

/* One that is there now, found by walking down from the root; or one that may be. */
qr_slice qr_simd_draft_path(qr_simd *all)
{
    static const char *const names[] = {"/a",   "/b",   "/c",     "/a/x",   "/a/y",   "/b/x",
                                        "/b/y", "/c/x", "/a/x/p", "/a/x/q", "/b/x/p", "/c/x/p"};
    if (below(all, 2))
        return qr_slice_text(names[below(all, sizeof names / sizeof names[0])]);
    uint32_t path = some_child(all, QR_SIMD_ROOT), next = path;
    while (next != QR_SIMD_NOWHERE && below(all, WANDER) > 0) {
        path = next;
        next = some_child(all, path);
    }
    return path == QR_SIMD_NOWHERE ? qr_slice_text("/a") : all->tree.paths[path].name;
}

static int32_t some_version(qr_simd *all, qr_slice path)
{
    uint64_t draw = below(all, 10);
    if (draw < 5)
        return -1;
    if (draw < 8)
        return (int32_t)qr_simd_now(&all->tree, qr_simd_path_of(&all->tree, path))->version;
    return (int32_t)below(all, 4);
}

static qr_slice unique_data(qr_simd *all, const qr_simd_op *op, size_t item)
{
    uint64_t more = below(all, VALUE_MAX);
    char *text = qr_arena_format(&all->world->arena, "d%" PRIu64 ".%zu%*s", op->id, item, (int)more, "");
    return qr_slice_text(text);
}

/* -------------------------------------------------------------------- items ---- */

static void draft_create(qr_simd *all, qr_simd_op *op, qr_simd_item *item)
{
    item->flags = item->type == QR_JUTE_OP_CREATE_CONTAINER ? 4
                  : item->type == QR_JUTE_OP_CREATE_TTL     ? 5 + (int32_t)below(all, 2)
                                                            : (int32_t)below(all, 4);
    item->path = qr_simd_draft_path(all);
    item->data = unique_data(all, op, (size_t)(item - op->items));
    if (item->flags == 2 || item->flags == 3 || item->flags == 6)
        item->path = qr_slice_text(qr_arena_format(&all->world->arena, "%.*s/n-", (int)item->path.size,
                                                   (const char *)item->path.data));
}

static void draft_item(qr_simd *all, qr_simd_op *op, int32_t type)
{
    qr_simd_item *item = &op->items[op->count++];
    item->type = type;
    if (qr_simd_creates(type)) {
        draft_create(all, op, item);
        return;
    }
    item->path = qr_simd_draft_path(all);
    bool versioned = type == QR_JUTE_OP_DELETE || type == QR_JUTE_OP_SET_DATA || type == QR_JUTE_OP_CHECK;
    item->version = versioned ? some_version(all, item->path) : 0;
    if (type == QR_JUTE_OP_SET_DATA)
        item->data = unique_data(all, op, (size_t)(item - op->items));
}

static int32_t some_write(qr_simd *all)
{
    static const int32_t types[] = {
        QR_JUTE_OP_CREATE,   QR_JUTE_OP_CREATE,   QR_JUTE_OP_CREATE, QR_JUTE_OP_CREATE,
        QR_JUTE_OP_CREATE2,  QR_JUTE_OP_CREATE2,  QR_JUTE_OP_DELETE, QR_JUTE_OP_DELETE,
        QR_JUTE_OP_SET_DATA, QR_JUTE_OP_SET_DATA, QR_JUTE_OP_DELETE, QR_JUTE_OP_SET_DATA,
        QR_JUTE_OP_SET_DATA, QR_JUTE_OP_CREATE2,  QR_JUTE_OP_CREATE, QR_JUTE_OP_CREATE_CONTAINER};
    return below(all, 40) ? types[below(all, 16)] : QR_JUTE_OP_CREATE_TTL;
}

static int32_t some_read(qr_simd *all)
{
    static const int32_t types[] = {QR_JUTE_OP_EXISTS,       QR_JUTE_OP_EXISTS,
                                    QR_JUTE_OP_GET_DATA,     QR_JUTE_OP_GET_DATA,
                                    QR_JUTE_OP_GET_CHILDREN, QR_JUTE_OP_GET_CHILDREN2,
                                    QR_JUTE_OP_GET_CHILDREN, QR_JUTE_OP_GET_EPHEMERALS};
    return types[below(all, 8)];
}

static void draft_multi(qr_simd *all, qr_simd_op *op)
{
    uint64_t count = 1 + below(all, QR_SIMD_ITEMS_MAX);
    for (uint64_t i = 0; i < count; i++)
        draft_item(all, op, below(all, 4) ? some_write(all) : QR_JUTE_OP_CHECK);
}

static int32_t some_type(qr_simd *all)
{
    uint64_t draw = below(all, 100);
    if (draw < 45)
        return some_write(all);
    if (draw < 55)
        return QR_JUTE_OP_MULTI;
    if (draw < 58)
        return QR_JUTE_OP_SYNC;
    if (draw < 61 && all->watch_percent > 0)
        return QR_JUTE_OP_ADD_WATCH;
    if (draw < 63 && all->watch_percent > 0)
        return below(all, 2) ? QR_JUTE_OP_REMOVE_WATCHES : QR_JUTE_OP_CHECK_WATCHES;
    return some_read(all);
}

void qr_simd_draft(qr_simd_client *client)
{
    qr_simd *all = client->all;
    uint64_t count = below(all, 4) ? 1 : 2 + below(all, 3);
    for (uint64_t i = 0; i < count && client->under_way < QR_SIMD_PIPELINE_MAX; i++) {
        int32_t type = some_type(all);
        if (type == QR_JUTE_OP_ADD_WATCH && !qr_simd_watch_room(client))
            type = QR_JUTE_OP_SYNC;
        qr_simd_op *op = qr_simd_op_new(all, client, type);
        if (op->type == QR_JUTE_OP_MULTI)
            draft_multi(all, op);
        else
            draft_item(all, op, op->type);
        op->watch = below(all, 100) < all->watch_percent && qr_simd_watch_room(client);
        if (op->type == QR_JUTE_OP_ADD_WATCH)
            op->items[0].flags = (int32_t)below(all, 2);
        if (op->type == QR_JUTE_OP_REMOVE_WATCHES || op->type == QR_JUTE_OP_CHECK_WATCHES)
            op->items[0].flags = 1 + (int32_t)below(all, 3);
        if (op->type == QR_JUTE_OP_GET_CHILDREN2 && below(all, 8) == 0)
            op->items[0].path = qr_slice_text("/");
        qr_simd_send(client, op);
    }
}

/* -------------------------------------------------------------------- bytes ---- */

/* A request's record, or an item of a multi's. */
static const void *record_of(const qr_simd_op *op, const qr_simd_item *item, qr_arena *arena)
{
    void *record = qr_arena_zero(arena, 1, qr_jute_record_size(qr_jute_request_of(item->type)) + 1);
    switch (item->type) {
    case QR_JUTE_OP_CREATE:
    case QR_JUTE_OP_CREATE2:
    case QR_JUTE_OP_CREATE_CONTAINER:
        *(qr_jute_create *)record = (qr_jute_create){
            .path = item->path, .data = item->data, .acl = {open_acl, 1}, .flags = item->flags};
        break;
    case QR_JUTE_OP_CREATE_TTL:
        *(qr_jute_create_ttl *)record = (qr_jute_create_ttl){.path = item->path,
                                                             .data = item->data,
                                                             .acl = {open_acl, 1},
                                                             .flags = item->flags,
                                                             .ttl = 1 + (int64_t)(op->id % TTL_MS_MAX)};
        break;
    case QR_JUTE_OP_SET_DATA:
        *(qr_jute_set_data *)record = (qr_jute_set_data){item->path, item->data, item->version};
        break;
    case QR_JUTE_OP_DELETE:
    case QR_JUTE_OP_CHECK:
        *(qr_jute_path_version *)record = (qr_jute_path_version){item->path, item->version};
        break;
    case QR_JUTE_OP_CHECK_WATCHES:
    case QR_JUTE_OP_REMOVE_WATCHES:
    case QR_JUTE_OP_ADD_WATCH:
        *(qr_jute_path_type *)record = (qr_jute_path_type){item->path, item->flags};
        break;
    case QR_JUTE_OP_SYNC:
    case QR_JUTE_OP_GET_EPHEMERALS: *(qr_jute_path *)record = (qr_jute_path){item->path}; break;
    default: *(qr_jute_path_watch *)record = (qr_jute_path_watch){item->path, op->watch};
    }
    return record;
}

static void encode(const qr_simd_op *op, qr_arena *arena, qr_buffer *out)
{
    qr_jute_request_header header = {.xid = op->xid, .type = op->type};
    size_t begin = qr_jute_packet_begin(out);
    qr_jute_encode(&qr_jute_record_request_header, &header, out);
    bool multi = op->type == QR_JUTE_OP_MULTI;
    for (size_t i = 0; i < op->count; i++) {
        const qr_simd_item *item = &op->items[i];
        const qr_jute_record *record = qr_jute_request_of(item->type);
        if (multi)
            qr_jute_multi_add(out, item->type, -1, record, record_of(op, item, arena));
        else
            qr_jute_encode(record, record_of(op, item, arena), out);
    }
    if (multi)
        qr_jute_multi_end(out);
    qr_jute_packet_end(out, begin);
}

/* ------------------------------------------------------------------ sending ---- */

qr_simd_op *qr_simd_op_new(qr_simd *all, qr_simd_client *client, int32_t type)
{
    qr_simd_op *op = qr_arena_zero(&all->world->arena, 1, sizeof *op);
    *op =
        (qr_simd_op){.all = all, .id = ++all->op_count, .client = client, .type = type, .bound = UINT64_MAX};
    return op;
}

static void tell(const qr_simd_op *op)
{
    qr_sim_world *world = op->client->all->world;
    if (world->config->story == NULL)
        return;
    qr_buffer text;
    qr_buffer_init(&text);
    for (size_t i = 0; i < op->count; i++)
        qr_buffer_format(&text, " [%d %.*s v%d f%d]", op->items[i].type, (int)op->items[i].path.size,
                         (const char *)op->items[i].path.data, op->items[i].version, op->items[i].flags);
    qr_sim_story(world, "z%u asks d%" PRIu64 " xid %d type %d%s by connection %u:%.*s",
                 op->client->number + 1, op->id, op->xid, op->type, op->watch ? " with a watch" : "",
                 op->wire->number, (int)text.size, (const char *)text.data);
    qr_buffer_free(&text);
}

void qr_simd_send(qr_simd_client *client, qr_simd_op *op)
{
    qr_simd *all = client->all;
    op->xid = op->type == QR_JUTE_OP_PING ? -2 : op->type == QR_JUTE_OP_SET_WATCHES2 ? -8 : ++client->xid;
    op->wire = client->wire;
    op->session = client->session;
    op->floor = all->world->oracle.floor_revision;
    *client->last = op;
    client->last = &op->next;
    client->under_way++;
    client->sent_us = all->world->now_us;
    all->world->door_requests++;
    tell(op);
    qr_buffer out;
    qr_buffer_init(&out);
    if (op->type == QR_JUTE_OP_SET_WATCHES2)
        qr_simd_watch_encode(client, op, &out);
    else
        encode(op, &all->world->arena, &out);
    qr_simd_wire_send(client->wire, qr_buffer_slice(&out));
    qr_buffer_free(&out);
}

void qr_simd_lose(qr_simd *all, qr_simd_op *op)
{
    op->outcome = QR_SIMD_LOST;
    op->next = NULL;
    if (all->lost_count == all->lost_room) {
        all->lost_room = all->lost_room ? all->lost_room * 2 : 64;
        all->lost = qr_realloc(all->lost, all->lost_room * sizeof *all->lost);
    }
    all->lost[all->lost_count++] = op;
}
