/* Directory records: what a parent knows of its direct children, for keys that are well-formed paths.
 *
 * A path can be seen while its own key lives or while a path below it can be seen: so "/a" and "/a/b" are
 * there as soon as "/a/b/c" is a key. A record comes into being with the first child that can be seen and
 * counts every child that appears or disappears, whoever makes it so; it ends when the directory itself
 * disappears, and what appears there later starts from zero. So outside of "/", which is always there and
 * whose record never ends, a path without a live key can be seen exactly if it has a record.
 *
 * The walk up from a key ends at the first directory that was there before, and stays: the next key in it
 * changes one record, the first one below a new path of n levels n records, at most QR_PATH_LEVELS_MAX. */
#include "tree/private.h"

/* Length of the well-formed character at text[0], or 0: a control character, malformed UTF-8, or one of the
 * ranges that paths do not allow: U+0000-001F, 007F-009F, D800-F8FF, FFF0-FFFF; nor anything that takes two
 * UTF-16 units. */
static size_t character_size(const uint8_t *text, size_t left)
{
    uint8_t first = text[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f;
    if (first >= 0xc2 && first <= 0xdf) {
        if (left < 2 || (text[1] & 0xc0) != 0x80)
            return 0;
        return first == 0xc2 && text[1] <= 0x9f ? 0 : 2;
    }
    if (first < 0xe0 || first > 0xef || left < 3 || (text[1] & 0xc0) != 0x80 || (text[2] & 0xc0) != 0x80)
        return 0;
    uint32_t code = (uint32_t)(first & 0x0f) << 12 | (uint32_t)(text[1] & 0x3f) << 6 | (text[2] & 0x3fu);
    return code < 0x800 || (code >= 0xd800 && code <= 0xf8ff) || code >= 0xfff0 ? 0 : 3;
}

static bool segment_valid(qr_slice segment)
{
    if (segment.size == 0)
        return false;
    if (segment.data[0] == '.' && (segment.size == 1 || (segment.size == 2 && segment.data[1] == '.')))
        return false;
    for (size_t at = 0; at < segment.size;) {
        size_t size = character_size(segment.data + at, segment.size - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

bool qr__path_valid(qr_slice key)
{
    if (key.size == 0 || key.size > QR_PATH_MAX || key.data[0] != '/')
        return false;
    if (key.size == 1)
        return true;
    size_t from = 1;
    for (unsigned levels = 0; from <= key.size; levels++) {
        if (levels == QR_PATH_LEVELS_MAX)
            return false;
        const uint8_t *slash = from < key.size ? memchr(key.data + from, '/', key.size - from) : NULL;
        size_t end = slash ? (size_t)(slash - key.data) : key.size;
        if (!segment_valid(qr_slice_of(key.data + from, end - from)))
            return false;
        from = end + 1;
    }
    return true;
}

qr_slice qr__path_parent(qr_slice path)
{
    QR_ASSERT(path.size > 1 && path.data[0] == '/');
    size_t size = path.size;
    while (path.data[size - 1] != '/')
        size--;
    return qr_slice_of(path.data, size > 1 ? size - 1 : 1);
}

const qr_directory *qr__directory_find(const qr_tree *tree, qr_slice path)
{
    const qr__entry *entry = qr__index_find(&tree->directories, path);
    return entry ? &entry->directory->figures : NULL;
}

/* ------------------------------------------------------------------ storing ---- */

static uint64_t cost_of(const qr__entry *entry)
{
    return QR__DIRECTORY_COST + (uint64_t)entry->key_size;
}

static qr__entry *add(qr_tree *tree, qr_slice path, qr__path *place)
{
    qr__entry *entry = qr__entry_new(path, &tree->records);
    entry->directory = qr_slab_alloc(&tree->records, sizeof *entry->directory);
    /* Not there when the save began. */
    *entry->directory = (qr__directory){.stashed = tree->save ? tree->saves : 0};
    tree->directory_cost += cost_of(entry);
    qr__index_insert(&tree->directories, place, entry, true, 0);
    return entry;
}

void qr__directory_put(qr_tree *tree, qr_slice path, const qr_directory *record)
{
    qr__path place;
    qr__entry *entry = qr__index_path(&tree->directories, path, &place);
    if (entry && tree->save)
        qr__save_directory(tree, entry);
    if (record) {
        entry = entry ? entry : add(tree, path, &place);
        entry->directory->figures = *record;
    } else if (entry) {
        qr__index_remove(&tree->directories, &place);
        tree->directory_cost -= cost_of(entry);
        qr_slab_free(&tree->records, entry->directory, sizeof *entry->directory);
        qr__entry_free(entry, &tree->records);
    }
}

/* ----------------------------------------------------------------- changing ---- */

static const qr__version *own_key(const qr_tree *tree, qr_slice path)
{
    const qr__entry *entry = qr__index_find(&tree->spaces[QR__SPACE_KEYS], path);
    return entry && qr__is_live(entry->newest) ? entry->newest : NULL;
}

/* The record of a path, about to be changed; *made: there was none. Good until the next record comes or goes.
 */
static qr_directory *touch(qr__work *work, qr_slice path, bool *made)
{
    qr_tree *tree = work->tree;
    qr__path place;
    qr__entry *entry = qr__index_path(&tree->directories, path, &place);
    *made = entry == NULL;
    qr__undo_directory(work, path, entry ? &entry->directory->figures : NULL);
    if (entry == NULL)
        entry = add(tree, path, &place);
    else if (tree->save)
        qr__save_directory(tree, entry);
    return &entry->directory->figures;
}

static void drop(qr__work *work, qr_slice path, const qr_directory *record)
{
    qr__undo_directory(work, path, record);
    qr__directory_put(work->tree, path, NULL);
    qr__digest_directory(work->tree, path, NULL);
}

/* Fills a new record with what the directory itself has been so far; says whether it could be seen before. */
static bool begin(qr__work *work, qr_slice path, qr_directory *record)
{
    if (path.size == 1)
        return true;
    const qr__version *own = own_key(work->tree, path);
    record->first_revision = own ? qr__create_of(own) : work->tree->now.revision;
    record->first_ms = own ? qr__created_of(own) : work->stamp_ms;
    record->bare_revision = own ? 0 : record->first_revision;
    record->bare_ms = own ? 0 : record->first_ms;
    return own != NULL;
}

/* A directory that can be seen gets a key of its own, or loses it: that is one more state of its data. */
static void note_own(qr__work *work, qr_slice path, const qr__version *version)
{
    bool made;
    qr_directory *record = touch(work, path, &made);
    QR_ASSERT(!made || path.size == 1);
    if (qr__is_live(version)) {
        record->versions++;
        record->bare_revision = 0;
        record->bare_ms = 0;
    } else {
        record->versions += qr__number_of(qr__older_of(version));
        record->bare_revision = qr__mod_of(version);
        record->bare_ms = qr__modified_of(version);
    }
    qr__digest_directory(work->tree, path, record);
}

static void note_child(qr__work *work, qr_directory *record, bool appears)
{
    QR_ASSERT(appears || record->children > 0);
    record->created += appears;
    record->changes += appears || !QR_BUG(work->tree->config.bug, DEPARTURE_UNCOUNTED);
    record->children = appears ? record->children + 1 : record->children - 1;
    record->last_revision = work->tree->now.revision;
}

/* Returns in how many directories. */
static uint32_t appear(qr__work *work, qr_slice path)
{
    bool seen_before = false;
    uint32_t levels = 0;
    while (path.size > 1 && !seen_before) {
        path = qr__path_parent(path);
        bool made;
        qr_directory *record = touch(work, path, &made);
        seen_before = !made || begin(work, path, record);
        note_child(work, record, true);
        qr__digest_directory(work->tree, path, record);
        levels++;
    }
    return levels;
}

/* Likewise. */
static uint32_t disappear(qr__work *work, qr_slice path)
{
    bool stays = false;
    uint32_t levels = 0;
    while (path.size > 1 && !stays) {
        path = qr__path_parent(path);
        levels++;
        const qr_directory *old = qr__directory_find(work->tree, path);
        QR_CHECK(old != NULL && old->children > 0, "a key without a record of its parent");
        stays = old->children > 1 || path.size == 1 || old->bare_revision == 0;
        if (!stays) {
            drop(work, path, old);
            continue;
        }
        bool made;
        qr_directory *record = touch(work, path, &made);
        note_child(work, record, false);
        qr__digest_directory(work->tree, path, record);
    }
    return levels;
}

uint8_t qr__directory_levels(qr_slice key, const qr__version *version)
{
    return qr__number_of(version) <= 1 && key.size > 1 && qr__path_valid(key);
}

void qr__directory_note(qr__work *work, const qr__entry *entry)
{
    qr_slice key = qr__key_of(entry);
    qr__version *version = entry->newest;
    version->levels = qr__directory_levels(key, version);
    QR_ASSERT(qr__is_live(version) != qr__is_live(qr__older_of(version)));
    if (!qr__path_valid(key))
        return;
    const qr_directory *record = qr__directory_find(work->tree, key);
    uint32_t levels = 0;
    if (key.size == 1 || (record && record->children > 0)) {
        note_own(work, key, version);
    } else if (qr__is_live(version)) {
        QR_ASSERT(record == NULL);
        levels = appear(work, key);
    } else {
        if (record)
            drop(work, key, record);
        levels = disappear(work, key);
    }
    if (work->rules >= QR__LEVELS_RULES)
        version->levels = levels;
}
