/* read: operations that are answered at once from what is applied here. */
#include "door/zookeeper/config.h"
#include "door/zookeeper/inside.h"

/* Everything about the path of a read; made-up nodes too. */
typedef struct node_view {
    const qr_path_result *path;
    bool present;
    qr_jute_vector children; /* of qr_jute_name, if asked for */
    int32_t descendants;     /* the same */
    qr_jute_vector acl;
    qr_jute_stat stat;
    qr_slice data; /* of a made-up node */
} node_view;

/* Names of real children, without the key of that name that another door may have made, and the made-up one.
 */
static qr_jute_vector names_of(const qr_path_result *path, bool root, qr_arena *arena)
{
    qr_slice top = qr_slice_text("zookeeper");
    qr_jute_name *names = qr_arena_zero(arena, path->child_count + 1, sizeof *names);
    int32_t count = 0;
    for (size_t i = 0; i < path->child_count; i++)
        if (!root || !qr_slice_equal(path->children[i], top))
            names[count++].text = path->children[i];
    if (root)
        names[count++].text = top;
    return (qr_jute_vector){.items = names, .count = count};
}

static qr_status view_config(qr_node *node, qr_arena *arena, node_view *view)
{
    uint64_t version;
    qr_status status = qr__zk_config_rights(node, arena, &view->acl, &version);
    return status == QR_OK ? qr__zk_config_view(node, arena, &view->stat, &view->data) : status;
}

/* What is below "/zookeeper/quota" is stored. */
static qr_status view_quotas(qr_node *node, const qr_zookeeper_request *request, const qr_query *wants,
                             node_view *view)
{
    const qr_path_result *stored;
    qr_status status = qr__zk_look_quotas(node, request->root, request->arena, wants, &stored);
    if (status != QR_OK)
        return status;
    view->children = names_of(stored, false, request->arena);
    view->descendants = (int32_t)stored->descendants;
    view->stat.cversion = (int32_t)stored->directory.changes;
    view->stat.num_children = (int32_t)stored->directory.children;
    view->stat.pzxid = (int64_t)stored->directory.last_revision;
    return QR_OK;
}

static qr_status view_made_up(qr_node *node, const qr_zookeeper_request *request, qr_slice path,
                              const qr_query *wants, node_view *view)
{
    qr_arena *arena = request->arena;
    static const qr_jute_name below[] = {{.text = {(const uint8_t *)"config", 6}},
                                         {.text = {(const uint8_t *)"quota", 5}}};
    qr_jute_acl *term = qr_arena_zero(arena, 1, sizeof *term);
    *term = (qr_jute_acl){
        .perms = QR_ZOOKEEPER_ALL, .scheme = qr_slice_text("world"), .id = qr_slice_text("anyone")};
    view->present = qr__zk_made_up(path);
    view->acl = (qr_jute_vector){.items = term, .count = 1};
    view->data = qr_jute_empty;
    if (!view->present)
        return QR_OK;
    if (qr__zk_is_config(path))
        return view_config(node, arena, view);
    qr_status status = view_quotas(node, request, wants, view);
    if (status == QR_OK && !qr__zk_is_quotas(path)) {
        view->children = (qr_jute_vector){.items = below, .count = 2};
        view->descendants += view->children.count;
        view->stat = (qr_jute_stat){.num_children = view->children.count};
    }
    return status;
}

/* "/zookeeper" and all below it, beside what is stored. */
static qr_status count_made_up(qr_node *node, qr_slice root, qr_arena *arena, const qr_query *wants,
                               node_view *view)
{
    uint64_t revision = view->path->revision;
    const qr_path_result *stored;
    qr_status status = qr__zk_look_quotas(node, root, arena, wants, &stored);
    if (status != QR_OK)
        return status;
    view->descendants += 3 + (int32_t)stored->descendants;
    qr_path_result *kept = qr_arena_zero(arena, 1, sizeof *kept);
    kept->revision = revision;
    view->path = kept;
    return QR_OK;
}

/* The node is what clients made it; its data is what there is now. */
static qr_status view_stats(qr_zookeeper_quotas *quotas, qr_slice of, qr_arena *arena, node_view *view)
{
    qr_path_result *kept = qr_arena_zero(arena, 1, sizeof *kept); /* the machine's ends with the next look */
    *kept = *view->path;
    view->path = kept;
    qr_zookeeper_usage usage;
    qr_status status = qr_zookeeper_usage_of(quotas, of, &usage);
    if (status == QR_OK)
        view->data = qr_slice_text(
            qr_arena_format(arena, "count=%lld,bytes=%lld", (long long)usage.count, (long long)usage.bytes));
    view->stat.data_length = (int32_t)view->data.size;
    return status;
}

static qr_status view_of(qr_node *node, qr_zookeeper_request *request, qr_slice path, qr_query wants,
                         node_view *view)
{
    qr_arena *arena = request->arena;
    *view = (node_view){.present = false};
    if (path.size == 0)
        path = qr_slice_text("/");
    qr_status status = qr__zk_look(node, request->root, arena, path, &wants, &view->path);
    if (status != QR_OK)
        return status;
    if (qr__zk_is_made_up(path))
        return view_made_up(node, request, path, &wants, view);
    bool root = qr_zookeeper_path_is_root(path);
    view->present = view->path->present || root;
    view->descendants = (int32_t)view->path->descendants;
    view->acl = qr__zk_acl_of(view->path->acl, arena);
    if (view->present)
        qr_zookeeper_stat(view->path, root, &view->stat);
    if (wants.want_children)
        view->children = names_of(view->path, root, arena);
    if (root && wants.want_descendants)
        return count_made_up(node, request->root, arena, &wants, view);
    qr_slice of;
    if (view->path->kv && request->quotas && qr_zookeeper_quota_is_stats(path, &of))
        return view_stats(request->quotas, of, arena, view);
    return QR_OK;
}

static qr_slice data_of(const node_view *view)
{
    const qr_key_value *kv = view->path->kv;
    if (view->data.data != NULL)
        return view->data;
    bool is_null = view->path->present && qr__zk_attribute_of(kv).null_data && view->stat.czxid > 0;
    if (is_null)
        return qr_slice_of(NULL, 0);
    return kv && kv->value.size ? kv->value : qr_jute_empty;
}

static uint32_t rights_for(int32_t type)
{
    switch (type) {
    case QR_JUTE_OP_EXISTS: return 0;
    case QR_JUTE_OP_GET_ACL: return QR_ZOOKEEPER_READ | QR_ZOOKEEPER_ADMIN;
    default: return QR_ZOOKEEPER_READ;
    }
}

static qr_slice path_of(int32_t type, const void *value)
{
    bool is_bare = type == QR_JUTE_OP_GET_ACL || type == QR_JUTE_OP_GET_ALL_CHILDREN_NUMBER;
    return is_bare ? ((const qr_jute_path *)value)->path : ((const qr_jute_path_watch *)value)->path;
}

/* Judges one read of a path, and sees it. */
static int32_t see(qr_node *node, qr_zookeeper_request *request, int32_t type, const void *value,
                   node_view *view)
{
    qr_slice path = path_of(type, value);
    if (path.data == NULL)
        return QR_ZOOKEEPER_MARSHALLING;
    if (path.size && memchr(path.data, 0, path.size))
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    qr_query wants = {.want_children = type == QR_JUTE_OP_GET_CHILDREN || type == QR_JUTE_OP_GET_CHILDREN2,
                      .want_descendants = type == QR_JUTE_OP_GET_ALL_CHILDREN_NUMBER};
    if (view_of(node, request, path, wants, view) != QR_OK)
        return QR_ZOOKEEPER_CONNECTION_LOSS;
    if (!view->present)
        return QR_ZOOKEEPER_NO_NODE;
    uint32_t rights = rights_for(type);
    if (rights && !qr__zk_acl_allows(&view->acl, request->asker, rights))
        return QR_ZOOKEEPER_NO_AUTH;
    return QR_ZOOKEEPER_OK;
}

/* The reply's record, of the arena. */
static const void *tell(qr_zookeeper_request *request, int32_t type, const node_view *view)
{
    qr_arena *arena = request->arena;
    void *reply = qr_arena_zero(arena, 1, qr_jute_record_size(qr_jute_reply_of(type)));
    switch (type) {
    case QR_JUTE_OP_EXISTS: *(qr_jute_stat_reply *)reply = (qr_jute_stat_reply){.stat = view->stat}; break;
    case QR_JUTE_OP_GET_DATA:
        *(qr_jute_data_reply *)reply = (qr_jute_data_reply){.data = data_of(view), .stat = view->stat};
        break;
    case QR_JUTE_OP_GET_ACL: {
        bool whole = qr__zk_acl_allows(&view->acl, request->asker, QR_ZOOKEEPER_ADMIN);
        *(qr_jute_acl_reply *)reply = (qr_jute_acl_reply){
            .acl = whole ? view->acl : qr__zk_acl_hidden(&view->acl, arena), .stat = view->stat};
        break;
    }
    case QR_JUTE_OP_GET_CHILDREN: *(qr_jute_children *)reply = (qr_jute_children){view->children}; break;
    case QR_JUTE_OP_GET_CHILDREN2:
        *(qr_jute_children_stat *)reply = (qr_jute_children_stat){view->children, view->stat};
        break;
    default: *(qr_jute_number *)reply = (qr_jute_number){view->descendants};
    }
    return reply;
}

/* A watch stands after an answer with success, and one for existence also after "no node". */
static void watch(qr_zookeeper_request *request, const void *value, int32_t err)
{
    bool has_flag =
        request->type != QR_JUTE_OP_GET_ACL && request->type != QR_JUTE_OP_GET_ALL_CHILDREN_NUMBER;
    const qr_jute_path_watch *asked = value;
    if (!has_flag || !asked->watch)
        return;
    request->watch_path = asked->path;
    bool of_children = request->type == QR_JUTE_OP_GET_CHILDREN || request->type == QR_JUTE_OP_GET_CHILDREN2;
    if (err == QR_ZOOKEEPER_OK)
        request->watch = of_children ? QR_ZOOKEEPER_WATCH_CHILD : QR_ZOOKEEPER_WATCH_DATA;
    else if (err == QR_ZOOKEEPER_NO_NODE && request->type == QR_JUTE_OP_EXISTS)
        request->watch = QR_ZOOKEEPER_WATCH_EXIST;
}

/* ------------------------------------------------- those that name no one node ---- */

static void who_am_i(qr_node *node, qr_zookeeper_request *request)
{
    const qr_zookeeper_asker *asker = request->asker;
    qr_jute_user *users = qr_arena_zero(request->arena, asker->id_count + 1, sizeof *users);
    for (size_t i = 0; i < asker->id_count; i++)
        users[i] = (qr_jute_user){.scheme = asker->ids[i].scheme,
                                  .user = qr__zk_user(asker->ids[i].scheme, asker->ids[i].id)};
    qr__zk_refuse(node, request, QR_ZOOKEEPER_OK);
    if (request->err != QR_ZOOKEEPER_OK)
        return;
    qr_jute_users reply = {.users = {.items = users, .count = (int32_t)asker->id_count}};
    qr__zk_reply(request, request->revision, &qr_jute_record_users, &reply);
}

static void ephemerals(qr_node *node, qr_zookeeper_request *request, const qr_jute_path *asked)
{
    qr_query query = {.kind = QR_QUERY_LEASE, .lease = request->asker->session, .want_keys = true};
    const void *found;
    if (asked->path.data == NULL || qr_node_look(node, &query, request->arena, &found) != QR_OK) {
        qr__zk_refuse(node, request,
                      asked->path.data ? QR_ZOOKEEPER_CONNECTION_LOSS : QR_ZOOKEEPER_MARSHALLING);
        return;
    }
    const qr_leases_result *lease = found;
    qr_jute_name *names = qr_arena_zero(request->arena, lease->key_count + 1, sizeof *names);
    int32_t count = 0;
    for (size_t i = 0; i < lease->key_count; i++) {
        qr_slice path;
        if (qr_zookeeper_path_of_key(request->root, lease->keys[i], &path) && qr_zookeeper_path_valid(path) &&
            qr_slice_starts(path, asked->path))
            names[count++].text = path;
    }
    qr_jute_children reply = {.children = {.items = names, .count = count}};
    qr__zk_reply(request, lease->revision, &qr_jute_record_children, &reply);
}

void qr__zk_read(qr_node *node, qr_zookeeper_request *request)
{
    const qr_jute_record *record = qr_jute_request_of(request->type);
    void *value = qr_arena_zero(request->arena, 1, qr_jute_record_size(record) + 1);
    qr_reader reader = qr_reader_of(request->body);
    if (qr_jute_decode(record, &reader, request->arena, value) != QR_OK) {
        qr__zk_refuse(node, request, QR_ZOOKEEPER_MARSHALLING);
        return;
    }
    if (request->type == QR_JUTE_OP_WHO_AM_I) {
        who_am_i(node, request);
        return;
    }
    if (request->type == QR_JUTE_OP_GET_EPHEMERALS) {
        ephemerals(node, request, value);
        return;
    }
    node_view view;
    int32_t err = see(node, request, request->type, value, &view);
    watch(request, value, err);
    if (err == QR_ZOOKEEPER_OK)
        qr__zk_reply(request, view.path->revision, qr_jute_reply_of(request->type),
                     tell(request, request->type, &view));
    else
        qr__zk_refuse(node, request, err);
}

static bool read_item(qr_node *node, qr_zookeeper_request *request, const qr_jute_multi_item *item,
                      qr_buffer *out)
{
    node_view view;
    qr_jute_number err = {.number = see(node, request, item->header.type, item->value, &view)};
    if (err.number == QR_ZOOKEEPER_OK)
        qr_jute_multi_add(out, item->header.type, QR_ZOOKEEPER_OK, qr_jute_reply_of(item->header.type),
                          tell(request, item->header.type, &view));
    else
        qr_jute_multi_add(out, QR_JUTE_OP_ERROR, err.number, &qr_jute_record_number, &err);
    return err.number != QR_ZOOKEEPER_CONNECTION_LOSS;
}

/* One item may fail without the others. */
void qr__zk_multi_read(qr_node *node, qr_zookeeper_request *request)
{
    qr_reader reader = qr_reader_of(request->body);
    qr_buffer out;
    qr_buffer_init(&out);
    qr__zk_refuse(node, request, QR_ZOOKEEPER_OK);
    for (;;) {
        qr_jute_multi_item item;
        qr_status status = qr_jute_multi_next(&reader, request->arena, false, &item);
        if (status == QR_OK && item.header.done)
            break;
        bool reads = status == QR_OK &&
                     (item.header.type == QR_JUTE_OP_GET_DATA || item.header.type == QR_JUTE_OP_GET_CHILDREN);
        if (!reads)
            request->err = QR_ZOOKEEPER_MARSHALLING;
        else if (!read_item(node, request, &item, &out))
            request->err = QR_ZOOKEEPER_CONNECTION_LOSS;
        if (request->err != QR_ZOOKEEPER_OK)
            break;
    }
    if (request->err != QR_ZOOKEEPER_OK) {
        qr_buffer_free(&out);
        return;
    }
    qr_jute_multi_end(&out);
    qr__zk_reply_bytes(request, request->revision, &out);
}
