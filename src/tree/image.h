/* The form of a saved image, for the one who writes it and the one who reads it.
 *
 * A chunk: format u8, number u64 (from 0), records, checksum u64 (XXH3 of all before it, seeded with the
 * checksum of the chunk before: so chunks are known to be complete and in order). Records begin with a kind:
 *   HEAD       index, revision, compacted, digest: u64 each
 *   KEY        space u8, key; its versions follow, newest first. A key is named again in the next chunk if it
 *              runs on
 *   VERSION    bits u8, index, mod revision, sub, create revision, version: varints; created, modified:
 *              u64 milliseconds; value (unless SAME_VALUE: that of the version before); with HAS_EXTRA:
 *              lease u64, detach u8, flags, acl, acl version: varints, attribute; with HAS_LEVELS: levels u8.
 *              Without: 1 for the first version of a path and for its tombstone, else 0
 *   DIRECTORY  path, created, changes, children, last, first and bare revision, versions: varints;
 *              first, bare: u64 milliseconds
 *   END        keys, versions: varints
 * Bytes are a varint length and the bytes. Format 2: format 1 knew no directories without a key. */
#ifndef QR_TREE_IMAGE_H
#define QR_TREE_IMAGE_H

enum { QR__IMAGE_FORMAT = 2 };

enum {
    QR__IMAGE_HEAD = 1,
    QR__IMAGE_KEY = 2,
    QR__IMAGE_VERSION = 3,
    QR__IMAGE_DIRECTORY = 4,
    QR__IMAGE_END = 5,
};

enum { QR__IMAGE_HAS_EXTRA = 1 << 0, QR__IMAGE_SAME_VALUE = 1 << 1, QR__IMAGE_HAS_LEVELS = 1 << 2 };

#endif
