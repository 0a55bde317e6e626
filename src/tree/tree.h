/* tree: the multi-version key tree, a machine (core/machine.h). Keys, versions, leases' attachments,
 * directory records, history, compaction and digest. It sees no engine, no disk, no clock: time is the
 * proposer's stamp in the command.
 *
 * Commands: qr_command.body is a body of core/txn.h. Queries: a const qr_query. */
#ifndef QR_TREE_TREE_H
#define QR_TREE_TREE_H

#include "core/machine.h"
#include "core/txn.h"

typedef struct qr_tree_config {
    uint64_t history_bytes_max; /* older versions kept before upkeep() proposes a compaction; 0 = the default,
                                   1 GiB */
    int64_t history_ms_max;     /* age bound of the history; 0 = off */
    /* Live bytes above which puts are refused with QUOTA; 0 = off. quota_bytes is a rule of apply and must be
     * the same on every replica, always; admit_bytes is this member's own and holds before a put is proposed.
     * Whatever they are, an alarm of QR_ALARM_NO_SPACE refuses them on all.
     */
    uint64_t quota_bytes, admit_bytes;
    uint32_t bug;     /* core/bugs.h */
    bool move_always; /* for tests: after a compaction all records that may move do, whatever their pages are
                         like */
} qr_tree_config;

qr_machine *qr_tree_open(const qr_tree_config *config);

/* For a tree that comes from a backup and is to begin another life: the revision goes up to at least
 * `revision`, and everything before is compacted, so that no client that has seen a newer one ever sees time
 * go back, and a watch from the former life is told that it has missed something. Not a
 * command: only for a machine that no log applies to. Deterministic, part of the digest. FUTURE_REVISION: the
 * tree is beyond it. */
qr_status qr_tree_advance(qr_machine *tree, uint64_t revision);

#endif
