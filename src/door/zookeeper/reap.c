/* Containers and nodes with a time to live, which go by themselves: a container when its last child has gone,
 * the other ones when nobody has written them for their time and nothing is below them.
 *
 * The member that leads walks through the keys, a piece each time it is asked, and begins anew a while after
 * the end. What it finds it proposes to delete, on the condition that it is still as it was seen: so it does
 * no harm when two members think that they lead. */
#include "door/zookeeper/door.h"
#include "door/zookeeper/node.h"
#include "door/zookeeper/path.h"

enum {
    LOOK_MAX = 8192, /* keys looked at in one piece */
    REAP_MAX = 160,  /* removed of one piece: 10,000 a minute, as in ZooKeeper */
};

static void on_done(void *owner, const qr_reply *reply) {}

/* That it has no children is checked when it is applied. */
static void reap(qr_zookeeper_door *door, const qr_key_value *kv, bool container)
{
    qr_span span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = kv->key};
    qr_condition as_seen = {.span = span,
                            .target = container ? QR_TARGET_CREATE : QR_TARGET_MOD,
                            .relation = QR_IS_EQUAL,
                            .number = (int64_t)(container ? kv->create_revision : kv->mod_revision)};
    qr_op ops[] = {
        {.kind = QR_OP_CHECK, .check = {.space = QR_SPACE_KEYS, .tests = QR_CHECK_CHILDLESS, .key = kv->key}},
        {.kind = QR_OP_DELETE, .del = {.span = span}},
    };
    bool blind = QR_BUG(door->config.bug, REAP_BLIND);
    qr_txn txn = {.conditions = &as_seen,
                  .condition_count = !blind,
                  .then_ops = ops + blind,
                  .then_count = 2 - (size_t)blind};
    qr_buffer body;
    qr_buffer_init(&body);
    qr_body_encode_txn(&txn, &body);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_done};
    (void)qr_node_submit(door->config.node, &request); /* refused: the next walk finds it again */
    qr_buffer_free(&body);
}

static bool is_over(qr_zookeeper_door *door, const qr_key_value *kv, qr_arena *arena, bool *container)
{
    qr__zk_attribute attribute = qr__zk_attribute_of(kv);
    *container = attribute.container;
    bool late = attribute.ttl_ms > 0 && door->config.wall_ms &&
                door->config.wall_ms(door->config.context) > kv->modified_ms + (int64_t)attribute.ttl_ms;
    if (!attribute.container && !late)
        return false;
    qr_slice root = qr_buffer_slice(&door->root), name;
    const qr_path_result *path;
    if (!qr_zookeeper_path_of_key(root, kv->key, &name) ||
        qr__zk_look(door->config.node, root, arena, name, NULL, &path) != QR_OK ||
        path->directory.children > 0)
        return false;
    return late || path->directory.created > 0; /* a container waits for its first child */
}

/* Where to go on is behind the last key; empty: at the beginning, and the walk is over. */
static void walk_on(qr_zookeeper_door *door, const qr_op_result *found)
{
    qr_arena arena;
    qr_arena_init(&arena);
    size_t reaped = 0;
    for (size_t i = 0; i < found->kv_count; i++) {
        const qr_key_value *kv = &found->kvs[i];
        bool container, candidate = kv->attribute.size > 0 && qr_zookeeper_path_valid(kv->key);
        if (candidate && reaped < REAP_MAX && is_over(door, kv, &arena, &container)) {
            reap(door, kv, container);
            reaped++;
        }
    }
    qr_arena_free(&arena);
    qr_buffer_clear(&door->reap_from);
    if (!found->more)
        return;
    qr_buffer_add_slice(&door->reap_from, found->kvs[found->kv_count - 1].key);
    qr_buffer_u8(&door->reap_from, 0);
}

void qr__zk_reap(qr_zookeeper_door *door, uint64_t now_ms)
{
    qr_node_status status;
    qr_node_status_of(door->config.node, &status);
    if (status.engine.role != QR_LEADER || status.level < QR_LEVEL_PATHS) {
        qr_buffer_clear(&door->reap_from);
        return;
    }
    if (now_ms < door->reap_ms)
        return;
    qr_arena arena;
    qr_arena_init(&arena);
    const char *root = qr_arena_text(&arena, qr_buffer_slice(&door->root));
    qr_slice begin = qr_slice_text(qr_arena_format(&arena, "%s/", root));
    qr_slice end = qr_slice_text(qr_arena_format(&arena, "%s0", root)); /* behind all that begin so */
    qr_slice from = door->reap_from.size ? qr_buffer_slice(&door->reap_from) : begin;
    qr_op op = {.kind = QR_OP_RANGE,
                .range = {.span = {.kind = QR_SPAN_RANGE, .space = QR_SPACE_KEYS, .key = from, .end = end},
                          .limit = LOOK_MAX,
                          .keys_only = true}};
    qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    const void *found;
    if (qr_node_look(door->config.node, &query, &arena, &found) == QR_OK)
        walk_on(door, &((const qr_txn_result *)found)->ops[0]);
    qr_arena_free(&arena);
    if (door->reap_from.size == 0)
        door->reap_ms = now_ms + door->config.reap_ms;
}
