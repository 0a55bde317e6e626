/* Every structural invariant of the tree, for tests and the simulator. Reads everything: O(n log n). */
#include "tree/private.h"

typedef struct totals {
    uint64_t live_bytes, history_bytes;
    uint64_t paths;      /* live keys other than "/" that are paths */
    uint64_t in_history; /* versions that an event in the log must point to */
} totals;

static const char *broken_version(const qr_tree *tree, const qr__version *version, bool counted)
{
    const qr__version *older = version->older;
    if (version->newer ? version->newer->older != version : false)
        return "record: chain of versions is torn";
    if (version->index > tree->applied_index || version->mod_revision > tree->now.revision)
        return "record: version from the future";
    if (version->create_revision > version->mod_revision)
        return "record: created after it was modified";
    if (version->version == 0 && (version->create_revision || version->value_size || version->extra))
        return "record: tombstone with contents";
    if (version->value_size > QR__INLINE_MAX && version->value.blob->size != version->value_size)
        return "record: value of another size";
    if (older == NULL)
        return NULL;
    if (older->newer != version)
        return "record: chain of versions is torn";
    if (older->index > version->index || older->mod_revision > version->mod_revision)
        return "record: versions out of order";
    if (counted && older->mod_revision == version->mod_revision && older->sub >= version->sub)
        return "record: sub-revisions out of order";
    bool continues = qr__is_live(older) && qr__is_live(version);
    if (continues &&
        (version->version != older->version + 1 || version->create_revision != older->create_revision))
        return "record: a life does not count up";
    if (continues && (version->modified_ms < older->modified_ms || version->created_ms != older->created_ms))
        return "record: time goes back";
    if (!continues && !qr__is_live(version) && !qr__is_live(older))
        return "record: deleted twice";
    if (!continues && qr__is_live(version) && version->version != 1)
        return "record: a life does not begin at one";
    return NULL;
}

static const char *broken_keys(const qr_tree *tree, const qr__index *index, bool counted, totals *sum)
{
    qr__cursor cursor = qr__cursor_seek(index, qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        if (entry->newest->newer)
            return "record: newest version is not the newest";
        for (const qr__version *version = entry->newest; version; version = version->older) {
            const char *broken = broken_version(tree, version, counted);
            if (broken)
                return broken;
            sum->in_history += version->mod_revision >= tree->compacted;
            if (version != entry->newest || !qr__is_live(version))
                sum->history_bytes += qr__version_cost(version);
        }
        if (!qr__is_live(entry->newest))
            continue;
        const qr__extra *extra = entry->newest->extra;
        sum->live_bytes += entry->key_size + (uint64_t)entry->newest->value_size;
        sum->live_bytes += extra ? extra->attribute_size : 0u;
        sum->paths += entry->key_size > 1 && qr__path_valid(qr__key_of(entry));
    }
    return NULL;
}

static const char *broken_history(const qr_tree *tree, uint64_t in_history)
{
    const qr__ring *ring = &tree->history;
    const qr__version *previous = NULL;
    uint64_t found = 0;
    if (tree->trimmed < ring->first || tree->trimmed > ring->end)
        return "history: trimmed outside of the log";
    for (uint64_t number = ring->first; number < ring->end; number++) {
        const qr__event *event = qr__ring_at(ring, number);
        const qr__version *version = event->version;
        const qr__version *in_chain = version->newer ? version->newer->older : event->entry->newest;
        if (previous && (version->mod_revision < previous->mod_revision ||
                         (version->mod_revision == previous->mod_revision && version->sub <= previous->sub)))
            return "history: events out of order";
        if (in_chain != version)
            return "history: event of a version that its key does not have";
        found += version->mod_revision >= tree->compacted;
        previous = version;
    }
    return found == in_history ? NULL : "history: a version without event";
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
        (key->create_revision < record->first_revision ||
         (record->versions == 0 && key->create_revision != record->first_revision)))
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
        broken = broken_history(tree, sum.in_history);
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
