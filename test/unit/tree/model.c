#include "model.h"

void model_init(model *m)
{
    *m = (model){.revision = 1};
}

void model_free(model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        qr_free(m->keys[i]->versions);
        qr_free(m->keys[i]);
    }
    qr_free(m->keys);
    qr_free(m->directories);
    qr_arena_free(&m->arena);
}

static model_key *find_key(model *m, uint8_t space, qr_slice key, bool make)
{
    size_t at = 0;
    for (; at < m->count; at++) {
        int order = (m->keys[at]->space > space) - (m->keys[at]->space < space);
        if (order == 0)
            order = qr_slice_compare(m->keys[at]->key, key);
        if (order == 0)
            return m->keys[at];
        if (order > 0)
            break;
    }
    if (!make)
        return NULL;
    if (m->count == m->room) {
        m->room = m->room ? m->room * 2 : 64;
        m->keys = qr_realloc(m->keys, m->room * sizeof(model_key *));
    }
    memmove(&m->keys[at + 1], &m->keys[at], (m->count - at) * sizeof(model_key *));
    m->count++;
    model_key *made = qr_alloc_zero(1, sizeof *made);
    made->space = space;
    made->key = qr_arena_copy(&m->arena, key);
    m->keys[at] = made;
    return made;
}

static const model_version *at_revision(const model_key *key, uint64_t revision)
{
    for (size_t i = key ? key->count : 0; i-- > 0;)
        if (key->versions[i].mod <= revision)
            return key->versions[i].version ? &key->versions[i] : NULL;
    return NULL;
}

static bool inside(const qr_span *span, const model_key *key)
{
    if (key->space != span->space)
        return false;
    if (span->kind == QR_SPAN_KEY)
        return qr_slice_equal(key->key, span->key);
    if (qr_slice_compare(key->key, span->key) < 0)
        return false;
    return span->kind == QR_SPAN_FROM || qr_slice_compare(key->key, span->end) < 0;
}

static bool known_space(uint8_t space)
{
    return space == QR_SPACE_LEASES || space == QR_SPACE_SESSIONS || space == QR_SPACE_USERS ||
           space == QR_SPACE_CATALOGUE || space == QR_SPACE_KEYS;
}

/* --------------------------------------------------------------- directories ---- */

static bool plain_path(qr_slice key)
{
    if (key.size < 1 || key.data[0] != '/' || key.size > QR_PATH_MAX)
        return false;
    if (key.size == 1)
        return true;
    unsigned levels = 0;
    size_t segment = 0;
    for (size_t i = 1; i <= key.size; i++) {
        if (i < key.size && key.data[i] != '/') {
            if (key.data[i] < 0x20 || key.data[i] >= 0x7f)
                return false; /* the generator makes no other characters */
            segment++;
            continue;
        }
        if (segment == 0 || (segment == 1 && key.data[i - 1] == '.') ||
            (segment == 2 && key.data[i - 1] == '.' && key.data[i - 2] == '.'))
            return false;
        levels++;
        segment = 0;
    }
    return levels <= QR_PATH_LEVELS_MAX;
}

static qr_slice parent_of(qr_slice path)
{
    size_t size = path.size;
    while (path.data[size - 1] != '/')
        size--;
    return qr_slice_of(path.data, size == 1 ? 1 : size - 1);
}

static model_directory *find_directory(const model *m, qr_slice path)
{
    for (size_t i = 0; i < m->directory_count; i++)
        if (qr_slice_equal(m->directories[i].path, path))
            return &m->directories[i];
    return NULL;
}

/* Is there a live key at or below the path, other than this one? */
static bool seen_without(const model *m, qr_slice path, const model_key *except)
{
    for (size_t i = 0; i < m->count; i++) {
        const model_key *key = m->keys[i];
        if (key == except || key->space != QR_SPACE_KEYS || !at_revision(key, UINT64_MAX) ||
            !plain_path(key->key))
            continue;
        if (key->key.size < path.size || memcmp(key->key.data, path.data, path.size) != 0)
            continue;
        if (path.size == 1 || key->key.size == path.size || key->key.data[path.size] == '/')
            return true;
    }
    return false;
}

static model_directory *make_directory(model *m, qr_slice path, int64_t stamp_ms)
{
    if (m->directory_count == m->directory_room) {
        m->directory_room = m->directory_room ? m->directory_room * 2 : 64;
        m->directories = qr_realloc(m->directories, m->directory_room * sizeof *m->directories);
    }
    model_directory *made = &m->directories[m->directory_count++];
    *made = (model_directory){.path = qr_arena_copy(&m->arena, path)};
    if (path.size == 1)
        return made;
    const model_version *own = at_revision(find_key(m, QR_SPACE_KEYS, path, false), UINT64_MAX);
    if (own) {
        made->record.first_revision = own->create;
        made->record.first_ms = own->created_ms;
    } else {
        made->record.first_revision = made->record.bare_revision = m->revision;
        made->record.first_ms = made->record.bare_ms = stamp_ms;
    }
    return made;
}

/* A key of a directory that was there without it, or stays there without it. */
static void note_own(model *m, const model_key *key)
{
    model_directory *own = find_directory(m, key->key);
    if (own == NULL)
        own = make_directory(m, key->key, 0);
    const model_version *now = &key->versions[key->count - 1];
    own->record.versions += now->version ? 1 : now[-1].version;
    own->record.bare_revision = now->version ? 0 : now->mod;
    own->record.bare_ms = now->version ? 0 : now->modified_ms;
}

static void note(model *m, const model_key *key, bool created, int64_t stamp_ms)
{
    if (!plain_path(key->key))
        return;
    if (key->key.size == 1 || seen_without(m, key->key, key))
        note_own(m, key);
    for (qr_slice path = key->key; path.size > 1; path = parent_of(path)) {
        if (seen_without(m, path, key))
            continue; /* there before and after */
        model_directory *record = find_directory(m, parent_of(path));
        if (record == NULL)
            record = make_directory(m, parent_of(path), stamp_ms);
        record->record.changes++;
        record->record.created += created;
        record->record.children += created ? 1 : (uint64_t)-1;
        record->record.last_revision = m->revision;
    }
    for (qr_slice path = key->key; path.size > 1 && !created; path = parent_of(path)) {
        model_directory *record = find_directory(m, path);
        if (record && !seen_without(m, path, key))
            *record = m->directories[--m->directory_count];
    }
}

qr_directory model_directory_of(const model *m, qr_slice path)
{
    const model_directory *record = find_directory(m, path);
    return record ? record->record : (qr_directory){0};
}

/* -------------------------------------------------------------------- changes ---- */

typedef struct run {
    model *m;
    qr_arena *arena;
    uint64_t base;
    uint32_t sub;
    int64_t stamp_ms;
} run;

static void append(run *r, model_key *key, model_version version)
{
    model *m = r->m;
    if (key->space == QR_SPACE_KEYS && m->revision == r->base)
        m->revision++;
    version.mod = m->revision;
    version.sub = r->sub++;
    if (version.version == 1)
        version.create = m->revision;
    if (key->count == key->room) {
        key->room = key->room ? key->room * 2 : 4;
        key->versions = qr_realloc(key->versions, key->room * sizeof *key->versions);
    }
    bool was_live = key->count && key->versions[key->count - 1].version;
    key->versions[key->count++] = version;
    if (key->space == QR_SPACE_KEYS && was_live != (version.version != 0))
        note(m, key, version.version != 0, r->stamp_ms);
}

static void fill(const model_key *key, const model_version *version, bool keys_only, qr_key_value *kv)
{
    *kv = (qr_key_value){.key = key->key,
                         .value = keys_only ? qr_slice_of(NULL, 0) : version->value,
                         .create_revision = version->create,
                         .mod_revision = version->mod,
                         .version = version->version,
                         .lease = version->lease,
                         .created_ms = version->created_ms,
                         .modified_ms = version->modified_ms,
                         .flags = version->flags,
                         .acl = version->acl,
                         .acl_version = version->acl_version,
                         .attribute = version->attribute};
}

static model_key *lease_key(model *m, int64_t lease, bool make)
{
    uint8_t name[8];
    for (int i = 0; i < 8; i++)
        name[7 - i] = (uint8_t)((uint64_t)lease >> (8 * i));
    return find_key(m, QR_SPACE_LEASES, qr_slice_of(name, 8), make);
}

static const model_version *lease_record(model *m, int64_t lease)
{
    return at_revision(lease_key(m, lease, false), UINT64_MAX);
}

static bool written(uint8_t space)
{
    return known_space(space) && space != QR_SPACE_LEASES;
}

static uint64_t live_leases(const model *m)
{
    uint64_t live = 0;
    for (size_t i = 0; i < m->count; i++)
        live += m->keys[i]->space == QR_SPACE_LEASES && at_revision(m->keys[i], UINT64_MAX);
    return live;
}

uint64_t model_live_keys(const model *m)
{
    uint64_t live = 0;
    for (size_t i = 0; i < m->count; i++)
        live += m->keys[i]->space == QR_SPACE_KEYS && at_revision(m->keys[i], UINT64_MAX);
    return live;
}

uint64_t model_live_bytes(const model *m)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->count; i++) {
        const model_version *version = at_revision(m->keys[i], UINT64_MAX);
        if (m->keys[i]->space == QR_SPACE_KEYS && version)
            bytes += m->keys[i]->key.size + version->value.size + version->attribute.size;
    }
    return bytes;
}

static uint64_t cost_of_all(const model *m)
{
    uint64_t cost = model_live_bytes(m) + 256 * (model_live_keys(m) + live_leases(m));
    for (size_t i = 0; i < m->directory_count; i++)
        cost += 160 + m->directories[i].path.size;
    return cost;
}

static qr_status do_put(run *r, const qr_put *put, qr_op_result *result)
{
    model *m = r->m;
    if (!written(put->space))
        return QR_E_INVALID;
    qr_slice name = put->key;
    if (put->options & QR_PUT_NUMBERED) {
        if (put->space != QR_SPACE_KEYS)
            return QR_E_INVALID;
        const char *zero = qr_arena_format(r->arena, "%.*s0", (int)name.size, (const char *)name.data);
        if (!plain_path(qr_slice_text(zero)))
            return QR_E_INVALID;
        uint64_t created = model_directory_of(m, parent_of(qr_slice_text(zero))).created;
        name = qr_slice_text(
            qr_arena_format(r->arena, "%.*s%010d", (int)name.size, (const char *)name.data, (int)created));
    }
    model_key *key = find_key(m, put->space, name, true);
    const model_version *old = at_revision(key, UINT64_MAX);
    if ((put->options & QR_PUT_EXPECT_VERSION) && put->expected_version != (old ? old->version : 0))
        return QR_E_VERSION_MISMATCH;
    if (!old && (put->options & (QR_PUT_KEEP_LEASE | QR_PUT_KEEP_VALUE)))
        return QR_E_KEY_NOT_FOUND;
    if (!(put->options & QR_PUT_KEEP_LEASE) && put->lease && !lease_record(m, put->lease))
        return QR_E_LEASE_NOT_FOUND;
    model_version version = old ? *old : (model_version){.created_ms = r->stamp_ms};
    version.version++;
    if (!(put->options & QR_PUT_KEEP_VALUE))
        version.value = qr_arena_copy(&m->arena, put->value);
    if (!(put->options & QR_PUT_KEEP_LEASE))
        version.lease = put->lease;
    if (!(put->options & QR_PUT_KEEP_LEASE))
        version.detach = put->lease && (put->options & QR_PUT_DETACH_ON_EXPIRY);
    if (put->options & QR_PUT_SET_FLAGS)
        version.flags = put->flags;
    if (put->options & QR_PUT_SET_ACL) {
        version.acl = put->acl;
        version.acl_version += old ? 1 : 0;
    }
    if (put->options & QR_PUT_SET_ATTRIBUTE)
        version.attribute = qr_arena_copy(&m->arena, put->attribute);
    if (!old || version.modified_ms < r->stamp_ms)
        version.modified_ms = r->stamp_ms;
    uint64_t cost = cost_of_all(m);
    if (old)
        cost -= 256 + name.size + old->value.size + old->attribute.size;
    if (m->quota && put->space == QR_SPACE_KEYS &&
        cost + 256 + name.size + version.value.size + version.attribute.size > m->quota)
        return QR_E_QUOTA;
    *result = (qr_op_result){.kind = QR_OP_PUT, .key = key->key};
    if (old && (put->options & QR_PUT_WANT_PREVIOUS)) {
        qr_key_value *previous = qr_arena_zero(r->arena, 1, sizeof *previous);
        fill(key, old, false, previous);
        result->kvs = previous;
        result->kv_count = 1;
    }
    append(r, key, version);
    result->revision = m->revision;
    return QR_OK;
}

static qr_status do_delete(run *r, const qr_delete *del, qr_op_result *result)
{
    model *m = r->m;
    if (!written(del->span.space))
        return QR_E_INVALID;
    qr_key_value *previous = qr_arena_zero(r->arena, m->count + 1, sizeof *previous);
    *result = (qr_op_result){.kind = QR_OP_DELETE, .kvs = previous};
    for (size_t i = 0; i < m->count; i++) {
        const model_version *old = at_revision(m->keys[i], UINT64_MAX);
        if (!old || !inside(&del->span, m->keys[i]))
            continue;
        fill(m->keys[i], old, false, &previous[result->count++]);
        int64_t modified_ms = old->modified_ms > r->stamp_ms ? old->modified_ms : r->stamp_ms;
        append(r, m->keys[i], (model_version){.modified_ms = modified_ms});
    }
    result->kv_count = del->want_previous ? result->count : 0;
    result->revision = m->revision;
    return QR_OK;
}

/* --------------------------------------------------------------------- ranges ---- */

static int compare_kvs(qr_sort sort, const qr_key_value *a, const qr_key_value *b)
{
    uint64_t x = 0, y = 0;
    switch (sort) {
    case QR_SORT_KEY: return qr_slice_compare(a->key, b->key);
    case QR_SORT_VALUE: return qr_slice_compare(a->value, b->value);
    case QR_SORT_VERSION: x = a->version, y = b->version; break;
    case QR_SORT_CREATE: x = a->create_revision, y = b->create_revision; break;
    case QR_SORT_MOD: x = a->mod_revision, y = b->mod_revision; break;
    }
    return (x > y) - (x < y);
}

static void insertion_sort(qr_key_value *kvs, size_t count, qr_sort sort, bool down)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0; j--) {
            int order = compare_kvs(sort, &kvs[j - 1], &kvs[j]);
            if (down ? order >= 0 : order <= 0)
                break;
            qr_key_value swap = kvs[j];
            kvs[j] = kvs[j - 1];
            kvs[j - 1] = swap;
        }
}

static qr_status do_range(run *r, const qr_range *range, qr_op_result *result)
{
    model *m = r->m;
    if (!known_space(range->span.space))
        return QR_E_INVALID;
    if (range->revision && range->span.space != QR_SPACE_KEYS)
        return QR_E_UNSUPPORTED;
    if (range->revision > r->base)
        return QR_E_FUTURE_REVISION;
    if (range->revision && range->revision < m->compacted)
        return QR_E_COMPACTED;
    qr_key_value *kvs = qr_arena_zero(r->arena, m->count + 1, sizeof *kvs);
    *result = (qr_op_result){.kind = QR_OP_RANGE, .revision = m->revision, .kvs = kvs};
    size_t found = 0;
    for (size_t i = 0; i < m->count; i++) {
        const model_version *version =
            at_revision(m->keys[i], range->revision ? range->revision : UINT64_MAX);
        if (!version || !inside(&range->span, m->keys[i]))
            continue;
        result->count++;
        if ((range->mod_revision_min && version->mod < range->mod_revision_min) ||
            (range->mod_revision_max && version->mod > range->mod_revision_max) ||
            (range->create_revision_min && version->create < range->create_revision_min) ||
            (range->create_revision_max && version->create > range->create_revision_max))
            continue;
        fill(m->keys[i], version, false, &kvs[found++]);
    }
    if (range->count_only)
        return QR_OK;
    if (range->order != QR_ORDER_NONE)
        insertion_sort(kvs, found, range->sort, range->order == QR_ORDER_DOWN);
    result->more = range->limit && found > range->limit;
    if (result->more)
        found = (size_t)range->limit;
    if (range->order == QR_ORDER_NONE && range->sort != QR_SORT_KEY)
        insertion_sort(kvs, found, range->sort, false);
    for (size_t i = 0; i < found && range->keys_only; i++)
        kvs[i].value = qr_slice_of(NULL, 0);
    result->kv_count = found;
    return QR_OK;
}

/* ---------------------------------------------------------------------- txns ---- */

static bool holds(qr_relation relation, int order)
{
    return relation == QR_IS_EQUAL     ? order == 0
           : relation == QR_IS_LESS    ? order < 0
           : relation == QR_IS_GREATER ? order > 0
                                       : order != 0;
}

static bool satisfied(const qr_condition *condition, const model_version *version)
{
    int64_t number = 0;
    if (condition->target == QR_TARGET_VALUE)
        return version && holds(condition->relation, qr_slice_compare(version->value, condition->value));
    if (version) {
        number = condition->target == QR_TARGET_VERSION  ? (int64_t)version->version
                 : condition->target == QR_TARGET_CREATE ? (int64_t)version->create
                 : condition->target == QR_TARGET_MOD    ? (int64_t)version->mod
                                                         : version->lease;
    }
    return holds(condition->relation, (number > condition->number) - (number < condition->number));
}

static bool conditions_hold(run *r, const qr_txn *txn)
{
    model *m = r->m;
    for (size_t c = 0; c < txn->condition_count; c++) {
        bool any = false;
        for (size_t i = 0; i < m->count; i++) {
            const model_version *version = at_revision(m->keys[i], UINT64_MAX);
            if (!version || !inside(&txn->conditions[c].span, m->keys[i]))
                continue;
            any = true;
            if (!satisfied(&txn->conditions[c], version))
                return false;
        }
        if (!any && !satisfied(&txn->conditions[c], NULL))
            return false;
    }
    return true;
}

typedef struct plan {
    bool taken[4096];
    size_t count, next;
} plan;

/* Judges every condition of the chosen path before anything is done. */
static qr_status make_plan(run *r, const qr_txn *txn, plan *p)
{
    for (size_t c = 0; c < txn->condition_count; c++)
        if (!known_space(txn->conditions[c].span.space))
            return QR_E_INVALID;
    bool yes = conditions_hold(r, txn);
    p->taken[p->count++] = yes;
    const qr_op *ops = yes ? txn->then_ops : txn->else_ops;
    for (size_t i = 0; i < (yes ? txn->then_count : txn->else_count); i++) {
        qr_status status = ops[i].kind == QR_OP_TXN ? make_plan(r, ops[i].txn, p) : QR_OK;
        if (status != QR_OK)
            return status;
    }
    return QR_OK;
}

static qr_status carry_out(run *r, const qr_txn *txn, plan *p, qr_txn_result *result)
{
    bool yes = p->taken[p->next++];
    const qr_op *ops = yes ? txn->then_ops : txn->else_ops;
    size_t count = yes ? txn->then_count : txn->else_count;
    qr_op_result *results = qr_arena_zero(r->arena, count + 1, sizeof *results);
    for (size_t i = 0; i < count; i++) {
        qr_status status = QR_OK;
        if (ops[i].kind == QR_OP_RANGE) {
            status = do_range(r, &ops[i].range, &results[i]);
        } else if (ops[i].kind == QR_OP_PUT) {
            status = do_put(r, &ops[i].put, &results[i]);
        } else if (ops[i].kind == QR_OP_DELETE) {
            status = do_delete(r, &ops[i].del, &results[i]);
        } else {
            qr_txn_result *nested = qr_arena_zero(r->arena, 1, sizeof *nested);
            status = carry_out(r, ops[i].txn, p, nested);
            results[i] = (qr_op_result){.kind = QR_OP_TXN, .revision = r->m->revision, .txn = nested};
        }
        if (status != QR_OK)
            return status;
    }
    *result =
        (qr_txn_result){.revision = r->m->revision, .succeeded = yes, .ops = results, .op_count = count};
    return QR_OK;
}

qr_status model_txn(model *m, const qr_txn *txn, int64_t stamp_ms, qr_arena *arena, qr_txn_result *result)
{
    run r = {.m = m, .arena = arena, .base = m->revision, .stamp_ms = stamp_ms};
    plan *p = qr_arena_zero(arena, 1, sizeof *p);
    qr_status status = make_plan(&r, txn, p);
    if (status != QR_OK)
        return status;
    /* To take everything back: how many versions each key had, by its place in memory, and all directories.
     */
    size_t key_count = m->count;
    model_key **keys = qr_arena_zero(arena, key_count + 1, sizeof *keys);
    size_t *counts = qr_arena_zero(arena, key_count + 1, sizeof *counts);
    for (size_t i = 0; i < key_count; i++) {
        keys[i] = m->keys[i];
        counts[i] = keys[i]->count;
    }
    size_t directory_count = m->directory_count;
    model_directory *directories = qr_arena_zero(arena, directory_count + 1, sizeof *directories);
    if (directory_count)
        memcpy(directories, m->directories, directory_count * sizeof *directories);
    status = carry_out(&r, txn, p, result);
    if (status == QR_OK)
        return QR_OK;
    for (size_t i = 0; i < m->count; i++) {
        size_t before = 0;
        for (size_t j = 0; j < key_count; j++)
            if (keys[j] == m->keys[i])
                before = counts[j];
        m->keys[i]->count = before;
    }
    if (directory_count)
        memcpy(m->directories, directories, directory_count * sizeof *directories);
    m->directory_count = directory_count;
    m->revision = r.base;
    return status;
}

qr_status model_compact(model *m, uint64_t revision)
{
    if (revision <= m->compacted)
        return QR_E_COMPACTED;
    if (revision > m->revision)
        return QR_E_FUTURE_REVISION;
    m->compacted = revision;
    return QR_OK;
}

/* --------------------------------------------------------------------- leases ---- */

static uint64_t number_in(const model_version *record, size_t at)
{
    return record ? qr_load_u64(record->value.data + at) : 0;
}

static void write_lease(run *r, int64_t id, uint64_t number, uint64_t index)
{
    model_key *key = lease_key(r->m, id, true);
    const model_version *old = at_revision(key, UINT64_MAX);
    model_version version = old ? *old : (model_version){.created_ms = r->stamp_ms};
    version.version++;
    version.modified_ms = old && old->modified_ms > r->stamp_ms ? old->modified_ms : r->stamp_ms;
    uint8_t value[16];
    qr_store_u64(value, number);
    qr_store_u64(value + 8, index);
    version.value = qr_arena_copy(&r->m->arena, qr_slice_of(value, sizeof value));
    append(r, key, version);
}

static bool among(int64_t lease, const int64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == lease)
            return true;
    return false;
}

/* All keys in their order, then the leases in theirs. */
static void end_leases(run *r, const int64_t *ids, size_t count)
{
    model *m = r->m;
    for (size_t i = 0; i < m->count; i++) {
        const model_version *old = at_revision(m->keys[i], UINT64_MAX);
        if (!old || old->lease == 0 || !among(old->lease, ids, count))
            continue;
        model_version version = {0};
        if (old->detach) {
            version = *old;
            version.version++;
            version.lease = 0;
            version.detach = false;
        }
        version.modified_ms = old->modified_ms > r->stamp_ms ? old->modified_ms : r->stamp_ms;
        append(r, m->keys[i], version);
    }
    for (size_t i = 0; i < count; i++) {
        int64_t then_ms = lease_record(m, ids[i])->modified_ms;
        append(r, lease_key(m, ids[i], false),
               (model_version){.modified_ms = then_ms > r->stamp_ms ? then_ms : r->stamp_ms});
    }
}

qr_status model_lease(model *m, const qr_body *body, uint64_t index, int64_t stamp_ms, qr_arena *arena)
{
    run r = {.m = m, .arena = arena, .base = m->revision, .stamp_ms = stamp_ms};
    bool known = body->lease && lease_record(m, body->lease);
    uint64_t epoch = number_in(lease_record(m, 0), 0);
    int64_t ids[QR_LEASES_MAX];
    size_t count = 0;
    switch (body->kind) {
    case QR_BODY_LEASE_GRANT:
        if (known)
            return QR_E_LEASE_EXISTS;
        if (m->quota && cost_of_all(m) + 256 > m->quota)
            return QR_E_QUOTA;
        write_lease(&r, body->lease, body->ttl_ms, index);
        return QR_OK;
    case QR_BODY_LEASE_REVOKE:
        if (!known)
            return QR_E_LEASE_NOT_FOUND;
        end_leases(&r, &body->lease, 1);
        return QR_OK;
    case QR_BODY_LEASE_EPOCH:
        if (body->epoch > epoch)
            write_lease(&r, 0, body->epoch, index);
        return QR_OK;
    default:
        for (size_t i = 0; i < body->ended_count && body->epoch == epoch; i++)
            if (number_in(lease_record(m, body->ended[i].id), 8) == body->ended[i].generation)
                ids[count++] = body->ended[i].id;
        end_leases(&r, ids, count);
        return QR_OK;
    }
}
