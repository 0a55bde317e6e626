/* item: what one writing operation asks of the tree, check by check in the order in which ZooKeeper makes
 * them. */
#include "door/zookeeper/config.h"
#include "door/zookeeper/inside.h"

enum { NUMBER_DIGITS = 10, TTL_MS_MAX_BITS = 40 };

enum { /* CreateRequest.flags */
       EPHEMERAL = 1,
       NUMBERED = 2,
       EPHEMERAL_NUMBERED = 3,
       CONTAINER = 4,
       TTL = 5,
       TTL_NUMBERED = 6,
};

static qr_arena *arena_of(const qr__zk_plan *plan)
{
    return plan->request->arena;
}

static const qr_path_result *look(qr__zk_plan *plan, qr_slice path)
{
    static const qr_path_result nothing;
    const qr_path_result *result = &nothing;
    qr_status status = qr__zk_look(plan->node, plan->request->root, arena_of(plan), path, NULL, &result);
    if (status != QR_OK)
        plan->failure = status;
    return result;
}

/* The item of this multi that made the node, if it has been made in it. */
static const qr__zk_item *made_here(const qr__zk_plan *plan, size_t index, qr_slice path)
{
    while (index-- > 0)
        if (plan->items[index].is_create && !plan->items[index].is_numbered &&
            qr_slice_equal(plan->items[index].path, path))
            return &plan->items[index];
    return NULL;
}

static void condition(qr__zk_plan *plan, uint8_t space, qr_slice key, qr_target target, uint64_t number,
                      qr_slice value)
{
    plan->conditions[plan->condition_count++] =
        (qr_condition){.span = {.kind = QR_SPAN_KEY, .space = space, .key = key},
                       .target = target,
                       .relation = QR_IS_EQUAL,
                       .number = (int64_t)number,
                       .value = value};
}

/* That the rights are those seen. By their bytes: the versions of two nodes of one name, one after the other,
 * may be the same. */
static void condition_rights(qr__zk_plan *plan, qr_slice path, const qr_key_value *acl)
{
    if (acl)
        condition(plan, QR_SPACE_ACLS, path, QR_TARGET_VALUE, 0, qr_arena_copy(arena_of(plan), acl->value));
    else
        condition(plan, QR_SPACE_ACLS, path, QR_TARGET_VERSION, 0, qr_slice_of(NULL, 0));
}

/* May they? The rights of a node that is not there yet are open: it may be on its way. */
static bool may(qr__zk_plan *plan, size_t index, qr_slice path, uint32_t permission)
{
    const qr_zookeeper_asker *asker = plan->request->asker;
    if (asker->is_super)
        return true;
    const qr__zk_item *item = made_here(plan, index, path);
    if (item)
        return qr__zk_acl_allows(&item->acl, asker, permission);
    const qr_key_value *acl = look(plan, path)->acl;
    condition_rights(plan, path, acl);
    return qr_zookeeper_allows(acl, asker, permission);
}

/* A path at which, or below which, something is to be written: could it be there? */
static int32_t check_name(const qr__zk_plan *plan, qr_slice path)
{
    if (qr__zk_is_made_up(path))
        return qr__zk_made_up(path) ? QR_ZOOKEEPER_NO_AUTH : QR_ZOOKEEPER_NO_NODE;
    bool can_be = qr_zookeeper_path_valid(path) && qr__zk_in_bounds(plan->request->root, path);
    return can_be ? QR_ZOOKEEPER_OK : QR_ZOOKEEPER_NO_NODE;
}

/* A root that is not the tree's own is there for clients before anybody made it. What is written there makes
 * it; with something right below it, it becomes a key, so that what was counted in it stays when its last
 * child goes. */
static void make_root(qr__zk_plan *plan, size_t index, bool as_key)
{
    if (plan->request->root.size == 0 || plan->root_made)
        return;
    const qr_slice path = qr_slice_text("/");
    const qr_path_result *seen = look(plan, path);
    condition(plan, QR_SPACE_KEYS, path, QR_TARGET_CREATE, seen->kv ? seen->kv->create_revision : 0,
              qr_slice_of(NULL, 0));
    plan->root_made = seen->kv || as_key || !seen->present;
    if (plan->root_made && !seen->kv)
        qr__zk_add(plan, index, QR_OP_PUT)->put = (qr_put){.space = QR_SPACE_KEYS, .key = path};
}

static int32_t check_present(qr__zk_plan *plan, size_t index, qr_slice path)
{
    int32_t err = check_name(plan, path);
    if (err == QR_ZOOKEEPER_OK && path.size == 1)
        make_root(plan, index, false);
    if (err == QR_ZOOKEEPER_OK)
        qr__zk_check(plan, index, QR_SPACE_KEYS, QR_CHECK_PRESENT, path, 0);
    return err;
}

static int32_t check_version(qr__zk_plan *plan, size_t index, qr_slice path, int32_t version)
{
    if (version < -1)
        return QR_ZOOKEEPER_BAD_VERSION;
    if (version >= 0 && !QR_BUG(plan->request->bug, VERSION_IGNORED))
        qr__zk_check(plan, index, QR_SPACE_KEYS, QR_CHECK_STATES, path, (uint64_t)version);
    return QR_ZOOKEEPER_OK;
}

static int32_t check_shape(qr_slice path)
{
    if (path.data == NULL)
        return QR_ZOOKEEPER_MARSHALLING;
    if (path.size == 0 || path.data[0] != '/' || memchr(path.data, 0, path.size))
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    return QR_ZOOKEEPER_OK;
}

static int32_t check_quota(qr__zk_plan *plan, qr_slice path, int64_t nodes, int64_t bytes)
{
    qr_zookeeper_quotas *quotas = plan->request->quotas;
    int32_t err = quotas ? qr_zookeeper_quota_check(quotas, path, nodes, bytes) : QR_ZOOKEEPER_OK;
    if (err == QR_ZOOKEEPER_CONNECTION_LOSS)
        plan->failure = QR_E_NOT_READY;
    return err;
}

static qr_put *add_acl(qr__zk_plan *plan, size_t index, qr_slice path, const qr_jute_vector *acl, bool born)
{
    qr_put *put = &qr__zk_add(plan, index, QR_OP_PUT)->put;
    *put =
        (qr_put){.space = QR_SPACE_ACLS, .key = path, .value = qr__zk_acl_encode(acl, born, arena_of(plan))};
    return put;
}

/* --------------------------------------------------------------------- create ---- */

static int32_t flags_of(const qr__zk_plan *plan, const qr__zk_item *item, int32_t flags, int64_t ttl)
{
    if (flags < 0 || flags > TTL_NUMBERED)
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    bool is_ttl = flags == TTL || flags == TTL_NUMBERED;
    if (is_ttl && !plan->request->ttl_nodes)
        return QR_ZOOKEEPER_UNIMPLEMENTED;
    bool in_range = ttl > 0 && ttl >> TTL_MS_MAX_BITS == 0;
    if (is_ttl ? !in_range : item->type == QR_JUTE_OP_CREATE_TTL)
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    return QR_ZOOKEEPER_OK;
}

/* A numbered name is judged as it will be. */
static bool name_valid(const qr__zk_plan *plan, qr_slice path, bool numbered)
{
    if (numbered) {
        uint8_t *whole = qr_arena_alloc(arena_of(plan), path.size + NUMBER_DIGITS);
        memcpy(whole, path.data, path.size);
        memset(whole + path.size, '0', NUMBER_DIGITS);
        path = qr_slice_of(whole, path.size + NUMBER_DIGITS);
    }
    return qr_zookeeper_path_valid(path) && qr__zk_in_bounds(plan->request->root, path);
}

static void put_new(qr__zk_plan *plan, size_t index, const qr_jute_create *create)
{
    qr__zk_item *item = &plan->items[index];
    bool ephemeral = create->flags == EPHEMERAL ||
                     (create->flags == EPHEMERAL_NUMBERED && !QR_BUG(plan->request->bug, OWNER_FORGOTTEN));
    item->put = plan->op_count;
    qr__zk_add(plan, index, QR_OP_PUT)->put = (qr_put){
        .space = QR_SPACE_KEYS,
        .options = QR_PUT_EXPECT_ABSENT | QR_PUT_SET_ATTRIBUTE | (item->is_numbered ? QR_PUT_NUMBERED : 0),
        .key = item->path,
        .value = create->data,
        .lease = ephemeral ? plan->request->asker->session : 0,
        .attribute = qr__zk_attribute_encode(&item->kept, arena_of(plan))};
}

static qr_jute_create create_of(const qr__zk_item *item, int64_t *ttl)
{
    *ttl = 0;
    if (item->type != QR_JUTE_OP_CREATE_TTL)
        return *(const qr_jute_create *)item->value;
    const qr_jute_create_ttl *sent = item->value;
    *ttl = sent->ttl;
    return (qr_jute_create){.path = sent->path, .data = sent->data, .acl = sent->acl, .flags = sent->flags};
}

/* What the request is by itself, before its path is looked at as a name. */
static int32_t read_create(qr__zk_plan *plan, qr__zk_item *item, qr_jute_create *create)
{
    int64_t ttl;
    *create = create_of(item, &ttl);
    item->path = create->path;
    item->is_numbered =
        create->flags == NUMBERED || create->flags == EPHEMERAL_NUMBERED || create->flags == TTL_NUMBERED;
    item->kept = (qr__zk_attribute){.null_data = create->data.data == NULL,
                                    .container = create->flags == CONTAINER,
                                    .ttl_ms = (uint64_t)ttl};
    if (create->path.data == NULL)
        return QR_ZOOKEEPER_MARSHALLING;
    int32_t err = flags_of(plan, item, create->flags, ttl);
    if (err == QR_ZOOKEEPER_OK)
        err = check_shape(create->path);
    if (err == QR_ZOOKEEPER_OK &&
        qr__zk_acl_normal(&create->acl, plan->request->asker, arena_of(plan), &item->acl) != QR_OK)
        err = QR_ZOOKEEPER_INVALID_ACL;
    return err;
}

static int32_t plan_create(qr__zk_plan *plan, size_t index)
{
    qr__zk_item *item = &plan->items[index];
    qr_jute_create create;
    int32_t err = read_create(plan, item, &create);
    if (err != QR_ZOOKEEPER_OK)
        return err;
    if (!item->is_numbered && (item->path.size == 1 || qr__zk_made_up(item->path)))
        return QR_ZOOKEEPER_NODE_EXISTS;
    qr_slice parent = qr_zookeeper_path_parent(item->path);
    if (parent.size == 1)
        make_root(plan, index, true);
    err = qr__zk_is_quotas(parent) ? QR_ZOOKEEPER_OK : check_present(plan, index, parent);
    if (err == QR_ZOOKEEPER_OK && !may(plan, index, parent, QR_ZOOKEEPER_CREATE))
        err = QR_ZOOKEEPER_NO_AUTH;
    if (err == QR_ZOOKEEPER_OK && !name_valid(plan, item->path, item->is_numbered))
        err = QR_ZOOKEEPER_BAD_ARGUMENTS;
    if (err != QR_ZOOKEEPER_OK)
        return err;
    if (!item->is_numbered)
        qr__zk_check(plan, index, QR_SPACE_KEYS, QR_CHECK_ABSENT, item->path, 0);
    qr__zk_check(plan, index, QR_SPACE_KEYS, QR_CHECK_UNLEASED, parent, 0);
    err = check_quota(plan, item->path, 1, (int64_t)create.data.size);
    if (err != QR_ZOOKEEPER_OK)
        return err;
    put_new(plan, index, &create);
    if (!qr__zk_acl_is_open(&item->acl)) {
        qr_put *put = add_acl(plan, index, item->path, &item->acl, true);
        put->options = item->is_numbered ? QR_PUT_SAME_KEY : 0;
    }
    item->is_create = true;
    return QR_ZOOKEEPER_OK;
}

/* -------------------------------------------------------------- the other four ---- */

static int32_t plan_delete(qr__zk_plan *plan, size_t index)
{
    const qr_jute_path_version *request = plan->items[index].value;
    qr_slice path = plan->items[index].path = request->path;
    int32_t err = check_shape(path);
    if (err == QR_ZOOKEEPER_OK && (path.size == 1 || qr__zk_made_up(path)))
        err = QR_ZOOKEEPER_BAD_ARGUMENTS;
    if (err == QR_ZOOKEEPER_OK)
        err = check_name(plan, path);
    if (err == QR_ZOOKEEPER_OK && !may(plan, index, qr_zookeeper_path_parent(path), QR_ZOOKEEPER_DELETE))
        err = QR_ZOOKEEPER_NO_AUTH;
    if (err == QR_ZOOKEEPER_OK)
        err = check_present(plan, index, path);
    if (err == QR_ZOOKEEPER_OK)
        err = check_version(plan, index, path, request->version);
    if (err != QR_ZOOKEEPER_OK)
        return err;
    if (qr_zookeeper_path_parent(path).size == 1)
        make_root(plan, index, true);
    qr__zk_check(plan, index, QR_SPACE_KEYS, QR_CHECK_CHILDLESS, path, 0);
    qr__zk_add(plan, index, QR_OP_DELETE)->del =
        (qr_delete){.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = path}};
    return QR_ZOOKEEPER_OK;
}

/* What the key is, a key at all and which attribute it has, is fixed for its life: as seen, or judged anew.
 */
static void put_data(qr__zk_plan *plan, size_t index, const qr_jute_set_data *request)
{
    qr__zk_item *item = &plan->items[index];
    const qr__zk_item *made = made_here(plan, index, request->path);
    const qr_path_result *seen = look(plan, request->path);
    qr__zk_attribute attribute = made ? made->kept : qr__zk_attribute_of(seen->kv);
    attribute.null_data = request->data.data == NULL;
    if (!made)
        condition(plan, QR_SPACE_KEYS, request->path, QR_TARGET_CREATE,
                  seen->kv ? seen->kv->create_revision : 0, qr_slice_of(NULL, 0));
    bool implied = !made && seen->present && seen->kv == NULL; /* to become a key is one state more */
    item->has_directory = !made && seen->has_directory;
    item->directory = made ? (qr_directory){0} : seen->directory;
    item->directory.versions += implied;
    plan->root_made |= request->path.size == 1;
    item->put = plan->op_count;
    qr__zk_add(plan, index, QR_OP_PUT)->put =
        (qr_put){.space = QR_SPACE_KEYS,
                 .options = QR_PUT_SET_ATTRIBUTE | (made || seen->kv ? QR_PUT_KEEP_LEASE : 0),
                 .key = request->path,
                 .value = request->data,
                 .attribute = qr__zk_attribute_encode(&attribute, arena_of(plan))};
    item->seen = plan->op_count;
    qr__zk_add(plan, index, QR_OP_RANGE)->range = (qr_range){
        .span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = request->path}, .keys_only = true};
}

/* Of the data, by what is applied here. */
static int64_t growth(qr__zk_plan *plan, const qr_jute_set_data *request)
{
    const qr_path_result *seen = look(plan, request->path);
    return (int64_t)request->data.size - (seen->kv ? (int64_t)seen->kv->value.size : 0);
}

static int32_t plan_set_data(qr__zk_plan *plan, size_t index)
{
    const qr_jute_set_data *request = plan->items[index].value;
    qr_slice path = plan->items[index].path = request->path;
    int32_t err = check_shape(path);
    if (err == QR_ZOOKEEPER_OK)
        err = check_present(plan, index, path);
    if (err == QR_ZOOKEEPER_OK && !may(plan, index, path, QR_ZOOKEEPER_MAY_WRITE))
        err = QR_ZOOKEEPER_NO_AUTH;
    if (err == QR_ZOOKEEPER_OK)
        err = check_quota(plan, path, 0, growth(plan, request));
    if (err == QR_ZOOKEEPER_OK)
        err = check_version(plan, index, path, request->version);
    if (err == QR_ZOOKEEPER_OK)
        put_data(plan, index, request);
    return err;
}

static int32_t plan_check(qr__zk_plan *plan, size_t index)
{
    const qr_jute_path_version *request = plan->items[index].value;
    qr_slice path = plan->items[index].path = request->path;
    if (path.data == NULL)
        return QR_ZOOKEEPER_MARSHALLING;
    int32_t err = check_present(plan, index, path);
    if (err == QR_ZOOKEEPER_OK && !may(plan, index, path, QR_ZOOKEEPER_READ))
        err = QR_ZOOKEEPER_NO_AUTH;
    return err == QR_ZOOKEEPER_OK ? check_version(plan, index, path, request->version) : err;
}

static int32_t plan_config_acl(qr__zk_plan *plan, size_t index, const qr_jute_vector *acl, int32_t version)
{
    qr_slice name = qr__zk_config_rights_name();
    qr_jute_vector present;
    uint64_t changes;
    plan->failure = qr__zk_config_rights(plan->node, arena_of(plan), &present, &changes);
    condition(plan, QR_SPACE_CATALOGUE, name, QR_TARGET_VERSION, changes, qr_slice_of(NULL, 0));
    if (!qr__zk_acl_allows(&present, plan->request->asker, QR_ZOOKEEPER_ADMIN))
        return QR_ZOOKEEPER_NO_AUTH;
    if (version != -1 && version != (int32_t)changes - 1)
        return QR_ZOOKEEPER_BAD_VERSION;
    add_acl(plan, index, name, acl, false)->space = QR_SPACE_CATALOGUE;
    return QR_ZOOKEEPER_OK;
}

/* Rights are a record of the key: a node that is implied becomes one. */
static int32_t plan_set_acl(qr__zk_plan *plan, size_t index)
{
    const qr_jute_set_acl *request = plan->items[index].value;
    qr_slice path = plan->items[index].path = request->path;
    qr_jute_vector acl;
    int32_t err = check_shape(path);
    if (err != QR_ZOOKEEPER_OK)
        return err;
    if (qr__zk_acl_normal(&request->acl, plan->request->asker, arena_of(plan), &acl) != QR_OK)
        return QR_ZOOKEEPER_INVALID_ACL;
    if (qr__zk_is_config(path))
        return plan_config_acl(plan, index, &acl, request->version);
    err = check_present(plan, index, path);
    if (err != QR_ZOOKEEPER_OK)
        return err;
    const qr_path_result *seen = look(plan, path);
    condition_rights(plan, path, seen->acl);
    if (!qr_zookeeper_allows(seen->acl, plan->request->asker, QR_ZOOKEEPER_ADMIN))
        return QR_ZOOKEEPER_NO_AUTH;
    condition(plan, QR_SPACE_ACLS, path, QR_TARGET_VERSION, seen->acl ? seen->acl->version : 0,
              qr_slice_of(NULL, 0));
    if (request->version != -1 && request->version != qr__zk_acl_changes(seen->acl))
        return QR_ZOOKEEPER_BAD_VERSION;
    if (seen->kv == NULL && (path.size > 1 || plan->request->root.size > 0)) {
        plan->root_made |= path.size == 1;
        qr__zk_attribute attribute = {.null_data = true};
        condition(plan, QR_SPACE_KEYS, path, QR_TARGET_CREATE, 0, qr_slice_of(NULL, 0));
        qr__zk_add(plan, index, QR_OP_PUT)->put =
            (qr_put){.space = QR_SPACE_KEYS,
                     .options = QR_PUT_SET_ATTRIBUTE,
                     .key = path,
                     .attribute = qr__zk_attribute_encode(&attribute, arena_of(plan))};
    }
    add_acl(plan, index, path, &acl, qr__zk_acl_born(seen->acl));
    return QR_ZOOKEEPER_OK;
}

int32_t qr__zk_item_plan(qr__zk_plan *plan, size_t index)
{
    qr__zk_item *item = &plan->items[index];
    item->is_create = false;
    switch (item->type) {
    case QR_JUTE_OP_DELETE: return plan_delete(plan, index);
    case QR_JUTE_OP_SET_DATA: return plan_set_data(plan, index);
    case QR_JUTE_OP_SET_ACL: return plan_set_acl(plan, index);
    case QR_JUTE_OP_CHECK: return plan_check(plan, index);
    default: return plan_create(plan, index);
    }
}
