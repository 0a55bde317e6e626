/* Directory records: what a parent knows of its direct children, for keys that are well-formed paths.
 *
 * A record comes into being with the first child and counts every creation and deletion of a direct child,
 * whoever makes it. It ends when nothing is left that could be seen as that directory: with the deletion of
 * the directory's own key while it has no children, or with the last child while it has no own key. What is
 * created there later starts from zero. The record of "/" is never dropped. */
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

void qr__directory_put(qr_tree *tree, qr_slice path, const qr_directory *record)
{
    qr__path place;
    qr__entry *entry = qr__index_path(&tree->directories, path, &place);
    if (entry == NULL && record == NULL)
        return;
    if (tree->save && entry)
        qr__save_directory(tree, entry);
    if (record == NULL) {
        qr__index_remove(&tree->directories, &place);
        tree->record_bytes -= sizeof *entry->directory;
        qr_free(entry->directory);
        qr__entry_free(entry, &tree->record_bytes);
        return;
    }
    if (entry == NULL) {
        entry = qr__entry_new(path, &tree->record_bytes);
        entry->directory = qr_alloc_zero(1, sizeof *entry->directory);
        tree->record_bytes += sizeof *entry->directory;
        entry->directory->stashed = tree->save ? tree->saves : 0; /* not there when the save began */
        qr__index_insert(&tree->directories, &place, entry, true, 0);
    }
    entry->directory->figures = *record;
}

static void replace(qr__work *work, qr_slice path, const qr_directory *old, const qr_directory *record)
{
    qr__undo_directory(work, path, old);
    qr__directory_put(work->tree, path, record);
    qr__digest_directory(work->tree, path, record);
}

void qr__directory_note(qr__work *work, qr_slice key, bool created)
{
    qr_tree *tree = work->tree;
    if (key.size <= 1 || !qr__path_valid(key))
        return;
    qr_slice parent = qr__path_parent(key);
    const qr_directory *old = qr__directory_find(tree, parent);
    qr_directory record = old ? *old : (qr_directory){0};
    QR_ASSERT(created || record.children > 0);
    record.created += created;
    record.changes++;
    record.children = created ? record.children + 1 : record.children - 1;
    record.last_revision = tree->now.revision;
    bool stays = record.children > 0 || parent.size == 1;
    if (!stays) {
        const qr__entry *own = qr__index_find(&tree->spaces[QR__SPACE_KEYS], parent);
        stays = own && qr__is_live(own->newest);
    }
    replace(work, parent, old, stays ? &record : NULL);
    if (!created) {
        const qr_directory *own = qr__directory_find(tree, key);
        if (own && own->children == 0)
            replace(work, key, own, NULL);
    }
}
