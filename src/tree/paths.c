/* What doors of paths ask: checks between operations, records of rights and of sessions, and everything about
 * one path. doc/design/paths.md. */
#include "tree/private.h"

#include <stdlib.h>

static const qr__version *live_in(const qr_tree *tree, qr__space space, qr_slice key)
{
    const qr__entry *entry = qr__index_find(&tree->spaces[space], key);
    return entry && qr__is_live(entry->newest) ? entry->newest : NULL;
}

/* ------------------------------------------------------------------- checks ---- */

/* A path that has no key is there exactly if it has a directory record, and "/" always is. */
static bool is_present(const qr__version *own, const qr_directory *record, qr_slice key)
{
    return own || record || qr_slice_equal(key, qr_slice_text("/"));
}

static uint64_t states_before(const qr__version *own, const qr_directory *record)
{
    return (record ? record->versions : 0) + (own ? qr__number_of(own) - 1 : 0);
}

static qr_status check_path(const qr_tree *tree, const qr_check *check)
{
    const qr__version *own = live_in(tree, QR__SPACE_KEYS, check->key);
    const qr_directory *record = qr__directory_find(tree, check->key);
    bool present = is_present(own, record, check->key);
    uint32_t tests = check->tests;
    if ((tests & (QR_CHECK_PRESENT | QR_CHECK_STATES)) && !present)
        return QR_E_KEY_NOT_FOUND;
    if ((tests & QR_CHECK_ABSENT) && present)
        return QR_E_EXISTS;
    if ((tests & QR_CHECK_UNLEASED) && own && qr__extra_of(own) && qr__extra_of(own)->lease != 0)
        return QR_E_HAS_LEASE;
    if ((tests & QR_CHECK_CHILDLESS) && record && record->children > 0)
        return QR_E_HAS_CHILDREN;
    if ((tests & QR_CHECK_STATES) && states_before(own, record) != check->states)
        return QR_E_VERSION_MISMATCH;
    return QR_OK;
}

/* A record that nobody looks at as a path. */
static qr_status check_record(const qr__version *own, const qr_check *check)
{
    if (check->tests & (QR_CHECK_UNLEASED | QR_CHECK_CHILDLESS))
        return QR_E_INVALID;
    if ((check->tests & QR_CHECK_PRESENT) && !own)
        return QR_E_KEY_NOT_FOUND;
    if ((check->tests & QR_CHECK_ABSENT) && own)
        return QR_E_EXISTS;
    if ((check->tests & QR_CHECK_STATES) && (own ? qr__number_of(own) : 0) != check->states)
        return QR_E_VERSION_MISMATCH;
    return QR_OK;
}

qr_status qr__check(const qr_tree *tree, const qr_check *check)
{
    if (QR_BUG(tree->config.bug, CHECK_IGNORED))
        return QR_OK;
    switch (check->space) {
    case QR_SPACE_KEYS: return check_path(tree, check);
    case QR_SPACE_ACLS: return check_record(live_in(tree, QR__SPACE_ACLS, check->key), check);
    case QR_SPACE_SESSIONS: return check_record(live_in(tree, QR__SPACE_SESSIONS, check->key), check);
    default: return QR_E_INVALID;
    }
}

bool qr__path_present(const qr_tree *tree, qr_slice key)
{
    return is_present(live_in(tree, QR__SPACE_KEYS, key), qr__directory_find(tree, key), key);
}

/* ------------------------------------------------------------------ records ---- */

/* The record of id 0 is no lease. */
static bool is_lease(const qr_tree *tree, qr_slice name)
{
    static const uint8_t zero[8];
    return live_in(tree, QR__SPACE_LEASES, name) && memcmp(name.data, zero, sizeof zero) != 0;
}

/* Rights stand with a key that lives, or with "/"; a session with its lease. */
qr_status qr__record_allowed(const qr_tree *tree, const qr_put *put, qr_slice key)
{
    if (put->space == QR_SPACE_ACLS) {
        if (put->value.size > QR_ACL_MAX)
            return QR_E_TOO_LARGE;
        bool stands = qr_slice_equal(key, qr_slice_text("/")) || live_in(tree, QR__SPACE_KEYS, key);
        return stands ? QR_OK : QR_E_KEY_NOT_FOUND;
    }
    if (put->space == QR_SPACE_SESSIONS) {
        if (put->value.size == 0 || put->value.size > QR_SESSION_MAX)
            return QR_E_INVALID;
        return is_lease(tree, key) ? QR_OK : QR_E_KEY_NOT_FOUND;
    }
    return QR_OK;
}

void qr__record_end(qr__work *work, uint8_t space, qr_slice key)
{
    if ((space == QR_SPACE_ACLS && QR_BUG(work->tree->config.bug, ACL_OUTLIVES_KEY)) ||
        (space == QR_SPACE_SESSIONS && QR_BUG(work->tree->config.bug, SESSION_OUTLIVES_LEASE)))
        return;
    qr__entry *entry = qr__index_find(qr__space_of(work->tree, space), key);
    if (entry && qr__is_live(entry->newest))
        qr__delete_key(work, space, entry);
}

const char *qr__records_broken(const qr_tree *tree)
{
    qr__cursor cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_ACLS], qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        qr_slice key = qr__key_of(entry);
        if (qr__is_live(entry->newest) && !qr_slice_equal(key, qr_slice_text("/")) &&
            !live_in(tree, QR__SPACE_KEYS, key))
            return "paths: rights of a key that is gone";
    }
    cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_SESSIONS], qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        if (qr__is_live(entry->newest) && !is_lease(tree, qr__key_of(entry)))
            return "paths: a session without its lease";
    }
    return NULL;
}

/* -------------------------------------------------------------------- query ---- */

typedef struct walk {
    const qr_tree *tree;
    qr_arena *arena;
    qr_buffer prefix; /* the path, and a slash */
    qr_slice *names;
    size_t count, room;
} walk;

static void found(walk *w, qr_slice name)
{
    if (w->count > 0 && qr_slice_equal(w->names[w->count - 1], name))
        return;
    if (w->count == w->room) {
        w->room = w->room ? w->room * 2 : 16;
        qr_slice *names = qr_arena_alloc(w->arena, w->room * sizeof *names);
        if (w->count)
            memcpy(names, w->names, w->count * sizeof *names);
        w->names = names;
    }
    w->names[w->count++] = name;
}

/* The part of the cursor's key up to the next slash; false: it stands outside the directory. */
static bool name_at(const walk *w, const qr__cursor *cursor, qr_slice *name, bool *deeper)
{
    qr_slice key = cursor->leaf ? qr__key_of(qr__cursor_entry(cursor)) : qr_slice_of(NULL, 0);
    if (!cursor->leaf || !qr_slice_starts(key, qr_buffer_slice(&w->prefix)))
        return false;
    *name = qr_slice_of(key.data + w->prefix.size, key.size - w->prefix.size);
    const uint8_t *slash = name->size ? memchr(name->data, '/', name->size) : NULL;
    *deeper = slash != NULL;
    if (slash)
        name->size = (size_t)(slash - name->data);
    return true;
}

/* What is right below the directory in this index; whatever lies deeper is leapt over, so that a child costs
 * the same however much is below it. */
static void collect(walk *w, const qr__index *index, bool of_records)
{
    qr_slice name;
    bool deeper;
    size_t size = w->prefix.size;
    qr__cursor cursor = qr__cursor_seek(index, qr_buffer_slice(&w->prefix));
    while (name_at(w, &cursor, &name, &deeper)) {
        if (deeper) {
            qr_buffer_add_slice(&w->prefix, name);
            qr_buffer_u8(&w->prefix, '/' + 1);
            cursor = qr__cursor_seek(index, qr_buffer_slice(&w->prefix));
            w->prefix.size = size;
            continue;
        }
        const qr__entry *entry = qr__cursor_entry(&cursor);
        bool is_there = of_records || (qr__is_live(entry->newest) && qr__path_valid(qr__key_of(entry)));
        if (name.size > 0 && is_there)
            found(w, name);
        qr__cursor_next(&cursor);
    }
}

static int compare_names(const void *a, const void *b)
{
    return qr_slice_compare(*(const qr_slice *)a, *(const qr_slice *)b);
}

/* Those with a key and those with a record: most have the one, some the other, some both. */
static void query_children(walk *w, qr_path_result *result)
{
    collect(w, &w->tree->spaces[QR__SPACE_KEYS], false);
    collect(w, &w->tree->directories, true);
    if (w->count > 1)
        qsort(w->names, w->count, sizeof *w->names, compare_names);
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++)
        if (kept == 0 || !qr_slice_equal(w->names[kept - 1], w->names[i]))
            w->names[kept++] = w->names[i];
    result->children = w->names;
    result->child_count = kept;
    QR_ASSERT(kept == result->directory.children);
}

/* Every path that is there is a key or has a record that says that it has none. */
static uint64_t count_descendants(const walk *w)
{
    uint64_t count = 0;
    qr_slice prefix = qr_buffer_slice(&w->prefix);
    qr__cursor cursor = qr__cursor_seek(&w->tree->spaces[QR__SPACE_KEYS], prefix);
    for (; cursor.leaf && qr_slice_starts(qr__key_of(qr__cursor_entry(&cursor)), prefix);
         qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        count +=
            qr__is_live(entry->newest) && entry->key_size > prefix.size && qr__path_valid(qr__key_of(entry));
    }
    cursor = qr__cursor_seek(&w->tree->directories, prefix);
    for (; cursor.leaf && qr_slice_starts(qr__key_of(qr__cursor_entry(&cursor)), prefix);
         qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        count += entry->key_size > prefix.size && entry->directory->figures.bare_revision > 0;
    }
    return count;
}

static const qr_key_value *fill(const qr_tree *tree, qr__space space, qr_slice key, qr_arena *arena)
{
    const qr__entry *entry = qr__index_find(&tree->spaces[space], key);
    if (entry == NULL || !qr__is_live(entry->newest))
        return NULL;
    qr_key_value *kv = qr_arena_zero(arena, 1, sizeof *kv);
    qr__fill(entry, entry->newest, false, kv);
    return kv;
}

void qr__path_query(const qr_tree *tree, const qr_query *query, qr_arena *arena, qr_path_result *result)
{
    qr_slice path = query->path;
    const qr_directory *record = qr__directory_find(tree, path);
    *result = (qr_path_result){.revision = tree->now.revision,
                               .present = qr__path_present(tree, path),
                               .kv = fill(tree, QR__SPACE_KEYS, path, arena),
                               .has_directory = record != NULL,
                               .acl = fill(tree, QR__SPACE_ACLS, path, arena)};
    if (record)
        result->directory = *record;
    if (!qr__path_valid(path) || (!query->want_children && !query->want_descendants))
        return;
    walk w = {.tree = tree, .arena = arena};
    qr_buffer_init(&w.prefix);
    qr_buffer_add_slice(&w.prefix, path);
    if (path.size > 1)
        qr_buffer_u8(&w.prefix, '/');
    if (query->want_children)
        query_children(&w, result);
    if (query->want_descendants)
        result->descendants = count_descendants(&w);
    qr_buffer_free(&w.prefix);
}
