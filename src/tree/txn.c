/* Transactions: every condition on the chosen path is judged first, then the operations run in order and see
 * each other. What goes wrong after the first change is undone, so a status other than QR_OK means that
 * nothing happened. */
#include "tree/private.h"

/* --------------------------------------------------------------- conditions ---- */

static bool relation_holds(qr_relation relation, int order)
{
    switch (relation) {
    case QR_IS_EQUAL: return order == 0;
    case QR_IS_GREATER: return order > 0;
    case QR_IS_LESS: return order < 0;
    case QR_IS_NOT_EQUAL: return order != 0;
    }
    return false;
}

/* version == NULL: the key is missing. */
static bool version_satisfies(const qr_condition *condition, const qr__version *version)
{
    uint64_t number = 0;
    switch (condition->target) {
    case QR_TARGET_VALUE:
        return version &&
               relation_holds(condition->relation, qr_slice_compare(qr__value_of(version), condition->value));
    case QR_TARGET_VERSION: number = version ? qr__number_of(version) : 0; break;
    case QR_TARGET_CREATE: number = version ? qr__create_of(version) : 0; break;
    case QR_TARGET_MOD: number = version ? qr__mod_of(version) : 0; break;
    case QR_TARGET_LEASE:
        number = version && qr__extra_of(version) ? (uint64_t)qr__extra_of(version)->lease : 0;
        break;
    }
    int64_t have = (int64_t)number;
    return relation_holds(condition->relation, (have > condition->number) - (have < condition->number));
}

static bool condition_holds(const qr__index *index, const qr_condition *condition)
{
    if (qr__span_point(&condition->span)) {
        const qr__entry *entry = qr__index_find(index, condition->span.key);
        return version_satisfies(condition, entry ? qr__visible(entry, UINT64_MAX) : NULL);
    }
    qr_slice from;
    const qr_slice *to;
    uint64_t left = 0;
    if (qr__span_bounds(&condition->span, &from, &to))
        left = qr__index_count(index, from, to, UINT64_MAX);
    if (left == 0)
        return version_satisfies(condition, NULL);
    qr__cursor cursor = qr__cursor_seek(index, from);
    for (; left > 0; qr__cursor_next(&cursor)) {
        const qr__version *newest = qr__cursor_entry(&cursor)->newest;
        if (!qr__is_live(newest))
            continue;
        if (!version_satisfies(condition, newest))
            return false;
        left--;
    }
    return true;
}

typedef struct decisions {
    bool *list; /* in the arena */
    size_t count, room;
} decisions;

static qr_status decide(qr__work *work, const qr_txn *txn, decisions *made)
{
    bool holds = true;
    for (size_t i = 0; i < txn->condition_count; i++) {
        const qr__index *index = qr__space_asked(work->tree, txn->conditions[i].span.space);
        if (index == NULL)
            return QR_E_INVALID;
        holds = holds && condition_holds(index, &txn->conditions[i]);
    }
    if (made->count == made->room) {
        size_t room = made->room ? made->room * 2 : 16;
        bool *list = qr_arena_alloc(work->arena, room * sizeof *list);
        if (made->count)
            memcpy(list, made->list, made->count * sizeof *list);
        made->list = list;
        made->room = room;
    }
    made->list[made->count++] = holds;
    const qr_op *ops = holds ? txn->then_ops : txn->else_ops;
    size_t count = holds ? txn->then_count : txn->else_count;
    for (size_t i = 0; i < count; i++) {
        qr_status status = ops[i].kind == QR_OP_TXN ? decide(work, ops[i].txn, made) : QR_OK;
        if (status != QR_OK)
            return status;
    }
    return QR_OK;
}

/* --------------------------------------------------------------------- puts ---- */

/* The key of a numbered put: the children ever created in its directory, as a signed number of ten digits. */
static qr_status numbered_key(qr__work *work, const qr_put *put, qr_slice *key)
{
    if (put->space != QR_SPACE_KEYS || put->key.size > QR_PATH_MAX)
        return QR_E_INVALID;
    uint8_t *text = qr_arena_alloc(work->arena, put->key.size + 12);
    memcpy(text, put->key.data, put->key.size);
    /* The directory does not depend on the digits, so a zero stands in for them while it is looked up. */
    text[put->key.size] = '0';
    qr_slice draft = qr_slice_of(text, put->key.size + 1);
    if (!qr__path_valid(draft))
        return QR_E_INVALID;
    const qr_directory *directory = qr__directory_find(work->tree, qr__path_parent(draft));
    uint32_t created = directory ? (uint32_t)directory->created : 0;
    if (QR_BUG(work->tree->config.bug, NUMBER_AGAIN) && directory)
        created = (uint32_t)directory->children;
    const char *digits = qr_arena_format(work->arena, "%010d", (int)(int32_t)created);
    size_t size = strlen(digits);
    QR_ASSERT(size <= 11);
    memcpy(text + put->key.size, digits, size);
    *key = qr_slice_of(text, put->key.size + size);
    return qr__path_valid(*key) ? QR_OK : QR_E_INVALID;
}

static qr_status put_allowed(qr__work *work, const qr_put *put, qr_slice key, const qr__version *old)
{
    if (key.size == 0)
        return QR_E_INVALID;
    qr_status status = qr__record_allowed(work->tree, put, key);
    if (status != QR_OK)
        return status;
    if (put->key.size > QR_KEY_MAX || put->value.size > QR_VALUE_MAX ||
        put->attribute.size > QR_ATTRIBUTE_MAX)
        return QR_E_TOO_LARGE;
    if ((put->options & QR_PUT_EXPECT_ABSENT) && old)
        return QR_E_EXISTS;
    if ((put->options & QR_PUT_EXPECT_VERSION) && (old ? qr__number_of(old) : 0) != put->expected_version)
        return QR_E_VERSION_MISMATCH;
    if (old == NULL && (put->options & (QR_PUT_KEEP_VALUE | QR_PUT_KEEP_LEASE)))
        return QR_E_KEY_NOT_FOUND;
    if (!(put->options & QR_PUT_KEEP_LEASE) && put->lease != 0 && !qr__lease_exists(work->tree, put->lease))
        return QR_E_LEASE_NOT_FOUND;
    return QR_OK;
}

/* Builds the seldom parts: what the put sets, on top of what the key had. */
static qr__extra *extra_after(qr__work *work, const qr_put *put, const qr__version *old)
{
    qr__extra parts = {0};
    qr__extra *had = old ? qr__extra_of(old) : NULL;
    qr_slice attribute = qr_slice_of(NULL, 0);
    if (had) {
        parts = (qr__extra){.lease = had->lease,
                            .flags = had->flags,
                            .acl = had->acl,
                            .acl_version = had->acl_version,
                            .detach = had->detach};
        attribute = qr_slice_of(had->attribute, had->attribute_size);
    }
    if (!(put->options & QR_PUT_KEEP_LEASE)) {
        parts.lease = put->lease;
        parts.detach = put->lease != 0 && (put->options & QR_PUT_DETACH_ON_EXPIRY);
    }
    if (put->options & QR_PUT_SET_FLAGS)
        parts.flags = put->flags;
    if (put->options & QR_PUT_SET_ACL) {
        parts.acl = put->acl;
        parts.acl_version += old != NULL; /* counts changes; what a key is created with is its version 0 */
    }
    if (put->options & QR_PUT_SET_ATTRIBUTE)
        attribute = put->attribute;
    return qr__extra_new(&parts, attribute, had, &work->tree->records);
}

uint64_t qr__quota_charge(const qr_tree *tree)
{
    return tree->now.live_bytes + tree->directory_cost + QR__KEY_COST * tree->spaces[QR__SPACE_KEYS].live +
           QR__LEASE_COST * tree->spaces[QR__SPACE_LEASES].live +
           QR__KEY_COST * tree->spaces[QR__SPACE_ACLS].live;
}

static bool beyond_quota(const qr__work *work, const qr_put *put, const qr__version *old,
                         const qr__draft *draft, uint64_t key_size)
{
    const qr_tree *tree = work->tree;
    if (tree->config.quota_bytes == 0 || (put->space != QR_SPACE_KEYS && put->space != QR_SPACE_ACLS))
        return false;
    uint64_t head = QR__KEY_COST + key_size, had = old ? head + qr__content_size(old) : 0;
    uint64_t has = head + draft->value.size + (draft->extra ? draft->extra->attribute_size : 0u);
    /* The records that this put itself brings count from the next one on. */
    return qr__quota_charge(tree) - had + has > tree->config.quota_bytes;
}

/* What the put makes of the key; old: its version now, or NULL. */
static qr__draft draft_after(qr__work *work, const qr_put *put, const qr__version *old)
{
    const qr__version *like = put->options & QR_PUT_KEEP_VALUE ? old : NULL;
    int64_t stamp_ms = work->stamp_ms;
    return (qr__draft){.value = like ? qr__value_of(like) : put->value,
                       .like = like,
                       .extra = extra_after(work, put, old),
                       .number = old ? qr__number_of(old) + 1 : 1,
                       .create_revision = old ? qr__create_of(old) : 0,
                       .modified_ms =
                           old && qr__modified_of(old) > stamp_ms ? qr__modified_of(old) : stamp_ms,
                       .created_ms = old ? qr__created_of(old) : stamp_ms};
}

void qr__detach_key(qr__work *work, uint8_t space, qr__entry *entry)
{
    qr_put put = {.space = space, .options = QR_PUT_KEEP_VALUE};
    qr__path path;
    qr__index_path(qr__space_of(work->tree, space), qr__key_of(entry), &path);
    qr__draft draft = draft_after(work, &put, entry->newest);
    qr__change(work, space, qr__key_of(entry), &path, &draft);
}

qr_status qr__put_key(qr__work *work, const qr_put *put, qr_op_result *result)
{
    qr_tree *tree = work->tree;
    qr__index *index = qr__space_of(tree, put->space);
    if (index == NULL)
        return QR_E_INVALID;
    qr_slice key = put->key;
    qr_status status = put->options & QR_PUT_NUMBERED ? numbered_key(work, put, &key) : QR_OK;
    if (status != QR_OK)
        return status;
    if (put->options & QR_PUT_SAME_KEY)
        key = work->last_key;
    if ((put->options & QR_PUT_EXPECT_ABSENT) && put->space == QR_SPACE_KEYS && qr__path_present(tree, key))
        return QR_E_EXISTS;
    qr__path path;
    const qr__entry *before = qr__index_path(index, key, &path);
    const qr__version *old = before && qr__is_live(before->newest) ? before->newest : NULL;
    status = put_allowed(work, put, key, old);
    if (status != QR_OK)
        return status;
    qr__draft draft = draft_after(work, put, old);
    if (QR_BUG(tree->config.bug, WALL_CLOCK_APPLY))
        draft.modified_ms += (int64_t)tree->queries;
    if (beyond_quota(work, put, old, &draft, key.size)) {
        qr__extra_drop(draft.extra, &tree->records);
        return QR_E_QUOTA;
    }
    const qr__entry *entry = qr__change(work, put->space, key, &path, &draft);
    *result = (qr_op_result){.kind = QR_OP_PUT, .revision = tree->now.revision, .key = qr__key_of(entry)};
    if (put->space == QR_SPACE_KEYS)
        work->last_key = result->key;
    if (old && (put->options & QR_PUT_WANT_PREVIOUS)) {
        qr_key_value *previous = qr_arena_alloc(work->arena, sizeof *previous);
        qr__fill(entry, old, false, previous);
        result->kvs = previous;
        result->kv_count = 1;
    }
    return QR_OK;
}

/* ------------------------------------------------------------------ deletes ---- */

static size_t live_in_span(const qr__index *index, const qr_span *span, qr_arena *arena, qr__entry ***entries)
{
    if (qr__span_point(span)) {
        qr__entry *entry = qr__index_find(index, span->key);
        if (entry == NULL || !qr__is_live(entry->newest))
            return 0;
        *entries = qr_arena_alloc(arena, sizeof **entries);
        (*entries)[0] = entry;
        return 1;
    }
    qr_slice from;
    const qr_slice *to;
    uint64_t count = 0;
    if (qr__span_bounds(span, &from, &to))
        count = qr__index_count(index, from, to, UINT64_MAX);
    if (count == 0)
        return 0;
    *entries = qr_arena_alloc(arena, count * sizeof **entries);
    qr__cursor cursor = qr__cursor_seek(index, from);
    for (uint64_t i = 0; i < count; qr__cursor_next(&cursor))
        if (cursor.leaf->live >> cursor.at & 1)
            (*entries)[i++] = qr__cursor_entry(&cursor);
    return (size_t)count;
}

void qr__delete_key(qr__work *work, uint8_t space, qr__entry *entry)
{
    int64_t modified_ms = qr__modified_of(entry->newest);
    qr__draft tombstone = {.modified_ms = modified_ms > work->stamp_ms ? modified_ms : work->stamp_ms};
    qr__path path;
    qr__index_path(qr__space_of(work->tree, space), qr__key_of(entry), &path);
    qr__change(work, space, qr__key_of(entry), &path, &tombstone);
    if (space == QR_SPACE_KEYS && entry->key_size > 1)
        qr__record_end(work, QR_SPACE_ACLS, qr__key_of(entry));
}

static qr_status delete_span(qr__work *work, const qr_delete *del, qr_op_result *result)
{
    qr_tree *tree = work->tree;
    const qr__index *index = qr__space_of(tree, del->span.space);
    if (index == NULL)
        return QR_E_INVALID;
    qr__entry **entries = NULL;
    size_t count = live_in_span(index, &del->span, work->arena, &entries);
    qr_key_value *previous =
        count && del->want_previous ? qr_arena_alloc(work->arena, count * sizeof *previous) : NULL;
    for (size_t i = 0; i < count; i++) {
        if (previous)
            qr__fill(entries[i], entries[i]->newest, false, &previous[i]);
        qr__delete_key(work, del->span.space, entries[i]);
    }
    *result = (qr_op_result){.kind = QR_OP_DELETE,
                             .revision = tree->now.revision,
                             .kvs = previous,
                             .kv_count = previous ? count : 0,
                             .count = count};
    return QR_OK;
}

/* ---------------------------------------------------------------- execution ---- */

static qr_status execute(qr__work *work, const qr_txn *txn, qr_txn_result *result);

/* Queries are not bounded here: they cost only the replica that is asked, and have one door to answer to. */
static qr_status bounded(qr__work *work, qr_status status, const qr_op_result *result)
{
    if (status != QR_OK)
        return status;
    work->returned += result->kv_count;
    return work->index > 0 && work->returned > QR__RETURNED_MAX ? QR_E_TOO_LARGE : QR_OK;
}

/* Leases and alarms come and go by their own commands only, sessions go with their leases. */
static bool is_written(uint8_t space)
{
    return space != QR_SPACE_LEASES && space != QR_SPACE_ALARMS;
}

static qr_status execute_op(qr__work *work, const qr_op *op, qr_op_result *result)
{
    switch (op->kind) {
    case QR_OP_RANGE:
        return bounded(work, qr__range(work->tree, &op->range, work->base, work->arena, result), result);
    case QR_OP_PUT: return is_written(op->put.space) ? qr__put_key(work, &op->put, result) : QR_E_INVALID;
    case QR_OP_DELETE:
        if (!is_written(op->del.span.space) || op->del.span.space == QR_SPACE_SESSIONS)
            return QR_E_INVALID;
        return bounded(work, delete_span(work, &op->del, result), result);
    case QR_OP_TXN: {
        qr_txn_result *nested = qr_arena_zero(work->arena, 1, sizeof *nested);
        qr_status status = execute(work, op->txn, nested);
        *result = (qr_op_result){.kind = QR_OP_TXN, .revision = work->tree->now.revision, .txn = nested};
        return status;
    }
    case QR_OP_CHECK:
        *result = (qr_op_result){.kind = QR_OP_CHECK, .revision = work->tree->now.revision};
        return qr__check(work->tree, &op->check);
    }
    return QR_E_INVALID;
}

static qr_status execute(qr__work *work, const qr_txn *txn, qr_txn_result *result)
{
    bool holds = work->decisions[work->next_decision++];
    const qr_op *ops = holds ? txn->then_ops : txn->else_ops;
    size_t count = holds ? txn->then_count : txn->else_count;
    qr_op_result *results = count ? qr_arena_zero(work->arena, count, sizeof *results) : NULL;
    for (size_t i = 0; i < count; i++) {
        qr_status status = execute_op(work, &ops[i], &results[i]);
        result->failed_op = i;
        if (status != QR_OK)
            return status;
    }
    *result = (qr_txn_result){.revision = work->tree->now.revision,
                              .succeeded = holds,
                              .ops = results,
                              .op_count = count,
                              .failed_op = SIZE_MAX};
    return QR_OK;
}

qr_status qr__txn_apply(qr__work *work, const qr_txn *txn, qr_txn_result *result)
{
    decisions made = {0};
    result->failed_op = SIZE_MAX;
    qr_status status = decide(work, txn, &made);
    if (status != QR_OK)
        return status;
    work->decisions = made.list;
    status = execute(work, txn, result);
    if (status != QR_OK && !QR_BUG(work->tree->config.bug, UNDO_FORGETS))
        qr__undo_all(work);
    else if (status == QR_OK)
        QR_ASSERT(work->next_decision == made.count);
    return status;
}

qr_status qr__txn_query(qr_tree *tree, const qr_txn *txn, qr_arena *arena, qr_txn_result *result)
{
    if (qr_txn_writes(txn))
        return QR_E_INVALID;
    qr__work work = {.tree = tree, .arena = arena, .base = tree->now.revision, .before = tree->now};
    qr_status status = qr__txn_apply(&work, txn, result);
    QR_ASSERT(work.undo == NULL && work.sub == 0);
    return status;
}
