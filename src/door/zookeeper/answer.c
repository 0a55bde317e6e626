/* answer: what a write that was applied is answered with. The key is told by the transaction itself, where it
 * stood; the directory by a look behind it, less what later items of a multi did to it. */
#include "door/zookeeper/config.h"
#include "door/zookeeper/inside.h"

static const qr_path_result *look(qr__zk_plan *plan, qr_slice path)
{
    static const qr_path_result nothing;
    const qr_path_result *result = &nothing;
    qr_status status =
        qr__zk_look(plan->node, plan->request->root, plan->request->arena, path, NULL, &result);
    if (status != QR_OK)
        plan->failure = status;
    return result;
}

/* A result of the machine lives until the next query only. */
static void keep(qr__zk_plan *plan, qr__zk_item *item, const qr_txn_result *result)
{
    if (item->is_create) {
        qr_slice key = qr_arena_copy(plan->request->arena, result->ops[item->put].key);
        QR_CHECK(qr_zookeeper_path_of_key(plan->request->root, key, &item->name),
                 "it was made below the root");
    } else if (item->type == QR_JUTE_OP_SET_DATA) {
        QR_ASSERT(result->ops[item->seen].kv_count == 1);
        item->key = *result->ops[item->seen].kvs;
        item->key.key = item->path;
        item->key.value = plan->ops[item->put].put.value;
    }
}

/* A node that was just made, whatever became of it behind that. */
static void stat_of_new(qr__zk_plan *plan, const qr__zk_item *item, qr_jute_stat *stat)
{
    const qr_put *put = &plan->ops[item->put].put;
    const qr_path_result *now = look(plan, item->name);
    int64_t revision = (int64_t)plan->request->revision;
    int64_t made_ms = now->kv ? now->kv->created_ms : 0;
    *stat = (qr_jute_stat){.czxid = revision,
                           .mzxid = revision,
                           .ctime = made_ms,
                           .mtime = made_ms,
                           .ephemeral_owner = put->lease,
                           .data_length = (int32_t)put->value.size,
                           .pzxid = revision};
}

/* Children that items behind this one made or removed. */
static void take_back(const qr__zk_plan *plan, size_t index, qr_directory *directory)
{
    uint64_t made = 0, removed = 0;
    qr_slice path = plan->items[index].path;
    for (size_t i = index + 1; i < plan->count; i++) {
        const qr__zk_item *item = &plan->items[i];
        bool is_delete = item->type == QR_JUTE_OP_DELETE;
        if ((!is_delete && !item->is_create) || item->path.size < 2 ||
            !qr_slice_equal(qr_zookeeper_path_parent(item->path), path))
            continue;
        made += !is_delete;
        removed += is_delete;
    }
    uint64_t moved = made + removed, children = directory->children + removed;
    directory->changes -= directory->changes < moved ? directory->changes : moved;
    directory->children = children < made ? 0 : children - made;
}

static void stat_of_set(qr__zk_plan *plan, size_t index, qr_jute_stat *stat)
{
    const qr__zk_item *item = &plan->items[index];
    qr_path_result path = *look(plan, item->path);
    /* As long as the key lives the directory record knows best; else it is as it was judged. */
    if (path.kv != NULL && path.kv->create_revision == item->key.create_revision) {
        take_back(plan, index, &path.directory);
    } else {
        path.has_directory = item->has_directory;
        path.directory = item->directory;
    }
    path.kv = &item->key;
    qr_zookeeper_stat(&path, item->path.size == 1, stat);
}

static void answer_item(qr__zk_plan *plan, size_t index, qr_buffer *out)
{
    const qr__zk_item *item = &plan->items[index];
    const qr_jute_record *record = qr_jute_reply_of(item->type);
    qr_jute_path_stat made = {.path = item->name};
    qr_jute_stat_reply set;
    const void *value = &set;
    if (item->is_create) {
        if (record == &qr_jute_record_path_stat)
            stat_of_new(plan, item, &made.stat);
        value = &made; /* the path comes first, and is all of the shorter record */
    } else if (item->type == QR_JUTE_OP_SET_DATA) {
        stat_of_set(plan, index, &set.stat);
    } else if (item->type == QR_JUTE_OP_SET_ACL && qr__zk_is_config(item->path)) {
        if (qr__zk_config_view(plan->node, plan->request->arena, &set.stat, NULL) != QR_OK)
            plan->failure = QR_E_NOT_READY;
    } else if (item->type == QR_JUTE_OP_SET_ACL) {
        qr_zookeeper_stat(look(plan, item->path), item->path.size == 1, &set.stat);
    }
    /* Clients know no other types of answers with a Stat. */
    int32_t type = record == &qr_jute_record_path_stat ? QR_JUTE_OP_CREATE2 : item->type;
    if (plan->multi)
        qr_jute_multi_add(out, type, QR_ZOOKEEPER_OK, record, value);
    else
        qr_jute_encode(record, value, out);
}

void qr__zk_answer(qr__zk_plan *plan, const qr_txn_result *result)
{
    plan->request->revision = result->revision;
    for (size_t i = 0; i < plan->count; i++)
        keep(plan, &plan->items[i], result);
    qr_buffer out;
    qr_buffer_init(&out);
    for (size_t i = 0; i < plan->count; i++)
        answer_item(plan, i, &out);
    if (plan->multi)
        qr_jute_multi_end(&out);
    qr__zk_reply_bytes(plan->request, plan->request->revision, &out);
    if (plan->failure != QR_OK) /* it happened, but what is to be told of it is not known */
        qr__zk_refuse(plan->node, plan->request, QR_ZOOKEEPER_CONNECTION_LOSS);
}
