/* path: which names a node may be created under. Only creation asks: a read of a path that could not exist
 * finds nothing, and says so. */
#ifndef QR_DOOR_ZOOKEEPER_PATH_H
#define QR_DOOR_ZOOKEEPER_PATH_H

#include "base/base.h"

/* Starts with '/', does not end with one unless it is the root, and has no component that is empty, "." or
 * "..". No character of U+0000-001F, 007F-009F, D800-F8FF, FFF0-FFFF; that is told of UTF-16 units, so
 * nothing above U+FFFF is allowed either. Bytes that are not UTF-8 would be read as U+FFFD: refused. */
bool qr_zookeeper_path_valid(qr_slice path);

static inline bool qr_zookeeper_path_is_root(qr_slice path)
{
    return path.size == 1 && path.data[0] == '/';
}

/* What stands before the last '/', "/" for a child of the root; borrowed. `path` need not be valid, but must
 * have a '/'; of the root itself this is the root. */
qr_slice qr_zookeeper_path_parent(qr_slice path);

/* The door's root is a valid path of the tree, or empty: the tree's own. Clients see what is below it, and
 * call it as if the root were "/". The key of a path that begins with '/'; borrowed if the root is empty. */
qr_slice qr_zookeeper_path_key(qr_slice root, qr_slice path, qr_arena *arena);
/* What clients call a key, if it can be called at all; borrowed. False: it is neither the root nor below it.
 */
bool qr_zookeeper_path_of_key(qr_slice root, qr_slice key, qr_slice *path);

#endif
