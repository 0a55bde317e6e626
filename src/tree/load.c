/* The way back: chunks of an image into an empty tree. Indexes, sums and the event log are made anew. */
#include "tree/image.h"
#include "tree/private.h"

#include <stdlib.h>

struct qr__load {
    uint64_t chunks, keys, versions;
    uint64_t chain;
    uint64_t digest;
    uint64_t revision, compacted, index;
    int space;
    qr__entry *entry;    /* the key whose versions are being read; in the index once it has one */
    qr__version *oldest; /* its oldest version so far */
    bool headed, ended;
};

void qr__load_end(qr_tree *tree)
{
    if (tree->load == NULL)
        return;
    if (tree->load->entry && tree->load->oldest == NULL)
        qr__entry_free(tree->load->entry, &tree->record_bytes);
    qr_free(tree->load);
    tree->load = NULL;
}

static bool load_head(qr__load *load, qr_reader *reader)
{
    load->index = qr_reader_u64(reader);
    load->revision = qr_reader_u64(reader);
    load->compacted = qr_reader_u64(reader);
    load->digest = qr_reader_u64(reader);
    bool first = !load->headed;
    load->headed = true;
    return first && load->revision >= 1 && load->compacted <= load->revision;
}

static bool load_key(qr_tree *tree, qr__load *load, qr_reader *reader)
{
    qr__index *index = qr__space_of(tree, qr_reader_u8(reader));
    qr_slice key = qr_reader_bytes(reader);
    if (reader->failed || index == NULL || key.size == 0 || key.size > QR_KEY_MAX)
        return false;
    int space = (int)(index - tree->spaces);
    if (load->entry && load->space == space && qr_slice_equal(qr__key_of(load->entry), key))
        return true;
    if (load->entry && load->oldest == NULL)
        return false; /* a key without versions */
    bool rises = !load->entry || space > load->space ||
                 (space == load->space && qr_slice_compare(key, qr__key_of(load->entry)) > 0);
    if (!rises)
        return false;
    load->entry = qr__entry_new(key, &tree->record_bytes);
    load->oldest = NULL;
    load->space = space;
    load->keys++;
    return true;
}

static bool load_extra(qr_tree *tree, qr_reader *reader, qr__version *version)
{
    qr__extra parts = {.lease = (int64_t)qr_reader_u64(reader)};
    parts.detach = qr_reader_u8(reader);
    parts.flags = qr_reader_varint(reader);
    parts.acl = qr_reader_varint(reader);
    parts.acl_version = qr_reader_varint(reader);
    qr_slice attribute = qr_reader_bytes(reader);
    if (reader->failed || attribute.size > QR_ATTRIBUTE_MAX || parts.detach > 1)
        return false;
    qr__extra *like = version->newer ? version->newer->extra : NULL;
    version->extra = qr__extra_of(&parts, attribute, like, &tree->record_bytes);
    return version->extra != NULL;
}

/* Hangs the version in as the oldest of its key; a first one brings its key into the index. */
static bool hang_in(qr_tree *tree, qr__load *load, qr__version *version)
{
    qr__version *newer = load->oldest;
    if (newer && (newer->index < version->index || newer->mod_revision < version->mod_revision))
        return false;
    version->newer = newer;
    load->oldest = version;
    load->versions++;
    if (newer) {
        newer->older = version;
        return true;
    }
    load->entry->newest = version;
    qr__path path;
    qr__index *index = &tree->spaces[load->space];
    qr__index_path(index, qr__key_of(load->entry), &path);
    qr__index_insert(index, &path, load->entry, qr__is_live(version), version->mod_revision);
    return true;
}

static bool load_levels(const qr__load *load, qr_reader *reader, uint8_t bits, qr__version *version)
{
    bool counts = load->space == QR__SPACE_KEYS;
    uint8_t levels = counts ? qr__directory_levels(qr__key_of(load->entry), version) : 0;
    if (bits & QR__IMAGE_HAS_LEVELS)
        levels = qr_reader_u8(reader);
    if (reader->failed || levels > QR_PATH_LEVELS_MAX || (!counts && levels > 0))
        return false;
    version->levels = levels & 127;
    return true;
}

static bool load_version(qr_tree *tree, qr__load *load, qr_reader *reader)
{
    uint8_t bits = qr_reader_u8(reader);
    qr__version head = {.index = qr_reader_varint(reader)};
    head.mod_revision = qr_reader_varint(reader);
    uint64_t sub = qr_reader_varint(reader);
    head.create_revision = qr_reader_varint(reader);
    head.version = qr_reader_varint(reader);
    head.created_ms = (int64_t)qr_reader_u64(reader);
    head.modified_ms = (int64_t)qr_reader_u64(reader);
    bool same = bits & QR__IMAGE_SAME_VALUE;
    qr_slice value = same ? qr_slice_of(NULL, 0) : qr_reader_bytes(reader);
    if (reader->failed || load->entry == NULL || sub > QR__SUB_MAX || value.size > QR_VALUE_MAX ||
        (same && load->oldest == NULL) || head.index > load->index || head.mod_revision > load->revision)
        return false;
    qr__version *version = qr__version_new(value, same ? load->oldest : NULL, &tree->record_bytes);
    version->index = head.index;
    version->mod_revision = head.mod_revision;
    version->sub = (uint32_t)sub & QR__SUB_MAX;
    version->create_revision = head.create_revision;
    version->version = head.version;
    version->created_ms = head.created_ms;
    version->modified_ms = head.modified_ms;
    version->newer = load->oldest;
    if (((bits & QR__IMAGE_HAS_EXTRA) && !load_extra(tree, reader, version)) ||
        !load_levels(load, reader, bits, version) || !hang_in(tree, load, version)) {
        qr__version_free(version, &tree->record_bytes);
        return false;
    }
    return true;
}

static bool load_directory(qr_tree *tree, qr_reader *reader)
{
    qr_slice path = qr_reader_bytes(reader);
    qr_directory record = {.created = qr_reader_varint(reader)};
    record.changes = qr_reader_varint(reader);
    record.children = qr_reader_varint(reader);
    record.last_revision = qr_reader_varint(reader);
    record.first_revision = qr_reader_varint(reader);
    record.bare_revision = qr_reader_varint(reader);
    record.versions = qr_reader_varint(reader);
    record.first_ms = (int64_t)qr_reader_u64(reader);
    record.bare_ms = (int64_t)qr_reader_u64(reader);
    if (reader->failed || !qr__path_valid(path))
        return false;
    qr__directory_put(tree, path, &record);
    return true;
}

static bool load_end(qr__load *load, qr_reader *reader)
{
    load->ended = true;
    bool keys = qr_reader_varint(reader) == load->keys;
    return qr_reader_varint(reader) == load->versions && keys && !reader->failed;
}

static bool load_record(qr_tree *tree, qr__load *load, qr_reader *reader)
{
    uint8_t kind = qr_reader_u8(reader);
    if (load->ended || (kind != QR__IMAGE_HEAD && !load->headed))
        return false;
    switch (kind) {
    case QR__IMAGE_HEAD: return load_head(load, reader);
    case QR__IMAGE_KEY: return load_key(tree, load, reader);
    case QR__IMAGE_VERSION: return load_version(tree, load, reader);
    case QR__IMAGE_DIRECTORY: return load_directory(tree, reader);
    case QR__IMAGE_END: return load_end(load, reader);
    default: return false;
    }
}

/* ----------------------------------------------------------------- finishing ---- */

static int compare_events(const void *a_in, const void *b_in)
{
    const qr__version *a = ((const qr__event *)a_in)->version, *b = ((const qr__event *)b_in)->version;
    if (a->mod_revision != b->mod_revision)
        return a->mod_revision < b->mod_revision ? -1 : 1;
    return (a->sub > b->sub) - (a->sub < b->sub);
}

/* The event log: every version at or after the watermark, in the order of (revision, sub); and the sums. */
static void rebuild(qr_tree *tree)
{
    qr__cursor cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_KEYS], qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        qr__entry *entry = qr__cursor_entry(&cursor);
        for (qr__version *version = entry->newest; version; version = version->older) {
            if (version->mod_revision >= tree->compacted)
                qr__ring_push(&tree->history, (qr__event){.entry = entry, .version = version});
            if (version != entry->newest || !qr__is_live(version))
                tree->now.history_bytes += qr__version_cost(version);
        }
        if (!qr__is_live(entry->newest))
            continue;
        const qr__extra *extra = entry->newest->extra;
        tree->now.live_bytes += (uint64_t)entry->key_size + entry->newest->value_size;
        tree->now.live_bytes += extra ? extra->attribute_size : 0u;
    }
    QR_ASSERT(tree->history.first == 0); /* so the events lie in one piece */
    tree->now.history_bytes += tree->history.end * sizeof(qr__event);
    if (tree->history.end > 1)
        qsort(tree->history.events, tree->history.end, sizeof(qr__event), compare_events);
}

static qr_status finish(qr_tree *tree, qr__load *load)
{
    if (!load->ended || (load->entry && load->oldest == NULL))
        return QR_E_CORRUPT;
    tree->applied_index = load->index;
    tree->now.revision = load->revision;
    tree->compacted = load->compacted;
    tree->now.digest = load->digest;
    rebuild(tree);
    bool whole = qr__leases_rebuild(tree) && qr__alarms_broken(tree) == NULL;
    qr__load_end(tree);
    return whole ? QR_OK : QR_E_CORRUPT;
}

qr_status qr__load_chunk(qr_tree *tree, qr_slice chunk, bool last)
{
    if (tree->load == NULL) {
        QR_ASSERT(tree->applied_index == 0 && tree->spaces[QR__SPACE_KEYS].entries == 0);
        tree->load = qr_alloc_zero(1, sizeof *tree->load);
    }
    qr__load *load = tree->load;
    if (chunk.size < 1 + 8 + 8)
        return QR_E_CORRUPT;
    qr_slice body = qr_slice_of(chunk.data, chunk.size - 8);
    load->chain = qr_hash(body, load->chain);
    if (qr_load_u64(chunk.data + body.size) != load->chain)
        return QR_E_CORRUPT;
    qr_reader reader = qr_reader_of(body);
    if (qr_reader_u8(&reader) != QR__IMAGE_FORMAT)
        return QR_E_BAD_VERSION;
    if (qr_reader_u64(&reader) != load->chunks++)
        return QR_E_CORRUPT;
    while (qr_reader_left(&reader) > 0)
        if (!load_record(tree, load, &reader) || reader.failed)
            return QR_E_CORRUPT;
    return last ? finish(tree, load) : QR_OK;
}
