/* path: which names a node may be created under. Only creation asks: a read of a path that could not exist
 * finds nothing, and says so. */
#ifndef QR_DOOR_ZOOKEEPER_PATH_H
#define QR_DOOR_ZOOKEEPER_PATH_H

#include "base/base.h"

/* Starts with '/', does not end with one unless it is the root, and has no component that is empty, "." or
 * "..". No character of U+0000-001F, 007F-009F, D800-F8FF, FFF0-FFFF; that is told of UTF-16 units, so
 * nothing above U+FFFF is allowed either. Bytes that are not UTF-8 would be read as U+FFFD: refused. */
bool qr_zookeeper_path_valid(qr_slice path);

/* What stands before the last '/', "/" for a child of the root; borrowed. `path` need not be valid, but must
 * have a '/'; of the root itself this is the root. */
qr_slice qr_zookeeper_path_parent(qr_slice path);

#endif
