/* The way back: chunks of an image into an empty tree. Indexes, sums and the event log are made anew. The
 * image has versions by their keys, the event log wants them by revision: they are sorted last, in pieces. */
#include "tree/image.h"
#include "tree/private.h"

/* An event with its place in the log: comparing it looks at no version. */
typedef struct dated {
    uint64_t revision;
    uint64_t sub;
    qr__event event;
} dated;

/* Runs of `width` events each are sorted; two after the other are merged into the target. */
typedef struct merging {
    dated *target; /* owned; as large as what is sorted */
    uint64_t width;
    uint64_t from; /* where the two runs begin */
    uint64_t left, right, to;
} merging;

struct qr__load {
    uint64_t chunks, keys, versions;
    uint64_t chain;
    uint64_t digest;
    uint64_t revision, compacted, index;
    int space;
    qr__entry *entry;    /* the key whose versions are being read; in the index once it has one */
    qr__version *oldest; /* its oldest version so far */
    bool headed, ended;
    dated *events; /* owned: of the event log, by their keys until they are sorted */
    uint64_t event_count, event_room;
    merging merge;
};

void qr__load_end(qr_tree *tree)
{
    if (tree->load == NULL)
        return;
    if (tree->load->entry && tree->load->oldest == NULL)
        qr__entry_free(tree->load->entry, &tree->records);
    qr_free(tree->load->events);
    qr_free(tree->load->merge.target);
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
    load->entry = qr__entry_new(key, &tree->records);
    load->oldest = NULL;
    load->space = space;
    load->keys++;
    return true;
}

static bool load_extra(qr_tree *tree, qr_reader *reader, qr__draft *draft)
{
    qr__extra parts = {.lease = (int64_t)qr_reader_u64(reader)};
    parts.detach = qr_reader_u8(reader);
    parts.flags = qr_reader_varint(reader);
    parts.acl = qr_reader_varint(reader);
    parts.acl_version = qr_reader_varint(reader);
    qr_slice attribute = qr_reader_bytes(reader);
    if (reader->failed || attribute.size > QR_ATTRIBUTE_MAX || parts.detach > 1)
        return false;
    qr__extra *like = tree->load->oldest ? qr__extra_of(tree->load->oldest) : NULL;
    draft->extra = qr__extra_new(&parts, attribute, like, &tree->records);
    return draft->extra != NULL;
}

static void note_event(qr__load *load, qr__version *version)
{
    if (load->event_count == load->event_room) {
        load->event_room = load->event_room ? load->event_room * 2 : 1024;
        load->events = qr_realloc(load->events, load->event_room * sizeof *load->events);
    }
    load->events[load->event_count++] = (dated){.revision = qr__mod_of(version),
                                                .sub = version->sub,
                                                .event = {.entry = load->entry, .version = version}};
}

/* The event log, and the sums of the figures. */
static void note_key(qr_tree *tree, qr__load *load, qr__version *version, const qr__version *newer)
{
    if (qr__mod_of(version) >= load->compacted) {
        note_event(load, version);
        tree->now.history_bytes += sizeof(qr__event);
    }
    if (newer || !qr__is_live(version))
        tree->now.history_bytes += qr__version_cost(version, newer);
    else
        tree->now.live_bytes += load->entry->key_size + qr__content_size(version);
}

/* Hangs the version in as the oldest of its key; a first one brings its key into the index. */
static bool hang_in(qr_tree *tree, qr__load *load, qr__version *version)
{
    qr__version *newer = load->oldest;
    load->oldest = version;
    load->versions++;
    if (newer) {
        qr__life_of(newer)->older = version;
    } else {
        load->entry->newest = version;
        qr__path path;
        qr__index *index = &tree->spaces[load->space];
        qr__index_path(index, qr__key_of(load->entry), &path);
        qr__index_insert(index, &path, load->entry, qr__is_live(version), qr__mod_of(version));
    }
    if (load->space == QR__SPACE_KEYS)
        note_key(tree, load, version, newer);
    return newer || qr__lease_loaded(tree, qr__space_byte((qr__space)load->space), load->entry);
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

/* All but the levels. */
static bool load_draft(qr_tree *tree, qr__load *load, qr_reader *reader, uint8_t bits, qr__draft *draft)
{
    draft->index = qr_reader_varint(reader);
    draft->mod_revision = qr_reader_varint(reader);
    uint64_t sub = qr_reader_varint(reader);
    draft->create_revision = qr_reader_varint(reader);
    draft->number = qr_reader_varint(reader);
    draft->created_ms = (int64_t)qr_reader_u64(reader);
    draft->modified_ms = (int64_t)qr_reader_u64(reader);
    const qr__version *newer = load->oldest;
    draft->like = bits & QR__IMAGE_SAME_VALUE ? newer : NULL;
    if (reader->failed || load->entry == NULL || sub > QR__SUB_MAX || draft->index > load->index ||
        draft->mod_revision > load->revision)
        return false;
    if (newer && (qr__life_of(newer) == NULL || qr__index_of(newer) < draft->index ||
                  qr__mod_of(newer) < draft->mod_revision))
        return false;
    if ((bits & QR__IMAGE_SAME_VALUE) && (newer == NULL || qr__blob_of(newer) == NULL))
        return false;
    draft->value = draft->like ? qr__value_of(draft->like) : qr_reader_bytes(reader);
    if (reader->failed || draft->value.size > QR_VALUE_MAX)
        return false;
    draft->sub = (uint32_t)sub;
    return !(bits & QR__IMAGE_HAS_EXTRA) || load_extra(tree, reader, draft);
}

static bool load_version(qr_tree *tree, qr__load *load, qr_reader *reader)
{
    uint8_t bits = qr_reader_u8(reader);
    qr__draft draft = {0};
    if (!load_draft(tree, load, reader, bits, &draft))
        return false;
    const uint8_t *next = reader->at + ((bits & QR__IMAGE_HAS_LEVELS) != 0);
    /* The next version of the key may come in the next chunk. */
    draft.has_older = next >= reader->end || *next == QR__IMAGE_VERSION;
    qr__version *version = qr__version_new(&draft, &tree->records);
    if (load_levels(load, reader, bits, version))
        return hang_in(tree, load, version);
    qr__version_free(version, &tree->records);
    return false;
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

static bool is_later(const dated *a, const dated *b)
{
    return a->revision != b->revision ? a->revision > b->revision : a->sub > b->sub;
}

static void begin_runs(qr__load *load, uint64_t from)
{
    merging *merge = &load->merge;
    uint64_t right = from + merge->width;
    merge->from = merge->left = merge->to = from;
    merge->right = right < load->event_count ? right : load->event_count;
}

/* Moves events into the target, as far as the budget goes. False: there is nothing to do. */
static bool sort_some(qr__load *load, size_t *budget)
{
    merging *merge = &load->merge;
    uint64_t count = load->event_count;
    if (merge->width >= count)
        return false;
    if (merge->target == NULL)
        merge->target = qr_alloc(count * sizeof *merge->target);
    uint64_t left_end = merge->from + merge->width, right_end = left_end + merge->width;
    left_end = left_end < count ? left_end : count;
    right_end = right_end < count ? right_end : count;
    for (; merge->to<right_end && * budget> 0; merge->to++, --*budget) {
        bool take_right =
            merge->left == left_end ||
            (merge->right < right_end && is_later(&load->events[merge->left], &load->events[merge->right]));
        merge->target[merge->to] = load->events[take_right ? merge->right++ : merge->left++];
    }
    if (merge->to < right_end)
        return true;
    if (right_end < count) {
        begin_runs(load, right_end);
        return true;
    }
    dated *swap = load->events;
    load->events = merge->target;
    merge->target = swap;
    merge->width *= 2;
    begin_runs(load, 0);
    return true;
}

bool qr__load_settle(qr_tree *tree, size_t budget)
{
    qr__load *load = tree->load;
    if (load == NULL)
        return false;
    QR_ASSERT(load->ended);
    while (budget > 0 && sort_some(load, &budget))
        continue;
    for (; budget > 0 && tree->history.end < load->event_count; budget--)
        qr__ring_push(&tree->history, load->events[tree->history.end].event);
    if (budget == 0)
        return true;
    qr__load_end(tree);
    return false;
}

static qr_status finish(qr_tree *tree, qr__load *load)
{
    if (!load->ended || (load->entry && load->oldest == NULL))
        return QR_E_CORRUPT;
    tree->applied_index = load->index;
    tree->now.revision = load->revision;
    tree->compacted = load->compacted;
    tree->now.digest = load->digest;
    load->merge.width = 1;
    begin_runs(load, 0);
    return qr__alarms_broken(tree) == NULL ? QR_OK : QR_E_CORRUPT;
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
