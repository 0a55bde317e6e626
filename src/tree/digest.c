/* The rolling digest of the replicated state, and the hash over all versions that members compare. */
#include "tree/private.h"

enum { MARK_PUT = 1, MARK_DELETE = 2, MARK_COMPACT = 3, MARK_DIRECTORY = 4 };

static void mix(uint64_t *digest, uint64_t number)
{
    *digest = qr_hash_mix(*digest, number);
}

static void mix_extra(uint64_t *digest, const qr__extra *extra)
{
    if (extra == NULL) {
        mix(digest, 0);
        return;
    }
    mix(digest, 1);
    mix(digest, (uint64_t)extra->lease);
    mix(digest, extra->detach);
    mix(digest, extra->flags);
    mix(digest, extra->acl);
    mix(digest, extra->acl_version);
    mix(digest, extra->attribute_size);
    mix(digest, qr_hash(qr_slice_of(extra->attribute, extra->attribute_size), 0));
}

static void mix_version(uint64_t *digest, const qr__version *version)
{
    mix(digest, qr__mod_of(version));
    mix(digest, (uint64_t)qr__modified_of(version));
    if (!qr__is_live(version))
        return;
    mix(digest, qr__create_of(version));
    mix(digest, qr__number_of(version));
    mix(digest, (uint64_t)qr__created_of(version));
    mix(digest, qr__value_of(version).size);
    mix(digest, qr__value_hash(version));
    mix_extra(digest, qr__extra_of(version));
}

void qr__digest_change(qr_tree *tree, uint8_t space, qr_slice key, const qr__version *version)
{
    uint64_t digest = tree->now.digest;
    mix(&digest, (uint64_t)(qr__is_live(version) ? MARK_PUT : MARK_DELETE) << 8 | space);
    mix(&digest, key.size);
    mix(&digest, qr_hash(key, 0));
    mix_version(&digest, version);
    tree->now.digest = digest;
}

void qr__digest_compact(qr_tree *tree)
{
    mix(&tree->now.digest, MARK_COMPACT);
    mix(&tree->now.digest, tree->compacted);
}

void qr__digest_directory(qr_tree *tree, qr_slice path, const qr_directory *record)
{
    uint64_t digest = tree->now.digest;
    mix(&digest, MARK_DIRECTORY);
    mix(&digest, qr_hash(path, 0));
    if (record) {
        mix(&digest, record->created);
        mix(&digest, record->changes);
        mix(&digest, record->children);
        mix(&digest, record->last_revision);
        mix(&digest, record->first_revision);
        mix(&digest, record->bare_revision);
        mix(&digest, record->versions);
        mix(&digest, (uint64_t)record->first_ms);
        mix(&digest, (uint64_t)record->bare_ms);
    }
    tree->now.digest = digest;
}

qr_status qr__hash_versions(qr_tree *tree, uint64_t revision, qr_hash_result *result)
{
    if (revision == 0)
        revision = tree->now.revision;
    if (revision > tree->now.revision)
        return QR_E_FUTURE_REVISION;
    if (revision < tree->compacted)
        return QR_E_COMPACTED;
    uint64_t hash = 0;
    qr__cursor cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_KEYS], qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        const qr__version *version = entry->newest;
        bool named = false;
        while (version && qr__mod_of(version) > revision)
            version = qr__older_of(version);
        /* Down to what is visible at the watermark. A tombstone at or below it is left out, as are versions
         * that it or a newer one hides and that only wait to be freed. */
        for (; version; version = qr__older_of(version)) {
            bool last = qr__mod_of(version) <= tree->compacted;
            if (!last || qr__is_live(version)) {
                if (!named)
                    mix(&hash, qr_hash(qr__key_of(entry), 0));
                named = true;
                mix_version(&hash, version);
            }
            if (last)
                break;
        }
    }
    *result = (qr_hash_result){.hash = (uint32_t)(hash ^ hash >> 32),
                               .revision = tree->now.revision,
                               .compacted = tree->compacted,
                               .hash_revision = revision};
    return QR_OK;
}
