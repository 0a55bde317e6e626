/* Records: keys, versions, values and the seldom parts, in the machine's slab. */
#include "tree/private.h"

#include <stddef.h>

static size_t entry_size(size_t key_size)
{
    return offsetof(qr__entry, key) + key_size;
}

qr__entry *qr__entry_new(qr_slice key, qr_slab *records)
{
    QR_ASSERT(key.size <= QR_KEY_MAX + QR__ATTACHMENT_HEAD);
    qr__entry *entry = qr_slab_alloc(records, entry_size(key.size));
    entry->newest = NULL;
    entry->key_size = (uint32_t)key.size;
    if (key.size)
        memcpy(entry->key, key.data, key.size);
    return entry;
}

void qr__entry_free(qr__entry *entry, qr_slab *records)
{
    qr_slab_free(records, entry, entry_size(entry->key_size));
}

qr__entry *qr__entry_move(qr__entry *entry, qr_slab *records, bool always)
{
    return qr_slab_move(records, entry, entry_size(entry->key_size), always);
}

/* ----------------------------------------------------------------- versions ---- */

static size_t blob_size(size_t value_size)
{
    return sizeof(qr__blob) + value_size;
}

/* Bytes of a version with all that stands behind it. */
static size_t version_size(const qr__version *version)
{
    size_t before = (size_t)(qr__content_of(version) - (const uint8_t *)version);
    return before + (version->forms & QR__HAS_BLOB ? sizeof(qr__blob *) : version->inline_size);
}

static qr__version head_of(const qr__draft *draft)
{
    const uint64_t low = ((uint64_t)1 << 48) - 1;
    int64_t ahead = (int64_t)(draft->index - draft->mod_revision);
    bool is_first = !draft->has_older && draft->number == 1 &&
                    draft->create_revision == draft->mod_revision && draft->created_ms == draft->modified_ms;
    bool is_large = draft->value.size > QR__INLINE_MAX;
    qr__version head = {.mod_revision = draft->mod_revision & low,
                        .inline_size = is_large ? 0 : draft->value.size & (2 * QR__INLINE_MAX - 1),
                        .ahead = (int32_t)ahead,
                        .sub = draft->sub & QR__SUB_MAX};
    head.modified_ms = draft->modified_ms & (int64_t)(low >> 1);
    bool fits = head.mod_revision == draft->mod_revision && head.modified_ms == draft->modified_ms &&
                head.ahead == ahead;
    head.forms = (is_first ? 0u : QR__HAS_LIFE) | (fits ? 0u : QR__HAS_WIDE) |
                 (draft->extra ? QR__HAS_EXTRA : 0u) | (is_large ? QR__HAS_BLOB : 0u);
    return head;
}

/* A reference to the blob of the draft's value. */
static qr__blob *blob_for(const qr__draft *draft, qr_slab *records)
{
    qr_slice value = draft->value;
    if (draft->like) {
        qr__blob *shared = qr__blob_of(draft->like);
        shared->references++;
        return shared;
    }
    qr__blob *blob = qr_slab_alloc(records, blob_size(value.size));
    *blob = (qr__blob){.hash = qr_hash(value, 0), .references = 1, .size = (uint32_t)value.size};
    memcpy(blob->bytes, value.data, value.size);
    return blob;
}

static uint8_t *put_behind(uint8_t *at, const void *part, size_t size)
{
    if (size)
        memcpy(at, part, size);
    return at + size;
}

qr__version *qr__version_new(const qr__draft *draft, qr_slab *records)
{
    QR_ASSERT(draft->value.size <= QR_VALUE_MAX);
    qr__version head = head_of(draft);
    qr__version *version = qr_slab_alloc(records, version_size(&head));
    *version = head;
    uint8_t *at = (uint8_t *)(version + 1);
    if (head.forms & QR__HAS_LIFE) {
        const qr__life life = {draft->older, draft->create_revision, draft->number, draft->created_ms};
        at = put_behind(at, &life, sizeof life);
    }
    if (head.forms & QR__HAS_WIDE) {
        const qr__wide wide = {draft->index, draft->mod_revision, draft->modified_ms};
        at = put_behind(at, &wide, sizeof wide);
    }
    if (head.forms & QR__HAS_EXTRA)
        at = put_behind(at, &draft->extra, sizeof draft->extra);
    QR_ASSERT(at == qr__content_of(version));
    if (head.forms & QR__HAS_BLOB) {
        const qr__blob *blob = blob_for(draft, records);
        put_behind(at, &blob, sizeof blob);
    } else {
        put_behind(at, draft->value.data, draft->value.size);
    }
    return version;
}

void qr__version_free(qr__version *version, qr_slab *records)
{
    qr__blob *blob = qr__blob_of(version);
    if (blob) {
        QR_ASSERT(blob->references > 0);
        if (--blob->references == 0)
            qr_slab_free(records, blob, blob_size(blob->size));
    }
    qr__extra_drop(qr__extra_of(version), records);
    qr_slab_free(records, version, version_size(version));
}

qr__version *qr__version_move(qr__version *version, qr_slab *records, bool always)
{
    qr__version *moved = qr_slab_move(records, version, version_size(version), always);
    qr__blob *blob = qr__blob_of(moved);
    if (blob && blob->references == 1) {
        blob = qr_slab_move(records, blob, blob_size(blob->size), always);
        memcpy((void *)qr__content_of(moved), &blob, sizeof blob);
    }
    return moved;
}

qr_slice qr__value_of(const qr__version *version)
{
    const qr__blob *blob = qr__blob_of(version);
    return blob ? qr_slice_of(blob->bytes, blob->size)
                : qr_slice_of(qr__content_of(version), version->inline_size);
}

uint64_t qr__value_hash(const qr__version *version)
{
    const qr__blob *blob = qr__blob_of(version);
    return blob ? blob->hash : qr_hash(qr__value_of(version), 0);
}

uint64_t qr__content_size(const qr__version *version)
{
    const qr__extra *extra = qr__extra_of(version);
    return qr__value_of(version).size + (extra ? extra->attribute_size : 0u);
}

uint64_t qr__version_cost(const qr__version *version, const qr__version *newer)
{
    /* A value that the next version shares is not freed with this one. */
    const qr__blob *blob = qr__blob_of(version);
    bool is_shared = blob && newer && qr__blob_of(newer) == blob;
    return QR__VERSION_COST + (is_shared ? 0 : qr__value_of(version).size);
}

/* ------------------------------------------------------------------- extras ---- */

static size_t extra_size(size_t attribute_size)
{
    return sizeof(qr__extra) + attribute_size;
}

qr__extra *qr__extra_new(const qr__extra *parts, qr_slice attribute, qr__extra *like, qr_slab *records)
{
    QR_ASSERT(attribute.size <= QR_ATTRIBUTE_MAX);
    if (!parts->lease && !parts->flags && !parts->acl && !parts->acl_version && !parts->detach &&
        !attribute.size)
        return NULL;
    if (like && like->lease == parts->lease && like->flags == parts->flags && like->acl == parts->acl &&
        like->acl_version == parts->acl_version && like->detach == parts->detach &&
        qr_slice_equal(qr_slice_of(like->attribute, like->attribute_size), attribute)) {
        like->references++;
        return like;
    }
    qr__extra *extra = qr_slab_alloc(records, extra_size(attribute.size));
    *extra = (qr__extra){.lease = parts->lease,
                         .flags = parts->flags,
                         .acl = parts->acl,
                         .acl_version = parts->acl_version,
                         .detach = parts->detach,
                         .references = 1,
                         .attribute_size = (uint16_t)attribute.size};
    if (attribute.size)
        memcpy(extra->attribute, attribute.data, attribute.size);
    return extra;
}

void qr__extra_drop(qr__extra *extra, qr_slab *records)
{
    if (extra == NULL)
        return;
    QR_ASSERT(extra->references > 0);
    if (--extra->references > 0)
        return;
    qr_slab_free(records, extra, extra_size(extra->attribute_size));
}

const qr__version *qr__visible(const qr__entry *entry, uint64_t revision)
{
    const qr__version *version = entry->newest;
    while (version != NULL && qr__mod_of(version) > revision)
        version = qr__older_of(version);
    return qr__is_live(version) ? version : NULL;
}

void qr__fill(const qr__entry *entry, const qr__version *version, bool keys_only, qr_key_value *kv)
{
    QR_ASSERT(qr__is_live(version));
    *kv = (qr_key_value){.key = qr__key_of(entry),
                         .value = keys_only ? qr_slice_of(NULL, 0) : qr__value_of(version),
                         .create_revision = qr__create_of(version),
                         .mod_revision = qr__mod_of(version),
                         .version = qr__number_of(version),
                         .created_ms = qr__created_of(version),
                         .modified_ms = qr__modified_of(version)};
    const qr__extra *extra = qr__extra_of(version);
    if (extra == NULL)
        return;
    kv->lease = extra->lease;
    kv->flags = extra->flags;
    kv->acl = extra->acl;
    kv->acl_version = extra->acl_version;
    kv->attribute = qr_slice_of(extra->attribute, extra->attribute_size);
}
