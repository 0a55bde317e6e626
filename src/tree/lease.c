/* Leases: a record each in the space of leases, named by the id in eight bytes, most significant first; and
 * which keys have which lease. That a key has one stands in its own record; the attachments are an index over
 * that, whose keys are the lease's id, the space and the key: those of one lease lie together, in the order
 * in which they are to end. doc/design/leases.md says when leases end.
 *
 * The record of id 0, which no lease has, is the epoch in force. */
#include "tree/private.h"

#include <stdlib.h>

enum { NAME_SIZE = 8, RECORD_SIZE = 16 };

typedef struct record {
    uint64_t number;     /* ttl_ms; of id 0: the epoch */
    uint64_t generation; /* log index of the command that made the record */
} record;

static void store_name(int64_t id, uint8_t name[NAME_SIZE])
{
    for (int i = 0; i < NAME_SIZE; i++)
        name[i] = (uint8_t)((uint64_t)id >> (56 - 8 * i));
}

static int64_t load_name(const uint8_t *name)
{
    uint64_t id = 0;
    for (int i = 0; i < NAME_SIZE; i++)
        id = id << 8 | name[i];
    return (int64_t)id;
}

static record load_record(const qr__version *version)
{
    const uint8_t *bytes = qr__value_of(version).data;
    return (record){.number = qr_load_u64(bytes), .generation = qr_load_u64(bytes + 8)};
}

static qr__entry *find(const qr_tree *tree, int64_t id)
{
    uint8_t name[NAME_SIZE];
    store_name(id, name);
    qr__entry *entry = qr__index_find(&tree->spaces[QR__SPACE_LEASES], qr_slice_of(name, sizeof name));
    return entry && qr__is_live(entry->newest) ? entry : NULL;
}

bool qr__lease_exists(qr_tree *tree, int64_t lease)
{
    return lease != 0 && find(tree, lease) != NULL;
}

bool qr__lease_from(const qr_tree *tree, int64_t id, qr_machine_lease *lease)
{
    uint8_t name[NAME_SIZE];
    store_name(id == 0 ? 1 : id, name);
    qr__cursor cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_LEASES], qr_slice_of(name, sizeof name));
    while (cursor.leaf && !qr__is_live(qr__cursor_entry(&cursor)->newest))
        qr__cursor_next(&cursor);
    if (!cursor.leaf)
        return false;
    const qr__entry *entry = qr__cursor_entry(&cursor);
    record found = load_record(entry->newest);
    *lease = (qr_machine_lease){
        .id = load_name(entry->key), .generation = found.generation, .ttl_ms = found.number};
    return true;
}

uint64_t qr__lease_epoch(const qr_tree *tree, uint64_t *index)
{
    const qr__entry *entry = find(tree, 0);
    record found = entry ? load_record(entry->newest) : (record){0};
    *index = found.generation;
    return found.number;
}

/* ---------------------------------------------------------------- attachments ---- */

static int64_t lease_of(const qr__version *version)
{
    return qr__is_live(version) && qr__extra_of(version) ? qr__extra_of(version)->lease : 0;
}

static qr_slice attachment_key(qr_tree *tree, int64_t lease, uint8_t space, const qr__entry *entry)
{
    qr_buffer_clear(&tree->attachment);
    store_name(lease, qr_buffer_extend(&tree->attachment, NAME_SIZE));
    qr_buffer_u8(&tree->attachment, space);
    qr_buffer_add_slice(&tree->attachment, qr__key_of(entry));
    return qr_buffer_slice(&tree->attachment);
}

void qr__lease_moved(qr_tree *tree, uint8_t space, qr__entry *entry, const qr__version *from,
                     const qr__version *to)
{
    int64_t old = lease_of(from), new = lease_of(to);
    qr__path path;
    if (old == new)
        return;
    if (old != 0) {
        qr__entry *attachment =
            qr__index_path(&tree->attachments, attachment_key(tree, old, space, entry), &path);
        QR_CHECK(attachment != NULL, "a key with a lease is attached to it");
        qr__index_remove(&tree->attachments, &path);
        qr__entry_free(attachment, &tree->records);
    }
    if (new != 0) {
        qr_slice key = attachment_key(tree, new, space, entry);
        qr__index_path(&tree->attachments, key, &path);
        qr__entry *attachment = qr__entry_new(key, &tree->records);
        attachment->attached = entry;
        qr__index_insert(&tree->attachments, &path, attachment, true, 0);
    }
}

bool qr__lease_loaded(qr_tree *tree, uint8_t space, qr__entry *entry)
{
    bool is_record = space == QR_SPACE_LEASES && qr__is_live(entry->newest);
    if (is_record && (entry->key_size != NAME_SIZE || qr__value_of(entry->newest).size != RECORD_SIZE))
        return false;
    qr__lease_moved(tree, space, entry, NULL, entry->newest);
    return true;
}

void qr__leases_free(qr_tree *tree)
{
    qr__cursor cursor = qr__cursor_seek(&tree->attachments, qr_slice_of(NULL, 0));
    while (cursor.leaf) {
        qr__entry *entry = qr__cursor_entry(&cursor);
        qr__cursor_next(&cursor);
        qr__entry_free(entry, &tree->records);
    }
    qr__index_free(&tree->attachments);
    qr_buffer_free(&tree->attachment);
}

/* The attachments of a lease: from, and to unless there is nothing behind them. */
static uint64_t count_attached(const qr_tree *tree, int64_t lease, qr__cursor *cursor)
{
    uint8_t low[NAME_SIZE], high[NAME_SIZE];
    store_name(lease, low);
    store_name((int64_t)((uint64_t)lease + 1), high);
    qr_slice from = qr_slice_of(low, sizeof low), to = qr_slice_of(high, sizeof high);
    *cursor = qr__cursor_seek(&tree->attachments, from);
    return qr__index_count(&tree->attachments, from, lease == -1 ? NULL : &to, UINT64_MAX);
}

/* -------------------------------------------------------------------- commands ---- */

static void put_record(qr__work *work, int64_t id, uint64_t number)
{
    uint8_t name[NAME_SIZE], value[RECORD_SIZE];
    store_name(id, name);
    qr_store_u64(value, number);
    qr_store_u64(value + 8, work->index);
    qr_put put = {.space = QR_SPACE_LEASES,
                  .key = qr_slice_of(name, sizeof name),
                  .value = qr_slice_of(value, sizeof value)};
    qr_op_result ignored;
    QR_CHECK(qr__put_key(work, &put, &ignored) == QR_OK, "a record of a lease can always be written");
}

static void put_session(qr__work *work, int64_t id, qr_slice session)
{
    uint8_t name[NAME_SIZE];
    store_name(id, name);
    qr_put put = {.space = QR_SPACE_SESSIONS, .key = qr_slice_of(name, sizeof name), .value = session};
    qr_op_result ignored;
    QR_CHECK(qr__put_key(work, &put, &ignored) == QR_OK, "the record of a session can always be written");
}

static qr_status grant(qr__work *work, int64_t id, uint64_t ttl_ms, qr_slice session)
{
    const qr_tree *tree = work->tree;
    if (find(tree, id))
        return QR_E_LEASE_EXISTS;
    if (tree->config.quota_bytes && qr__quota_charge(tree) + QR__LEASE_COST > tree->config.quota_bytes)
        return QR_E_QUOTA;
    put_record(work, id, ttl_ms);
    if (session.size > 0)
        put_session(work, id, session);
    return QR_OK;
}

typedef struct victim {
    qr__entry *entry;
    uint8_t space;
} victim;

static int compare_victims(const void *a_in, const void *b_in)
{
    const victim *a = a_in, *b = b_in;
    if (a->space != b->space)
        return a->space < b->space ? -1 : 1;
    return qr_slice_compare(qr__key_of(a->entry), qr__key_of(b->entry));
}

/* Ends leases with their keys: those of all of them in their order, in one revision. */
static void end_leases(qr__work *work, qr__entry *const *leases, size_t count)
{
    qr_tree *tree = work->tree;
    qr__cursor cursor;
    uint64_t keys = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        keys += count_attached(tree, load_name(leases[i]->key), &cursor);
    victim *victims = keys ? qr_arena_alloc(work->arena, keys * sizeof *victims) : NULL;
    for (size_t i = 0; i < count; i++)
        for (uint64_t left = count_attached(tree, load_name(leases[i]->key), &cursor); left > 0; left--) {
            const qr__entry *attachment = qr__cursor_entry(&cursor);
            victims[at++] = (victim){.entry = attachment->attached, .space = attachment->key[NAME_SIZE]};
            qr__cursor_next(&cursor);
        }
    if (count > 1 && keys > 1)
        qsort(victims, keys, sizeof *victims, compare_victims);
    for (uint64_t i = 0; i < keys; i++) {
        bool stays = qr__extra_of(victims[i].entry->newest)->detach;
        (stays ? qr__detach_key : qr__delete_key)(work, victims[i].space, victims[i].entry);
    }
    for (size_t i = 0; i < count; i++) {
        qr__record_end(work, QR_SPACE_SESSIONS, qr__key_of(leases[i]));
        qr__delete_key(work, QR_SPACE_LEASES, leases[i]);
    }
}

static qr_status revoke(qr__work *work, int64_t id)
{
    qr__entry *lease = find(work->tree, id);
    if (!lease)
        return QR_E_LEASE_NOT_FOUND;
    end_leases(work, &lease, 1);
    return QR_OK;
}

/* What a leader of the past proposed is void: a later one may have renewed them. */
static void expire(qr__work *work, const qr_body *body)
{
    uint64_t index;
    if (body->epoch != qr__lease_epoch(work->tree, &index) && !QR_BUG(work->tree->config.bug, LEASE_NO_EPOCH))
        return;
    qr__entry **leases = qr_arena_alloc(work->arena, body->ended_count * sizeof *leases);
    size_t count = 0;
    for (size_t i = 0; i < body->ended_count; i++) {
        qr__entry *lease = find(work->tree, body->ended[i].id);
        if (lease && load_record(lease->newest).generation == body->ended[i].generation)
            leases[count++] = lease;
    }
    end_leases(work, leases, count);
}

qr_status qr__lease_apply(qr__work *work, const qr_body *body)
{
    uint64_t index;
    switch (body->kind) {
    case QR_BODY_LEASE_GRANT: return grant(work, body->lease, body->ttl_ms, body->session);
    case QR_BODY_LEASE_REVOKE: return revoke(work, body->lease);
    case QR_BODY_LEASE_EXPIRE: expire(work, body); return QR_OK;
    default:
        QR_ASSERT(body->kind == QR_BODY_LEASE_EPOCH);
        if (body->epoch > qr__lease_epoch(work->tree, &index))
            put_record(work, 0, body->epoch);
        return QR_OK;
    }
}

/* --------------------------------------------------------------------- queries ---- */

static qr_lease_record describe(const qr__entry *entry)
{
    record found = load_record(entry->newest);
    return (qr_lease_record){.id = load_name(entry->key),
                             .generation = found.generation,
                             .ttl_ms = found.number,
                             .granted_ms = qr__created_of(entry->newest)};
}

static void query_keys(const qr_tree *tree, int64_t lease, qr_arena *arena, qr_leases_result *result)
{
    qr__cursor cursor;
    uint64_t left = count_attached(tree, lease, &cursor);
    qr_slice *keys = left ? qr_arena_alloc(arena, left * sizeof *keys) : NULL;
    for (; left > 0; left--) {
        const qr__entry *attachment = qr__cursor_entry(&cursor);
        if (attachment->key[NAME_SIZE] == QR_SPACE_KEYS)
            keys[result->key_count++] = qr__key_of(attachment->attached);
        qr__cursor_next(&cursor);
    }
    result->keys = keys;
}

void qr__lease_query(const qr_tree *tree, const qr_query *query, qr_arena *arena, qr_leases_result *result)
{
    *result = (qr_leases_result){.revision = tree->now.revision};
    bool all = query->kind == QR_QUERY_LEASES;
    const qr__entry *one = all || query->lease == 0 ? NULL : find(tree, query->lease);
    if (!all && !one)
        return;
    qr_lease_record *list =
        qr_arena_alloc(arena, (all ? tree->spaces[QR__SPACE_LEASES].live + 1 : 1) * sizeof *list);
    result->leases = list;
    if (one) {
        list[result->count++] = describe(one);
        if (query->want_keys)
            query_keys(tree, query->lease, arena, result);
        return;
    }
    qr__cursor cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_LEASES], qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        if (qr__is_live(entry->newest) && load_name(entry->key) != 0)
            list[result->count++] = describe(entry);
    }
}

/* ------------------------------------------------------------------ invariants ---- */

static const char *broken_attachment(const qr_tree *tree, const qr__entry *attachment)
{
    if (attachment->key_size <= QR__ATTACHMENT_HEAD)
        return "lease: attachment of no key";
    qr_slice key =
        qr_slice_of(attachment->key + QR__ATTACHMENT_HEAD, attachment->key_size - QR__ATTACHMENT_HEAD);
    const qr__index *index = qr__space_of((qr_tree *)tree, attachment->key[NAME_SIZE]);
    if (!index || qr__index_find(index, key) != attachment->attached)
        return "lease: attachment of another key";
    if (lease_of(attachment->attached->newest) != load_name(attachment->key))
        return "lease: attachment of a key without that lease";
    return find(tree, load_name(attachment->key)) ? NULL : "lease: attachment to no lease";
}

const char *qr__leases_broken(const qr_tree *tree)
{
    const char *broken = qr__index_broken(&tree->attachments, true);
    uint64_t leased = 0;
    for (int space = 0; space < QR__SPACE_COUNT && !broken; space++) {
        qr__cursor cursor = qr__cursor_seek(&tree->spaces[space], qr_slice_of(NULL, 0));
        for (; cursor.leaf && !broken; qr__cursor_next(&cursor)) {
            const qr__entry *entry = qr__cursor_entry(&cursor);
            leased += lease_of(entry->newest) != 0;
            if (space == QR__SPACE_LEASES && qr__is_live(entry->newest) &&
                (entry->key_size != NAME_SIZE || qr__value_of(entry->newest).size != RECORD_SIZE))
                broken = "lease: record of another size";
        }
    }
    qr__cursor cursor = qr__cursor_seek(&tree->attachments, qr_slice_of(NULL, 0));
    for (; cursor.leaf && !broken; qr__cursor_next(&cursor))
        broken = broken_attachment(tree, qr__cursor_entry(&cursor));
    if (!broken && leased != tree->attachments.entries)
        broken = "lease: a key with a lease that is not attached to it";
    return broken;
}
