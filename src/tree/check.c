/* Every structural invariant of the tree, for tests and the simulator. Reads everything: O(n log n). */
#include "tree/private.h"

typedef struct totals {
    uint64_t live_bytes, history_bytes;
    uint64_t paths;  /* live keys other than "/" that are paths */
    uint64_t events; /* versions that an event in the log points to */
} totals;

static const char *broken_version(const qr_tree *tree, const qr__version *version, bool counted)
{
    const qr__version *older = qr__older_of(version);
    uint64_t mod = qr__mod_of(version), number = qr__number_of(version);
    if (qr__index_of(version) > tree->applied_index || mod > tree->now.revision)
        return "record: version from the future";
    if (qr__create_of(version) > mod)
        return "record: created after it was modified";
    if (number == 0 && (qr__create_of(version) || qr__content_size(version) || qr__extra_of(version)))
        return "record: tombstone with contents";
    if (qr__blob_of(version) ? qr__blob_of(version)->size <= QR__INLINE_MAX
                             : version->inline_size > QR__INLINE_MAX)
        return "record: value of another size";
    if (older == NULL)
        return NULL;
    if (qr__index_of(older) > qr__index_of(version) || qr__mod_of(older) > mod)
        return "record: versions out of order";
    if (counted && qr__mod_of(older) == mod && older->sub >= version->sub)
        return "record: sub-revisions out of order";
    bool continues = qr__is_live(older) && qr__is_live(version);
    if (continues && (number != qr__number_of(older) + 1 || qr__create_of(version) != qr__create_of(older)))
        return "record: a life does not count up";
    if (continues && (qr__modified_of(version) < qr__modified_of(older) ||
                      qr__created_of(version) != qr__created_of(older)))
        return "record: time goes back";
    if (!continues && !qr__is_live(version) && !qr__is_live(older))
        return "record: deleted twice";
    if (!continues && qr__is_live(version) && number != 1)
        return "record: a life does not begin at one";
    return NULL;
}

static bool has_event(const qr_tree *tree, const qr__entry *entry, const qr__version *version)
{
    uint64_t at = qr__history_place(tree, qr__mod_of(version), version->sub);
    if (at == tree->history.end)
        return false;
    const qr__event *event = qr__ring_at(&tree->history, at);
    return event->version == version && event->entry == entry;
}

/* A version in the space of keys, with its event and what it is charged. newer: NULL for the newest. */
static const char *broken_in_history(const qr_tree *tree, const qr__entry *entry, const qr__version *version,
                                     const qr__version *newer, totals *sum)
{
    bool is_told = has_event(tree, entry, version);
    if (!is_told && qr__mod_of(version) >= tree->compacted)
        return "history: a version without event";
    sum->events += is_told;
    bool is_charged = qr__is_live(version) ? newer != NULL : is_told;
    sum->history_bytes += is_charged ? qr__version_cost(version, newer) : 0;
    return NULL;
}

static const char *broken_keys(const qr_tree *tree, const qr__index *index, bool counted, totals *sum)
{
    qr__cursor cursor = qr__cursor_seek(index, qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        const qr__version *newer = NULL, *version = entry->newest;
        for (; version; newer = version, version = qr__older_of(version)) {
            const char *broken = broken_version(tree, version, counted);
            if (!broken && counted)
                broken = broken_in_history(tree, entry, version, newer, sum);
            if (broken)
                return broken;
        }
        if (!qr__is_live(entry->newest))
            continue;
        sum->live_bytes += entry->key_size + qr__content_size(entry->newest);
        sum->paths += entry->key_size > 1 && qr__path_valid(qr__key_of(entry));
    }
    return NULL;
}

static const char *broken_history(const qr_tree *tree, uint64_t events)
{
    const qr__ring *ring = &tree->history;
    const qr__version *previous = NULL;
    if (tree->trimmed < ring->first || tree->trimmed > ring->end)
        return "history: trimmed outside of the log";
    for (uint64_t number = ring->first; number < ring->end; number++) {
        const qr__version *version = qr__ring_at(ring, number)->version;
        if (previous && (qr__mod_of(version) < qr__mod_of(previous) ||
                         (qr__mod_of(version) == qr__mod_of(previous) && version->sub <= previous->sub)))
            return "history: events out of order";
        previous = version;
    }
    return events == ring->end - ring->first ? NULL
                                             : "history: event of a version that its key does not have";
}

/* ---------------------------------------------------------------- directories ---- */

/* Is the entry below the prefix? Then name is its part up to the next slash, and deeper says whether there is
 * one. */
static bool below_prefix(const qr__cursor *cursor, qr_slice prefix, qr_slice *name, bool *deeper)
{
    if (cursor->leaf == NULL)
        return false;
    qr_slice key = qr__key_of(qr__cursor_entry(cursor));
    if (!qr_slice_starts(key, prefix))
        return false;
    *name = qr_slice_of(key.data + prefix.size, key.size - prefix.size);
    const uint8_t *slash = name->size ? memchr(name->data, '/', name->size) : NULL;
    *deeper = slash != NULL;
    if (slash)
        name->size = (size_t)(slash - name->data);
    return true;
}

/* Entries directly below the directory whose path with a slash is in scratch; what lies deeper is leapt over.
 */
static uint64_t count_direct(const qr_tree *tree, const qr__index *index, qr_buffer *scratch)
{
    size_t prefix = scratch->size;
    uint64_t count = 0;
    qr_slice name;
    bool deeper;
    qr__cursor cursor = qr__cursor_seek(index, qr_buffer_slice(scratch));
    while (below_prefix(&cursor, qr_slice_of(scratch->data, prefix), &name, &deeper)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        if (deeper) {
            qr_buffer_add_slice(scratch, name);
            qr_buffer_u8(scratch, '/' + 1);
            cursor = qr__cursor_seek(index, qr_buffer_slice(scratch));
            scratch->size = prefix;
            continue;
        }
        if (index != &tree->directories)
            count += name.size > 0 && qr__is_live(entry->newest) && qr__path_valid(qr__key_of(entry));
        else
            count += name.size > 0 && entry->directory->figures.bare_revision > 0;
        qr__cursor_next(&cursor);
    }
    return count;
}

static const char *broken_directory(const qr_tree *tree, const qr__entry *entry, qr_buffer *scratch)
{
    const qr__index *keys = &tree->spaces[QR__SPACE_KEYS];
    const qr_directory *record = &entry->directory->figures;
    qr_slice path = qr__key_of(entry);
    bool is_root = path.size == 1;
    const qr__entry *own = qr__index_find(keys, path);
    const qr__version *key = own && qr__is_live(own->newest) ? own->newest : NULL;
    if (!qr__path_valid(path))
        return "directory: record of something that is no path";
    if (key ? record->bare_revision > 0 : record->bare_revision == 0 && !is_root)
        return "directory: does not know whether it has a key";
    if (!key && !is_root && record->children == 0)
        return "directory: record of nothing";
    if (record->changes != 2 * record->created - record->children)
        return "directory: changes are not appearances and disappearances";
    if (record->last_revision > tree->now.revision || record->first_revision > record->last_revision ||
        record->bare_revision > tree->now.revision || (record->first_revision == 0) != is_root)
        return "directory: revisions out of order";
    if (key && !is_root &&
        (qr__create_of(key) < record->first_revision ||
         (record->versions == 0 && qr__create_of(key) != record->first_revision)))
        return "directory: key and record do not agree on the beginning";
    qr_buffer_clear(scratch);
    qr_buffer_add_slice(scratch, path);
    if (!is_root)
        qr_buffer_u8(scratch, '/');
    uint64_t children = count_direct(tree, keys, scratch) + count_direct(tree, &tree->directories, scratch);
    return record->children == children ? NULL : "directory: wrong number of children";
}

/* Each record against the keys and the records directly below it, and then all of them together: every path
 * that can be seen, which is a key or has a record, must have been counted by its parent. Paths are finite,
 * so each record stands on keys in the end. */
static const char *broken_directories(const qr_tree *tree, uint64_t keys)
{
    const char *broken = NULL;
    uint64_t seen = keys, counted = 0, cost = 0;
    qr_buffer scratch;
    qr_buffer_init(&scratch);
    qr__cursor cursor = qr__cursor_seek(&tree->directories, qr_slice_of(NULL, 0));
    for (; cursor.leaf && !broken; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        broken = broken_directory(tree, entry, &scratch);
        seen += entry->key_size > 1 && entry->directory->figures.bare_revision > 0;
        counted += entry->directory->figures.children;
        cost += QR__DIRECTORY_COST + (uint64_t)entry->key_size;
    }
    qr_buffer_free(&scratch);
    if (!broken && seen != counted)
        broken = "directory: a child without a record of its parent";
    return broken ? broken : cost != tree->directory_cost ? "directory: wrong sum of costs" : NULL;
}

const char *qr__broken(const qr_tree *tree)
{
    totals sum = {0};
    const char *broken = NULL;
    if (tree->compacted > tree->now.revision)
        return "history: compacted beyond the newest revision";
    for (int space = 0; space < QR__SPACE_COUNT && !broken; space++) {
        totals hidden = {0};
        bool counted = space == QR__SPACE_KEYS;
        broken = qr__index_broken(&tree->spaces[space], false);
        if (!broken)
            broken = broken_keys(tree, &tree->spaces[space], counted, counted ? &sum : &hidden);
    }
    if (!broken)
        broken = qr__index_broken(&tree->directories, true);
    if (!broken)
        broken = broken_history(tree, sum.events);
    if (!broken)
        broken = broken_directories(tree, sum.paths);
    if (!broken)
        broken = qr__leases_broken(tree);
    if (!broken)
        broken = qr__alarms_broken(tree);
    if (!broken)
        broken = qr__records_broken(tree);
    if (broken)
        return broken;
    uint64_t events = tree->history.end - tree->history.first;
    if (sum.live_bytes != tree->now.live_bytes)
        return "tree: wrong sum of live bytes";
    if (sum.history_bytes + events * sizeof(qr__event) != tree->now.history_bytes)
        return "tree: wrong sum of history bytes";
    return NULL;
}
