/* The image of the tree at one index, written in slices while commands go on. image.h has the form.
 *
 * Versions that are newer than the index of the beginning are left out, and nothing is freed while a save
 * runs, so the walk may stop at any version and go on there. Directory records have no versions: the first
 * change of one during a save puts a copy of the old record into the stash, which goes out with the next
 * slice. So records come in an order, and values shared in a way, that differ from member to member: the sum
 * that members compare adds up a hash of each record's meaning, in any order. */
#include "tree/image.h"
#include "tree/private.h"

typedef enum save_stage { SAVE_HEAD, SAVE_KEYS, SAVE_DIRECTORIES, SAVE_END, SAVE_DONE } save_stage;

struct qr__save {
    uint64_t index, revision, compacted, digest; /* of the image */
    save_stage stage;
    int space;
    const qr__entry *entry;     /* being written; NULL = the one after `place` */
    const qr__version *version; /* its next version to look at */
    const qr__version *written; /* its version that was written last */
    qr_buffer place;            /* the last key or path that was begun */
    bool placed;                /* place is valid: else the walk starts at the beginning */
    qr_buffer stash;            /* directory records as they were */
    uint64_t chunks, keys, versions;
    uint64_t chain; /* checksum of the last chunk */
    uint64_t sum;   /* of the hashes of all records so far */
};

qr_status qr__save_begin(qr_tree *tree)
{
    if (tree->save)
        return QR_E_BUSY;
    tree->saves++;
    tree->save = qr_alloc_zero(1, sizeof *tree->save);
    tree->save->index = tree->applied_index;
    tree->save->revision = tree->now.revision;
    tree->save->compacted = tree->compacted;
    tree->save->digest = tree->now.digest;
    return QR_OK;
}

uint64_t qr__save_sum(const qr_tree *tree)
{
    QR_ASSERT(tree->save != NULL && tree->save->stage == SAVE_DONE);
    return tree->save->sum;
}

void qr__save_end(qr_tree *tree)
{
    if (tree->save == NULL)
        return;
    qr_buffer_free(&tree->save->place);
    qr_buffer_free(&tree->save->stash);
    qr_free(tree->save);
    tree->save = NULL;
}

/* What was written from start on. */
static qr_slice since(const qr_buffer *out, size_t start)
{
    return qr_slice_of(out->data + start, out->size - start);
}

static void write_directory(qr__save *save, qr_slice path, const qr_directory *record, qr_buffer *out)
{
    size_t start = out->size;
    qr_buffer_u8(out, QR__IMAGE_DIRECTORY);
    qr_buffer_bytes(out, path);
    qr_buffer_varint(out, record->created);
    qr_buffer_varint(out, record->changes);
    qr_buffer_varint(out, record->children);
    qr_buffer_varint(out, record->last_revision);
    qr_buffer_varint(out, record->first_revision);
    qr_buffer_varint(out, record->bare_revision);
    qr_buffer_varint(out, record->versions);
    qr_buffer_u64(out, (uint64_t)record->first_ms);
    qr_buffer_u64(out, (uint64_t)record->bare_ms);
    save->sum += qr_hash(since(out, start), QR__IMAGE_DIRECTORY);
}

void qr__save_directory(qr_tree *tree, qr__entry *entry)
{
    qr__directory *directory = entry->directory;
    if (directory->stashed == tree->saves)
        return;
    directory->stashed = tree->saves;
    write_directory(tree->save, qr__key_of(entry), &directory->figures, &tree->save->stash);
}

static void write_extra(const qr__extra *extra, qr_buffer *out)
{
    qr_buffer_u64(out, (uint64_t)extra->lease);
    qr_buffer_u8(out, extra->detach);
    qr_buffer_varint(out, extra->flags);
    qr_buffer_varint(out, extra->acl);
    qr_buffer_varint(out, extra->acl_version);
    qr_buffer_bytes(out, qr_slice_of(extra->attribute, extra->attribute_size));
}

/* key: hash of the key and its space. */
static void write_version(qr__save *save, uint64_t key, const qr__version *version, qr_buffer *out)
{
    const qr__version *newer = save->written;
    bool shares = newer && qr__blob_of(version) && qr__blob_of(newer) == qr__blob_of(version);
    qr_buffer_u8(out, QR__IMAGE_VERSION);
    /* Not in the sum: whoever was loaded from an image without them has the same state. */
    bool has_levels = save->space == QR__SPACE_KEYS &&
                      version->levels != qr__directory_levels(qr__key_of(save->entry), version);
    qr_buffer_u8(out,
                 (uint8_t)((qr__extra_of(version) ? QR__IMAGE_HAS_EXTRA : 0) |
                           (shares ? QR__IMAGE_SAME_VALUE : 0) | (has_levels ? QR__IMAGE_HAS_LEVELS : 0)));
    size_t start = out->size;
    qr_buffer_varint(out, qr__index_of(version));
    qr_buffer_varint(out, qr__mod_of(version));
    qr_buffer_varint(out, version->sub);
    qr_buffer_varint(out, qr__create_of(version));
    qr_buffer_varint(out, qr__number_of(version));
    qr_buffer_u64(out, (uint64_t)qr__created_of(version));
    qr_buffer_u64(out, (uint64_t)qr__modified_of(version));
    uint64_t hash = qr_hash(qr__value_of(version), qr_hash(since(out, start), key));
    if (!shares)
        qr_buffer_bytes(out, qr__value_of(version));
    start = out->size;
    if (qr__extra_of(version))
        write_extra(qr__extra_of(version), out);
    uint64_t sum = qr_hash(since(out, start), hash);
    if (has_levels)
        qr_buffer_u8(out, (uint8_t)version->levels);
    save->sum += sum;
}

/* Does the version belong to the image? *last: no older one does. */
static bool in_image(const qr__save *save, const qr__version *version, bool *last)
{
    *last = false;
    if (qr__index_of(version) > save->index)
        return false;
    if (save->space != QR__SPACE_KEYS) {
        *last = true; /* no history */
        return qr__is_live(version);
    }
    if (qr__mod_of(version) >= save->compacted)
        return true;
    /* Visible at the watermark unless the next newer one in the image is at most as new as it. */
    *last = true;
    bool hidden = save->written && qr__mod_of(save->written) <= save->compacted;
    return qr__is_live(version) && !hidden;
}

static void set_place(qr__save *save, qr_slice key)
{
    qr_buffer_clear(&save->place);
    qr_buffer_add_slice(&save->place, key);
    save->placed = true;
}

/* The first entry behind the place. */
static qr__cursor resume(const qr__save *save, const qr__index *index)
{
    qr__cursor cursor =
        qr__cursor_seek(index, save->placed ? qr_buffer_slice(&save->place) : qr_slice_of(NULL, 0));
    if (cursor.leaf && save->placed &&
        qr_slice_equal(qr__key_of(qr__cursor_entry(&cursor)), qr_buffer_slice(&save->place)))
        qr__cursor_next(&cursor);
    return cursor;
}

static void write_key(const qr__save *save, qr_buffer *out)
{
    qr_buffer_u8(out, QR__IMAGE_KEY);
    qr_buffer_u8(out, qr__space_byte((qr__space)save->space));
    qr_buffer_bytes(out, qr__key_of(save->entry));
}

/* Asks for the rest of a version, and for the beginning of the one before it. Inlined always: gcc 12 takes a
 * function that only asks for memory for one without effect, and leaves out the calls of it. */
static inline __attribute__((always_inline)) void foresee_version(const qr__version *version)
{
    const uint8_t *end = qr__content_of(version) + version->inline_size;
    for (const uint8_t *line = (const uint8_t *)version + 64; line < end; line += 64)
        __builtin_prefetch(line);
    __builtin_prefetch(qr__blob_of(version));
    __builtin_prefetch(qr__older_of(version));
}

/* Writes versions of the current entry until there are no more (true) or the limit is passed (false). */
static bool write_entry(qr__save *save, qr_buffer *out, size_t limit)
{
    bool named = false;
    uint64_t key = qr_hash(qr__key_of(save->entry), qr__space_byte((qr__space)save->space));
    while (save->version) {
        const qr__version *version = save->version;
        bool last, wanted = in_image(save, version, &last);
        if (wanted && out->size >= limit)
            return false;
        if (wanted && !named)
            write_key(save, out);
        if (wanted) {
            save->keys += save->written == NULL;
            save->versions++;
            named = true;
            if (qr__older_of(version) != NULL)
                foresee_version(qr__older_of(version));
            write_version(save, key, version, out);
            save->written = version;
        }
        save->version = last ? NULL : qr__older_of(version);
    }
    save->entry = NULL;
    return true;
}

/* The entry so many places behind the cursor, at most in the next leaf; NULL: none. */
static const qr__entry *ahead(const qr__cursor *cursor, uint32_t places)
{
    const qr__node *node = &cursor->leaf->node;
    uint32_t at = cursor->at + places;
    if (at < node->count)
        return node->slots[at];
    at -= node->count;
    node = cursor->leaf->next;
    return node != NULL && at < node->count ? node->slots[at] : NULL;
}

/* Asks for the memory that the walk comes to: keys next to each other were mostly written far from each
 * other. Each step touches only what an earlier one has asked for. */
static inline __attribute__((always_inline)) void foresee(const qr__cursor *cursor)
{
    if (cursor->at == 0 && cursor->leaf->next != NULL) {
        __builtin_prefetch(cursor->leaf->next);
        for (uint32_t i = 0; i < QR__FAN; i += 8)
            __builtin_prefetch(&cursor->leaf->next->slots[i]);
    }
    const qr__entry *entry = ahead(cursor, 12);
    __builtin_prefetch(entry);
    entry = ahead(cursor, 8);
    if (entry != NULL)
        __builtin_prefetch(entry->newest);
    entry = ahead(cursor, 4);
    if (entry != NULL && entry->newest != NULL)
        foresee_version(entry->newest);
}

static void write_keys(qr_tree *tree, qr__save *save, qr_buffer *out, size_t limit)
{
    if (save->entry && !write_entry(save, out, limit))
        return;
    qr__cursor cursor = resume(save, &tree->spaces[save->space]);
    bool left_out = QR_BUG(tree->config.bug, ALARM_NOT_SAVED) && save->space == QR__SPACE_ALARMS;
    for (; cursor.leaf && !left_out; qr__cursor_next(&cursor)) {
        if (out->size >= limit)
            return;
        foresee(&cursor);
        save->entry = qr__cursor_entry(&cursor);
        save->version = save->entry->newest;
        save->written = NULL;
        set_place(save, qr__key_of(save->entry));
        if (!write_entry(save, out, limit))
            return;
    }
    save->placed = false;
    if (++save->space == QR__SPACE_COUNT)
        save->stage = SAVE_DIRECTORIES;
}

static void write_directories(qr_tree *tree, qr__save *save, qr_buffer *out, size_t limit)
{
    qr__cursor cursor = resume(save, &tree->directories);
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        if (out->size >= limit)
            return;
        const qr__entry *entry = qr__cursor_entry(&cursor);
        set_place(save, qr__key_of(entry));
        if (entry->directory->stashed != tree->saves)
            write_directory(save, qr__key_of(entry), &entry->directory->figures, out);
    }
    save->stage = SAVE_END;
}

static void write_head(qr__save *save, qr_buffer *out)
{
    size_t start = out->size;
    qr_buffer_u8(out, QR__IMAGE_HEAD);
    qr_buffer_u64(out, save->index);
    qr_buffer_u64(out, save->revision);
    qr_buffer_u64(out, save->compacted);
    qr_buffer_u64(out, save->digest);
    save->sum += qr_hash(since(out, start), QR__IMAGE_HEAD);
    save->stage = SAVE_KEYS;
}

static void write_end(qr__save *save, qr_buffer *out)
{
    qr_buffer_u8(out, QR__IMAGE_END);
    qr_buffer_varint(out, save->keys);
    qr_buffer_varint(out, save->versions);
    save->stage = SAVE_DONE;
}

qr_status qr__save_next(qr_tree *tree, size_t budget, qr_buffer *out, bool *done)
{
    qr__save *save = tree->save;
    QR_ASSERT(save != NULL && save->stage != SAVE_DONE);
    size_t start = out->size, limit = start + (budget > 0 ? budget : 1);
    qr_buffer_u8(out, QR__IMAGE_FORMAT);
    qr_buffer_u64(out, save->chunks++);
    /* Even a slice that has used up its budget moves on: the limit counts from behind the chunk's own head.
     */
    limit += out->size - start;
    bool began = save->stage == SAVE_HEAD;
    if (began)
        write_head(save, out);
    qr_buffer_add_slice(out, qr_buffer_slice(&save->stash));
    qr_buffer_clear(&save->stash);
    limit = began || out->size >= limit ? out->size + budget + 1 : limit;
    while (save->stage == SAVE_KEYS && out->size < limit)
        write_keys(tree, save, out, limit);
    if (save->stage == SAVE_DIRECTORIES && out->size < limit)
        write_directories(tree, save, out, limit);
    if (save->stage == SAVE_END && out->size < limit)
        write_end(save, out);
    save->chain = qr_hash(qr_slice_of(out->data + start, out->size - start), save->chain);
    qr_buffer_u64(out, save->chain);
    *done = save->stage == SAVE_DONE;
    return QR_OK;
}
