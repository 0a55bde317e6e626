#include "door/zookeeper/node.h"

#include "door/zookeeper/acl.h"
#include "door/zookeeper/path.h"

/* -------------------------------------------------------------------- figures ---- */

void qr_zookeeper_stat(const qr_path_result *path, bool root, qr_jute_stat *stat)
{
    const qr_key_value *kv = path->kv;
    const qr_directory *directory = &path->directory;
    *stat = (qr_jute_stat){
        .mzxid = (int64_t)(kv ? kv->mod_revision : directory->bare_revision),
        .mtime = kv ? kv->modified_ms : directory->bare_ms,
        .version = (int32_t)(directory->versions + (kv ? kv->version - 1 : 0)),
        .cversion = (int32_t)directory->changes - root,
        .aversion = qr__zk_acl_changes(path->acl),
        .ephemeral_owner = kv ? kv->lease : 0,
        .data_length = kv ? (int32_t)kv->value.size : 0,
        .num_children = (int32_t)directory->children + root,
    };
    if (root) { /* was always there */
        stat->czxid = 0;
    } else if (path->has_directory) {
        stat->czxid = (int64_t)directory->first_revision;
        stat->ctime = directory->first_ms;
    } else if (kv) {
        stat->czxid = (int64_t)kv->create_revision;
        stat->ctime = kv->created_ms;
    }
    int64_t last = (int64_t)directory->last_revision;
    stat->pzxid = last > stat->czxid ? last : stat->czxid;
}

/* ------------------------------------------------------------------ attribute ---- */

enum { NULL_DATA = 1, CONTAINER = 2, TTL = 4 };

qr_slice qr__zk_attribute_encode(const qr__zk_attribute *attribute, qr_arena *arena)
{
    uint8_t flags = (uint8_t)((attribute->null_data ? NULL_DATA : 0) |
                              (attribute->container ? CONTAINER : 0) | (attribute->ttl_ms ? TTL : 0));
    qr_buffer out;
    qr_buffer_init(&out);
    if (flags)
        qr_buffer_u8(&out, flags);
    if (attribute->ttl_ms)
        qr_buffer_varint(&out, attribute->ttl_ms);
    qr_slice bytes = qr_arena_copy(arena, qr_buffer_slice(&out));
    qr_buffer_free(&out);
    return bytes;
}

qr__zk_attribute qr__zk_attribute_of(const qr_key_value *kv)
{
    if (kv == NULL)
        return (qr__zk_attribute){.null_data = true};
    qr_reader reader = qr_reader_of(kv->attribute);
    uint8_t flags = qr_reader_left(&reader) ? qr_reader_u8(&reader) : 0;
    qr__zk_attribute attribute = {.container = flags & CONTAINER};
    /* A put through another door keeps the attribute, but what it put is no null. */
    attribute.null_data = (flags & NULL_DATA) && kv->value.size == 0;
    attribute.ttl_ms = flags & TTL ? qr_reader_varint(&reader) : 0;
    return attribute;
}

/* -------------------------------------------------------------------- made up ---- */

static bool is_at_or_below(qr_slice path, const char *top)
{
    size_t size = strlen(top);
    return qr_slice_starts(path, qr_slice_text(top)) && (path.size == size || path.data[size] == '/');
}

bool qr__zk_is_quotas(qr_slice path)
{
    return qr_slice_equal(path, qr_slice_text("/zookeeper/quota"));
}

bool qr__zk_is_made_up(qr_slice path)
{
    return is_at_or_below(path, "/zookeeper") &&
           (!is_at_or_below(path, "/zookeeper/quota") || qr__zk_is_quotas(path));
}

bool qr__zk_made_up(qr_slice path)
{
    return qr_slice_equal(path, qr_slice_text("/zookeeper")) ||
           qr_slice_equal(path, qr_slice_text("/zookeeper/config")) || qr__zk_is_quotas(path);
}

/* ----------------------------------------------------------------------- look ---- */

static size_t levels_of(qr_slice path)
{
    size_t levels = 0;
    for (size_t i = 0; i < path.size; i++)
        levels += path.data[i] == '/';
    return levels;
}

bool qr__zk_in_bounds(qr_slice root, qr_slice path)
{
    return root.size + path.size <= QR_PATH_MAX && levels_of(root) + levels_of(path) <= QR_PATH_LEVELS_MAX;
}

static qr_status look(qr_node *node, qr_slice root, qr_arena *arena, qr_slice path, const qr_query *wants,
                      const qr_path_result **result)
{
    static const qr_query nothing;
    qr_query query = wants ? *wants : nothing;
    query.kind = QR_QUERY_PATH;
    query.path = qr_zookeeper_path_key(root, path, arena);
    const void *found;
    qr_status status = qr_node_look(node, &query, arena, &found);
    if (status == QR_OK)
        *result = found;
    return status;
}

qr_status qr__zk_look_quotas(qr_node *node, qr_slice root, qr_arena *arena, const qr_query *wants,
                             const qr_path_result **result)
{
    return look(node, root, arena, qr_slice_text("/zookeeper/quota"), wants, result);
}

/* What is stored below /zookeeper is no child of the root's: the made-up one is. */
static qr_status hide_stored(qr_node *node, qr_slice root, qr_arena *arena, const qr_query *wants,
                             uint64_t *children, uint64_t *descendants)
{
    const qr_path_result *stored;
    qr_status status = look(node, root, arena, qr_slice_text("/zookeeper"), wants, &stored);
    if (status == QR_OK && stored->present) {
        *children = 1;
        *descendants = stored->descendants + 1;
    }
    return status;
}

qr_status qr__zk_look(qr_node *node, qr_slice root, qr_arena *arena, qr_slice path, const qr_query *wants,
                      const qr_path_result **result)
{
    bool can_be = qr_zookeeper_path_valid(path) && qr__zk_in_bounds(root, path) && !qr__zk_is_made_up(path);
    bool is_top = can_be && path.size == 1;
    uint64_t children = 0, descendants = 0;
    qr_status status = is_top ? hide_stored(node, root, arena, wants, &children, &descendants) : QR_OK;
    if (status == QR_OK)
        status = look(node, root, arena, can_be ? path : qr_slice_text("/"), wants, result);
    if (status != QR_OK || (can_be && children == 0))
        return status;
    qr_path_result *changed = qr_arena_zero(arena, 1, sizeof *changed);
    if (can_be)
        *changed = **result;
    changed->revision = (*result)->revision;
    changed->directory.children -= children;
    changed->descendants -= wants && wants->want_descendants ? descendants : 0;
    *result = changed;
    return QR_OK;
}
