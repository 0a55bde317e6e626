/* Every structural invariant of the tree, for tests and the simulator. Reads everything: O(n log n). */
#include "tree/private.h"

typedef struct totals {
    uint64_t live_bytes, history_bytes, children;
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
        sum->children += entry->key_size > 1 && qr__path_valid(qr__key_of(entry));
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

/* Live direct children, found by leaping over what lies deeper. */
static uint64_t count_children(const qr__index *keys, qr_slice path, qr_buffer *scratch)
{
    qr_buffer_clear(scratch);
    qr_buffer_add_slice(scratch, path);
    if (path.size > 1)
        qr_buffer_u8(scratch, '/');
    size_t prefix = scratch->size;
    uint64_t children = 0;
    qr__cursor cursor = qr__cursor_seek(keys, qr_buffer_slice(scratch));
    while (cursor.leaf) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        qr_slice key = qr__key_of(entry);
        if (!qr_slice_starts(key, qr_slice_of(scratch->data, prefix)))
            break;
        const uint8_t *slash = key.size > prefix ? memchr(key.data + prefix, '/', key.size - prefix) : NULL;
        if (slash == NULL) {
            children += key.size > prefix && qr__is_live(entry->newest) && qr__path_valid(key);
            qr__cursor_next(&cursor);
            continue;
        }
        scratch->size = prefix;
        qr_buffer_add(scratch, key.data + prefix, (size_t)(slash - key.data) - prefix);
        qr_buffer_u8(scratch, '/' + 1);
        cursor = qr__cursor_seek(keys, qr_buffer_slice(scratch));
    }
    return children;
}

static const char *broken_directories(const qr_tree *tree, uint64_t children)
{
    const qr__index *keys = &tree->spaces[QR__SPACE_KEYS];
    const char *broken = NULL;
    qr_buffer scratch;
    qr_buffer_init(&scratch);
    qr__cursor cursor = qr__cursor_seek(&tree->directories, qr_slice_of(NULL, 0));
    for (; cursor.leaf && !broken; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        const qr_directory *record = &entry->directory->figures;
        if (record->changes != 2 * record->created - record->children)
            broken = "directory: changes are not creations and deletions";
        else if (record->children != count_children(keys, qr__key_of(entry), &scratch))
            broken = "directory: wrong number of children";
        children -= record->children;
    }
    qr_buffer_free(&scratch);
    return broken ? broken : children ? "directory: a child without a record of its parent" : NULL;
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
        broken = broken_directories(tree, sum.children);
    if (broken)
        return broken;
    uint64_t events = tree->history.end - tree->history.first;
    if (sum.live_bytes != tree->now.live_bytes)
        return "tree: wrong sum of live bytes";
    if (sum.history_bytes + events * sizeof(qr__event) != tree->now.history_bytes)
        return "tree: wrong sum of history bytes";
    return NULL;
}
