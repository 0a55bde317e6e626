/* A backup as a file: a checkpoint, and behind it the SHA-256 that the stream of Maintenance.Snapshot ends
 * with. A bare checkpoint file out of a data folder will do as well. Reading one proves it: sum, every block,
 * and the digest of the state that comes out of it. */
#ifndef QR_BIN_SNAPSHOT_FILE_H
#define QR_BIN_SNAPSHOT_FILE_H

#include "core/machine.h"
#include "core/txn.h"
#include "wal/checkpoint.h"

typedef struct qr_snapshot_file {
    qr_checkpoint_about about;
    qr_machine *machine; /* a tree with the state; the caller's to free */
    uint64_t size;       /* bytes of the file */
    uint64_t entries;    /* of a folder's log */
    bool has_sum;
} qr_snapshot_file;

/* NULL, or a sentence in the arena. On failure nothing is left to free. */
const char *qr_snapshot_file_load(const char *path, qr_arena *arena, qr_snapshot_file *loaded);
/* The same of a stopped member's data folder: its checkpoint and every entry of its log. */
const char *qr_snapshot_folder_load(const char *path, qr_arena *arena, qr_snapshot_file *loaded);
qr_tree_status qr_snapshot_file_status(const qr_snapshot_file *loaded);

#endif
