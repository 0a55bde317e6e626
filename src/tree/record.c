/* Records: keys, versions, values and the seldom parts. *bytes counts what they take of the machine's memory.
 */
#include "tree/private.h"

#include <stddef.h>

qr__entry *qr__entry_new(qr_slice key, uint64_t *bytes)
{
    QR_ASSERT(key.size <= QR_KEY_MAX + QR__ATTACHMENT_HEAD);
    qr__entry *entry = qr_alloc(sizeof *entry + key.size);
    entry->newest = NULL;
    entry->key_size = (uint32_t)key.size;
    if (key.size)
        memcpy(entry->key, key.data, key.size);
    *bytes += sizeof *entry + key.size;
    return entry;
}

void qr__entry_free(qr__entry *entry, uint64_t *bytes)
{
    *bytes -= sizeof *entry + entry->key_size;
    qr_free(entry);
}

static size_t version_size(size_t value_size)
{
    size_t at_least = sizeof(qr__version);
    size_t with_value = offsetof(qr__version, value) + value_size;
    return value_size > QR__INLINE_MAX || with_value < at_least ? at_least : with_value;
}

qr__version *qr__version_new(qr_slice value, const qr__version *like, uint64_t *bytes)
{
    if (like != NULL)
        value = qr__value_of(like);
    QR_ASSERT(value.size <= QR_VALUE_MAX);
    size_t size = version_size(value.size);
    qr__version *version = qr_alloc(size);
    memset(version, 0, sizeof *version);
    version->value_size = (uint32_t)value.size;
    *bytes += size;
    if (value.size <= QR__INLINE_MAX) {
        if (value.size)
            memcpy((uint8_t *)version + offsetof(qr__version, value), value.data, value.size);
    } else if (like != NULL) {
        version->value.blob = like->value.blob;
        version->value.blob->references++;
    } else {
        qr__blob *blob = qr_alloc(sizeof *blob + value.size);
        *blob = (qr__blob){.hash = qr_hash(value, 0), .references = 1, .size = (uint32_t)value.size};
        memcpy(blob->bytes, value.data, value.size);
        *bytes += sizeof *blob + value.size;
        version->value.blob = blob;
    }
    return version;
}

void qr__version_free(qr__version *version, uint64_t *bytes)
{
    if (version->value_size > QR__INLINE_MAX) {
        qr__blob *blob = version->value.blob;
        QR_ASSERT(blob->references > 0);
        if (--blob->references == 0) {
            *bytes -= sizeof *blob + blob->size;
            qr_free(blob);
        }
    }
    qr__extra_drop(version->extra, bytes);
    *bytes -= version_size(version->value_size);
    qr_free(version);
}

qr_slice qr__value_of(const qr__version *version)
{
    if (version->value_size > QR__INLINE_MAX)
        return qr_slice_of(version->value.blob->bytes, version->value_size);
    return qr_slice_of((const uint8_t *)version + offsetof(qr__version, value), version->value_size);
}

uint64_t qr__value_hash(const qr__version *version)
{
    return version->value_size > QR__INLINE_MAX ? version->value.blob->hash
                                                : qr_hash(qr__value_of(version), 0);
}

uint64_t qr__version_cost(const qr__version *version)
{
    uint64_t cost = version_size(version->value_size);
    if (version->value_size > QR__INLINE_MAX) {
        /* A value that the next version shares is not freed with this one. */
        const qr__version *newer = version->newer;
        bool shared = newer && newer->value_size > QR__INLINE_MAX && newer->value.blob == version->value.blob;
        cost += shared ? 0 : version->value_size;
    }
    return cost;
}

qr__extra *qr__extra_of(const qr__extra *parts, qr_slice attribute, qr__extra *like, uint64_t *bytes)
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
    qr__extra *extra = qr_alloc(sizeof *extra + attribute.size);
    *extra = (qr__extra){.lease = parts->lease,
                         .flags = parts->flags,
                         .acl = parts->acl,
                         .acl_version = parts->acl_version,
                         .detach = parts->detach,
                         .references = 1,
                         .attribute_size = (uint16_t)attribute.size};
    if (attribute.size)
        memcpy(extra->attribute, attribute.data, attribute.size);
    *bytes += sizeof *extra + attribute.size;
    return extra;
}

void qr__extra_drop(qr__extra *extra, uint64_t *bytes)
{
    if (extra == NULL)
        return;
    QR_ASSERT(extra->references > 0);
    if (--extra->references > 0)
        return;
    *bytes -= sizeof *extra + extra->attribute_size;
    qr_free(extra);
}

const qr__version *qr__visible(const qr__entry *entry, uint64_t revision)
{
    const qr__version *version = entry->newest;
    while (version != NULL && version->mod_revision > revision)
        version = version->older;
    return qr__is_live(version) ? version : NULL;
}

void qr__fill(const qr__entry *entry, const qr__version *version, bool keys_only, qr_key_value *kv)
{
    QR_ASSERT(qr__is_live(version));
    *kv = (qr_key_value){.key = qr__key_of(entry),
                         .value = keys_only ? qr_slice_of(NULL, 0) : qr__value_of(version),
                         .create_revision = version->create_revision,
                         .mod_revision = version->mod_revision,
                         .version = version->version,
                         .created_ms = version->created_ms,
                         .modified_ms = version->modified_ms};
    const qr__extra *extra = version->extra;
    if (extra == NULL)
        return;
    kv->lease = extra->lease;
    kv->flags = extra->flags;
    kv->acl = extra->acl;
    kv->acl_version = extra->acl_version;
    kv->attribute = qr_slice_of(extra->attribute, extra->attribute_size);
}
